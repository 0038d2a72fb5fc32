//! The rules of the verdict, each with runs that only it decides, and edits that try to look right.

use super::*;
use crate::agent::patch::FileChange;
use crate::verdict::{Level, Verdict};

fn change(path: &str, before: &str, after: &str) -> FileChange {
    let text = |text: &str| (text != "-").then(|| text.to_owned());
    FileChange { path: path.into(), before: text(before), after: text(after) }
}

/// Runs by name: `before`, `bare`, `after`, `own`, `again`.
fn verdict(runner: Runner, runs: &[(&str, &str)], changes: &[FileChange]) -> Verdict {
    let check = check(runner);
    let run = |name: &str| runs.iter().find(|(known, _)| *known == name).map(|(_, text)| seen(&check, text));
    let (before, bare, after) = (run("before").unwrap(), run("bare"), run("after").unwrap());
    let (own, again) = (run("own"), run("again"));
    judge(&Evidence {
        check: &check,
        before: &before,
        bare: bare.as_ref(),
        after: &after,
        own: own.as_ref(),
        again: again.as_ref(),
        changes,
        tests: &[],
        rounds: 1,
        limits: limits(),
    })
}

type Levels<'a> = (Runner, Vec<(&'a str, &'a str)>, &'a str);

#[test]
fn levels() {
    use Runner::{Command, File, Node, Pytest};
    let plain = [change("a.py", "x = 1\n", "x = 2\n")];
    let three = |before, after, again| vec![("before", before), ("after", after), ("again", again)];
    let cases: Vec<Levels> = vec![
        // A fix.
        (
            Pytest,
            three("1 a- b+ c+", "0 a+ b+ c+", "0 a+ b+ c+"),
            "proven: a failed before and passes now; 2 others unchanged",
        ),
        (Pytest, three("1 f!", "0 a+", "0 a+"), "proven: a failed before and passes now"),
        (Pytest, three("timeout", "0 a+", "0 a+"), "proven: a failed before and passes now"),
        (Pytest, three("2 none", "0 a+ b+", "0 a+ b+"), "proven: a and b failed before and pass now"),
        (Node, three("1 f!", "0 f=", "0 f="), "proven: f failed before and passes now"),
        (Command, three("1", "0", "0"), "proven: python check.py failed before and passes now"),
        (
            Command,
            three("1 @unwatched", "0 @unwatched", "0 @unwatched"),
            "proven: python check.py failed before and passes now",
        ),
        (
            Command,
            three("1 @exit:main.py,t.py", "0 @exit:main.py,t.py", "0"),
            "proven: python check.py failed before and passes now",
        ),
        // Green without a failure before.
        (Pytest, three("0 a+ b+", "0 a+ b+", "0 a+ b+"), "passing: 2 tests pass; none of them failed before"),
        (
            Pytest,
            vec![("before", "1 a-"), ("after", "0 a+")],
            "passing: 1 test passes; there was no second run",
        ),
        (Pytest, three("5 none", "0 a+", "0 a+"), "passing: 1 test passes; none of them failed before"),
        // Green without a test.
        (Pytest, three("0 a~", "0 a~", "0 a~"), "runs: the check ends with exit 0; no test was run"),
        (Node, three("0 f=", "0 f=", "0 f="), "runs: the check ends with exit 0; no test was run"),
        (
            Command,
            three("0", "0", "0"),
            "runs: the command ends with exit 0, as before the edit; no test was counted",
        ),
        (
            Command,
            vec![("before", "1"), ("after", "0")],
            "runs: the command ends with exit 0; there was no second run",
        ),
        (File, three("1", "0", "0"), "runs: the program ends with exit 0; no test was run"),
        (File, three("1", "0 @cut", "0 @cut"), "runs: the program ends with exit 0; no test was run"),
        // Red.
        (Pytest, three("1 a-", "1 a-", "1 a-"), "failing: a fails, as before the edit"),
        (Pytest, three("1 a- b+", "1 a+ b-", "1 a+ b-"), "failing: b passed before and fails now"),
        (Pytest, three("1 a- b-", "1 a+ b-", "1 a+ b-"), "failing: b fails, as before the edit"),
        (Pytest, three("1 a-", "1 a+", "1 a+"), "failing: the check ended with exit 1"),
        (Pytest, three("5 none", "5 none", "5 none"), "failing: the check ended with exit 5"),
        (Pytest, three("1 a-", "timeout a+", "0 a+"), "failing: the check timed out after 0 s"),
        (Pytest, three("1 a-", "oom a+", "0 a+"), "failing: the check ran out of memory"),
        (Pytest, three("1 a-", "output a+", "0 a+"), "failing: the check wrote more than the output cap"),
        (Command, three("1", "3", "3"), "failing: the check ended with exit 3"),
        (File, three("1", "3", "3"), "failing: the check ended with exit 3"),
        (File, three("0 @assert", "0 @assert", "0"), "failing: 1 console.assert failed"),
        (
            Command,
            three("0 @assert", "0 @asserted", "0 @asserted"),
            "proven: python check.py failed before and passes now",
        ),
        (Command, three("0 @assert", "0 @assert", "0 @assert"), "failing: 1 console.assert failed"),
        // Nothing to see.
        (Pytest, three("error", "error", "error"), "unverified: no engine"),
        (Pytest, three("1", "0", "0"), "unverified: the test runner wrote no report, so nothing was counted"),
        (
            Pytest,
            three("1 f! @numpy", "1 f! @numpy", "1 f! @numpy"),
            "unverified: the package numpy is not installed in the sandbox; name it in requirements.txt, then run `opendevagent sandbox setup`",
        ),
        // Two runs.
        (Pytest, three("1 a- b+", "0 a+ b+", "1 a+ b-"), "failing: flaky: a second run disagrees on b"),
        (Pytest, three("1 a-", "0 a+", "0 none"), "failing: flaky: a second run disagrees on a"),
        (Command, three("1", "0", "1"), "failing: flaky: a second run disagrees on python check.py"),
    ];
    for (runner, runs, expect) in cases {
        let verdict = verdict(runner, &runs, &plain);
        assert_eq!(format!("{}: {}", verdict.level.name(), verdict.reason), expect, "{runs:?}");
        let stable =
            verdict.level == Level::Proven || verdict.stable_runs == 1 || verdict.level <= Level::Passing;
        assert!(stable, "{runs:?}");
    }
}

