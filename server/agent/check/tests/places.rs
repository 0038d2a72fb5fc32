//! Lines and names found in outputs, written as the tools write them.

use super::*;

#[test]
fn failures_stand_on_the_users_lines() {
    let lines = "x\n".repeat(30);
    let files = [
        "src/gcd.py",
        "tests/test_gcd.py",
        "gcd.js",
        "test/gcd.test.js",
        "a/gcd.go",
        "a/gcd_test.go",
        "b/gcd_test.go",
        "Main.java",
        "x.ts",
        "run.sh",
        "a.rs",
        "a.php",
    ];
    let snapshot = snapshot(&files.map(|path| (path, lines.as_str())));
    let pytest = "def test_gcd():\n>       boom(3)\n\ntests/test_gcd.py:15: \n_ _ _\n    def boom(x):\n>       raise ValueError(x)\nE       ValueError: 3\n\nsrc/gcd.py:8: ValueError\n/usr/lib/python3/x.py:9: in f\n";
    let syntax = "../usr/lib/python3/_pytest/python.py:493: in importtestmodule\nE     File \"/work/src/gcd.py\", line 3\nE       def f(:\nE   SyntaxError: invalid syntax";
    let node = "AssertionError [ERR_ASSERTION]: 3 !== 2\n    at gcd (/work/gcd.js:3:5)\n    at TestContext.<anonymous> (file:///work/test/gcd.test.js:2:28)\n    at Test.run (node:internal/test_runner/test:796:25)";
    let tests: &[(Runner, &str, &str, &str)] = &[
        (Runner::Pytest, "t::test_gcd", pytest, "tests/test_gcd.py:15 test_gcd: it failed < src/gcd.py:8"),
        (Runner::Pytest, "tests/test_gcd.py", syntax, "src/gcd.py:3 tests/test_gcd.py: it failed"),
        (Runner::Node, "n", node, "test/gcd.test.js:2 n: it failed < gcd.js:3"),
        (
            Runner::Go,
            "example.com/x/b.TestGcd",
            "    gcd_test.go:7: got 3\n",
            "b/gcd_test.go:7 example.com/x/b.TestGcd: it failed",
        ),
        (Runner::Pytest, "t::beyond", "tests/test_gcd.py:99: AssertionError", ""),
        (Runner::Pytest, "t::outside", "/etc/passwd:1: x\n../../x.py:1: y", ""),
    ];
    let shown = |observation: &Observation| {
        let line = |finding: Finding| {
            let related = finding.related.iter().map(|frame| format!(" < {}:{}", frame.path, frame.line));
            format!("{}:{} {}{}", finding.path, finding.line, finding.message, related.collect::<String>())
        };
        observation.findings(&snapshot).into_iter().map(line).collect::<Vec<_>>().join("\n")
    };
    for (runner, name, detail, expect) in tests {
        let mut observation = seen(&check(*runner), "1 x+");
        let result = TestResult { detail: (*detail).into(), ..TestResult::failed("it failed", false) };
        observation.tests.insert((*name).into(), result);
        assert_eq!(shown(&observation), *expect, "{detail}");
    }
    let outputs = [
        (
            "warning: unused variable: `y`\n --> a.rs:1:9\n  |\n1 | let y = 1;\n\nerror[E0308]: mismatched types\n --> a.rs:2:17\n  |\n2 |     let x: u8 = \"s\";\n\nerror: aborting due to 1 previous error\n",
            "a.rs:2 error[E0308]: mismatched types",
        ),
        (
            "\nthread 'main' (7) panicked at a.rs:3:7:\ncalled `Option::unwrap()` on a `None` value\nnote: run with `RUST_BACKTRACE=1`\n",
            "a.rs:3 called `Option::unwrap()` on a `None` value",
        ),
        (
            "PHP Fatal error:  Uncaught Exception: no in /work/a.php:3\nStack trace:\n#0 /work/a.php(5): f()\n#1 {main}\n  thrown in /work/a.php on line 3\n",
            "a.php:3 PHP Fatal error:  Uncaught Exception: no < a.php:5",
        ),
        (
            "PHP Parse error:  syntax error, unexpected token \";\" in /work/a.php on line 2\n",
            "a.php:2 PHP Parse error:  syntax error, unexpected token \";\"",
        ),
        (
            "Traceback (most recent call last):\n  File \"/work/tests/test_gcd.py\", line 2, in <module>\n    f()\n  File \"/work/src/gcd.py\", line 7, in f\n    1/0\nZeroDivisionError: division by zero\n",
            "src/gcd.py:7 ZeroDivisionError: division by zero < tests/test_gcd.py:2",
        ),
        (
            "/work/gcd.js:3\n  f(;\n    ^\n\nSyntaxError: Unexpected token\n    at wrapSafe (node:internal:1:1)\n",
            "gcd.js:3 SyntaxError: Unexpected token",
        ),
        (
            "/work/gcd.js:3\n    throw new Error('no');\n    ^\n\nError: no\n    at f (/work/gcd.js:3:11)\n    at Object.<anonymous> (/work/test/gcd.test.js:9:1)\n\nNode.js v20\n",
            "gcd.js:3 Error: no < test/gcd.test.js:9",
        ),
        (
            "# example.com/x/a\na/gcd.go:2:23: undefined: x\n./a/gcd.go:5:1: y\n",
            "a/gcd.go:2 undefined: x\na/gcd.go:5 y",
        ),
        ("Main.java:3: error: ';' expected\n    int x\n         ^\n1 error\n", "Main.java:3 ';' expected"),
        (
            "Exception in thread \"main\" java.lang.RuntimeException: no\n\tat Main.f(Main.java:5)\n\tat Main.main(Main.java:9)\n",
            "Main.java:5 Exception in thread \"main\" java.lang.RuntimeException: no < Main.java:9",
        ),
        (
            "x.ts(3,5): error TS2322: no\nx.ts:4:5 - error TS1005: yes\n",
            "x.ts:3 error TS2322: no\nx.ts:4 error TS1005: yes",
        ),
        ("run.sh: line 4: foo: command not found\n", "run.sh:4 foo: command not found"),
        (
            "panic: no\n\ngoroutine 1 [running]:\nmain.f(...)\n\t/work/a/gcd.go:12 +0x1d\nmain.main()\n\t/work/a/gcd.go:20 +0x1d\nexit status 2\n",
            "a/gcd.go:12 panic: no < a/gcd.go:20",
        ),
        ("all is well\n12:30:00 nothing\n", ""),
    ];
    for (output, expect) in outputs {
        let mut outcome = outcome(1);
        outcome.stderr = output.into();
        assert_eq!(shown(&check(Runner::Command).observe(&outcome)), expect, "{output}");
    }
}

