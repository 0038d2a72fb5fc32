//! The way to the Redis of a team: the one place that opens connections. Addresses, password, TLS, a Cluster's
//! redirections, how long one that is gone is left alone, and the key that tells the team's words from a stranger's.
//!
//! All our keys carry one hash tag, because scripts touch several at once: in a Cluster they stand in one slot, so
//! following the node that holds it is all that a Cluster asks of us.

mod limit;
mod seal;

pub use limit::{Limit, fingerprint};
pub use seal::{KEY_ENV, Seal, no_key};

use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, Script, ServerErrorKind,
};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The environment variable that holds the password of the Redis, where it has one.
pub const PASSWORD_ENV: &str = "OPENDEVAGENT_REDIS_PASSWORD";
/// A connection that is not there by then will not come.
const CONNECT: Duration = Duration::from_secs(5);
const RESPONSE: Duration = Duration::from_secs(20);
/// Whoever shares a connection is not kept waiting for longer: there is work to go on with.
const SHORT: Duration = Duration::from_secs(2);
/// Whoever wants much at once waits for it: the network may be slow.
const LONG: Duration = Duration::from_secs(15);
/// How long a Redis that did not answer is left alone, unless somebody knocks: nobody's work waits for it twice.
const ALONE: Duration = Duration::from_secs(10);
/// Nodes that are asked for the one that holds our keys.
const HOPS: usize = 4;
/// A node that is gone without a word does not keep us from the next for longer.
const STAGGER: Duration = Duration::from_millis(200);
/// Between two tries while our keys move from one node to another.
const MOVING: Duration = Duration::from_millis(100);
const PORT: u16 = 6379;

/// Why the Redis could not be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; {remedy}")]
pub struct LinkError {
    pub why: String,
    pub remedy: String,
}

/// A Redis. Opens nothing before it is used; what is wrong with the address is said then, too.
pub struct Link {
    /// Of one Redis, or of several nodes of a Cluster; none is empty.
    addresses: Result<Vec<ConnectionInfo>, LinkError>,
    plaintext: bool,
    seal: Option<Seal>,
    shown: String,
    /// The connection that [`Self::run`] uses.
    shared: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    /// The node that held our keys last, where another than the address says.
    holder: Mutex<Option<ConnectionAddr>>,
    away: Mutex<Option<(Instant, LinkError)>>,
    opened: AtomicUsize,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("to", &self.shown).finish_non_exhaustive()
    }
}

/// Our keys are in one slot of a Cluster.
pub fn key(kind: &str) -> String {
    format!("{{opendevagent}}:{kind}")
}

pub fn key_of(kind: &str, id: &str) -> String {
    format!("{{opendevagent}}:{kind}:{id}")
}

pub fn unreachable(error: &RedisError) -> LinkError {
    if is_moving(error) {
        return LinkError {
            why: "what the team keeps in its Redis Cluster is moving from one node to another".into(),
            remedy: "wait until it is there".into(),
        };
    }
    LinkError {
        why: format!("the team's Redis does not answer: {error}"),
        remedy: "look whether `store.url` is right and the server runs".into(),
    }
}

impl Link {
    /// `plaintext`: a Redis beyond this machine may be spoken to without TLS.
    pub fn new(url: &str, password: Option<&SecretString>, plaintext: bool) -> Self {
        let read = |url: String| read(&url, password).and_then(|info| allowed(info, plaintext));
        let addresses: Result<Vec<_>, _> = each_node(url).into_iter().map(read).collect();
        let shown = match &addresses {
            Ok(infos) => infos.iter().map(shown).collect::<Vec<_>>().join(", "),
            Err(_) => "the Redis of `store.url`".into(),
        };
        Self {
            addresses,
            plaintext,
            seal: None,
            shown,
            shared: tokio::sync::Mutex::default(),
            holder: Mutex::default(),
            away: Mutex::default(),
            opened: AtomicUsize::new(0),
        }
    }

