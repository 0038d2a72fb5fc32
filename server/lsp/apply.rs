//! How the edits of a proposal come into the client's buffers (CONTRACT §3).
//!
//! An edit is sent only when every text is still the one it was made for, and counts as applied only when the
//! buffers show it: clients answer `applied: true` for edits they have dropped. When a text has changed elsewhere, the
//! agent carries the edits over and checks them again first.

use super::disk::{is_on_disk, is_overwritten};
use super::session::{Offer, Session, document_key};
use super::to_proto::{self, Placed, touched};
use super::{DOUBTED, MessageType, Server};
use crate::agent::patch::FileChange;
use crate::agent::task::{Change, Report, State, Task, read_only};
use crate::journal::Decision;
use crate::verdict::Level;
use crate::workspace::{Documents, is_read_only};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tower_lsp::lsp_types::{ApplyWorkspaceEditParams, WorkspaceEdit, request};

/// How long a client has to answer `workspace/applyEdit`, and then to show the new text.
const APPLY_ANSWER: Duration = Duration::from_secs(60);
const APPLY_SHOWN: Duration = Duration::from_secs(5);
/// How often a file that is not open is looked at meanwhile.
const APPLY_LOOK: Duration = Duration::from_millis(50);

/// Why a proposal was not applied.
enum Refusal {
    /// A text is no longer the one the edits were made for: they may be carried over.
    Moved(String),
    /// They may not.
    Stale(String),
    /// The client did not take the edit.
    Refused(String),
    /// It says that it did, but a file that was not open does not show it. It may stand in a buffer that the client tells
    /// nobody of, where it must not come a second time.
    Unseen(String),
    Failed(String),
}

impl Refusal {
    fn why(&self) -> &str {
        let (Self::Moved(why)
        | Self::Stale(why)
        | Self::Refused(why)
        | Self::Unseen(why)
        | Self::Failed(why)) = self;
        why
    }
}

