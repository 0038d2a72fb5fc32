//! What a finished task brings to the user, and how its edits come into the buffers (CONTRACT §3).
//!
//! An edit is sent only when every text is still the one it was made for, and counts as applied only when the
//! buffers show it: clients answer `applied: true` for edits they have dropped.

use super::session::{Offer, Session, document_key};
use super::to_proto::{self, Placed};
use super::{DOUBTED, MessageType, Server, host};
use crate::agent::patch::FileChange;
use crate::agent::task::{Report, State, Stop, Task};
use crate::config::quiet::is_within;
use crate::event::{Action, Phase};
use crate::journal::{Decision, Journal};
use crate::text;
use crate::verdict::Level;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tower_lsp::lsp_types::{
    ApplyWorkspaceEditParams, MessageActionItem, ShowMessageRequestParams, WorkspaceEdit, request,
};

/// How long a client has to answer `workspace/applyEdit`, and then to show the new text.
const APPLY_ANSWER: Duration = Duration::from_secs(60);
const APPLY_SHOWN: Duration = Duration::from_secs(5);

/// Why a proposal was not applied.
enum Refusal {
    /// A text is no longer the one the edits were made for.
    Stale(String),
    Failed(String),
}

/// `opendevagent/review`.
enum Review {}

impl request::Request for Review {
    type Params = Value;
    type Result = Value;
    const METHOD: &'static str = "opendevagent/review";
}

impl Server {
    /// Tells the user how a task ended, by what the client can do.
    pub(super) async fn deliver(&self, id: &str) {
        let Some((task, report)) = self.ended(id) else { return };
        if report.proposal.changes.is_empty() {
            // The plan behind a proposal is shown on request alone.
            if report.action == Action::Plan && self.show_plan(id).await {
                return;
            }
            if report.text.is_some() {
                self.show_text(id, &format!("{}.md", report.action.name())).await;
            }
            self.tell_end(&task, &report);
            return;
        }
        let editor = self.session().editor.clone();
        let level = report.verdict.as_ref().map(|verdict| verdict.level);
        if level == Some(Level::Failing) {
            if editor.ends || self.is_quiet(&task) {
                return;
            }
            self.warn(format!("{}: {}", task.title(), report.summary()));
        } else if editor.review {
            self.ask_for_review(id, &task, &report).await;
        } else if editor.message_request && !self.is_quiet(&task) {
            self.ask_by_message(id, &task, &report).await;
        }
    }

    /// A task without edits: the user hears of it when something went wrong or nothing else was shown.
    fn tell_end(&self, task: &Task, report: &Report) {
        match (report.phase, &report.stop) {
            _ if self.session().editor.ends || self.is_quiet(task) => {}
            (_, Some(Stop::Cancelled)) => {}
            (Phase::Failed, _) => self.show(MessageType::ERROR, report.summary()),
            _ if report.text.is_none() => self.show(MessageType::INFO, report.summary()),
            _ => {}
        }
    }

    /// Whether the user wants no message of an end now. What a result is delivered by (a document, a review, the code
    /// action) is none.
    pub(super) fn is_quiet(&self, task: &Task) -> bool {
        let hours = self.load(Some(&task.root)).settings.notify.quiet_hours;
        hours.is_some_and(|hours| is_within(&hours, host::minute_of_day()) == Some(true))
    }

    async fn ask_for_review(&self, id: &str, task: &Task, report: &Report) {
        let answer = self.client.send_request::<Review>(self.proposal(task, report)).await;
        match answer.as_ref().ok().and_then(|answer| answer.get("decision")?.as_str()) {
            Some("apply") => self.apply(id).await,
            Some("discard") => self.discard(id),
            // Later, no answer, or one we do not know: the code action stands.
            _ => {}
        }
    }

    /// What a client needs to show a proposal.
    pub(super) fn proposal(&self, task: &Task, report: &Report) -> Value {
        let files: Vec<Value> = {
            let session = self.session();
            let file = |change: &FileChange| {
                let uri = to_proto::uri(&session.documents, &document_key(&task.root, &change.path))?;
                let (before, after) = (change.before.as_deref(), change.after.as_deref());
                let diff = text::unified(&change.path, before, after);
                Some(json!({"uri": uri, "before": before, "after": after, "diff": diff}))
            };
            report.proposal.changes.iter().filter_map(|change| file(&change.file)).collect()
        };
        json!({"task": task.id, "title": task.title(), "verdict": report.verdict, "files": files})
    }

