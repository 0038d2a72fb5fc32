//! Forty known bugs: the right answer is proven forty times, the buggy text is never accepted.
//!
//! The problems are not in the tree: the Python file of `HumanEvalPack`, named by `OPENDEVAGENT_DATA` or found beside the
//! project.

use super::{level, not_accepted, whole};
use crate::model_server::ModelServer;
use crate::support::{Ended, Workspace, docker, project, skipped};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Mutex;

const PROBLEMS: usize = 40;
const AT_ONCE: usize = 2;

struct Problem {
    name: String,
    buggy: String,
    canonical: String,
    test: String,
}

fn problems() -> Option<Vec<Problem>> {
    let folder =
        std::env::var_os("OPENDEVAGENT_DATA").map_or_else(|| project().join("../shared/data"), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("humanevalpack-python.jsonl")).ok()?;
    let problems = text.lines().take(PROBLEMS).map(|line| {
        let row: Value = serde_json::from_str(line).expect("each line is a JSON object");
        let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        Problem {
            name: field("task_id"),
            buggy: field("prompt") + &field("buggy_solution"),
            canonical: field("prompt") + &field("canonical_solution"),
            test: format!("from solution import *\n{}\n", field("test")),
        }
    });
    Some(problems.collect())
}

/// Runs `fix` on every problem with what `answer` gives, and checks how it ended.
fn each(answer: impl Fn(&Problem) -> String + Sync, check: impl Fn(&Problem, Ended) + Sync) {
    if !docker() {
        return;
    }
    let Some(problems) = problems() else { return skipped("humanevalpack-python.jsonl is not there") };
    assert_eq!(problems.len(), PROBLEMS);
    let queue = Mutex::new(problems.iter());
    let next = || queue.lock().expect("no thread panics with the lock").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(problem) = next() {
                    let server = ModelServer::always(whole("solution.py", &answer(problem)));
                    // A bug may be a loop without end.
                    let workspace =
                        Workspace::new("").model(&server).set("OPENDEVAGENT_SANDBOX_TIMEOUT_SECONDS", "10");
                    workspace.write("solution.py", &problem.buggy);
                    workspace.write("test_solution.py", &problem.test);
                    let ended = workspace.run(&[
                        "fix",
                        "solution.py",
                        "--check",
                        "python test_solution.py",
                        "--json",
                    ]);
                    check(problem, ended);
                }
            });
        }
    });
}

#[test]
fn canonical_answers_are_proven() {
    each(
        |problem| problem.canonical.clone(),
        |problem, ended| {
            let report = ended.exits(0).json();
            assert_eq!(level(&report), "proven", "{}: {report:#}", problem.name);
        },
    );
}

#[test]
fn buggy_answers_are_not_accepted() {
    each(|problem| format!("{}\n# fixed\n", problem.buggy), |_, ended| drop(not_accepted(ended)));
    each(|problem| problem.buggy.clone(), |_, ended| drop(not_accepted(ended)));
}
