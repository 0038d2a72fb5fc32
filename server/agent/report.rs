//! How a task's end becomes its report.

use super::check::{head, tail};
use super::pipeline::End;
use super::task::{Change, EditRecord, Proposal, Report, Round, Stop};
use super::{Attempt, Work, patch};
use crate::event::{Action, Kind, Phase, discreet};
use crate::model::redact::redact;
use crate::text;
use crate::verdict::{Level, Verdict};
use patch::FileChange;
use std::fmt::Write;

/// Bytes of each stream that the report of a run keeps: nobody reads more in an editor, and reports stay in memory.
const MAX_SHOWN: usize = 64 << 10;

/// A unified diff of all files.
pub(super) fn diff(changes: &[FileChange]) -> String {
    changes
        .iter()
        .map(|change| text::unified(&change.path, change.before.as_deref(), change.after.as_deref()))
        .collect()
}

impl Report {
    /// Hides what looks like a key in all but the edits, which must stay what they are.
    pub(super) fn hide_keys(&mut self) {
        for text in [&mut self.text, &mut self.error].into_iter().flatten() {
            *text = redact(text);
        }
        self.verdict.iter_mut().for_each(discreet::hide_in_verdict);
        discreet::hide_in(&mut self.findings);
        for round in &mut self.history {
            round.reason = redact(&round.reason);
            round.diff = redact(&round.diff);
        }
    }

    /// This report as what came next after an `earlier` one of the same task. Where the texts had not `moved`, all that
    /// was said of them holds.
    fn following(self, earlier: &Report, moved: bool) -> Self {
        let earlier = earlier.clone();
        if !moved && self.stop.is_none() {
            return Self { edits: self.edits, proposal: self.proposal, ..earlier };
        }
        let known = earlier.history.len() as u32;
        let checked = self.history.into_iter().map(|round| Round { attempt: known + round.attempt, ..round });
        Self {
            plan: earlier.plan,
            text: earlier.text,
            rounds: earlier.rounds,
            usage: earlier.usage,
            duration_ms: earlier.duration_ms + self.duration_ms,
            overhead_ms: earlier.overhead_ms + self.overhead_ms,
            history: earlier.history.into_iter().chain(checked).collect(),
            asked: earlier.asked,
            ..self
        }
    }

    /// The last event of the task.
    pub fn ended(&self) -> Kind {
        Kind::Ended {
            phase: self.phase,
            verdict: self.verdict.clone().map(Box::new),
            message: self.summary(),
            stop: self.stop.as_ref().map(Stop::about),
            quiet: false,
        }
    }

    /// One sentence for people.
    pub fn summary(&self) -> String {
        let files = match self.edits.len() {
            1 => self.edits[0].path.clone(),
            many => format!("{many} files"),
        };
        match (&self.error, &self.verdict) {
            (Some(error), _) => error.clone(),
            (None, Some(verdict)) if self.edits.is_empty() => {
                format!("{}: {}", verdict.level.name(), verdict.reason)
            }
            (None, Some(verdict)) => format!("{files} {}: {}", verdict.level.name(), verdict.reason),
            (None, None) => format!("{} done", self.action.name()),
        }
    }
}

