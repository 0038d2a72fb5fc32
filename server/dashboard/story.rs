//! A task's events, as they were kept, folded into what a page tells: phases with their times, runs, the log.
//!
//! Events may come from another version of the program, so every part of one may be missing.

use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) begun: u64,
    /// When something was last heard of it.
    pub(super) latest: u64,
    pub(super) ended: bool,
    pub(super) message: String,
    pub(super) phases: Vec<Stretch>,
    pub(super) runs: Vec<Ran>,
    pub(super) usage: Value,
    pub(super) log: Vec<Line>,
}

/// A time in one phase, in milliseconds since the Unix epoch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) phase: String,
    pub(super) attempt: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A run of the check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) attempt: u64,
    pub(super) stage: String,
    pub(super) status: String,
    pub(super) exit_code: Option<i64>,
    pub(super) tests: Option<[u64; 3]>,
    pub(super) command: String,
    pub(super) duration_ms: u64,
    pub(super) cpu_ms: u64,
    pub(super) peak_memory_bytes: u64,
    pub(super) output: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: u64,
    /// `info`, `warning`, `error`, `ok`.
    pub(super) level: String,
    pub(super) text: String,
}

impl Story {
    pub(super) fn of(events: &[Value]) -> Self {
        let mut story = Self::default();
        for event in events {
            let at = number(event, "at");
            if story.begun == 0 {
                story.begun = at;
            }
            story.latest = story.latest.max(at);
            story.take(event, at);
        }
        let latest = story.latest;
        if let Some(last) = story.phases.last_mut() {
            last.to = last.to.max(latest);
        }
        story
    }

    fn take(&mut self, event: &Value, at: u64) {
        let word = |name: &str| text(event, name);
        match event["kind"].as_str().unwrap_or_default() {
            "started" => self.write(at, "info", format!("Started: {}", word("title"))),
            "phase" => self.enter(word("phase"), number(event, "attempt"), at),
            "ran" => {
                let ran = Ran::of(event, self.phases.last().map_or(0, |phase| phase.attempt));
                let level = if ran.passed() { "ok" } else { "error" };
                self.write(at, level, ran.summary());
                self.runs.push(ran);
            }
            "usage" => self.usage = event["usage"].clone(),
            "noted" => self.write(at, &word("level"), word("text")),
            "ended" => {
                let phase = word("phase");
                let level = if phase == "complete" { "ok" } else { "error" };
                self.message = word("message");
                self.write(at, level, self.message.clone());
                self.close(at);
                self.ended = true;
            }
            "interrupted" => {
                self.message = word("message");
                self.write(at, "error", self.message.clone());
                self.close(at);
                self.ended = true;
            }
            "decided" => self.write(at, "info", format!("Proposal {}", word("decision"))),
            _ => {}
        }
    }

    fn enter(&mut self, phase: String, attempt: u64, at: u64) {
        if self.phases.last().is_some_and(|last| last.phase == phase && last.attempt == attempt) {
            return;
        }
        self.close(at);
        let times = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
        self.write(at, "info", format!("{}{times}", title(&phase)));
        self.phases.push(Stretch { phase, attempt, from: at, to: at });
    }

    fn close(&mut self, at: u64) {
        if let Some(last) = self.phases.last_mut() {
            last.to = at;
        }
    }

    fn write(&mut self, at: u64, level: &str, text: String) {
        self.log.push(Line { at, level: level.to_owned(), text });
    }
}

impl Ran {
    fn of(event: &Value, attempt: u64) -> Self {
        let tests = &event["tests"];
        let measured = event.get("measured").unwrap_or(event);
        Self {
            attempt,
            stage: text(event, "stage"),
            status: text(event, "status"),
            exit_code: event["exit_code"].as_i64(),
            tests: tests.is_object().then(|| ["run", "passed", "failed"].map(|name| number(tests, name))),
            command: text(measured, "command"),
            duration_ms: number(measured, "duration_ms"),
            cpu_ms: number(measured, "cpu_ms"),
            peak_memory_bytes: number(measured, "peak_memory_bytes"),
            output: text(measured, "output"),
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.status == "ok"
    }

    /// e.g. `check after the edit: 3 of 4 tests passed`.
    pub(super) fn summary(&self) -> String {
        let when = if self.stage == "before" { "before the edit" } else { "after the edit" };
        let what = match (self.status.as_str(), self.tests, self.exit_code) {
            (_, Some([run, passed, _]), _) if run > 0 => format!("{passed} of {run} tests passed"),
            ("ok", ..) => "ran with exit code 0".into(),
            ("exit_nonzero", _, Some(code)) => format!("failed with exit code {code}"),
            (status, ..) => title(status).to_lowercase(),
        };
        format!("Check {when}: {what}")
    }
}

/// `exit_nonzero` as people write it.
pub(super) fn title(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    first + &letters.as_str().replace('_', " ")
}

pub(super) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

pub(super) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn phases_end_where_the_next_begins() {
        let phase = |at: u64, phase: &str, attempt: u64| json!({"kind": "phase", "at": at, "phase": phase, "attempt": attempt});
        let story = Story::of(&[
            json!({"kind": "started", "at": 1, "title": "fix a.py"}),
            phase(5, "testing", 0),
            phase(9, "testing", 0),
            json!({"kind": "ran", "at": 20, "stage": "before", "status": "exit_nonzero", "exit_code": 1,
                "tests": {"run": 4, "passed": 3, "failed": 1}, "measured": {"duration_ms": 12}}),
            phase(21, "coding", 1),
            json!({"kind": "waiting", "at": 31, "agent": "coder"}),
        ]);
        let stretch = |phase: &str, attempt, from, to| Stretch { phase: phase.into(), attempt, from, to };
        assert_eq!(story.phases, [stretch("testing", 0, 5, 21), stretch("coding", 1, 21, 31)]);
        assert_eq!(story.runs[0].summary(), "Check before the edit: 3 of 4 tests passed");
        assert!(!story.ended && story.begun == 1 && story.latest == 31);
    }

    #[test]
    fn what_is_missing_or_strange_is_borne() {
        let story = Story::of(&[
            json!(null),
            json!({"kind": "ran"}),
            json!({"kind": 3}),
            json!({"kind": "ended", "at": "x"}),
        ]);
        assert!(story.ended && story.runs.len() == 1);
    }
}
