//! `generate`, `plan`, `tests`, `review` and `explain`.

use super::{PYTHON, level, whole};
use crate::model_server::{Answer, ModelServer};
use crate::support::{Workspace, docker};
use serde_json::json;

const PLAN: &str = r#"Here it is:
```json
{"summary": "Add a median", "components": [{"name": "median", "responsibility": "finds the middle"},
 {"name": "tests", "responsibility": "prove it"}], "data_flow": ["list -> number"], "technology": ["python"],
 "steps": [{"title": "Write median", "detail": "sort, take the middle", "files": ["median.py"]}],
 "tests": ["odd and even lengths"], "edge_cases": ["empty list"], "risks": []}
```"#;
const MEDIAN: &str = "def median(numbers):\n    ordered = sorted(numbers)\n    middle = len(ordered) // 2\n    \
                      if len(ordered) % 2:\n        return ordered[middle]\n    \
                      return (ordered[middle - 1] + ordered[middle]) / 2\n";
const TEST: &str = "from median import median\n\n\ndef test_odd():\n    assert median([3, 1, 2]) == 2\n\n\n\
                    def test_even():\n    assert median([4, 1, 2, 3]) == 2.5\n";

/// A model that plans first and codes then.
fn server() -> ModelServer {
    let code = format!("{}\n{}", whole("median.py", MEDIAN), whole("test_median.py", TEST));
    ModelServer::saying([PLAN.to_owned(), code])
}

#[test]
fn plan_answers_with_components_and_markdown() {
    let server = server();
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    let files = workspace.files();
    let ended = workspace.run(&["plan", "-m", "add a median", "--json"]).exits(0);
    let report = ended.json();
    assert_eq!(
        report["plan"]["components"][0],
        json!({"name": "median", "responsibility": "finds the middle"})
    );
    assert_eq!(report["edits"], json!([]));
    assert_eq!(report["phase"], "complete");
    assert!(
        report["text"]
            .as_str()
            .is_some_and(|text| text.contains("Add a median") && text.contains("empty list"))
    );
    assert!(ended.stderr.contains("[PHASE 1: PLANNING] Architect analyzing task..."), "{ended}");
    assert!(ended.stderr.contains("✓ Plan created: 2 components identified"), "{ended}");
    assert_eq!(workspace.files(), files);
}

#[test]
fn plan_prints_markdown() {
    let workspace = PYTHON.workspace().model(&server()).no_sandbox();
    let ended = workspace.run(&["plan", "gcd.py:1:5", "-m", "add a median"]).exits(0);
    assert!(ended.stdout.contains("Add a median") && ended.stdout.contains("Write median"), "{ended}");
}

#[test]
fn each_agent_has_its_own_model() {
    let server = server();
    let workspace =
        PYTHON.workspace().model(&server).no_sandbox().set("OPENDEVAGENT_AGENTS_CODER_MODEL", "local/coder");
    workspace.run(&["generate", "-m", "add a median", "--json"]).exits(1);
    let requests = server.requests();
    let models: Vec<_> =
        requests.iter().map(|request| (request.model(), request.body["temperature"].as_f64())).collect();
    let near = |value: Option<f64>, expect: f64| value.is_some_and(|value| (value - expect).abs() < 1e-6);
    assert!(
        matches!(models[..], [("openai/gpt-4o", first), ("local/coder", second)] if near(first, 0.3) && near(second, 0.2)),
        "{models:?}"
    );
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(format!("Bearer {}", crate::support::KEY).as_str()));
        assert_eq!(request.body["stream"], true);
    }
}

#[test]
fn new_code_with_its_tests_is_checked() {
    if !docker() {
        return;
    }
    let empty = "//- /README.md\nNothing here yet.\n";
    for (fixture, tests_before) in [(PYTHON.fixture, 2), (empty, 0)] {
        let server = server();
        let workspace = Workspace::new(fixture).model(&server);
        if tests_before > 0 {
            workspace.write(PYTHON.path, PYTHON.after());
        }
        let args = ["generate", "median.py", "-m", "add a median", "--apply", "--json"];
        let ended = workspace.run(&args).exits(0);
        let report = ended.json();
        assert!(matches!(level(&report), "passing" | "proven"), "{ended}");
        assert_eq!(report["verdict"]["after"]["tests"]["passed"], tests_before + 2, "{ended}");
        assert_eq!(workspace.read("median.py"), MEDIAN);
        assert_eq!(workspace.read("test_median.py"), TEST);
        assert!(ended.stderr.contains("✓ Code generated: 2 files created"), "{ended}");
        assert!(ended.stderr.contains("✓ All tests passed!"), "{ended}");
    }
}

