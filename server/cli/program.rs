//! `opendevagent run`: one file, or standard input, in the sandbox.

use super::{complain, interrupted, print, print_json};
use crate::config::{self, Loaded};
use crate::sandbox::language::{self, Language};
use crate::sandbox::{Job, Outcome, Status};
use crate::wiring;
use clap::Args;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program, or what it reads, is at most this many bytes.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// How long an open pipe may be silent before it counts as no input.
const OPEN_PIPE_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The program; `-` or nothing reads it from standard input.
    file: Option<PathBuf>,
    /// Its language; default is by the file's name or `#!` line.
    #[arg(long, value_name = "L")]
    language: Option<String>,
    /// Wall clock limit in seconds, at most `sandbox.timeoutSeconds`.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Arguments for the program.
    #[arg(last = true)]
    args: Vec<String>,
}

pub(super) async fn run(args: RunArgs, loaded: &Loaded) -> u8 {
    let job = match job(&args) {
        Ok(job) => job,
        Err(why) => {
            if args.json {
                print_json(&not_run(why.clone(), None, loaded));
            }
            return super::usage(&why);
        }
    };
    // One program, one container.
    let mut settings = loaded.settings.clone();
    settings.sandbox.warm = 0;
    let sandbox = wiring::sandbox(&settings);
    sandbox.sweep().await;
    let language = job.language.clone();
    let ran = tokio::select! {
        ran = sandbox.run(job) => Some(ran),
        () = interrupted() => None,
    };
    sandbox.close().await;
    let outcome = match ran {
        None => {
            if args.json {
                print_json(&not_run("cancelled".into(), language, loaded));
            }
            return 130;
        }
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => not_run(error.to_string(), language, loaded),
    };
    if args.json {
        print_json(&outcome);
    } else {
        show(&outcome);
    }
    exit_code(&outcome)
}

/// The record of a program that could not be run.
fn not_run(why: String, language: Option<String>, loaded: &Loaded) -> Outcome {
    Outcome {
        status: Status::Error,
        exit_code: None,
        signal: None,
        stdout: String::new(),
        stderr: String::new(),
        truncated: false,
        oom: false,
        duration_ms: 0,
        cpu_ms: 0,
        peak_memory_bytes: 0,
        language,
        runtime: loaded.settings.sandbox.runtime.clone(),
        image: String::new(),
        left_out: Vec::new(),
        error: Some(why),
        artifacts: Vec::new(),
    }
}

fn job(args: &RunArgs) -> Result<Job, String> {
    let path = args.file.as_deref().filter(|path| *path != Path::new("-"));
    let text = match path {
        Some(path) => read_file(path)?,
        None => read_input()?,
    };
    let language = language_of(args, path, &text)?;
    let stdin = if path.is_some() { piped_input()? } else { Vec::new() };
    let mut job = language::job_for_file(language, path, &text, &args.args, stdin);
    job.timeout = match args.timeout {
        Some(seconds) if seconds > 0.0 => Some(config::seconds(seconds)),
        Some(_) => return Err("--timeout must be above 0".into()),
        None => None,
    };
    Ok(job)
}

fn language_of(args: &RunArgs, path: Option<&Path>, text: &[u8]) -> Result<&'static Language, String> {
    let known =
        || language::all().iter().map(|language| language.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &args.language {
        return language::by_name(name)
            .ok_or_else(|| format!("unknown language {name}; known are {}", known()));
    }
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    path.and_then(language::by_path)
        .or_else(|| language::by_shebang(&String::from_utf8_lossy(first_line)))
        .ok_or_else(|| format!("the language cannot be told; name it with --language: {}", known()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    limited(file, &path.display().to_string())
}

fn read_input() -> Result<Vec<u8>, String> {
    limited(std::io::stdin().lock(), "standard input")
}

/// What the program is to read: our own input, unless that is a terminal, or a pipe that somebody merely left
/// open: one that says nothing at all for a moment.
fn piped_input() -> Result<Vec<u8>, String> {
    if std::io::stdin().is_terminal() {
        return Ok(Vec::new());
    }
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut first = [0];
        let begun = std::io::stdin().lock().read(&mut first);
        // Nobody listens any more when the moment is over.
        let _ = send.send(begun.map(|count| first[..count].to_vec()));
    });
    match receive.recv_timeout(OPEN_PIPE_PATIENCE) {
        Ok(Ok(first)) if first.is_empty() => Ok(first),
        Ok(Ok(first)) => Ok([first, read_input()?].concat()),
        Ok(Err(error)) => Err(format!("standard input: {error}")),
        Err(_) => Ok(Vec::new()),
    }
}

fn limited(input: impl Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(format!("{name} is larger than {MAX_INPUT_BYTES} bytes"));
    }
    Ok(bytes)
}

fn show(outcome: &Outcome) {
    print(&outcome.stdout);
    let _ = std::io::stderr().lock().write_all(outcome.stderr.as_bytes());
    match outcome.status {
        Status::Ok | Status::ExitNonzero => {}
        Status::Error => {
            complain(&format!("opendevagent: {}", outcome.error.as_deref().unwrap_or("could not be run")))
        }
        Status::Signal => {
            complain(&format!("opendevagent: killed by signal {}", outcome.signal.unwrap_or_default()))
        }
        Status::Timeout => complain("opendevagent: time limit reached (--timeout, `sandbox.timeoutSeconds`)"),
        Status::Oom => complain("opendevagent: out of memory (`sandbox.memoryMiB`)"),
        Status::OutputLimit => complain("opendevagent: too much output (`sandbox.outputKiB`)"),
    }
}

/// The program's own code, or what the shell's `timeout` and Docker use for the same things (CONTRACT §2).
fn exit_code(outcome: &Outcome) -> u8 {
    match outcome.status {
        Status::Ok | Status::ExitNonzero => outcome.exit_code.unwrap_or(1) as u8,
        Status::Signal => 128u8.wrapping_add(outcome.signal.unwrap_or_default() as u8),
        Status::Timeout => 124,
        Status::Oom | Status::OutputLimit => 137,
        Status::Error => 125,
    }
}