    async fn ask_by_message(&self, id: &str, task: &Task, report: &Report) {
        let message = format!("{}: {}", task.title(), report.summary());
        match self.ask(MessageType::INFO, message, &["Apply", "Show diff", "Discard"]).await.as_deref() {
            Some("Apply") => self.apply(id).await,
            // The code action stands: asking again at once would cover the diff in Neovim.
            Some("Show diff") => drop(self.show_diff(id).await),
            Some("Discard") => self.discard(id),
            _ => {}
        }
    }

    /// `window/showMessageRequest`; the title that was chosen.
    pub(super) async fn ask(&self, typ: MessageType, message: String, titles: &[&str]) -> Option<String> {
        let item =
            |title: &&str| MessageActionItem { title: (*title).into(), properties: HashMap::default() };
        let actions = Some(titles.iter().map(item).collect());
        let params = ShowMessageRequestParams { typ, message, actions };
        let answer = self.client.send_request::<request::ShowMessageRequest>(params).await;
        answer.ok().flatten().map(|item| item.title)
    }

    pub(super) fn discard(&self, id: &str) {
        if self.move_offer(id, Offer::Standing, Offer::Discarded) {
            self.decided(id, Decision::Discarded);
        }
        self.clear_findings(self.session(), id);
        self.note(id, "Discarded".into());
        self.step_is(id, State::Open);
    }

    /// Has the journal write down what became of a proposal.
    fn decided(&self, id: &str, decision: Decision) {
        let Some((task, report)) = self.ended(id) else { return };
        let Ok(workshop) = self.workshop(&task.root) else { return };
        let server = self.clone();
        self.work.spawn(async move {
            server.write_down(&workshop.connected.journal, &report, decision).await;
        });
    }

    async fn write_down(&self, journal: &Journal, report: &Report, decision: Decision) {
        if let Err(why) = journal.decided(report, decision).await {
            self.note(&report.task, format!("not written down: {why}"));
        }
    }

    /// Applies a standing proposal, or tells why not. A second call meanwhile does nothing.
    pub(super) async fn apply(&self, id: &str) {
        let Some((task, report)) = self.ended(id) else { return };
        if !self.move_offer(id, Offer::Standing, Offer::Applying) {
            return;
        }
        match self.try_apply(&task, &report).await {
            Ok(message) => {
                self.move_offer(id, Offer::Applying, Offer::Applied);
                let mut session = self.session();
                if report.verdict.as_ref().is_some_and(|verdict| verdict.level > Level::Failing)
                    && let Some(key) = session.tasks.get(id).map(|entry| entry.key.clone())
                {
                    session.failing.remove(&key);
                }
                self.clear_findings(session, id);
                self.note(id, message);
                self.step_is(id, State::Done);
            }
            Err(Refusal::Stale(why)) => {
                self.move_offer(id, Offer::Applying, Offer::Discarded);
                self.decided(id, Decision::Stale);
                self.note(id, format!("Not applied: {why}"));
                self.step_is(id, State::Open);
                self.offer_again(id, task, &why).await;
            }
            Err(Refusal::Failed(why)) => {
                self.move_offer(id, Offer::Applying, Offer::Standing);
                self.note(id, format!("Not applied: {why}"));
                self.show(MessageType::ERROR, format!("{}: {why}", task.title()));
            }
        }
    }

    async fn offer_again(&self, id: &str, task: Task, why: &str) {
        let message = format!("{}: nothing was applied, {why}", task.title());
        let (can_ask, key) = {
            let session = self.session();
            (session.editor.message_request, session.tasks.get(id).map(|entry| entry.key.clone()))
        };
        if !can_ask {
            self.warn(message);
            return;
        }
        let again = self.ask(MessageType::WARNING, message, &["Run again"]).await;
        if let (Some("Run again"), Some(key)) = (again.as_deref(), key) {
            self.begin(task.anew(), key, None);
        }
    }

    async fn try_apply(&self, task: &Task, report: &Report) -> Result<String, Refusal> {
        let editor = self.session().editor.clone();
        if !editor.apply_edit {
            return self.try_carried(task, report).await;
        }
        let workshop = self.workshop(&task.root).map_err(Refusal::Failed)?;
        let journal = &workshop.connected.journal;
        // Kept until it is written down that the edits are there.
        let _claim = journal.claim(&task.root).await.map_err(Refusal::Failed)?;
        if let Some(why) = journal.overtaken(&task.root, report).await {
            return Err(Refusal::Stale(why));
        }
        self.check_disk(task, report).await?;
        let files = self.place(task, report)?;
        for edit in to_proto::workspace_edits(&files, &editor) {
            self.send_edit(task, edit, &files).await?;
        }
        self.write_down(journal, report, Decision::Applied).await;
        self.prove(&files, report.verdict.as_ref());
        let kept: Vec<&str> = files
            .iter()
            .filter(|file| file.change.after.is_none() && !editor.delete_files)
            .map(|file| file.change.path.as_str())
            .collect();
        let unopened = files.iter().any(|file| file.version.is_none() && file.change.after.is_some());
        Ok(match (kept.as_slice(), unopened) {
            ([], false) => format!("Applied: {}", report.summary()),
            ([], true) => {
                format!("Applied: {}; save all files to keep the ones that were not open", report.summary())
            }
            (kept, _) => {
                format!("Applied, but the editor deletes no files for a server; delete {}", kept.join(", "))
            }
        })
    }

