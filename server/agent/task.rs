//! What was asked ([`Task`]) and what came of it ([`Report`]).

use crate::agent::patch::FileChange;
use crate::event::{Action, Finding, Phase};
use crate::model::{Agent, Message, ModelError, Role, Usage};
use crate::verdict::{Level, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// One run of an action on one workspace.
#[derive(Clone, Debug)]
pub struct Task {
    /// UUIDv7: sortable, unique across servers.
    pub id: String,
    /// Fences foreign text in prompts and marks what is hidden there. Random, so that nobody who writes a file can
    /// know it; a replayed task has that of its recording.
    pub nonce: String,
    pub action: Action,
    /// The workspace folder.
    pub root: PathBuf,
    pub target: Option<Target>,
    /// What the user wrote.
    pub instruction: Option<String>,
    /// Wishes of `generate`.
    pub language: Option<String>,
    pub framework: Option<String>,
    /// The check the user named; wins over every other.
    pub check: Option<String>,
    /// Other servers' diagnostics that were handed over.
    pub diagnostics: Vec<Given>,
    /// The plan to follow, as Markdown.
    pub plan: Option<String>,
    /// US dollars it may cost, where the user said so for this task alone.
    pub usd: Option<f64>,
    /// Further files that it is about, relative to the root; they need not exist.
    pub files: Vec<String>,
    /// What came of it already: its proposal is carried over to the texts as they are now and checked again. No model
    /// is asked.
    pub given: Option<Arc<Report>>,
    /// The task that broke off and goes on here: what it was told already is not asked again.
    pub resumes: Option<String>,
}

impl Task {
    pub fn new(action: Action, root: PathBuf) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            nonce: format!("{:016x}", uuid::Uuid::new_v4().as_u64_pair().1),
            action,
            root,
            target: None,
            instruction: None,
            language: None,
            framework: None,
            check: None,
            diagnostics: Vec::new(),
            plan: None,
            usd: None,
            files: Vec::new(),
            given: None,
            resumes: None,
        }
    }

    /// The same wish once more.
    #[must_use]
    pub fn anew(self) -> Self {
        let Self { id, nonce, .. } = Self::new(self.action, self.root.clone());
        Self { id, nonce, given: None, resumes: None, ..self }
    }

    /// One line for people, e.g. `fix src/gcd.py:12`.
    pub fn title(&self) -> String {
        match &self.target {
            Some(Target { path, lines: Some((first, _)) }) => {
                format!("{} {path}:{first}", self.action.name())
            }
            Some(Target { path, lines: None }) => format!("{} {path}", self.action.name()),
            None => self.action.name().into(),
        }
    }
}

/// The place in the workspace that a task is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Relative to the root.
    pub path: String,
    /// First and last line, from 1, both included.
    pub lines: Option<(u32, u32)>,
}

/// A diagnostic handed over by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// From 1.
    pub line: u32,
    pub message: String,
    pub source: Option<String>,
}

/// The Architect's answer (CONTRACT §6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    pub summary: String,
    #[serde(default)]
    pub components: Vec<Part>,
    #[serde(default)]
    pub data_flow: Vec<String>,
    #[serde(default)]
    pub technology: Vec<String>,
    #[serde(default)]
    pub steps: Vec<PlanStep>,
    #[serde(default)]
    pub tests: Vec<String>,
    #[serde(default)]
    pub edge_cases: Vec<String>,
    #[serde(default)]
    pub risks: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Part {
    pub name: String,
    #[serde(default)]
    pub responsibility: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanStep {
    pub title: String,
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub files: Vec<String>,
    /// What became of it; never a model's to say.
    #[serde(default)]
    #[cfg_attr(test, schemars(skip))]
    pub state: State,
}

/// What became of a step of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Open,
    Running,
    /// There is a proposal that at least runs.
    Offered,
    /// Its edits were applied.
    Done,
    /// It ended without a proposal that runs.
    Failed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Running => "running",
            Self::Offered => "offered",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A set of edits against a snapshot, each with its precondition.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    pub changes: Vec<Change>,
}

/// Why a file that is read-only is not edited, and what to do.
pub fn read_only(path: &str) -> String {
    format!("{path} is read-only; make it writable (`chmod u+w {path}`) and apply again")
}

/// One file of a proposal.
#[derive(Clone, Debug)]
pub struct Change {
    pub file: FileChange,
    /// The buffer's version in the snapshot; `None` when the file was not open.
    pub version: Option<i32>,
    /// CI files, hooks, editor settings, build scripts, lock files: never applied without a question.
    pub confirm: bool,
}

