//! The JSON documents of Jest (Vitest writes the same), Mocha and `RSpec`.

use super::{MAX_BYTES, MAX_TEXT, Report, State, TestResult, head};
use crate::agent::check::ROOT;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A document, if it is one.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes.get(..MAX_BYTES).unwrap_or(bytes)).ok()
}

/// Results of a file, and the file's own when it could not be loaded.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestFile {
    name: String,
    status: String,
    #[serde(default)]
    message: String,
    assertion_results: Vec<JestTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestTest {
    ancestor_titles: Vec<String>,
    title: String,
    status: String,
    #[serde(default)]
    failure_messages: Vec<String>,
}

#[derive(Deserialize)]
struct MochaTest {
    #[serde(default)]
    file: String,
    #[serde(rename = "fullTitle")]
    full_title: String,
    err: MochaError,
}

#[derive(Default, Deserialize)]
struct MochaError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    stack: String,
}

#[derive(Deserialize)]
struct Example {
    id: String,
    full_description: String,
    file_path: String,
    status: String,
    exception: Option<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(default)]
    class: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    backtrace: Option<Vec<String>>,
}

impl Report {
    pub(in crate::agent::check) fn read_jest(&mut self, bytes: &[u8]) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Document {
            test_results: Vec<JestFile>,
        }
        let Some(document) = read::<Document>(bytes) else { return };
        self.read = true;
        for file in document.test_results {
            let path = relative(&file.name);
            if file.status == "failed" && file.assertion_results.iter().all(|test| test.status != "failed") {
                self.add(path.clone(), failure(&file.message, &file.message, true));
            }
            for test in file.assertion_results {
                let detail = test.failure_messages.join("\n");
                let result = match test.status.as_str() {
                    "passed" => state(State::Passed),
                    "failed" => failure(&detail, &detail, false),
                    _ => state(State::Skipped),
                };
                let names = [vec![path.clone()], test.ancestor_titles, vec![test.title]].concat();
                self.add(names.join(" > "), result);
            }
        }
    }

    pub(in crate::agent::check) fn read_mocha(&mut self, bytes: &[u8]) {
        #[derive(Deserialize)]
        struct Document {
            passes: Vec<MochaTest>,
            failures: Vec<MochaTest>,
            pending: Vec<MochaTest>,
        }
        let Some(document) = read::<Document>(bytes) else { return };
        self.read = true;
        let name = |test: &MochaTest| format!("{} > {}", relative(&test.file), test.full_title);
        for test in &document.passes {
            self.add(name(test), state(State::Passed));
        }
        for test in &document.pending {
            self.add(name(test), state(State::Skipped));
        }
        for test in &document.failures {
            self.add(name(test), failure(&test.err.message, &test.err.stack, false));
        }
    }

    pub(in crate::agent::check) fn read_rspec(&mut self, bytes: &[u8]) {
        #[derive(Deserialize)]
        struct Document {
            examples: Vec<Example>,
            summary: Summary,
            #[serde(default)]
            messages: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Summary {
            errors_outside_of_examples_count: u32,
        }
        let Some(document) = read::<Document>(bytes) else { return };
        self.read = true;
        for example in document.examples {
            let path = example.file_path.trim_start_matches("./");
            let result = match (example.status.as_str(), &example.exception) {
                ("passed", _) => state(State::Passed),
                ("pending", _) => state(State::Skipped),
                (_, Some(exception)) => {
                    let places = exception.backtrace.clone().unwrap_or_default().join("\n");
                    let detail = format!("{}: {}\n{places}", exception.class, exception.message);
                    failure(&exception.message, &detail, false)
                }
                _ => failure(&example.id, "", false),
            };
            self.add(format!("{path} > {}", example.full_description), result);
        }
        if document.summary.errors_outside_of_examples_count > 0 {
            let text = document.messages.join("\n");
            self.add("rspec".into(), failure(&text, &text, true));
        }
    }
}

fn relative(path: &str) -> String {
    path.strip_prefix(ROOT).map_or(path, |path| path.trim_start_matches('/')).to_owned()
}

fn state(state: State) -> TestResult {
    TestResult { state, message: String::new(), detail: String::new(), whole: false }
}

/// A failure with the first line of its message that says something.
fn failure(message: &str, detail: &str, whole: bool) -> TestResult {
    let first = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    TestResult {
        detail: head(detail, MAX_TEXT).to_owned(),
        ..TestResult::failed(head(first, MAX_TEXT), whole)
    }
}
