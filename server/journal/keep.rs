//! Follows tasks into the store. Both front ends run their tasks through [`Journal::run`].

use super::audit::{Audit, Deed};
use super::files::now;
use super::line::line;
use super::memory::Memory;
use super::witness::{Witness, consent};
use super::{Record, Row, Store, StoreError, Telemetry, hide, this_server};
use crate::agent::task::{Report, Target, Task};
use crate::agent::{self, Emit, Ports};
use crate::event::{Kind, Note};
use crate::model::redact::redact;
use crate::workspace::Buffers;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Lines that may wait for the disk; what comes on top of them is left out, and that is written down.
const QUEUE: usize = 1024;
/// A task waits no longer for a disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a running task looks for wishes of others.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// Characters of an instruction that a row holds.
const SHORT: usize = 200;

/// Writes down what happens to tasks, and answers what did.
pub struct Journal {
    pub store: Arc<dyn Store>,
    pub audit: Audit,
    keep_days: u32,
    keep_mib: u64,
    /// Where ended tasks are told of, if anywhere.
    pub telemetry: Option<Telemetry>,
    /// That something cannot be written was said already.
    troubled: AtomicBool,
    /// That others cannot be reached was said, and not yet that they can again.
    apart: AtomicBool,
    pruned: AtomicBool,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Applied,
    Discarded,
    Stale,
    /// It was to be applied, but the text had changed elsewhere: it is carried over and checked again first.
    Rebased,
}

impl Decision {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Discarded => "discarded",
            Self::Stale => "stale",
            Self::Rebased => "rebased",
        }
    }
}

impl Journal {
    /// Opens nothing before it is used.
    pub fn new(store: Arc<dyn Store>, audit: Audit, keep_days: u32, keep_mib: u64) -> Self {
        let no = || AtomicBool::new(false);
        Self { store, audit, keep_days, keep_mib, telemetry: None, troubled: no(), apart: no(), pruned: no() }
    }

    /// [`agent::run`], written down. A round is on the disk before the next one is asked for; where the store fails,
    /// the task says so once and goes on.
    pub async fn run(
        self: &Arc<Self>,
        ports: &Ports,
        task: Task,
        buffers: Buffers,
        cancel: CancellationToken,
        emit: Emit,
    ) -> Report {
        let (pen, writer) = self.follow(&task.id, emit.clone());
        if task.given.is_none() {
            pen.write("begun", json!({"row": row(&task), "asked": asked(&task)}));
        }
        let both: Emit = {
            let (pen, emit) = (pen.clone(), emit.clone());
            Arc::new(move |kind: Kind| {
                pen.see(&kind);
                emit(kind);
            })
        };
        let world = (ports.model.clone(), ports.sandbox.clone());
        let memory = Memory::of(&*self.store, task.resumes.as_deref()).await;
        let witness = Arc::new(Witness::new((self.clone(), memory), pen.clone(), &task, both.clone(), world));
        let watched = Arc::new(Ports {
            model: witness.clone(),
            sandbox: witness.clone(),
            consent: consent(witness, ports.consent.clone()),
            options: ports.options.clone(),
        });
        let id = task.id.clone();
        self.tell_apart(&both);
        let report = tokio::select! {
            report = Box::pin(agent::run(watched, task, buffers, cancel.clone(), both.clone())) => report,
            () = self.heed(&id, &cancel, &both) => unreachable!("it heeds for ever"),
        };
        pen.write("report", json!({"report": &report}));
        // Both write with it.
        drop((pen, both));
        // A store that hangs must not keep a finished task from its user.
        let _ = tokio::time::timeout(PATIENCE, writer).await;
        self.tell_apart(&emit);
        if let Some(telemetry) = &self.telemetry {
            telemetry.send(self.store.clone(), id, emit);
        }
        self.prune();
        report
    }

