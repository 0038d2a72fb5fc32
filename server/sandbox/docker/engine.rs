//! The engine: its address, and calls to it that end in time.

use super::{SLOW_CALL, SandboxError, fault};
use std::time::Duration;
use tokio::time::timeout;

pub(super) enum Scheme<'a> {
    #[cfg(unix)]
    Unix(&'a str),
    #[cfg(windows)]
    Pipe(&'a str),
    Tcp(&'a str),
}

impl Scheme<'_> {
    pub(super) fn is_socket(&self) -> bool {
        !matches!(self, Scheme::Tcp(_))
    }
}

pub(super) fn scheme(host: &str) -> Result<Scheme<'_>, SandboxError> {
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

pub(super) fn open(host: &str) -> Result<bollard::Docker, SandboxError> {
    // Later than the deadline of any call: that one can say what was being done.
    let (seconds, version) = ((SLOW_CALL * 2).as_secs(), bollard::API_DEFAULT_VERSION);
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
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, SandboxError> {
    within_for(limit, doing, "", call).await
}

pub(super) async fn within_for<T>(
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
