//! A proposal, from the diff over the user's permission to the client's buffers.

use super::Turn;
use crate::agent::patch::FileChange;
use crate::agent::task::{Report, Stop, Task, read_only};
use crate::journal::{Claim, Decision, Journal};
use crate::verdict::Level;
use crate::workspace::{Documents, is_read_only, read_file};
use agent_client_protocol::v1::schema::{
    Diff, SessionUpdate, ToolCall, ToolCallContent, ToolCallId, ToolCallLocation, ToolCallStatus,
    ToolCallUpdate, ToolCallUpdateFields, ToolKind, WriteTextFileRequest,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const CALL: &str = "proposal";
/// How often files that keep changing are looked at.
const TRIES: u32 = 4;
const SETTLING: Duration = Duration::from_millis(100);

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
    pub(super) async fn offer(&self, task: &Task, mut report: Report, journal: &Journal) {
        let changes = changes(&report);
        self.show(&changes);
        let call = ToolCallUpdate::new(CALL, ToolCallUpdateFields::new());
        let refused = |why: &str| Ended { decision: None, written: 0, why: Some(why.to_owned()) };
        let mut claim = None;
        let ended = if let Some(stop) = &report.stop {
            refused(&stop.to_string())
        } else if report.level() == Some(Level::Failing) {
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
            self.apply(task, &mut report, journal, &mut claim).await
        };
        let status = if ended.why.is_none() { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        let fields = ToolCallUpdateFields::new().status(status);
        self.tell(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(CALL, fields)));
        match &ended.why {
            None => self.say("\n\nApplied."),
            Some(why) => self.say(&format!("\n\nNot applied: {why}.")),
        }
        if let Some(decision) = ended.decision {
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

    /// All files or none. Where one has changed elsewhere, the edits are carried over and checked again first. The
    /// `claim` is to be kept until it is written down that the edits are there.
    async fn apply(
        &self,
        task: &Task,
        report: &mut Report,
        journal: &Journal,
        claim: &mut Option<Claim>,
    ) -> Ended {
        let refused = |decision, why: String| Ended { decision, written: 0, why: Some(why) };
        for _ in 0..TRIES {
            *claim = match journal.claim(&self.root).await {
                Ok(turn) => Some(turn),
                Err(why) => return refused(None, why),
            };
            if let Some(why) = journal.overtaken(&self.root, report).await {
                return refused(Some(Decision::Stale), format!("{why}; ask again"));
            }
            let (mut documents, mut same) = (Documents::default(), true);
            for change in changes(report) {
                if is_read_only(&self.root.join(&change.path)) {
                    return refused(None, read_only(&change.path));
                }
                let text = self.present(change).await;
                same &= text == change.before;
                if let Some(text) = text {
                    self.put(&mut documents, &change.path, &text);
                }
            }
            if same {
                return self.write(&changes(report)).await;
            }
            *claim = None;
            if let Err(why) = journal.decided(report, Decision::Rebased).await {
                self.think(&format!("Warning: not written down: {why}\n"));
            }
            let seen = report.level().unwrap_or(Level::Unverified);
            let task = Task { given: Some(Arc::new(report.clone())), ..task.clone() };
            *report = Box::pin(self.run(task, documents)).await.0;
            if !report.is_as_good(seen) {
                let stale = matches!(report.stop, Some(Stop::Stale(_))).then_some(Decision::Stale);
                return refused(stale, report.summary());
            }
        }
        refused(Some(Decision::Stale), "the files keep changing; ask again".into())
    }

    async fn write(&self, changes: &[&FileChange]) -> Ended {
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
            let failed = match answer {
                Err(error) => format!("the client refused {}: {}", change.path, error.message),
                Ok(_) if self.is_as_before(change).await => {
                    format!("the client says that it wrote {}, and it did not", change.path)
                }
                Ok(_) => continue,
            };
            let names: Vec<&str> = changes[..written].iter().map(|change| change.path.as_str()).collect();
            let before = match names.as_slice() {
                [] => String::new(),
                names => format!("; written before it: {}", names.join(", ")),
            };
            let why = Some(failed + &before);
            return Ended { decision: (written > 0).then_some(Decision::Applied), written, why };
        }
        Ended { decision: Some(Decision::Applied), written: changes.len(), why: None }
    }

    /// Whether a file has not changed although the client wrote it. What it made of it may be formatted otherwise.
    async fn is_as_before(&self, change: &FileChange) -> bool {
        for _ in 0..TRIES {
            if self.present(change).await != change.before {
                return false;
            }
            // Its buffers, or the disk, may show it a little later than it answers.
            tokio::time::sleep(SETTLING).await;
        }
        true
    }

    /// A file's text now: the client's buffer, else the disk's.
    async fn present(&self, change: &FileChange) -> Option<String> {
        let path: PathBuf = self.root.join(&change.path);
        match self.buffer(&path).await {
            // A client may give an empty text for a file that does not exist.
            Some(text) if text.is_empty() && change.before.is_none() => None,
            Some(text) => Some(text),
            None => {
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.ok()?.ok()?.and_then(|bytes| String::from_utf8(bytes).ok())
            }
        }
    }
}

fn changes(report: &Report) -> Vec<&FileChange> {
    report.proposal.changes.iter().map(|change| &change.file).collect()
}
