//! Checks run in real containers: real projects, real runners, real cheats.
//!
//! Needs Docker and the built image: `OPENDEVAGENT_DOCKER_TESTS=1`.

use crate::support::engine_options;
use opendevagent::agent::check::{Check, Evidence, Observation, choose, judge};
use opendevagent::agent::patch::FileChange;
use opendevagent::config::Settings;
use opendevagent::sandbox::docker::Docker;
use opendevagent::sandbox::{Limits, Sandbox};
use opendevagent::verdict::Verdict;
use opendevagent::workspace::{Documents, Snapshot};
use std::time::Duration;

/// Path, what is replaced, what by.
pub type Edit<'a> = (&'a str, &'a str, &'a str);

/// A project on disk, and the engine to run its check on.
pub struct Project {
    _folder: tempfile::TempDir,
    pub snapshot: Snapshot,
    pub check: Check,
    docker: Docker,
}

impl Project {
    pub fn new(files: &[(&str, &str)], command: Option<&str>, target: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it lies in the folder"))
                .expect("the folder is ours");
            std::fs::write(path, text).expect("the folder is ours");
        }
        let snapshot =
            Snapshot::take(folder.path(), &Documents::default(), &[]).expect("the folder can be read");
        let check = choose(&snapshot, command, None, Some(target)).expect("the target can be run");
        let limits = Limits { timeout: Duration::from_secs(60), ..Settings::default().sandbox_limits() };
        Self {
            _folder: folder,
            snapshot,
            check,
            docker: Docker::connect(engine_options(limits)).expect("these tests need Docker"),
        }
    }

    pub async fn run(&self, changes: &[FileChange]) -> Observation {
        let texts = changes.iter().map(|change| (change.path.as_str(), change.after.as_deref()));
        let workspace = self.snapshot.with(texts);
        let outcome =
            self.docker.run(self.check.job("test", workspace)).await.expect("these tests need the image");
        // An answer comes before its container is gone; the end of a test would leave it behind.
        self.docker.shutdown().await;
        self.check.observe(&outcome)
    }

    /// The verdict on edits, with the runs the pipeline would make.
    pub async fn verdict(&self, edits: &[Edit<'_>]) -> Verdict {
        let changes: Vec<FileChange> =
            edits.iter().map(|(path, from, to)| self.change(path, from, to)).collect();
        let (protected, free): (Vec<_>, Vec<_>) =
            changes.iter().cloned().partition(|change| self.check.protects(&change.path));
        let (before, after) = (self.run(&[]).await, self.run(&free).await);
        let own = if protected.is_empty() { None } else { Some(self.run(&changes).await) };
        let again = self.run(&changes).await;
        judge(&Evidence {
            check: &self.check,
            before: &before,
            bare: None,
            after: &after,
            own: own.as_ref(),
            again: Some(&again),
            changes: &changes,
            tests: &[],
            rounds: 1,
            limits: self.docker.limits(),
        })
    }

    /// `from` replaced by `to`; the whole file gone where `to` is `-`, the whole file new where there is none.
    pub fn change(&self, path: &str, from: &str, to: &str) -> FileChange {
        let before = self.snapshot.text(path).ok().map(|text| text.to_string());
        let after = match &before {
            Some(before) => {
                assert!(before.contains(from), "{path} has no {from}");
                before.replace(from, to)
            }
            None => to.to_owned(),
        };
        FileChange { path: path.into(), before, after: (to != "-").then_some(after) }
    }
}

pub fn enabled() -> bool {
    std::env::var_os("OPENDEVAGENT_DOCKER_TESTS").is_some()
}

pub fn shown(verdict: &Verdict) -> String {
    format!("{}: {}", verdict.level.name(), verdict.reason)
}

const PYTHON: &[(&str, &str)] = &[
    ("gcd.py", "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a + 1\n"),
    (
        "tests/test_gcd.py",
        "from gcd import gcd\n\n\ndef test_gcd():\n    assert gcd(4, 6) == 2\n\n\ndef test_type():\n    assert isinstance(gcd(1, 1), int)\n",
    ),
];

