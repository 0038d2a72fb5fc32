//! Hostile programs, each run by `opendevagent run` as a user would run it. `hostile/programs.txt` holds them:
//!
//! ```text
//! === NAME LANGUAGE STATUS [CODE OR SIGNAL] [oom] [runc]
//! the program (Python comes after `prelude.py`)
//! ---
//! all it must print, where that matters
//! ```
//!
//! `oom`: something was killed for memory. `runc`: holds there alone. gVisor's
//! kernel answers otherwise, is itself killed for memory or processes, or (of 2022) lets PID 1 be read and signalled.

use crate::support::{Workspace, containers_of, docker, docker_cli, eventually, project, skipped};
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;

/// How many run at once.
const AT_ONCE: usize = 3;
/// Stands in the arguments of everything that sleeps; no process on the host may show it when all is done.
const SLEEPS: &str = "7654321";

#[derive(Debug, Default)]
struct Program {
    name: String,
    language: String,
    status: String,
    number: Option<i64>,
    oom: bool,
    runc: bool,
    text: String,
    says: Option<String>,
}

fn programs() -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    for line in include_str!("hostile/programs.txt").split_inclusive('\n') {
        if let Some(head) = line.strip_prefix("=== ") {
            let words: Vec<&str> = head.split_whitespace().collect();
            let [name, language, status, flags @ ..] = &words[..] else { panic!("{head}") };
            programs.push(Program {
                name: (*name).into(),
                language: (*language).into(),
                status: (*status).into(),
                number: flags.first().and_then(|word| word.parse().ok()),
                oom: *status == "oom" || flags.contains(&"oom"),
                runc: flags.contains(&"runc"),
                ..Program::default()
            });
            continue;
        }
        let program = programs.last_mut().expect("a head comes first");
        match &mut program.says {
            None if line == "---\n" => program.says = Some(String::new()),
            Some(says) => says.push_str(line),
            None => program.text.push_str(line),
        }
    }
    programs
}

/// What is wrong with how a program ended; none when all is as it must be.
fn complaint(program: &Program, runtime: &str) -> Option<String> {
    // gVisor's kernel is a process with threads of its own, and counts as the program does.
    let (memory, pids) = if runtime == "runc" { ("128", "64") } else { ("256", "512") };
    let workspace = Workspace::new("")
        .set("OPENDEVAGENT_SANDBOX_RUNTIME", runtime)
        .set("OPENDEVAGENT_SANDBOX_MEMORY_MIB", memory)
        .set("OPENDEVAGENT_SANDBOX_PIDS", pids)
        .set("OPENDEVAGENT_SANDBOX_SCRATCH_MIB", "16")
        .set("OPENDEVAGENT_SANDBOX_OUTPUT_KIB", "64")
        .set("OPENDEVAGENT_SANDBOX_TIMEOUT_SECONDS", "60")
        .set("CANARY", "of the host");
    let prelude = if program.language == "python" { include_str!("hostile/prelude.py") } else { "" };
    workspace.write("program", format!("{prelude}{}", program.text));
    let timeout = if program.status == "timeout" { "2" } else { "60" };
    let before = workspace.files();
    let running =
        workspace.start(&["run", "program", "--language", &program.language, "--timeout", timeout, "--json"]);
    let pid = running.id();
    let ended = running.wait();
    eventually("no container is left", Duration::from_secs(60), || {
        containers_of(pid).is_empty().then_some(())
    });
    let Ok(record) = serde_json::from_str::<Value>(&ended.stdout) else {
        return Some(format!("no record: {ended}"));
    };
    let number = record["exit_code"].as_i64().or(record["signal"].as_i64());
    let expected = program.number.or((program.status == "oom").then_some(9));
    let fits = record["status"] == *program.status
        && number == expected
        && record["oom"] == program.oom
        && program.says.as_ref().is_none_or(|says| record["stdout"] == **says)
        && record["truncated"] == (program.status == "output_limit")
        && workspace.files() == before;
    (!fits).then(|| format!("{record:#}"))
}

/// Runs all on one runtime, some at once, and fails with all complaints together.
fn check(runtime: &str, programs: Vec<Program>) {
    let host = host();
    let waiting = Mutex::new(programs.into_iter());
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no holder panics").next();
                    let Some(program) = next else { break };
                    if let Some(complaint) = complaint(&program, runtime) {
                        let complaint = format!("{}: {complaint}", program.name);
                        complaints.lock().expect("no holder panics").push(complaint);
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no holder panics");
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    assert_eq!(host, self::host());
    eventually("no process is left", Duration::from_secs(30), || sleepers().is_empty().then_some(()));
}

/// What a program could change of the machine, if it got out.
fn host() -> Vec<String> {
    let files = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/etc/passwd", "/proc/mounts"];
    let read = |path: &&str| std::fs::read_to_string(path).unwrap_or_default();
    // Containers of others come and go.
    let lasting = |text: String| text.lines().filter(|line| !line.contains("docker")).collect::<String>();
    files.iter().map(read).map(lasting).collect()
}

/// The host's processes that a program left.
fn sleepers() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.split('\0').any(|word| word == SLEEPS)).collect()
}

#[test]
fn they_are_many_and_of_every_class() {
    let programs = programs();
    assert!(programs.len() >= 80, "{}", programs.len());
    let mut names: Vec<_> = programs.iter().map(|program| &program.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), programs.len());
}

#[test]
fn nothing_gets_out_of_runc() {
    if docker() {
        check("runc", programs());
    }
}

#[test]
fn nothing_gets_out_of_runsc() {
    if !docker() {
        return;
    }
    let script = project().join("tests/setup/runsc.sh");
    let installed = std::process::Command::new("bash").arg(script).output().expect("there is a shell");
    let runtimes = docker_cli(&["info", "--format", "{{json .Runtimes}}"]);
    if !String::from_utf8_lossy(&runtimes.stdout).contains("\"runsc\"") {
        return skipped(&format!("no runsc: {}", String::from_utf8_lossy(&installed.stderr).trim()));
    }
    check("runsc", programs().into_iter().filter(|program| !program.runc).collect());
}
