//! Forty known bugs in Python and ten in JavaScript: the right answer is always proven, the buggy text never accepted.
//!
//! The problems are not in the tree: `HumanEvalPack`, named by `OPENDEVAGENT_DATA` or found beside the project.
//! `cargo bench --bench verdicts` takes all of them, and more ways to answer.

use super::{level, not_accepted, whole};
use crate::model_server::ModelServer;
use crate::support::{Ended, Workspace, docker, project, skipped};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Mutex;

/// Its tests in JavaScript are `console.assert`s, which change no exit status.
const LAYOUTS: [Layout; 2] = [
    Layout {
        file: "humanevalpack-python.jsonl",
        problems: 40,
        solution: "solution.py",
        test: "test_solution.py",
        check: "python test_solution.py",
        export: "",
        import: "from solution import *\n",
        fixed: "# fixed\n",
    },
    Layout {
        file: "humanevalpack-js.jsonl",
        problems: 10,
        solution: "solution.js",
        test: "solution.test.js",
        check: "node solution.test.js",
        export: "module.exports = { {name} }\n",
        import: "const { {name} } = require('./solution.js')\n",
        fixed: "// fixed\n",
    },
];
const AT_ONCE: usize = 2;

/// How a problem lies in a workspace. `{name}` is what the solution is called.
struct Layout {
    file: &'static str,
    problems: usize,
    solution: &'static str,
    test: &'static str,
    check: &'static str,
    export: &'static str,
    import: &'static str,
    fixed: &'static str,
}

struct Problem {
    layout: &'static Layout,
    name: String,
    buggy: String,
    canonical: String,
    test: String,
}

fn problems() -> Option<Vec<Problem>> {
    let folder =
        std::env::var_os("OPENDEVAGENT_DATA").map_or_else(|| project().join("../shared/data"), PathBuf::from);
    let mut problems = Vec::new();
    for layout in &LAYOUTS {
        let text = std::fs::read_to_string(folder.join(layout.file)).ok()?;
        problems.extend(text.lines().take(layout.problems).map(|line| {
            let row: Value = serde_json::from_str(line).expect("each line is a JSON object");
            let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
            let fill = |text: &str| text.replace("{name}", &field("entry_point"));
            Problem {
                layout,
                name: field("task_id"),
                buggy: field("prompt") + &field("buggy_solution") + &fill(layout.export),
                canonical: field("prompt") + &field("canonical_solution") + &fill(layout.export),
                test: format!("{}{}\n", fill(layout.import), field("test")),
            }
        }));
    }
    Some(problems)
}

/// Runs `fix` on every problem with what `answer` gives, and checks how it ended.
fn each(answer: impl Fn(&Problem) -> String + Sync, check: impl Fn(&Problem, Ended) + Sync) {
    if !docker() {
        return;
    }
    let Some(problems) = problems() else { return skipped("HumanEvalPack is not there") };
    assert_eq!(problems.len(), LAYOUTS.iter().map(|layout| layout.problems).sum::<usize>());
    let queue = Mutex::new(problems.iter());
    let next = || queue.lock().expect("no thread panics with the lock").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(problem) = next() {
                    let layout = problem.layout;
                    let server = ModelServer::always(whole(layout.solution, &answer(problem)));
                    // A bug may be a loop without end.
                    let workspace =
                        Workspace::new("").model(&server).set("OPENDEVAGENT_SANDBOX_TIMEOUT_SECONDS", "10");
                    workspace.write(layout.solution, &problem.buggy);
                    workspace.write(layout.test, &problem.test);
                    let ended = workspace.run(&["fix", layout.solution, "--check", layout.check, "--json"]);
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
    each(
        |problem| format!("{}\n{}", problem.buggy, problem.layout.fixed),
        |_, ended| drop(not_accepted(ended)),
    );
    each(|problem| problem.buggy.clone(), |_, ended| drop(not_accepted(ended)));
}
