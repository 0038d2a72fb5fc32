//! What a sandbox is asked ([`Job`]) and what it answers ([`Outcome`]), free of Docker.
//!
//! Nothing here runs a program: adapters do. A failing program is an [`Outcome`]; only a sandbox that could
//! not do its work is a [`SandboxError`].

pub mod docker;
pub mod image;
pub mod language;
pub mod owner;
pub mod setup;
pub mod team;
pub mod tool;
mod view;

use crate::workspace::Snapshot;
use futures_util::future::BoxFuture;
use serde::Serialize;
use setup::Setup;
use std::sync::Arc;
use std::time::Duration;

/// Told a line at a time what goes on.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Runs one program on a copy of the given files, away from the host.
///
/// Dropping the future kills the program and removes its container.
pub trait Sandbox: Send + Sync {
    fn run(&self, job: Job) -> BoxFuture<'_, Result<Outcome, SandboxError>>;
    /// The limits every job runs under, as shown in verdicts.
    fn limits(&self) -> Limits;

    /// One line about the engine, when it is ready to run jobs.
    fn probe(&self) -> BoxFuture<'_, Result<String, SandboxError>>;

    /// The image that holds what a workspace needs, for [`Job::image`]; none when it was not made yet.
    fn prepared<'a>(&'a self, setup: &'a Setup) -> BoxFuture<'a, Result<Option<String>, SandboxError>>;

    /// Makes that image. Fetches packages and runs their code, so the user must have agreed. Takes minutes.
    fn prepare<'a>(
        &'a self,
        task: &'a str,
        setup: &'a Setup,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<String, SandboxError>>;

    /// Removes what owners that died have left; gives how many.
    fn sweep(&self) -> BoxFuture<'_, usize> {
        Box::pin(async { 0 })
    }

    /// Keeps nothing ready any more, and removes what waits for a job. For a sandbox that gets no new tasks; running
    /// jobs go on.
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Removes all that is still there of this owner's, and waits until it is gone. For the end of a task or of the
    /// program: a job that runs meanwhile loses its container.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// One program to run.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Id of the task it belongs to; labels the container.
    pub task: String,
    /// Key of a row of `languages.toml`; picks the image. `None`: the image that holds all languages.
    pub language: Option<String>,
    /// The image to run it in, instead of the language's.
    pub image: Option<String>,
    /// The workspace, which the program sees as its working directory `/work`.
    pub workspace: Option<Snapshot>,
    /// Files laid over it.
    pub files: Vec<JobFile>,
    /// Files of it that are gone.
    pub removed: Vec<String>,
    /// Program and arguments, no shell in between.
    pub argv: Vec<String>,
    /// Environment on top of the image's own.
    pub env: Vec<(String, String)>,
    /// What the program reads from standard input.
    pub stdin: Vec<u8>,
    /// Wall clock limit, lowered from [`Limits::timeout`] for this job alone.
    pub timeout: Option<Duration>,
    /// Regular files to bring back after the end, by absolute path below `/work` or `/tmp`. `*` in a path stands for
    /// any part of a name, `**` for any folders, `/` at its end for all files below. No link is followed. Left out:
    /// what is missing, files above 8 MiB, and what comes after 4096 files or 32 MiB in all.
    pub collect: Vec<String>,
}

/// A file laid out before the program starts.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFile {
    /// Relative to `/work`, or absolute below `/tmp`. Parent directories are made.
    pub path: String,
    pub bytes: Arc<[u8]>,
    pub executable: bool,
}

/// How a program ended (CONTRACT §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    ExitNonzero,
    /// Died of a signal that was neither ours nor the out-of-memory killer's.
    Signal,
    Timeout,
    Oom,
    /// Killed for writing more than the output cap.
    OutputLimit,
    /// Could not be run.
    Error,
}

/// What a program did. Cannot be forged by the program: the runner reports it on a channel of its own.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub status: Status,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// Bytes that are no UTF-8 are replaced by U+FFFD.
    pub stdout: String,
    pub stderr: String,
    pub truncated: bool,
    /// Also true when only a child was killed for memory.
    pub oom: bool,
    pub duration_ms: u64,
    pub cpu_ms: u64,
    pub peak_memory_bytes: u64,
    pub language: Option<String>,
    pub runtime: String,
    pub image: String,
    /// Files of the workspace that were too many or too large to be there: path and size.
    #[serde(skip)]
    pub left_out: Vec<String>,
    /// Why it could not be run and what to do, with [`Status::Error`] alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The collected files: path and bytes. Where a pattern asked for them, the program chose the names, which may
    /// hold anything; bytes in them that are no UTF-8 are replaced by U+FFFD.
    #[serde(skip)]
    pub artifacts: Vec<(String, Vec<u8>)>,
}

/// The limits of one run. Rendered to the engine's flags in one place.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    pub cpus: f64,
    pub memory_mib: u64,
    /// `none`: no interface but loopback.
    pub network: &'static str,
    #[serde(skip)]
    pub timeout: Duration,
    #[serde(skip)]
    pub pids: i64,
    /// Cap of each output stream.
    #[serde(skip)]
    pub output_kib: u64,
    /// Size of each scratch file system (`/work`, `/tmp`).
    #[serde(skip)]
    pub scratch_mib: u64,
}

/// Why a sandbox could not do its work. Every message ends in what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SandboxError {
    /// No engine to talk to: switched off, not installed, not started, not permitted.
    #[error("{why}; {remedy}")]
    Unavailable { why: String, remedy: String },
    /// The engine is there, the image is not.
    #[error("the sandbox image {image} is missing; run `{}`", image::remedy(image))]
    NoImage { image: String },
    /// The engine failed in the middle.
    #[error("{why}; {remedy}")]
    Broken { why: String, remedy: String },
}

/// Stands where no engine can: switched off, or an address that none could have. Every job is refused with the
/// same error, so every verdict is `unverified`.
pub struct Absent {
    pub limits: Limits,
    pub error: SandboxError,
}

impl Sandbox for Absent {
    fn run(&self, _job: Job) -> BoxFuture<'_, Result<Outcome, SandboxError>> {
        Box::pin(async { Err(self.error.clone()) })
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, SandboxError>> {
        Box::pin(async { Err(self.error.clone()) })
    }

    fn prepared<'a>(&'a self, _setup: &'a Setup) -> BoxFuture<'a, Result<Option<String>, SandboxError>> {
        Box::pin(async { Err(self.error.clone()) })
    }

    fn prepare<'a>(
        &'a self,
        _task: &'a str,
        _setup: &'a Setup,
        _progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<String, SandboxError>> {
        Box::pin(async { Err(self.error.clone()) })
    }
}
