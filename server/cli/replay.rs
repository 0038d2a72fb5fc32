//! `opendevagent tasks replay`: a recorded task once more, without asking a model; and what a recording holds of it.

use super::{TaskArgs, complain, print_json, setup, task, usage};
use crate::agent::task::Task;
use crate::config::Loaded;
use crate::event::{Action, Kind};
use crate::journal::{self, Record};
use crate::model::Model as _;
use crate::model::replay::{Replay, Transcript};
use crate::wiring;
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

/// Runs a task of the journal once more, with the answers that it had. Nothing is written.
pub(super) async fn again(record: &Record, workspace: Option<PathBuf>, json: bool, overrides: &Value) -> u8 {
    let row = &record.row;
    let root = match (workspace, row.machine()) {
        (Some(named), _) => named,
        // A path of another machine means nothing here.
        (None, Some(machine)) => {
            return usage(&format!(
                "the task ran on {machine}; name the folder that holds its files here with --workspace"
            ));
        }
        (None, None) => PathBuf::from(&row.workspace),
    };
    if !root.is_dir() {
        let named = root.display();
        return usage(&format!("there is no folder {named}; name the task's workspace with --workspace"));
    }
    let Some(task) = journal::again(&record.asked, root.canonicalize().unwrap_or(root)) else {
        return usage(&format!("the journal does not say what task {} was to do", row.id));
    };
    let replay = match Replay::from_str(&format!("task {}", row.id), &transcript(record)) {
        Ok(replay) => replay,
        Err(error) => return usage(&error.to_string()),
    };
    complain(&format!("Warning: {}", replay.describe()));
    let loaded = super::load(overrides, Some(&task.root));
    let ports = Arc::new(wiring::ports(&loaded, Arc::new(replay), setup::consent()));
    ports.sandbox.sweep().await;
    let report = task::watch(ports, task, Watcher::Compare(Mutex::new(checks(record))), None).await;
    if json {
        print_json(&report);
    } else {
        task::show(&report, false);
    }
    report.exit_code()
}

/// The answers of a record, as a transcript has them.
fn transcript(record: &Record) -> String {
    let answered = record.rounds.iter().filter(|round| round.reply.is_some());
    let lines = answered.map(|round| {
        let reply = json!({
            "text": round.reply,
            "finish": round.finish,
            "model": round.model,
            "usage": round.usage,
        });
        json!({"agent": round.agent, "model": round.model, "reply": reply}).to_string() + "\n"
    });
    lines.collect()
}

/// What the checks of a record showed, as [`Watcher`] compares it.
fn checks(record: &Record) -> VecDeque<Value> {
    let all = record.before.iter().chain(record.rounds.iter().flat_map(|round| &round.checks));
    let checks = all.cloned().map(|mut check| {
        if let Some(check) = check.as_object_mut() {
            check.retain(|name, _| name != "at" && name != "measured");
        }
        check
    });
    checks.collect()
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
