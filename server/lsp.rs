//! The language server (CONTRACT §3): handlers over one [`Session`], and everything that takes time beside them.
//!
//! A handler changes the session before its first wait, spawns what takes time, and answers. It never waits for
//! the client, a model, a container or a disk.

mod actions;
mod capabilities;
mod commands;
mod consent;
mod deliver;
mod framing;
mod from_proto;
mod host;
mod published;
mod requests;
mod session;
mod show;
mod sinks;
mod stubs;
mod tasks;
mod to_proto;
mod transport;

use crate::config::{self, Loaded};
use capabilities::Editor;
use serde_json::{Map, Value, json};
use session::Session;
use sinks::{Notice, Outbox};
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{
    CodeAction, CodeActionParams, CodeActionResponse, CodeLens, CodeLensParams, ConfigurationItem,
    DidChangeConfigurationParams, DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
    DocumentDiagnosticParams, DocumentDiagnosticReport, DocumentDiagnosticReportResult, ExecuteCommandParams,
    FullDocumentDiagnosticReport, InitializeParams, InitializeResult, InitializedParams, MessageType,
    PublishDiagnosticsParams, Registration, RelatedFullDocumentDiagnosticReport, ServerInfo,
};
use tower_lsp::{Client, LanguageServer, LspService};

/// How long running tasks have at the end to remove their containers.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long freed memory is kept for the next document or task.
const SHRINK_AFTER: Duration = Duration::from_millis(200);

/// Serves one client until it says `exit`, closes its end, or its process is gone. The process's exit code.
/// `overrides` are the settings of the command line.
pub async fn serve<R, W>(input: R, output: W, overrides: Value) -> u8
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    host::return_large_blocks();
    let (service, socket) = LspService::build(|client| Server::new(client, overrides))
        .custom_method("window/workDoneProgress/cancel", Server::progress_cancel)
        .custom_method("$/setTrace", Server::set_trace)
        .custom_method("opendevagent/tasks", Server::list_tasks)
        .custom_method("opendevagent/task", Server::one_task)
        .custom_method("opendevagent/setKey", Server::set_key)
        .custom_method("opendevagent/doctor", Server::doctor)
        .finish();
    let server = service.inner().clone();
    let sender = tokio::spawn({
        let server = server.clone();
        async move { server.outbox.drain(&server.client).await }
    });
    let orderly = transport::run(input, output, service, socket, server.gone.clone()).await;
    sender.abort();
    server.root.cancel();
    server.work.close();
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
    /// Wakes whoever waits for a document to change.
    changed: Notify,
    /// Cancelled at the end; each task has a child.
    root: CancellationToken,
    work: TaskTracker,
    /// Cancelled when the editor's process is gone.
    gone: CancellationToken,
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
            changed: Notify::new(),
            root: CancellationToken::new(),
            work: TaskTracker::new(),
            gone: CancellationToken::new(),
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

    /// The settings in force for a workspace folder.
    fn load(&self, folder: Option<&Path>) -> Loaded {
        let editor = self.session().settings.clone();
        config::load(editor.as_ref(), Some(&self.overrides), folder)
    }

    /// A handler that panicked has not ended the server, so neither does its lock.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the params of `initialize` before they lose what lsp-types does not know.
    fn introduce(&self, params: Option<&Value>) {
        *self.introduction.lock().unwrap_or_else(PoisonError::into_inner) =
            params.cloned().unwrap_or_default();
    }

    fn show(&self, typ: MessageType, message: String) {
        self.outbox.push(Notice::Show(typ, message));
    }

    /// Publishes what is known about a document, where diagnostics are pushed.
    fn publish(&self, session: &Session, key: &str) {
        if session.editor.pull_diagnostics {
            return;
        }
        let Some(uri) = to_proto::uri(&session.documents, key) else { return };
        let published = session.findings.get(key);
        let diagnostics = published.map_or_else(Vec::new, |published| {
            to_proto::diagnostics(published, key, &session.documents, &session.editor)
        });
        let version = published.and_then(|published| published.version);
        let version = version.filter(|_| session.editor.diagnostic_versions);
        self.outbox.push(Notice::Diagnostics(PublishDiagnosticsParams { uri, diagnostics, version }));
    }

    /// Withdraws a task's findings.
    fn clear_findings(&self, mut session: MutexGuard<'_, Session>, task: &str) {
        let keys = session.clear(task);
        for key in &keys {
            self.publish(&session, key);
        }
        let pull = session.editor.pull_diagnostics;
        drop(session);
        if pull && !keys.is_empty() {
            self.refresh_diagnostics();
        }
        self.refresh_lenses();
    }

    fn refresh_diagnostics(&self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.workspace_diagnostic_refresh().await });
    }

    fn refresh_lenses(&self) {
        if self.session().editor.refresh_lenses {
            let client = self.client.clone();
            tokio::spawn(async move { client.code_lens_refresh().await });
        }
    }

    /// Takes new settings; the next task is run under them. Emacs sends an empty object at its start, which
    /// must not undo `initializationOptions`.
    fn configure(&self, settings: Map<String, Value>) {
        if !settings.is_empty() {
            self.session().settings = Some(Value::Object(settings));
            self.reconnect();
        }
    }

    /// Forgets models and sandboxes; the next task connects anew.
    fn reconnect(&self) {
        let workshops = std::mem::take(&mut self.session().workshops);
        for workshop in workshops.into_values() {
            self.retire(workshop);
        }
    }

    /// Lets a workshop keep nothing ready; tasks that run in it go on.
    fn retire(&self, workshop: Arc<tasks::Workshop>) {
        self.work.spawn(async move { workshop.connected.ports.sandbox.retire().await });
    }

    /// Asks a client that keeps the settings for them.
    fn pull_settings(&self) {
        let server = self.clone();
        tokio::spawn(async move {
            let item = ConfigurationItem { scope_uri: None, section: Some("opendevagent".into()) };
            let answer = server.client.configuration(vec![item]).await;
            if let Some(Value::Object(settings)) = answer.ok().and_then(|mut answer| answer.pop()) {
                server.configure(settings);
            }
        });
    }

    fn register_configuration(&self) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let registration = Registration {
                id: "configuration".into(),
                method: "workspace/didChangeConfiguration".into(),
                register_options: Some(json!({"section": "opendevagent"})),
            };
            client.register_capability(vec![registration]).await
        });
    }

    /// Gives the memory of closed documents and ended tasks back, a little later and once for many.
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
        tokio::spawn(async move {
            host::process_end(process).await;
            gone.cancel();
        });
    }
}

