//! What clients may send beyond LSP's usual: cancelling by progress, and our own requests (CONTRACT §3).

use super::{Server, from_proto};
use crate::agent::task::Stop;
use crate::doctor;
use crate::journal::audit::Deed;
use crate::model::ModelError;
use crate::model::openai::find_local;
use crate::model::redact::redact;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use std::future::{Ready, ready};
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{ProgressToken, WorkDoneProgressCancelParams};

#[derive(Deserialize)]
pub(super) struct OneTask {
    task: String,
}

#[derive(Deserialize)]
pub(super) struct SetKey {
    /// Null forgets the key; one that is missing may have been misspelt.
    #[serde(deserialize_with = "Option::deserialize")]
    key: Option<String>,
}

impl Server {
    pub(super) fn progress_cancel(
        &self,
        WorkDoneProgressCancelParams { token }: WorkDoneProgressCancelParams,
    ) -> Ready<()> {
        let id = {
            let session = self.session();
            // Our own tokens are the tasks' ids; a client's stands in the task.
            let by_id = match &token {
                ProgressToken::String(id) => session.tasks.get(id),
                ProgressToken::Number(_) => None,
            };
            let entry = by_id.or_else(|| session.newest(|entry| entry.progress.as_ref() == Some(&token)));
            entry.map(|entry| entry.task.id.clone())
        };
        if let Some(id) = id {
            self.cancel(&id);
        }
        ready(())
    }

    /// We do not trace, but a client may say so.
    #[expect(clippy::unused_self, reason = "the signature is that of a handler")]
    pub(super) fn set_trace(&self, _params: Value) -> Ready<()> {
        ready(())
    }

    /// `opendevagent/tasks`.
    pub(super) async fn list_tasks(&self, _params: Value) -> Result<Value> {
        Ok(self.all_rows().await.into())
    }

    /// `opendevagent/task`.
    pub(super) async fn one_task(&self, OneTask { task }: OneTask) -> Result<Value> {
        self.any_record(&task).await
    }

    /// `opendevagent/proposal`: a task's proposal, as `opendevagent/review` brings it.
    pub(super) fn one_proposal(&self, OneTask { task: id }: OneTask) -> Ready<Result<Value>> {
        let found = self.ended(&id).filter(|(_, report)| !report.proposal.changes.is_empty());
        ready(match found {
            Some((task, report)) => Ok(self.proposal(&task, &report)),
            None => Err(from_proto::wrong("proposal", format!("task {id:?} has no proposal"))),
        })
    }

    /// `opendevagent/again`: runs a task once more, on the text as it is now.
    pub(super) async fn run_again(&self, OneTask { task: id }: OneTask) -> Result<Value> {
        let found = self.session().tasks.get(&id).map(|entry| (entry.task.clone(), entry.key.clone()));
        let task = match found {
            Some((task, key)) => self.begin(task.anew(), key, None),
            None => self.again_here(&id).await?,
        };
        Ok(json!({"task": task}))
    }

    /// `opendevagent/setKey`: takes the key (null forgets it) and tells what the server says of it. The answer comes
    /// from the network, so it is not given at once; the key is in use before.
    pub(super) async fn set_key(&self, SetKey { key }: SetKey) -> Result<Value> {
        let key = key.map(SecretString::from);
        let folder = {
            let mut session = self.session();
            for workshop in session.workshops.values() {
                workshop.connected.keys.give(key.clone());
            }
            session.key.clone_from(&key);
            session.allowance.renew();
            session.folders.first().cloned().unwrap_or_default()
        };
        self.key_changed(key.is_some(), "setKey");
        if key.is_none() {
            return Ok(json!({"ok": true, "message": "the key is forgotten"}));
        }
        let (ok, message, refused) = match self.workshop(&folder) {
            Ok(workshop) => match workshop.connected.ports.model.probe().await {
                Ok(detail) => (true, detail, false),
                Err(error) => {
                    (false, error.to_string(), matches!(error, ModelError::Auth(_) | ModelError::NoKey(_)))
                }
            },
            Err(problem) => (false, problem, false),
        };
        if ok {
            self.key_works();
        }
        Ok(json!({"ok": ok, "message": redact(&message), "refused": refused}))
    }

    /// Has the audit log say that a key came or went. A log that cannot be written is told of by the task that uses it.
    pub(super) fn key_changed(&self, set: bool, by: &'static str) {
        let folder = self.session().folders.first().cloned().unwrap_or_default();
        let Ok(workshop) = self.workshop(&folder) else { return };
        let deed = if set { Deed::KeySet } else { Deed::KeyForgotten };
        self.work.spawn(async move {
            let _ = workshop.connected.journal.audit.add(deed, None, json!({"by": by})).await;
        });
    }

    /// The last task may have failed for want of a key: that is mended.
    fn key_works(&self) {
        {
            let mut session = self.session();
            session.problem = session.problem.take().filter(|stop| !matches!(stop, Stop::Key(_)));
        }
        self.tell_status();
    }

    /// `opendevagent/doctor`, and the model servers on this machine. Asks the network, so it is not answered at once.
    pub(super) async fn doctor(&self, _params: Value) -> Result<Value> {
        let folder = self.session().folders.first().cloned();
        let loaded = self.load(folder.as_deref());
        let checks = doctor::examine(&loaded, folder.as_deref(), Some(self.ask_key()));
        let (checks, local) = tokio::join!(checks, find_local());
        Ok(json!({"checks": checks, "local": local}))
    }
}
