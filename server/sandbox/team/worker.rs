//! The other side: takes the team's orders, runs them in its own sandbox, answers.

use super::order::{Answer, Chunks, Order};
use super::{GROUP, Team, key, key_of, unreachable};
use crate::sandbox::{Progress, Sandbox, SandboxError};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{RedisResult, Value};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often a worker says that it lives, and that it still has its orders.
const PULSE: Duration = Duration::from_secs(2);
/// Silent for so long, a worker counts as dead, and its orders go to others.
const DEAD: Duration = Duration::from_secs(8);
/// An order that so many workers began and none ended kills workers.
const TRIES: usize = 3;
/// Older orders are no longer waited for, or were sent again by somebody who listened.
const OLD: Duration = Duration::from_secs(3600);
const PIECE: Duration = Duration::from_secs(1);

/// Works until `stop`, on so many orders at once; what it has begun it ends.
///
/// # Errors
/// When the Redis cannot be reached at the start; later it is waited for.
pub async fn serve(
    team: Arc<Team>,
    sandbox: Arc<dyn Sandbox>,
    places: usize,
    stop: CancellationToken,
    tell: Progress<'_>,
) -> Result<(), SandboxError> {
    let name = uuid::Uuid::new_v4().to_string();
    let mut link = team.link(PIECE).await?;
    team.has_workers(&mut link).await?;
    join(&mut link, &name).await.map_err(unreachable)?;
    let pulse = tokio::spawn(live(team.clone()));
    tell(&format!("worker {name} is listening"));
    let mut running = JoinSet::new();
    let mut away = false;
    while !stop.is_cancelled() {
        while let Some(ended) = running.try_join_next() {
            report(ended, tell);
        }
        if running.len() >= places {
            tokio::select! {
                Some(ended) = running.join_next() => report(ended, tell),
                () = stop.cancelled() => {}
            }
            continue;
        }
        let taken = tokio::select! {
            taken = take(&mut link, &name) => taken,
            () = stop.cancelled() => break,
        };
        match taken {
            Ok(Some(entry)) => {
                let hand = Hand { team: team.clone(), sandbox: sandbox.clone(), name: name.clone() };
                running.spawn(hand.work(entry));
            }
            Ok(None) => {}
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tell(&format!("Warning: {}; waiting for it", unreachable(error)));
                }
                tokio::time::sleep(PIECE).await;
                if let Ok(mut again) = team.link(PIECE).await
                    && join(&mut again, &name).await.is_ok()
                {
                    tell("the team's Redis is back");
                    (link, away) = (again, false);
                }
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        report(ended, tell);
    }
    pulse.abort();
    let mut leave = redis::cmd("XGROUP");
    leave.arg("DELCONSUMER").arg(key("orders")).arg(GROUP).arg(&name);
    // A name that stays in the group's list does no harm.
    let _: RedisResult<()> = leave.query_async(&mut link).await;
    Ok(())
}

fn report(ended: Result<String, tokio::task::JoinError>, tell: Progress<'_>) {
    match ended {
        Ok(line) => tell(&line),
        Err(error) => tell(&format!("Error: an order broke off, a bug: {error}")),
    }
}

/// Makes the group, once for all workers, and is one of it.
async fn join(link: &mut MultiplexedConnection, name: &str) -> RedisResult<()> {
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(key("orders")).arg(GROUP).arg("0").arg("MKSTREAM");
    match create.query_async::<()>(link).await {
        Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
        _ => {}
    }
    let mut enter = redis::cmd("XGROUP");
    enter.arg("CREATECONSUMER").arg(key("orders")).arg(GROUP).arg(name);
    enter.query_async(link).await
}

/// Says for ever that somebody works here.
async fn live(team: Arc<Team>) {
    loop {
        if let Ok(mut link) = team.link(Duration::ZERO).await {
            loop {
                let mut alive = redis::cmd("SET");
                alive.arg(key("alive")).arg(team.sign("alive", "")).arg("EX").arg(DEAD.as_secs());
                if alive.query_async::<()>(&mut link).await.is_err() {
                    break;
                }
                tokio::time::sleep(PULSE).await;
            }
        }
        tokio::time::sleep(PULSE).await;
    }
}

/// An order that a dead worker has left, else the next; waits a little.
async fn take(link: &mut MultiplexedConnection, name: &str) -> RedisResult<Option<StreamId>> {
    let mut claim = redis::cmd("XAUTOCLAIM");
    claim.arg(key("orders")).arg(GROUP).arg(name).arg(DEAD.as_millis() as u64).arg("0").arg("COUNT").arg(1);
    let claimed: StreamAutoClaimReply = claim.query_async(link).await?;
    if let Some(entry) = claimed.claimed.into_iter().next() {
        return Ok(Some(entry));
    }
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(name).arg("COUNT").arg(1).arg("BLOCK").arg(PIECE.as_millis() as u64);
    read.arg("STREAMS").arg(key("orders")).arg(">");
    let read: Option<StreamReadReply> = read.query_async(link).await?;
    Ok(read.and_then(|read| read.keys.into_iter().next()?.ids.into_iter().next()))
}

