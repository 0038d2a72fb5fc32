//! `opendevagent.dashboard`: opens the page and does what is wished on it.

use super::session::{Entry, Offer};
use super::{MessageType, Server};
use crate::dashboard::{Act, Dashboard, Desk, Times, Wish};
use crate::verdict::Level;
use crate::wiring;
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::lsp_types::{ShowDocumentParams, request};

/// How long the page waits for a wish to come true before it is shown again.
const PROMPT: Duration = Duration::from_secs(2);

impl Server {
    /// Shows the page to the user, in a browser where the client opens one.
    pub(super) async fn show_dashboard(&self) {
        let link = match self.dashboard().await {
            Ok(dashboard) => dashboard.link(),
            Err(error) => {
                return self.show(MessageType::ERROR, format!("the dashboard found no free port: {error}"));
            }
        };
        let shown = self.session().editor.show_document && self.browse(&link).await;
        if !shown {
            let message = format!("OpenDevAgent: open {link} in a browser, within a minute");
            self.show(MessageType::INFO, message);
        }
    }

    async fn browse(&self, link: &str) -> bool {
        let Ok(uri) = link.parse() else { return false };
        let params =
            ShowDocumentParams { uri, external: Some(true), take_focus: Some(true), selection: None };
        let answer = self.client.send_request::<request::ShowDocument>(params).await;
        answer.is_ok_and(|answer| answer.success)
    }

    /// The page's listener: the one that is open, else a new one.
    async fn dashboard(&self) -> std::io::Result<Dashboard> {
        if let Some(open) = self.session().dashboard.clone().filter(Dashboard::is_open) {
            return Ok(open);
        }
        let new = Dashboard::open(self.desk(), Times::default()).await?;
        let mut session = self.session();
        // Another command may have been faster.
        if let Some(open) = session.dashboard.clone().filter(Dashboard::is_open) {
            new.close();
            return Ok(open);
        }
        session.dashboard = Some(new.clone());
        Ok(new)
    }

    fn desk(&self) -> Desk {
        let folder = self.session().folders.first().cloned();
        let act: Act = {
            let server = self.clone();
            Arc::new(move |wish, id| {
                let server = server.clone();
                Box::pin(async move { server.grant(wish, id).await })
            })
        };
        let (server, other) = (self.clone(), self.clone());
        Desk {
            store: wiring::store(&self.load(folder.as_deref()).settings),
            loaded: Box::new(move || server.load(folder.as_deref())),
            offers: Box::new(move |id| other.session().tasks.get(id).map(Entry::offers).unwrap_or_default()),
            act,
        }
    }

    async fn grant(self, wish: Wish, id: String) {
        match wish {
            Wish::Cancel if self.cancel(&id) => {}
            // What became of it is seen on the page.
            Wish::Cancel => drop(self.cancel_elsewhere(&id).await),
            Wish::Discard => self.discard(&id),
            Wish::Apply => {
                // Goes on when the page does not wait any longer.
                let applied = tokio::spawn(async move { self.apply(&id).await });
                let _ = tokio::time::timeout(PROMPT, applied).await;
            }
        }
    }
}

impl Entry {
    /// What can be done with it from afar. To apply what fails its check is for the editor alone.
    fn offers(&self) -> Vec<Wish> {
        match self.offer {
            _ if self.is_running() => vec![Wish::Cancel],
            Offer::Standing if self.level() == Some(Level::Failing) => vec![Wish::Discard],
            Offer::Standing => vec![Wish::Apply, Wish::Discard],
            _ => Vec::new(),
        }
    }
}
