//! A recorded task runs again without a model, or says where it no longer fits.

use super::PYTHON;
use crate::model_server::ModelServer;
use crate::support::{KEY, Workspace, docker};

fn check_replays(workspace: Workspace) {
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = workspace.model(&server);
    std::fs::create_dir_all(workspace.home()).expect("a folder can be made");
    let file = workspace.home().join("t.jsonl").display().to_string();
    let report = workspace.run(&["fix", "gcd.py:4", "-m", "repair gcd", "--record", &file, "--json"]).json();
    let asked = server.requests().len();
    let transcript = std::fs::read_to_string(&file).expect("it was recorded");
    assert!(transcript.lines().count() > 2 && !transcript.contains(KEY), "{transcript}");
    let again = workspace.run(&["tasks", "replay", &file, "--json"]);
    assert_eq!(again.json()["edits"], report["edits"], "{again}");
    assert_eq!(again.json()["verdict"]["level"], report["verdict"]["level"], "{again}");
    assert!(!again.stderr.contains("differs from the recording"), "{again}");
    assert_eq!(server.requests().len(), asked, "no model is asked");
    workspace.write("gcd.py", workspace.read("gcd.py").replace("while b:", "while b != 0:"));
    let diverged = workspace.run(&["tasks", "replay", &file]).exits(3);
    let diverged = diverged.says("call 1 asks the debugger something else: line ");
    diverged.says("was `while b:`, is `while b != 0:`");
}

#[test]
fn a_recorded_task_runs_again_without_a_model() {
    check_replays(PYTHON.workspace().no_sandbox());
    if docker() {
        check_replays(PYTHON.workspace());
    }
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let workspace = PYTHON.workspace().no_sandbox();
    workspace
        .run(&["tasks", "replay", "018f-no-journal"])
        .exits(2)
        .says("there is no task \"018f-no-journal\"");
    workspace.write("t.jsonl", "{}\n");
    workspace.run(&["tasks", "replay", "t.jsonl"]).exits(2).says("line 1 is no line of a transcript");
    workspace.write("t.jsonl", "\n");
    workspace.run(&["tasks", "replay", "t.jsonl"]).exits(2).says("does not say which task it is of");
}
