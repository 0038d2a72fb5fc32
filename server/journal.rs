//! Tasks that outlive their server: what was asked, answered, checked, decided and spent.
//!
//! A task is a file of lines that only grows; everything else is computed from it. Nothing is opened before the first
//! task or the first question, and no key is ever written.
//!
//! Why files and no database: a task has one writer, so appending is all it takes to survive a `kill -9`; any number
//! of servers share the folder; and a bundled `SQLite` would make the program 1 MiB larger (measured).

pub mod audit;
mod claim;
mod files;
mod index;
mod keep;
mod line;
mod memory;
mod otlp;
mod team;
mod telemetry;
mod witness;

pub use claim::Claim;
pub use files::Files;
pub use keep::{Decision, Journal, again, resumed};
pub use line::hide;
pub use team::TeamStore;
pub use telemetry::{HEADERS_ENV, Telemetry};

use crate::model::Usage;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::LazyLock;

/// One task in a list. Words are kept as text, so that a journal of another version can be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    #[serde(rename = "task")]
    pub id: String,
    /// One of [`crate::event::Action`].
    pub action: String,
    pub title: String,
    /// What the user wrote, in short.
    pub instruction: Option<String>,
    /// The folder, as an absolute path.
    pub workspace: String,
    /// Relative to the workspace.
    pub file: Option<String>,
    /// One of [`crate::event::Phase`].
    pub phase: String,
    /// Milliseconds since the Unix epoch.
    pub begun: u64,
    /// `None`: it runs.
    pub ended: Option<u64>,
    /// One of [`crate::verdict::Level`].
    pub level: Option<String>,
    /// How it ended, in one sentence.
    pub message: String,
    /// Its server was gone before it ended.
    pub interrupted: bool,
    /// What became of its proposal: `applied`, `discarded`, `stale`, or `rebased` until that is known.
    pub decision: Option<String>,
    /// When its edits were applied.
    pub applied: Option<u64>,
    pub usage: Usage,
    /// Proposals that were checked.
    pub rounds: u32,
    /// Files of the proposal.
    pub edits: u32,
    /// The process that runs it, as [`crate::sandbox::owner::Owner`] writes it.
    pub server: String,
    /// Another machine of the team keeps it: its paths mean nothing here.
    #[serde(skip)]
    pub remote: bool,
}

/// Which tasks are wanted, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words that all must stand somewhere in the row, in any case.
    pub text: String,
    pub action: Option<String>,
    /// A phase, or `running`.
    pub phase: Option<String>,
    pub workspace: Option<String>,
    /// Only tasks older than the one of this id: the next page.
    pub before: Option<String>,
    /// At most so many; 0: no limit.
    pub limit: usize,
}

/// All that is known of one task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    pub row: Row,
    /// What was asked: action, target, instruction, check, nonce, as `tasks replay` needs it.
    pub asked: Value,
    /// In their order, as clients get them, but for the pieces of answers.
    pub events: Vec<Value>,
    /// Checks before the first call.
    pub before: Vec<Value>,
    pub rounds: Vec<Round>,
    /// As `--json` prints it (CONTRACT §2), keys hidden.
    pub report: Option<Value>,
    /// Lines that could not be read.
    pub damaged: usize,
}

impl Record {
    /// That this is not all that was kept, for people.
    pub fn loss(&self) -> Option<String> {
        let lines = if self.damaged == 1 { "line" } else { "lines" };
        (self.damaged > 0).then(|| {
            format!("{} {lines} of this record could not be read: damaged or taken out", self.damaged)
        })
    }
}

/// One call of a model, and what was made of its answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Round {
    /// From 1.
    pub number: u32,
    pub agent: String,
    /// The model that was asked, then the one that answered.
    pub model: String,
    pub prompt_sha256: String,
    pub prompt_bytes: u64,
    /// The same for prompts that differ in times alone.
    pub question: String,
    /// The files shown to it.
    pub files: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub asked: u64,
    pub answered: Option<u64>,
    pub reply: Option<String>,
    /// Of the answer as it came: what stands here may have keys hidden, or be cut.
    pub reply_sha256: String,
    /// The task that this one resumes had the answer already: no model was asked.
    pub again: bool,
    /// How the answer ended, e.g. `stop`; or why there is none.
    pub finish: Option<String>,
    pub usage: Usage,
    /// Runs since, each with `stage`, `status`, `exit_code`, `tests`, `output`, `duration_ms`, `cpu_ms`,
    /// `peak_memory_bytes`.
    pub checks: Vec<Value>,
    /// The proposal against the workspace, as a unified diff.
    pub diff: Option<String>,
    /// CONTRACT §5.
    pub verdict: Option<Value>,
}

