//! One container: made, started, given its job, removed.

use super::containers::remove;
use super::engine::{within, within_for};
use super::overlay::{Scratch, View};
use super::quarantine::Quarantine;
use super::{CALL, SLOW_CALL, SandboxError, fault, wire};
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, InspectContainerOptions, StartContainerOptions,
};
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How much later than the runner the server ends a run.
const GRACE: Duration = Duration::from_secs(5);
/// The runner's own stray output (a panic), shown when it is lost.
const STRAY: usize = 512;

/// What a container is made for: any job with the same spec may get it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spec {
    pub(super) image: String,
    /// The workspace it sees; none: files come with the job.
    pub(super) view: Option<Arc<View>>,
}

/// A container on its way, in a task of its own: a caller that goes away cannot leave one behind that nobody
/// knows, because the task ends and drops what it made.
pub(super) type Starting = JoinHandle<Result<Container, SandboxError>>;

/// The container that was started, or why there is none.
pub(super) async fn started(starting: Starting) -> Result<Container, SandboxError> {
    starting.await.unwrap_or_else(|_| Err(fault::lost("")))
}

/// A running container that waits for its job. Fields drop in order: the streams first, because the engine can
/// hang on a kill while an attached reader does not read.
pub(super) struct Container {
    streams: AttachContainerResults,
    removal: Removal,
}

impl Container {
    /// Creates, attaches and starts. `permit` is its place among the containers there may be at once.
    pub(super) async fn start(
        client: bollard::Docker,
        image: &str,
        body: ContainerCreateBody,
        permit: OwnedSemaphorePermit,
        quarantine: Arc<Quarantine>,
        scratch: Option<Scratch>,
    ) -> Result<Container, SandboxError> {
        let call = client.create_container(None::<CreateContainerOptions>, body);
        let id = within_for(SLOW_CALL, "creating the container", image, call).await?.id;
        let removal = Removal { client: client.clone(), id, permit: Some(permit), quarantine, scratch };
        let options = AttachContainerOptionsBuilder::default();
        let options = options.stream(true).stdin(true).stdout(true).stderr(true).build();
        let call = client.attach_container(&removal.id, Some(options));
        let streams = within(CALL, "attaching to the container", call).await?;
        let call = client.start_container(&removal.id, None::<StartContainerOptions>);
        within_for(SLOW_CALL, "starting the container", image, call).await?;
        Ok(Container { streams, removal })
    }

    pub(super) fn id(&self) -> &str {
        &self.removal.id
    }

    /// Waits until it is gone.
    pub(super) async fn remove(self) {
        let Container { streams, mut removal } = self;
        drop(streams);
        removal.perform().await;
    }

    /// Sends the job and reads to the record; none when the stream ends without one. Both at once, because a
    /// runner that refuses the job reports before it has read all of it. The input stays open to the end.
    pub(super) async fn converse(
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
    pub(super) async fn post_mortem(&mut self) -> Result<wire::Record, SandboxError> {
        let call = self.removal.client.inspect_container(&self.removal.id, None::<InspectContainerOptions>);
        let state = within(CALL, "looking at the ended container", call).await?.state.unwrap_or_default();
        if state.oom_killed == Some(true) {
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
    quarantine: Arc<Quarantine>,
    scratch: Option<Scratch>,
}

impl Removal {
    /// What the engine cannot remove goes into quarantine.
    fn perform(&mut self) -> impl Future<Output = ()> + use<> {
        let (client, quarantine) = (self.client.clone(), self.quarantine.clone());
        let (id, permit) = (std::mem::take(&mut self.id), self.permit.take());
        let scratch = self.scratch.take();
        async move {
            if !remove(&client, &id).await {
                quarantine.add(id);
                // The engine may still use it; the next start sweeps it.
                std::mem::forget(scratch);
            } else if let Some(scratch) = scratch {
                let _ = tokio::task::spawn_blocking(move || drop(scratch)).await;
            }
            drop(permit);
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        // Without a runtime the program is at its end: the runner sees its input close, the next start sweeps.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.id.is_empty()
        {
            runtime.spawn(self.perform());
        }
    }
}
