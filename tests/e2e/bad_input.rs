//! Wrong key, no server, no engine, no image, files that are no text: one clear message each, the right exit code.

use super::{PYTHON, level, whole};
use crate::model_server::{Answer, ModelServer};
use crate::support::{KEY, Workspace, docker};

#[test]
fn a_wrong_key() {
    let server = ModelServer::always(Answer::Status(401, format!("No auth credentials found for {KEY}")));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    workspace.run(&["plan", "-m", "anything"]).exits(3).says("key");
    assert_eq!(server.requests().len(), 1, "a refused key is not tried again");
    let ended = workspace.run(&["fix", "--json"]).exits(3);
    let report = ended.json();
    assert_eq!(report["phase"], "failed");
    assert!(report["error"].as_str().is_some_and(|error| error.contains("OPENROUTER_API_KEY")), "{ended}");
}

#[test]
fn no_key() {
    let workspace = PYTHON.workspace().no_sandbox().set("OPENDEVAGENT_LIMITS_RETRIES", "1");
    workspace.run(&["plan", "-m", "anything"]).exits(3).says("OPENROUTER_API_KEY");
}

#[test]
fn no_server() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port").local_addr();
    let address = gone.expect("it was bound").to_string();
    let workspace = PYTHON
        .workspace()
        .no_sandbox()
        .set("OPENDEVAGENT_MODEL_BASE_URL", format!("http://{address}/v1"))
        .set("OPENDEVAGENT_LIMITS_RETRIES", "1");
    workspace.run(&["fix"]).exits(3).says(&address);
}

#[test]
fn plain_http_beyond_this_machine() {
    let workspace = PYTHON.workspace().no_sandbox().set("OPENROUTER_API_KEY", KEY);
    let workspace = workspace.set("OPENDEVAGENT_MODEL_BASE_URL", "http://192.0.2.1/v1");
    workspace.run(&["plan", "-m", "anything"]).exits(3).says("http");
}

#[test]
fn a_server_that_fails() {
    let server = ModelServer::always(Answer::Status(500, "out of order".into()));
    let workspace = PYTHON.workspace().model(&server).no_sandbox().set("OPENDEVAGENT_LIMITS_RETRIES", "2");
    let workspace = workspace.set("OPENDEVAGENT_AGENTS_DEBUGGER_FALLBACKS", "");
    workspace.run(&["fix"]).exits(3);
    assert_eq!(server.requests().len(), 2, "as many tries as `limits.retries` says");
}

#[test]
fn budgets_end_a_task() {
    let slow = ModelServer::always(Answer::Stall("Let me think.".into()));
    let workspace =
        PYTHON.workspace().model(&slow).no_sandbox().set("OPENDEVAGENT_BUDGET_SECONDS_PER_TASK", "1");
    workspace.run(&["fix"]).exits(6).says("budget.secondsPerTask");
    slow.wait_for_hang_up();

    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace =
        PYTHON.workspace().model(&server).no_sandbox().set("OPENDEVAGENT_BUDGET_TOKENS_PER_TASK", "50");
    workspace.run(&["fix"]).exits(6).says("budget.tokensPerTask");
    assert_eq!(server.requests().len(), 0, "what the budget does not cover is not asked");

    let server = ModelServer::always("No idea.".to_owned());
    let workspace =
        PYTHON.workspace().model(&server).no_sandbox().set("OPENDEVAGENT_BUDGET_USD_PER_TASK", "0.0005");
    workspace.run(&["fix"]).exits(6).says("budget.usdPerTask");
    assert_eq!(server.requests().len(), 0, "the price is known, and more than that");

    let workspace = workspace
        .set("OPENDEVAGENT_AGENTS_DEBUGGER_MODEL", "nobody/unlisted")
        .set("OPENDEVAGENT_AGENTS_DEBUGGER_FALLBACKS", "");
    workspace.run(&["fix"]).exits(6).says("budget.usdPerTask");
    assert_eq!(server.requests().len(), 1, "what the first call cost is told by its answer");
}

