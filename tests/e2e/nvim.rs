//! `fix` from each supported Neovim, headless, with the real plugin: the buffer is changed, the disk is not, one undo
//! takes it back; and what happens without Docker, with a wrong key, when it is cancelled, on a file that is too large.

use super::{PYTHON, SAMPLES};
use crate::model_server::{Answer, ModelServer};
use crate::support::{KEY, Workspace, docker, project};
use serde_json::{Value, json};
use std::process::Command;

/// A Neovim of this version, fetched when it is missing.
pub fn neovim(version: &str) -> String {
    let setup = Command::new(project().join("tests/nvim/setup.sh")).arg(version).output();
    let setup = setup.expect("a shell script can be run");
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    String::from_utf8_lossy(&setup.stdout).trim().to_owned()
}

const VERSIONS: [&str; 3] = ["0.10", "0.11", "0.12"];

/// Drives one task in a Neovim as `e2e.lua` says; what that tells, and whether an edit arrived.
fn drive(version: &str, workspace: &Workspace, path: &str, environment: &[(&str, &str)]) -> (Value, bool) {
    let output = workspace
        .command(&neovim(version))
        .args(["--clean", "--headless", "-l"])
        .arg(project().join("tests/nvim/e2e.lua"))
        .env("OPENDEVAGENT_BIN", env!("CARGO_BIN_EXE_opendevagent"))
        .env("OPENDEVAGENT_TEST_DIR", workspace.root())
        .env("OPENDEVAGENT_TEST_FILE", path)
        .envs(environment.iter().copied())
        .output()
        .expect("Neovim can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result = serde_json::from_str(out.trim());
    (result.unwrap_or_else(|error| panic!("{version}: {error}: {out}\n{err}")), output.status.success())
}

#[test]
fn a_fix_reaches_the_buffer_and_nothing_else() {
    if !docker() {
        return;
    }
    // Each language in another version; proposals come as a diff or as a question.
    for ((sample, review), version) in SAMPLES.iter().zip(["1", "0", "1"]).zip(VERSIONS) {
        let server = ModelServer::always(sample.answer(sample.repair));
        let workspace = sample.workspace().model(&server);
        let (result, changed) =
            drive(version, &workspace, sample.path, &[("OPENDEVAGENT_TEST_REVIEW", review)]);
        assert!(changed, "{}: {result:#}", sample.language);
        assert_eq!(result["verdict"]["level"], "proven", "{result:#}");
        assert_eq!(result["buffer"], json!(sample.after()), "{}", sample.language);
        assert_eq!(result["disk"], json!(sample.before()));
        assert_eq!(result["modified"], true);
        assert_eq!(result["undone"], json!(sample.before()));
        assert_eq!(workspace.read(sample.path), sample.before());
    }
}

/// Nothing is proven then, which the verdict says with its reason; applying it is up to the user.
#[test]
fn without_docker_a_fix_is_unverified() {
    if !docker() {
        return;
    }
    for version in VERSIONS {
        let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
        let workspace = PYTHON.workspace().model(&server);
        let workspace = workspace.set("OPENDEVAGENT_SANDBOX_HOST", "unix:///nonexistent/docker.sock");
        let (result, changed) = drive(version, &workspace, PYTHON.path, &[]);
        assert!(changed, "{version}: {result:#}");
        assert_eq!(result["verdict"]["level"], "unverified", "{result:#}");
        assert!(
            result["verdict"]["reason"].as_str().is_some_and(|why| why.contains("docker.sock")),
            "{result:#}"
        );
        assert_eq!(result["undone"], json!(PYTHON.before()), "{version}");
    }
}

/// The key of the environment is refused once, then the one that is typed is used.
#[test]
fn a_refused_key_is_asked_for() {
    if !docker() {
        return;
    }
    for version in VERSIONS {
        let server = ModelServer::guarded(KEY, |_| Answer::Text(PYTHON.answer(PYTHON.repair)));
        let workspace = PYTHON.workspace().model(&server).no_sandbox().set("OPENROUTER_API_KEY", "sk-wrong");
        let (result, changed) = drive(version, &workspace, PYTHON.path, &[("OPENDEVAGENT_TEST_KEY", KEY)]);
        assert!(changed, "{version}: {result:#}");
        assert_eq!(result["asked"], 1, "{version}: {result:#}");
        let (result, changed) = drive(version, &workspace, PYTHON.path, &[]);
        assert!(!changed && result["phase"] == "failed", "{version}: {result:#}");
        assert!(result["told"].to_string().contains("key"), "{version}: {result:#}");
    }
}

#[test]
fn a_cancelled_task_and_a_huge_file_change_nothing() {
    if !docker() {
        return;
    }
    for version in VERSIONS {
        let server = ModelServer::always(Answer::Stall("I am looking ".repeat(40)));
        let workspace = PYTHON.workspace().model(&server).no_sandbox();
        let (result, changed) = drive(version, &workspace, PYTHON.path, &[("OPENDEVAGENT_TEST_CANCEL", "1")]);
        assert!(!changed, "{version}: {result:#}");
        assert_eq!(result["phase"], "cancelled", "{version}: {result:#}");
        server.wait_for_hang_up();
        workspace.write("huge.py", "x = 1\n".repeat(500_000));
        let (result, changed) = drive(version, &workspace, "huge.py", &[]);
        assert!(!changed && result["told"].to_string().contains("huge.py"), "{version}: {}", result["told"]);
    }
}
