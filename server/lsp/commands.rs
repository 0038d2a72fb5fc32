//! `workspace/executeCommand`: checked at once, answered at once; what takes time goes on beside.

use super::capabilities::COMMANDS;
use super::from_proto::{self, Arguments};
use super::plans::DOCUMENT;
use super::session::{Entry, Offer};
use super::{MessageType, Server};
use crate::event::Action;
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, ErrorCode, Result};
use tower_lsp::lsp_types::ExecuteCommandParams;

impl Server {
    pub(super) fn execute(&self, params: ExecuteCommandParams) -> Result<Value> {
        let known = params.command.strip_prefix("opendevagent.").filter(|name| COMMANDS.contains(name));
        let Some(name) = known else {
            return Err(Error::invalid_params(format!("there is no command {:?}", params.command)));
        };
        if let Some(action) = Action::ALL.into_iter().find(|action| action.name() == name) {
            let arguments = Arguments::read(name, params.arguments)?;
            let token = params.work_done_progress_params.work_done_token;
            let by_plan = arguments.plan.is_some() || arguments.step.is_some();
            if by_plan && action != Action::Generate {
                return Err(from_proto::wrong(name, "only opendevagent.generate takes `plan` and `step`"));
            }
            let unfinished = |entry: &&Entry| !entry.cancel.is_cancelled();
            if self.session().running().filter(unfinished).count() >= TASKS {
                let message = format!("{TASKS} tasks are unfinished; cancel some, or wait for them");
                return Err(Error {
                    code: ErrorCode::ServerError(REQUEST_FAILED),
                    message: message.into(),
                    data: None,
                });
            }
            if by_plan {
                return self.generate_by_plan(arguments, token);
            }
            let (task, key) = self.task(action, arguments)?;
            let id = self.begin(task, key, token);
            return Ok(json!({"task": id}));
        }
        match name {
            "apply" | "discard" | "showDiff" => self.about_proposal(name, params.arguments),
            "showPlan" | "showLog" => self.show_about(name, params.arguments),
            "restartSandbox" => {
                self.reconnect();
                self.show(MessageType::INFO, "the sandbox is made anew for the next task".into());
                Ok(Value::Null)
            }
            "dashboard" if self.load(None).settings.dashboard.enabled => {
                let server = self.clone();
                tokio::spawn(async move { server.show_dashboard().await });
                Ok(Value::Null)
            }
            _ => Err(Error {
                code: ErrorCode::ServerError(REQUEST_FAILED),
                message: "the dashboard is switched off; set `dashboard.enabled`".into(),
                data: None,
            }),
        }
    }

    fn about_proposal(&self, name: &str, arguments: Vec<Value>) -> Result<Value> {
        let id = from_proto::task(name, arguments)?;
        let offer = self.session().tasks.get(&id).map(|entry| entry.offer);
        let why = match (offer, name) {
            (None, _) => return Err(unknown(name, &id)),
            (Some(Offer::None), _) => "it has no proposal",
            (Some(Offer::Standing), _) | (Some(_), "showDiff") => "",
            (Some(Offer::Applying), _) => "its edits are being applied",
            (Some(Offer::Applied), _) => "its edits were applied already",
            (Some(Offer::Discarded), _) => "its proposal was discarded",
        };
        if !why.is_empty() {
            return Err(from_proto::wrong(name, format!("task {id}: {why}")));
        }
        match name {
            "discard" => self.discard(&id),
            "apply" => self.about(id, |server, id| async move { server.apply(&id).await }),
            _ => self.about(id, |server, id| async move { drop(server.show_diff(&id).await) }),
        }
        Ok(Value::Null)
    }

    /// Shows the plan or the log of a task, by default of the newest one that has it.
    fn show_about(&self, name: &str, arguments: Vec<Value>) -> Result<Value> {
        let wanted = from_proto::maybe_task(name, arguments)?;
        let plan_of = |entry: &Entry| {
            let report = entry.report.as_ref()?;
            report.text.clone().filter(|_| entry.is(Action::Plan) || report.plan.is_some())
        };
        let (id, plan) = {
            let session = self.session();
            let entry = match &wanted {
                Some(id) => session.tasks.get(id).ok_or_else(|| unknown(name, id))?,
                None => session
                    .newest(|entry| name == "showLog" || plan_of(entry).is_some())
                    .ok_or_else(|| from_proto::wrong(name, "there is no task to show yet"))?,
            };
            (entry.task.id.clone(), plan_of(entry))
        };
        match (name, plan) {
            ("showPlan", None) => return Err(from_proto::wrong(name, format!("task {id} has no plan"))),
            ("showPlan", Some(_)) => self.about(id, |server, id| async move {
                if !server.show_plan(&id, true).await {
                    server.show_text(&id, DOCUMENT, true).await;
                }
            }),
            _ => self.about(id, |server, id| async move { server.show_log(&id).await }),
        }
        Ok(Value::Null)
    }

    /// `opendevagent/task`: the report (CONTRACT §2) of a finished task, what is known of a running one, the
    /// log, and the last question as a model got to see it.
    pub(super) fn task_record(&self, id: &str) -> Result<Value> {
        let session = self.session();
        let entry = session.tasks.get(id).ok_or_else(|| unknown("task", id))?;
        let mut record = entry.row();
        if let Some(report) = &entry.report
            && let (Ok(Value::Object(report)), Value::Object(record)) =
                (serde_json::to_value(&**report), &mut record)
        {
            record.extend(report);
        }
        if let Some(progress) = session.plans.get(id) {
            record["plan"] = json!(progress.plan());
        }
        record["log"] = json!(entry.log);
        record["context"] = json!(entry.report.as_ref().and_then(|report| report.asked.as_ref()));
        Ok(record)
    }
}

/// Tasks that may be unfinished at once, the waiting ones included.
const TASKS: usize = 256;
/// `RequestFailed` (LSP 3.17): valid, but it could not be done.
const REQUEST_FAILED: i64 = -32803;

fn unknown(command: &str, id: &str) -> Error {
    from_proto::wrong(
        command,
        format!("this server has no task {id:?}; one from before it began can be run again"),
    )
}
