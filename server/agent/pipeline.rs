//! Plan → Act → Observe → Fix as a state machine. Pure: it is told what was seen and says what comes next.
//!
//! A proposal that fails its check is repaired up to `repair_rounds` times, then there is one fresh start that
//! knows nothing of the failed attempts. An answer without a usable edit is asked for once more. A proposal that
//! was already seen is never checked again, and a failure that was already seen is not repaired again: both start
//! over at once. So every task ends.

use crate::event::Action;
use crate::model::Agent;
use crate::verdict::Level;
use std::collections::HashSet;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the Architect for a plan; `Some` tells what was wrong with the last one.
    Plan(Option<String>),
    /// Ask once for text: a review or an explanation.
    Answer(Agent),
    /// Run the check on the text before any edit.
    Observe,
    /// Ask for edits.
    Propose(Ask),
    /// Run the check on the proposal and compare.
    Judge,
    End(End),
}

/// A question for edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub agent: Agent,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    First,
    /// The last proposal failed its check.
    Repair,
    /// Start over; what failed before is not shown.
    Fresh,
    /// The last answer had no usable edit, for this reason.
    Refused(String),
}

/// How the steps end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is text: a plan, a review, an explanation, a program's output.
    Answered,
    /// The check passes already and nothing else was asked for.
    NothingToDo,
    /// The best proposal stands, whatever its verdict.
    Proposed,
    /// The model gave no usable edit, twice in a row.
    NoEdit(String),
    /// The model gave no plan, twice.
    NoPlan(String),
}

/// What the last step showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Began,
    Planned,
    NoPlan(String),
    Answered,
    /// The check ran before any edit.
    Observed {
        passes: bool,
    },
    /// The check cannot be run.
    Unchecked,
    /// An answer gave edits; `image` is the hash of the files they make.
    Proposed {
        image: String,
    },
    Refused(String),
    /// The check ran on the proposal; `failure` is equal for two runs that failed in the same way.
    Judged {
        level: Level,
        failure: String,
    },
}

/// The state of one task.
#[derive(Debug)]
pub struct Run {
    action: Action,
    repair_rounds: u32,
    /// Something was asked for beside a green check: an instruction, a diagnostic.
    wish: bool,
    observed: bool,
    unchecked: bool,
    asked_again: bool,
    fresh: bool,
    /// Proposals so far, the current one included.
    attempt: u32,
    images: HashSet<String>,
    failures: HashSet<String>,
}

impl Run {
    pub fn new(action: Action, repair_rounds: u32, wish: bool) -> Self {
        Self {
            action,
            repair_rounds,
            wish,
            observed: false,
            unchecked: false,
            asked_again: false,
            fresh: false,
            attempt: 0,
            images: HashSet::new(),
            failures: HashSet::new(),
        }
    }

