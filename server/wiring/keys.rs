//! Where the API key comes from: the editor, the environment, a command, the system's keyring. In memory only, never
//! printed, never inherited by a child process, and in no core dump.

use crate::config::{self, Settings};
use crate::model::openai::{self, KeySource, find_local};
use crate::model::redact;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The variable that sets `model.keyEnv`.
const KEY_ENV: &str = "OPENDEVAGENT_MODEL_KEY_ENV";
/// How long a `model.keyCommand` may take: it may ask for a passphrase.
const KEY_COMMAND_SECONDS: u64 = 60;
/// Most bytes read of what it prints.
const KEY_COMMAND_BYTES: u64 = 64 << 10;

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

/// All sources of the key, in the order in which they are asked.
pub struct Keys {
    variable: String,
    command: Option<String>,
    optional: bool,
    /// `model.baseUrl` is nobody's choice: a server on this machine could be used instead.
    is_default_server: bool,
    ask: Option<AskKey>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Given by the editor, by request or by `opendevagent/setKey`.
    given: Option<SecretString>,
    /// Handed out last.
    last: Option<SecretString>,
    /// What `model.keyCommand` complained of.
    problem: Option<String>,
}

impl Keys {
    pub fn new(settings: &Settings, ask: Option<AskKey>) -> Self {
        guard_variable(&settings.model.key_env);
        Self {
            variable: settings.model.key_env.clone(),
            command: settings.model.key_command.clone(),
            optional: openai::is_loopback(&settings.model.base_url),
            is_default_server: settings.model.base_url == config::Model::default().base_url,
            ask,
            state: Mutex::default(),
        }
    }

    /// Takes a key over from the editor; `None` forgets it.
    pub fn give(&self, key: Option<SecretString>) {
        let key = key.and_then(|key| clean(key.expose_secret()));
        key.iter().for_each(guard);
        self.with(|state| state.given = key);
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first source that has a key; after a refusal, the first that has another one.
    async fn find(&self, rejected: bool) -> Option<SecretString> {
        let (given, last) = self.with(|state| {
            if rejected {
                state.given = None;
            }
            state.problem = None;
            (state.given.clone(), state.last.clone())
        });
        let refused = last.filter(|_| rejected);
        let fits = |key: &SecretString| {
            refused.as_ref().is_none_or(|refused| refused.expose_secret() != key.expose_secret())
        };
        let key = match given {
            Some(key) => Some(key),
            None => self.look(rejected, fits).await,
        };
        if let Some(key) = &key {
            guard(key);
            self.with(|state| state.last = Some(key.clone()));
        }
        key
    }

    async fn look(&self, rejected: bool, fits: impl Fn(&SecretString) -> bool) -> Option<SecretString> {
        if let Some(ask) = &self.ask
            && let Some(key) = ask(Wanted { rejected, optional: self.optional && !rejected }).await
            && let Some(key) = clean(key.expose_secret())
        {
            self.with(|state| state.given = Some(key.clone()));
            return Some(key);
        }
        let variable = std::env::var(&self.variable).ok();
        if let Some(key) = variable.as_deref().and_then(clean).filter(&fits) {
            return Some(key);
        }
        if let Some(command) = &self.command {
            match first_line(command, &self.variable).await {
                Ok(key) if fits(&key) => return Some(key),
                Ok(_) => {}
                Err(problem) => self.with(|state| state.problem = Some(problem)),
            }
        }
        #[cfg(feature = "keyring")]
        if let Ok(Some(key)) = tokio::task::spawn_blocking(read_keyring).await
            && fits(&key)
        {
            return Some(key);
        }
        None
    }
}

impl KeySource for Keys {
    fn key<'a>(&'a self, rejected: bool) -> BoxFuture<'a, Option<SecretString>> {
        Box::pin(self.find(rejected))
    }

    /// What stood in the way, or what would do without a key.
    fn advice(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async {
            if let Some(problem) = self.with(|state| state.problem.clone()) {
                return Some(problem);
            }
            let found = if self.is_default_server { find_local().await } else { Vec::new() };
            let server = found.into_iter().find(|server| !server.models.is_empty())?;
            let model = &server.models[0];
            Some(format!(
                "{} runs on this machine and needs none: set model.baseUrl to {} and agents.*.model to {model}",
                server.name, server.base_url
            ))
        })
    }
}