#[test]
fn what_is_not_installed_is_named() {
    let check = check(Runner::Command);
    let cases = [
        (1, "ModuleNotFoundError: No module named 'numpy.linalg'", Some("numpy.linalg")),
        (1, "ModuleNotFoundError: No module named 'a'", None),
        (1, "/usr/bin/python3: No module named pytest", Some("pytest")),
        (1, "Error: Cannot find module 'express'", Some("express")),
        (1, "Error: Cannot find module './gcd'", None),
        (
            1,
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'chalk' imported from /work/x.mjs",
            Some("chalk"),
        ),
        (1, "x.go:3:8: no required module provides package example.com/y; to add it:", Some("example.com/y")),
        (127, "sh: 1: cargo: not found", Some("cargo")),
        (127, "bash: line 1: cargo: command not found", Some("cargo")),
        (1, "FileNotFoundError: x not found", None),
    ];
    for (exit, stderr, expect) in cases {
        lacks(&check, exit, stderr, expect);
    }
}

/// Checks what a run with this standard error is found to lack.
#[track_caller]
fn lacks(check: &Check, exit: i32, stderr: &str, expect: Option<&str>) {
    let mut outcome = outcome(exit);
    outcome.stderr = format!("{stderr}\n");
    let missing = check.observe(&outcome).missing.map(|missing| missing.name);
    assert_eq!(missing.as_deref(), expect, "{stderr}");
}