    /// With the key of the team, where there is one: its words can be told from a stranger's then.
    #[must_use]
    pub fn sealed(mut self, key: Option<&SecretString>) -> Self {
        match key.map(Seal::new).transpose() {
            Ok(seal) => self.seal = seal,
            Err(error) => self.addresses = Err(error),
        }
        self
    }

    pub fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// Whether the address can be used at all.
    ///
    /// # Errors
    /// When it is none of a Redis, or would send everything in clear over a network.
    pub fn check(&self) -> Result<(), LinkError> {
        self.addresses.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// For people, without user and password.
    pub fn describe(&self) -> &str {
        &self.shown
    }

    /// Why [`Self::run`] failed last; `None` while it works.
    pub fn problem(&self) -> Option<LinkError> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        self.check().err().or_else(|| away.as_ref().map(|(_, error)| error.clone()))
    }

    /// How often the connection of [`Self::run`] was opened: behind a new one there may be a Redis that has forgotten.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// A connection of one's own. Commands on one that blocks wait for `patience`.
    pub async fn open(&self, patience: Duration) -> Result<MultiplexedConnection, LinkError> {
        let named = self.addresses.as_ref().map_err(Clone::clone)?;
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Nodes that are named may be gone; the one that held our keys last may not be.
        let known = named.first().into_iter().zip(holder).map(|(one, holder)| one.clone().set_addr(holder));
        let nodes = named.iter().cloned().chain(known).zip(0_u32..);
        let tries = nodes.map(|(node, before)| {
            Box::pin(async move {
                tokio::time::sleep(STAGGER * before).await;
                self.reach(node, patience).await
            })
        });
        select_ok(tries).await.map(|(connection, _)| connection)
    }

    /// A connection to the node that holds our keys, beginning with one that may not.
    async fn reach(
        &self,
        mut info: ConnectionInfo,
        patience: Duration,
    ) -> Result<MultiplexedConnection, LinkError> {
        for _ in 0..HOPS {
            let mut connection = dial(&info, patience).await?;
            let mut ask = redis::cmd("EXISTS");
            match ask.arg(key("rows")).query_async::<i64>(&mut connection).await {
                Ok(_) => return Ok(connection),
                // It holds our keys while they move away.
                Err(error) if is_moving(&error) => return Ok(connection),
                Err(error) => {
                    let Some((node, _)) = error.redirect_node() else { return Err(unreachable(&error)) };
                    let moved = moved(info.addr(), node).ok_or_else(|| unreachable(&error))?;
                    // Whoever answers could send us anywhere.
                    info = allowed(info.set_addr(moved), self.plaintext)?;
                    let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
                    *holder = Some(info.addr().clone());
                }
            }
        }
        Err(LinkError {
            why: "the nodes of the team's Redis Cluster name each other in a circle".into(),
            remedy: "wait until it is whole again: redis-cli --cluster check".into(),
        })
    }

