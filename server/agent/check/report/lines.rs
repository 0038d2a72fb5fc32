//! The lines of our own reporters in `harness/`: one JSON object for each result.

use super::{MAX_BYTES, MAX_TEXT, Report, State, TestResult, head};
use serde::Deserialize;
use std::collections::BTreeSet;

impl Report {
    /// Reads the lines of `harness/reporter.mjs`.
    pub(in crate::agent::check) fn read_lines(&mut self, bytes: &[u8]) {
        #[derive(Deserialize)]
        struct Line {
            file: String,
            names: Vec<String>,
            #[serde(default)]
            suite: bool,
            state: String,
            #[serde(default)]
            kind: Option<String>,
            #[serde(default)]
            message: String,
            #[serde(default)]
            detail: String,
        }
        self.read = true;
        for line in bytes[..bytes.len().min(MAX_BYTES)].split(|&byte| byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            let state = match line.state.as_str() {
                "pass" => State::Passed,
                "skipped" => State::Skipped,
                _ => State::Failed,
            };
            // A suite is no test, unless something beside its tests failed in it.
            if line.suite && (state != State::Failed || line.kind.as_deref() == Some("subtestsFailed")) {
                continue;
            }
            let whole = line.names.is_empty();
            let names: Vec<_> =
                std::iter::once(line.file).chain(line.names).filter(|name| !name.is_empty()).collect();
            let detail = head(&line.detail, MAX_TEXT).to_owned();
            self.add(names.join(" > "), TestResult { state, message: line.message, detail, whole });
        }
        // A file that has tests of its own is judged by them; only its failure is a result beside theirs.
        let files: BTreeSet<String> =
            self.tests.keys().filter_map(|name| Some(name.split_once(" > ")?.0.to_owned())).collect();
        self.tests.retain(|name, test| !(test.whole && test.state == State::Passed && files.contains(name)));
    }
}
