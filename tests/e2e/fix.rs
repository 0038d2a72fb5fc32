//! `fix`: a real bug goes in, a proven fix comes out, and nothing else.

use super::{PYTHON, SAMPLES, Sample, level};
use crate::model_server::{Answer, ModelServer, Request};
use crate::support::{Workspace, docker};
use serde_json::{Value, json};

/// The lines a unified diff takes away and adds.
fn changed_lines(diff: &str) -> Vec<&str> {
    diff.lines()
        .filter(|line| !line.starts_with("---") && !line.starts_with("+++"))
        .filter(|line| line.starts_with(['-', '+']))
        .collect()
}

/// The report of a fix that is proven by exactly the intended edit.
#[track_caller]
fn check_proven(sample: &Sample, report: &Value) {
    assert_eq!(level(report), "proven", "{report:#}");
    let verdict = &report["verdict"];
    let names = verdict["fail_to_pass"].as_array().cloned().unwrap_or_default();
    assert!(
        matches!(&names[..], [name] if name.as_str().is_some_and(|name| name.ends_with(sample.test))),
        "{}: {names:?}",
        sample.language
    );
    assert_eq!(verdict["pass_to_fail"], json!([]));
    assert_eq!(
        verdict["before"]["tests"],
        json!({"run": 2, "passed": 1, "failed": 1, "skipped": 0}),
        "{verdict:#}"
    );
    assert_eq!(
        verdict["after"]["tests"],
        json!({"run": 2, "passed": 2, "failed": 0, "skipped": 0}),
        "{verdict:#}"
    );
    assert_eq!(verdict["before"]["status"], "exit_nonzero");
    assert_eq!(verdict["after"]["status"], "ok");
    assert_eq!(verdict["check_source"], "detected");
    assert_eq!(verdict["stable_runs"], 2);
    assert_eq!(verdict["changed_lines_executed"], true, "{}", sample.language);
    assert_eq!(verdict["sandbox"], json!({"cpus": 1.0, "memory_mib": 512, "network": "none"}));
    assert_eq!(report["phase"], "complete");
    assert_eq!(report["error"], Value::Null);

    let edits = report["edits"].as_array().cloned().unwrap_or_default();
    let [edit] = &edits[..] else { panic!("one edit, not {edits:?}") };
    assert_eq!(edit["path"], sample.path);
    let hash = |text: String| json!(opendevagent::text::sha256(text.as_bytes()));
    assert_eq!(edit["before_sha256"], hash(sample.before()));
    assert_eq!(edit["after_sha256"], hash(sample.after()));
    let diff = edit["diff"].as_str().unwrap_or_default();
    let (gone, new) =
        (sample.bug.lines().last().unwrap_or_default(), sample.repair.lines().last().unwrap_or_default());
    assert_eq!(changed_lines(diff), [format!("-{gone}"), format!("+{new}")], "{diff}");
}

#[test]
fn each_language_is_proven_and_nothing_is_written() {
    if !docker() {
        return;
    }
    for sample in SAMPLES {
        let server = ModelServer::always(sample.answer(sample.repair));
        let workspace = sample.workspace().model(&server);
        let files = workspace.files();
        let ended = workspace.run(&["fix", "--json"]).exits(0);
        check_proven(sample, &ended.json());
        assert_eq!(workspace.files(), files, "{}: files changed without --apply", sample.language);
        let usage = &ended.json()["usage"];
        assert_eq!(
            (&usage["calls"], &usage["prompt_tokens"], &usage["completion_tokens"]),
            (&json!(1), &json!(100), &json!(20))
        );
        assert_eq!(usage["by_agent"]["debugger"]["calls"], 1, "{usage}");
    }
}

#[test]
fn the_diff_is_printed_and_apply_writes_it() {
    if !docker() {
        return;
    }
    for sample in SAMPLES {
        let server = ModelServer::always(sample.answer(sample.repair));
        let workspace = sample.workspace().model(&server);
        let mut files = workspace.files();
        let target = format!("{}:1", sample.path);
        let printed = workspace.run(&["fix", &target, "-m", "make the test pass"]).exits(0).says("proven");
        let (gone, new) = (sample.bug.lines().last(), sample.repair.lines().last());
        let expect = [gone.map(|line| format!("-{line}")), new.map(|line| format!("+{line}"))];
        assert_eq!(changed_lines(&printed.stdout), expect.map(Option::unwrap_or_default), "{printed}");
        workspace.run(&["fix", &target, "--apply", "-m", "make the test pass"]).exits(0).says("proven");
        files.insert(sample.path.into(), sample.after().into_bytes());
        assert_eq!(workspace.files(), files, "{}", sample.language);
        let calls = server.requests();
        assert!(calls[0].prompt().contains("make the test pass"), "the wish reaches the model");
        assert!(calls[0].prompt().contains(sample.test), "what the check showed reaches the model");
    }
}

#[cfg(unix)]
#[test]
fn apply_keeps_mode_and_line_endings() {
    use std::os::unix::fs::PermissionsExt;
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().model(&server);
    workspace.write(PYTHON.path, PYTHON.before().replace('\n', "\r\n"));
    let path = workspace.root().join(PYTHON.path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).expect("the mode can be set");
    workspace.run(&["fix", "--apply", "--json"]).exits(0);
    assert_eq!(workspace.read(PYTHON.path), PYTHON.after().replace('\n', "\r\n"));
    let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o750, "{mode:o}");
}