/// Works on one order.
struct Hand {
    team: Arc<Team>,
    sandbox: Arc<dyn Sandbox>,
    name: String,
}

impl Hand {
    /// A line for the log.
    async fn work(self, entry: StreamId) -> String {
        let mut link = match self.team.link(PIECE).await {
            Ok(link) => link,
            Err(error) => return format!("Warning: {error}"),
        };
        let text = field(&entry, "order");
        let order = match self.read(&entry, &text) {
            Ok(order) => order,
            Err(why) => {
                let id = field(&entry, "id");
                return match self.team.finish(&mut link, &entry.id, (&id, ""), None).await {
                    Ok(_) => format!("Warning: refused an order: {why}"),
                    Err(error) => format!("Warning: {}", unreachable(error)),
                };
            }
        };
        let (id, member) = (order.id.clone(), order.member.clone());
        // One connection for both: commands on it do not wait for each other.
        let (mut work, mut watch) = (link.clone(), link.clone());
        let answer = tokio::select! {
            answer = self.answer(&mut work, &entry.id, order) => Some(answer),
            () = self.withdrawn(&mut watch, &entry.id, &id) => None,
        };
        let said = match &answer {
            None => "withdrawn",
            Some(Answer::Failed(_)) => "could not be run",
            Some(Answer::Ran(_)) => "done",
        };
        match self.team.finish(&mut link, &entry.id, (&id, &member), answer.as_ref()).await {
            Ok(true) => format!("order {id}: {said}"),
            Ok(false) => format!("order {id}: {said}, not counted"),
            // It stays in the group, for this worker or another to run again.
            Err(error) => format!("Warning: order {id} was not answered: {}", unreachable(error)),
        }
    }

    /// The order, if it is the team's own and still waited for.
    fn read(&self, entry: &StreamId, text: &str) -> Result<Order, String> {
        if !self.team.is_signed("order", text, &field(entry, "signature")) {
            return Err("it is not signed with the team's key".into());
        }
        let order: Order = serde_json::from_str(text).map_err(|error| format!("it is garbled: {error}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if now.abs_diff(order.at) > OLD.as_secs() {
            return Err("it is too old, or the clocks differ by an hour".into());
        }
        Ok(order)
    }

    async fn answer(&self, link: &mut MultiplexedConnection, entry: &str, order: Order) -> Answer {
        match self.tries(link, entry).await {
            Ok(tries) if tries > TRIES => {
                return Answer::Failed(format!("{TRIES} workers began it and none ended it"));
            }
            _ => {}
        }
        let limits = self.sandbox.limits();
        let differs =
            (limits.cpus - order.cpus).abs() > f64::EPSILON || limits.memory_mib != order.memory_mib;
        if differs {
            return Answer::Failed(format!(
                "the worker gives {} CPUs and {} MiB, the order says {} and {}: set `sandbox.cpus` and `sandbox.memoryMiB` alike",
                limits.cpus, limits.memory_mib, order.cpus, order.memory_mib
            ));
        }
        let chunks = match fetch(link, &order).await {
            Ok(chunks) => chunks,
            Err(error) => return Answer::Failed(unreachable(error).to_string()),
        };
        match order.unpack(&chunks) {
            Ok((job, left_out)) => Answer::new(self.sandbox.run(job).await, left_out),
            Err(why) => Answer::Failed(why),
        }
    }

    /// How many workers have had it, this one counted.
    async fn tries(&self, link: &mut MultiplexedConnection, entry: &str) -> RedisResult<usize> {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(key("orders")).arg(GROUP).arg(entry).arg(entry).arg(1);
        let pending: StreamPendingCountReply = pending.query_async(link).await?;
        Ok(pending.ids.first().map_or(0, |id| id.times_delivered))
    }

    /// Keeps the order ours, until nobody waits for it any more.
    async fn withdrawn(&self, link: &mut MultiplexedConnection, entry: &str, id: &str) {
        loop {
            let mut pipe = redis::pipe();
            pipe.cmd("EXISTS").arg(key_of("withdrawn", id));
            let ours = pipe.cmd("XCLAIM").arg(key("orders")).arg(GROUP).arg(&self.name).arg(0).arg(entry);
            ours.arg("JUSTID").ignore();
            if let Ok((true,)) = pipe.query_async::<(bool,)>(link).await {
                return;
            }
            tokio::time::sleep(PULSE).await;
        }
    }
}

fn field(entry: &StreamId, name: &str) -> String {
    match entry.map.get(name) {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The chunks of an order; what is missing is missed when the order is unpacked.
async fn fetch(link: &mut MultiplexedConnection, order: &Order) -> RedisResult<Chunks> {
    let mut chunks = Chunks::new();
    for some in order.files.chunks(100) {
        let mut pipe = redis::pipe();
        for name in some {
            pipe.cmd("GET").arg(key_of("chunk", &name.sha256));
        }
        let found: Vec<Option<Vec<u8>>> = pipe.query_async(link).await?;
        for (name, bytes) in some.iter().zip(found) {
            if let Some(bytes) = bytes {
                chunks.insert(name.sha256.clone(), bytes.into());
            }
        }
    }
    Ok(chunks)
}
