//! Builds the adapters that the settings ask for. The only place that knows which implementation stands behind
//! `Model` and `Sandbox`.

use crate::agent::{AgentOptions, Options, Ports};
use crate::config::{Loaded, Settings, seconds};
use crate::model::openai::{self, KeySource, OpenAi};
use crate::model::{Agent, Model, ModelError};
use crate::sandbox::docker::{Docker, DockerOptions};
use crate::sandbox::{Absent, Sandbox, SandboxError};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
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

/// The adapters of one set of settings.
pub struct Connected {
    pub ports: Arc<Ports>,
    pub keys: Arc<Keys>,
}

/// Builds all adapters. Instant: nothing is connected before it is used.
///
/// # Errors
/// When `model.baseUrl` cannot be used.
pub fn connect(loaded: &Loaded, ask: Option<AskKey>) -> Result<Connected, ModelError> {
    let keys = Arc::new(Keys::new(&loaded.settings, ask));
    let model = Arc::new(model(&loaded.settings, keys.clone())?);
    Ok(Connected { ports: Arc::new(ports(loaded, model)), keys })
}

/// The ports around a model of one's own, e.g. a replayed one.
pub fn ports(loaded: &Loaded, model: Arc<dyn Model>) -> Ports {
    Ports { model, sandbox: sandbox(&loaded.settings), options: options(loaded) }
}

pub fn model(settings: &Settings, keys: Arc<dyn KeySource>) -> Result<OpenAi, ModelError> {
    let limits = &settings.limits;
    OpenAi::new(openai::Options {
        base_url: settings.model.base_url.clone(),
        key: keys,
        data_collection: settings.model.data_collection.name().into(),
        zdr: settings.model.zdr,
        connect: seconds(limits.connect_seconds),
        first_byte: seconds(limits.first_byte_seconds),
        first_token: seconds(limits.first_token_seconds),
        idle: seconds(limits.idle_seconds),
        call: seconds(limits.call_seconds),
        tries: limits.retries,
        max_hint: seconds(limits.max_hint_seconds),
        requests_per_minute: limits.requests_per_minute,
        concurrent: limits.concurrent_calls as usize,
    })
}

/// The sandbox, or one that refuses every job and says why.
pub fn sandbox(settings: &Settings) -> Arc<dyn Sandbox> {
    match docker(settings) {
        Ok(docker) => Arc::new(docker),
        Err(error) => Arc::new(Absent { limits: settings.sandbox_limits(), error }),
    }
}

/// # Errors
/// When the sandbox is switched off, or its address is none.
pub fn docker(settings: &Settings) -> Result<Docker, SandboxError> {
    let host = settings.sandbox.host.clone();
    if host.as_deref() == Some("off") {
        return Err(SandboxError::Unavailable {
            why: "the sandbox is switched off".into(),
            remedy: "set `sandbox.host` to something other than `off`".into(),
        });
    }
    Docker::connect(DockerOptions {
        host,
        limits: settings.sandbox_limits(),
        runtime: settings.sandbox.runtime.clone(),
        images: settings.sandbox.images.clone(),
    })
}

fn options(loaded: &Loaded) -> Options {
    let settings = &loaded.settings;
    let agents = &settings.agents;
    let agent = |model: &str, temperature: f64, fallbacks: &[String]| AgentOptions {
        model: model.into(),
        temperature: temperature as f32,
        fallbacks: fallbacks.to_vec(),
    };
    let (architect, coder, debugger) = (&agents.architect, &agents.coder, &agents.debugger);
    Options {
        agents: BTreeMap::from([
            (Agent::Architect, agent(&architect.model, architect.temperature, &architect.fallbacks)),
            (Agent::Coder, agent(&coder.model, coder.temperature, &coder.fallbacks)),
            (Agent::Debugger, agent(&debugger.model, debugger.temperature, &debugger.fallbacks)),
        ]),
        usd_per_task: settings.budget.usd_per_task,
        tokens_per_task: settings.budget.tokens_per_task,
        time_per_task: seconds(settings.budget.seconds_per_task),
        repair_rounds: settings.pipeline.repair_rounds,
        context_tokens: settings.context.max_tokens,
        exclude: settings.context.exclude.clone(),
        check: loaded.check.clone(),
        language_checks: loaded.language_checks.clone(),
    }
}
