//! The way to the Redis of a team: the one place that opens connections. Address, password, TLS, a Cluster's
//! redirections, and how long one that is gone is left alone.
//!
//! All our keys carry one hash tag, because scripts touch several at once: in a Cluster they stand in one slot, so
//! following the node that holds it is all that a Cluster asks of us.

mod limit;

pub use limit::{Limit, fingerprint};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisError, Script,
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
    address: Result<ConnectionInfo, LinkError>,
    plaintext: bool,
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
    LinkError {
        why: format!("the team's Redis does not answer: {error}"),
        remedy: "look whether `store.url` is right and the server runs".into(),
    }
}

impl Link {
    /// `plaintext`: a Redis beyond this machine may be spoken to without TLS.
    pub fn new(url: &str, password: Option<&SecretString>, plaintext: bool) -> Self {
        let address = read(url, password).and_then(|info| allowed(info, plaintext));
        let shown = match &address {
            Ok(info) => shown(info),
            Err(_) => "the Redis of `store.url`".into(),
        };
        Self {
            address,
            plaintext,
            shown,
            shared: tokio::sync::Mutex::default(),
            holder: Mutex::default(),
            away: Mutex::default(),
            opened: AtomicUsize::new(0),
        }
    }

    /// Whether the address can be used at all.
    ///
    /// # Errors
    /// When it is none of a Redis, or would send everything in clear over a network.
    pub fn check(&self) -> Result<(), LinkError> {
        self.address.as_ref().map(|_| ()).map_err(Clone::clone)
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
        let info = self.address.as_ref().map_err(Clone::clone)?;
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (self.reach(info.clone(), patience).await, holder) {
            // The node that the address names is gone; the one that holds our keys may not be.
            (Err(_), Some(holder)) => self.reach(info.clone().set_addr(holder), patience).await,
            (reached, _) => reached,
        }
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
        let mut tries = 0;
        loop {
            tries += 1;
            let mut connection = self.connect(ALONE).await?;
            let said = match timeout(limit, invocation.invoke_async(&mut connection)).await {
                Ok(Ok(value)) => {
                    self.note(None);
                    return Ok(value);
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
        ] {
            let link = Link::new(url, None, plaintext);
            assert_eq!(link.check().is_ok(), fine, "{url} {plaintext}");
            assert!(!format!("{link:?} {:?}", link.check()).contains("sesame"));
        }
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
