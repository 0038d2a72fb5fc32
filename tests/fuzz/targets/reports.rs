//! What test runners and programs leave behind, read by every reader there is.

use opendevagent::agent::check::{self, Check};
use opendevagent::sandbox::{Outcome, Status};
use opendevagent::workspace::{Documents, Snapshot};
use std::sync::LazyLock;

const COMMANDS: [&str; 13] = [
    "python -m pytest -q",
    "node --test",
    "npx jest",
    "npx vitest run",
    "npx mocha",
    "go test ./...",
    "cargo test",
    "ctest",
    "rspec",
    "rake test",
    "phpunit",
    "bats test",
    "sh check.sh",
];
/// Ends of the names of the files that are collected, and one that nobody asked for.
const NAMES: [&str; 9] = [
    "-record.jsonl",
    "-pytest.xml",
    "-node.jsonl",
    "-cargo.jsonl",
    "-rspec.json",
    "-ruby.jsonl",
    "-report",
    "-report/TEST-a.xml",
    "/etc/passwd",
];

/// A small project, and the checks that its commands come to.
static CHECKS: LazyLock<(Snapshot, Vec<Check>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder can be made").keep();
    for name in ["a.py", "a.test.js", "a.rs", "a_test.go", "A.java", "a.rb", "a.c", "a.php"] {
        std::fs::write(folder.join(name), "one\ntwo\nthree\n").expect("a file can be written");
    }
    let snapshot = Snapshot::take(&folder, &Documents::default(), &[]).expect("the folder can be read");
    let choose = |command: &&str| check::choose(&snapshot, Some(command), None, None);
    let checks =
        COMMANDS.iter().map(|command| choose(command).expect("the user's command is taken")).collect();
    let _ = std::fs::remove_dir_all(&folder);
    (snapshot, checks)
});

pub(super) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (snapshot, checks) = &*CHECKS;
    let status = if first & 1 == 0 { Status::Ok } else { Status::ExitNonzero };
    let text = String::from_utf8_lossy(data).into_owned();
    let outcome = Outcome {
        status,
        exit_code: Some(i32::from(first & 1)),
        signal: None,
        stdout: text.clone(),
        stderr: text,
        truncated: false,
        oom: false,
        duration_ms: 1,
        cpu_ms: 1,
        peak_memory_bytes: 0,
        language: None,
        runtime: "runc".into(),
        image: String::new(),
        left_out: Vec::new(),
        error: None,
        artifacts: NAMES.iter().map(|name| (format!("/tmp/0{name}"), data.to_vec())).collect(),
    };
    for check in checks {
        let seen = check.observe(&outcome);
        assert!(
            !seen.passes() || status == Status::Ok,
            "{}: an exit status is not talked away",
            check.command
        );
        assert!(seen.excerpt(100).len() < 1_000, "{}: an excerpt is short", check.command);
        let places = seen.findings(snapshot);
        assert!(places.iter().all(|finding| finding.line > 0 && finding.column > 0), "{places:?}");
        assert_eq!(seen.signature(), check.observe(&outcome).signature());
    }
}