#[test]
fn generated_tests_must_be_able_to_fail() {
    if !docker() {
        return;
    }
    let vacuous = "def test_nothing():\n    pass\n";
    let server = ModelServer::always(whole("test_more.py", vacuous));
    let workspace = PYTHON.workspace().model(&server);
    workspace.write(PYTHON.path, PYTHON.after());
    let report = workspace.run(&["tests", "gcd.py", "--json"]).json();
    assert_ne!(level(&report), "proven", "{report:#}");
}

/// A model that plans, codes without tests, and writes `tests` when it is asked for them.
fn without_tests(tests: &str) -> ModelServer {
    ModelServer::saying([PLAN.to_owned(), whole("median.py", MEDIAN), whole("test_median.py", tests)])
}

#[test]
fn new_code_without_tests_gets_them_from_somebody_who_has_not_seen_it() {
    if !docker() {
        return;
    }
    let server = without_tests(TEST);
    let workspace = Workspace::new("//- /README.md\nNothing here yet.\n").model(&server);
    let args = ["generate", "median.py", "-m", "add a median", "--apply", "--json"];
    let report = workspace.run(&args).exits(0).json();
    assert_eq!(level(&report), "proven", "{report:#}");
    assert_eq!(report["verdict"]["check_source"], "generated");
    assert_eq!(workspace.read("test_median.py"), TEST);
    let questions = server.requests();
    assert_eq!(questions.len(), 3);
    assert!(!questions[2].prompt().contains("ordered[middle]"), "the code is not shown");
}

#[test]
fn tests_that_cannot_fail_are_left_out() {
    if !docker() {
        return;
    }
    let server = without_tests("def test_median():\n    import median\n    median.median([1])\n");
    let workspace = Workspace::new("//- /README.md\nNothing here yet.\n").model(&server);
    let ended = workspace.run(&["generate", "median.py", "-m", "add a median", "--json"]).exits(0);
    let report = ended.json();
    assert_eq!(level(&report), "runs", "{report:#}");
    assert_eq!(report["edits"].as_array().map(Vec::len), Some(1), "{report:#}");
}

#[test]
fn a_bug_without_a_test_gets_one_and_a_wrong_one_does_no_harm() {
    if !docker() {
        return;
    }
    let right = "from gcd import gcd\n\n\ndef test_negative():\n    assert gcd(4, -6) == 2\n";
    let wrong = "from gcd import gcd\n\n\ndef test_negative():\n    assert gcd(4, -6) == 3\n";
    for (test, expect, files) in [(right, "proven", 2), (wrong, "passing", 1)] {
        let fixed = PYTHON.after().replace("    return a", "    return abs(a)");
        let server = ModelServer::start(move |request| {
            let tests = request.prompt().contains("Write tests that show what is wrong");
            Answer::Text(if tests { whole("test_negative.py", test) } else { whole(PYTHON.path, &fixed) })
        });
        let workspace = PYTHON.workspace().model(&server);
        workspace.write(PYTHON.path, PYTHON.after());
        let args = ["fix", "gcd.py", "-m", "negative numbers give a negative divisor", "--json"];
        let report = workspace.run(&args).exits(0).json();
        assert_eq!(level(&report), expect, "{report:#}");
        assert_eq!(report["edits"].as_array().map(Vec::len), Some(files), "{report:#}");
    }
}

#[test]
fn review_and_explain_answer_and_change_nothing() {
    let remarks = "One thing.\n```json\n{\"issues\": [{\"path\": \"gcd.py\", \"line\": 4, \"message\": \"returns b\", \
                   \"severity\": \"error\"}], \"improvements\": [], \"security\": [], \"best_practices\": []}\n```\n";
    let server = ModelServer::start(move |_| Answer::Text(remarks.into()));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    let files = workspace.files();
    let report = workspace.run(&["review", "gcd.py", "--json"]).exits(0).json();
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["path"], &finding["line"], &finding["category"]),
        (&json!("gcd.py"), &json!(4), &json!("bug"))
    );
    let report = workspace.run(&["explain", "gcd.py:4", "--json"]).exits(0).json();
    assert!(report["text"].as_str().is_some_and(|text| text.contains("One thing.")), "{report:#}");
    assert_eq!(workspace.files(), files);
}
