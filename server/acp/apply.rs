//! A proposal, from the diff over the user's permission to the client's buffers.

use super::Turn;
use crate::agent::patch::FileChange;
use crate::agent::task::Report;
use crate::verdict::Level;
use agent_client_protocol::v1::schema::{
    Diff, SessionUpdate, ToolCall, ToolCallContent, ToolCallId, ToolCallLocation, ToolCallStatus,
    ToolCallUpdate, ToolCallUpdateFields, ToolKind, WriteTextFileRequest,
};
use std::path::PathBuf;

const CALL: &str = "proposal";

impl Turn {
    /// Shows the edits, asks, and has the client write them.
    pub(super) async fn offer(&self, report: &Report) {
        let changes: Vec<&FileChange> = report.proposal.changes.iter().map(|change| &change.file).collect();
        self.show(&changes);
        let failing = report.verdict.as_ref().is_some_and(|verdict| verdict.level == Level::Failing);
        let call = ToolCallUpdate::new(CALL, ToolCallUpdateFields::new());
        let applied = if failing {
            Err("the proposal fails its check, so it is not offered".to_owned())
        } else if !self.front.client().fs.write_text_file {
            Err("this client takes no edits from an agent; the diff is above".to_owned())
        } else if let Some(gone) = changes.iter().find(|change| change.after.is_none()) {
            Err(format!(
                "an agent can delete no files here; delete {} and apply the rest yourself",
                gone.path
            ))
        } else if !self.may(call, "Apply").await {
            Err("discarded".to_owned())
        } else {
            self.write(&changes).await
        };
        let status = if applied.is_ok() { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        let fields = ToolCallUpdateFields::new().status(status);
        self.tell(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(CALL, fields)));
        match applied {
            Ok(()) => self.say("\n\nApplied."),
            Err(why) => self.say(&format!("\n\nNot applied: {why}.")),
        }
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
    async fn write(&self, changes: &[&FileChange]) -> Result<(), String> {
        for change in changes {
            if self.present(change).await != change.before {
                return Err(format!("{} has changed since; ask again", change.path));
            }
        }
        let mut written: Vec<&str> = Vec::new();
        for change in changes {
            let content = change.after.clone().unwrap_or_default();
            let path = self.root.join(&change.path);
            let request = WriteTextFileRequest::new(self.session.clone(), path, content);
            if let Err(error) = self.cx.send_request(request).block_task().await {
                let before = match written.as_slice() {
                    [] => String::new(),
                    names => format!("; written before it: {}", names.join(", ")),
                };
                return Err(format!("the client refused {}: {}{before}", change.path, error.message));
            }
            written.push(&change.path);
        }
        Ok(())
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