impl Work<'_> {
    pub(super) fn report(mut self, ended: Result<End, Stop>) -> Report {
        self.settle(None);
        let (verdict, changes, stop) = self.outcome(ended);
        if let Some(text) = self.program_text() {
            self.text = Some(text);
        }
        let level = verdict.as_ref().map(|verdict| verdict.level);
        if level.is_some_and(|level| level <= Level::Failing)
            && let Some(snapshot) = &self.snapshot
        {
            let shown = best(&self.attempts[self.stands_from..])
                .map(|attempt| &attempt.shown)
                .or(self.before.as_ref());
            self.findings.extend(shown.map(|shown| shown.findings(snapshot)).unwrap_or_default());
        }
        let phase = match &stop {
            Some(Stop::Cancelled) => Phase::Cancelled,
            Some(_) => Phase::Failed,
            None if level == Some(Level::Failing) => Phase::Failed,
            None => Phase::Complete,
        };
        let elapsed = self.began.elapsed();
        let report = Report {
            task: self.task.id.clone(),
            action: self.task.action,
            phase,
            verdict,
            plan: self.plan,
            edits: changes.iter().map(record).collect(),
            findings: self.findings,
            text: self.text,
            rounds: self.run.attempt(),
            usage: self.spent,
            duration_ms: elapsed.as_millis() as u64,
            overhead_ms: elapsed.saturating_sub(self.model_time + self.program_time).as_millis() as u64,
            error: stop.as_ref().map(ToString::to_string),
            history: self.attempts.iter().enumerate().map(|(index, attempt)| round(index, attempt)).collect(),
            asked: self.asked,
            proposal: Proposal {
                changes: changes
                    .into_iter()
                    .map(|file| Change {
                        version: self.snapshot.as_ref().and_then(|all| all.version(&file.path)),
                        confirm: patch::needs_confirmation(&file.path),
                        file,
                    })
                    .collect(),
            },
            stop,
        };
        match &self.task.given {
            Some(earlier) => report.following(earlier, self.moved),
            None => report,
        }
    }

    /// The best attempt on the texts as they are: its verdict and its edits.
    pub(super) fn chosen(&self) -> Option<(Verdict, Vec<FileChange>)> {
        let attempt = best(&self.attempts[self.stands_from..])?;
        let mut changes = attempt.changes.clone();
        if let (Some(_), Some(blind)) = (&attempt.without, &self.blind) {
            changes.retain(|change| blind.files.iter().all(|test| test.path != change.path));
        }
        let mut verdict = attempt.stands().clone();
        verdict.rounds = self.run.attempt();
        Some((verdict, changes))
    }

    /// The verdict, the edits that stand, and why the task ended early.
    fn outcome(&mut self, ended: Result<End, Stop>) -> (Option<Verdict>, Vec<FileChange>, Option<Stop>) {
        let limits = self.ports.sandbox.limits();
        let asks_for_edits =
            matches!(self.task.action, Action::Generate | Action::Fix | Action::Tests | Action::Run);
        let unverified = |reason: &str| asks_for_edits.then(|| Verdict::unverified(reason, limits.clone()));
        match ended {
            // Edits that do not fit any more are shown all the same: they were paid for.
            Err(stop) => (unverified(&stop.to_string()), std::mem::take(&mut self.carried), Some(stop)),
            Ok(End::NoPlan(why)) => (
                None,
                Vec::new(),
                Some(Stop::Model(format!(
                    "the architect gave no usable plan: {why}; try again or another model"
                ))),
            ),
            Ok(End::Answered) if self.task.action == Action::Run => {
                (Some(self.stands(limits.clone())), Vec::new(), None)
            }
            Ok(End::Answered) => (None, Vec::new(), None),
            Ok(End::NothingToDo) => (Some(self.stands(limits.clone())), Vec::new(), None),
            Ok(End::NoEdit(why)) if self.attempts.is_empty() => {
                let mut verdict = self.stands(limits.clone());
                verdict.level = verdict.level.min(Level::Failing);
                verdict.reason = format!("the model gave no usable edit: {why}");
                (Some(verdict), Vec::new(), None)
            }
            Ok(End::NoEdit(_) | End::Proposed) => match self.chosen() {
                Some((verdict, changes)) => (Some(verdict), changes, None),
                None => {
                    let mut verdict = self.stands(limits);
                    verdict.rounds = self.run.attempt();
                    (Some(verdict), std::mem::take(&mut self.pending), None)
                }
            },
        }
    }

    /// The verdict on the text as it is, with no edit.
    fn stands(&self, limits: crate::sandbox::Limits) -> Verdict {
        let reason = self.unchecked.clone().unwrap_or_else(|| "nothing was checked".into());
        let mut verdict = Verdict {
            check: self.check.as_ref().map(|check| check.command.clone()),
            check_source: self.check.as_ref().map(|check| check.source),
            before: self.before.as_ref().map(|before| before.observed.clone()),
            ..Verdict::unverified(reason, limits)
        };
        if let (Some(before), None) = (&self.before, &self.unchecked) {
            let counted = before.counted() > 0;
            (verdict.level, verdict.reason) = match (before.passes(), counted) {
                (true, true) => (Level::Passing, "the check passes as it is; nothing was changed".into()),
                (true, false) => (Level::Runs, "it runs as it is; nothing was changed".into()),
                (false, _) => (Level::Failing, "the check fails; nothing was changed".into()),
            };
        }
        verdict
    }

    /// What a run printed, for the `run` action.
    fn program_text(&self) -> Option<String> {
        let before = self.before.as_ref().filter(|_| self.task.action == Action::Run)?;
        let mut text = String::new();
        for (name, output) in [("Output", &before.stdout), ("Errors", &before.stderr)] {
            if !output.is_empty() {
                let shown = tail(output.trim_end(), MAX_SHOWN);
                let cut = if shown.len() < output.trim_end().len() { " (the end)" } else { "" };
                let output = shown.replace("```", "'''");
                let _ = write!(text, "## {name}{cut}\n\n```text\n{output}\n```\n\n");
            }
        }
        let ended =
            before.exit_code.map_or_else(|| "no exit code".into(), |code| format!("exit code {code}"));
        Some(format!("{text}{ended}\n"))
    }
}

/// The strongest attempt; of equals the one with the fewest failures, then the latest.
fn best(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts
        .iter()
        .enumerate()
        .max_by_key(|(index, attempt)| {
            let failed = attempt
                .stands()
                .after
                .as_ref()
                .and_then(|after| after.tests)
                .map_or(u32::MAX, |tests| tests.failed);
            (attempt.stands().level, std::cmp::Reverse(failed), *index)
        })
        .map(|(_, attempt)| attempt)
}

fn record(change: &FileChange) -> EditRecord {
    let hash = |text: &Option<String>| text.as_ref().map(|text| text::sha256(text.as_bytes()));
    EditRecord {
        path: change.path.clone(),
        before_sha256: hash(&change.before),
        after_sha256: hash(&change.after),
        diff: diff(std::slice::from_ref(change)),
        confirm: patch::needs_confirmation(&change.path),
    }
}

/// The first lines of a diff, no more than are kept of a run's output.
pub(super) fn shown_diff(changes: &[FileChange]) -> String {
    let diff = diff(changes);
    if diff.len() <= MAX_SHOWN {
        return diff;
    }
    let lines = head(&diff, MAX_SHOWN).rfind('\n').map_or(0, |at| at + 1);
    format!("{}… cut here\n", &diff[..lines])
}

fn round(index: usize, attempt: &Attempt) -> Round {
    Round {
        attempt: index as u32 + 1,
        level: attempt.verdict.level,
        reason: attempt.verdict.reason.clone(),
        files: attempt.changes.iter().map(|change| change.path.clone()).collect(),
        diff: shown_diff(&attempt.changes),
    }
}