/// How a task ended, as `--json` prints it (CONTRACT §2).
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub task: String,
    pub action: Action,
    pub phase: Phase,
    pub verdict: Option<Verdict>,
    pub plan: Option<Plan>,
    pub edits: Vec<EditRecord>,
    pub findings: Vec<Finding>,
    /// Markdown of a plan, a review or an explanation.
    pub text: Option<String>,
    pub rounds: u32,
    pub usage: Spent,
    pub duration_ms: u64,
    /// Neither waiting for a model nor the checked program's own time.
    pub overhead_ms: u64,
    pub error: Option<String>,
    /// Every proposal that was checked, oldest first.
    pub history: Vec<Round>,
    /// The question that was asked last.
    #[serde(skip)]
    pub asked: Option<Asked>,
    #[serde(skip)]
    pub proposal: Proposal,
    #[serde(skip)]
    pub stop: Option<Stop>,
}

/// A question as it left this machine: what a model got to see.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    pub agent: Agent,
    pub model: String,
    pub messages: Vec<Message>,
}

impl Asked {
    /// As a document for people.
    pub fn text(&self) -> String {
        let name = |role| match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let message =
            |message: &Message| format!("--- {}\n{}\n", name(message.role), message.content.trim_end());
        self.messages.iter().map(message).collect()
    }
}

/// One edited file in a report.
#[derive(Clone, Debug, Serialize)]
pub struct EditRecord {
    pub path: String,
    pub before_sha256: Option<String>,
    pub after_sha256: Option<String>,
    pub diff: String,
    /// The path is one that always needs confirmation.
    pub confirm: bool,
}

/// One proposal and what the check said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    pub attempt: u32,
    pub level: Level,
    pub reason: String,
    pub files: Vec<String>,
    /// Its unified diff, as far as one reads on a screen.
    pub diff: String,
}

/// What a task cost.
#[derive(Clone, Debug, Serialize)]
pub struct Spent {
    #[serde(flatten)]
    pub total: Usage,
    pub by_agent: BTreeMap<Agent, Usage>,
}

impl Default for Spent {
    fn default() -> Self {
        let agents = [Agent::Architect, Agent::Coder, Agent::Debugger];
        Self { total: Usage::default(), by_agent: agents.map(|agent| (agent, Usage::default())).into() }
    }
}

impl Spent {
    pub fn add(&mut self, agent: Agent, usage: Usage) {
        self.total += usage;
        *self.by_agent.entry(agent).or_default() += usage;
    }
}

/// Why a task ended before it was done. A variant exists because an exit code or an LSP answer names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Usage(String),
    /// No key, or one that was refused.
    #[error("{0}")]
    Key(String),
    #[error("{0}")]
    Model(String),
    #[error("{0}")]
    Sandbox(String),
    #[error("{0}")]
    Stale(String),
    #[error("{0}")]
    Budget(String),
}

impl Stop {
    /// The process's exit code (CONTRACT §2).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Key(_) | Self::Model(_) => 3,
            Self::Sandbox(_) => 4,
            Self::Stale(_) => 5,
            Self::Budget(_) => 6,
            Self::Cancelled => 130,
        }
    }

    /// What it is about, for editors: they offer what mends it.
    pub fn about(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Key(_) => "key",
            Self::Model(_) => "model",
            Self::Sandbox(_) => "sandbox",
            Self::Stale(_) => "stale",
            Self::Budget(_) => "budget",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<ModelError> for Stop {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NoKey(_) | ModelError::Auth(_) => Self::Key(error.to_string()),
            _ => Self::Model(error.to_string()),
        }
    }
}

impl Report {
    /// The report of a task that could not begin, or broke off.
    pub fn stopped(task: &Task, stop: Stop) -> Self {
        let phase = if stop == Stop::Cancelled { Phase::Cancelled } else { Phase::Failed };
        Self {
            task: task.id.clone(),
            action: task.action,
            phase,
            verdict: None,
            plan: None,
            edits: Vec::new(),
            findings: Vec::new(),
            text: None,
            rounds: 0,
            usage: Spent::default(),
            duration_ms: 0,
            overhead_ms: 0,
            error: Some(stop.to_string()),
            history: Vec::new(),
            asked: None,
            proposal: Proposal::default(),
            stop: Some(stop),
        }
    }

    /// 0 done and at least `runs` (or answered), 1 finished but not shown to work, else the stop's own.
    pub fn exit_code(&self) -> u8 {
        match (&self.stop, &self.verdict) {
            (Some(stop), _) => stop.exit_code(),
            (None, Some(verdict)) if verdict.level < Level::Runs => 1,
            (None, _) => 0,
        }
    }
}
