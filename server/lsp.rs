//! The language server (CONTRACT §3): handlers over one [`Session`], and everything that takes time beside them.
//!
//! A handler changes the session before its first wait, spawns what takes time, and answers. It never waits for
//! the client, a model, a container or a disk.

mod actions;
mod apply;
mod away;
mod capabilities;
mod commands;
mod consent;
mod dashboard;
mod deliver;
mod diagnostics;
mod disk;
mod elsewhere;
mod framing;
mod from_proto;
mod handlers;
mod hints;
mod host;
mod hover;
mod inline;
mod lenses;
mod newer;
mod outbox;
mod plans;
mod published;
mod requests;
mod session;
mod settings;
mod show;
mod sinks;
mod stubs;
mod tasks;
mod to_proto;
mod transport;
mod uri;

use crate::dashboard::Dashboard;
use diagnostics::Refresh;
use outbox::{Notice, Outbox};
use serde_json::{Value, json};
use session::Session;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_lsp::jsonrpc::{Request, RequestBuilder};
use tower_lsp::lsp_types::MessageType;
use tower_lsp::{Client, LspService};

/// How long running tasks have at the end to remove their containers.
const FAREWELL: Duration = Duration::from_secs(3);
/// Why a text that is open is not known, and what to do.
const DOUBTED: &str = "a message of the editor could not be read; close the file and open it again";
/// How long freed memory is kept for the next document or task.
const SHRINK_AFTER: Duration = Duration::from_millis(200);

/// Serves one client until it says `exit`, closes its end, or its process is gone. The process's exit code.
/// `overrides` are the settings of the command line.
pub async fn serve<R, W>(input: R, output: W, overrides: Value) -> u8
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    host::keep_heaps_small();
    let (service, socket) = LspService::build(|client| Server::new(client, overrides))
        .custom_method("window/workDoneProgress/cancel", Server::progress_cancel)
        .custom_method("$/setTrace", Server::set_trace)
        .custom_method("textDocument/inlineCompletion", Server::inline_completion)
        .custom_method("workspace/textDocumentContent", Server::content)
        .custom_method("opendevagent/tasks", Server::list_tasks)
        .custom_method("opendevagent/task", Server::one_task)
        .custom_method("opendevagent/proposal", Server::one_proposal)
        .custom_method("opendevagent/again", Server::run_again)
        .custom_method("opendevagent/setKey", Server::set_key)
        .custom_method("opendevagent/doctor", Server::doctor)
        .finish();
    let server = service.inner().clone();
    let sender = tokio::spawn({
        let server = server.clone();
        async move { server.outbox.drain(&server).await }
    });
    let orderly = transport::run(input, output, service, socket, server.gone.clone()).await;
    sender.abort();
    server.root.cancel();
    server.work.close();
    // It holds the server, as the server holds it.
    let dashboard = server.session().dashboard.take();
    dashboard.iter().for_each(Dashboard::close);
    // What outlives this is removed at the next start.
    let _ = tokio::time::timeout(FAREWELL, server.leave()).await;
    u8::from(!orderly)
}

/// A handle on the server; clones are the same server.
#[derive(Clone)]
struct Server(Arc<Shared>);

struct Shared {
    client: Client,
    overrides: Value,
    session: Mutex<Session>,
    /// The params of `initialize` as they came.
    introduction: Mutex<Value>,
    outbox: Outbox,
    /// How many openings and changes of documents were taken over whole.
    edits: AtomicUsize,
    /// Wakes whoever waits for a document to change, or for the client to answer.
    changed: Notify,
    /// Held while a task has its model and sandbox made.
    connecting: tokio::sync::Mutex<()>,
    /// Cancelled at the end; each task has a child.
    root: CancellationToken,
    work: TaskTracker,
    /// Cancelled when the editor's process is gone.
    gone: CancellationToken,
    /// How often each refresh was wished for since the client was last asked.
    refreshes: [AtomicUsize; Refresh::COUNT],
    /// Freed memory is about to be given back.
    shrinking: AtomicBool,
}

impl Deref for Server {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Server {
    fn new(client: Client, overrides: Value) -> Self {
        Self(Arc::new(Shared {
            client,
            overrides,
            session: Mutex::default(),
            introduction: Mutex::default(),
            outbox: Outbox::default(),
            edits: AtomicUsize::new(0),
            changed: Notify::new(),
            connecting: tokio::sync::Mutex::default(),
            root: CancellationToken::new(),
            work: TaskTracker::new(),
            gone: CancellationToken::new(),
            refreshes: Default::default(),
            shrinking: AtomicBool::new(false),
        }))
    }

    /// Waits for the tasks to end, and for their containers to be gone.
    async fn leave(&self) {
        self.work.wait().await;
        let workshops: Vec<_> = self.session().workshops.values().cloned().collect();
        for workshop in workshops {
            workshop.connected.ports.sandbox.close().await;
        }
    }

    /// A handler that panicked has not ended the server, so neither does its lock.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was unreadable that may have changed the text of the document that it names, or of any: such a text is
    /// not edited until it is known again.
    fn doubt(&self, uri: Option<&str>) {
        let mut session = self.session();
        let doubted: Vec<String> = match uri {
            Some(uri) => vec![from_proto::key(uri)],
            None => session.documents.iter().map(|(key, _)| key.to_owned()).collect(),
        };
        if doubted.is_empty() {
            return;
        }
        session.doubted.extend(doubted);
        drop(session);
        let what = uri.unwrap_or("what is open");
        let told = format!("OpenDevAgent: {DOUBTED}; {what} is not edited until then");
        self.show(MessageType::WARNING, told);
    }

    /// Keeps the params of `initialize` as they are: lsp-types knows less than clients say, and would refuse a client for
    /// one odd capability. What is left of the request has none.
    fn introduce(&self, request: Request) -> Request {
        let (method, id, params) = request.into_parts();
        let params = params.unwrap_or_default();
        let left =
            if params.is_object() || params.is_null() { json!({"capabilities": {}}) } else { params.clone() };
        *self.introduction.lock().unwrap_or_else(PoisonError::into_inner) = params;
        let bare = Request::build(method).params(left);
        id.into_iter().fold(bare, RequestBuilder::id).finish()
    }

    fn show(&self, typ: MessageType, message: String) {
        self.outbox.push(Notice::Show(typ, message));
    }

    /// Gives back the memory of closed documents and ended tasks, and the code that opening them took, a little later
    /// and once for many.
    fn shrink(&self) {
        if self.shrinking.swap(true, Ordering::Relaxed) {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SHRINK_AFTER).await;
            server.shrinking.store(false, Ordering::Relaxed);
            host::give_memory_back();
        });
    }

    /// Ends the server when the process that started it is gone without closing our input.
    fn watch(&self, process: u32) {
        let gone = self.gone.clone();
        if cfg!(target_os = "linux") && !std::path::Path::new(&format!("/proc/{process}")).exists() {
            gone.cancel();
            return;
        }
        tokio::spawn(async move {
            host::process_end(process).await;
            gone.cancel();
        });
    }
}