/// A fix that cannot be verified is shown, for the reason, and not called good.
#[track_caller]
fn check_unverified(workspace: Workspace, remedy: &str) {
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = workspace.model(&server);
    let files = workspace.files();
    let ended = workspace.run(&["fix", "--json"]).exits(1);
    let report = ended.json();
    assert_eq!(level(&report), "unverified", "{ended}");
    assert_eq!(report["edits"].as_array().map(Vec::len), Some(1));
    let reason = report["verdict"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(remedy), "the reason does not name {remedy:?}: {reason}");
    assert_eq!(workspace.files(), files);
}

#[test]
fn no_engine() {
    check_unverified(PYTHON.workspace().no_sandbox(), "sandbox.host");
    let nowhere = PYTHON.workspace().set("OPENDEVAGENT_SANDBOX_HOST", "unix:///nonexistent.sock");
    check_unverified(nowhere, "/nonexistent.sock");
}

#[test]
fn no_image() {
    if docker() {
        let images = r#"{"python": "opendevagent-test/missing:latest"}"#;
        let workspace = PYTHON.workspace().set("OPENDEVAGENT_SANDBOX_IMAGES", images);
        check_unverified(workspace, "opendevagent-test/missing:latest");
    }
}

#[test]
fn no_check() {
    let server = ModelServer::always(whole("notes.xyz", "better\n"));
    let workspace = Workspace::new("//- /notes.xyz\ngood\n").model(&server);
    let ended = workspace.run(&["fix", "notes.xyz", "-m", "improve", "--json"]).exits(1);
    assert_eq!(level(&ended.json()), "unverified", "{ended}");
    ended.says("--check");
}

#[test]
fn targets_that_are_no_text() {
    let mut large = b"# a large file\n".repeat(10 << 20 >> 4);
    large.resize(10 << 20, b'#');
    let cases: [(&str, &[u8], &str); 4] = [
        ("large.py", &large, "large.py has 10485760 bytes"),
        ("elf.py", b"\x7fELF\0\0\0", "is a binary file"),
        ("latin1.py", b"name = 'caf\xe9'\n", "is not UTF-8"),
        ("utf16.py", b"\xff\xfex\0=\x001\0", "is not UTF-8"),
    ];
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    for (path, bytes, message) in cases {
        let workspace = PYTHON.workspace().model(&server).no_sandbox();
        workspace.write(path, bytes);
        let files = workspace.files();
        for action in ["fix", "generate", "tests", "explain", "review", "plan"] {
            let ended = workspace.run(&[action, path, "-m", "improve it", "--apply"]).exits(2).says(message);
            let said = ended.stderr.matches(message).count();
            assert_eq!(said, 1, "one message, not {said}\n{ended}");
        }
        assert_eq!(workspace.files(), files);
    }
    assert_eq!(server.requests().len(), 0, "no model was asked");
}

#[test]
fn bad_arguments() {
    let workspace = PYTHON.workspace().no_sandbox();
    for args in [
        &["fix", "missing.py"][..],
        &["fix", "../outside.py"],
        &["fix", "gcd.py", "--workspace", "nowhere"],
        &["fix", "--no-such-flag"],
        &["explode"],
        &["run", "missing.py"],
        &["run", "-", "--language", "cobol"],
    ] {
        let ended = workspace.run(args).exits(2);
        assert!(!ended.stderr.trim().is_empty(), "says nothing\n{ended}");
    }
}

#[test]
fn a_line_that_is_not_there_is_told() {
    let workspace = PYTHON.workspace().no_sandbox();
    workspace.run(&["explain", "gcd.py:99"]).exits(2).says("gcd.py has no line 99");
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_takes_nothing_is_told() {
    let workspace = Workspace::new("");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command = workspace.command(env!("CARGO_BIN_EXE_opendevagent"));
    let ended = command.args(["config", "schema"]).stdout(full).output().expect("the program can be started");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("standard output cannot be written"));
}