#[tokio::test]
async fn pytest() {
    if !enabled() {
        return;
    }
    let project = Project::new(PYTHON, None, "gcd.py");
    let before = project.run(&[]).await;
    let findings = before.findings(&project.snapshot);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].path.as_str(), findings[0].line), ("tests/test_gcd.py", 5));
    assert_eq!(before.signature(), project.run(&[]).await.signature());
    let cases: &[(&[Edit<'_>], &str)] = &[
        (&[("gcd.py", "a + 1", "a")], "proven: test_gcd failed before and passes now; 1 other unchanged"),
        (&[("gcd.py", "a + 1", "a + 2")], "failing: test_gcd fails, as before the edit"),
        (
            &[("gcd.py", "a + 1", "__import__('os')._exit(0)")],
            "failing: the process was ended early with exit 0, before the check was through",
        ),
        (&[("gcd.py", "def gcd", "import sys\nsys.exit(0)\ndef gcd")], "failing: internal fails"),
        (&[("tests/test_gcd.py", "def test_gcd", "-")], "failing: the check ended with exit 5"),
        (
            &[("tests/test_gcd.py", "== 2", "== 3")],
            "failing: the check passes only with the edit's own changes to tests/test_gcd.py",
        ),
        (
            &[(
                "conftest.py",
                "",
                "import pytest\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n    out = yield\n    out.get_result().outcome = 'passed'\n",
            )],
            "failing: the check passes only with the edit's own changes to conftest.py",
        ),
        (
            &[(
                "gcd.py",
                "a + 1",
                "type('E', (int,), {'__eq__': lambda *_: (print('2 passed'), False)[1]})(a)",
            )],
            "failing: test_gcd fails, as before the edit",
        ),
    ];
    for (edits, expect) in cases {
        assert_eq!(shown(&project.verdict(edits).await), *expect, "{edits:?}");
    }
    let proven = project.verdict(&[("gcd.py", "a + 1", "a")]).await;
    assert_eq!(proven.fail_to_pass, ["tests/test_gcd.py::test_gcd"]);
    assert_eq!(proven.changed_lines_executed, Some(true));
}

#[tokio::test]
async fn node() {
    if !enabled() {
        return;
    }
    let files = [
        ("gcd.js", "exports.gcd = (a, b) => {\n  while (b) [a, b] = [b, a % b];\n  return a + 1;\n};\n"),
        (
            "test/gcd.test.js",
            "const { test, describe } = require('node:test');\nconst assert = require('node:assert');\nconst { gcd } = require('../gcd.js');\ndescribe('gcd', () => {\n  test('divides', () => {\n    assert.strictEqual(gcd(4, 6), 2);\n  });\n});\ntest('number', () => assert.strictEqual(typeof gcd(1, 1), 'number'));\n",
        ),
        ("package.json", "{\"scripts\":{\"test\":\"node --test test/\"}}\n"),
    ];
    for command in [None, Some("node --test"), Some("npm test")] {
        let project = Project::new(&files, command, "gcd.js");
        let before = project.run(&[]).await;
        let findings = before.findings(&project.snapshot);
        let places: Vec<_> = findings.iter().map(|found| (found.path.as_str(), found.line)).collect();
        assert_eq!(places, [("test/gcd.test.js", 6)], "{}", before.excerpt(4000));
        let verdict = project.verdict(&[("gcd.js", "a + 1", "a")]).await;
        assert_eq!(shown(&verdict), "proven: divides failed before and passes now; 1 other unchanged");
        assert_eq!(verdict.fail_to_pass, ["test/gcd.test.js > gcd > divides"]);
        let exit = project.verdict(&[("gcd.js", "a + 1", "process.exit(0)")]).await;
        assert_eq!(shown(&exit), "failing: the check was left early with exit 0 at gcd.js:3");
        let cut = project.verdict(&[("gcd.js", "a + 1", "process.reallyExit(0)")]).await;
        assert_eq!(
            shown(&cut),
            "failing: the process was ended early with exit 0, before the check was through"
        );
    }
}

#[tokio::test]
async fn go() {
    if !enabled() {
        return;
    }
    let files = [
        ("go.mod", "module example.com/x\n\ngo 1.21\n"),
        (
            "gcd/gcd.go",
            "package gcd\n\nfunc Gcd(a, b int) int {\n\tfor b != 0 {\n\t\ta, b = b, a%b\n\t}\n\treturn a + 1\n}\n",
        ),
        (
            "gcd/gcd_test.go",
            "package gcd\n\nimport \"testing\"\n\nfunc TestGcd(t *testing.T) {\n\tif got := Gcd(4, 6); got != 2 {\n\t\tt.Errorf(\"got %d\", got)\n\t}\n}\n",
        ),
    ];
    for command in [None, Some("go vet ./... && go test ./...")] {
        let project = Project::new(&files, command, "gcd/gcd.go");
        let before = project.run(&[]).await;
        let findings = before.findings(&project.snapshot);
        let places: Vec<_> = findings.iter().map(|found| (found.path.as_str(), found.line)).collect();
        assert_eq!(places, [("gcd/gcd_test.go", 7)], "{}", before.excerpt(4000));
        let verdict = project.verdict(&[("gcd/gcd.go", "a + 1", "a")]).await;
        assert_eq!(shown(&verdict), "proven: example.com/x/gcd.TestGcd failed before and passes now");
        let exit = project
            .verdict(&[(
                "gcd/gcd.go",
                "package gcd\n",
                "package gcd\n\nimport \"os\"\n\nfunc init() {\n\tos.Exit(0)\n}\n",
            )])
            .await;
        assert!(shown(&exit).starts_with("failing: "), "{}", shown(&exit));
        let broken = project.run(&[project.change("gcd/gcd.go", "a + 1", "x")]).await;
        let findings = broken.findings(&project.snapshot);
        let places: Vec<_> = findings.iter().map(|found| (found.path.as_str(), found.line)).collect();
        assert_eq!(places, [("gcd/gcd.go", 7)], "{}", broken.excerpt(4000));
    }
}

#[tokio::test]
async fn commands_that_cannot_be_counted() {
    if !enabled() {
        return;
    }
    let python = [
        ("gcd.py", "def gcd(a, b):\n    return 3\n"),
        ("check.py", "from gcd import gcd\nassert gcd(4, 6) == 2\n"),
    ];
    let project = Project::new(&python, Some("python3 check.py"), "gcd.py");
    let early = "the process was ended early with exit 0, before the check was through";
    let cases = [
        ("return 3", "return 2", "proven: python3 check.py failed before and passes now".to_owned()),
        (
            "return 3",
            "import sys; sys.exit(0)",
            "failing: the check was left early with exit 0 at gcd.py:2".to_owned(),
        ),
        ("return 3", "import os; os._exit(0)", format!("failing: {early}")),
        ("return 3", "return 4", "failing: the check ended with exit 1".to_owned()),
        (
            "def",
            "raise SystemExit\ndef",
            "failing: the check was left early with exit 0 at gcd.py:1".to_owned(),
        ),
    ];
    for (from, to, expect) in cases {
        assert_eq!(shown(&project.verdict(&[("gcd.py", from, to)]).await), expect, "{to}");
    }
    let js = [
        ("gcd.js", "exports.gcd = () => 3;\n"),
        ("check.js", "const { gcd } = require('./gcd.js');\nconsole.assert(gcd(4, 6) === 2);\n"),
    ];
    let project = Project::new(&js, Some("node check.js"), "gcd.js");
    let cases = [
        ("() => 3", "() => 2", "proven: node check.js failed before and passes now"),
        ("() => 3", "() => 4", "failing: 1 console.assert failed"),
        ("() => 3", "() => process.exit(0)", "failing: the check was left early with exit 0 at gcd.js:1"),
        (
            "() => 3",
            "() => 3; console.assert = () => {}",
            "unverified: the edit adds `console.assert=` at gcd.js:1, which can change what the check reports; look at it and run the check yourself",
        ),
    ];
    for (from, to, expect) in cases {
        assert_eq!(shown(&project.verdict(&[("gcd.js", from, to)]).await), expect, "{to}");
    }
}