    /// The queue of a task's lines, and what writes them in their order until the last pen is dropped.
    fn follow(self: &Arc<Self>, task: &str, emit: Emit) -> (Pen, tokio::task::JoinHandle<()>) {
        let (send, mut receive) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicBool::new(false));
        let pen = Pen { send, missed };
        let (journal, task) = (self.clone(), task.to_owned());
        let writer = tokio::spawn(async move {
            let mut batch = Vec::new();
            while receive.recv_many(&mut batch, QUEUE).await > 0 {
                let mut lines = Vec::new();
                let mut waiting = Vec::new();
                for stroke in batch.drain(..) {
                    match stroke {
                        Stroke::Line(mut line) => {
                            hide(&mut line);
                            lines.push(line);
                        }
                        Stroke::Sync(done) => waiting.push(done),
                    }
                }
                let durable = !waiting.is_empty() || lines.iter().any(|line| line["kind"] == "report");
                if let Err(error) = journal.store.append(&task, lines, durable).await {
                    journal.trouble(&error.to_string(), &emit);
                }
                // Who waits may be gone.
                for done in waiting {
                    let _ = done.send(());
                }
            }
        });
        (pen, writer)
    }

    /// Says once that something cannot be written.
    pub(super) fn trouble(&self, why: &str, emit: &Emit) {
        if !self.troubled.swap(true, Ordering::Relaxed) {
            emit(Kind::Noted {
                level: Note::Warning,
                text: format!("what happens is not kept: {}", redact(why)),
            });
        }
    }

    /// Says once that those who share the store cannot be reached, and once that they can again.
    fn tell_apart(&self, emit: &Emit) {
        let problem = self.store.problem();
        let told = match (&problem, self.apart.swap(problem.is_some(), Ordering::Relaxed)) {
            (Some(problem), false) => {
                (Note::Warning, format!("{problem}. The task goes on here, and is shared later"))
            }
            (None, true) => (Note::Info, "the team's Redis is back, and gets what it missed".to_owned()),
            _ => return,
        };
        emit(Kind::Noted { level: told.0, text: redact(&told.1) });
    }

    /// Cancels the task when another server asks for it. Never ends.
    async fn heed(&self, task: &str, cancel: &CancellationToken, emit: &Emit) {
        let mut cursor = String::new();
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            self.tell_apart(emit);
            let Ok((lines, next)) = self.store.since(task, &cursor).await else { continue };
            cursor = next;
            if lines.iter().any(|line| line["kind"] == "wish" && line["wish"] == "cancel") {
                cancel.cancel();
            }
        }
    }

    /// Asks whichever server runs the task to cancel it.
    pub async fn ask_to_cancel(&self, task: &str) -> Result<Row, StoreError> {
        let row = self.store.task(task).await?.row;
        if row.is_running() {
            let wish = line(now(), "wish", json!({"wish": "cancel", "by": this_server()}));
            self.store.append(&row.id, vec![wish], false).await?;
        }
        Ok(row)
    }

    /// Writes down what became of a proposal. A failure is for the log alone: the edit stands.
    pub async fn decided(&self, report: &Report, decision: Decision) -> Result<(), String> {
        if decision == Decision::Applied {
            let edit = |edit: &agent::task::EditRecord| json!({"path": edit.path, "before_sha256": edit.before_sha256, "after_sha256": edit.after_sha256});
            let edits: Vec<Value> = report.edits.iter().map(edit).collect();
            self.audit.add(Deed::EditApplied, Some(&report.task), json!({"edits": edits})).await?;
        }
        let line = line(now(), "decided", json!({"decision": decision.name(), "by": this_server()}));
        self.store.append(&report.task, vec![line], true).await.map_err(|error| error.to_string())
    }

    /// Lets go of what is too old or too much, once and beside everything else.
    fn prune(self: &Arc<Self>) {
        if !self.pruned.swap(true, Ordering::Relaxed) {
            let journal = self.clone();
            // What fails here is tried again by the next server.
            tokio::spawn(async move { journal.store.prune(journal.keep_days, journal.keep_mib).await });
        }
    }
}

/// A line, or the wish to hear when all before it is on the disk.
enum Stroke {
    Line(Value),
    Sync(oneshot::Sender<()>),
}

