//! Diagnostics on their way to the client, pushed or asked for again, and the lenses that hang on them.

use super::capabilities::Editor;
use super::outbox::Notice;
use super::published::{Edited, Published};
use super::session::Session;
use super::{Server, to_proto};
use crate::event::Finding;
use crate::workspace::Document;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{PublishDiagnosticsParams, Uri};

/// How often texts are compared while the user types on, before the user waits for it.
const COMPARED_BESIDE: usize = 3;
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

    /// What a task found in a document, moved to where its text is now, and the session that this is true of. The user
    /// may have typed since the task began, and goes on while the texts are compared.
    pub(super) fn place_findings(
        &self,
        task: &str,
        path: &str,
        findings: &[Finding],
    ) -> (MutexGuard<'_, Session>, Option<(String, Published)>) {
        let mut compared: Option<(Arc<Document>, Vec<Edited>)> = None;
        let mut rounds = 0;
        loop {
            let session = self.session();
            let Some(entry) = session.tasks.get(task) else { return (session, None) };
            let (key, root) = (entry.document_key(path), entry.task.root.clone());
            let (then, now) = (entry.documents.get(&key).cloned(), session.documents.get(&key).cloned());
            let is_known = |now| compared.as_ref().is_some_and(|(text, _)| Arc::ptr_eq(text, now));
            match (&then, &now) {
                (Some(then), Some(now)) if !Arc::ptr_eq(then, now) && !is_known(now) => {
                    rounds += 1;
                    if rounds < COMPARED_BESIDE {
                        drop(session);
                        compared = Some((now.clone(), Edited::between(&then.text, &now.text)));
                        continue;
                    }
                    compared = Some((now.clone(), Edited::between(&then.text, &now.text)));
                }
                _ => {}
            }
            let version = now.or(then).map(|document| document.version);
            let mut published =
                Published { task: task.to_owned(), root, version, findings: findings.to_vec() };
            for edited in compared.iter().flat_map(|(_, edits)| edits) {
                published.follow(edited);
            }
            return (session, Some((key, published)));
        }
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
        self.refresh(Refresh::Lenses);
    }

    /// Whether the client was asked for this and has yet to answer.
    pub(super) fn is_asked(&self, what: Refresh) -> bool {
        self.refreshes[what as usize].load(Ordering::Relaxed) > 0
    }

    /// Has a client that can be told to ask again. One request of a kind is under way at once, however often and however slow.
    pub(super) fn refresh(&self, what: Refresh) {
        if !what.is_known(&self.session().editor) {
            return;
        }
        if self.refreshes[what as usize].fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let wishes = &server.refreshes[what as usize];
            loop {
                let heard = wishes.load(Ordering::Relaxed);
                // Without an answer the client is asked again at the next wish.
                let _ = tokio::time::timeout(REFRESHED, what.ask(&server)).await;
                if wishes.compare_exchange(heard, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    server.changed.notify_waiters();
                    return;
                }
            }
        });
    }
}

/// What a client can be asked for again and again.
#[derive(Clone, Copy)]
pub(super) enum Refresh {
    Diagnostics,
    Lenses,
    Hints,
    Settings,
}

impl Refresh {
    pub(super) const COUNT: usize = 4;

    fn is_known(self, editor: &Editor) -> bool {
        match self {
            Self::Diagnostics => editor.pull_diagnostics,
            Self::Lenses => editor.refresh_lenses,
            Self::Hints => editor.refresh_hints,
            Self::Settings => editor.configuration,
        }
    }

    async fn ask(self, server: &Server) -> Result<()> {
        let client = &server.client;
        match self {
            Self::Diagnostics => client.workspace_diagnostic_refresh().await,
            Self::Lenses => client.code_lens_refresh().await,
            Self::Hints => client.inlay_hint_refresh().await,
            Self::Settings => server.ask_for_settings().await,
        }
    }
}
