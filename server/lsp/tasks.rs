//! A task's life in the server: begun by a command, run beside the handlers, ended with a report.

use super::from_proto::{self, Arguments, wrong};
use super::session::Offer;
use super::{DOUBTED, Server};
use crate::agent::Emit;
use crate::agent::task::{Report, Stop, Target, Task};
use crate::config::Loaded;
use crate::event::{Action, Kind, Note};
use crate::journal::Journal;
use crate::wiring::{self, AskKey, Connected};
use crate::workspace::{Buffers, Documents};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_lsp::jsonrpc::Error;
use tower_lsp::lsp_types::{ProgressToken, WorkDoneProgressCreateParams, request};

/// How long a client has to open a progress display.
const PROGRESS_ANSWER: Duration = Duration::from_secs(30);
/// How long after the start the sweep waits: nobody else should.
const SWEEP_AFTER: Duration = Duration::from_secs(2);

/// How long after an answer what belongs to it comes.
const BEHIND: Duration = Duration::from_millis(30);

/// Model and sandbox of one workspace folder.
pub(super) struct Workshop {
    pub(super) connected: Connected,
    /// `limits.concurrentTasks`: tasks beyond it stay `queued`.
    slots: Semaphore,
    loaded: Loaded,
}

impl Workshop {
    pub(super) fn calls_per_minute(&self) -> u32 {
        self.loaded.settings.limits.requests_per_minute
    }

    pub(super) fn quiet_hours(&self) -> Option<String> {
        self.loaded.settings.notify.quiet_hours.clone()
    }
}

impl Server {
    /// Makes a task of a command's arguments.
    pub(super) fn task(&self, action: Action, arguments: Arguments) -> Result<(Task, String), Error> {
        let no_file = || wrong(action.name(), format!("{} is no file in a folder", arguments.uri));
        let file = from_proto::path(&arguments.uri).ok_or_else(no_file)?;
        let key = from_proto::key(&arguments.uri);
        let folders = {
            let session = self.session();
            if session.doubted.contains(&key) {
                return Err(wrong(action.name(), DOUBTED));
            }
            session.folders.clone()
        };
        let outside =
            || wrong(action.name(), format!("{} is outside the workspace; open its folder", arguments.uri));
        let root = from_proto::root(&folders, &file).ok_or_else(outside)?;
        let path = file.strip_prefix(&root).ok().and_then(Path::to_str).ok_or_else(no_file)?;
        let path = path.replace(std::path::MAIN_SEPARATOR, "/");
        let mut task = Task::new(action, root);
        // A workspace folder stands for the whole workspace.
        task.target =
            (!path.is_empty()).then(|| Target { path, lines: arguments.range.map(from_proto::lines) });
        task.instruction = arguments.instruction.filter(|words| !words.trim().is_empty());
        task.language = arguments.language;
        task.framework = arguments.framework;
        task.check = arguments.check;
        task.usd = arguments.budget;
        task.diagnostics = arguments.diagnostics.iter().flatten().map(from_proto::given).collect();
        Ok((task, key))
    }

    /// Begins a task on the buffers as they are now. Its id.
    pub(super) fn begin(&self, task: Task, key: String, token: Option<ProgressToken>) -> String {
        let id = task.id.clone();
        let cancel = self.root.child_token();
        let documents = {
            let mut session = self.session();
            session.add(task.clone(), key, cancel.clone());
            session.documents.clone()
        };
        self.ask_for_progress(&id, ProgressToken::String(id.clone()), token);
        self.start(task, documents, cancel);
        id
    }

    /// Has the proposal of a task that has ended carried over to the texts as they are now, and checked again. False
    /// when that was done often enough: then it is stale.
    pub(super) fn check_again(&self, id: &str) -> bool {
        let cancel = self.root.child_token();
        let (task, documents, moves) = {
            let mut session = self.session();
            let documents = session.documents.clone();
            let Some(entry) = session.tasks.get_mut(id) else { return false };
            let Some(task) = entry.reopen(documents.clone(), cancel.clone()) else { return false };
            (task, documents, entry.moves)
        };
        // A token is good for one progress display.
        self.ask_for_progress(id, ProgressToken::String(format!("{id}/{moves}")), None);
        self.start(task, documents, cancel);
        true
    }

