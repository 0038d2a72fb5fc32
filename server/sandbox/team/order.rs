//! What travels: an order with the names of its files' chunks, and the answer to it.

use super::super::{Job, JobFile, Limits, Outcome, SandboxError, Status};
use crate::text::sha256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Files of one order, at most; the rest is left out and said.
const FILES: usize = 20_000;
const BYTES: u64 = 64 << 20;

/// One job, without the bytes of its files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    /// Whose orders are counted together.
    pub(super) member: String,
    /// Seconds since the Unix epoch: an old order is none.
    pub(super) at: u64,
    pub(super) task: String,
    language: Option<String>,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    stdin: String,
    timeout_ms: Option<u64>,
    collect: Vec<String>,
    pub(super) files: Vec<Name>,
    left_out: Vec<String>,
    /// What the verdict will say of the sandbox.
    pub(super) cpus: f64,
    pub(super) memory_mib: u64,
}

/// A file by its chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Name {
    path: String,
    pub(super) sha256: String,
    executable: bool,
}

/// The chunks of an order, by their names.
pub(super) type Chunks = BTreeMap<String, Arc<[u8]>>;

impl Order {
    /// Reads all files of the job. Blocks on the disk.
    pub(super) fn pack(job: Job, limits: &Limits, id: String, member: String, at: u64) -> (Self, Chunks) {
        let found = job.workspace.as_ref().map(|workspace| workspace.all(FILES, BYTES)).unwrap_or_default();
        let mut files: BTreeMap<String, (Arc<[u8]>, bool)> = BTreeMap::new();
        for file in found.files {
            if let Some(bytes) = file.bytes {
                files.insert(file.path, (bytes, file.executable));
            }
        }
        files.retain(|path, _| !job.removed.contains(path));
        files.extend(job.files.into_iter().map(|file| (file.path, (file.bytes, file.executable))));
        let mut chunks = Chunks::new();
        let names = files.into_iter().map(|(path, (bytes, executable))| {
            let name = sha256(&bytes);
            chunks.insert(name.clone(), bytes);
            Name { path, sha256: name, executable }
        });
        let order = Self {
            id,
            member,
            at,
            task: job.task,
            language: job.language,
            argv: job.argv,
            env: job.env,
            stdin: BASE64.encode(&job.stdin),
            timeout_ms: job.timeout.map(|limit| limit.as_millis() as u64),
            collect: job.collect,
            files: names.collect(),
            left_out: found.left_out,
            cpus: limits.cpus,
            memory_mib: limits.memory_mib,
        };
        (order, chunks)
    }

    /// The job again; `chunks` has the bytes of every file.
    ///
    /// # Errors
    /// When a chunk is missing or is not what its name says.
    pub(super) fn unpack(self, chunks: &Chunks) -> Result<(Job, Vec<String>), String> {
        let file = |name: Name| {
            let bytes = chunks.get(&name.sha256).filter(|bytes| sha256(bytes) == name.sha256);
            let bytes = bytes.ok_or_else(|| format!("the text of {} did not arrive", name.path))?.clone();
            Ok(JobFile { path: name.path, bytes, executable: name.executable })
        };
        let files = self.files.into_iter().map(file).collect::<Result<_, String>>()?;
        let job = Job {
            task: self.task,
            language: self.language,
            files,
            argv: self.argv,
            env: self.env,
            stdin: BASE64.decode(&self.stdin).map_err(|error| error.to_string())?,
            timeout: self.timeout_ms.map(Duration::from_millis),
            collect: self.collect,
            ..Job::default()
        };
        Ok((job, self.left_out))
    }
}

/// What a worker says: an outcome, or why there is none.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    Ran(Box<Ran>),
    Failed(String),
}

/// An [`Outcome`] with all its parts.
#[derive(Serialize, Deserialize)]
pub(super) struct Ran {
    status: Status,
    exit_code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    truncated: bool,
    oom: bool,
    duration_ms: u64,
    cpu_ms: u64,
    peak_memory_bytes: u64,
    language: Option<String>,
    runtime: String,
    image: String,
    left_out: Vec<String>,
    error: Option<String>,
    artifacts: Vec<(String, String)>,
}

impl Answer {
    pub(super) fn new(outcome: Result<Outcome, SandboxError>, left_out: Vec<String>) -> Self {
        match outcome {
            Ok(it) => Self::Ran(Box::new(Ran {
                status: it.status,
                exit_code: it.exit_code,
                signal: it.signal,
                stdout: it.stdout,
                stderr: it.stderr,
                truncated: it.truncated,
                oom: it.oom,
                duration_ms: it.duration_ms,
                cpu_ms: it.cpu_ms,
                peak_memory_bytes: it.peak_memory_bytes,
                language: it.language,
                runtime: it.runtime,
                image: it.image,
                left_out: [it.left_out, left_out].concat(),
                error: it.error,
                artifacts: it
                    .artifacts
                    .into_iter()
                    .map(|(path, bytes)| (path, BASE64.encode(bytes)))
                    .collect(),
            })),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    pub(super) fn outcome(self) -> Result<Outcome, String> {
        let it = match self {
            Self::Ran(ran) => *ran,
            Self::Failed(why) => return Err(why),
        };
        let artifact = |(path, text): (String, String)| Some((path, BASE64.decode(text).ok()?));
        Ok(Outcome {
            status: it.status,
            exit_code: it.exit_code,
            signal: it.signal,
            stdout: it.stdout,
            stderr: it.stderr,
            truncated: it.truncated,
            oom: it.oom,
            duration_ms: it.duration_ms,
            cpu_ms: it.cpu_ms,
            peak_memory_bytes: it.peak_memory_bytes,
            language: it.language,
            runtime: it.runtime,
            image: it.image,
            left_out: it.left_out,
            error: it.error,
            artifacts: it.artifacts.into_iter().filter_map(artifact).collect(),
        })
    }
}
