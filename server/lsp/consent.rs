//! Asks the user, through the client, before a workspace's dependencies are installed.

use super::{MessageType, Server};
use crate::agent::dependencies::{Consent, Wish};
use std::sync::Arc;
use std::time::Duration;

/// How long the task waits for the answer; then it goes on without.
const ANSWER: Duration = Duration::from_secs(120);
const INSTALL: &str = "Install";

impl Server {
    /// Asks once for each content of the lock files: no answer is a no, and so is a client that cannot ask.
    pub(super) fn ask_consent(&self) -> Consent {
        let server = self.clone();
        Arc::new(move |wish| {
            let server = server.clone();
            Box::pin(async move { server.agrees(wish).await })
        })
    }

    async fn agrees(&self, wish: Wish) -> bool {
        let can_ask = {
            let mut session = self.session();
            if !session.asked.insert(wish.key) {
                return false;
            }
            session.editor.message_request
        };
        if !can_ask {
            let how = "run `opendevagent sandbox setup` in the workspace to agree";
            self.show(
                MessageType::INFO,
                format!("To verify more, OpenDevAgent would {}; {how}.", wish.question),
            );
            return false;
        }
        let message = format!("To verify this task, OpenDevAgent would {}.", wish.question);
        let answer =
            tokio::time::timeout(ANSWER, self.ask(MessageType::INFO, message, &[INSTALL, "Not now"]));
        answer.await.ok().flatten().as_deref() == Some(INSTALL)
    }
}
