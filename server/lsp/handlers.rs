//! What the client asks for and tells, one short handler each. A handler changes the session before its first wait,
//! spawns what takes time, and answers.

use super::capabilities::Editor;
use super::{Server, actions, from_proto, hints, hover, to_proto};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tower_lsp::LanguageServer;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{
    CodeAction, CodeActionParams, CodeActionResponse, CodeLens, CodeLensParams, DidChangeConfigurationParams,
    DidChangeTextDocumentParams, DidChangeWatchedFilesParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams,
    DocumentDiagnosticParams, DocumentDiagnosticReport, DocumentDiagnosticReportResult, ExecuteCommandParams,
    FullDocumentDiagnosticReport, Hover, HoverParams, InitializeParams, InitializeResult, InitializedParams,
    InlayHint, InlayHintParams, RelatedFullDocumentDiagnosticReport, ServerInfo, TextDocumentPositionParams,
    WorkspaceFoldersChangeEvent,
};

impl LanguageServer for Server {
    async fn initialize(&self, _params: InitializeParams) -> Result<InitializeResult> {
        let raw = std::mem::take(&mut *self.introduction.lock().unwrap_or_else(PoisonError::into_inner));
        let editor = Editor::new(&raw);
        let capabilities = editor.answer();
        let mut session = self.session();
        session.editor = Arc::new(editor);
        let name = raw.pointer("/clientInfo/name").and_then(Value::as_str).unwrap_or("an editor");
        session.client = name.chars().take(100).collect();
        session.settings = raw.pointer("/initializationOptions/settings").cloned();
        let uri = |uri: &Value| uri.as_str()?.parse().ok();
        let folders = raw.get("workspaceFolders").and_then(Value::as_array);
        session.add_folders(folders.into_iter().flatten().filter_map(|folder| uri(folder.get("uri")?)));
        if session.folders.is_empty() {
            session.add_folders(raw.get("rootUri").and_then(uri));
        }
        drop(session);
        let process = raw.get("processId").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        if let Some(process) = process {
            self.watch(process);
        }
        let version = Some(env!("CARGO_PKG_VERSION").into());
        let server_info = Some(ServerInfo { name: "opendevagent".into(), version });
        Ok(InitializeResult { capabilities, server_info })
    }

    async fn initialized(&self, _params: InitializedParams) {
        let editor = self.session().editor.clone();
        self.pull_settings();
        self.register(&editor);
        if editor.completions {
            // Whoever pauses first is not to wait for the setting.
            let folders = self.session().folders.clone();
            for folder in &folders {
                self.inline(Some(folder));
            }
        }
        self.tell_status();
        self.sweep();
        self.shrink();
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
        self.edits.fetch_add(1, Ordering::Relaxed);
        self.shrink();
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
        self.edits.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        self.notice_settings([params.text_document.uri.as_str()]);
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        self.notice_settings(params.changes.iter().map(|change| change.uri.as_str()));
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let key = from_proto::key(params.text_document.uri.as_str());
        let mut session = self.session();
        if session.findings.remove(&key).is_some() {
            self.publish(&session, &key);
        }
        session.failing.remove(&key);
        session.proofs.remove(&key);
        session.documents.remove(&key);
        session.doubted.remove(&key);
        // What a task about it has found in texts that nobody has open goes with it.
        for other in session.clear_unopened(&key) {
            self.publish(&session, &other);
        }
        self.changed.notify_waiters();
        self.shrink();
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        let WorkspaceFoldersChangeEvent { added, removed } = params.event;
        let grows = !added.is_empty();
        let removed: Vec<PathBuf> =
            removed.iter().filter_map(|folder| from_proto::path(folder.uri.as_str())).collect();
        let mut session = self.session();
        session.folders.retain(|folder| !removed.contains(folder));
        session.add_folders(added.into_iter().map(|folder| folder.uri));
        let gone: Vec<_> = removed.iter().filter_map(|folder| session.workshops.remove(folder)).collect();
        session.own_settings.retain(|folder, _| !removed.contains(folder));
        drop(session);
        if grows {
            self.pull_settings();
        }
        for workshop in gone {
            self.retire(workshop);
        }
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        match params.settings {
            Value::Object(settings) if !settings.is_empty() => self.take_settings(settings),
            // The client only says that something has changed.
            _ => self.pull_settings(),
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
        let uri = params.text_document.uri.as_str();
        // Only a plan of before the start is looked for on the disk.
        if let Some(lenses) = self.plan_lenses(uri).await {
            return Ok(Some(lenses));
        }
        Ok(Some(self.lenses(uri.to_owned()).await))
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        Ok(hover::hover(&self.session(), text_document.uri.as_str(), position))
    }

    async fn inlay_hint(&self, params: InlayHintParams) -> Result<Option<Vec<InlayHint>>> {
        let uri = params.text_document.uri.as_str();
        if !self.inline(from_proto::path(uri).as_deref()).verdict {
            return Ok(None);
        }
        let key = from_proto::key(uri);
        Ok(Some(hints::hints(&self.session(), &key, params.range)))
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
        match params.command.as_str() {
            // These may need the disk, for tasks of other servers.
            "opendevagent.tasks" => Ok(Some(self.all_rows().await.into())),
            "opendevagent.cancel" => {
                let id = from_proto::task("cancel", params.arguments)?;
                if self.cancel(&id) { Ok(None) } else { self.cancel_elsewhere(&id).await.map(Some) }
            }
            "opendevagent.showLog" | "opendevagent.showDiff" | "opendevagent.showPlan" => {
                let name = params.command.trim_start_matches("opendevagent.").to_owned();
                match from_proto::maybe_task(&name, params.arguments.clone())? {
                    Some(id) if !self.session().tasks.contains_key(&id) => {
                        self.show_elsewhere(&name, &id).await.map(Some)
                    }
                    _ => self.execute(params).map(Some),
                }
            }
            _ => self.execute(params).map(Some),
        }
    }
}