    /// Proposals so far.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn step(&mut self, seen: Seen) -> Step {
        match seen {
            Seen::Began => match self.action {
                Action::Plan | Action::Generate => Step::Plan(None),
                Action::Tests => self.propose(Why::First),
                Action::Fix | Action::Run => Step::Observe,
                Action::Review => Step::Answer(Agent::Debugger),
                Action::Explain => Step::Answer(Agent::Architect),
            },
            Seen::Answered => Step::End(End::Answered),
            Seen::Planned if self.action == Action::Plan => Step::End(End::Answered),
            Seen::Planned => self.propose(Why::First),
            Seen::NoPlan(why) => self.no_plan(why),
            Seen::Observed { passes } => {
                self.observed = true;
                match self.action {
                    Action::Run => Step::End(End::Answered),
                    _ if self.attempt > 0 => Step::Judge,
                    Action::Fix if passes && !self.wish => Step::End(End::NothingToDo),
                    _ => self.propose(Why::First),
                }
            }
            Seen::Unchecked => {
                self.unchecked = true;
                match self.action {
                    Action::Run => Step::End(End::Answered),
                    _ if self.attempt > 0 => Step::End(End::Proposed),
                    _ => self.propose(Why::First),
                }
            }
            Seen::Proposed { image } => self.proposed(image),
            Seen::Refused(why) if self.asked_again => Step::End(End::NoEdit(why)),
            Seen::Refused(why) => {
                self.asked_again = true;
                self.propose(Why::Refused(why))
            }
            Seen::Judged { level: Level::Failing, failure } => self.after_failure(failure),
            Seen::Judged { .. } => Step::End(End::Proposed),
        }
    }

    fn no_plan(&mut self, why: String) -> Step {
        if !std::mem::replace(&mut self.asked_again, true) {
            return Step::Plan(Some(why));
        }
        self.asked_again = false;
        match self.action {
            Action::Plan => Step::End(End::NoPlan(why)),
            _ => self.propose(Why::First),
        }
    }

    fn proposed(&mut self, image: String) -> Step {
        self.asked_again = false;
        if !self.images.insert(image) {
            // The same text again would fail the same way.
            return if self.fresh { Step::End(End::Proposed) } else { self.start_over() };
        }
        self.attempt += 1;
        match () {
            () if self.unchecked => Step::End(End::Proposed),
            () if self.observed => Step::Judge,
            () => Step::Observe,
        }
    }

    fn after_failure(&mut self, failure: String) -> Step {
        let is_new = self.failures.insert(failure);
        if self.fresh {
            Step::End(End::Proposed)
        } else if is_new && self.attempt <= self.repair_rounds {
            self.propose(Why::Repair)
        } else {
            self.start_over()
        }
    }

    fn start_over(&mut self) -> Step {
        self.fresh = true;
        self.propose(Why::Fresh)
    }

    /// Who writes: the Coder what is new, the Debugger every repair.
    fn propose(&self, why: Why) -> Step {
        let agent = match (self.action, &why) {
            (Action::Fix, _) | (_, Why::Repair) => Agent::Debugger,
            (_, Why::Refused(_)) if self.attempt > 0 && !self.fresh => Agent::Debugger,
            _ => Agent::Coder,
        };
        Step::Propose(Ask { agent, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays what is seen, one word each, and renders the steps.
    fn check(action: Action, wish: bool, seen: &str, expect: &str) {
        let mut run = Run::new(action, 3, wish);
        let steps: Vec<_> = seen
            .split_whitespace()
            .map(|word| {
                let seen = match word {
                    "began" => Seen::Began,
                    "planned" => Seen::Planned,
                    "noplan" => Seen::NoPlan("no".into()),
                    "answered" => Seen::Answered,
                    "green" => Seen::Observed { passes: true },
                    "red" => Seen::Observed { passes: false },
                    "unchecked" => Seen::Unchecked,
                    "refused" => Seen::Refused("why".into()),
                    "proven" => Seen::Judged { level: Level::Proven, failure: String::new() },
                    "runs" => Seen::Judged { level: Level::Runs, failure: String::new() },
                    failing if failing.starts_with("failing") => {
                        Seen::Judged { level: Level::Failing, failure: failing.into() }
                    }
                    image => Seen::Proposed { image: image.into() },
                };
                match run.step(seen) {
                    Step::Plan(_) => "plan".to_owned(),
                    Step::Answer(agent) => format!("answer:{}", agent.name()),
                    Step::Observe => "observe".into(),
                    Step::Judge => "judge".into(),
                    Step::Propose(ask) => format!(
                        "{}:{}",
                        ask.agent.name(),
                        match ask.why {
                            Why::First => "first",
                            Why::Repair => "repair",
                            Why::Fresh => "fresh",
                            Why::Refused(_) => "refused",
                        }
                    ),
                    Step::End(end) => format!("end:{end:?}"),
                }
            })
            .collect();
        assert_eq!(steps.join(" "), expect.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn a_fix_observes_first_and_ends_when_proven() {
        check(
            Action::Fix,
            false,
            "began red a failing b proven",
            "observe debugger:first judge debugger:repair judge end:Proposed",
        );
    }

    #[test]
    fn a_green_check_needs_a_wish() {
        check(Action::Fix, false, "began green", "observe end:NothingToDo");
        check(Action::Fix, true, "began green a runs", "observe debugger:first judge end:Proposed");
    }

    #[test]
    fn three_repairs_then_one_fresh_start() {
        check(
            Action::Fix,
            false,
            "began red a failing1 b failing2 c failing3 d failing4 e failing5",
            "observe debugger:first judge debugger:repair judge debugger:repair judge debugger:repair judge
             debugger:fresh judge end:Proposed",
        );
    }

    #[test]
    fn the_same_failure_is_not_repaired_twice() {
        check(
            Action::Fix,
            false,
            "began red a failing1 b failing2 c failing1 d failing1",
            "observe debugger:first judge debugger:repair judge debugger:repair judge debugger:fresh judge
             end:Proposed",
        );
    }

    #[test]
    fn the_same_text_is_not_checked_twice() {
        check(
            Action::Fix,
            false,
            "began red a failing a a",
            "observe debugger:first judge debugger:repair debugger:fresh end:Proposed",
        );
    }

    #[test]
    fn an_answer_without_an_edit_is_asked_for_once_more() {
        check(
            Action::Fix,
            false,
            "began red refused refused",
            "observe debugger:first debugger:refused end:NoEdit(\"why\")",
        );
        check(
            Action::Fix,
            false,
            "began red refused a failing refused b proven",
            "observe debugger:first debugger:refused judge debugger:repair debugger:refused judge end:Proposed",
        );
    }

    #[test]
    fn generate_plans_codes_and_then_observes() {
        check(
            Action::Generate,
            true,
            "began planned a red failing b proven",
            "plan coder:first observe judge debugger:repair judge end:Proposed",
        );
        check(
            Action::Generate,
            true,
            "began noplan noplan a unchecked",
            "plan plan coder:first observe end:Proposed",
        );
    }

    #[test]
    fn plan_never_reaches_an_edit() {
        check(Action::Plan, true, "began planned", "plan end:Answered");
        check(Action::Plan, true, "began noplan noplan", "plan plan end:NoPlan(\"no\")");
        check(Action::Explain, true, "began answered", "answer:architect end:Answered");
    }

    #[test]
    fn without_a_sandbox_there_is_one_proposal() {
        check(Action::Fix, false, "began unchecked a", "observe debugger:first end:Proposed");
        check(Action::Run, false, "began unchecked", "observe end:Answered");
    }
}
