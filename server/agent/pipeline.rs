//! Plan → Act → Observe → Fix as a state machine. Pure: it is told what was seen and says what comes next.
//!
//! A proposal that fails its check is repaired up to `repair_rounds` times, then there is one fresh start that
//! knows nothing of the failed attempts. An answer without a usable edit is asked for once more. A proposal that
//! was already seen is never checked again, and a failure that was already seen is not repaired again: both start
//! over at once. So every task ends. Where no test shows what a proposal is worth, tests are asked for once, by a
//! question that does not show the proposal. Before it is offered, a proposal is held against the texts as they are now.

#[cfg(test)]
mod tests;

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
    /// Ask for tests of what the proposal is to do, without showing it.
    Test,
    /// Run the check on the proposal and compare.
    Judge,
    /// Look whether the texts are still those that the proposal was made for.
    Compare,
    End(End),
}

/// A question for edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub agent: Agent,
    pub why: Why,
    /// After the fresh start another model is asked than the one that failed.
    pub afresh: bool,
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
    /// An answer gave edits; `image` is the hash of the files they make. `tested` when there is a test that can
    /// show what they are worth.
    Proposed {
        image: String,
        tested: bool,
    },
    /// Tests were asked for. `anew` when they are the check now, so that it must be run before the edit again.
    Tested {
        anew: bool,
    },
    Refused(String),
    /// The check ran on the proposal; `failure` is equal for two runs that failed in the same way.
    Judged {
        level: Level,
        failure: String,
    },
    /// The texts are those that the proposal was made for.
    Still,
    /// They have changed elsewhere, and the proposal was carried over to them: what was seen before says nothing.
    Moved,
}

/// A proposal is carried over so often at most to texts that keep changing.
const MOVES: u32 = 3;

/// The state of one task.
#[derive(Debug)]
pub struct Run {
    action: Action,
    repair_rounds: u32,
    /// Something was asked for beside a green check: an instruction, a diagnostic.
    wish: bool,
    planned: bool,
    observed: bool,
    unchecked: bool,
    asked_again: bool,
    /// Tests may be asked for.
    may_test: bool,
    fresh: bool,
    /// How often the texts were looked at again.
    compared: u32,
    /// The proposal is not the model's answer to this text, so it is judged and not repaired.
    moved: bool,
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
            planned: false,
            observed: false,
            unchecked: false,
            asked_again: false,
            may_test: matches!(action, Action::Fix | Action::Generate),
            fresh: false,
            compared: 0,
            moved: false,
            attempt: 0,
            images: HashSet::new(),
            failures: HashSet::new(),
        }
    }

    /// There is a plan to follow already, so that none is asked for.
    #[must_use]
    pub fn following(self, planned: bool) -> Self {
        Self { planned, ..self }
    }

    /// There were so many proposals already.
    #[must_use]
    pub fn after(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// Proposals so far.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn step(&mut self, seen: Seen) -> Step {
        match seen {
            Seen::Began => match self.action {
                Action::Generate if self.planned => self.propose(Why::First),
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
                    _ if self.attempt > 0 => self.offer(),
                    _ => self.propose(Why::First),
                }
            }
            Seen::Proposed { image, tested } => self.proposed(image, tested),
            Seen::Tested { anew } => {
                if anew {
                    (self.observed, self.unchecked) = (false, false);
                }
                self.decide()
            }
            Seen::Refused(_) if self.asked_again && self.attempt > 0 => self.offer(),
            Seen::Refused(why) if self.asked_again => Step::End(End::NoEdit(why)),
            Seen::Refused(why) => {
                self.asked_again = true;
                self.propose(Why::Refused(why))
            }
            Seen::Judged { level: Level::Failing, failure } => self.after_failure(failure),
            Seen::Judged { .. } => self.offer(),
            Seen::Still => Step::End(End::Proposed),
            Seen::Moved => {
                (self.observed, self.unchecked, self.moved) = (false, false, true);
                self.attempt = self.attempt.max(1);
                Step::Observe
            }
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

    fn proposed(&mut self, image: String, tested: bool) -> Step {
        self.asked_again = false;
        if !self.images.insert(image) {
            // The same text again would fail the same way.
            return if self.fresh { self.offer() } else { self.start_over() };
        }
        self.attempt += 1;
        if !tested && std::mem::take(&mut self.may_test) { Step::Test } else { self.decide() }
    }

    /// What a proposal is followed by.
    fn decide(&mut self) -> Step {
        match () {
            () if self.unchecked => self.offer(),
            () if self.observed => Step::Judge,
            () => Step::Observe,
        }
    }

    fn after_failure(&mut self, failure: String) -> Step {
        let is_new = self.failures.insert(failure);
        if self.fresh || self.moved {
            self.offer()
        } else if is_new && self.attempt <= self.repair_rounds {
            self.propose(Why::Repair)
        } else {
            self.start_over()
        }
    }

    /// The best proposal stands, if the texts do.
    fn offer(&mut self) -> Step {
        self.compared += 1;
        if self.compared > MOVES { Step::End(End::Proposed) } else { Step::Compare }
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
        Step::Propose(Ask { agent, why, afresh: self.fresh })
    }
}
