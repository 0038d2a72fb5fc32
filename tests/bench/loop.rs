//! What a round of a fix costs beside the model's time and the program's own.
//!
//! `cargo bench --bench loop [ROUNDS]` needs the Docker image. Each task fixes one bug: at once, or after one answer
//! that does not help. What the second kind takes more is one round: a proposal read, checked and judged, and a
//! question with what it showed.
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

/// A bug, with what repairs it and what does not.
struct Bug {
    language: &'static str,
    file: &'static str,
    test: (&'static str, &'static str),
    check: &'static str,
    /// The bug, what does not help, and the repair, in a text with `{}` for it.
    text: &'static str,
    forms: [&'static str; 3],
}

const BUGS: [Bug; 2] = [
    Bug {
        language: "python",
        file: "double.py",
        test: (
            "test_double.py",
            "from double import double\n\nassert double(2) == 4\nassert double(3) == 6\n",
        ),
        check: "python test_double.py",
        text: "def double(x):\n    return {}\n",
        forms: ["x", "x * x", "x + x"],
    },
    Bug {
        language: "javascript",
        file: "double.js",
        test: (
            "double.test.js",
            "const double = require('./double.js')\n\nconsole.assert(double(2) === 4)\nconsole.assert(double(3) === 6)\n",
        ),
        check: "node double.test.js",
        text: "module.exports = (x) => {}\n",
        forms: ["x", "x * x", "x + x"],
    },
];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20);
    println!("{rounds} rounds, load average {}; median and 95th percentile\n", support::load());
    let sandbox = sandbox(2, Duration::from_secs(60));
    let mut holds = true;
    for bug in &BUGS {
        let [_, wrong, right] = bug.forms.map(|form| whole(bug.file, &bug.text.replace("{}", form)));
        let (mut one, mut two) = (Sample::default(), Sample::default());
        let (mut ran, mut extra) = (Sample::default(), Sample::default());
        // The first task of each kind starts the containers that wait.
        for round in 0..=rounds {
            let short = task(&sandbox, bug, vec![right.clone()]).await;
            let long = task(&sandbox, bug, vec![wrong.clone(), right.clone()]).await;
            if round > 0 {
                one.push(short.overhead_ms as f64);
                two.push(long.overhead_ms as f64);
                extra.push(long.overhead_ms as f64 - short.overhead_ms as f64);
                ran.push(long.duration_ms.saturating_sub(long.overhead_ms) as f64);
            }
        }
        times(&format!("{}: a task of one round", bug.language), &one, "");
        times(&format!("{}: a task of two rounds", bug.language), &two, "");
        times(&format!("{}: the programs' own time", bug.language), &ran, "");
        let met = extra.median() <= TARGET;
        holds &= met;
        let target = format!("median at most {TARGET} ms: {}", if met { "holds" } else { "MISSED" });
        times(&format!("{}: a round", bug.language), &extra, &target);
    }
    sandbox.close().await;
    line("load average", support::load(), "");
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn task(sandbox: &Arc<dyn Sandbox>, bug: &Bug, answers: Vec<String>) -> Report {
    let buggy = bug.text.replace("{}", bug.forms[0]);
    let rounds = answers.len() as u32;
    let report = fix(sandbox, &[(bug.file, &buggy), bug.test], bug.file, bug.check, answers, ANSWER).await;
    let level = report.verdict.as_ref().map(|verdict| verdict.level);
    assert_eq!((level, report.rounds), (Some(Level::Proven), rounds), "{:?}", report.verdict);
    report
}
