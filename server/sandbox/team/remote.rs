//! The sandbox of a machine without a Docker engine: orders its jobs from the team's workers.

use super::order::{Answer, Chunks, Order};
use super::{FINISH, GROUP, KEPT, QUEUE, QUOTA, SUBMIT, Team, key, key_of, unreachable};
use crate::sandbox::setup::Setup;
use crate::sandbox::{Job, Limits, Outcome, Progress, Sandbox, SandboxError};
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::task::TaskTracker;

/// How long chunks are kept after they were last named, in seconds.
const CHUNK_SECONDS: u64 = 86_400;
/// Bytes of one command to the Redis.
const BATCH_BYTES: usize = 4 << 20;
const BATCH: usize = 500;
/// A wait is cut into pieces of this length, so that a Redis that is gone is noticed.
const PIECE: Duration = Duration::from_secs(2);
/// Between two tries where there is no room.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the end of the program waits for its orders to be withdrawn.
const FAREWELL: Duration = Duration::from_secs(3);
/// What an order may wait for a worker beyond its own time limit.
const WAIT: Duration = Duration::from_secs(900);

/// Jobs run by the team's workers.
pub struct Remote {
    team: Arc<Team>,
    limits: Limits,
    /// Whose orders are counted together: this server's.
    member: String,
    /// Orders that are being withdrawn.
    withdrawals: TaskTracker,
}

impl Remote {
    pub fn new(team: Team, limits: Limits) -> Self {
        let member = uuid::Uuid::new_v4().to_string();
        Self { team: Arc::new(team), limits, member, withdrawals: TaskTracker::new() }
    }

    async fn order(&self, job: Job) -> Result<Outcome, SandboxError> {
        let patience = job.timeout.unwrap_or(self.limits.timeout) + WAIT;
        let mut link = self.team.link(PIECE).await?;
        self.is_served(&mut link).await?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (limits, member, id) =
            (self.limits.clone(), self.member.clone(), uuid::Uuid::now_v7().to_string());
        let packed = tokio::task::spawn_blocking(move || Order::pack(job, &limits, id, member, at)).await;
        let (order, chunks) =
            packed.map_err(|error| broken(format!("the job could not be packed: {error}")))?;
        send(&mut link, chunks).await.map_err(unreachable)?;
        let text = serde_json::to_string(&order).map_err(|error| broken(error.to_string()))?;
        let mut withdrawal = Withdrawal {
            needed: true,
            team: self.team.clone(),
            id: order.id.clone(),
            member: order.member.clone(),
            tracker: self.withdrawals.clone(),
        };
        let answered = tokio::time::timeout(patience, async {
            self.submit(&mut link, &order, &text, patience).await?;
            self.answer(&mut link, &order.id).await
        });
        let answer = answered
            .await
            .map_err(|_| broken(format!("no worker has answered in {} s", patience.as_secs())))??;
        withdrawal.needed = false;
        answer.outcome().map_err(broken)
    }

    async fn is_served(&self, link: &mut MultiplexedConnection) -> Result<(), SandboxError> {
        if self.team.has_workers(link).await? { Ok(()) } else { Err(no_worker()) }
    }

