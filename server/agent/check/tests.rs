//! Checks chosen, run and judged, on outcomes as the sandbox hands them over.

mod places;
mod verdicts;

use super::*;
use crate::agent::patch::FileChange;
use crate::sandbox::Limits;
use crate::workspace::Documents;
use std::time::Duration;

pub(super) fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let empty = Snapshot::take(folder.path(), &Documents::default(), &[]).unwrap();
    empty.with(files.iter().map(|(path, text)| (*path, Some(*text))))
}

fn limits() -> Limits {
    let timeout = Duration::from_secs(300);
    Limits {
        cpus: 1.0,
        memory_mib: 512,
        network: "none",
        timeout,
        pids: 128,
        output_kib: 1024,
        scratch_mib: 256,
    }
}

fn check(runner: Runner) -> Check {
    let (command, file) = match runner {
        Runner::Pytest => ("python -m pytest -q", "a.py"),
        Runner::Node => ("node --test", "a.js"),
        Runner::Go => ("go test ./...", "a.go"),
        Runner::Command => ("python check.py", "a.py"),
        Runner::File => {
            return choose(&snapshot(&[("a.py", "")]), None, None, Some("a.py")).unwrap();
        }
        other => unreachable!("{other:?} has tests of its own"),
    };
    choose(&snapshot(&[(file, "")]), Some(command), None, Some(file)).unwrap()
}

fn outcome(exit: i32) -> Outcome {
    Outcome {
        status: if exit == 0 { Status::Ok } else { Status::ExitNonzero },
        exit_code: Some(exit),
        signal: None,
        stdout: String::new(),
        stderr: String::new(),
        truncated: false,
        oom: false,
        duration_ms: 10,
        cpu_ms: 5,
        peak_memory_bytes: 1,
        language: None,
        runtime: "runc".into(),
        image: "image".into(),
        left_out: Vec::new(),
        error: None,
        artifacts: Vec::new(),
    }
}

/// A run, written `EXIT NAME+ NAME- NAME~ @NOTE`: tests that passed, failed, were skipped, and what the hooks noted.
/// `FILE!` could not be loaded; `none` is a report without tests; `timeout` a run at its limit.
fn seen(check: &Check, text: &str) -> Observation {
    let mut words = text.split_whitespace();
    let exit = words.next().unwrap();
    let mut outcome = outcome(exit.parse().unwrap_or(1));
    outcome.status = match exit {
        "timeout" => Status::Timeout,
        "oom" => Status::Oom,
        "output" => Status::OutputLimit,
        "error" => Status::Error,
        _ => outcome.status,
    };
    outcome.error = (exit == "error").then(|| "no engine".into());
    let mut record = String::from("{\"start\":1}\n{\"end\":1}\n");
    let mut lines = String::new();
    let mut reported = false;
    for word in words {
        match word.split_once('@') {
            Some((_, "cut")) => record = "{\"start\":1}\n".into(),
            Some((_, "unwatched")) => record.clear(),
            Some((_, "assert")) => {
                record = "{\"start\":1}\n{\"end\":1,\"asserted\":1,\"asserts\":[[[\"a.js\",1]]]}\n".into();
            }
            Some((_, "asserted")) => record = "{\"start\":1}\n{\"end\":1,\"asserted\":1}\n".into(),
            Some((_, "raised")) => record = "{\"start\":1}\n{\"end\":1,\"raised\":[[\"a.py\",1]]}\n".into(),
            Some((_, "equal")) => record = "{\"start\":1}\n{\"end\":1,\"equals\":[[\"a.py\",1]]}\n".into(),
            Some((_, "replaced")) => record = "{\"start\":1}\n{\"end\":1,\"replaced\":true}\n".into(),
            Some((_, exit)) if exit.starts_with("exit:") => {
                let stack: Vec<String> = exit[5..].split(',').map(|path| format!("[\"{path}\",1]")).collect();
                record = format!("{{\"start\":1}}\n{{\"end\":1,\"left\":[{}]}}\n", stack.join(","));
            }
            Some((_, missing)) => {
                outcome.stderr = format!("ModuleNotFoundError: No module named '{missing}'\n");
            }
            None => {
                reported = true;
                let (name, state) = word.split_at(word.len() - 1);
                let (names, state) = match state {
                    "+" => (format!("\"{name}\""), "pass"),
                    "-" => (format!("\"{name}\""), "fail"),
                    "~" => (format!("\"{name}\""), "skipped"),
                    "!" => (String::new(), "fail"),
                    "=" => (String::new(), "pass"),
                    _ => continue,
                };
                let _ = writeln!(lines, "{{\"file\":\"f\",\"names\":[{names}],\"state\":\"{state}\"}}");
            }
        }
    }
    outcome.artifacts.push(("/tmp/x-record.jsonl".into(), record.into_bytes()));
    if reported {
        outcome.artifacts.push(("/tmp/x-node.jsonl".into(), lines.into_bytes()));
    }
    check.observe(&outcome)
}

