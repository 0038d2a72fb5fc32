//! The sandbox on a Docker engine: one container per job, started ahead where a job of its kind was before.
//!
//! ```text
//! create ─ attach ─ start ─ wait in the pool ─ write job ─ read frames ─ record    (what takes the time is `start`)
//!    └── Container: removed when dropped, whatever happened
//! ```
//!
//! The engine's flags ([`policy`]) are the boundary. The runner inside times the program and caps its output; the
//! server keeps its own deadlines behind that. The archive endpoints, terminals and `exec` are never used.

mod container;
mod containers;
mod derived;
mod discovery;
mod engine;
mod fault;
mod images;
mod overlay;
mod policy;
mod pool;
mod quarantine;
mod seccomp;
mod sight;
mod wire;

use super::owner::Owner;
use super::setup::Setup;
use super::{Job, Limits, Outcome, Progress, Sandbox, SandboxError, Status, view};
use container::{Container, Spec, Starting, started};
use containers::{listed, remove_volumes, remove_where};
use discovery::Surroundings;
use engine::{open, scheme, within};
use futures_util::future::{BoxFuture, join_all};
use pool::Pool;
use quarantine::Quarantine;
use sight::Sight;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use containers::Listed;
pub use images::Made;
pub use policy::Policy;
pub use seccomp::Seccomp;

const OWNER: &str = "opendevagent.owner";
const TASK: &str = "opendevagent.task";
/// Stands for the task in the label of a container that was started ahead of it.
const AHEAD: &str = "ahead";

/// Containers at once, those that wait for a job included; more jobs wait.
const CONTAINERS: usize = 8;
/// For calls that the engine answers from memory.
const CALL: Duration = Duration::from_secs(10);
/// For create, start and remove, on a loaded machine.
const SLOW_CALL: Duration = Duration::from_secs(30);
/// A short program has the machine to itself; beside a longer one the next container is started.
const HEAD_START: Duration = Duration::from_millis(50);

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
    /// A workspace of at most so many files is sent with each job; a larger one is seen copy-on-write where the
    /// engine can. `usize::MAX`: always sent.
    pub streamed: usize,
    /// Containers kept ready per image in use; 0 keeps none.
    pub warm: usize,
    /// How long they are kept without a job for them.
    pub idle: Duration,
    /// The engine's network that a setup fetches packages over.
    pub setup_network: String,
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
    pool: Arc<Pool>,
    quarantine: Arc<Quarantine>,
    /// One setup at a time.
    preparing: tokio::sync::Mutex<()>,
    sight: Sight,
}

impl Docker {
    /// Fails on an address that no engine could have. Does not wait for anything.
    pub fn connect(options: DockerOptions) -> Result<Docker, SandboxError> {
        if let Some(host) = &options.host {
            scheme(host)?;
        }
        Ok(Docker {
            owner: Owner::this(),
            client: OnceCell::new(),
            free: Arc::new(Semaphore::new(CONTAINERS)),
            pool: Pool::new(options.warm, options.idle),
            quarantine: Arc::default(),
            preparing: tokio::sync::Mutex::default(),
            sight: Sight::default(),
            options,
        })
    }

    /// What every container is held to.
    pub fn policy(&self) -> Policy {
        Policy::new(&self.options.limits, &self.options.runtime)
    }

    /// The label of all its containers, `key=value`.
    pub fn label(&self) -> String {
        format!("{OWNER}={}", self.owner)
    }

    /// The image that runs a language.
    pub fn image(&self, language: Option<&str>) -> String {
        let chosen = language.and_then(|language| self.options.images.get(language));
        chosen.cloned().unwrap_or_else(|| super::image::tag(language))
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
        drop(self.pool.retire());
        self.sight.close();
        if let Some(client) = self.client.get() {
            remove_where(client, &self.label(), |_| true).await;
            // One that was just being created is removed by its own task, which then gives its place back.
            let _ = timeout(CALL, self.free.acquire_many(CONTAINERS as u32)).await;
            self.tidy(true).await;
        }
    }

    /// Removes the containers of servers that are gone, and answers how many. For the start of the program.
    pub async fn sweep(&self) -> usize {
        let Ok(client) = self.client().await else { return 0 };
        let dead = |owner: &str| owner.parse().is_ok_and(|owner: Owner| owner.is_dead());
        let removed = remove_where(client, OWNER, dead).await;
        remove_volumes(client, OWNER, dead).await;
        self.tidy(false).await;
        removed
    }

    /// The engine, called once to agree on a version. A failure is not kept: the next job tries again.
    pub(super) async fn client(&self) -> Result<&bollard::Docker, SandboxError> {
        let connecting = self.client.get_or_try_init(|| async {
            let host = match &self.options.host {
                Some(host) => host.clone(),
                None => discovery::find(&Surroundings::real()).ok_or_else(fault::not_installed)?,
            };
            within(CALL, "agreeing on a version", open(&host)?.negotiate_version()).await
        });
        // Jobs that come at once wait for each other here, but not each for its own deadline.
        timeout(CALL, connecting).await.unwrap_or_else(|_| Err(fault::hung("agreeing on a version", CALL)))
    }

