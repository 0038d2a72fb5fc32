//! The reports of test runners, read into named results: one reader for each form, whoever writes it.
//!
//! Whatever cannot be read is passed over: what is missing then is never a passed test.

mod go;
mod json;
mod junit;
mod libtest;
mod lines;

use std::collections::BTreeMap;

const MAX_BYTES: usize = 32 << 20;
const MAX_TESTS: usize = 50_000;
/// Of a message or a traceback.
const MAX_TEXT: usize = 8 << 10;

/// How a test ended. Ordered: of two results under one name the greater one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Passed,
    /// Skipped, or allowed to fail.
    Skipped,
    Failed,
}

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    pub state: State,
    /// Why it failed, short.
    pub message: String,
    /// The traceback or the test's output.
    pub detail: String,
    /// Not a test of its own but a whole file, package or command that passed or failed.
    pub whole: bool,
}

/// The results read so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// A report was there.
    pub read: bool,
    pub tests: BTreeMap<String, TestResult>,
}

impl Report {
    fn add(&mut self, name: String, result: TestResult) {
        if self.tests.len() >= MAX_TESTS {
            return;
        }
        let slot = self.tests.entry(name).or_insert_with(|| result.clone());
        if slot.state < result.state {
            *slot = result;
        }
    }
}

impl TestResult {
    pub(super) fn failed(message: &str, whole: bool) -> Self {
        Self { state: State::Failed, message: message.into(), detail: String::new(), whole }
    }
}

fn append(to: &mut String, text: &str) {
    to.push_str(head(text, MAX_TEXT.saturating_sub(to.len())));
}