/// Where tasks are kept. What is appended is there for every server that shares the store.
pub trait Store: Send + Sync {
    /// Adds lines to a task. When it answers and `durable` is set, they outlive a power cut.
    fn append<'a>(
        &'a self,
        task: &'a str,
        lines: Vec<Value>,
        durable: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The newest first.
    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// By id, or by the beginning of one that no other task has.
    fn task<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Record, StoreError>>;

    /// The lines of a task since `cursor` (empty: all), and the cursor to ask with next. For watching.
    fn since<'a>(
        &'a self,
        task: &'a str,
        cursor: &'a str,
    ) -> BoxFuture<'a, Result<(Vec<Value>, String), StoreError>>;

    /// What there is to tell since last asked: tasks that were interrupted, files that were damaged. Each is told
    /// once, by one of the servers that share the store.
    fn news(&self) -> BoxFuture<'_, Vec<String>>;

    /// Lets go of ended tasks that are older than `days`, then of the oldest until `mib` are enough.
    fn prune(&self, days: u32, mib: u64) -> BoxFuture<'_, Result<usize, StoreError>>;

    /// For people: where tasks are kept.
    fn describe(&self) -> String;

    /// Whether it can be used, for people. Changes nothing.
    fn probe(&self) -> BoxFuture<'_, Result<String, StoreError>>;

    /// What is wrong with the part that others share, while work goes on without it.
    fn problem(&self) -> Option<StoreError> {
        None
    }

    /// Who shares the store and is there now, for people.
    fn there(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }

    /// Tells those who share the store that this process is there from now on, and which editor it serves; whether there
    /// are any to be told.
    fn attend(&self, _editor: &str) -> bool {
        false
    }
}

/// Why a store could not do its work. Every message ends in what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("there is no task {0:?}; `opendevagent tasks list` shows what there is")]
    Unknown(String),
    #[error("{count} tasks begin with {id:?}; give more of the id")]
    Ambiguous { id: String, count: usize },
    #[error("{why}; {remedy}")]
    Unavailable { why: String, remedy: String },
}

/// This process, as rows name it.
fn this_server() -> &'static str {
    static THIS: LazyLock<String> = LazyLock::new(|| crate::sandbox::owner::Owner::this().to_string());
    &THIS
}

/// Whether a row's `server` is this process.
pub fn is_this_server(server: &str) -> bool {
    server == this_server()
}

/// The machine in the name of a server, for people.
fn machine(server: &str) -> String {
    let name = server.split(['+', '/']).next().unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

impl Row {
    /// The machine of the team that keeps the task; `None`: this one.
    pub fn machine(&self) -> Option<String> {
        self.remote.then(|| machine(&self.server))
    }

    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }
}

impl Query {
    /// Whether a row is wanted, pages aside.
    pub fn wants(&self, row: &Row) -> bool {
        let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
        let phase =
            self.phase.as_deref() == Some("running") && row.is_running() || is(&self.phase, &row.phase);
        phase
            && is(&self.action, &row.action)
            && is(&self.workspace, &row.workspace)
            && self.before.as_ref().is_none_or(|before| row.id < *before)
            && self.finds(row)
    }

    fn finds(&self, row: &Row) -> bool {
        if self.text.trim().is_empty() {
            return true;
        }
        let all = [
            row.id.as_str(),
            &row.title,
            row.instruction.as_deref().unwrap_or_default(),
            &row.workspace,
            &row.phase,
            row.level.as_deref().unwrap_or_default(),
            row.decision.as_deref().unwrap_or_default(),
            &row.message,
        ];
        let all = all.join("\n").to_lowercase();
        self.text.to_lowercase().split_whitespace().all(|word| all.contains(word))
    }

    /// The wanted rows of all, the newest first.
    pub fn choose<'a>(&self, rows: impl DoubleEndedIterator<Item = &'a Row>) -> Vec<Row> {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        rows.rev().filter(|row| self.wants(row)).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