impl LanguageServer for Server {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let raw = std::mem::take(&mut *self.introduction.lock().unwrap_or_else(PoisonError::into_inner));
        let editor = Editor::new(&raw);
        let capabilities = editor.answer();
        let mut session = self.session();
        session.editor = Arc::new(editor);
        session.settings = raw.pointer("/initializationOptions/settings").cloned();
        session.folders = from_proto::folders(params.workspace_folders.as_deref().unwrap_or_default());
        if session.folders.is_empty() {
            let root = raw.get("rootUri").and_then(Value::as_str).and_then(from_proto::path);
            session.folders.extend(root);
        }
        drop(session);
        if let Some(process) = params.process_id {
            self.watch(process);
        }
        let version = Some(env!("CARGO_PKG_VERSION").into());
        let server_info = Some(ServerInfo { name: "opendevagent".into(), version });
        Ok(InitializeResult { capabilities, server_info })
    }

    async fn initialized(&self, _params: InitializedParams) {
        let editor = self.session().editor.clone();
        if editor.configuration {
            self.pull_settings();
        }
        if editor.register_configuration {
            self.register_configuration();
        }
        self.tell_status();
        self.sweep();
    }

    async fn shutdown(&self) -> Result<()> {
        self.root.cancel();
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let document = params.text_document;
        let uri = document.uri.as_str().to_owned();
        let key = from_proto::key(&uri);
        let mut session = self.session();
        session.open(uri, document.version, document.language_id, &document.text);
        if session.findings.contains_key(&key) {
            // Where their lines end is known only now.
            self.publish(&session, &key);
        }
        self.changed.notify_waiters();
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let document = params.text_document;
        let key = from_proto::key(document.uri.as_str());
        let mut session = self.session();
        let withdrawn = session.change(&key, document.version, params.content_changes);
        if withdrawn {
            self.publish(&session, &key);
        }
        drop(session);
        if withdrawn {
            self.refresh_lenses();
        }
        self.changed.notify_waiters();
    }

    async fn did_save(&self, _params: DidSaveTextDocumentParams) {}

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let key = from_proto::key(params.text_document.uri.as_str());
        let mut session = self.session();
        if session.findings.remove(&key).is_some() {
            self.publish(&session, &key);
        }
        session.failing.remove(&key);
        session.documents.remove(&key);
        self.changed.notify_waiters();
        self.shrink();
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        let removed = from_proto::folders(&params.event.removed);
        let mut session = self.session();
        session.folders.retain(|folder| !removed.contains(folder));
        session.folders.extend(from_proto::folders(&params.event.added));
        session.workshops.retain(|folder, _| !removed.contains(folder));
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        let pull = self.session().editor.configuration;
        match params.settings {
            Value::Object(mut settings) if !settings.is_empty() => match settings.remove("opendevagent") {
                Some(Value::Object(section)) => self.configure(section),
                _ => self.configure(settings),
            },
            // The client only says that something has changed.
            _ if pull => self.pull_settings(),
            _ => {}
        }
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let uri = params.text_document.uri.as_str();
        Ok(Some(actions::actions(&self.session(), uri, params.range, &params.context)))
    }

    async fn code_action_resolve(&self, action: CodeAction) -> Result<CodeAction> {
        Ok(action)
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Option<Vec<CodeLens>>> {
        Ok(Some(actions::lenses(&self.session(), params.text_document.uri.as_str())))
    }

    async fn diagnostic(&self, params: DocumentDiagnosticParams) -> Result<DocumentDiagnosticReportResult> {
        let session = self.session();
        let key = from_proto::key(params.text_document.uri.as_str());
        let items = session.findings.get(&key).map_or_else(Vec::new, |published| {
            to_proto::diagnostics(published, &key, &session.documents, &session.editor)
        });
        let full_document_diagnostic_report = FullDocumentDiagnosticReport { result_id: None, items };
        let report =
            RelatedFullDocumentDiagnosticReport { related_documents: None, full_document_diagnostic_report };
        Ok(DocumentDiagnosticReportResult::Report(DocumentDiagnosticReport::Full(report)))
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        self.execute(params).map(Some)
    }
}