impl Server {
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
                if report.level().is_some_and(|level| level > Level::Failing)
                    && let Some(key) = session.tasks.get(id).map(|entry| entry.key.clone())
                {
                    session.failing.remove(&key);
                }
                self.clear_findings(session, id);
                self.note(id, message);
                self.step_is(id, State::Done);
            }
            Err(Refusal::Moved(_)) if self.check_again(id) => {
                self.decide(&task, report, Decision::Rebased);
            }
            Err(Refusal::Moved(why) | Refusal::Stale(why)) => {
                self.move_offer(id, Offer::Applying, Offer::Discarded);
                self.decided(id, Decision::Stale);
                self.note(id, format!("Not applied: {why}"));
                self.step_is(id, State::Open);
                self.offer_again(id, task, &why).await;
            }
            Err(Refusal::Unseen(why)) => {
                self.move_offer(id, Offer::Applying, Offer::Discarded);
                self.decided(id, Decision::Stale);
                self.note(id, format!("Not known to be applied: {why}"));
                self.step_is(id, State::Open);
                self.warn(format!("{}: {why}", task.title()));
            }
            Err(Refusal::Refused(why) | Refusal::Failed(why)) => {
                self.move_offer(id, Offer::Applying, Offer::Standing);
                self.note(id, format!("Not applied: {why}"));
                self.show(MessageType::ERROR, format!("{}: {why}", task.title()));
            }
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
        // What the user has typed is looked at before what they have saved of it, and once more at the very last.
        self.place(task, report)?;
        self.check_disk(task, report).await?;
        let files = self.place(task, report)?;
        let mut changed = Vec::new();
        for edit in to_proto::workspace_edits(&files, &editor) {
            let named = files.iter().filter(|file| touched(&edit).contains(&file.uri.as_str()));
            let named: Vec<&str> = named.map(|file| file.change.path.as_str()).collect();
            let refused = self.send_edit(task, edit, &files).await;
            if let (false, Err(refusal)) = (changed.is_empty(), &refused) {
                return Err(Refusal::Unseen(format!(
                    "{}; changed before it: {}. Look at them, and undo what is no good without the rest",
                    refusal.why(),
                    changed.join(", ")
                )));
            }
            // What the user has typed meanwhile is why a client refuses, so that nothing has happened yet.
            if let Err(Refusal::Refused(_)) = &refused {
                self.place(task, report)?;
            }
            refused?;
            changed.extend(named);
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

    /// Where the editor takes no edits from a server, the action may have brought them along. It brings none for a text
    /// that is neither as it was nor as it shall be: then they are carried over, and the next action brings them.
    async fn try_carried(&self, task: &Task, report: &Report) -> Result<String, Refusal> {
        let files: Vec<Placed> = {
            let session = self.session();
            let mut files = Vec::new();
            for change in &report.proposal.changes {
                let Some(file) = Placed::of(&session.documents, &task.root, &change.file) else { continue };
                let before = change.file.before.as_deref().unwrap_or_default();
                let document = session.documents.get(&file.key);
                if document.is_some_and(|document| document.text != before)
                    && !reads(&session.documents, &file)
                {
                    return Err(Refusal::Moved(format!(
                        "{} has changed in the editor since",
                        change.file.path
                    )));
                }
                files.extend(Some(file).filter(|file| file.version.is_some() && file.change.after.is_some()));
            }
            files
        };
        if files.len() == report.proposal.changes.len() {
            let all: Vec<&Placed> = files.iter().collect();
            let _awaited = self.awaits(&all);
            if tokio::time::timeout(APPLY_SHOWN, self.until_shown(&all)).await.is_ok() {
                let workshop = self.workshop(&task.root).map_err(Refusal::Failed)?;
                let journal = &workshop.connected.journal;
                if let Some(why) = journal.overtaken(&task.root, report).await {
                    self.warn(format!(
                        "{}: applied, but {why}; look at the text before you save it",
                        task.title()
                    ));
                }
                self.write_down(journal, report, Decision::Applied).await;
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

    /// Looks at the files on disk: whether they may be written, and whether they are what the edits were made for. Those
    /// that are open need not be saved, but nobody else may have written them since the task began.
    async fn check_disk(&self, task: &Task, report: &Report) -> Result<(), Refusal> {
        let (files, began) = {
            let session = self.session();
            let place = |change: &Change| {
                let path = task.root.join(&change.file.path);
                let open = session.documents.get(&path.to_string_lossy()).is_some();
                (path, open, change.file.clone())
            };
            let files: Vec<(PathBuf, bool, FileChange)> = report.proposal.changes.iter().map(place).collect();
            (files, session.tasks.get(&report.task).map(|entry| entry.began))
        };
        let look = move || {
            files.into_iter().find_map(|(path, open, change)| {
                let (before, since) =
                    (change.before.as_deref(), format!("{} has changed on disk since", change.path));
                match () {
                    () if is_read_only(&path) => Some(Refusal::Failed(read_only(&change.path))),
                    () if open => is_overwritten(&path, before, began).then_some(Refusal::Stale(since)),
                    () => (!is_on_disk(&path, before)).then_some(Refusal::Moved(since)),
                }
            })
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(refusal) => refusal.map_or(Ok(()), Err),
            Err(error) => Err(Refusal::Failed(format!("the files could not be compared: {error}"))),
        }
    }

    /// Finds each changed file in the client's world, and compares the open ones with what the edits were
    /// made for.
    fn place(&self, task: &Task, report: &Report) -> Result<Vec<Placed>, Refusal> {
        let session = self.session();
        let place = |change: &Change| {
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
                return Err(Refusal::Moved(format!("{path} has changed in the editor since")));
            }
            let no_uri = || Refusal::Failed(format!("{path} cannot be named to the editor"));
            Placed::of(&session.documents, &task.root, &change.file).ok_or_else(no_uri)
        };
        report.proposal.changes.iter().map(place).collect()
    }

    /// Sends one edit and waits until the open documents show it.
    async fn send_edit(&self, task: &Task, edit: WorkspaceEdit, files: &[Placed]) -> Result<(), Refusal> {
        let touched = touched(&edit);
        let changed = files.iter().filter(|file| file.change.after.is_some());
        let changed: Vec<&Placed> = changed.filter(|file| touched.contains(&file.uri.as_str())).collect();
        let _awaited = self.awaits(&changed);
        let params = ApplyWorkspaceEditParams {
            label: Some(format!("OpenDevAgent: {}", task.title())),
            edit: edit.clone(),
        };
        let answer = self.client.send_request::<request::ApplyWorkspaceEdit>(params);
        let answer = tokio::time::timeout(APPLY_ANSWER, answer);
        // The texts decide. The answer only tells when waiting for them is over.
        let reason = tokio::select! {
            () = self.until_shown(&changed), if !changed.is_empty() => return Ok(()),
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
        let shown = tokio::time::timeout(APPLY_SHOWN, self.until_arrived(&changed)).await;
        shown.or_else(|_| {
            let session = self.session();
            let (open, closed): (Vec<&Placed>, Vec<&Placed>) =
                changed.iter().filter(|file| !shows(&session, file)).partition(|file| file.version.is_some());
            // Some clients carry an edit over what the user types meanwhile.
            let holds = |file: &&Placed| {
                let document = session.documents.get(&file.key);
                document.is_some_and(|document| file.holds(&document.text.to_string()))
            };
            if closed.is_empty() && open.iter().all(holds) {
                return Ok(());
            }
            let moved = |file: &&&Placed| {
                let before = file.change.before.as_deref().unwrap_or_default();
                session.documents.get(&file.key).is_some_and(|document| document.text != before)
            };
            if let Some(file) = open.iter().find(moved) {
                return Err(Refusal::Moved(format!("{} has changed in the editor since", file.change.path)));
            }
            let names = |files: &[&Placed]| {
                files.iter().map(|file| file.change.path.as_str()).collect::<Vec<_>>().join(", ")
            };
            let said = "the editor said the edit was applied, but";
            Err(if open.is_empty() {
                let closed = names(&closed);
                Refusal::Unseen(format!(
                    "{said} neither it nor the disk shows it in {closed}; save all files, and look"
                ))
            } else {
                Refusal::Failed(format!("{said} {} does not show it; look at the file", names(&open)))
            })
        })
    }

    async fn until_shown(&self, files: &[&Placed]) {
        self.until_changed(|session| files.iter().all(|file| shows(session, file))).await;
    }

    /// The same, also of files that the client has written without opening them.
    async fn until_arrived(&self, files: &[&Placed]) {
        loop {
            if tokio::time::timeout(APPLY_LOOK, self.until_shown(files)).await.is_ok() {
                return;
            }
            let closed = files.iter().filter(|file| file.version.is_none());
            let closed: Vec<(String, Option<String>)> =
                closed.map(|file| (file.key.clone(), file.change.after.clone())).collect();
            let look = move || {
                let written =
                    |(key, after): &&(String, Option<String>)| is_on_disk(Path::new(key), after.as_deref());
                closed.iter().filter(written).map(|(key, _)| key.clone()).collect::<Vec<_>>()
            };
            let written = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            let mut session = self.session();
            session.awaited.retain(|key, _| !written.contains(key));
        }
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

    /// Has the session note when these documents read as they shall, until the guard is dropped. Those that do already
    /// are not waited for.
    fn awaits(&self, files: &[&Placed]) -> Awaited {
        let mut session = self.session();
        let mut keys = Vec::new();
        for file in files.iter().filter(|file| !reads(&session.documents, file)) {
            keys.push(file.key.clone());
        }
        let texts = files.iter().filter(|file| keys.contains(&file.key));
        let texts: Vec<_> =
            texts.filter_map(|file| Some((file.key.clone(), file.change.after.clone()?))).collect();
        session.awaited.extend(texts);
        Awaited { server: self.clone(), keys }
    }
}

fn reads(documents: &Documents, file: &Placed) -> bool {
    let document = documents.get(&file.key);
    document.is_some_and(|document| file.change.after.as_deref().is_some_and(|after| document.text == after))
}

/// Whether a document reads as it shall, or did before the user went on typing.
fn shows(session: &Session, file: &Placed) -> bool {
    !session.awaited.contains_key(&file.key)
}

/// Texts that the session looks out for.
struct Awaited {
    server: Server,
    keys: Vec<String>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut session = self.server.session();
        self.keys.iter().for_each(|key| drop(session.awaited.remove(key)));
    }
}

fn unanswered() -> Refusal {
    Refusal::Failed("the editor did not answer; look whether the edit is there".into())
}

fn refused(reason: Option<String>) -> Refusal {
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    Refusal::Refused(format!("the editor refused the edit{reason}"))
}