/// To be called first of all: a key that came with the environment is in memory already.
pub fn guard_environment() {
    guard_variable(&config::Model::default().key_env);
    if let Ok(variable) = std::env::var(KEY_ENV) {
        guard_variable(&variable);
    }
}

fn guard_variable(variable: &str) {
    if std::env::var_os(variable).is_some() {
        guard_process();
    }
}

/// From now on the key is hidden wherever it would be shown.
fn guard(key: &SecretString) {
    redact::remember(key);
    guard_process();
}

/// While a key is held, the process leaves no core dump, and no other process of the user can read its memory or
/// `/proc/PID/environ`. A limit of 0 on the core's size would do neither: it is ignored where cores are piped to a
/// program. A debugger can be attached by root alone, which is the price.
fn guard_process() {
    static PROCESS: Once = Once::new();
    PROCESS.call_once(|| {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{DumpableBehavior, set_dumpable_behavior};
            // A kernel that refuses leaves things as they are without us.
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        }
    });
}

/// Blanks, line ends and quotes around a key are a classic cause of a 401.
fn clean(key: &str) -> Option<SecretString> {
    let key = key.trim().trim_matches(['"', '\'']).trim();
    (!key.is_empty()).then(|| SecretString::from(key))
}

/// The key that `command` prints on its first line. It does not get to see the one in the environment.
async fn first_line(command: &str, variable: &str) -> Result<SecretString, String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let wrong = |why: &str| format!("model.keyCommand {why}");
    let mut child = Command::new(shell)
        .args([flag, command])
        .env_remove(variable)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(&format!("cannot be run: {error}")))?;
    let mut printed = Vec::new();
    let read = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(KEY_COMMAND_BYTES).read_to_end(&mut printed).await?;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(Duration::from_secs(KEY_COMMAND_SECONDS), read)
        .await
        .map_err(|_| wrong(&format!("took longer than {KEY_COMMAND_SECONDS} s")))?
        .map_err(|error| wrong(&format!("broke off: {error}")))?;
    let text = SecretString::from(String::from_utf8_lossy(&printed).into_owned());
    match text.expose_secret().lines().next().and_then(clean) {
        _ if !ended.success() => Err(wrong(&format!("failed ({ended})"))),
        Some(key) => Ok(key),
        None => Err(wrong("printed nothing")),
    }
}

/// The key in the system's keyring: service `opendevagent`, user `model`. Reading may wait for the user.
#[cfg(feature = "keyring")]
fn read_keyring() -> Option<SecretString> {
    clean(&keyring::Entry::new("opendevagent", "model").ok()?.get_password().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_command_does_not_inherit_the_key() {
        let key =
            first_line("echo ${PATH:+path}${SECRET_OF_TEST:-none}; echo second", "SECRET_OF_TEST").await;
        assert_eq!(key.unwrap().expose_secret(), "pathnone");
        let key = first_line("echo ${HOME:-no home}", "HOME").await;
        assert_eq!(key.unwrap().expose_secret(), "no home");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_holds_a_key_leaves_no_core_dump() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        guard(&SecretString::from("a key that is held"));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[tokio::test]
    async fn a_command_that_fails_says_so() {
        for (command, expect) in [("exit 3", "failed (exit status: 3)"), ("echo", "printed nothing")] {
            let mut settings = Settings::default();
            settings.model.key_env = "NO_SUCH_VARIABLE_OF_TEST".into();
            settings.model.key_command = Some(command.into());
            let keys = Keys::new(&settings, None);
            assert!(keys.key(false).await.is_none());
            assert!(keys.advice().await.unwrap().contains(expect), "{command}");
        }
    }

    #[tokio::test]
    async fn after_a_refusal_the_next_source_is_asked() {
        let mut settings = Settings::default();
        settings.model.key_env = "NO_SUCH_VARIABLE_OF_TEST".into();
        settings.model.key_command = Some("echo key-of-command".into());
        let keys = Keys::new(&settings, None);
        keys.give(Some(SecretString::from(" 'key-of-editor'\n")));
        assert_eq!(keys.key(false).await.unwrap().expose_secret(), "key-of-editor");
        assert_eq!(keys.key(true).await.unwrap().expose_secret(), "key-of-command");
        assert!(keys.key(true).await.is_none());
    }
}
