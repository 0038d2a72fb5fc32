//! Interrupted and killed: the model's connection is closed and no container stays.

use super::{PYTHON, edit};
use crate::model_server::{Answer, ModelServer};
use crate::support::{Running, Workspace, containers_of, docker, eventually};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
const STARTED: Duration = Duration::from_secs(120);

/// A fix whose check sleeps, once its container is there.
fn sleeping_fix(workspace: &Workspace) -> Running {
    workspace.write("test_gcd.py", "import time\n\n\ndef test_gcd():\n    time.sleep(250)\n");
    let running = workspace.start(&["fix", "--json"]);
    eventually("the check's container", STARTED, || (!containers_of(running.id()).is_empty()).then_some(()));
    running
}

fn check_no_container(pid: u32) {
    eventually("the containers to be gone", SOON, || containers_of(pid).is_empty().then_some(()));
}

#[test]
fn interrupted_while_the_model_answers() {
    let server = ModelServer::always(Answer::Stall(edit("gcd.py", "    return b", "    return a")));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    let files = workspace.files();
    let running = workspace.start(&["fix", "--apply", "--json"]);
    server.wait_for_requests(1);
    running.signal("INT");
    let report = running.wait().exits(130).json();
    server.wait_for_hang_up();
    assert_eq!(report["phase"], "cancelled");
    assert_eq!(workspace.files(), files);
}

#[test]
fn interrupted_while_the_check_runs() {
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let running = sleeping_fix(&PYTHON.workspace().model(&server));
    let pid = running.id();
    running.signal("INT");
    running.wait().exits(130);
    check_no_container(pid);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn killed_while_the_check_runs() {
    if !docker() {
        return;
    }
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().model(&server);
    let running = sleeping_fix(&workspace);
    let pid = running.id();
    running.signal("KILL");
    assert_eq!(running.wait().code, None);
    workspace.run_with_input(&["run", "-", "--language", "bash"], "true").exits(0);
    check_no_container(pid);
}

/// As with `nohup`.
#[test]
fn a_program_that_is_to_outlive_its_terminal_does() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("//- /slow.sh\nsleep 3\necho done\n");
    let line = format!("trap '' HUP; exec {} run slow.sh", env!("CARGO_BIN_EXE_opendevagent"));
    let mut command = workspace.command("sh");
    let running = command.args(["-c", &line]).stdout(Stdio::piped()).spawn().expect("a shell can be started");
    let pid = running.id();
    eventually("the program's container", STARTED, || (!containers_of(pid).is_empty()).then_some(()));
    let hung_up = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
    assert!(hung_up.is_ok_and(|status| status.success()));
    let ended = running.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), &ended.stdout[..]), (Some(0), &b"done\n"[..]));
}

/// By its terminal, too; a script gets its document all the same.
#[test]
fn interrupted_while_a_program_runs() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("//- /long.sh\nsleep 250\n");
    for signal in ["INT", "TERM", "HUP"] {
        // Whoever runs the tests may have been started to outlive a terminal.
        let mut command = workspace.command("env");
        command.args([
            "--default-signal=HUP",
            env!("CARGO_BIN_EXE_opendevagent"),
            "run",
            "long.sh",
            "--json",
        ]);
        let running = command.stdout(Stdio::piped()).spawn().expect("the program can be started");
        let pid = running.id();
        eventually("the program's container", STARTED, || (!containers_of(pid).is_empty()).then_some(()));
        let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let ended = running.wait_with_output().expect("it ends");
        let outcome: Value = serde_json::from_slice(&ended.stdout).expect("one document");
        assert_eq!((ended.status.code(), &outcome["error"]), (Some(130), &"cancelled".into()), "{signal}");
        check_no_container(pid);
    }
}
