//! Many runs in one server, and servers killed at any moment: nothing stays, nothing grows.

use super::{eventually, job, options};
use crate::editor::Editor;
use crate::support::{Workspace, containers_of, docker};
use opendevagent::sandbox::docker::{Docker, DockerOptions};
use opendevagent::sandbox::{Sandbox, Status};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

/// Generous: what an allocator keeps differs, what leaks adds up over hundreds of runs.
const GROWTH_KIB: u64 = 8 * 1024;

/// What the server holds itself. The pages of its program are not in it: they come and go, for a server gives them back
/// when it has nothing to do.
const ANONYMOUS: &str = "RssAnon";

/// A figure of `/proc/PID/status` in KiB.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

async fn server() -> Editor {
    let options = json!({"settings": {"sandbox": {"memoryMiB": 128, "scratchMiB": 32}}});
    let mut editor = Editor::start(json!({}), options).await;
    editor.open("hello.sh", "shellscript", "echo hello\n").await;
    editor.open("flood.sh", "shellscript", "yes >&2 & exec yes\n").await;
    editor
}

/// Runs files in the sandbox, so many at once, and takes what the server says about it.
async fn run(editor: &mut Editor, file: &str, times: usize) {
    let mut tasks = Vec::new();
    for _ in 0..times {
        tasks.push(editor.begin("run", file).await);
    }
    for task in tasks {
        editor.ended(&task).await;
    }
    editor.ignore(&["window/showMessage", "textDocument/publishDiagnostics"]);
}

#[tokio::test]
async fn two_hundred_runs_leave_nothing_and_do_not_grow_the_server() {
    if !docker() {
        return;
    }
    let mut editor = server().await;
    let pid = editor.pid();
    for _ in 0..20 {
        run(&mut editor, "hello.sh", 1).await;
    }
    run(&mut editor, "hello.sh", 8).await;
    let before = memory(pid, ANONYMOUS);
    for _ in 0..172 {
        run(&mut editor, "hello.sh", 1).await;
    }
    run(&mut editor, "hello.sh", 32).await;
    let after = memory(pid, ANONYMOUS);
    assert!(after < before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
    editor.quit().await;
    assert_eq!(containers_of(pid), [""; 0]);
}

#[tokio::test]
async fn floods_of_output_do_not_grow_the_server() {
    if !docker() {
        return;
    }
    let mut editor = server().await;
    let pid = editor.pid();
    run(&mut editor, "hello.sh", 1).await;
    let before = memory(pid, "VmHWM");
    for _ in 0..5 {
        run(&mut editor, "flood.sh", 1).await;
    }
    let peak = memory(pid, "VmHWM");
    assert!(peak < before + GROWTH_KIB, "{before} KiB before, {peak} KiB at its height");
    editor.quit().await;
    assert_eq!(containers_of(pid), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_killed_at_any_moment_are_cleaned_up_by_the_next() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("//- /sleep.sh\nsleep 100\n");
    let mut killed = Vec::new();
    for _ in 0..20 {
        let running = workspace.start(&["run", "sleep.sh"]);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1500))).await;
        running.signal("KILL");
        killed.push(running.id());
        drop(running);
    }
    let docker = Docker::connect(DockerOptions { warm: 0, ..options() }).unwrap();
    // One that the engine was still making when its server died is found by the start after.
    let gone = || {
        let swept =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(docker.sweep()));
        swept == 0 && killed.iter().all(|pid| containers_of(*pid).is_empty())
    };
    eventually("what killed servers left to be gone", gone).await;
    let sleeping = Command::new("pgrep").args(["-f", "opendevagent run sleep.sh"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&sleeping.stdout), "");
    assert_eq!(docker.run(job(&["true"])).await.unwrap().status, Status::Ok);
    docker.shutdown().await;
}