type Choice<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

#[test]
fn the_check_is_the_users_then_the_workspaces_then_a_runner_then_the_file() {
    let python = [("src/gcd.py", ""), ("tests/test_gcd.py", "")];
    let node = [("gcd.js", ""), ("test/gcd.test.js", "")];
    let script = [("package.json", r#"{"scripts":{"test":"node --test test/"}}"#), ("gcd.js", "")];
    let mocha = [("package.json", r#"{"scripts":{"test":"mocha"}}"#), ("gcd.js", ""), ("gcd.test.js", "")];
    let go = [("go.mod", ""), ("gcd.go", ""), ("gcd_test.go", "")];
    let loose = [("gcd.go", ""), ("gcd_test.go", "")];
    let mono = [
        ("web/package.json", "{}"),
        ("web/a.js", ""),
        ("web/a.test.js", ""),
        ("api/pyproject.toml", ""),
        ("api/b.py", ""),
        ("api/test_b.py", ""),
    ];
    let cases: Vec<Choice> = vec![
        (&python, Some("make"), Some("tox"), Some("src/gcd.py"), "User Command make"),
        (&python, Some(" "), Some("pytest"), Some("src/gcd.py"), "Workspace Pytest pytest"),
        (&python, None, None, Some("src/gcd.py"), "Detected Pytest python -m pytest -q"),
        (&python, None, None, None, "Detected Pytest python -m pytest -q"),
        (&node, None, None, Some("gcd.js"), "Detected Node node --test"),
        (&node, Some("npm test"), None, Some("gcd.js"), "User Command npm test"),
        (&script, Some("npm test"), None, Some("gcd.js"), "User Node npm test"),
        (&script, None, None, Some("gcd.js"), "Detected Node npm test"),
        (&mocha, None, None, Some("gcd.js"), "Detected Mocha npm test"),
        (&go, None, None, Some("gcd.go"), "Detected Go go test ./..."),
        (&loose, None, None, Some("gcd.go"), "Run File run gcd.go"),
        (&mono, None, None, Some("web/a.js"), "Detected Node cd web && node --test"),
        (&mono, None, None, Some("api/b.py"), "Detected Pytest cd api && python -m pytest -q"),
        (&[("a.py", "")], None, None, Some("a.py"), "Run File run a.py"),
        (&[("a.py", "")], None, None, Some("new.sh"), "Run File run new.sh"),
        (
            &[("a.py", "")],
            None,
            None,
            None,
            "no test was found; name a check with --check or in .opendevagent.toml",
        ),
        (
            &[("a.txt", "")],
            None,
            None,
            Some("a.txt"),
            "no test was found and the language of a.txt is not known; name a check with --check or in .opendevagent.toml",
        ),
    ];
    for (files, user, workspace, target, expect) in cases {
        let shown = match choose(&snapshot(files), user, workspace, target) {
            Ok(check) => format!("{:?} {:?} {}", check.source, check.runner, check.command),
            Err(why) => why,
        };
        assert_eq!(shown, expect);
    }
}

/// Files, target, runner and command.
type Found<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn each_runner_is_found_by_its_files() {
    let package = |name: &str| format!(r#"{{"devDependencies":{{"{name}":"1"}}}}"#);
    let (jest, vitest) = (package("jest"), package("vitest"));
    let cases: &[Found] = &[
        (&[("package.json", &jest), ("a.js", ""), ("a.test.js", "")], "a.js", "Jest jest"),
        (&[("package.json", &vitest), ("a.ts", ""), ("a.test.ts", "")], "a.ts", "Vitest vitest run"),
        (&[("package.json", "{}"), ("a.ts", ""), ("test/a.test.ts", "")], "a.ts", "TypeScript node --test"),
        (&[("Cargo.toml", ""), ("src/lib.rs", "")], "src/lib.rs", "Cargo cargo test"),
        (&[("x/Cargo.toml", ""), ("x/src/lib.rs", "")], "x/src/lib.rs", "Cargo cd x && cargo test"),
        (&[("main.rs", "")], "main.rs", "File run main.rs"),
        (&[("A.java", ""), ("ATest.java", "")], "A.java", "JUnit run the JUnit tests"),
        (&[("CMakeLists.txt", "enable_testing()"), ("a.cpp", "")], "a.cpp", "CTest cmake --build . && ctest"),
        (&[("CMakeLists.txt", "include(CTest)"), ("a.c", "")], "a.c", "CTest cmake --build . && ctest"),
        (&[("CMakeLists.txt", "project(a)"), ("a.c", "")], "a.c", "File run a.c"),
        (&[("lib/a.rb", ""), ("spec/a_spec.rb", "")], "lib/a.rb", "RSpec rspec"),
        (&[("lib/a.rb", ""), ("test/a_test.rb", "")], "lib/a.rb", "Minitest run the minitest tests"),
        (&[("src/A.php", ""), ("tests/ATest.php", "")], "src/A.php", "PhpUnit phpunit"),
        (&[("src/A.php", ""), ("vendor/x/ATest.php", "")], "src/A.php", "File run src/A.php"),
        (&[("a.sh", ""), ("test/a.bats", "")], "a.sh", "Bats bats -r ."),
        (&[("test_x/a.py", "")], "test_x/a.py", "File run test_x/a.py"),
    ];
    for (files, target, expect) in cases {
        let check = choose(&snapshot(files), None, None, Some(target)).unwrap();
        assert_eq!(format!("{:?} {}", check.runner, check.command), *expect);
    }
}

#[test]
fn tests_configuration_and_named_files_are_protected() {
    let check = choose(&snapshot(&[]), Some("sh ./ci/all.sh && python spec.py app.py"), None, Some("app.py"))
        .unwrap();
    for path in [
        "tests/x.py",
        "test_a.py",
        "a_test.go",
        "src/a.spec.ts",
        "x/conftest.py",
        "pytest.ini",
        "package.json",
        "ci/all.sh",
        "spec.py",
        "GcdTest.java",
        "testdata/in.txt",
        "Makefile",
    ] {
        assert!(check.protects(path), "{path}");
    }
    for path in ["app.py", "src/a.py", "latest.py", "contest/x.py", "attest.go", "README.md"] {
        assert!(!check.protects(path), "{path}");
    }
}

#[test]
fn a_job_asks_for_reports_and_collects_them() {
    let workspace = snapshot(&[("src/a.py", "")]);
    let job = check(Runner::Pytest).job("task", workspace.clone());
    let env = |name: &str| {
        job.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap()
    };
    assert!(job.collect.iter().any(|path| env("PYTEST_ADDOPTS").contains(&format!("--junitxml={path} "))));
    assert!(
        job.collect
            .iter()
            .any(|path| env("NODE_OPTIONS").contains(&format!("--test-reporter-destination={path} ")))
    );
    assert!(env("PYTHONPATH").ends_with("-hooks:/work/src"));
    assert_eq!(job.files.len(), HOOKS.len());
    assert!(job.workspace.is_some_and(|files| files.contains("src/a.py")));
    assert_eq!(job.argv, ["sh", "-c", "python -m pytest -q"]);
    let again = check(Runner::Pytest).job("task", workspace);
    assert_ne!(again.collect, job.collect);
}

#[test]
fn the_tests_inside_a_rust_file_are_tests_too() {
    let files = [
        ("Cargo.toml", ""),
        ("src/lib.rs", "fn f() -> i32 { 7 }\n\n#[cfg(test)]\nmod tests {\n    f(5) == 7;\n}\n"),
        ("tests/all.rs", "g();\n"),
        ("src/g.rs", "fn g() {}\n"),
    ];
    let snapshot = snapshot(&files);
    let check = choose(&snapshot, None, None, Some("src/lib.rs")).unwrap();
    assert_eq!(check.tests_of(&snapshot), ["#[cfg(test)]", "mod tests {", "    f(5) == 7;", "}", "g();"]);
}

#[test]
fn an_excerpt_fits_and_shows_the_failure_before_the_end_of_the_output() {
    let mut observation = seen(&check(Runner::Pytest), "1 a- b+");
    observation.tests.get_mut("f > a").unwrap().detail = "E assert 3 == 2".into();
    observation.stdout = format!("{}the end", "é".repeat(5000));
    for max in [0, 1, 50, 200, 1000] {
        let excerpt = observation.excerpt(max);
        assert!(excerpt.len() <= max, "{} of {max}", excerpt.len());
    }
    let excerpt = observation.excerpt(1000);
    assert!(excerpt.contains("FAILED f > a\nE assert 3 == 2") && excerpt.ends_with("the end"), "{excerpt}");
}

#[test]
fn a_signature_is_equal_for_equal_failures() {
    let check = check(Runner::Pytest);
    let signature = |text: &str, message: &str| {
        let mut observation = seen(&check, text);
        for test in observation.tests.values_mut().filter(|test| test.state == State::Failed) {
            test.message = message.into();
        }
        observation.signature()
    };
    assert_eq!(signature("1 a- b+", "took 12 ms"), signature("1 a- b+", "took 345 ms"));
    assert_eq!(signature("1 a-", "<f at 0x7f12>"), signature("1 a-", "<f at 0xbeef>"));
    assert_ne!(signature("1 a-", "assert 101 == 6"), signature("1 a-", "assert 102 == 6"));
    assert_ne!(signature("1 a- b+", "no"), signature("1 a+ b-", "no"));
    assert_ne!(signature("1 a-", "no"), signature("1 a-", "yes"));
    assert_ne!(signature("1 a-", "no"), signature("timeout a-", "no"));
}

fn deletions(files: &[(&str, &str)]) -> Vec<FileChange> {
    let gone = |(path, text): &(&str, &str)| FileChange {
        path: (*path).into(),
        before: Some((*text).into()),
        after: None,
    };
    files.iter().map(gone).collect()
}

#[test]
fn what_a_test_names_judges_too() {
    let files = [
        ("test_a.py", "from helpers import same\nfrom a import f\nsame(f(), open('out/want.txt').read())\n"),
        ("a.py", ""),
        ("helpers.py", "def same(a, b):\n    assert a == b\n"),
        ("out/want.txt", "1"),
        ("out/other.txt", "1"),
    ];
    let snapshot = snapshot(&files);
    let changes = deletions(&files[1..]);
    let check = choose(&snapshot, None, None, Some("a.py")).unwrap().of(&snapshot, &changes);
    let all = |is: &dyn Fn(&str) -> bool| {
        files.iter().map(|(path, _)| *path).filter(|path| is(path)).collect::<Vec<_>>()
    };
    assert_eq!(all(&|path| check.protects(path)), ["test_a.py", "out/want.txt"]);
    assert_eq!(all(&|path| check.calls(path)), ["helpers.py", "out/want.txt"]);
}

#[test]
fn what_a_command_starts_by_way_of_others_judges_too() {
    let files = [
        ("Makefile", "test: build\n\t@sh scripts/check.sh\n\npack:\n\tpython3 -m build\n"),
        ("scripts/check.sh", "node ./tools/verify.mjs && cc -o t sum.c\n. scripts/lib.sh\n"),
        ("scripts/lib.sh", ""),
        ("tools/verify.mjs", ""),
        ("sum.c", ""),
        ("sum.h", ""),
    ];
    let snapshot = snapshot(&files);
    let changes = deletions(&files);
    let protected = |target: Option<&str>| {
        let check = choose(&snapshot, Some("make test"), None, target).unwrap().of(&snapshot, &changes);
        let paths = files.iter().map(|(path, _)| *path).filter(|path| check.protects(path));
        paths.collect::<Vec<_>>()
    };
    assert_eq!(protected(Some("sum.c")), ["Makefile", "scripts/check.sh", "tools/verify.mjs"]);
    assert_eq!(protected(None), ["Makefile", "scripts/check.sh"]);
}

#[test]
fn a_file_that_is_no_program_is_compiled() {
    let files = [
        ("sum.go", "package sum\n"),
        ("main.go", "package main\n\nfunc main() {}\n"),
        ("Sum.java", "class Sum {}\n"),
        ("sum.c", "int sum(void) { return 1; }\n"),
        ("sum.hpp", "int sum();\n"),
        ("sum.py", "x = 1\n"),
    ];
    let snapshot = snapshot(&files);
    let command = |path| run_file(&snapshot, Some(path)).unwrap().command;
    assert_eq!(
        files.map(|(path, _)| command(path)),
        ["build sum.go", "run main.go", "build Sum.java", "build sum.c", "build sum.hpp", "run sum.py"]
    );
    assert_eq!(command("new.go"), "run new.go");
}
