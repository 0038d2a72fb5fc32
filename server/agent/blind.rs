//! Tests of a proposal by somebody who has not seen it, for code and bugs that no test of the project covers.
//!
//! They are kept when they can fail: a fix is held against the text before it, new code against itself with its
//! bodies emptied. From then on they stand beside every proposal of the task, which cannot change them, and are
//! offered with it.

use super::check::{self, Observation, Runner};
use super::patch::FileChange;
use super::pipeline::Seen;
use super::task::Stop;
use super::{Work, role};
use crate::event::{Action, Note, Stage};
use crate::model::Agent;
use crate::sandbox::SandboxError;
use crate::syntax;
use crate::verdict::CheckSource;

/// What was written, and the run that shows it can fail.
pub(super) struct Tests {
    pub(super) files: Vec<FileChange>,
    pub(super) bare: Observation,
}

impl Work<'_> {
    /// Whether there is a test, or can be none, that shows what a proposal is worth.
    pub(super) fn is_tested(&self, changes: &[FileChange]) -> bool {
        let Some(check) = &self.check else { return self.no_sandbox };
        let brings = changes.iter().any(|change| change.after.is_some() && check::is_test(&change.path));
        let fails = check.runner != Runner::File && self.before.as_ref().is_some_and(|seen| !seen.passes());
        self.no_sandbox || brings || fails || check.runner == Runner::Command
    }

    /// Asks for tests; the question does not show the proposal.
    pub(super) async fn test(&mut self) -> Result<Seen, Stop> {
        // Tests that nothing can run are not worth a call.
        if let Err(error @ SandboxError::Unavailable { .. }) = self.ports.sandbox.probe().await {
            return Ok(self.cannot_check(&error));
        }
        self.note(Note::Info, "Coder writing tests without sight of the proposal...".into());
        match self.write_tests().await {
            Ok(anew) => Ok(Seen::Tested { anew }),
            // The proposal stands without them, unless the user has had enough.
            Err(Stop::Key(why) | Stop::Model(why) | Stop::Budget(why)) => {
                self.note(Note::Warning, format!("no tests were written for it: {why}"));
                Ok(Seen::Tested { anew: false })
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whether the tests that were written are the check from now on.
    async fn write_tests(&mut self) -> Result<bool, Stop> {
        let reply = self.ask(Agent::Coder, |brief: &role::Brief| brief.tests(), None).await?;
        let mut files = self.read_edits(&reply).await.map_err(Stop::Model)?;
        // Nothing but new tests: what exists is not theirs to change.
        files.retain(|file| file.before.is_none() && check::is_test(&file.path));
        if files.is_empty() {
            return Err(Stop::Model("the answer has no new test file".into()));
        }
        let target = self.task.target.as_ref().map(|target| target.path.clone());
        let target = target.or_else(|| self.pending.first().map(|change| change.path.clone()));
        let proposed = self.with(&[&self.pending[..], &files].concat());
        let mut found = check::choose(&proposed, None, None, target.as_deref()).map_err(Stop::Model)?;
        let (check, anew) = match &self.check {
            Some(check) if check.runner.counts() => (check.clone(), false),
            _ if found.source != CheckSource::Detected => {
                return Err(Stop::Model("the sandbox has nothing that runs such tests".into()));
            }
            _ => {
                found.source = CheckSource::Generated;
                (found, true)
            }
        };
        let empty = if self.task.action == Action::Fix { Vec::new() } else { self.emptied() };
        let bare = self.execute(&check, &[empty, files.clone()].concat(), Stage::Before).await;
        let bare = bare.map_err(|error| Stop::Model(error.to_string()))?;
        if !bare.fails() {
            return Err(Stop::Model("those that came cannot fail".into()));
        }
        self.blind = Some(Tests { files, bare });
        if anew {
            (self.check, self.before, self.unchecked) = (Some(check), None, None);
            self.look_for_dependencies().await;
        }
        Ok(anew)
    }

    /// The proposal with nothing in the bodies that it brings.
    fn emptied(&self) -> Vec<FileChange> {
        let mut changes = self.pending.clone();
        for change in &mut changes {
            let before = change.before.as_deref().unwrap_or_default();
            let emptied =
                change.after.as_deref().and_then(|after| syntax::emptied(&change.path, before, after));
            change.after = emptied.or(change.after.take());
        }
        changes
    }
}
