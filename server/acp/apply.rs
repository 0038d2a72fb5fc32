//! A proposal, from the diff over the user's permission to the client's buffers.

use super::Turn;
use crate::agent::patch::FileChange;
use crate::agent::task::Report;
use crate::journal::{Decision, Journal};
use crate::verdict::Level;
use agent_client_protocol::v1::schema::{
    Diff, SessionUpdate, ToolCall, ToolCallContent, ToolCallId, ToolCallLocation, ToolCallStatus,
    ToolCallUpdate, ToolCallUpdateFields, ToolKind, WriteTextFileRequest,
};
use std::path::PathBuf;

const CALL: &str = "proposal";

/// What became of a proposal.
struct Ended {
    /// `None`: nothing was decided.
    decision: Option<Decision>,
    /// How many files were written, in the order of the changes.
    written: usize,
    /// Why not all was applied.
    why: Option<String>,
}

impl Turn {
    /// Shows the edits, asks, and has the client write them. What became of them is written down.
    pub(super) async fn offer(&self, report: &Report, journal: &Journal) {
        let changes: Vec<&FileChange> = report.proposal.changes.iter().map(|change| &change.file).collect();
        self.show(&changes);
        let failing = report.verdict.as_ref().is_some_and(|verdict| verdict.level == Level::Failing);
        let call = ToolCallUpdate::new(CALL, ToolCallUpdateFields::new());
        let refused = |why: &str| Ended { decision: None, written: 0, why: Some(why.to_owned()) };
        let mut claim = None;
        let ended = if failing {
            refused("the proposal fails its check, so it is not offered")
        } else if !self.front.client().fs.write_text_file {
            refused("this client takes no edits from an agent; the diff is above")
        } else if let Some(gone) = changes.iter().find(|change| change.after.is_none()) {
            refused(&format!(
                "an agent can delete no files here; delete {} and apply the rest yourself",
                gone.path
            ))
        } else if !self.may(call, "Apply").await {
            let decision = (!self.cancel.is_cancelled()).then_some(Decision::Discarded);
            Ended { decision, ..refused("discarded") }
        } else {
            match journal.claim(&self.root).await {
                Ok(turn) => {
                    // Kept until it is written down that the edits are there.
                    claim = Some(turn);
                    self.write(&changes, report, journal).await
                }
                Err(why) => refused(&why),
            }
        };
        let status = if ended.why.is_none() { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        let fields = ToolCallUpdateFields::new().status(status);
        self.tell(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(CALL, fields)));
        match &ended.why {
            None => self.say("\n\nApplied."),
            Some(why) => self.say(&format!("\n\nNot applied: {why}.")),
        }
        if let Some(decision) = ended.decision {
            let mut report = report.clone();
            if decision == Decision::Applied {
                report.edits.truncate(ended.written);
            }
            if let Err(why) = journal.decided(&report, decision).await {
                self.think(&format!("Warning: not written down: {why}\n"));
            }
        }
        drop(claim);
    }

    fn show(&self, changes: &[&FileChange]) {
        let path = |change: &FileChange| self.root.join(&change.path);
        let diff = |change: &&FileChange| {
            let after = change.after.clone().unwrap_or_default();
            ToolCallContent::Diff(Diff::new(path(change), after).old_text(change.before.clone()))
        };
        let names: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        let call = ToolCall::new(ToolCallId::new(CALL), format!("Edit {}", names.join(", ")))
            .kind(ToolKind::Edit)
            .status(ToolCallStatus::Pending)
            .content(changes.iter().map(diff).collect())
            .locations(changes.iter().map(|change| ToolCallLocation::new(path(change))).collect());
        self.tell(SessionUpdate::ToolCall(call));
    }

    /// All files or, where one is no longer what the edits were made for, none.
    async fn write(&self, changes: &[&FileChange], report: &Report, journal: &Journal) -> Ended {
        let stale = |why: String| Ended { decision: Some(Decision::Stale), written: 0, why: Some(why) };
        if let Some(why) = journal.overtaken(&self.root, report).await {
            return stale(format!("{why}; ask again"));
        }
        for change in changes {
            if self.present(change).await != change.before {
                return stale(format!("{} has changed since; ask again", change.path));
            }
        }
        for (written, change) in changes.iter().enumerate() {
            let content = change.after.clone().unwrap_or_default();
            let path = self.root.join(&change.path);
            let request = WriteTextFileRequest::new(self.session.clone(), path, content);
            let answer = tokio::select! {
                answer = self.cx.send_request(request).block_task() => answer,
                () = self.cancel.cancelled() => {
                    let why = Some(format!("cancelled while the client wrote {}; look whether it did", change.path));
                    return Ended { decision: Some(Decision::Applied), written: written + 1, why };
                }
            };
            if let Err(error) = answer {
                let names: Vec<&str> = changes[..written].iter().map(|change| change.path.as_str()).collect();
                let before = match names.as_slice() {
                    [] => String::new(),
                    names => format!("; written before it: {}", names.join(", ")),
                };
                let why = Some(format!("the client refused {}: {}{before}", change.path, error.message));
                return Ended { decision: (written > 0).then_some(Decision::Applied), written, why };
            }
        }
        Ended { decision: Some(Decision::Applied), written: changes.len(), why: None }
    }

    /// A file's text now: the client's buffer, else the disk's.
    async fn present(&self, change: &FileChange) -> Option<String> {
        let path: PathBuf = self.root.join(&change.path);
        match self.buffer(&path).await {
            // A client may give an empty text for a file that does not exist.
            Some(text) if text.is_empty() && change.before.is_none() => None,
            Some(text) => Some(text),
            None => tokio::fs::read(path).await.ok().and_then(|bytes| String::from_utf8(bytes).ok()),
        }
    }
}
