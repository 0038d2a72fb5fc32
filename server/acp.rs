//! The Agent Client Protocol: the same tasks for editors whose agents are programs that talk over standard input and
//! output (<https://agentclientprotocol.com>, version 1). A second thin front; what a task does is decided elsewhere.
//!
//! A prompt is one task. Its first word may name the action (`/fix`, `/review`, …; otherwise it generates), its first
//! linked file is the target. Edits are shown as diffs, applied only with permission, and written by the client, which
//! has the buffers.

mod apply;
mod prompt;
mod updates;

use crate::agent::Emit;
use crate::agent::dependencies::{Consent, Wish};
use crate::agent::task::{Report, Stop, Task};
use crate::config::{self, Loaded};
use crate::event::Action;
use crate::journal::Journal;
use crate::wiring::{self, Connected};
use crate::workspace::{Document, Documents};
use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    AgentCapabilities, AvailableCommand, AvailableCommandInput, AvailableCommandsUpdate, CancelNotification,
    ClientCapabilities, CloseSessionRequest, CloseSessionResponse, Implementation, InitializeRequest,
    InitializeResponse, NewSessionRequest, NewSessionResponse, PermissionOption, PermissionOptionKind,
    PromptCapabilities, PromptRequest, PromptResponse, ReadTextFileRequest, RequestPermissionOutcome,
    RequestPermissionRequest, ResumeSessionRequest, ResumeSessionResponse, SessionCapabilities,
    SessionCloseCapabilities, SessionId, SessionNotification, SessionResumeCapabilities, SessionUpdate,
    StopReason, ToolCallUpdate, ToolCallUpdateFields, UnstructuredCommandInput,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{Agent, Client, ConnectTo, Error, Lines};
use futures_util::{SinkExt, StreamExt};
use prompt::Prompt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{AnyDelimiterCodec, FramedRead, FramedWrite, LinesCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One message is at most this long.
const MESSAGE_BYTES: usize = 64 << 20;
/// Sessions that may be open at once; a client that opens more is told.
const SESSIONS: usize = 64;
/// How long running tasks have at the end to remove their containers.
const FAREWELL: Duration = Duration::from_secs(3);

type Connection = ConnectionTo<Client>;

/// Serves one client until its input ends. `overrides` are the settings of the command line.
///
/// # Errors
/// When the connection broke off: nobody reads, or a message was too long.
pub async fn serve<R, W>(input: R, output: W, overrides: Value) -> Result<(), Error>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    // A line that is not UTF-8 gets an error as an answer; the next one may be better.
    let lines = AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), MESSAGE_BYTES);
    let incoming = FramedRead::new(input, lines);
    let incoming = incoming.map(|line| match line {
        Ok(line) => Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()),
        Err(error) => Err(io::Error::other(error)),
    });
    let codec = LinesCodec::new_with_max_length(MESSAGE_BYTES);
    let outgoing = SinkExt::<String>::sink_map_err(FramedWrite::new(output, codec), io::Error::other);
    let front = Front(Arc::new(Shared {
        overrides,
        client: Mutex::default(),
        sessions: Mutex::default(),
        root: CancellationToken::new(),
        work: TaskTracker::new(),
    }));
    let served = answer(front.clone()).connect_to(Lines::new(outgoing, incoming)).await;
    front.root.cancel();
    front.work.close();
    // What outlives this is removed at the next start.
    let _ = tokio::time::timeout(FAREWELL, front.work.wait()).await;
    served
}