/// At most `max` bytes from the start, cut between characters.
pub(in crate::agent) fn head(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// At most `max` bytes from the end, cut between characters.
pub(in crate::agent) fn tail(text: &str, max: usize) -> &str {
    let start = (text.len().saturating_sub(max)..=text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or(text.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(report: &Report) -> String {
        let line = |(name, test): (&String, &TestResult)| {
            let whole = if test.whole { " whole" } else { "" };
            let message = test.message.lines().next().unwrap_or_default();
            format!("{name} {:?}{whole} {message}", test.state).trim_end().to_owned() + "\n"
        };
        report.tests.iter().map(line).collect()
    }

    // Written by pytest 8.3.
    const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="2" failures="2" skipped="2" tests="10" time="0.088" timestamp="2026-11-24T13:48:00.754233+00:00" hostname="vm"><testcase classname="" name="tests.test_bad" file="tests/test_bad.py" time="0.000"><error message="collection failure">tests/test_bad.py:1: in &lt;module&gt;
    import nonexist
E   ModuleNotFoundError: No module named 'nonexist'</error></testcase><testcase classname="tests.test_gcd" name="test_gcd" file="tests/test_gcd.py" line="4" time="0.000"><failure message="assert 3 == 2&#10; +  where 3 = gcd(4, 6)">def test_gcd():
&gt;       assert gcd(4, 6) == 2
E       assert 3 == 2

tests/test_gcd.py:6: AssertionError</failure></testcase><testcase classname="tests.test_gcd" name="test_p[x:y/z]" file="tests/test_gcd.py" line="7" time="0.000" /><testcase classname="tests.test_gcd.TestC.TestD" name="test_in" file="tests/test_gcd.py" line="13" time="0.000"><failure message="ValueError: boom 3">gcd.py:8: ValueError</failure></testcase><testcase classname="tests.test_gcd" name="test_skip" file="tests/test_gcd.py" line="20" time="0.000"><skipped type="pytest.skip" message="later">x</skipped></testcase><testcase classname="tests.test_gcd" name="test_xfail" file="tests/test_gcd.py" line="23" time="0.000"><skipped type="pytest.xfail" message="" /></testcase><testcase classname="tests.test_gcd" name="test_teardown" file="tests/test_gcd.py" line="31" time="0.000"><error message="failed on teardown with &quot;RuntimeError: teardown&quot;">E</error></testcase></testsuite></testsuites>"#;

    #[test]
    fn pytest_names_are_those_people_type() {
        let mut report = Report::default();
        report.read_junit(PYTEST.as_bytes());
        assert_eq!(
            shown(&report),
            "\
tests/test_bad.py Failed whole collection failure
tests/test_gcd.py::TestC::TestD::test_in Failed ValueError: boom 3
tests/test_gcd.py::test_gcd Failed assert 3 == 2
tests/test_gcd.py::test_p[x:y/z] Passed
tests/test_gcd.py::test_skip Skipped later
tests/test_gcd.py::test_teardown Failed failed on teardown with \"RuntimeError: teardown\"
tests/test_gcd.py::test_xfail Skipped
"
        );
        let detail = &report.tests["tests/test_gcd.py::test_gcd"].detail;
        assert!(
            detail.contains(">       assert gcd(4, 6) == 2") && detail.ends_with("AssertionError"),
            "{detail}"
        );
    }

    // Written by harness/reporter.mjs under Node 20.
    const NODE: &str = r#"{"file":"test/bad.test.js","names":[],"suite":false,"state":"fail","kind":"testCodeFailure","line":1,"message":"test failed","detail":"'test failed'"}
{"file":"test/gcd.test.js","names":["top"],"suite":false,"state":"fail","kind":"testCodeFailure","line":2,"message":"3 !== 2","detail":"AssertionError"}
{"file":"test/gcd.test.js","names":["suite","a"],"suite":false,"state":"pass","line":3,"message":"","detail":""}
{"file":"test/gcd.test.js","names":["suite","s"],"suite":false,"state":"skipped","line":3,"message":"","detail":""}
{"file":"test/gcd.test.js","names":["suite"],"suite":true,"state":"fail","kind":"subtestsFailed","line":3,"message":"1 subtest failed","detail":"'1 subtest failed'"}
{"file":"test/gcd.test.js","names":["hooked"],"suite":true,"state":"fail","kind":"hookFailed","line":9,"message":"before","detail":""}
{"file":"test/plain.test.js","names":[],"suite":false,"state":"pass","line":1,"message":"","detail":""}
"#;

    #[test]
    fn node_tests_carry_their_file_and_suites() {
        let mut report = Report::default();
        report.read_lines(NODE.as_bytes());
        assert_eq!(
            shown(&report),
            "\
test/bad.test.js Failed whole test failed
test/gcd.test.js > hooked Failed before
test/gcd.test.js > suite > a Passed
test/gcd.test.js > suite > s Skipped
test/gcd.test.js > top Failed 3 !== 2
test/plain.test.js Passed whole
"
        );
    }

    // Written by Go 1.19; the last two by Go 1.24.
    const GO: &str = r#"{"Action":"run","Package":"example.com/g","Test":"TestGcd"}
{"Action":"output","Package":"example.com/g","Test":"TestGcd","Output":"=== RUN   TestGcd\n"}
{"Action":"output","Package":"example.com/g","Test":"TestGcd","Output":"    g_test.go:7: got 3\n"}
{"Action":"output","Package":"example.com/g","Test":"TestGcd","Output":"--- FAIL: TestGcd (0.00s)\n"}
{"Action":"fail","Package":"example.com/g","Test":"TestGcd","Elapsed":0}
{"Action":"pass","Package":"example.com/g","Test":"TestSub/a_b","Elapsed":0}
{"Action":"skip","Package":"example.com/g","Test":"TestSub/s","Elapsed":0}
{"Action":"pass","Package":"example.com/g","Test":"TestSub","Elapsed":0}
{"Action":"output","Package":"example.com/g","Output":"FAIL\n"}
{"Action":"fail","Package":"example.com/g","Elapsed":0.002}
FAIL	example.com/g/sub [build failed]
{"ImportPath":"example.com/g/new","Action":"build-output","Output":"new/s.go:2:23: undefined: x\n"}
{"Action":"fail","Package":"example.com/g/new","Elapsed":0,"FailedBuild":"example.com/g/new"}
"#;

    #[test]
    fn go_events_become_tests_and_the_output_people_know() {
        let mut report = Report::default();
        let plain = report.read_go(GO, false);
        assert_eq!(
            shown(&report),
            "\
example.com/g.TestGcd Failed g_test.go:7: got 3
example.com/g.TestSub Passed
example.com/g.TestSub/a_b Passed
example.com/g.TestSub/s Skipped
example.com/g/new Failed whole new/s.go:2:23: undefined: x
example.com/g/sub Failed whole the build failed
"
        );
        assert_eq!(
            plain,
            "=== RUN   TestGcd\n    g_test.go:7: got 3\n--- FAIL: TestGcd (0.00s)\nFAIL\n\
             FAIL\texample.com/g/sub [build failed]\nnew/s.go:2:23: undefined: x\n"
        );
    }

    #[test]
    fn a_go_program_that_prints_results_and_leaves_has_not_passed() {
        let event = |rest: &str| format!("{{\"Package\":\"m\",{rest}}}\n");
        let passed = event(r#""Action":"pass","Test":"TestA""#) + &event(r#""Action":"pass""#);
        let covered = event(r#""Action":"output","Output":"coverage: [no statements]\n""#) + &passed;
        for (output, expect) in [
            (&passed, "m Failed whole the test program did not come to its end\nm.TestA Passed\n"),
            (&covered, "m.TestA Passed\n"),
        ] {
            let mut report = Report::default();
            report.read_go(output, true);
            assert_eq!(shown(&report), expect);
        }
    }

    #[test]
    fn the_worse_of_two_results_stands() {
        let mut report = Report::default();
        let line = |state: &str| format!("{{\"file\":\"a\",\"names\":[\"t\"],\"state\":\"{state}\"}}\n");
        report.read_lines(format!("{}{}{}", line("pass"), line("fail"), line("pass")).as_bytes());
        assert_eq!(shown(&report), "a > t Failed\n");
    }

    #[test]
    fn hostile_bytes_pass_no_test() {
        let deep = "<a>".repeat(100_000);
        let cut = &PYTEST[..PYTEST.len() / 2];
        let bomb = "<!DOCTYPE x [<!ENTITY a \"&a;&a;\">]><testsuite><testcase name=\"&a;\"/></testsuite>";
        for text in ["", "\0\u{fffd}<", &deep, "<testcase", "<testsuite><testcase/></testsuite", cut, bomb] {
            for bytes in [text.as_bytes(), &[text.as_bytes(), &[0xff, 0xfe]].concat()] {
                let mut report = Report::default();
                report.read_junit(bytes);
                report.read_lines(bytes);
                report.read_go(&String::from_utf8_lossy(bytes), true);
                assert!(report.tests.len() < 10);
            }
        }
        let mut report = Report::default();
        report.read_lines(b"{\"file\":1}\n{\"file\":\"a\",\"names\":[\"t\"],\"state\":\"PASS\"}\n[]\n{{{{");
        assert_eq!(shown(&report), "a > t Failed\n");
    }
}