#[test]
fn a_wrong_repair_is_followed_by_a_right_one() {
    if !docker() {
        return;
    }
    for sample in SAMPLES {
        let server = ModelServer::saying([sample.answer(sample.wrong), sample.answer(sample.repair)]);
        let report = sample.workspace().model(&server).run(&["fix", "--json"]).exits(0).json();
        check_proven(sample, &report);
        assert_eq!(report["rounds"], 2);
        let levels: Vec<_> =
            report["history"].as_array().into_iter().flatten().map(|round| &round["level"]).collect();
        assert_eq!(levels, ["failing", "proven"]);
        let second = server.requests()[1].prompt();
        assert!(
            second.contains(sample.wrong.lines().last().unwrap_or_default().trim()),
            "the failed attempt is shown to the model"
        );
    }
}

#[test]
fn three_repairs_then_one_fresh_start() {
    if !docker() {
        return;
    }
    let mut call = 100;
    let server = ModelServer::start(move |_| {
        call += 1;
        Answer::Text(PYTHON.answer(&format!("    return {call}")))
    });
    let workspace = PYTHON.workspace().model(&server);
    let report = super::not_accepted(workspace.run(&["fix", "--json"]));
    assert_eq!(level(&report), "failing");
    let prompts: Vec<_> = server.requests().iter().map(Request::prompt).collect();
    assert_eq!(prompts.len(), 5, "the first, three repairs, one fresh start");
    assert!(
        prompts[3].contains("return 101") && prompts[3].contains("return 103"),
        "repairs learn from what failed"
    );
    assert!(!prompts[4].contains("return 10"), "the fresh start knows nothing of it");
    assert_eq!(report["rounds"], 5);
    assert_eq!(report["history"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_green_check_leaves_nothing_to_do() {
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().model(&server);
    workspace.write(PYTHON.path, PYTHON.after());
    let report = workspace.run(&["fix", "--json"]).exits(0).json();
    assert_eq!(level(&report), "passing");
    assert_eq!(report["edits"], json!([]));
    assert_eq!(server.requests().len(), 0, "a model was asked for nothing");
}

#[test]
fn a_named_command_is_one_test() {
    if !docker() {
        return;
    }
    let script = "import gcd, sys\nsys.exit(gcd.gcd(12, 18) != 6)\n";
    let cases = [("--check", ""), ("", "check = 'python verify.py'\n")];
    for (flag, file) in cases {
        let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
        let workspace = Workspace::new(PYTHON.fixture).model(&server);
        workspace.write("verify.py", script);
        let mut args = vec!["fix", "--json"];
        if flag.is_empty() {
            workspace.write(".opendevagent.toml", file);
        } else {
            args.extend([flag, "python verify.py"]);
        }
        let report = workspace.run(&args).exits(0).json();
        assert_eq!(level(&report), "proven", "{report:#}");
        assert_eq!(report["verdict"]["check"], "python verify.py");
        assert_eq!(report["verdict"]["check_source"], if flag.is_empty() { "workspace" } else { "user" });
        assert_eq!(report["verdict"]["fail_to_pass"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn a_fresh_start_is_made_with_another_model() {
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.wrong));
    PYTHON.workspace().model(&server).run(&["fix", "--json"]).exits(1);
    let requests = server.requests();
    let models: Vec<_> = requests.iter().map(Request::model).collect();
    let (own, other) = ("anthropic/claude-sonnet-4.5", "meta-llama/llama-3.1-70b-instruct");
    assert_eq!(models, [own, own, other]);
    let repair = requests[1].prompt();
    assert!(repair.contains("test_zero passed before and fails now"), "why it failed is told: {repair}");
    assert!(
        repair.contains("at test_gcd.py:5: assert gcd(12, 18) == 6"),
        "where it failed is told: {repair}"
    );
    assert!(!requests[2].prompt().contains("+    return 1"), "what failed is not shown: {repair}");
}

#[test]
fn a_slow_suite_is_begun_with_the_tests_that_use_what_changed() {
    if !docker() {
        return;
    }
    let server = ModelServer::saying([PYTHON.answer(PYTHON.wrong), PYTHON.answer(PYTHON.repair)]);
    let workspace = PYTHON.workspace().model(&server);
    workspace.write("test_slow.py", "import time\n\n\ndef test_slow():\n    time.sleep(6)\n");
    let report = workspace.run(&["fix", "gcd.py", "--json"]).exits(0).json();
    assert_eq!(level(&report), "proven", "{report:#}");
    assert_eq!(report["verdict"]["after"]["tests"]["run"], 3, "the whole suite decides: {report:#}");
    let repair = server.requests()[1].prompt();
    let told = repair.split("and the check said:").nth(1).unwrap_or_default();
    assert!(told.contains("2 failed") && !told.contains("1 passed"), "the slow test was left out: {told}");
}

#[test]
fn a_suite_without_an_end_is_judged_by_the_part_that_uses_what_changed() {
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().model(&server).set("OPENDEVAGENT_SANDBOX_TIMEOUT_SECONDS", "8");
    workspace.write("test_endless.py", "import time\n\n\ndef test_endless():\n    time.sleep(600)\n");
    let report = workspace.run(&["fix", "gcd.py", "--json"]).exits(0).json();
    assert_eq!(level(&report), "proven", "{report:#}");
    assert_eq!(report["verdict"]["check"], "python3 -m pytest -q test_gcd.py", "{report:#}");
}