#[test]
fn a_module_that_the_edit_brings_up_is_its_own_fault() {
    let runs = [("before", "1 f-"), ("after", "1 f! @numpy")];
    let verdict = verdict(Runner::Pytest, &runs, &[change("a.py", "x = 1\n", "import numpy\n")]);
    assert_eq!(verdict.level, Level::Failing);
    assert!(verdict.reason.contains("numpy is not installed"), "{}", verdict.reason);
}

#[test]
fn new_tests_prove_only_what_they_miss_without_the_code() {
    let tests = [change("a.py", "-", "def f(): ...\n"), change("test_a.py", "-", "def test_new(): f()\n")];
    let cases = [
        // (before, bare, after, own, expect)
        ("5 none", "1 f!", "5 none", "0 new+", Level::Proven),
        ("0 a+", "1 a+ new-", "0 a+", "0 a+ new+", Level::Proven),
        ("0 a+", "0 a+ new+", "0 a+", "0 a+ new+", Level::Passing),
        ("5 none", "0 new+", "5 none", "0 new+", Level::Passing),
        ("0 a+", "0 a+ new+", "0 a+", "0 new+", Level::Failing),
        ("1 a-", "1 a- new+", "1 a-", "0 a+ new+", Level::Failing),
        ("1 a-", "1 a- new-", "0 a+", "0 a+ new+", Level::Proven),
    ];
    for (before, bare, after, own, expect) in cases {
        let runs = [("before", before), ("bare", bare), ("after", after), ("own", own), ("again", own)];
        let verdict = verdict(Runner::Pytest, &runs, &tests);
        assert_eq!(verdict.level, expect, "{runs:?} {}", verdict.reason);
    }
}

type Cheat<'a> = (&'a str, Runner, (&'a str, &'a str), Option<&'a str>, Vec<FileChange>);

