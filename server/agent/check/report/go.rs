//! The events of `go test -json`, as `go doc test2json` describes them.

use super::{Report, State, TestResult, append};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

impl Report {
    /// Reads the events of `go test -json` out of an output and gives back the output for people. `covered`: a test
    /// program that came to its end has printed its coverage; one that was left by exit 0 before any test has not.
    pub(in crate::agent::check) fn read_go(&mut self, output: &str, covered: bool) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Line {
            action: String,
            package: Option<String>,
            import_path: Option<String>,
            test: Option<String>,
            output: Option<String>,
        }
        let mut plain = String::with_capacity(output.len() / 2);
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        let (mut failed_in, mut passed_in, mut ended) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for text in output.split_inclusive('\n') {
            let Some(line) = text.starts_with('{').then(|| serde_json::from_str::<Line>(text).ok()).flatten()
            else {
                plain.push_str(text);
                if let Some(package) = build_failure(text) {
                    self.read = true;
                    self.add(package.into(), TestResult::failed("the build failed", true));
                }
                continue;
            };
            self.read = true;
            let package = line.package.or(line.import_path).unwrap_or_default();
            let name = line.test.as_ref().map_or_else(|| package.clone(), |test| format!("{package}.{test}"));
            if let Some(output) = &line.output {
                plain.push_str(output);
                if output.starts_with("coverage: ") {
                    ended.insert(package.clone());
                }
                append(said.entry(name.clone()).or_default(), output);
            }
            let state = match line.action.as_str() {
                "pass" => State::Passed,
                "fail" => State::Failed,
                "skip" => State::Skipped,
                _ => continue,
            };
            let whole = line.test.is_none();
            if !whole {
                let packages = if state == State::Failed { &mut failed_in } else { &mut passed_in };
                packages.insert(package.clone());
            }
            // A package stands for its tests, unless it failed without one of them.
            if whole && (state != State::Failed || failed_in.contains(&package)) {
                continue;
            }
            let detail = said.remove(&name).unwrap_or_default();
            self.add(name, TestResult { state, message: go_message(&detail), detail, whole });
        }
        for package in passed_in.difference(&ended).filter(|package| covered && !failed_in.contains(*package))
        {
            self.add(package.clone(), TestResult::failed("the test program did not come to its end", true));
        }
        plain
    }
}

/// The package of a line such as `FAIL\texample.com/x [build failed]`.
fn build_failure(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("FAIL\t")?.trim_end();
    rest.strip_suffix(" [build failed]").or_else(|| rest.strip_suffix(" [setup failed]"))
}

/// The first line of a Go test's output that is no frame around it.
fn go_message(output: &str) -> String {
    let frame = ["===", "---", "FAIL", "PASS", "ok "];
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.find(|line| !frame.iter().any(|start| line.starts_with(start))).unwrap_or_default().into()
}
