//! Diagnostics on their way to the client, pushed or asked for again, and the lenses that hang on them.

use super::outbox::Notice;
use super::session::Session;
use super::{Server, to_proto};
use std::str::FromStr;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tower_lsp::Client;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{PublishDiagnosticsParams, Uri};

/// How long a client has to answer that it will ask again.
const REFRESHED: Duration = Duration::from_secs(30);

impl Server {
    /// Has what is known about a document published, where diagnostics are pushed.
    pub(super) fn publish(&self, session: &Session, key: &str) {
        if session.editor.pull_diagnostics {
            return;
        }
        if let Some(uri) = to_proto::uri(&session.documents, key) {
            self.outbox.push(Notice::Diagnostics(key.to_owned(), uri.as_str().to_owned()));
        }
    }

    /// What is known about a document now.
    pub(super) fn published(&self, key: &str, uri: &str) -> Option<PublishDiagnosticsParams> {
        let session = self.session();
        let published = session.findings.get(key);
        let diagnostics = published.map_or_else(Vec::new, |published| {
            to_proto::diagnostics(published, key, &session.documents, &session.editor)
        });
        let version = published.and_then(|published| published.version);
        let version = version.filter(|_| session.editor.diagnostic_versions);
        Some(PublishDiagnosticsParams { uri: Uri::from_str(uri).ok()?, diagnostics, version })
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
        self.refresh(Refresh::Diagnostics);
    }

    pub(super) fn refresh_lenses(&self) {
        if self.session().editor.refresh_lenses {
            self.refresh(Refresh::Lenses);
        }
    }

    /// Has the client ask again. One request of a kind is under way at once, however often and however slow.
    fn refresh(&self, what: Refresh) {
        if self.refreshes[what as usize].fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let wishes = &server.refreshes[what as usize];
            loop {
                let heard = wishes.load(Ordering::Relaxed);
                // Without an answer the client is asked again at the next wish.
                let _ = tokio::time::timeout(REFRESHED, what.ask(&server.client)).await;
                if wishes.compare_exchange(heard, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return;
                }
            }
        });
    }
}

/// What a client can be told to ask again.
#[derive(Clone, Copy)]
pub(super) enum Refresh {
    Diagnostics,
    Lenses,
}

impl Refresh {
    pub(super) const COUNT: usize = 2;

    async fn ask(self, client: &Client) -> Result<()> {
        match self {
            Self::Diagnostics => client.workspace_diagnostic_refresh().await,
            Self::Lenses => client.code_lens_refresh().await,
        }
    }
}