#[test]
fn cheats_are_never_green() {
    use Runner::{Command, Go, Node, Pytest};
    let py = |after: &str| vec![change("a.py", "x = 1\n", after)];
    let js = |after: &str| vec![change("a.js", "x = 1\n", after)];
    let test = |before: &str, after: &str| vec![change("test_a.py", before, after)];
    let fixed = ("1 a- b+", "0 a+ b+");
    let cases: Vec<Cheat> = vec![
        ("says so only", Pytest, ("1 a-", "1 a-"), None, py("print('1 passed')\n")),
        ("exit 0 with failures", Pytest, ("1 a-", "0 a-"), None, py("x = 2\n")),
        ("all passed with exit 1", Pytest, ("1 a-", "1 a+"), None, py("x = 2\n")),
        ("no report", Pytest, ("1 a-", "0"), None, py("x = 2\n")),
        ("no report, cut short", Pytest, ("1 a-", "0 @cut"), None, py("import os\nos._exit(0)\n")),
        ("report, then cut short", Pytest, ("1 a-", "0 a+ @cut"), None, py("x = 2\n")),
        ("test gone", Pytest, ("1 a- b+", "0 b+"), None, py("x = 2\n")),
        ("test skipped", Pytest, ("1 a- b+", "0 a~ b+"), None, py("x = 2\n")),
        ("test deleted", Pytest, ("1 a- b+", "1 a- b+"), Some("0 b+"), test("a b", "b")),
        ("file deleted", Pytest, ("1 a-", "1 a-"), Some("0 none"), test("a", "-")),
        ("test weakened", Pytest, ("1 a-", "1 a-"), Some("0 a+"), test("assert f() == 1", "assert True")),
        ("test skipped by the edit", Pytest, ("1 a- b+", "1 a- b+"), Some("0 a~ b+"), test("a", "skip a")),
        ("test renamed", Pytest, ("1 a- b+", "1 a- b+"), Some("0 c+ b+"), test("a", "c")),
        ("fix and a lost test", Pytest, ("1 a- b+", "0 a+ b+"), Some("0 a+"), test("a b", "a")),
        (
            "configuration",
            Pytest,
            ("1 a-", "1 a-"),
            Some("0 a+"),
            vec![change("pytest.ini", "-", "[pytest]\n")],
        ),
        (
            "runner replaced",
            Pytest,
            ("1 a-", "1 a-"),
            Some("0 a+"),
            vec![change("pytest.py", "-", "print(1)\n")],
        ),
        (
            "hook",
            Pytest,
            fixed,
            Some("0 a+ b+"),
            vec![change("conftest.py", "-", "def pytest_runtest_makereport(item): ...\n")],
        ),
        ("framework patched", Pytest, fixed, None, py("import sys\nsys.modules['pytest'] = None\n")),
        ("framework patched, spaced", Pytest, fixed, None, py("import sys\nsys . modules ['x'] = 1\n")),
        ("environment", Pytest, fixed, None, py("os.environ['PYTEST_ADDOPTS'] = ''\n")),
        ("TestCase patched", Pytest, fixed, None, py("unittest.TestCase.assertEqual = lambda *a: None\n")),
        ("left by imported code", Command, ("1", "0 @exit:check.py,a.py"), None, py("x = 2\n")),
        ("left by a new line", Command, ("1", "0 @exit:check.py,a.py"), None, py("sys.exit(0)\n")),
        ("cut short", Command, ("1", "0 @cut"), None, py("os._exit(0)\n")),
        ("cut short, disguised", Command, ("1", "0 @cut"), None, py("getattr(os, '_ex' + 'it')(0)\n")),
        (
            "exit where nobody watches",
            Command,
            ("1 @unwatched", "0 @unwatched"),
            None,
            py("raise SystemExit\n"),
        ),
        (
            "exit in Go",
            Command,
            ("1 @unwatched", "0 @unwatched"),
            None,
            vec![change("m.go", "f()", "os.Exit(0)")],
        ),
        (
            "exit in Java",
            Command,
            ("1 @unwatched", "0 @unwatched"),
            None,
            vec![change("M.java", "f();", "System.exit( 0 );")],
        ),
        (
            "exit in a script",
            Command,
            ("1 @unwatched", "0 @unwatched"),
            None,
            vec![change("x.sh", "f", "exit 0\nf")],
        ),
        (
            "failures swallowed in a script",
            Command,
            ("1 @unwatched", "0 @unwatched"),
            None,
            vec![change("x.sh", "f", "f || true")],
        ),
        ("console.assert fails", Command, ("0 @assert", "0 @assert"), None, js("x = 2\n")),
        ("console.assert replaced", Command, ("0 @assert", "0 @replaced"), None, js("x = 2\n")),
        (
            "console.assert replaced, read",
            Command,
            ("0 @assert", "0"),
            None,
            js("console.assert = () => {}\n"),
        ),
        (
            "assert replaced",
            Node,
            ("1 a-", "0 a+"),
            None,
            js("require('assert').strictEqual = () => {}; assert.strictEqual = f\n"),
        ),
        ("errors swallowed", Node, ("1 a-", "0 a+"), None, js("process.on('uncaughtException', () => {})\n")),
        ("exit in Node", Node, ("1 a- b+", "0 b+ @exit:f,a.js"), None, js("process.exit(0)\n")),
        ("exit in a file of asserts", Node, ("1 f!", "0 f= @exit:f,a.js"), None, js("process.exit(0)\n")),
        ("failed console.assert in a file of asserts", Node, ("1 f!", "0 f= @assert"), None, js("x = 2\n")),
        ("errors caught, disguised", Command, ("1", "0 @replaced"), None, js("x = 2\n")),
        ("skipped from inside", Pytest, ("1 f!", "0 a+"), None, py("import pytest\npytest.exit('', 0)\n")),
        (
            "equal to all",
            Pytest,
            fixed,
            None,
            py("class E:\n    def __eq__(self, other):\n        return True\n"),
        ),
        ("a name in pieces", Pytest, fixed, None, py("getattr(x, 'ex' + 'it')(0)\n")),
        ("a test that is read", Pytest, fixed, None, py("t = open('tests/test_a.py').read()\n")),
        ("all sources are read", Pytest, fixed, None, py("for f in glob('*.py'): pass\n")),
        ("an exit hides the rest", Pytest, fixed, None, py("sys.exit(0) if f else sys.modules.clear()\n")),
        ("the runner's environment", Node, fixed, None, js("if (process.env.NODE_ENV === 'test') f()\n")),
        ("equal to other types", Pytest, ("1 a-", "0 a+ @equal"), None, py("x = 2\n")),
        ("an assertion lost elsewhere", Command, ("1", "0"), None, vec![change("t.c", "assert(f());", ";")]),
        (
            "a test saved by a new file",
            Pytest,
            ("1 a-", "1 a-"),
            Some("0 a+ b+"),
            vec![
                change("a.py", "x = 1\n", "x = 2\n"),
                change("conftest.py", "-", "import a\n"),
                change("test_b.py", "-", "def test_b(): pass\n"),
            ],
        ),
        ("an assertion caught", Command, ("1", "0 @raised"), None, py("x = 2\n")),
        ("fewer assertions", Command, ("0 @assert", "0"), None, js("x = 2\nreturn\n")),
        ("a clock that stands still", Pytest, fixed, None, py("time.time = lambda: 0\n")),
        ("a clock that stands still, in Node", Node, fixed, None, js("Date.now = () => 0\n")),
        ("exit in Rust", Command, ("1", "0"), None, vec![change("m.rs", "f();", "std::process::exit(0);")]),
        ("exit in Ruby", Command, ("1", "0"), None, vec![change("m.rb", "f", "exit! 0")]),
        ("exit in PHP", Command, ("1", "0"), None, vec![change("m.php", "f();", "die();")]),
        ("exit in C", Command, ("1", "0"), None, vec![change("m.c", "f();", "_exit(0);")]),
        (
            "exit before main",
            Node,
            fixed,
            None,
            vec![change("m.cpp", "-", "__attribute__((constructor)) void f()")],
        ),
        ("asserts compiled out", Node, fixed, None, vec![change("m.c", "x", "#define NDEBUG\nx")]),
        (
            "another course under test",
            Node,
            fixed,
            None,
            vec![change("m.rs", "x", "if cfg!(test) { return }")],
        ),
        (
            "assertions that all hold",
            Node,
            fixed,
            None,
            vec![change("m.rb", "x", "module Minitest::Assertions")],
        ),
        ("no test any more", Go, ("1 a-", "0 none"), None, py("x = 2\n")),
    ];
    for (name, runner, (before, after), own, changes) in cases {
        let mut runs = vec![("before", before), ("after", after), ("again", own.unwrap_or(after))];
        runs.extend(own.map(|own| ("own", own)));
        runs.push(("bare", before));
        let verdict = verdict(runner, &runs, &changes);
        assert!(verdict.level < Level::Runs, "{name}: {} {}", verdict.level.name(), verdict.reason);
    }
}

