//! Runs the check, on the text as it is and on proposals, as often as a verdict needs.

use super::check::{self, Check, Observation};
use super::patch::FileChange;
use super::pipeline::Seen;
use super::{Attempt, Work, report};
use crate::event::{Action, Kind, Measured, Note, Phase, Stage};
use crate::sandbox::{Outcome, SandboxError, Status};
use crate::verdict::{Level, Verdict};
use std::time::Duration;

/// A suite that takes longer is begun with the tests that use what changed.
const SLOW: Duration = Duration::from_secs(5);
/// Bytes of each stream of a run that an event carries.
const SHOWN: usize = 8 << 10;

/// What the runs of a proposal came to.
struct Judged {
    verdict: Verdict,
    /// As in [`Attempt`].
    without: Option<Verdict>,
    shown: Observation,
}

impl Work<'_> {
    /// Runs the check on the text before any edit.
    pub(super) async fn observe(&mut self) -> Seen {
        self.phase(Phase::Testing);
        let Some(mut check) = self.check.clone() else { return Seen::Unchecked };
        let mut seen = self.execute(&check, &[], Stage::Before).await;
        if seen.as_ref().is_ok_and(|before| before.missing.is_some()) && self.install().await {
            check = self.check.clone().unwrap_or(check);
            seen = self.execute(&check, &[], Stage::Before).await;
        }
        if seen.as_ref().is_ok_and(|before| before.observed.status == Status::Timeout) {
            seen = match self.take_a_part(&check).await {
                Ok(part) => part.map_or(seen, Ok),
                Err(error) => Err(error),
            };
        }
        match seen {
            Ok(before) => {
                // What `generate` is to write may well be what its tests miss.
                let missing = before.missing.as_ref().filter(|_| self.task.action != Action::Generate);
                self.unchecked =
                    missing.map(|missing| missing.message.clone()).or_else(|| before.error.clone());
                let passes = before.passes();
                self.before = Some(before);
                if self.unchecked.is_some() { Seen::Unchecked } else { Seen::Observed { passes } }
            }
            Err(error) => self.cannot_check(&error),
        }
    }

    pub(super) fn cannot_check(&mut self, error: &SandboxError) -> Seen {
        self.note(Note::Warning, format!("nothing can be verified: {error}"));
        self.unchecked = Some(error.to_string());
        self.no_sandbox = true;
        Seen::Unchecked
    }

    /// Runs the check on the proposal, as often as the verdict needs.
    pub(super) async fn judge(&mut self) -> Seen {
        self.phase(Phase::Testing);
        let (Some(check), Some(before)) = (self.check.clone(), self.before.clone()) else {
            return Seen::Unchecked;
        };
        let mut changes = std::mem::take(&mut self.pending);
        if let Some(blind) = &self.blind {
            changes.retain(|change| blind.files.iter().all(|test| test.path != change.path));
            changes.extend(blind.files.iter().cloned());
        }
        let mut judged = self.evidence(&check, &before, &changes).await;
        let lacking =
            |judged: &Judged| judged.verdict.level == Level::Unverified && judged.shown.missing.is_some();
        if judged.as_ref().is_ok_and(lacking) && self.install().await {
            let check = self.check.clone().unwrap_or(check);
            judged = match self.execute(&check, &[], Stage::Before).await {
                Ok(before) => {
                    let judged = self.evidence(&check, &before, &changes).await;
                    self.before = Some(before);
                    judged
                }
                Err(error) => Err(error),
            };
        }
        match judged {
            Ok(Judged { verdict, without, shown }) => {
                let level = verdict.level;
                if let Some(missing) = shown.missing.as_ref().filter(|_| level == Level::Unverified) {
                    self.note(Note::Warning, missing.message.clone());
                }
                let failure = shown.signature();
                let told = Box::new(verdict.clone());
                (self.emit)(Kind::Judged { verdict: told, diff: report::shown_diff(&changes) });
                self.attempts.push(Attempt { changes, verdict, without, shown });
                Seen::Judged { level, failure }
            }
            Err(error) => {
                self.pending = changes;
                self.cannot_check(&error)
            }
        }
    }

    /// The proposal is judged by tests and runner settings it did not write: what it changed of them is put back
    /// first. Only then is it run as a whole.
    async fn evidence(
        &mut self,
        check: &Check,
        before: &Observation,
        changes: &[FileChange],
    ) -> Result<Judged, SandboxError> {
        let check = &check.of(self.snapshot(), changes);
        let check::Apart { judged: free, judging: protected } = check.apart(changes);
        let after = match self.first_look(check, before, &free).await? {
            Some(red) => red,
            None if free.is_empty() => before.clone(),
            None => self.execute(check, &free, Stage::After).await?,
        };
        let stands = after.passes() || free.is_empty() || !before.passes();
        let own = if !protected.is_empty() && stands {
            Some(self.execute(check, changes, Stage::After).await?)
        } else {
            None
        };
        let added: Vec<_> = protected
            .into_iter()
            .filter(|change| change.before.is_none() || !check.protects(&change.path))
            .collect();
        let bare = match &self.blind {
            Some(blind) if blind.files.len() == added.len() => Some(blind.bare.clone()),
            _ if own.as_ref().is_some_and(Observation::passes) && !added.is_empty() => {
                Some(self.execute(check, &added, Stage::Before).await?)
            }
            _ => None,
        };
        let again = if own.as_ref().unwrap_or(&after).passes() {
            let decided_by = if own.is_some() { changes } else { &free };
            Some(self.execute(check, decided_by, Stage::After).await?)
        } else {
            None
        };
        let tests = again.as_ref().map(|_| check.tests_of(self.snapshot())).unwrap_or_default();
        let evidence = check::Evidence {
            check,
            before,
            bare: bare.as_ref(),
            after: &after,
            own: own.as_ref(),
            again: again.as_ref(),
            changes,
            tests: &tests,
            rounds: self.run.attempt(),
            limits: self.ports.sandbox.limits(),
        };
        let verdict = check::judge(&evidence);
        let only_blind = self.blind.as_ref().is_some_and(|blind| blind.files.len() == added.len());
        let without = (only_blind && verdict.level == Level::Failing).then(|| {
            let own = check::judge(&check::Evidence {
                bare: None,
                own: None,
                again: None,
                changes: &free,
                ..evidence
            });
            Verdict {
                reason: format!("{}; tests written for it fail: {}", own.reason, verdict.reason),
                ..own
            }
        });
        let without = without.filter(|verdict| verdict.level > Level::Failing);
        let shown = if after.passes() || free.is_empty() { own.unwrap_or(after) } else { after };
        Ok(Judged { verdict, without, shown })
    }

    /// Where the suite takes long, the run of the tests that use what changed, if that shows a failure already.
    async fn first_look(
        &mut self,
        check: &Check,
        before: &Observation,
        changes: &[FileChange],
    ) -> Result<Option<Observation>, SandboxError> {
        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        if before.duration_ms < SLOW.as_millis() as u64 || paths.is_empty() {
            return Ok(None);
        }
        let Some(part) = check.affected(self.snapshot(), &paths, Some(before)) else { return Ok(None) };
        let seen = self.execute(&part, changes, Stage::After).await?;
        Ok(Some(seen).filter(Observation::fails))
    }

    /// Where the whole suite does not come to its end, the tests that use what the task is about are the check.
    async fn take_a_part(&mut self, check: &Check) -> Result<Option<Observation>, SandboxError> {
        let target = self.task.target.as_ref().map(|target| target.path.as_str());
        let changed: Vec<&str> =
            self.pending.iter().map(|change| change.path.as_str()).chain(target).collect();
        let Some(part) = check.affected(self.snapshot(), &changed, None) else { return Ok(None) };
        let seen = self.execute(&part, &[], Stage::Before).await?;
        if seen.observed.status == Status::Timeout {
            return Ok(None);
        }
        self.note(Note::Warning, format!("the whole suite takes too long; `{}` decides", part.command));
        self.check = Some(part);
        Ok(Some(seen))
    }

    /// Runs the check on the snapshot with `changes` on top.
    pub(super) async fn execute(
        &mut self,
        check: &Check,
        changes: &[FileChange],
        stage: Stage,
    ) -> Result<Observation, SandboxError> {
        let mut job = check.job(&self.task.id, self.with(changes));
        job.image.clone_from(&self.image);
        let outcome = self.ports.sandbox.run(job).await?;
        if let Some(example) = outcome.left_out.first().filter(|_| stage == Stage::Before) {
            let many = outcome.left_out.len();
            self.note(Note::Warning, format!("{many} files are left out of the sandbox, e.g. {example}"));
        }
        self.program_time += Duration::from_millis(outcome.duration_ms);
        let observation = check.observe(&outcome);
        (self.emit)(Kind::Ran {
            stage,
            status: outcome.status,
            exit_code: outcome.exit_code,
            tests: observation.observed.tests,
            measured: Box::new(measured(&check.command, &outcome)),
        });
        Ok(observation)
    }
}

/// What is kept of a run for people; the end of what it printed says why it failed.
fn measured(command: &str, outcome: &Outcome) -> Measured {
    let printed = [outcome.stdout.trim_end(), outcome.stderr.trim_end()];
    let output = printed.into_iter().filter(|text| !text.is_empty()).map(|text| check::tail(text, SHOWN));
    Measured {
        command: command.to_owned(),
        duration_ms: outcome.duration_ms,
        cpu_ms: outcome.cpu_ms,
        peak_memory_bytes: outcome.peak_memory_bytes,
        output: output.collect::<Vec<_>>().join("\n"),
    }
}