    /// Runs a script on the connection that all in this process share. Where the Redis has just not answered, this
    /// fails at once. A script may be run twice when a connection breaks, so it must bear that.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, LinkError> {
        self.run_within(SHORT, script, keys, args).await
    }

    /// The same for a script whose answer may be long.
    pub async fn fetch<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, LinkError> {
        self.run_within(LONG, script, keys, args).await
    }

    async fn run_within<T: FromRedisValue>(
        &self,
        limit: Duration,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, LinkError> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        for arg in args {
            invocation.arg(&arg[..]);
        }
        let (mut tries, began) = (0, Instant::now());
        loop {
            tries += 1;
            let mut connection = self.connect(ALONE).await?;
            let said = match timeout(limit, invocation.invoke_async(&mut connection)).await {
                Ok(Ok(value)) => {
                    self.note(None);
                    return Ok(value);
                }
                Ok(Err(error)) if is_moving(&error) && began.elapsed() < limit => {
                    tokio::time::sleep(MOVING).await;
                    tries -= 1;
                    continue;
                }
                Ok(Err(error)) => {
                    let again = error.redirect_node().is_some() || error.is_unrecoverable_error();
                    (unreachable(&error), again)
                }
                Err(_) => (silent(limit), false),
            };
            *self.shared.lock().await = None;
            if !said.1 || tries > 1 {
                return Err(self.note(Some(said.0)));
            }
        }
    }

    /// Looks whether a Redis that did not answer is back, without waiting for the time that it is left alone.
    pub async fn knock(&self) -> Result<(), LinkError> {
        if self.problem().is_some() {
            self.connect(Duration::ZERO).await?;
            self.note(None);
        }
        Ok(())
    }

    /// The shared connection. One that did not answer within `alone` is not tried.
    async fn connect(&self, alone: Duration) -> Result<MultiplexedConnection, LinkError> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = shared.as_ref() {
            return Ok(connection.clone());
        }
        {
            let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, error)) = away.as_ref().filter(|(since, _)| since.elapsed() < alone) {
                return Err(error.clone());
            }
        }
        let opened = timeout(SHORT, self.open(Duration::ZERO)).await.unwrap_or_else(|_| Err(silent(SHORT)));
        match opened {
            Ok(connection) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(shared.insert(connection).clone())
            }
            Err(error) => Err(self.note(Some(error))),
        }
    }

    /// Remembers how it went.
    fn note(&self, error: Option<LinkError>) -> LinkError {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *away = error.map(|error| (Instant::now(), error));
        away.as_ref().map_or_else(|| silent(SHORT), |(_, error)| error.clone())
    }

    /// The server's version, for people.
    pub async fn version(&self) -> Result<String, LinkError> {
        let mut connection = self.open(Duration::ZERO).await?;
        let told = redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await;
        // A user of an ACL may not be allowed to ask.
        let told = told.unwrap_or_default();
        let version = told.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or_default();
        Ok(version.chars().filter(char::is_ascii_graphic).take(20).collect())
    }
}

fn silent(limit: Duration) -> LinkError {
    LinkError {
        why: format!("the team's Redis does not answer within {} s", limit.as_secs()),
        remedy: "look whether `store.url` is right and the server runs".into(),
    }
}

/// Our keys are on their way from one node to another. They go one by one, and a script touches several, so there is
/// nowhere to run it until all are there.
fn is_moving(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain))
}

/// The addresses of an address that names several nodes: `redis://ada@a:7000,b:7001`.
fn each_node(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{tail}")).collect()
}

async fn dial(info: &ConnectionInfo, patience: Duration) -> Result<MultiplexedConnection, LinkError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(RESPONSE + patience));
    let client = Client::open(info.clone()).map_err(|error| unreachable(&error))?;
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| unreachable(&error))
}

fn read(url: &str, password: Option<&SecretString>) -> Result<ConnectionInfo, LinkError> {
    let wrong = |why: String, remedy: &str| LinkError { why, remedy: remedy.into() };
    let info = url.into_connection_info().map_err(|error| {
        wrong(format!("`store.url` is no address of a Redis: {error}"), "set it to rediss://HOST:PORT")
    })?;
    let settings = info.redis_settings();
    if settings.password().is_some() {
        let remedy = format!("take it out and set {PASSWORD_ENV}");
        return Err(wrong("`store.url` holds a password".into(), &remedy));
    }
    let settings = match password {
        Some(password) => settings.clone().set_password(password.expose_secret()),
        None => settings.clone(),
    };
    Ok(info.set_redis_settings(settings))
}