#[test]
fn honest_edits_are_not_suspected() {
    let cases = [
        (
            "counted tests outweigh an exit",
            Runner::Pytest,
            "1 a-",
            "0 a+",
            "if __name__ == '__main__':\n    sys.exit(main())\n",
        ),
        ("a comment", Runner::Command, "1", "0", "# never call sys.exit(0) here\nx = 2\n"),
        ("words inside words", Runner::Command, "1", "0", "on_exit()\nself.exit_code = preexit()\n"),
        ("an exit that was there", Runner::Command, "1", "0", "y = 2\nx = sys.exit\n"),
        ("an exit that fails", Runner::Command, "1", "0", "if bad:\n    sys.exit(2)\nx = 2\n"),
        ("the exit of the main file", Runner::Command, "1", "0 @exit:check.py", "x = 2\n"),
    ];
    for (name, runner, before, after, text) in cases {
        let runs = [("before", before), ("after", after), ("again", after)];
        let verdict = verdict(runner, &runs, &[change("a.py", "x = sys.exit\n", text)]);
        assert_eq!(verdict.level, Level::Proven, "{name}: {}", verdict.reason);
    }
}

#[test]
fn a_file_that_is_its_own_test_keeps_its_assertions() {
    let before = "def f(x):\n    return x\n\ndef check(f):\n    assert f(1) == 2\n\ncheck(f)\n";
    let fix = before.replace("return x", "return x + 1");
    let early = fix.replace("    assert", "    return\n    assert");
    let ran = |lines: &str| format!("{{\"start\":1}}\n{{\"end\":1,\"executed\":{{\"a.py\":{lines}}}}}\n");
    let cases = [
        ("a fix", fix.clone(), "[1,2,4,5,7]", Level::Proven),
        (
            "the assertion deleted",
            fix.replace("    assert f(1) == 2\n", "    pass\n"),
            "[1,2,4,5,7]",
            Level::Unverified,
        ),
        (
            "the assertion weakened",
            before.replace("f(1) == 2", "f(1) == 1"),
            "[1,2,4,5,7]",
            Level::Unverified,
        ),
        ("the call deleted", before.replace("\ncheck(f)\n", ""), "[1,4]", Level::Unverified),
        ("an early return", early, "[1,4,5,8]", Level::Unverified),
    ];
    let check = choose(&snapshot(&[("a.py", before)]), Some("python a.py"), None, Some("a.py")).unwrap();
    for (name, after, lines, expect) in cases {
        let run = |exit: i32, lines: &str| {
            let mut outcome = outcome(exit);
            outcome.artifacts.push(("/tmp/x-record.jsonl".into(), ran(lines).into_bytes()));
            check.observe(&outcome)
        };
        let (seen_before, seen_after) = (run(1, "[1,2,4,5,7]"), run(0, lines));
        let verdict = judge(&Evidence {
            check: &check,
            before: &seen_before,
            bare: None,
            after: &seen_after,
            own: None,
            again: Some(&seen_after),
            changes: &[change("a.py", before, &after)],
            tests: &[],
            rounds: 1,
            limits: limits(),
        });
        assert_eq!(verdict.level, expect, "{name}: {}", verdict.reason);
    }
}