    /// Where the editor takes no edits from a server, the action may have brought them along.
    async fn try_carried(&self, task: &Task, report: &Report) -> Result<String, Refusal> {
        let files: Vec<Placed> = {
            let session = self.session();
            let changes = report.proposal.changes.iter();
            changes
                .filter_map(|change| Placed::of(&session.documents, &task.root, &change.file))
                .filter(|file| file.version.is_some() && file.change.after.is_some())
                .collect()
        };
        if files.len() == report.proposal.changes.len() {
            let all: Vec<&Placed> = files.iter().collect();
            if tokio::time::timeout(APPLY_SHOWN, self.until_shown(&all)).await.is_ok() {
                self.prove(&files, report.verdict.as_ref());
                return Ok(format!("Applied: {}", report.summary()));
            }
        }
        let path = self.show_diff(&report.task).await;
        let path = path.map_or_else(String::new, |path| format!(": {path}"));
        Err(Refusal::Failed(format!(
            "the editor takes no edits from a server; apply the patch yourself{path}"
        )))
    }

    /// Compares the files with what the edits were made for. Those that are open need not be saved, but nobody else may
    /// have written them since the task began.
    async fn check_disk(&self, task: &Task, report: &Report) -> Result<(), Refusal> {
        let (files, began) = {
            let session = self.session();
            let changes = report.proposal.changes.iter().map(|change| change.file.clone());
            let placed = changes.map(|change| {
                let path = task.root.join(&change.path);
                let open = session.documents.get(&path.to_string_lossy()).is_some();
                (path, change, open)
            });
            let began = session.tasks.get(&report.task).map(|entry| entry.began);
            (placed.collect::<Vec<_>>(), began)
        };
        let stale = tokio::task::spawn_blocking(move || {
            let is_stale = |(path, change, open): &(PathBuf, FileChange, bool)| {
                let before = change.before.as_deref();
                if *open { is_overwritten(path, before, began) } else { !is_on_disk(path, before) }
            };
            files.into_iter().find(is_stale)
        });
        match stale.await {
            Ok(None) => Ok(()),
            Ok(Some((_, change, _))) => {
                Err(Refusal::Stale(format!("{} has changed on disk since", change.path)))
            }
            Err(error) => Err(Refusal::Failed(format!("the files could not be compared: {error}"))),
        }
    }

    /// Finds each changed file in the client's world, and compares the open ones with what the edits were
    /// made for.
    fn place(&self, task: &Task, report: &Report) -> Result<Vec<Placed>, Refusal> {
        let session = self.session();
        let place = |change: &crate::agent::task::Change| {
            let path = &change.file.path;
            let key = document_key(&task.root, path);
            let document = session.documents.get(&key);
            if session.doubted.contains(&key) {
                return Err(Refusal::Stale(format!("{path} may be another text than yours: {DOUBTED}")));
            }
            let same_text = document.is_none_or(|document| {
                change
                    .file
                    .before
                    .as_deref()
                    .map_or(document.text.len_bytes() == 0, |before| document.text == before)
            });
            let same_version = document
                .is_none_or(|document| change.version.is_none_or(|version| version == document.version));
            if !same_text || !same_version {
                return Err(Refusal::Stale(format!("{path} has changed in the editor since")));
            }
            let no_uri = || Refusal::Failed(format!("{path} cannot be named to the editor"));
            Placed::of(&session.documents, &task.root, &change.file).ok_or_else(no_uri)
        };
        report.proposal.changes.iter().map(place).collect()
    }

