//! The sandbox on a Docker engine: one container per job, started for it and removed after it.
//!
//! ```text
//! create ─ attach ─ start ─ write job ─ read frames ─ record      (what takes the time is `start`)
//!    └── Container: removed when dropped, whatever happened
//! ```
//!
//! The engine's flags ([`policy`]) are the boundary. The runner inside times the program and caps its output; the
//! server keeps its own deadlines behind that. The archive endpoints, terminals and `exec` are never used.

mod containers;
mod discovery;
mod fault;
mod owner;
mod policy;
mod wire;

use super::{Job, Limits, Outcome, Sandbox, SandboxError, Status};
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, InspectContainerOptions, StartContainerOptions,
};
use containers::{listed, remove, remove_where};
use discovery::Surroundings;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use owner::Owner;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

pub use containers::Listed;
pub use policy::Policy;

const OWNER: &str = "opendevagent.owner";
const TASK: &str = "opendevagent.task";

/// Containers at once; more jobs wait.
const CONTAINERS: usize = 8;
/// For calls that the engine answers from memory.
const CALL: Duration = Duration::from_secs(10);
/// For create, start and remove, on a loaded machine.
const SLOW_CALL: Duration = Duration::from_secs(60);
/// How much later than the runner the server ends a run.
const GRACE: Duration = Duration::from_secs(5);
/// The runner's own stray output (a panic), shown when it is lost.
const STRAY: usize = 512;

/// How to reach the engine and what to run.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The engine's address; none: found as Docker's client finds it.
    pub host: Option<String>,
    pub limits: Limits,
    /// OCI runtime, `runc` or `runsc`.
    pub runtime: String,
    /// Image by language name, instead of the one that holds all.
    pub images: BTreeMap<String, String>,
}

/// The engine, as `doctor` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EngineInfo {
    pub version: String,
    pub api: String,
    pub os: String,
    /// Control group version, `1` or `2`.
    pub cgroup: String,
    pub rootless: bool,
}

/// Runs jobs in containers of a Docker engine, which it calls at the first job and not before.
pub struct Docker {
    options: DockerOptions,
    owner: Owner,
    client: OnceCell<bollard::Docker>,
    free: Arc<Semaphore>,
}

impl Docker {
    /// Fails on an address that no engine could have. Does not wait for anything.
    pub fn connect(options: DockerOptions) -> Result<Docker, SandboxError> {
        if let Some(host) = &options.host {
            scheme(host)?;
        }
        let free = Arc::new(Semaphore::new(CONTAINERS));
        Ok(Docker { options, owner: Owner::this(), client: OnceCell::new(), free })
    }

    /// What every container is held to.
    pub fn policy(&self) -> Policy {
        Policy::new(&self.options.limits, &self.options.runtime)
    }

    /// The image that runs a language.
    pub fn image(&self, language: Option<&str>) -> String {
        let chosen = language.and_then(|language| self.options.images.get(language));
        chosen.cloned().unwrap_or_else(super::image::tag)
    }

