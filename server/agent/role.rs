//! Architect, Coder, Debugger: what each is told, and how its answer is read. Pure.

use crate::agent::pipeline::{Ask, Why};
use crate::agent::task::{Plan, State, Task};
use crate::event::{Action, Finding, Severity};
use crate::model::{Agent, Message, Role, price};
use crate::workspace::Snapshot;
use serde::Deserialize;
use std::fmt::Write;

const RULES: &str = include_str!("prompts/rules.md");
const EDITS: &str = include_str!("prompts/edits.md");
const ARCHITECT: &str = include_str!("prompts/architect.md");
const CODER: &str = include_str!("prompts/coder.md");
const TESTS: &str = include_str!("prompts/tests.md");
const DEBUGGER: &str = include_str!("prompts/debugger.md");
const REVIEW: &str = include_str!("prompts/review.md");
const COMPLETE: &str = include_str!("prompts/complete.md");
const EXPLAIN: &str = include_str!("prompts/explain.md");

/// Findings taken from one answer at most.
const MAX_FINDINGS: usize = 100;
/// Diagnostics that are handed on, and characters of each.
const MAX_GIVEN: usize = 20;
const GIVEN_CHARACTERS: usize = 2_000;

/// What all prompts of one task share. Stable parts come first, so that providers can cache them.
pub struct Brief<'a> {
    pub task: &'a Task,
    /// The chosen files, fenced.
    pub files: &'a str,
    pub plan: Option<&'a str>,
    /// What the check showed before any edit, fenced.
    pub before: Option<&'a str>,
    pub nonce: &'a str,
}

/// A proposal that failed its check, as the next prompt shows it.
pub struct Failure<'a> {
    pub diff: &'a str,
    pub output: &'a str,
}

impl Brief<'_> {
    /// Asks the Architect for a plan.
    pub fn plan(&self, wrong: Option<&str>) -> Vec<Message> {
        let mut wish = self.wish("Plan this.");
        if let Some(wrong) = wrong {
            let _ = writeln!(
                wish,
                "\nYour last answer could not be used: {wrong}. Answer with the JSON object alone."
            );
        }
        self.messages(&[ARCHITECT, RULES], &wish)
    }

    /// Asks for a review (Debugger) or an explanation (Architect).
    pub fn answer(&self) -> Vec<Message> {
        let (role, wish) = match self.task.action {
            Action::Review => (REVIEW, "Review this."),
            _ => (EXPLAIN, "Explain this."),
        };
        self.messages(&[role, RULES], &self.wish(wish))
    }

    /// Asks for edits. `failures` are those to learn from, oldest first.
    pub fn propose(&self, ask: &Ask, failures: &[Failure]) -> Vec<Message> {
        let role = match (ask.agent, self.task.action) {
            (Agent::Debugger, _) => DEBUGGER,
            (_, Action::Tests) => TESTS,
            _ => CODER,
        };
        let mut wish = self.wish(match self.task.action {
            Action::Fix => "Fix this.",
            Action::Tests => "Write tests for this.",
            _ => "Write this.",
        });
        for (number, failure) in failures.iter().enumerate() {
            let _ = writeln!(
                wish,
                "\nAttempt {} changed this:\n{}\nand the check said:\n{}",
                number + 1,
                self.fence("attempt", failure.diff),
                self.fence("check", failure.output)
            );
        }
        if !failures.is_empty() {
            wish.push_str(
                "\nThe files above are without these attempts. Give the whole repair against them.\n",
            );
        }
        if let Why::Refused(why) = &ask.why {
            let _ = writeln!(
                wish,
                "\nYour last answer could not be applied: {why}\nAnswer again, with edit blocks."
            );
        }
        self.messages(&[role, RULES, EDITS], &wish)
    }

    /// Asks for tests of what is written or repaired meanwhile. The question shows no proposal.
    pub fn tests(&self) -> Vec<Message> {
        let wish = self.wish(match self.task.action {
            Action::Fix => {
                "Write tests that show what is wrong here, in new files and nothing else: they fail now and pass \
                 once it is right."
            }
            _ => {
                "Write tests for what the task asks for, in new files and nothing else. Somebody else writes the \
                 code: go by the task and the plan."
            }
        });
        self.messages(&[TESTS, RULES, EDITS], &wish)
    }

    fn messages(&self, system: &[&str], wish: &str) -> Vec<Message> {
        let system = system.join("\n").replace("{nonce}", self.nonce);
        vec![
            Message { role: Role::System, content: system },
            Message { role: Role::User, content: format!("{}\n{wish}", self.files) },
        ]
    }

    fn wish(&self, verb: &str) -> String {
        let task = self.task;
        let mut out = String::from(verb);
        if let Some(target) = &task.target {
            let _ = write!(out, " It is about {}", target.path);
            if let Some((first, last)) = target.lines {
                let _ = write!(out, ", lines {first} to {last}");
            }
            out.push('.');
        }
        for (name, value) in [("Language", &task.language), ("Framework", &task.framework)] {
            if let Some(value) = value {
                let _ = write!(out, "\n{name}: {value}.");
            }
        }
        if let Some(instruction) = &task.instruction {
            let _ = write!(out, "\nWhat the user asks for: {instruction}");
        }
        for given in task.diagnostics.iter().take(MAX_GIVEN) {
            let source = given.source.as_deref().unwrap_or("diagnostic");
            let message = shown(&given.message);
            let _ = write!(out, "\n{}", self.fence(source, &format!("line {}: {message}", given.line)));
        }
        if let Some(plan) = self.plan {
            let _ = write!(out, "\nThe plan:\n{plan}");
        }
        if let Some(before) = self.before {
            let _ = write!(out, "\nWhat the check shows now:\n{}", self.fence("check", before));
        }
        out.push('\n');
        out
    }

    fn fence(&self, kind: &str, text: &str) -> String {
        let kind: String = kind.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
        format!("<data-{nonce} {kind}>\n{}\n</data-{nonce}>", text.trim_end(), nonce = self.nonce)
    }
}

