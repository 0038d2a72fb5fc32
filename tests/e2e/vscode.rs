//! The real VS Code, its extension and this server: review, apply, undo, discard, cancel, as a user sees them.

use crate::model_server::{Answer, ModelServer};
use crate::support::{docker, project, skipped};
use std::process::{Command, Output};

/// What repairs `gcd.py` of the workspace that the suites open.
const REPAIR: &str = "The remainder was meant.\n\ngcd.py\n```python\n<<<<<<< SEARCH
    return a if b == 0 else gcd(b, a // b)
=======
    return a if b == 0 else gcd(b, a % b)
>>>>>>> REPLACE\n```\n";
const KEY: &str = "sk-or-v1-0123456789abcdef";

/// Neither is there: the test says itself that it was skipped.
fn is_missing() -> bool {
    if !docker() {
        return true;
    }
    let unwanted = std::env::var_os("OPENDEVAGENT_VSCODE_TESTS").is_none();
    if unwanted {
        skipped("set OPENDEVAGENT_VSCODE_TESTS=1 to run it; it builds VS Code when that is missing");
    }
    unwanted
}

/// Runs a script of `tests/vscode` beside a model server.
fn node(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("node");
    command.arg(project().join("tests/vscode").join(script)).args(arguments).env_remove("OPENROUTER_API_KEY");
    command.envs(environment.iter().copied()).output().expect("node can be started")
}

fn check(output: &Output, expect: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(expect), "{said}");
}

#[test]
fn the_suite_seen_from_the_editor_passes_with_this_server() {
    if is_missing() {
        return;
    }
    let server = ModelServer::always(REPAIR.to_owned());
    let environment = [
        ("OPENDEVAGENT_BIN", env!("CARGO_BIN_EXE_opendevagent")),
        ("OPENDEVAGENT_MODEL_BASE_URL", &server.url()),
        ("OPENROUTER_API_KEY", KEY),
    ];
    check(&node("run.mjs", &[], &environment), "vscode: 10 of 10 tests passed");
}

/// A package with this server in it, installed and driven with mouse and keyboard.
#[test]
fn a_person_gets_from_no_key_to_a_proven_fix() {
    if is_missing() {
        return;
    }
    let server = ModelServer::guarded(KEY, |_| Answer::Text(REPAIR.to_owned()));
    let state = tempfile::tempdir().expect("a folder can be made");
    let state = state.path().to_str().expect("its name is plain");
    let environment = [("OPENDEVAGENT_MODEL_BASE_URL", &*server.url()), ("XDG_STATE_HOME", state)];
    let output = node("gui.mjs", &[env!("CARGO_BIN_EXE_opendevagent"), KEY], &environment);
    check(&output, "vscode-gui: 12 of 12 steps passed");
}
