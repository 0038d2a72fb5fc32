//! Checks on the machines of a team: orders and answers through a Redis that all of them reach.
//!
//! An order waits in a stream until a worker of the group takes it. It is delivered at least once: a worker that dies
//! leaves it to the next, and only the first answer counts. Orders and answers are signed with the team's key, so a
//! worker runs nothing from strangers, and nobody but a worker can say that a check has passed. Files travel as chunks
//! named by their sha256, each once a day.

mod order;
mod remote;
mod worker;

pub use remote::Remote;
pub use worker::serve;

use super::SandboxError;
use crate::link::{self, Link, LinkError, key, key_of};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const GROUP: &str = "workers";
/// How long an answer waits for whoever ordered it, in seconds.
const KEPT: u64 = 3600;

/// Orders and answers of all of a member's servers that may be under way at once.
const QUOTA: usize = 8;
/// Orders that may wait and run in all.
const QUEUE: usize = 256;

/// Takes an order if there is room: the stream, the member's orders; its id, text and signature, the seconds after
/// which it counts as lost, quota and queue. Time is the server's own: clocks of a team differ.
static SUBMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then return 'quota' end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[6]) then return 'queue' end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
redis.call('EXPIRE', KEYS[2], 86400)
redis.call('XADD', KEYS[1], '*', 'id', ARGV[1], 'order', ARGV[2], 'signature', ARGV[3])
return 'taken'",
    )
});

/// Ends an order: the stream, the answers, whether it was answered, the member's orders; the group, the stream's id,
/// the order's id, the answer (empty: there is none), the seconds it is kept. Only the first answer is kept.
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local first = 0
if ARGV[4] ~= '' and redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[5]) then
  first = 1
  redis.call('RPUSH', KEYS[2], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[3])
return first",
    )
});

/// A Redis of which the key is known that tells a team from strangers.
pub struct Team {
    link: Arc<Link>,
}

impl Team {
    /// # Errors
    /// When the address cannot be used, or there is no key.
    pub fn new(link: Arc<Link>) -> Result<Self, SandboxError> {
        link.check()?;
        link.seal().ok_or_else(link::no_key)?;
        Ok(Self { link })
    }

    /// A connection of one's own. Commands on one that blocks wait for `patience`.
    async fn link(&self, patience: Duration) -> Result<MultiplexedConnection, SandboxError> {
        Ok(self.link.open(patience).await?)
    }

    /// Whether workers are there, all with our key: one with another would take our orders and refuse them.
    async fn has_workers(&self, link: &mut MultiplexedConnection) -> Result<bool, SandboxError> {
        let alive = redis::cmd("GET").arg(key("alive")).query_async(link).await;
        let alive: Option<String> = alive.map_err(unreachable)?;
        match alive {
            Some(stamp) if !self.is_signed("alive", "", &stamp) => Err(SandboxError::Unavailable {
                why: "the workers of this Redis have another key than this machine".into(),
                remedy: format!("give all of the team the same {}", link::KEY_ENV),
            }),
            alive => Ok(alive.is_some()),
        }
    }

    fn sign(&self, what: &str, text: &str) -> String {
        self.link.seal().map(|seal| seal.sign(what, text)).unwrap_or_default()
    }

    fn is_signed(&self, what: &str, text: &str, signature: &str) -> bool {
        self.link.seal().is_some_and(|seal| seal.is_signed(what, text, signature))
    }
}

impl From<LinkError> for SandboxError {
    fn from(LinkError { why, remedy }: LinkError) -> Self {
        Self::Unavailable { why, remedy }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn unreachable(error: RedisError) -> SandboxError {
    link::unreachable(&error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(key: &str) -> Team {
        let link = Link::new("redis://127.0.0.1:1", None, false).sealed(Some(&key.into()));
        Team::new(Arc::new(link)).expect("a team")
    }

    #[test]
    fn a_signature_is_for_one_text_of_one_kind_by_one_team() {
        let (ours, theirs) = (team("0123456789abcdef"), team("0123456789abcdeg"));
        let signature = ours.sign("order", "text");
        assert!(ours.is_signed("order", "text", &signature));
        for (what, text, signature) in [
            ("answer", "text", signature.as_str()),
            ("order", "other", &signature),
            ("order", "text", &signature[2..]),
            ("order", "text", ""),
            ("order", "text", "zz"),
            ("order", "text", "é"),
        ] {
            assert!(!ours.is_signed(what, text, signature), "{what} {text} {signature}");
        }
        assert!(!theirs.is_signed("order", "text", &signature));
    }

    #[test]
    fn a_team_needs_an_address_and_a_key() {
        for (url, key) in
            [("http://x", Some("0123456789abcdef")), ("rediss://x", Some("short")), ("rediss://x", None)]
        {
            let link = Link::new(url, None, false).sealed(key.map(Into::into).as_ref());
            assert!(Team::new(Arc::new(link)).is_err(), "{url} {key:?}");
        }
    }
}