    async fn run_job(&self, job: Job) -> Result<Outcome, SandboxError> {
        let image = job.image.clone().unwrap_or_else(|| self.image(job.language.as_deref()));
        let image = self.runnable(&image).await?;
        let mut refused = None;
        if let Some(view) = self.view(&job).await {
            let spec = Spec { image: image.clone(), view: Some(view) };
            match self.perform(&view::over(job.clone()), &spec).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => refused = Some(error),
            }
        }
        let (job, left_out) = view::spread(job).await;
        let outcome = self.perform(&job, &Spec { image, view: None }).await?;
        // It was the view that the engine could not do.
        if let Some(error) = refused {
            self.sight.refuse(error.to_string());
        }
        Ok(Outcome { left_out, ..outcome })
    }

    async fn perform(&self, job: &Job, spec: &Spec) -> Result<Outcome, SandboxError> {
        while let Some(starting) = self.pool.take(spec) {
            let waiting = starting.is_finished();
            match started(starting).await {
                Ok(container) => {
                    if let Some(outcome) = self.converse(container, spec, job).await? {
                        return Ok(outcome);
                    }
                    // It ended while it waited: killed from outside, or the engine restarted.
                }
                // What went wrong some time ago says nothing about now.
                Err(_) if waiting => {}
                Err(error) => return Err(error),
            }
        }
        let client = self.client().await?;
        let place = self.place().await;
        let container = started(self.start(client, spec, &job.task, place)?).await?;
        self.converse(container, spec, job).await?.ok_or_else(|| fault::lost(""))
    }

    /// Runs the job in a started container; none when the container ended before the program began. Then the next
    /// container is started ahead.
    async fn converse(
        &self,
        mut container: Container,
        spec: &Spec,
        job: &Job,
    ) -> Result<Option<Outcome>, SandboxError> {
        let wall = job.timeout.unwrap_or(self.options.limits.timeout).min(self.options.limits.timeout);
        let output_cap = self.options.limits.output_kib * 1024;
        let mut reply = wire::Reply::new(output_cap);
        let request = wire::encode(job, wall, output_cap);
        let ended = {
            let mut conversation = pin!(container.converse(&request, &mut reply, wall));
            match timeout(HEAD_START, conversation.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.refill(spec);
                    conversation.await
                }
            }
        };
        let record = match ended? {
            Some(record) => record,
            None if !reply.started => return Ok(None),
            None => container.post_mortem().await?,
        };
        drop(container);
        self.refill(spec);
        let mut outcome = reply.outcome(record);
        outcome.language.clone_from(&job.language);
        outcome.runtime.clone_from(&self.options.runtime);
        outcome.image.clone_from(&spec.image);
        Ok(Some(outcome))
    }

    /// Starts what the pool lacks of a kind, where there is a place for it at once.
    fn refill(&self, spec: &Spec) {
        let Some(client) = self.client.get() else { return };
        self.pool.refill(spec, || {
            let place = self.free.clone().try_acquire_owned().ok()?;
            self.start(client, spec, AHEAD, place).ok()
        });
    }

    /// A place among the containers there may be at once. A job goes before what merely waits for one.
    async fn place(&self) -> OwnedSemaphorePermit {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return place;
        }
        self.pool.make_room();
        self.free.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    fn start(
        &self,
        client: &bollard::Docker,
        spec: &Spec,
        task: &str,
        place: OwnedSemaphorePermit,
    ) -> Result<Starting, SandboxError> {
        self.start_under(&self.policy(), client, spec, task, place)
    }

    fn start_under(
        &self,
        policy: &Policy,
        client: &bollard::Docker,
        spec: &Spec,
        task: &str,
        place: OwnedSemaphorePermit,
    ) -> Result<Starting, SandboxError> {
        self.quarantine.admit(client)?;
        let labels = HashMap::from([(OWNER.into(), self.owner.to_string()), (TASK.into(), task.into())]);
        let mut body = policy.container(&spec.image, labels);
        let mut scratch = None;
        if let Some(view) = &spec.view {
            let (place, options) = view.scratch().map_err(|error| fault::lost(&format!(": {error}")))?;
            body = Policy::with_view(body, view.user, options);
            scratch = Some(place);
        }
        let (client, quarantine) = (client.clone(), self.quarantine.clone());
        let image = spec.image.clone();
        Ok(tokio::spawn(
            async move { Container::start(client, &image, body, place, quarantine, scratch).await },
        ))
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
            let sees = match self.sees().await {
                Ok(()) => "seen copy-on-write".to_owned(),
                Err(why) => format!("sent ({why})"),
            };
            Ok(format!(
                "Docker {} on {}, image {image}, large workspaces are {sees}",
                engine.version, engine.os
            ))
        })
    }

    fn prepared<'a>(&'a self, setup: &'a Setup) -> BoxFuture<'a, Result<Option<String>, SandboxError>> {
        Box::pin(self.find_prepared(setup))
    }

    fn prepare<'a>(
        &'a self,
        task: &'a str,
        setup: &'a Setup,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<String, SandboxError>> {
        Box::pin(self.make_prepared(task, setup, progress))
    }

    fn sweep(&self) -> BoxFuture<'_, usize> {
        Box::pin(Self::sweep(self))
    }

    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let going = self.pool.retire().into_iter().map(|starting| async {
                if let Ok(container) = started(starting).await {
                    container.remove().await;
                }
            });
            join_all(going).await;
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shutdown())
    }
}
