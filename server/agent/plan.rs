//! A plan as a document whose steps are done one by one: what is shown of it, and the task that does one. Pure.

use super::patch;
use super::task::{Plan, PlanStep, State, Target, Task};
use std::fmt::Write;

/// A plan as Markdown; the box of a step is checked when it is done.
pub fn markdown(plan: &Plan) -> String {
    let mut out = format!("# Plan\n\n{}\n", plan.summary.trim());
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            let _ = write!(out, "\n## {title}\n\n{}\n", items.join("\n"));
        }
    };
    let named = |name: &str, text: &str| match text.trim() {
        "" => format!("- **{}**", name.trim()),
        text => format!("- **{}**: {text}", name.trim()),
    };
    list("Components", plan.components.iter().map(|part| named(&part.name, &part.responsibility)).collect());
    list("Steps", plan.steps.iter().enumerate().map(|(index, step)| line(index + 1, step)).collect());
    for (title, items) in [
        ("Data flow", &plan.data_flow),
        ("Technology", &plan.technology),
        ("Tests", &plan.tests),
        ("Edge cases", &plan.edge_cases),
        ("Risks", &plan.risks),
    ] {
        list(title, items.iter().map(|item| format!("- {}", item.trim())).collect());
    }
    out
}

fn line(number: usize, step: &PlanStep) -> String {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let files = if step.files.is_empty() { String::new() } else { format!(" ({})", step.files.join(", ")) };
    let detail =
        if step.detail.trim().is_empty() { String::new() } else { format!(": {}", flat(&step.detail)) };
    let (mark, state) = match step.state {
        State::Open => (' ', String::new()),
        State::Done => ('x', String::new()),
        state => (' ', format!(" *({})*", state.name())),
    };
    format!("{number}. [{mark}] **{}**{files}{detail}{state}", flat(&step.title))
}

/// The steps in a plan's document, by line (from 0) and number, as the user may have edited it.
pub fn steps(document: &str) -> Vec<(usize, usize)> {
    let number = |line: &str| {
        let (number, rest) = line.trim_start().split_once(". [")?;
        let boxed = rest.starts_with(" ] ") || rest.starts_with("x] ") || rest.starts_with("X] ");
        number.parse().ok().filter(|_| boxed)
    };
    document.lines().enumerate().filter_map(|(at, line)| Some((at, number(line)?))).collect()
}

/// Makes `task` one that does a step of a plan, from 1. False when there is no such step.
pub fn assign(task: &mut Task, plan: &Plan, number: usize) -> bool {
    let Some(step) = number.checked_sub(1).and_then(|index| plan.steps.get(index)) else { return false };
    let detail = step.detail.trim();
    let mut wish = format!("Do step {number} of the plan and no other: {}. {detail}", step.title.trim());
    if let Some(words) = &task.instruction {
        let _ = write!(wish, "\n{words}");
    }
    task.instruction = Some(wish);
    task.plan = Some(markdown(plan));
    // The plan is a model's: a path that leads nowhere is no file.
    let mut files = step.files.iter().filter_map(|path| patch::check_path(path).ok());
    if task.target.is_none() {
        task.target = files.next().map(|path| Target { path, lines: None });
    }
    task.files = files.collect();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;

    fn plan() -> Plan {
        let step = |title: &str, files: &[&str], state| PlanStep {
            title: title.into(),
            detail: "in\ndetail".into(),
            files: files.iter().map(|path| (*path).to_owned()).collect(),
            state,
        };
        Plan {
            summary: "Add it".into(),
            steps: vec![
                step("One", &["a.py", "b.py"], State::Done),
                step("Two", &[], State::Failed),
                step("Three", &["../x.py", "c.py"], State::Open),
            ],
            risks: vec!["1. [ ] none".into()],
            ..Plan::default()
        }
    }

    #[test]
    fn steps_have_boxes_that_are_found_again() {
        let text = markdown(&plan());
        assert_eq!(
            text,
            "# Plan\n\nAdd it\n\n## Steps\n\n1. [x] **One** (a.py, b.py): in detail\n2. [ ] **Two**: in detail *(failed)*\n\
             3. [ ] **Three** (../x.py, c.py): in detail\n\n## Risks\n\n- 1. [ ] none\n"
        );
        assert_eq!(steps(&text), [(6, 1), (7, 2), (8, 3)]);
        assert_eq!(steps(&format!("my own note\n{text}")), [(7, 1), (8, 2), (9, 3)]);
    }

    #[test]
    fn a_step_is_a_task_about_its_files() {
        let mut task = Task::new(Action::Generate, "/w".into());
        assert!(!assign(&mut task, &plan(), 0) && !assign(&mut task, &plan(), 4));
        assert!(assign(&mut task, &plan(), 1));
        assert_eq!(task.target.as_ref().map(|target| target.path.as_str()), Some("a.py"));
        assert_eq!(task.files, ["b.py"]);
        assert!(task.plan.is_some_and(|plan| plan.contains("**Two**")));
        assert!(
            task.instruction
                .is_some_and(|words| words.starts_with("Do step 1 of the plan and no other: One."))
        );
        let mut task = Task::new(Action::Generate, "/w".into());
        assert!(assign(&mut task, &plan(), 3));
        assert_eq!(
            task.target.map(|target| target.path),
            Some("c.py".into()),
            "what leads outside is left out"
        );
    }
}
