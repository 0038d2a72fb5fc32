//! The events of Rust's own test harness, which `harness/cargo.sh` gathers from all test programs of a run.
//!
//! The tested code can print such lines too, so a program counts only when its own end stands there, last, with as
//! many tests as were seen.

use super::{MAX_BYTES, MAX_TEXT, Report, State, TestResult, append, head};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    passed: usize,
    #[serde(default)]
    failed: usize,
    #[serde(default)]
    ignored: usize,
}

/// One test program.
#[derive(Default)]
struct Program {
    name: String,
    tests: BTreeMap<String, TestResult>,
    /// Events of tests so far, and as the end tells it.
    seen: usize,
    told: Option<usize>,
}

impl Report {
    pub(in crate::agent::check) fn read_libtest(&mut self, bytes: &[u8]) {
        let mut program: Option<Program> = None;
        for line in bytes[..bytes.len().min(MAX_BYTES)].split(|&byte| byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            if line.kind == "program" {
                self.close(program.take());
                program = Some(Program { name: line.name, ..Program::default() });
                continue;
            }
            let Some(program) = &mut program else { continue };
            match (line.kind.as_str(), line.event.as_str()) {
                ("suite", "ok" | "failed") => program.told = Some(line.passed + line.failed + line.ignored),
                ("test", "ok") => program.add(line.name, State::Passed, ""),
                ("test", "ignored") => program.add(line.name, State::Skipped, ""),
                ("test", "failed" | "timeout") => program.add(line.name, State::Failed, &line.stdout),
                _ => {}
            }
        }
        self.close(program);
    }

    fn close(&mut self, program: Option<Program>) {
        let Some(program) = program else { return };
        self.read = true;
        for (name, test) in program.tests {
            self.add(format!("{}::{name}", program.name), test);
        }
        if program.told != Some(program.seen) {
            let why = "the test program did not come to its end, or printed results of its own";
            self.add(program.name, TestResult::failed(why, true));
        }
    }
}

impl Program {
    fn add(&mut self, name: String, state: State, output: &str) {
        self.seen += 1;
        let mut detail = String::new();
        append(&mut detail, output);
        let result = TestResult { state, message: message(output), detail, whole: false };
        let slot = self.tests.entry(name).or_insert_with(|| result.clone());
        if slot.state < result.state {
            *slot = result;
        }
    }
}

/// What a panic says: the line after the one with its place.
fn message(output: &str) -> String {
    let mut lines = output.lines().skip_while(|line| !line.contains(" panicked at "));
    let line = lines.nth(1).or_else(|| output.lines().find(|line| !line.trim().is_empty()));
    head(line.unwrap_or_default(), MAX_TEXT).to_owned()
}