/// Asks the Coder what belongs between two parts of a file.
pub(super) fn complete(path: &str, before: &str, behind: &str, nonce: &str) -> Vec<Message> {
    let system = format!("{COMPLETE}\n{RULES}").replace("{nonce}", nonce);
    let file = format!("<data-{nonce} file=\"{path}\">\n{before}<hole-{nonce}>{behind}\n</data-{nonce}>\n");
    vec![Message { role: Role::System, content: system }, Message { role: Role::User, content: file }]
}

/// Roughly how many tokens a task's own words take.
pub(super) fn said(task: &Task, plan: Option<&str>) -> u64 {
    let given = task.diagnostics.iter().take(MAX_GIVEN).map(|given| shown(&given.message));
    let words = task.instruction.as_deref().into_iter().chain(plan).chain(given);
    words.map(price::tokens).sum()
}

/// As much of a diagnostic as is worth its room.
fn shown(message: &str) -> &str {
    let end = message.char_indices().nth(GIVEN_CHARACTERS).map_or(message.len(), |(at, _)| at);
    &message[..end]
}

/// The first JSON object in `text` that is a plan.
///
/// # Errors
/// A sentence for the model when there is none.
pub fn read_plan(text: &str) -> Result<Plan, String> {
    let mut why = "there is no JSON object in it".to_owned();
    for (start, _) in text.match_indices('{').take(50) {
        let mut objects = serde_json::Deserializer::from_str(&text[start..]).into_iter::<serde_json::Value>();
        let Some(Ok(object)) = objects.next() else { continue };
        match serde_json::from_value::<Plan>(object) {
            Ok(plan) if plan.summary.trim().is_empty() => "its summary is empty".clone_into(&mut why),
            Ok(mut plan) => {
                plan.steps.iter_mut().for_each(|step| step.state = State::Open);
                return Ok(plan);
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Made from [`Plan`] by a test.
const PLAN_SCHEMA: &str = include_str!("plan.json");

/// The JSON Schema of a plan, for servers that can hold a model to it.
pub fn plan_schema() -> serde_json::Value {
    serde_json::from_str(PLAN_SCHEMA).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Remarks {
    issues: Vec<Remark>,
    improvements: Vec<Remark>,
    security: Vec<Remark>,
    best_practices: Vec<Remark>,
}

#[derive(Deserialize)]
struct Remark {
    path: String,
    #[serde(default)]
    line: u32,
    message: String,
    severity: Option<Severity>,
}

/// The findings in an answer's fenced `json` block; those that name no file of the workspace are dropped.
pub fn read_findings(text: &str, snapshot: &Snapshot) -> Vec<Finding> {
    let blocks = text.split("```json").skip(1).filter_map(|rest| rest.split("```").next());
    let Some(remarks) = blocks.filter_map(|block| serde_json::from_str::<Remarks>(block).ok()).last() else {
        return Vec::new();
    };
    let groups = [
        ("bug", remarks.issues, Severity::Warning),
        ("performance", remarks.improvements, Severity::Info),
        ("security", remarks.security, Severity::Warning),
        ("practice", remarks.best_practices, Severity::Info),
    ];
    groups
        .into_iter()
        .flat_map(|(category, remarks, usual)| {
            remarks.into_iter().map(move |remark| (category, remark, usual))
        })
        .filter_map(|(category, remark, usual)| {
            let text = snapshot.text(&remark.path).ok()?;
            let line = remark.line.clamp(1, text.lines().count().max(1) as u32);
            Some(Finding {
                path: remark.path,
                line,
                column: 1,
                severity: remark.severity.unwrap_or(usual),
                category: category.into(),
                message: remark.message,
                related: Vec::new(),
            })
        })
        .take(MAX_FINDINGS)
        .collect()
}

/// An answer without its fenced `json` block: what people read.
pub fn prose(text: &str) -> String {
    match text.rfind("```json") {
        Some(start) => {
            let rest = &text[start + 7..];
            let after = rest.find("```").map_or("", |end| &rest[end + 3..]);
            format!("{}\n{}", text[..start].trim_end(), after.trim()).trim().to_owned()
        }
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_that_of_a_plan() {
        let schema = schemars::schema_for!(Plan).to_value();
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        expect_test::expect_file!["plan.json"].assert_eq(&(text + "\n"));
    }

    #[test]
    fn a_plan_is_the_first_object_that_is_one() {
        let plan = read_plan(
            "Sure {not json} here:\n```json\n{\"summary\":\"s\",\"steps\":[{\"title\":\"t\"}]}\n```",
        )
        .unwrap();
        assert_eq!((plan.summary.as_str(), plan.steps[0].title.as_str()), ("s", "t"));
        for bad in ["", "no object", "{\"summary\": 3}", "{\"summary\":\" \"}", "{{{{{{"] {
            assert!(read_plan(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prose_is_the_answer_without_its_findings() {
        assert_eq!(prose("Fine.\n```json\n{}\n```\nBye."), "Fine.\nBye.");
        assert_eq!(prose("Fine.\n```json\n{"), "Fine.");
        assert_eq!(prose(" Fine. "), "Fine.");
    }
}
