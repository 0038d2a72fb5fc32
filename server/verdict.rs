//! The verdict: the record of what the checks showed about a proposal (CONTRACT §5).
//!
//! Plain data. It is computed in `agent::check` from exit status and counted tests, never from model text.

use crate::sandbox::{Limits, Status};
use serde::Serialize;

/// How much a proposal has been shown to be right. Ordered from weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing could be run; the reason says why.
    Unverified,
    /// The check fails after the last round.
    Failing,
    /// Compiled or ran with exit 0, no test executed.
    Runs,
    /// At least one test executed, all pass, nothing regressed, none went from fail to pass.
    Passing,
    /// Failed before, passes after, a named test went from fail to pass, nothing the other way, twice.
    Proven,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Failing => "failing",
            Self::Runs => "runs",
            Self::Passing => "passing",
            Self::Proven => "proven",
        }
    }
}

/// Who chose the check, from the strongest claim to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckSource {
    User,
    Workspace,
    Detected,
    Generated,
    /// No test was found: the file itself is run.
    Run,
}

/// The tests of one run, counted from a machine-readable report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tests {
    pub run: u32,
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// One run of the check, as the verdict shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    pub status: Status,
    /// `None`: the runner is not one we can count.
    pub tests: Option<Tests>,
}

/// See [`Level`] for what each level demands.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub level: Level,
    pub reason: String,
    pub check: Option<String>,
    pub check_source: Option<CheckSource>,
    pub before: Option<Observed>,
    pub after: Option<Observed>,
    pub fail_to_pass: Vec<String>,
    pub pass_to_fail: Vec<String>,
    /// `None`: unknown.
    pub changed_lines_executed: Option<bool>,
    /// Proposals that were checked.
    pub rounds: u32,
    /// Runs after the edit that agree with each other.
    pub stable_runs: u32,
    pub sandbox: Limits,
}

impl Verdict {
    /// The verdict when nothing could be run.
    pub fn unverified(reason: impl Into<String>, limits: Limits) -> Self {
        Self {
            level: Level::Unverified,
            reason: reason.into(),
            check: None,
            check_source: None,
            before: None,
            after: None,
            fail_to_pass: Vec::new(),
            pass_to_fail: Vec::new(),
            changed_lines_executed: None,
            rounds: 0,
            stable_runs: 0,
            sandbox: limits,
        }
    }
}