/// Who answers what.
fn answer(front: Front) -> impl ConnectTo<Client> {
    let (greeter, opener, worker) = (front.clone(), front.clone(), front.clone());
    let (resumer, closer, canceller) = (front.clone(), front.clone(), front);
    Agent
        .v1()
        .name("opendevagent")
        .on_receive_request(
            async move |request: InitializeRequest,
                        responder: Responder<InitializeResponse>,
                        _: Connection| { responder.respond(greeter.greet(request)) },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |request: NewSessionRequest,
                        responder: Responder<NewSessionResponse>,
                        cx: Connection| {
                match opener.open(request) {
                    Ok(session) => {
                        responder.respond(NewSessionResponse::new(session.clone()))?;
                        cx.send_notification(SessionNotification::new(session, commands()))
                    }
                    Err(error) => responder.respond_with_error(error),
                }
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |request: PromptRequest, responder: Responder<PromptResponse>, cx: Connection| {
                let session = request.session_id.clone();
                match worker.begin(&session) {
                    Ok((root, cancel)) => {
                        let front = worker.clone();
                        // Beside the connection, so that it goes on hearing: a cancel, an answer, another session.
                        worker.work.spawn(async move {
                            let turn = Turn { front, session, root, cancel, cx };
                            let reason = turn.take(request).await;
                            turn.front.end(&turn.session);
                            // The client may be gone.
                            let _ = responder.respond(PromptResponse::new(reason));
                        });
                        Ok(())
                    }
                    Err(error) => responder.respond_with_error(error),
                }
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |request: ResumeSessionRequest,
                        responder: Responder<ResumeSessionResponse>,
                        _: Connection| {
                match resumer.hold(request.session_id, request.cwd) {
                    Ok(()) => responder.respond(ResumeSessionResponse::new()),
                    Err(error) => responder.respond_with_error(error),
                }
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |request: CloseSessionRequest,
                        responder: Responder<CloseSessionResponse>,
                        _: Connection| {
                closer.close(&request.session_id);
                responder.respond(CloseSessionResponse::new())
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_notification(
            async move |cancel: CancelNotification, _: Connection| {
                canceller.cancel(&cancel.session_id);
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
}

/// The actions, as commands that a client completes after `/`.
fn commands() -> SessionUpdate {
    let command = |action: &Action| {
        let input = AvailableCommandInput::Unstructured(UnstructuredCommandInput::new("what to do"));
        AvailableCommand::new(action.name(), prompt::describe(*action)).input(input)
    };
    SessionUpdate::AvailableCommandsUpdate(AvailableCommandsUpdate::new(
        prompt::ACTIONS.iter().map(command).collect(),
    ))
}

/// A handle on the front; clones are the same one.
#[derive(Clone)]
struct Front(Arc<Shared>);

struct Shared {
    overrides: Value,
    client: Mutex<ClientCapabilities>,
    sessions: Mutex<HashMap<SessionId, Session>>,
    root: CancellationToken,
    work: TaskTracker,
}

impl std::ops::Deref for Front {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

struct Session {
    /// The workspace folder.
    root: PathBuf,
    /// Cancels the task that runs.
    running: Option<CancellationToken>,
}

impl Front {
    fn greet(&self, request: InitializeRequest) -> InitializeResponse {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = request.client_capabilities;
        let prompts = PromptCapabilities::new().embedded_context(true);
        let sessions = SessionCapabilities::new()
            .resume(SessionResumeCapabilities::new())
            .close(SessionCloseCapabilities::new());
        let version = env!("CARGO_PKG_VERSION");
        InitializeResponse::new(ProtocolVersion::V1)
            .agent_capabilities(
                AgentCapabilities::new().prompt_capabilities(prompts).session_capabilities(sessions),
            )
            .agent_info(Implementation::new("opendevagent", version).title("OpenDevAgent".to_owned()))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> ClientCapabilities {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self, request: NewSessionRequest) -> Result<SessionId, Error> {
        let id = SessionId::new(uuid::Uuid::now_v7().to_string());
        self.hold(id.clone(), request.cwd)?;
        Ok(id)
    }

    /// Takes in a session, a new one or one of before: each prompt is a task of its own, so there is nothing to remember.
    fn hold(&self, id: SessionId, root: PathBuf) -> Result<(), Error> {
        if !root.is_absolute() || !root.is_dir() {
            return Err(wrong("cwd must be the absolute path of a folder"));
        }
        let mut sessions = self.sessions();
        if sessions.len() >= SESSIONS && !sessions.contains_key(&id) {
            return Err(wrong("too many sessions are open; close some"));
        }
        sessions.entry(id).or_insert(Session { root, running: None });
        Ok(())
    }

    fn close(&self, id: &SessionId) {
        if let Some(running) = self.sessions().remove(id).and_then(|session| session.running) {
            running.cancel();
        }
    }

    /// Takes the session's one place for a task.
    fn begin(&self, id: &SessionId) -> Result<(PathBuf, CancellationToken), Error> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(id).ok_or_else(|| wrong("there is no such session"))?;
        if session.running.is_some() {
            return Err(wrong("a task is running in this session; cancel it first"));
        }
        let cancel = self.root.child_token();
        session.running = Some(cancel.clone());
        Ok((session.root.clone(), cancel))
    }

    fn end(&self, id: &SessionId) {
        if let Some(session) = self.sessions().get_mut(id) {
            session.running = None;
        }
    }

    fn cancel(&self, id: &SessionId) {
        if let Some(running) = self.sessions().get(id).and_then(|session| session.running.as_ref()) {
            running.cancel();
        }
    }
}

fn wrong(why: &str) -> Error {
    Error::invalid_params().data(json!(why))
}

/// One prompt, from what was asked to what came of it.
#[derive(Clone)]
struct Turn {
    front: Front,
    session: SessionId,
    root: PathBuf,
    cancel: CancellationToken,
    cx: Connection,
}

impl Turn {
    async fn take(&self, request: PromptRequest) -> StopReason {
        let asked = match Prompt::read(&request.prompt, &self.root) {
            Ok(asked) => asked,
            Err(why) => {
                self.say(&why);
                return StopReason::EndTurn;
            }
        };
        let documents = self.documents(&asked).await;
        let mut task = Task::new(asked.action, self.root.clone());
        task.target = asked.target;
        task.instruction = asked.instruction;
        let (report, journal) = self.run(task.clone(), documents).await;
        if report.stop == Some(Stop::Cancelled) {
            return StopReason::Cancelled;
        }
        self.say(&updates::summary(&report));
        if let Some(journal) = journal.filter(|_| !report.proposal.changes.is_empty()) {
            self.offer(&task, report, &journal).await;
            if self.cancel.is_cancelled() {
                return StopReason::Cancelled;
            }
        }
        StopReason::EndTurn
    }

    /// The report, and where it is written down.
    async fn run(&self, task: Task, documents: Documents) -> (Report, Option<Arc<Journal>>) {
        let loaded = config::load(&[], Some(&self.front.overrides), Some(&self.root));
        for problem in &loaded.problems {
            self.think(&format!("Warning: {problem}\n"));
        }
        match self.connect(&loaded) {
            Ok(Connected { ports, journal, .. }) => {
                let updates = Mutex::new(updates::Progress::new(task.action));
                let turn = self.clone();
                let emit: Emit = Arc::new(move |kind| {
                    let mut updates = updates.lock().unwrap_or_else(PoisonError::into_inner);
                    updates.of(&kind).into_iter().for_each(|update| turn.tell(update));
                });
                let report = journal.run(&ports, task, documents.into(), self.cancel.clone(), emit).await;
                ports.sandbox.close().await;
                (report, Some(journal))
            }
            Err(stop) => (Report::stopped(&task, stop), None),
        }
    }

    fn connect(&self, loaded: &Loaded) -> Result<Connected, Stop> {
        let turn = self.clone();
        let consent: Consent = Arc::new(move |wish: Wish| {
            let turn = turn.clone();
            Box::pin(async move {
                let fields = ToolCallUpdateFields::new().title(format!("May I {}?", wish.question));
                turn.may(ToolCallUpdate::new("install", fields), "Install").await
            })
        });
        wiring::connect(loaded, None, consent).map_err(Stop::from)
    }

    /// The linked files as the client has them, unsaved changes and all.
    async fn documents(&self, asked: &Prompt) -> Documents {
        let mut documents = Documents::default();
        for path in &asked.files {
            let text = match asked.texts.get(path) {
                Some(text) => Some(text.clone()),
                None => self.buffer(&self.root.join(path)).await,
            };
            if let Some(text) = text {
                self.put(&mut documents, path, &text);
            }
        }
        documents
    }

    fn put(&self, documents: &mut Documents, path: &str, text: &str) {
        let key = self.root.join(path).to_string_lossy().into_owned();
        let document = Document { uri: key.clone(), version: 1, language: String::new(), text: text.into() };
        documents.insert(key, document);
    }

    /// A file as the client has it; `None` where it cannot tell.
    async fn buffer(&self, path: &Path) -> Option<String> {
        if !self.front.client().fs.read_text_file {
            return None;
        }
        let request = ReadTextFileRequest::new(self.session.clone(), path);
        let answer = self.cx.send_request(request).block_task();
        tokio::select! {
            answer = answer => answer.ok().map(|answer| answer.content),
            () = self.cancel.cancelled() => None,
        }
    }

    /// Asks the user; no answer is a no.
    async fn may(&self, call: ToolCallUpdate, yes: &str) -> bool {
        let options = vec![
            PermissionOption::new("yes", yes, PermissionOptionKind::AllowOnce),
            PermissionOption::new("no", "Discard", PermissionOptionKind::RejectOnce),
        ];
        let request = RequestPermissionRequest::new(self.session.clone(), call, options);
        let answer = tokio::select! {
            answer = self.cx.send_request(request).block_task() => answer,
            () = self.cancel.cancelled() => return false,
        };
        matches!(answer.map(|answer| answer.outcome),
            Ok(RequestPermissionOutcome::Selected(selected)) if &*selected.option_id.0 == "yes")
    }

    fn tell(&self, update: SessionUpdate) {
        // A client that is gone is noticed at the end of its input.
        let _ = self.cx.send_notification(SessionNotification::new(self.session.clone(), update));
    }

    fn say(&self, text: &str) {
        self.tell(updates::message(text));
    }

    fn think(&self, text: &str) {
        self.tell(updates::thought(text));
    }
}