/// The address, unless it would send everything in clear over a network.
fn allowed(info: ConnectionInfo, plaintext: bool) -> Result<ConnectionInfo, LinkError> {
    let refused = match info.addr() {
        ConnectionAddr::Tcp(host, _) => !plaintext && !is_loopback(host),
        ConnectionAddr::TcpTls { insecure, .. } => *insecure,
        _ => false,
    };
    if !refused {
        return Ok(info);
    }
    Err(LinkError {
        why: format!("{} would get tasks and files in clear, or from nobody knows whom", shown(&info)),
        remedy: "use rediss://; on a network of your own set `store.plaintext`".into(),
    })
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shown(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("redis://{host}:{port}"),
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}"),
        other => other.to_string(),
    }
}

/// The node that another one names, spoken to in the same way. A name without a host is on the same one.
fn moved(from: &ConnectionAddr, node: &str) -> Option<ConnectionAddr> {
    let (named, port) = node.rsplit_once(':')?;
    let port = port.parse().unwrap_or(PORT);
    let host = |own: &str| if named.is_empty() { own.to_owned() } else { named.to_owned() };
    Some(match from {
        ConnectionAddr::Tcp(own, _) => ConnectionAddr::Tcp(host(own), port),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host(own),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_over_a_network_in_clear() {
        for (url, plaintext, fine) in [
            ("redis://127.0.0.1", false, true),
            ("redis://localhost:7000/2", false, true),
            ("redis://[::1]:7000", false, true),
            ("redis://ada@127.0.0.1", false, true),
            ("rediss://redis.example:6380", false, true),
            ("redis://redis.example", false, false),
            ("redis://127.0.0.1.example", false, false),
            ("redis://10.0.0.1", false, false),
            ("redis://10.0.0.1", true, true),
            ("rediss://redis.example/#insecure", true, false),
            ("redis://:sesame@127.0.0.1", false, false),
            ("http://127.0.0.1", false, false),
            ("redis://127.0.0.1:1,localhost:2", false, true),
            ("redis://127.0.0.1:1,10.0.0.1:2", false, false),
            ("redis://127.0.0.1:1,", false, false),
            ("redis://ada:sesame@127.0.0.1:1,127.0.0.1:2", false, false),
        ] {
            let link = Link::new(url, None, plaintext);
            assert_eq!(link.check().is_ok(), fine, "{url} {plaintext}");
            assert!(!format!("{link:?} {:?}", link.check()).contains("sesame"));
        }
    }

    #[test]
    fn an_address_may_name_several_nodes() {
        assert_eq!(
            each_node("rediss://a,d@h:1,[::1]:2,c/0#x"),
            ["rediss://a,d@h:1/0#x", "rediss://a,d@[::1]:2/0#x", "rediss://a,d@c/0#x"]
        );
        assert_eq!(each_node("redis://h"), ["redis://h"]);
        assert_eq!(each_node("nonsense,"), ["nonsense,"]);
        let link = Link::new("redis://127.0.0.1:1,127.0.0.1:2", None, false);
        assert_eq!(link.describe(), "redis://127.0.0.1:1, redis://127.0.0.1:2");
    }

    #[test]
    fn a_key_that_could_be_guessed_is_none() {
        let link = |key: &str| Link::new("redis://127.0.0.1", None, false).sealed(Some(&key.into()));
        assert!(link("0123456789abcdef").check().is_ok() && link("0123456789abcdef").seal().is_some());
        let short = link("sesame").check().unwrap_err().to_string();
        assert!(short.contains("16 bytes") && !short.contains("sesame"), "{short}");
    }

    #[test]
    fn a_node_of_a_cluster_is_spoken_to_as_the_first() {
        let at = |url: &str| url.into_connection_info().unwrap().addr().clone();
        let from = at("rediss://a.example:7000");
        assert_eq!(moved(&from, "b.example:7001"), Some(at("rediss://b.example:7001")));
        assert_eq!(moved(&from, ":7001"), Some(at("rediss://a.example:7001")));
        assert_eq!(moved(&at("redis://127.0.0.1"), "127.0.0.1:7001"), Some(at("redis://127.0.0.1:7001")));
        assert_eq!(moved(&from, "nonsense"), None);
    }
}
