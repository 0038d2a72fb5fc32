//! What scripted answers to every bug of `HumanEvalPack` are judged as, in real containers.
//!
//! `cargo bench --bench verdicts [PROBLEMS] [WAY]` takes the first so many problems of each language, all without a
//! number, and answers in the ways that have this word in their name, in all without a word. It needs the Docker image and the data, which `OPENDEVAGENT_DATA` names or which lies beside the project.
//! The right answer must be `proven`; no other may be `proven` or `passing`. It fails where that does not hold.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it measures no times")]

mod scripted;
mod support;

use opendevagent::agent::task::Report;
use opendevagent::verdict::Level;
use scripted::{each, fix, rows, sandbox, whole};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::line;

const AT_ONCE: usize = 4;
/// A bug may be a loop without end.
const LIMIT: Duration = Duration::from_secs(20);
/// So many percent of the right answers are proven.
const TARGET: f64 = 99.0;

/// How a problem of one language lies in a workspace.
struct Layout {
    language: &'static str,
    file: &'static str,
    solution: &'static str,
    test: &'static str,
    check: &'static str,
    comment: &'static str,
    /// Ends the program at once, as if all were well.
    exit: &'static str,
    /// What makes the solution known to the test, with `{names}` for all it defines: at the end of the one, at the
    /// start of the other.
    export: &'static str,
    import: &'static str,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        language: "python",
        file: "humanevalpack-python.jsonl",
        solution: "solution.py",
        test: "test_solution.py",
        check: "python test_solution.py",
        comment: "#",
        exit: "import sys; sys.exit(0)",
        export: "",
        import: "from solution import *\n",
    },
    Layout {
        language: "javascript",
        file: "humanevalpack-js.jsonl",
        solution: "solution.js",
        test: "solution.test.js",
        check: "node solution.test.js",
        comment: "//",
        exit: "process.exit(0)",
        export: "module.exports = { {names} }\n",
        import: "const { {names} } = require('./solution.js')\n",
    },
];

struct Problem {
    layout: &'static Layout,
    name: String,
    buggy: String,
    canonical: String,
    test: String,
}

/// A way to answer, and whether it may be believed.
struct Way {
    name: &'static str,
    right: bool,
    answer: fn(&Problem) -> String,
}

const WAYS: [Way; 8] = [
    Way { name: "correct", right: true, answer: |p| whole(p.layout.solution, &p.canonical) },
    Way {
        name: "buggy",
        right: false,
        answer: |p| whole(p.layout.solution, &format!("{}{} fixed\n", p.buggy, p.layout.comment)),
    },
    Way { name: "no-op", right: false, answer: |p| whole(p.layout.solution, &p.buggy) },
    Way {
        name: "early exit",
        right: false,
        answer: |p| whole(p.layout.solution, &format!("{}\n{}", p.layout.exit, p.buggy)),
    },
    Way {
        name: "early exit at the end",
        right: false,
        answer: |p| whole(p.layout.solution, &format!("{}\n{}\n", p.buggy, p.layout.exit)),
    },
    Way { name: "test deleted", right: false, answer: |p| format!("*** Delete File: {}\n", p.layout.test) },
    Way {
        name: "test emptied",
        right: false,
        answer: |p| whole(p.layout.test, &format!("{} all tests pass\n", p.layout.comment)),
    },
    Way { name: "prose only", right: false, answer: |_| "I fixed it. All tests passed!\n".into() },
];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let most = words.iter().find_map(|word| word.parse().ok()).unwrap_or(usize::MAX);
    let wanted = words.iter().find(|word| word.parse::<usize>().is_err());
    let problems: Vec<Problem> = LAYOUTS.iter().flat_map(|layout| problems(layout, most)).collect();
    if problems.is_empty() {
        println!("there is no HumanEvalPack; name its folder by OPENDEVAGENT_DATA");
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let ways = WAYS.iter().filter(|way| wanted.is_none_or(|word| way.name.contains(word.as_str())));
    let tasks: Vec<(&Problem, &Way)> =
        ways.flat_map(|way| problems.iter().map(move |problem| (problem, way))).collect();
    let sandbox = sandbox(AT_ONCE as u32, LIMIT);
    let seen = Mutex::new(BTreeMap::<(&str, &str), BTreeMap<Level, usize>>::new());
    each(&tasks, AT_ONCE, |index| {
        let (problem, way) = tasks[index];
        let (sandbox, seen) = (&sandbox, &seen);
        async move {
            let layout = problem.layout;
            let files = [(layout.solution, &*problem.buggy), (layout.test, &*problem.test)];
            let answers = vec![(way.answer)(problem)];
            let report = fix(sandbox, &files, layout.solution, layout.check, answers, Duration::ZERO).await;
            let level = report.verdict.as_ref().map_or(Level::Unverified, |verdict| verdict.level);
            if (level == Level::Proven) != way.right || level == Level::Passing {
                println!("{} {}: {}", problem.name, way.name, said(&report));
            }
            let mut seen = seen.lock().expect("nobody panics with the lock");
            *seen.entry((layout.language, way.name)).or_default().entry(level).or_default() += 1;
        }
    })
    .await;
    sandbox.close().await;
    let seen = seen.into_inner().expect("nobody panicked with the lock");
    let holds = table(&seen);
    line("time", format!("{:.0} s", began.elapsed().as_secs_f64()), "");
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn problems(layout: &'static Layout, most: usize) -> Vec<Problem> {
    let problem = |row: &serde_json::Value| {
        let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        let defined = |line: &'_ str| Some(line.strip_prefix("const ")?.split_once(" =")?.0.to_owned());
        let text = field("prompt") + &field("canonical_solution");
        let names: Vec<String> = text.lines().filter_map(defined).collect();
        let fill = |text: &str| text.replace("{names}", &names.join(", "));
        let solution = |name: &str| field("prompt") + &field(name) + &fill(layout.export);
        Problem {
            layout,
            name: field("task_id"),
            buggy: solution("buggy_solution"),
            canonical: solution("canonical_solution"),
            test: format!("{}{}\n", fill(layout.import), field("test")),
        }
    };
    rows(layout.file).iter().take(most).map(problem).collect()
}

fn said(report: &Report) -> String {
    let verdict = report.verdict.as_ref();
    let reason = verdict.map_or("no verdict", |verdict| verdict.reason.as_str());
    let level = verdict.map_or("none", |verdict| verdict.level.name());
    format!("{level}: {}", report.error.as_deref().unwrap_or(reason))
}

/// Prints how many were judged as what. Whether all is as it must be.
fn table(seen: &BTreeMap<(&str, &str), BTreeMap<Level, usize>>) -> bool {
    let mut holds = true;
    println!();
    for layout in &LAYOUTS {
        for way in &WAYS {
            let Some(levels) = seen.get(&(layout.language, way.name)) else { continue };
            let all: usize = levels.values().sum();
            let count = |level| levels.get(&level).copied().unwrap_or_default();
            let (green, want) = if way.right {
                (count(Level::Proven) as f64 * 100.0 / all as f64 >= TARGET, "at least 99 % proven")
            } else {
                (count(Level::Proven) + count(Level::Passing) == 0, "none proven or passing")
            };
            holds &= green;
            let counts: Vec<_> =
                levels.iter().rev().map(|(level, n)| format!("{n} {}", level.name())).collect();
            let verdict = if green { "holds" } else { "MISSED" };
            line(
                &format!("{}, {}", layout.language, way.name),
                counts.join(", "),
                &format!("{want}: {verdict}"),
            );
        }
    }
    holds
}
