//! What is seen, and the steps that follow.

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
                "still" => Seen::Still,
                "moved" => Seen::Moved,
                "tests" => Seen::Tested { anew: true },
                "notests" => Seen::Tested { anew: false },
                image => Seen::Proposed { image: image.into(), tested: !image.starts_with("bare") },
            };
            match run.step(seen) {
                Step::Plan(_) => "plan".to_owned(),
                Step::Answer(agent) => format!("answer:{}", agent.name()),
                Step::Observe => "observe".into(),
                Step::Judge => "judge".into(),
                Step::Compare => "compare".into(),
                Step::Test => "test".into(),
                Step::Propose(ask) => format!(
                    "{}{}:{}",
                    ask.agent.name(),
                    if ask.afresh { "'" } else { "" },
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
        "observe debugger:first judge debugger:repair judge compare",
    );
}

#[test]
fn a_green_check_needs_a_wish() {
    check(Action::Fix, false, "began green", "observe end:NothingToDo");
    check(Action::Fix, true, "began green a runs", "observe debugger:first judge compare");
}

#[test]
fn three_repairs_then_one_fresh_start() {
    check(
        Action::Fix,
        false,
        "began red a failing1 b failing2 c failing3 d failing4 e failing5",
        "observe debugger:first judge debugger:repair judge debugger:repair judge debugger:repair judge
         debugger':fresh judge compare",
    );
}

#[test]
fn the_same_failure_is_not_repaired_twice() {
    check(
        Action::Fix,
        false,
        "began red a failing1 b failing2 c failing1 d failing1",
        "observe debugger:first judge debugger:repair judge debugger:repair judge debugger':fresh judge
         compare",
    );
}

#[test]
fn the_same_text_is_not_checked_twice() {
    check(
        Action::Fix,
        false,
        "began red a failing a a",
        "observe debugger:first judge debugger:repair debugger':fresh compare",
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
        "observe debugger:first debugger:refused judge debugger:repair debugger:refused judge compare",
    );
}

#[test]
fn generate_plans_codes_and_then_observes() {
    check(
        Action::Generate,
        true,
        "began planned a red failing b proven",
        "plan coder:first observe judge debugger:repair judge compare",
    );
    check(Action::Generate, true, "began noplan noplan a unchecked", "plan plan coder:first observe compare");
}

#[test]
fn tests_are_asked_for_once_where_none_shows_anything() {
    check(
        Action::Generate,
        true,
        "began planned bare tests red failing bare2 proven",
        "plan coder:first test observe judge debugger:repair judge compare",
    );
    check(Action::Fix, true, "began green bare notests runs", "observe debugger:first test judge compare");
    check(Action::Fix, true, "began unchecked bare notests", "observe debugger:first test compare");
    check(
        Action::Fix,
        true,
        "began unchecked bare tests red proven",
        "observe debugger:first test observe judge compare",
    );
    check(Action::Tests, true, "began bare red failing", "coder:first observe judge debugger:repair");
}

#[test]
fn plan_never_reaches_an_edit() {
    check(Action::Plan, true, "began planned", "plan end:Answered");
    check(Action::Plan, true, "began noplan noplan", "plan plan end:NoPlan(\"no\")");
    check(Action::Explain, true, "began answered", "answer:architect end:Answered");
}

#[test]
fn without_a_sandbox_there_is_one_proposal() {
    check(Action::Fix, false, "began unchecked a", "observe debugger:first compare");
    check(Action::Run, false, "began unchecked", "observe end:Answered");
}

#[test]
fn what_the_texts_have_left_behind_is_checked_again_without_a_model() {
    check(
        Action::Fix,
        false,
        "began red a proven moved red proven still",
        "observe debugger:first judge compare observe judge compare end:Proposed",
    );
    check(
        Action::Fix,
        false,
        "began red a proven moved red failing still",
        "observe debugger:first judge compare observe judge compare end:Proposed",
    );
    check(Action::Generate, true, "moved unchecked still", "observe compare end:Proposed");
    check(Action::Tests, true, "moved green runs still", "observe judge compare end:Proposed");
}

/// Texts that change whenever they are looked at do not keep a task for ever.
#[test]
fn a_proposal_is_carried_over_three_times_at_most() {
    check(
        Action::Fix,
        false,
        "began red a proven moved red proven moved red proven moved red proven",
        "observe debugger:first judge compare observe judge compare observe judge compare observe judge end:Proposed",
    );
}