    /// Runs a task that the session knows, to its report.
    fn start(&self, task: Task, documents: Documents, cancel: CancellationToken) {
        self.tell_status();
        let server = self.clone();
        self.work.spawn(async move {
            // A panic of the agent must not leave a task that never ends.
            let run = tokio::spawn(server.clone().run(task.clone(), documents, cancel));
            let report = match run.await {
                Ok(report) => report,
                Err(error) => {
                    Report::stopped(&task, Stop::Usage(format!("the task broke off, a bug: {error}")))
                }
            };
            server.finish(report);
        });
    }

    async fn run(self, task: Task, documents: Documents, cancel: CancellationToken) -> Report {
        let made = tokio::select! {
            biased;
            () = cancel.cancelled() => return Report::stopped(&task, Stop::Cancelled),
            made = self.workshop_for(&task.root) => made,
        };
        let workshop = match made {
            Ok(workshop) => workshop,
            Err(problem) => return Report::stopped(&task, Stop::Model(problem)),
        };
        let slot = tokio::select! {
            slot = workshop.slots.acquire() => slot,
            () = cancel.cancelled() => return Report::stopped(&task, Stop::Cancelled),
        };
        let emit: Emit = {
            let (server, id) = (self.clone(), task.id.clone());
            // The end is told by `finish`, once the report can be asked for.
            Arc::new(move |kind| {
                if !matches!(kind, Kind::Ended { .. }) {
                    server.emit(&id, kind);
                }
            })
        };
        let connected = &workshop.connected;
        self.tell_news(connected.journal.clone());
        let server = self.clone();
        let now = Arc::new(move || server.session().documents.clone());
        let buffers = Buffers { then: documents, now };
        let report = connected.journal.run(&connected.ports, task, buffers, cancel, emit).await;
        drop(slot);
        report
    }

    /// Tells which tasks of servers that are gone were interrupted.
    fn tell_news(&self, journal: Arc<Journal>) {
        let server = self.clone();
        self.work.spawn(async move {
            for news in journal.store.news().await {
                server.warn(format!("OpenDevAgent: {news}"));
            }
        });
    }

    fn finish(&self, report: Report) {
        let id = report.task.clone();
        let mut ended = report.ended();
        let report = Arc::new(report);
        {
            let mut session = self.session();
            session.problem = match &report.stop {
                Some(stop @ (Stop::Key(_) | Stop::Model(_) | Stop::Sandbox(_))) => Some(stop.clone()),
                _ => None,
            };
            let Some(entry) = session.tasks.get_mut(&id) else { return };
            entry.offer = match &report.stop {
                _ if report.proposal.changes.is_empty() => Offer::None,
                None => Offer::Standing,
                Some(_) => Offer::Discarded,
            };
            entry.documents = Documents::default();
            entry.report = Some(report.clone());
        }
        if let (Kind::Ended { quiet, .. }, Some((task, report))) = (&mut ended, self.ended(&id)) {
            *quiet = report.stop != Some(Stop::Cancelled) && self.is_quiet(&task);
        }
        self.emit(&id, ended);
        self.step_ended(&report);
        self.tell_status();
        self.refresh_lenses();
        self.refresh_contents(&id);
        self.shrink();
        self.about(id, |server, id| async move { server.deliver(&id).await });
    }

    /// Does something about a task beside the handlers, for as long as the task is remembered; a moment later, so that
    /// nothing of it stands in one read with the answer of the handler: lsp-mode loses what comes behind such an answer.
    pub(super) fn about<F>(&self, id: String, act: impl FnOnce(Self, String) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(remembered) = self.session().tasks.get(&id).map(|entry| entry.remembered.clone()) else {
            return;
        };
        let act = act(self.clone(), id);
        tokio::spawn(async move {
            tokio::time::sleep(BEHIND).await;
            remembered.run_until_cancelled(act).await
        });
    }

