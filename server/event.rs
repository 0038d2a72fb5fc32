//! What happens to a task, as data. One enum, several sinks; sinks have no way back.

pub mod discreet;
pub mod lines;

use crate::model::{Agent, Usage};
use crate::sandbox::Status;
use crate::verdict::{Tests, Verdict};
use serde::Serialize;

/// What a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Plan,
    Generate,
    Fix,
    Tests,
    Review,
    Explain,
    Run,
}

impl Action {
    pub const ALL: [Self; 7] =
        [Self::Plan, Self::Generate, Self::Fix, Self::Tests, Self::Review, Self::Explain, Self::Run];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Generate => "generate",
            Self::Fix => "fix",
            Self::Tests => "tests",
            Self::Review => "review",
            Self::Explain => "explain",
            Self::Run => "run",
        }
    }
}

/// Where a task stands (CONTRACT §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Queued,
    Planning,
    Coding,
    Testing,
    Debugging,
    Complete,
    Failed,
    Cancelled,
}

impl Phase {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Planning,
        Self::Coding,
        Self::Testing,
        Self::Debugging,
        Self::Complete,
        Self::Failed,
        Self::Cancelled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Coding => "coding",
            Self::Testing => "testing",
            Self::Debugging => "debugging",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The phase of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// 0 to 100.
    pub fn percent(self) -> u32 {
        match self {
            Self::Queued => 0,
            Self::Planning => 15,
            Self::Coding => 40,
            Self::Testing => 65,
            Self::Debugging => 80,
            Self::Complete | Self::Failed | Self::Cancelled => 100,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
    Info,
    Hint,
}

/// Something about a line of the user's code: a failing check's frame, a compiler error, a review remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Relative to the workspace.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// From 1, in Unicode characters.
    pub column: u32,
    pub severity: Severity,
    /// `check`, or for a review `bug`, `security`, `performance`, `style`, `practice`.
    pub category: String,
    pub message: String,
    /// Stack frames in the user's files, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Frame>,
}

/// One stack frame of a traceback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    pub path: String,
    /// From 1.
    pub line: u32,
    pub message: String,
}

/// Which text a check ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    Info,
    Warning,
    Error,
}

/// What a run took and printed: for people and charts, no verdict depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Measured {
    pub command: String,
    pub duration_ms: u64,
    pub cpu_ms: u64,
    pub peak_memory_bytes: u64,
    /// The end of what it printed, standard output first.
    pub output: String,
}

/// One event of one task; `seq` has no gaps.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub task: String,
    /// From 0.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    #[serde(flatten)]
    pub kind: Kind,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    Started {
        action: Action,
        title: String,
    },
    /// `attempt` counts proposals, from 0 before the first.
    Phase {
        phase: Phase,
        percent: u32,
        attempt: u32,
    },
    /// A piece of an agent's answer.
    Said {
        agent: Agent,
        text: String,
    },
    /// An agent has been silent for so long, its model's queue, retries and loading included.
    Waiting {
        agent: Agent,
        seconds: u64,
    },
    /// A check or a program has run.
    Ran {
        stage: Stage,
        status: Status,
        exit_code: Option<i32>,
        tests: Option<Tests>,
        measured: Box<Measured>,
    },
    /// What a proposal is and what its checks showed. For the journal; clients hear of it at the end.
    Judged {
        verdict: Box<Verdict>,
        diff: String,
    },
    Found {
        path: String,
        findings: Vec<Finding>,
    },
    /// The sum so far.
    Usage {
        usage: Usage,
    },
    Noted {
        level: Note,
        text: String,
    },
    Ended {
        phase: Phase,
        verdict: Option<Box<Verdict>>,
        message: String,
        /// What stopped it: `key`, `model`, `sandbox`, `budget` and the like.
        #[serde(skip_serializing_if = "Option::is_none")]
        stop: Option<&'static str>,
        /// These are hours in which the user wants to hear of no end (`notify.quietHours`).
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        quiet: bool,
    },
}
