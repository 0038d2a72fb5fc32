//! The lines of a task, and how they add up to its record. Pure.
//!
//! A line is a JSON object with `at` (milliseconds) and `kind`. Kinds are those of [`crate::event::Kind`], and of the
//! journal's own: `begun` (the row and what was asked), `asked`, `answered`, `judged`, `report`, `decided`,
//! `interrupted`, `wish`. Kinds that are not known are kept as events.

use super::keep::Decision;
use super::{Record, Round, Row};
use crate::model::Usage;
use crate::model::redact::{each_text, redact, unsteering};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Longer texts are cut: nobody reads more, and a task's file stays small.
const LONGEST_TEXT: usize = 256 << 10;

/// Hides what looks like a key, in every text of `value`, and cuts what is too long.
pub fn hide(value: &mut Value) {
    each_text(value, &|text| {
        *text = redact(text);
        cut(text);
    });
}

/// Makes what others wrote harmless to show: no characters that steer a terminal, nothing too long.
pub(super) fn tame(value: &mut Value) {
    each_text(value, &|text| {
        cut(text);
        if let Cow::Owned(harmless) = unsteering(text) {
            *text = harmless;
        }
    });
}

fn cut(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n(cut)");
    }
}

/// A line of `kind` that says `fields`.
pub(super) fn line(at: u64, kind: &str, fields: Value) -> Value {
    let mut line = json!({"at": at, "kind": kind});
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    line
}

fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Record {
    /// Adds up the lines of a file; what is no line of ours is counted.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut record = Self::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(line) if line["kind"].is_string() => record.take(line),
                _ => record.damaged += 1,
            }
        }
        record
    }

    /// Takes the next line over.
    pub(super) fn take(&mut self, line: Value) {
        let at = line["at"].as_u64().unwrap_or_default();
        match line["kind"].as_str().unwrap_or_default() {
            "begun" => {
                self.row = read::<Row>(&line["row"]);
                self.asked = line["asked"].clone();
                return;
            }
            "asked" => {
                self.rounds.push(Round { asked: at, ..read(&line) });
                return;
            }
            "answered" => {
                self.answered(at, &line);
                return;
            }
            "judged" => {
                self.row.rounds += 1;
                if let Some(round) = self.rounds.last_mut() {
                    round.diff = text(&line["diff"]);
                    round.verdict = Some(line["verdict"].clone());
                }
                return;
            }
            "report" => {
                self.report(&line["report"]);
                return;
            }
            "ran" => {
                self.rounds.last_mut().map_or(&mut self.before, |round| &mut round.checks).push(line.clone())
            }
            "phase" if self.row.is_running() => {
                self.row.phase = text(&line["phase"]).unwrap_or_default();
            }
            "ended" => {
                self.row.ended = Some(at);
                self.row.phase = text(&line["phase"]).unwrap_or_default();
                self.row.level = text(&line["verdict"]["level"]);
                self.row.message = text(&line["message"]).unwrap_or_default();
            }
            "interrupted" => {
                self.row.ended = Some(at);
                self.row.interrupted = true;
                self.row.phase = "failed".into();
                self.row.message = text(&line["message"]).unwrap_or_default();
            }
            "decided" => {
                self.row.decision = text(&line["decision"]);
                self.row.applied = (line["decision"] == Decision::Applied.name()).then_some(at);
            }
            _ => {}
        }
        self.events.push(line);
    }

    fn answered(&mut self, at: u64, line: &Value) {
        let Some(round) = self.rounds.last_mut() else { return };
        round.answered = Some(at);
        round.reply = text(&line["reply"]);
        round.reply_sha256 = text(&line["reply_sha256"]).unwrap_or_default();
        round.finish = text(&line["finish"]);
        round.usage = read(&line["usage"]);
        if let Some(model) = text(&line["model"]) {
            round.model = model;
        }
        let mut sum = Usage::default();
        self.rounds.iter().for_each(|round| sum += round.usage);
        self.row.usage = sum;
    }

    fn report(&mut self, report: &Value) {
        // The report counts what came to nothing, too.
        self.row.usage = read(&report["usage"]);
        self.row.rounds = report["rounds"].as_u64().unwrap_or_default() as u32;
        self.row.edits = report["edits"].as_array().map_or(0, Vec::len) as u32;
        self.report = Some(report.clone());
    }

    /// A call whose answer is not here: it may be billed all the same.
    pub fn is_asking(&self) -> bool {
        self.rounds.last().is_some_and(|round| round.answered.is_none())
    }

    /// What an interrupted task leaves, in one sentence.
    pub(super) fn interruption(&self) -> String {
        let usage = &self.row.usage;
        let mut told = format!(
            "interrupted: its server is gone; {} calls were answered, ${:.4} spent",
            usage.calls, usage.cost_usd
        );
        if self.is_asking() {
            told.push_str(", and one more was on its way, which may be billed");
        }
        if usage.calls > 0 {
            let _ = write!(told, "; `opendevagent tasks resume {}` goes on from there", self.row.id);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &[Value]) -> Record {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        Record::of(text.join("\n").as_bytes())
    }

    #[test]
    fn lines_add_up_to_rounds() {
        let usage = json!({"calls": 1, "prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 0, "cost_usd": 0.25});
        let lines = [
            line(
                1,
                "begun",
                json!({"row": {"task": "0", "action": "fix", "begun": 1}, "asked": {"check": "make"}}),
            ),
            line(2, "ran", json!({"stage": "before", "status": "exit_nonzero"})),
            line(3, "asked", json!({"number": 1, "agent": "debugger", "model": "m", "prompt_sha256": "ab"})),
            line(
                4,
                "answered",
                json!({"number": 1, "reply": "no", "model": "other", "finish": "stop", "usage": usage}),
            ),
            line(5, "ran", json!({"stage": "after", "status": "ok"})),
            line(6, "judged", json!({"diff": "+x", "verdict": {"level": "proven"}})),
            line(7, "asked", json!({"number": 2, "agent": "coder"})),
        ];
        let half = record(&lines);
        assert_eq!((half.before.len(), half.rounds.len(), half.rounds[0].checks.len()), (1, 2, 1));
        assert_eq!((half.rounds[0].model.as_str(), half.rounds[0].diff.as_deref()), ("other", Some("+x")));
        assert!(half.is_asking() && half.row.is_running());
        assert!(half.interruption().contains("1 calls were answered, $0.2500 spent, and one more"));
        let ended = json!({"phase": "complete", "message": "done", "verdict": {"level": "proven"}});
        let whole = record(
            &[&lines[..6], &[line(8, "ended", ended), line(9, "decided", json!({"decision": "applied"}))]]
                .concat(),
        );
        assert_eq!((whole.row.ended, whole.row.level.as_deref()), (Some(8), Some("proven")));
        assert_eq!((whole.row.decision.as_deref(), whole.is_asking()), (Some("applied"), false));
    }

    #[test]
    fn what_is_no_line_is_counted_and_passed_over() {
        let record = Record::of(b"{\"kind\":\"begun\",\"row\":{\"task\":\"7\"}}\n{\"kin\n\0\0\0\n{\"kind\":\"phase\",\"phase\":\"coding\"}\n");
        assert_eq!((record.damaged, record.row.id.as_str(), record.row.phase.as_str()), (2, "7", "coding"));
    }

    #[test]
    fn keys_are_hidden_and_long_texts_cut() {
        let mut value = json!({"a": ["sk-or-v1-0123456789abcdef"], "b": "ü".repeat(LONGEST_TEXT)});
        hide(&mut value);
        assert_eq!(value["a"][0], "sk-or-v1-***");
        assert!(
            value["b"].as_str().is_some_and(|text| text.len() < LONGEST_TEXT + 10 && text.ends_with("(cut)"))
        );
    }
}
