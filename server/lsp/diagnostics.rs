//! Diagnostics on their way to the client, pushed or asked for again, and the lenses that hang on them.

use super::session::Session;
use super::sinks::Notice;
use super::{Server, to_proto};
use std::sync::MutexGuard;
use tower_lsp::lsp_types::PublishDiagnosticsParams;

impl Server {
    /// Publishes what is known about a document, where diagnostics are pushed.
    pub(super) fn publish(&self, session: &Session, key: &str) {
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
    pub(super) fn clear_findings(&self, mut session: MutexGuard<'_, Session>, task: &str) {
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

    pub(super) fn refresh_diagnostics(&self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.workspace_diagnostic_refresh().await });
    }

    pub(super) fn refresh_lenses(&self) {
        if self.session().editor.refresh_lenses {
            let client = self.client.clone();
            tokio::spawn(async move { client.code_lens_refresh().await });
        }
    }
}