/// Writes lines of one task, without waiting for the disk.
#[derive(Clone)]
pub(super) struct Pen {
    send: mpsc::Sender<Stroke>,
    missed: Arc<AtomicBool>,
}

impl Pen {
    pub(super) fn write(&self, kind: &str, fields: Value) {
        let mut line = line(now(), kind, fields);
        if self.missed.load(Ordering::Relaxed) {
            line["missed_before"] = json!(true);
        }
        let missed = self.send.try_send(Stroke::Line(line)).is_err();
        self.missed.store(missed, Ordering::Relaxed);
    }

    /// An event; pieces of answers stand whole in the rounds.
    fn see(&self, kind: &Kind) {
        if matches!(kind, Kind::Said { .. } | Kind::Waiting { .. }) {
            return;
        }
        if let Ok(Value::Object(mut fields)) = serde_json::to_value(kind) {
            let name = fields.remove("kind").unwrap_or_default();
            self.write(name.as_str().unwrap_or_default(), Value::Object(fields));
        }
    }

    /// Waits until all that was written is on the disk, or the disk takes too long.
    pub(super) async fn sync(&self) {
        let (done, written) = oneshot::channel();
        let sync = async {
            if self.send.send(Stroke::Sync(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, sync).await;
    }
}

fn row(task: &Task) -> Row {
    Row {
        id: task.id.clone(),
        action: task.action.name().into(),
        title: task.title(),
        instruction: task.instruction.as_ref().map(|words| words.chars().take(SHORT).collect()),
        workspace: task.root.to_string_lossy().into_owned(),
        file: task.target.as_ref().map(|target| target.path.clone()),
        phase: "queued".into(),
        begun: now(),
        server: this_server().into(),
        ..Row::default()
    }
}

/// What it takes to run the task again.
fn asked(task: &Task) -> Value {
    let target = task.target.as_ref();
    json!({
        "opendevagent": env!("CARGO_PKG_VERSION"),
        "action": task.action,
        "path": target.map(|target| &target.path),
        "lines": target.and_then(|target| target.lines),
        "instruction": task.instruction,
        "language": task.language,
        "framework": task.framework,
        "check": task.check,
        "diagnostics": task.diagnostics.iter().map(|given| json!([given.line, given.message, given.source])).collect::<Vec<_>>(),
        "plan": task.plan,
        "usd": task.usd,
        "files": task.files,
        "nonce": task.nonce,
        "resumes": task.resumes,
    })
}

/// The task that [`asked`] tells of, with a new id; `None` when it tells of none.
pub fn again(asked: &Value, root: std::path::PathBuf) -> Option<Task> {
    use crate::event::Action;
    let text = |name: &str| asked[name].as_str().map(str::to_owned);
    let action = Action::ALL.into_iter().find(|action| asked["action"] == action.name())?;
    let given = |given: &Value| {
        Some(agent::task::Given {
            line: given[0].as_u64()? as u32,
            message: given[1].as_str()?.to_owned(),
            source: given[2].as_str().map(str::to_owned),
        })
    };
    let mut task = Task::new(action, root);
    let lines = serde_json::from_value(asked["lines"].clone()).unwrap_or_default();
    task.target = text("path").map(|path| Target { path, lines });
    task.instruction = text("instruction");
    task.language = text("language");
    task.framework = text("framework");
    task.check = text("check");
    task.diagnostics = asked["diagnostics"].as_array().into_iter().flatten().filter_map(given).collect();
    task.plan = text("plan");
    task.usd = asked["usd"].as_f64();
    task.files = serde_json::from_value(asked["files"].clone()).unwrap_or_default();
    task.nonce = text("nonce").unwrap_or(task.nonce);
    Some(task)
}

/// The task that goes on where one of this machine broke off; `None` when it has not, or nothing tells what it was.
pub fn resumed(record: &Record) -> Option<Task> {
    let row = &record.row;
    let broke_off = row.interrupted || matches!(row.phase.as_str(), "failed" | "cancelled");
    let task = again(&record.asked, row.workspace.clone().into()).filter(|_| broke_off && !row.remote)?;
    Some(Task { resumes: Some(row.id.clone()), ..task })
}
