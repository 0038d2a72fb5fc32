//! The store that a team shares, seen from an editor: says that we are there, and tells while it cannot be reached.
//! Without such a store nothing of this runs.

use super::Server;
use super::outbox::Notice;
use crate::wiring;
use std::time::Duration;
use tower_lsp::lsp_types::MessageType;

/// How often the store is asked what is wrong; that asks no network.
const LOOK: Duration = Duration::from_secs(1);

impl Server {
    /// Begins anew, with the settings in force now.
    pub(super) fn attend(&self) {
        let end = self.root.child_token();
        let client = {
            let mut session = self.session();
            if let Some(before) = session.attending.replace(end.clone()) {
                before.cancel();
            }
            session.client.clone()
        };
        let server = self.clone();
        let attend = async move {
            let store = wiring::store(&server.load(None).settings);
            server.missed(None);
            if !store.attend(&client) {
                return;
            }
            loop {
                let problem = store.problem().map(|problem| problem.to_string());
                server.missed(problem.as_deref());
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::spawn(async move { end.run_until_cancelled(attend).await });
    }

    /// Tells when what is wrong with the store has changed.
    fn missed(&self, problem: Option<&str>) {
        let (was, follows) = {
            let mut session = self.session();
            let was = std::mem::replace(&mut session.away, problem.map(str::to_owned));
            (was, session.editor.status)
        };
        let told = match (was, problem) {
            (None, Some(problem)) => format!("Warning: {problem}. Tasks go on here, and are shared later"),
            (Some(_), None) => "the team's Redis is back, and gets what it missed".into(),
            _ => return,
        };
        self.outbox.push(Notice::Log(MessageType::INFO, told.clone()));
        if !follows && problem.is_some() {
            self.warn(format!("OpenDevAgent: {told}"));
        }
        self.tell_status();
    }
}
