//! `opendevagent tasks replay`: a recorded task once more, without asking a model; and what a recording holds of it.

use super::{TaskArgs, complain, task, usage};
use crate::agent::task::Task;
use crate::config::Loaded;
use crate::event::{Action, Kind};
use crate::model::replay::{Replay, Transcript};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The first line of a recording: the task, and the settings in force.
pub(super) fn header(task: &Task, args: &TaskArgs, loaded: &Loaded) -> Value {
    let mut settings = serde_json::to_value(&loaded.settings).unwrap_or_default();
    // A command line may hold a secret.
    settings["model"]["keyCommand"] = Value::Null;
    json!({
        "opendevagent": env!("CARGO_PKG_VERSION"),
        "task": {
            "action": task.action,
            "target": args.target,
            "instruction": args.instruction,
            "check": args.check,
            "nonce": task.nonce,
        },
        "settings": settings,
    })
}

/// Runs the task that `path` holds. Nothing is written.
pub(super) async fn run(path: PathBuf, workspace: Option<PathBuf>, json: bool, overrides: &Value) -> u8 {
    if !path.exists() {
        return usage(&format!(
            "there is no file {}, and tasks are not kept yet; give a file that --record has written",
            path.display()
        ));
    }
    let header = match Replay::open(&path) {
        Ok(replay) => replay.header().clone(),
        Err(error) => return usage(&error.to_string()),
    };
    let asked = &header["task"];
    let action = Action::ALL.into_iter().find(|action| asked["action"] == action.name());
    let Some(action) = action.filter(|action| *action != Action::Run) else {
        return usage(&format!("{} does not say which task it is of; record it again", path.display()));
    };
    let text = |name: &str| asked[name].as_str().map(str::to_owned);
    let args = TaskArgs {
        target: text("target"),
        instruction: text("instruction"),
        workspace,
        check: text("check"),
        apply: false,
        show_context: false,
        plan: None,
        step: None,
        json,
        record: None,
        replay: Some(path),
    };
    task::run(action, args, overrides).await
}

/// Who follows a task beside the terminal.
pub(super) enum Watcher {
    None,
    Record(Arc<Transcript>),
    /// What the checks showed when the task was recorded, those to come.
    Compare(Mutex<VecDeque<Value>>),
}

impl Watcher {
    pub(super) fn see(&self, kind: &Kind) {
        let mut shown = serde_json::to_value(kind).unwrap_or_default();
        if let Some(shown) = shown.as_object_mut() {
            // No two runs take the same time.
            shown.remove("measured");
        }
        match (self, kind) {
            (Self::Record(transcript), Kind::Ran { .. }) => record(transcript, &json!({ "check": shown })),
            (Self::Record(transcript), Kind::Ended { .. }) => record(transcript, &json!({ "ended": shown })),
            (Self::Compare(checks), Kind::Ran { .. }) => {
                match checks.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                    Some(then) if then != shown => {
                        complain(&format!(
                            "Warning: a check differs from the recording: was {then}, is {shown}"
                        ));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn record(transcript: &Transcript, line: &Value) {
    if let Err(error) = transcript.write(line) {
        complain(&format!("Warning: {error}"));
    }
}