    /// Model and sandbox for a folder, once its settings are known. Those who wait take turns, and hold up no handler.
    async fn workshop_for(&self, root: &Path) -> Result<Arc<Workshop>, String> {
        self.settled().await;
        let _turn = self.connecting.lock().await;
        let (server, root) = (self.clone(), root.to_owned());
        let made = tokio::task::spawn_blocking(move || server.workshop(&root));
        made.await.unwrap_or_else(|error| Err(format!("the settings could not be read, a bug: {error}")))
    }

    /// Model and sandbox for a folder, made when first needed and when its settings have changed since.
    pub(super) fn workshop(&self, root: &Path) -> Result<Arc<Workshop>, String> {
        let loaded = self.reload(Some(root));
        if let Some(workshop) = self.session().workshops.get(root).filter(|old| old.loaded == loaded) {
            return Ok(workshop.clone());
        }
        for problem in &loaded.problems {
            self.warn(format!("OpenDevAgent settings: {problem}"));
        }
        let connected = wiring::connect(&loaded, Some(self.ask_key()), self.ask_consent())
            .map_err(|error| error.to_string())?;
        let slots = Semaphore::new(loaded.settings.limits.concurrent_tasks as usize);
        let workshop = Arc::new(Workshop { connected, slots, loaded });
        let mut session = self.session();
        if let Some(key) = &session.key {
            workshop.connected.keys.give(Some(key.clone()));
        }
        if let Some(old) = session.workshops.insert(root.to_owned(), workshop.clone()) {
            self.retire(old);
        }
        Ok(workshop)
    }

    /// Removes what servers that were killed have left, once the editor has had its first answers.
    pub(super) fn sweep(&self) {
        let server = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SWEEP_AFTER).await;
            let loaded = server.load(None);
            server.attend();
            wiring::sandbox(&loaded.settings).sweep().await;
            server.shrink();
        });
    }

    /// Asks the client for a key, where it opted in.
    pub(super) fn ask_key(&self) -> AskKey {
        let server = self.clone();
        Arc::new(move |wanted| {
            let server = server.clone();
            Box::pin(async move {
                if !server.session().editor.credentials {
                    return None;
                }
                // A server on this machine may need no key: then clients give what they have and ask nobody.
                let wanted = json!({"rejected": wanted.rejected, "optional": wanted.optional});
                let answer = server.client.send_request::<Credentials>(wanted).await.ok()?;
                let key = answer.get("key")?.as_str().map(SecretString::from)?;
                server.key_changed(true, "credentials");
                Some(key)
            })
        })
    }

    /// Opens a progress display: our own where the client can, else the one it came with, which clients may
    /// close once the command is answered.
    fn ask_for_progress(&self, id: &str, own: ProgressToken, given: Option<ProgressToken>) {
        if !self.session().editor.progress {
            if let Some(token) = given {
                self.begin_progress(id, token);
            }
            return;
        }
        let (server, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let create = WorkDoneProgressCreateParams { token: own.clone() };
            let created = server.client.send_request::<request::WorkDoneProgressCreate>(create);
            if let Ok(Ok(())) = tokio::time::timeout(PROGRESS_ANSWER, created).await {
                server.begin_progress(&id, own);
            }
        });
    }

    /// Cancels a task; false when there is none of that name. One that has ended stays as it is.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let session = self.session();
        let entry = session.tasks.get(id);
        if let Some(entry) = entry {
            entry.cancel.cancel();
        }
        entry.is_some()
    }

    pub(super) fn warn(&self, message: String) {
        self.show(super::MessageType::WARNING, message);
    }

    /// A remark in a task's log.
    pub(super) fn note(&self, id: &str, text: String) {
        self.emit(id, Kind::Noted { level: Note::Info, text });
    }
}

/// `opendevagent/credentials`.
enum Credentials {}

impl request::Request for Credentials {
    type Params = Value;
    type Result = Value;
    const METHOD: &'static str = "opendevagent/credentials";
}