#[test]
fn what_the_workspace_should_have_itself_is_not_missing() {
    let files = [
        ("app/models.py", ""),
        ("src/com/acme/Main.java", ""),
        ("lib/tool.rb", ""),
        ("gcd.h", ""),
        ("package.json", r#"{"name": "@acme/app"}"#),
        ("go.mod", "module example.com/acme\n"),
        ("Cargo.toml", "[package]\nname = \"acme\"\n"),
    ];
    let check = choose(&snapshot(&files), Some("make test"), None, None).unwrap();
    let cases = [
        ("ModuleNotFoundError: No module named 'app.views'", None),
        ("ModuleNotFoundError: No module named 'os.pathh'; 'os' is not a package", None),
        ("Error: Cannot find module '@acme/app/x'", None),
        ("Error: Cannot find module '#internal'", None),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/work/a.mjs' imported from /work/b.mjs", None),
        ("Cannot find module 'lodash/fp' from 'a.test.js'", Some("lodash/fp")),
        ("a.go:3:8: no required module provides package example.com/acme/x; to add it:", None),
        ("a.go:3:8: package foo/bar is not in std (/usr/lib/go/src/foo/bar)", None),
        ("go: example.org/y@v1.2.0: module lookup disabled by GOPROXY=off", Some("example.org/y@v1.2.0")),
        ("src/com/acme/Main.java:3: error: package com.acme.util does not exist", None),
        ("src/com/acme/Main.java:3: error: package java.utl does not exist", None),
        ("T.java:3: error: package org.junit.jupiter.api does not exist", Some("org.junit.jupiter.api")),
        ("error: no matching package named `serde` found", Some("serde")),
        ("error[E0463]: can't find crate for `acme`", None),
        ("error[E0432]: unresolved import `nowhere`", None),
        ("a.rb:1:in `require': cannot load such file -- tool/x (LoadError)", None),
        ("a.rb:1:in `require': cannot load such file -- /work/x (LoadError)", None),
        ("a.rb:1:in `require': cannot load such file -- nokogiri (LoadError)", Some("nokogiri")),
        ("PHP Fatal error: Uncaught Error: Class \"Helper\" not found in /work/a.php:3", None),
        (
            "PHP Fatal error: Uncaught Error: Class \"GuzzleHttp\\Client\" not found",
            Some("GuzzleHttp\\Client"),
        ),
        ("a.c:1:10: fatal error: gcd.h: No such file or directory", None),
        ("a.c:1:10: fatal error: util.h: No such file or directory\n    1 | #include \"util.h\"", None),
        (
            "a.c:1:10: fatal error: zlib.h: No such file or directory\n    1 | #include <zlib.h>",
            Some("zlib.h"),
        ),
        ("/usr/bin/ld: cannot find -lz: No such file or directory", Some("z")),
    ];
    for (stderr, expect) in cases {
        lacks(&check, 1, stderr, expect);
    }
}

#[test]
fn what_to_do_about_it_depends_on_what_the_workspace_names() {
    let files = [("requirements.txt", "PyYAML==6.0\n"), ("a.py", "")];
    let snapshot = snapshot(&files);
    let message = |check: &Check| {
        let mut outcome = outcome(1);
        outcome.stderr = "ModuleNotFoundError: No module named 'yaml'\n".into();
        check.observe(&outcome).missing.map(|missing| missing.message).unwrap_or_default()
    };
    let mut check = choose(&snapshot, Some("make test"), None, None).unwrap();
    assert!(message(&check).ends_with("name it in requirements.txt, then run `opendevagent sandbox setup`"));
    let setup = crate::sandbox::setup::plan(&snapshot, "", None, None).unwrap();
    Arc::make_mut(&mut check.provided).supply(&setup, false);
    assert!(
        message(&check).ends_with("run `opendevagent sandbox setup` to install what requirements.txt names")
    );
    assert!(check.provided.declares("yaml") && !check.provided.declares("requests"));
}
