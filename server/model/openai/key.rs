//! The API key: where it comes from, and that a refused one is not sent again.

use crate::model::ModelError;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the key comes from.
pub trait KeySource: Send + Sync {
    /// The key to send, if there is one. `rejected`: the last one got a 401, so look again.
    fn key(&self, rejected: bool) -> BoxFuture<'_, Option<SecretString>>;

    /// Where there is no key: what stood in the way, or what would do without.
    fn advice(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(std::future::ready(None))
    }
}

/// What OpenRouter tells about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyInfo {
    pub label: String,
    /// In dollars; none means no limit.
    pub limit: Option<f64>,
    pub remaining: Option<f64>,
}

impl fmt::Display for KeyInfo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, limit, remaining } = self;
        write!(out, "key {label}, ")?;
        match (limit, remaining) {
            (Some(limit), Some(remaining)) => write!(out, "${remaining:.2} of ${limit:.2} left"),
            (None, Some(remaining)) => write!(out, "${remaining:.2} left"),
            _ => write!(out, "no limit"),
        }
    }
}

/// The key of one server.
pub(super) struct Keyring {
    source: Arc<dyn KeySource>,
    host: String,
    /// Not on loopback: there, none may be needed.
    is_needed: bool,
    refused: Mutex<Option<SecretString>>,
}

impl Keyring {
    pub(super) fn new(source: Arc<dyn KeySource>, host: &str, is_needed: bool) -> Self {
        Self { source, host: host.to_owned(), is_needed, refused: Mutex::new(None) }
    }

    /// The key as the source has it now, though it may have been refused.
    pub(super) async fn any(&self) -> Result<Option<SecretString>, ModelError> {
        self.checked(tidy(self.source.key(false).await)).await
    }

    /// The key to send: never one that was refused.
    pub(super) async fn good(&self) -> Result<Option<SecretString>, ModelError> {
        let key = self.any().await?;
        if key.is_none() || !self.is_refused(key.as_ref()) {
            return Ok(key);
        }
        match self.renew(key.as_ref()).await {
            Some(new) => self.checked(Some(new)).await,
            None => Err(ModelError::Auth(format!(
                "{} refused the key before: set another in OPENROUTER_API_KEY or model.keyCommand",
                self.host
            ))),
        }
    }

    /// Another key than `old`, which was refused.
    pub(super) async fn renew(&self, old: Option<&SecretString>) -> Option<SecretString> {
        self.remember(old.cloned());
        let new = tidy(self.source.key(true).await);
        new.filter(|new| is_sendable(new) && exposed(Some(new)) != exposed(old))
    }

    /// The key was taken: what was refused before counts no more.
    pub(super) fn accept(&self) {
        self.remember(None);
    }

    fn remember(&self, refused: Option<SecretString>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    fn is_refused(&self, key: Option<&SecretString>) -> bool {
        exposed(self.refused.lock().unwrap_or_else(PoisonError::into_inner).as_ref()) == exposed(key)
    }

    async fn checked(&self, key: Option<SecretString>) -> Result<Option<SecretString>, ModelError> {
        let wrong = |what: &str| Err(ModelError::NoKey(format!("{what} for {}; {REMEDY}", self.host)));
        match &key {
            None if self.is_needed => match self.source.advice().await {
                Some(advice) => {
                    Err(ModelError::NoKey(format!("no key for {} ({advice}); {REMEDY}", self.host)))
                }
                None => wrong("no key"),
            },
            Some(key) if !is_sendable(key) => wrong("a key with characters that no key has"),
            _ => Ok(key),
        }
    }
}

const REMEDY: &str = "hand one over in your editor, or set the environment variable OPENROUTER_API_KEY, or model.keyCommand to a command that prints the key";

pub(super) fn exposed(key: Option<&SecretString>) -> Option<&str> {
    key.map(ExposeSecret::expose_secret)
}

/// A header can hold it.
fn is_sendable(key: &SecretString) -> bool {
    key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
}

/// A key as it was meant: without the blanks, line ends and quotes that came along. None if nothing is left.
fn tidy(key: Option<SecretString>) -> Option<SecretString> {
    let key = key?;
    let text = key.expose_secret().trim_matches(|char: char| char.is_whitespace() || "\"'".contains(char));
    (!text.is_empty()).then(|| SecretString::from(text))
}