    /// Sends one edit and waits until the open documents show it.
    async fn send_edit(&self, task: &Task, edit: WorkspaceEdit, files: &[Placed]) -> Result<(), Refusal> {
        let touched = touched(&edit);
        let open: Vec<&Placed> = files
            .iter()
            .filter(|file| file.version.is_some() && file.change.after.is_some())
            .filter(|file| touched.contains(&file.uri.as_str()))
            .collect();
        let params = ApplyWorkspaceEditParams {
            label: Some(format!("OpenDevAgent: {}", task.title())),
            edit: edit.clone(),
        };
        let answer = self.client.send_request::<request::ApplyWorkspaceEdit>(params);
        let answer = tokio::time::timeout(APPLY_ANSWER, answer);
        if open.is_empty() {
            return match answer.await {
                Ok(Ok(answer)) if answer.applied => Ok(()),
                Ok(Ok(answer)) => Err(refused(answer.failure_reason)),
                Ok(Err(error)) => Err(refused(Some(error.message.into_owned()))),
                Err(_) => Err(unanswered()),
            };
        }
        // The buffers decide. The answer only tells when waiting for them is over.
        let reason = tokio::select! {
            () = self.until_shown(&open) => return Ok(()),
            answer = answer => match answer {
                Ok(Ok(answer)) if answer.applied => None,
                Ok(Ok(answer)) => Some(answer.failure_reason),
                Ok(Err(error)) => Some(Some(error.message.into_owned())),
                Err(_) => return Err(unanswered()),
            },
        };
        if let Some(reason) = reason {
            return Err(refused(reason));
        }
        tokio::time::timeout(APPLY_SHOWN, self.until_shown(&open)).await.map_err(|_| {
            let session = self.session();
            let missing: Vec<&str> = open
                .iter()
                .filter(|file| !shows(&session, file))
                .map(|file| file.change.path.as_str())
                .collect();
            Refusal::Failed(format!(
                "the editor said the edit was applied, but {} does not show it",
                missing.join(", ")
            ))
        })
    }

    async fn until_shown(&self, files: &[&Placed]) {
        self.until_changed(|session| files.iter().all(|file| shows(session, file))).await;
    }

    /// Waits until a change of some document has brought this about.
    pub(super) async fn until_changed(&self, met: impl Fn(&Session) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Listens from here on, so that no change between the look and the wait is missed.
            changed.as_mut().enable();
            if met(&self.session()) {
                return;
            }
            changed.await;
        }
    }

    /// A task that has ended, with its report.
    pub(super) fn ended(&self, id: &str) -> Option<(Task, Arc<Report>)> {
        let session = self.session();
        let entry = session.tasks.get(id)?;
        Some((entry.task.clone(), entry.report.clone()?))
    }

    fn move_offer(&self, id: &str, from: Offer, to: Offer) -> bool {
        let mut session = self.session();
        let entry = session.tasks.get_mut(id).filter(|entry| entry.offer == from);
        entry.map(|entry| entry.offer = to).is_some()
    }
}

fn shows(session: &Session, file: &Placed) -> bool {
    let document = session.documents.get(&file.key);
    document.is_some_and(|document| file.change.after.as_deref().is_some_and(|after| document.text == after))
}

/// Whether a file on disk has exactly this text, or does not exist where there is none.
fn is_on_disk(path: &Path, text: Option<&str>) -> bool {
    match (std::fs::read(path), text) {
        (Ok(bytes), Some(text)) => bytes == text.as_bytes(),
        (Err(error), None) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Whether somebody has written another text into a file that is open: what differs by how a text is stored is the same
/// text. One that was not written since the task began is older than the buffer.
fn is_overwritten(path: &Path, before: Option<&str>, began: Option<SystemTime>) -> bool {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let newer = written.zip(began).is_some_and(|(written, began)| written > began);
    let bare = |text: &str| text.trim_start_matches('\u{feff}').trim_end().replace('\r', "");
    newer
        && std::fs::read_to_string(path)
            .is_ok_and(|text| before.is_none_or(|before| bare(&text) != bare(before)))
}

fn unanswered() -> Refusal {
    Refusal::Failed("the editor did not answer; look whether the edit is there".into())
}

fn refused(reason: Option<String>) -> Refusal {
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    Refusal::Failed(format!("the editor refused the edit{reason}"))
}

/// The URIs of the documents whose text an edit changes.
fn touched(edit: &WorkspaceEdit) -> Vec<&str> {
    use tower_lsp::lsp_types::{DocumentChangeOperation, DocumentChanges};
    let changes = edit.changes.iter().flatten().map(|(uri, _)| uri.as_str());
    let versioned = match &edit.document_changes {
        Some(DocumentChanges::Edits(edits)) => {
            edits.iter().map(|edit| edit.text_document.uri.as_str()).collect()
        }
        Some(DocumentChanges::Operations(operations)) => operations
            .iter()
            .filter_map(|operation| match operation {
                DocumentChangeOperation::Edit(edit) => Some(edit.text_document.uri.as_str()),
                DocumentChangeOperation::Op(_) => None,
            })
            .collect(),
        None => Vec::new(),
    };
    changes.chain(versioned).collect()
}
