//! Where the API key comes from: the editor, the environment, a command. In memory only, never printed.

use crate::config::Settings;
use crate::model::openai::{self, KeySource};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a `model.keyCommand` may take: it may ask for a passphrase.
const KEY_COMMAND_SECONDS: u64 = 60;

/// Why a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The last one was refused.
    pub rejected: bool,
    /// The server is on this machine and may need none: do not trouble the user.
    pub optional: bool,
}

/// Asks the editor for a key.
pub type AskKey = Arc<dyn Fn(Wanted) -> BoxFuture<'static, Option<SecretString>> + Send + Sync>;

/// Where the API key comes from: the editor, the environment, a command. In memory only, never printed.
pub struct Keys {
    variable: String,
    command: Option<String>,
    optional: bool,
    ask: Option<AskKey>,
    /// Given by the editor, by request or by `opendevagent/setKey`.
    given: Mutex<Option<SecretString>>,
}

impl Keys {
    pub fn new(settings: &Settings, ask: Option<AskKey>) -> Self {
        Self {
            variable: settings.model.key_env.clone(),
            command: settings.model.key_command.clone(),
            optional: openai::is_loopback(&settings.model.base_url),
            ask,
            given: Mutex::new(None),
        }
    }

    /// Takes a key over from the editor; `None` forgets it.
    pub fn give(&self, key: Option<SecretString>) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    fn given(&self) -> Option<SecretString> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn find(&self, rejected: bool) -> Option<SecretString> {
        if rejected {
            self.give(None);
        } else if let Some(key) = self.given() {
            return Some(key);
        }
        if let Some(ask) = &self.ask
            && let Some(key) = ask(Wanted { rejected, optional: self.optional && !rejected }).await
        {
            self.give(Some(key.clone()));
            return Some(key);
        }
        if let Some(key) = std::env::var(&self.variable).ok().as_deref().and_then(clean) {
            return Some(key);
        }
        clean(&first_line(self.command.as_ref()?).await?)
    }
}

impl KeySource for Keys {
    fn key<'a>(&'a self, rejected: bool) -> BoxFuture<'a, Option<SecretString>> {
        Box::pin(self.find(rejected))
    }
}

/// Blanks, line ends and quotes around a key are a classic cause of a 401.
fn clean(key: &str) -> Option<SecretString> {
    let key = key.trim().trim_matches(['"', '\'']).trim();
    (!key.is_empty()).then(|| SecretString::from(key))
}

async fn first_line(command: &str) -> Option<String> {
    let mut shell = if cfg!(windows) {
        let mut shell = tokio::process::Command::new("cmd");
        shell.arg("/C");
        shell
    } else {
        let mut shell = tokio::process::Command::new("sh");
        shell.arg("-c");
        shell
    };
    let output = shell.arg(command).stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(KEY_COMMAND_SECONDS), output).await.ok()?.ok()?;
    let text = SecretString::from(String::from_utf8(output.stdout).ok()?);
    output.status.success().then(|| text.expose_secret().lines().next().map(str::to_owned))?
}
