//! Events as lines for people: the platform's log vocabulary (CONTRACT §3).

use super::{Kind, Note, Phase};
use crate::model::Agent;
use crate::sandbox::Status;
use crate::verdict::Tests;

/// Seconds between two lines that say that an agent is silent.
const BETWEEN_WAITS: u64 = 10;

/// The line for an event; `None` for those that are not worth one. Every number in it was counted.
pub fn line(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Started { title, .. } => Some(format!("Task started: {title}")),
        Kind::Phase { phase, .. } => heading(*phase).map(Into::into),
        Kind::Ran { status, exit_code, tests, .. } => Some(ran(*status, *exit_code, *tests)),
        Kind::Noted { level: Note::Info, text } => Some(text.clone()),
        Kind::Noted { level: Note::Warning, text } => Some(format!("Warning: {text}")),
        Kind::Noted { level: Note::Error, text } => Some(format!("Error: {text}")),
        Kind::Ended { phase, message, .. } => Some(match phase {
            Phase::Complete => format!("Task complete: {message}"),
            Phase::Cancelled => "Task cancelled".into(),
            _ => format!("Task failed: {message}"),
        }),
        // Progress shows every second; a log shows that something is slow.
        Kind::Waiting { agent, seconds } if *seconds > 0 && *seconds % BETWEEN_WAITS == 0 => {
            Some(waiting(*agent, *seconds))
        }
        Kind::Said { .. }
        | Kind::Waiting { .. }
        | Kind::Judged { .. }
        | Kind::Found { .. }
        | Kind::Usage { .. } => None,
    }
}

/// E.g. `waiting for coder, 12 s`.
pub fn waiting(agent: Agent, seconds: u64) -> String {
    format!("waiting for {}, {seconds} s", agent.name())
}

fn heading(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Planning => Some("[PHASE 1: PLANNING] Architect analyzing task..."),
        Phase::Coding => Some("[PHASE 2: ACTING] Coder generating implementation..."),
        Phase::Testing => Some("[PHASE 3: OBSERVING] Executing code in sandbox..."),
        Phase::Debugging => Some("[PHASE 4: FIXING] Debugger analyzing failures..."),
        Phase::Queued | Phase::Complete | Phase::Failed | Phase::Cancelled => None,
    }
}

fn ran(status: Status, exit_code: Option<i32>, tests: Option<Tests>) -> String {
    match (status, exit_code, tests) {
        (Status::Ok, _, Some(Tests { run, failed: 0, passed, .. })) if run > 0 && passed > 0 => {
            "✓ All tests passed!".into()
        }
        (Status::Ok, _, Some(Tests { run: 0, .. })) => "✓ Executed with exit code 0, no test ran".into(),
        (Status::Ok, ..) => "✓ Executed with exit code 0".into(),
        (Status::ExitNonzero, Some(code), _) => format!("✗ Execution failed with exit code {code}"),
        (Status::Timeout, ..) => "✗ Execution failed: time limit reached".into(),
        (Status::Oom, ..) => "✗ Execution failed: out of memory".into(),
        (Status::OutputLimit, ..) => "✗ Execution failed: too much output".into(),
        (Status::Signal, ..) => "✗ Execution failed: killed by a signal".into(),
        (Status::Error | Status::ExitNonzero, ..) => "✗ Execution failed: could not be run".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stage;

    fn check(kind: &Kind, expect: Option<&str>) {
        assert_eq!(line(kind).as_deref(), expect, "{kind:?}");
    }

    #[test]
    fn the_vocabulary() {
        let phase = |phase| Kind::Phase { phase, percent: 0, attempt: 0 };
        check(&phase(Phase::Planning), Some("[PHASE 1: PLANNING] Architect analyzing task..."));
        check(&phase(Phase::Coding), Some("[PHASE 2: ACTING] Coder generating implementation..."));
        check(&phase(Phase::Testing), Some("[PHASE 3: OBSERVING] Executing code in sandbox..."));
        check(&phase(Phase::Debugging), Some("[PHASE 4: FIXING] Debugger analyzing failures..."));
        check(&phase(Phase::Queued), None);
        let waiting = |seconds| Kind::Waiting { agent: Agent::Coder, seconds };
        check(&waiting(12), None);
        check(&waiting(20), Some("waiting for coder, 20 s"));
        let noted = |level| Kind::Noted { level, text: "✓ Plan created: 2 components identified".into() };
        check(&noted(Note::Info), Some("✓ Plan created: 2 components identified"));
    }

    #[test]
    fn tests_passed_only_when_tests_ran() {
        let ran = |status, exit_code, tests| Kind::Ran {
            stage: Stage::After,
            status,
            exit_code,
            tests,
            measured: Box::default(),
        };
        let tests = |run, passed, failed| Some(Tests { run, passed, failed, skipped: run - passed - failed });
        check(&ran(Status::Ok, Some(0), tests(3, 3, 0)), Some("✓ All tests passed!"));
        check(&ran(Status::Ok, Some(0), tests(0, 0, 0)), Some("✓ Executed with exit code 0, no test ran"));
        check(&ran(Status::Ok, Some(0), tests(3, 0, 0)), Some("✓ Executed with exit code 0"));
        check(&ran(Status::Ok, Some(0), None), Some("✓ Executed with exit code 0"));
        check(
            &ran(Status::ExitNonzero, Some(2), tests(3, 2, 1)),
            Some("✗ Execution failed with exit code 2"),
        );
        check(&ran(Status::Timeout, None, None), Some("✗ Execution failed: time limit reached"));
    }
}