    /// Asks the engine who it is.
    pub async fn ping(&self) -> Result<EngineInfo, SandboxError> {
        let client = self.client().await?;
        let version = within(CALL, "asking for its version", client.version()).await?;
        let info = within(CALL, "asking for its state", client.info()).await?;
        let rootless =
            info.security_options.unwrap_or_default().iter().any(|option| option.contains("rootless"));
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            os: info.operating_system.unwrap_or_default(),
            cgroup: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
            rootless,
        })
    }

    /// Whether the engine holds an image.
    pub async fn image_present(&self, image: &str) -> Result<bool, SandboxError> {
        let client = self.client().await?;
        match within(CALL, "looking for the image", client.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(SandboxError::NoImage { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The containers of all servers on this engine.
    pub async fn containers(&self) -> Result<Vec<Listed>, SandboxError> {
        let client = self.client().await?;
        within(CALL, "listing containers", listed(client, OWNER)).await
    }

    /// Removes the containers this process still has. For the end of the program.
    pub async fn shutdown(&self) {
        if let Some(client) = self.client.get() {
            let own = format!("{OWNER}={}", self.owner);
            remove_where(client, &own, |_| true).await;
            // One that was just being created is removed by its own task, which then gives its place back.
            let _ = timeout(CALL, self.free.acquire_many(CONTAINERS as u32)).await;
        }
    }

    /// Removes the containers of servers that are gone, and answers how many. For the start of the program.
    pub async fn sweep(&self) -> usize {
        let Ok(client) = self.client().await else { return 0 };
        remove_where(client, OWNER, |owner| owner.parse().is_ok_and(|owner: Owner| owner.is_dead())).await
    }

    /// The engine, called once to agree on a version. A failure is not kept: the next job tries again.
    pub(super) async fn client(&self) -> Result<&bollard::Docker, SandboxError> {
        self.client
            .get_or_try_init(|| async {
                let host = match &self.options.host {
                    Some(host) => host.clone(),
                    None => discovery::find(&Surroundings::real()).ok_or_else(fault::not_installed)?,
                };
                within(CALL, "agreeing on a version", open(&host)?.negotiate_version()).await
            })
            .await
    }

    async fn run_job(&self, job: Job) -> Result<Outcome, SandboxError> {
        let image = self.image(job.language.as_deref());
        let mut container = self.create(&image, &job.task).await?;
        let wall = job.timeout.unwrap_or(self.options.limits.timeout).min(self.options.limits.timeout);
        let output_cap = self.options.limits.output_kib * 1024;
        let mut reply = wire::Reply::new(job.collect.len(), output_cap);
        let record = match container.converse(&wire::encode(&job, wall, output_cap), &mut reply, wall).await?
        {
            Some(record) => record,
            None => container.post_mortem(&reply).await?,
        };
        let mut outcome = reply.outcome(record, &job.collect);
        outcome.language = job.language;
        outcome.runtime.clone_from(&self.options.runtime);
        outcome.image = image;
        Ok(outcome)
    }

    /// A started container with our streams attached. Runs as a task of its own, so that a dropped future
    /// cannot leave one behind that nobody knows: the task ends, and drops what it made.
    async fn create(&self, image: &str, task: &str) -> Result<Container, SandboxError> {
        let client = self.client().await?.clone();
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("the semaphore is never closed");
        let labels = HashMap::from([(OWNER.into(), self.owner.to_string()), (TASK.into(), task.into())]);
        let body = self.policy().container(image, labels);
        let image = image.to_owned();
        let creating = tokio::spawn(async move {
            let call = client.create_container(None::<CreateContainerOptions>, body);
            let made = within_for(SLOW_CALL, "creating the container", &image, call).await?;
            let removal = Removal { client: client.clone(), id: made.id, permit: Some(permit) };
            let options = AttachContainerOptionsBuilder::default();
            let options = options.stream(true).stdin(true).stdout(true).stderr(true).build();
            let call = client.attach_container(&removal.id, Some(options));
            let streams = within(CALL, "attaching to the container", call).await?;
            let call = client.start_container(&removal.id, None::<StartContainerOptions>);
            within_for(SLOW_CALL, "starting the container", &image, call).await?;
            Ok(Container { streams, removal })
        });
        creating.await.unwrap_or_else(|_| Err(fault::lost("")))
    }
}

impl Sandbox for Docker {
    fn run(&self, job: Job) -> BoxFuture<'_, Result<Outcome, SandboxError>> {
        Box::pin(self.run_job(job))
    }

    fn limits(&self) -> Limits {
        self.options.limits.clone()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, SandboxError>> {
        Box::pin(async {
            let engine = self.ping().await?;
            let image = self.image(None);
            if !self.image_present(&image).await? {
                return Err(SandboxError::NoImage { image });
            }
            Ok(format!("Docker {} on {}, image {image}", engine.version, engine.os))
        })
    }

    fn sweep(&self) -> BoxFuture<'_, usize> {
        Box::pin(Self::sweep(self))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shutdown())
    }
}

/// A running container that waits for its job. Fields drop in order: the streams first, because the engine can
/// hang on a kill while an attached reader does not read.
struct Container {
    streams: AttachContainerResults,
    removal: Removal,
}

impl Container {
    /// Sends the job and reads to the record; none when the stream ends without one. Both at once, because a
    /// runner that refuses the job reports before it has read all of it. The input stays open to the end.
    async fn converse(
        &mut self,
        job: &[u8],
        reply: &mut wire::Reply,
        wall: Duration,
    ) -> Result<Option<wire::Record>, SandboxError> {
        let AttachContainerResults { output, input } = &mut self.streams;
        let sending = async {
            // A runner that is gone shows in what is read.
            if input.write_all(job).await.is_ok() {
                let _ = input.flush().await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            never = sending => match never {},
            record = receive(output, reply, wall) => record,
        }
    }

    /// The stream ended without a record. When the memory was full of files there may have been no program left
    /// to kill but the runner itself; anything else says nothing about the program.
    async fn post_mortem(&mut self, reply: &wire::Reply) -> Result<wire::Record, SandboxError> {
        let call = self.removal.client.inspect_container(&self.removal.id, None::<InspectContainerOptions>);
        let state = within(CALL, "looking at the ended container", call).await?.state.unwrap_or_default();
        if state.oom_killed == Some(true) && reply.started {
            return Ok(wire::Record { signal: Some(9), oom_kills: 1, ..wire::Record::default() });
        }
        Err(fault::lost(""))
    }
}

/// Our own deadline makes a record, too.
async fn receive(
    output: &mut (impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin),
    reply: &mut wire::Reply,
    wall: Duration,
) -> Result<Option<wire::Record>, SandboxError> {
    let mut stray = Vec::new();
    let mut deadline = Instant::now() + SLOW_CALL;
    let mut begin = None;
    while reply.record.is_none() {
        let Ok(item) = timeout_at(deadline, output.next()).await else {
            return begin.map(|begin| Some(overdue(begin))).ok_or(fault::hung("taking the job", SLOW_CALL));
        };
        match item {
            Some(Ok(LogOutput::StdOut { message })) => {
                reply.push(&message).map_err(|_| fault::lost(": the runner's answer is garbled"))?;
            }
            Some(Ok(LogOutput::StdErr { message })) if stray.len() < STRAY => {
                stray.extend_from_slice(&message);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None if stray.is_empty() => return Ok(None),
            Some(Err(_)) | None => {
                return Err(fault::lost(&format!(": {}", String::from_utf8_lossy(&stray).trim())));
            }
        }
        if reply.started && begin.is_none() {
            begin = Some(Instant::now());
            deadline = Instant::now() + wall + GRACE;
        }
    }
    Ok(reply.record.clone())
}

/// The record of a run that the runner should have ended and did not.
fn overdue(begin: Instant) -> wire::Record {
    let wall_ms = begin.elapsed().as_millis() as u64;
    wire::Record { ended: wire::Ended::Timeout, wall_ms, ..wire::Record::default() }
}

/// Removes its container when dropped, in a task of its own, and only then makes room for the next one.
struct Removal {
    client: bollard::Docker,
    id: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        // Without a runtime the program is at its end: the runner sees its input close, the next start sweeps.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, id, permit) = (self.client.clone(), std::mem::take(&mut self.id), self.permit.take());
        runtime.spawn(async move {
            remove(&client, &id).await;
            drop(permit);
        });
    }
}

enum Scheme<'a> {
    #[cfg(unix)]
    Unix(&'a str),
    #[cfg(windows)]
    Pipe(&'a str),
    Tcp(&'a str),
}

fn scheme(host: &str) -> Result<Scheme<'_>, SandboxError> {
    match host.split_once("://") {
        #[cfg(unix)]
        Some(("unix", path)) if path.starts_with('/') => Ok(Scheme::Unix(path)),
        #[cfg(unix)]
        None if host.starts_with('/') => Ok(Scheme::Unix(host)),
        #[cfg(windows)]
        Some(("npipe", _)) => Ok(Scheme::Pipe(host)),
        Some(("tcp" | "http", address)) if !address.is_empty() => Ok(Scheme::Tcp(host)),
        _ => Err(fault::unsupported(host)),
    }
}

fn open(host: &str) -> Result<bollard::Docker, SandboxError> {
    let (seconds, version) = (SLOW_CALL.as_secs(), bollard::API_DEFAULT_VERSION);
    let opened = match scheme(host)? {
        #[cfg(unix)]
        Scheme::Unix(path) => bollard::Docker::connect_with_unix(path, seconds, version),
        #[cfg(windows)]
        Scheme::Pipe(path) => bollard::Docker::connect_with_named_pipe(path, seconds, version),
        Scheme::Tcp(address) => bollard::Docker::connect_with_http(address, seconds, version),
    };
    opened.map_err(|error| fault::explain(&error, "connecting", ""))
}

/// A call to the engine, with a deadline and its errors put in words.
async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, SandboxError> {
    within_for(limit, doing, "", call).await
}

async fn within_for<T>(
    limit: Duration,
    doing: &str,
    image: &str,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, SandboxError> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(|error| fault::explain(&error, doing, image)),
        Err(_) => Err(fault::hung(doing, limit)),
    }
}