    /// Waits for room, then leaves the order.
    async fn submit(
        &self,
        link: &mut MultiplexedConnection,
        order: &Order,
        text: &str,
        patience: Duration,
    ) -> Result<(), SandboxError> {
        let mut taken = SUBMIT.key(key("orders"));
        taken.key(key_of("member", &order.member)).arg(&order.id).arg(text);
        taken.arg(self.team.sign("order", text)).arg(patience.as_secs()).arg(QUOTA).arg(QUEUE);
        loop {
            let answer: String = taken.invoke_async(link).await.map_err(unreachable)?;
            if answer == "taken" {
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn answer(&self, link: &mut MultiplexedConnection, id: &str) -> Result<Answer, SandboxError> {
        loop {
            let mut wait = redis::cmd("BLPOP");
            wait.arg(key_of("answer", id)).arg(PIECE.as_secs());
            let found: Option<(String, String)> = wait.query_async(link).await.map_err(unreachable)?;
            let Some((_, signed)) = found else {
                self.is_served(link).await?;
                continue;
            };
            let (signature, text) = signed.split_once(' ').unwrap_or_default();
            let what = format!("answer {id}");
            if !self.team.is_signed(&what, text, signature) {
                return Err(broken("the answer is not signed with the team's key".into()));
            }
            return serde_json::from_str(text)
                .map_err(|error| broken(format!("the answer is garbled: {error}")));
        }
    }
}

impl Sandbox for Remote {
    fn run(&self, job: Job) -> BoxFuture<'_, Result<Outcome, SandboxError>> {
        Box::pin(self.order(job))
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, SandboxError>> {
        Box::pin(async {
            let mut link = self.team.link(PIECE).await?;
            self.is_served(&mut link).await?;
            Ok("the team's workers".into())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.withdrawals.close();
            let _ = tokio::time::timeout(FAREWELL, self.withdrawals.wait()).await;
            self.withdrawals.reopen();
        })
    }

    fn prepared<'a>(&'a self, _setup: &'a Setup) -> BoxFuture<'a, Result<Option<String>, SandboxError>> {
        Box::pin(async { Ok(None) })
    }

    fn prepare<'a>(
        &'a self,
        _task: &'a str,
        _setup: &'a Setup,
        _progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<String, SandboxError>> {
        Box::pin(async {
            Err(SandboxError::Unavailable {
                why: "workers install no packages".into(),
                remedy: "name an image that has them in `sandbox.images` of the workers".into(),
            })
        })
    }
}

/// Withdraws an order that nobody waits for any more: a cancelled task, a lost connection.
struct Withdrawal {
    /// Not once the order is answered.
    needed: bool,
    team: Arc<Team>,
    id: String,
    member: String,
    tracker: TaskTracker,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if !self.needed {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (team, id, member) = (self.team.clone(), self.id.clone(), self.member.clone());
        let withdraw = async move {
            let Ok(mut link) = team.link(Duration::ZERO).await else { return };
            let mut pipe = redis::pipe();
            pipe.cmd("SET").arg(key_of("withdrawn", &id)).arg(1).arg("EX").arg(KEPT).ignore();
            pipe.cmd("ZREM").arg(key_of("member", &member)).arg(&id).ignore();
            // Where the Redis is gone too, the order ends by its time limit.
            let _: Result<(), _> = pipe.query_async(&mut link).await;
        };
        self.tracker.spawn_on(withdraw, &runtime);
    }
}

/// Sends the chunks that the Redis does not have, and renews the others.
async fn send(link: &mut MultiplexedConnection, chunks: Chunks) -> redis::RedisResult<()> {
    let chunks: Vec<_> = chunks.into_iter().collect();
    for some in chunks.chunks(BATCH) {
        let mut renew = redis::pipe();
        for (name, _) in some {
            renew.cmd("EXPIRE").arg(key_of("chunk", name)).arg(CHUNK_SECONDS);
        }
        let known: Vec<bool> = renew.query_async(link).await?;
        let (mut pipe, mut bytes) = (redis::pipe(), 0);
        for ((name, chunk), _) in some.iter().zip(known).filter(|(_, known)| !known) {
            let set = pipe.cmd("SET").arg(key_of("chunk", name)).arg(&chunk[..]);
            set.arg("EX").arg(CHUNK_SECONDS).ignore();
            bytes += chunk.len();
            if bytes > BATCH_BYTES {
                let _: () = pipe.query_async(link).await?;
                (pipe, bytes) = (redis::pipe(), 0);
            }
        }
        if bytes > 0 || !pipe.is_empty() {
            let _: () = pipe.query_async(link).await?;
        }
    }
    Ok(())
}

fn no_worker() -> SandboxError {
    SandboxError::Unavailable {
        why: "no worker of the team is listening".into(),
        remedy: "start one on a machine with Docker: opendevagent worker --store URL".into(),
    }
}

fn broken(why: String) -> SandboxError {
    SandboxError::Broken { why, remedy: "look at the worker's log, then run the task again".into() }
}

impl Team {
    /// Ends an order that was answered here, or (without an answer) is withdrawn. Whether this answer counts.
    pub(super) async fn finish(
        &self,
        link: &mut MultiplexedConnection,
        entry: &str,
        (id, member): (&str, &str),
        answer: Option<&Answer>,
    ) -> redis::RedisResult<bool> {
        let text = answer.and_then(|answer| serde_json::to_string(answer).ok());
        let signed = text
            .map_or_else(String::new, |text| format!("{} {text}", self.sign(&format!("answer {id}"), &text)));
        let mut finish = FINISH.key(key("orders"));
        finish.key(key_of("answer", id)).key(key_of("answered", id)).key(key_of("member", member));
        finish.arg(GROUP).arg(entry).arg(id).arg(signed).arg(KEPT);
        finish.invoke_async(link).await
    }
}
