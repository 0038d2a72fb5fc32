//! Interrupted and killed: the model's connection is closed and no container stays.

use super::{PYTHON, edit};
use crate::model_server::{Answer, ModelServer};
use crate::support::{Running, Workspace, containers_of, docker, eventually};
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

/// By its terminal, too; a script gets its document all the same.
#[test]
fn interrupted_while_a_program_runs() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("//- /long.sh\nsleep 250\n");
    for signal in ["INT", "TERM", "HUP"] {
        let running = workspace.start(&["run", "long.sh", "--json"]);
        let pid = running.id();
        eventually("the program's container", STARTED, || (!containers_of(pid).is_empty()).then_some(()));
        running.signal(signal);
        assert_eq!(running.wait().exits(130).json()["error"], "cancelled", "{signal}");
        check_no_container(pid);
    }
}
