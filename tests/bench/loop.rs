//! What a round of a fix costs beside the model's time and the program's own.
//!
//! `cargo bench --bench loop [TASKS]` needs the Docker image. Tasks fix one bug: at once, or after three answers that do
//! not help, which makes four rounds. A task's overhead is all its time but that spent waiting for the model and that
//! the checked program ran: the snapshot, the questions, reading and placing the answers, the containers, what goes in
//! and out of them, the reports, the verdict, for the run before any edit and the second run as well. A round's is the
//! task's, shared among its rounds; what one round more costs is the difference between the two kinds.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it takes what it needs of what benchmarks share")]

mod scripted;
mod support;

use opendevagent::agent::task::Report;
use opendevagent::sandbox::Sandbox;
use opendevagent::verdict::Level;
use scripted::{fix, sandbox, whole};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use support::{Sample, line, times};

/// Median of what a round may cost, in milliseconds.
const TARGET: f64 = 150.0;

/// A model that answers at once would leave no time to start the containers that wait.
const ANSWER: Duration = Duration::from_millis(800);

/// Rounds of the longer tasks.
const ROUNDS: usize = 4;

/// A bug, with what repairs it and what does not.
struct Bug {
    language: &'static str,
    file: &'static str,
    test: (&'static str, &'static str),
    check: &'static str,
    /// A text with `{}` for one of [`FORMS`].
    text: &'static str,
}

/// What does not help, each in another way, and the repair. The bug is the first.
const FORMS: [&str; ROUNDS + 1] = ["x", "x * 5", "x * 4", "x * 3", "x + x"];

const BUGS: [Bug; 2] = [
    Bug {
        language: "python",
        file: "double.py",
        test: (
            "test_double.py",
            "from double import double\n\nassert double(2) == 4, double(2)\nassert double(3) == 6, double(3)\n",
        ),
        check: "python test_double.py",
        text: "def double(x):\n    return {}\n",
    },
    Bug {
        language: "javascript",
        file: "double.js",
        test: (
            "double.test.js",
            "const double = require('./double.js')\n\nconsole.assert(double(2) === 4, double(2))\nconsole.assert(double(3) === 6, double(3))\n",
        ),
        check: "node double.test.js",
        text: "module.exports = (x) => {}\n",
    },
];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let tasks = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20);
    println!("{tasks} tasks of each kind, load average {}; median and 95th percentile\n", support::load());
    let sandbox = sandbox(2, Duration::from_secs(60));
    let mut holds = true;
    for bug in &BUGS {
        let (mut one, mut all) = (Sample::default(), Sample::default());
        let (mut ran, mut share) = (Sample::default(), Sample::default());
        // The first task of each kind starts the containers that wait.
        for number in 0..=tasks {
            let short = task(&sandbox, bug, 1).await;
            let long = task(&sandbox, bug, ROUNDS).await;
            if number > 0 {
                one.push(short.overhead_ms as f64);
                all.push(long.overhead_ms as f64);
                share.push(long.overhead_ms as f64 / ROUNDS as f64);
                ran.push(long.duration_ms.saturating_sub(long.overhead_ms) as f64);
            }
        }
        let name = bug.language;
        times(&format!("{name}: a task of one round"), &one, "");
        times(&format!("{name}: a task of {ROUNDS} rounds"), &all, "");
        times(&format!("{name}: its model and its programs"), &ran, "");
        let further = (all.median() - one.median()) / (ROUNDS - 1) as f64;
        line(&format!("{name}: one round more"), format!("{further:.1} ms"), "");
        let met = share.median() <= TARGET;
        holds &= met;
        let target = format!("median at most {TARGET} ms: {}", if met { "holds" } else { "MISSED" });
        times(&format!("{name}: a round"), &share, &target);
    }
    sandbox.close().await;
    line("load average", support::load(), "");
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A task whose last of so many answers repairs the bug.
async fn task(sandbox: &Arc<dyn Sandbox>, bug: &Bug, rounds: usize) -> Report {
    let form = |form: &&str| bug.text.replace("{}", form);
    let answers = FORMS[FORMS.len() - rounds..].iter().map(|with| whole(bug.file, &form(with))).collect();
    let files = [(bug.file, form(&FORMS[0])), (bug.test.0, bug.test.1.to_owned())];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let report = fix(sandbox, &files, bug.file, bug.check, answers, ANSWER).await;
    let level = report.verdict.as_ref().map(|verdict| verdict.level);
    assert_eq!((level, report.rounds as usize), (Some(Level::Proven), rounds), "{:?}", report.verdict);
    report
}
