//! Builds the adapters that the settings ask for. The only place that knows which implementation stands behind
//! `Model` and `Sandbox`.

mod keys;

pub use keys::{AskKey, Keys, Wanted, guard_environment};

use crate::agent::dependencies::Consent;
use crate::agent::{AgentOptions, Options, Ports};
use crate::config::{self, Loaded, Settings, seconds};
use crate::journal::audit::Audit;
use crate::journal::{Files, HEADERS_ENV, Journal, Store, TeamStore, Telemetry};
use crate::link::{self, Limit, Link};
use crate::model::openai::{self, KeySource, OpenAi};
use crate::model::{Agent, Model, ModelError};
use crate::sandbox::docker::{Docker, DockerOptions};
use crate::sandbox::owner;
use crate::sandbox::team::{Remote, Team};
use crate::sandbox::{Absent, Sandbox, SandboxError};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long a container is kept ready after the last job of its kind.
const WARM_IDLE: Duration = Duration::from_secs(600);

/// The value of `sandbox.host` that means the workers of `store.url`.
const TEAM: &str = "team";

/// The adapters of one set of settings.
pub struct Connected {
    pub ports: Arc<Ports>,
    pub keys: Arc<Keys>,
    pub journal: Arc<Journal>,
}

/// Builds all adapters. Instant: nothing is connected before it is used.
///
/// # Errors
/// When `model.baseUrl` cannot be used.
pub fn connect(loaded: &Loaded, ask: Option<AskKey>, consent: Consent) -> Result<Connected, ModelError> {
    let keys = Arc::new(Keys::new(&loaded.settings, ask));
    // First, so that the model counts its requests over the same connection.
    let journal = Arc::new(journal(&loaded.settings));
    let model = Arc::new(model(&loaded.settings, keys.clone())?);
    Ok(Connected { ports: Arc::new(ports(loaded, model, consent)), keys, journal })
}

/// The ports around a model of one's own, e.g. a replayed one.
pub fn ports(loaded: &Loaded, model: Arc<dyn Model>, consent: Consent) -> Ports {
    Ports { model, sandbox: sandbox(&loaded.settings), consent, options: options(loaded) }
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
        shared: team_store(settings).map(|store| Limit::new(store.link(), owner::machine())),
        concurrent: limits.concurrent_calls as usize,
        lists: config::base_directory("XDG_CACHE_HOME", ".cache")
            .map(|folder| folder.join("opendevagent/models")),
    })
}

/// The sandbox, or one that refuses every job and says why.
pub fn sandbox(settings: &Settings) -> Arc<dyn Sandbox> {
    let limits = settings.sandbox_limits();
    if settings.sandbox.host.as_deref() == Some(TEAM) {
        return match team(settings, settings.store.url.as_deref().unwrap_or_default()) {
            Ok(team) => Arc::new(Remote::new(team, limits)),
            Err(error) => Arc::new(Absent { limits, error }),
        };
    }
    match docker(settings) {
        Ok(docker) => Arc::new(docker),
        Err(error) => Arc::new(Absent { limits, error }),
    }
}

/// The team behind an address. Its key and its password come from the environment alone: they are in no file of settings.
///
/// # Errors
/// When the address or the key cannot be used.
pub fn team(settings: &Settings, url: &str) -> Result<Team, SandboxError> {
    Team::new(Arc::new(link(settings, url)))
}

fn link(settings: &Settings, url: &str) -> Link {
    let (password, key) = (secret(link::PASSWORD_ENV), secret(link::KEY_ENV));
    Link::new(url, password.as_ref(), settings.store.plaintext).sealed(key.as_ref())
}

fn secret(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().map(SecretString::from)
}

/// Where tasks are kept, and the audit log beside them. Nothing is opened before it is used.
pub fn journal(settings: &Settings) -> Journal {
    let state = state(settings);
    let tasks: Arc<dyn Store> = match team_store(settings) {
        Some(store) => store,
        None => Arc::new(files(&state)),
    };
    let (days, mib) = (settings.store.keep_days, settings.store.keep_mib);
    let mut journal = Journal::new(tasks, Audit::new(state), days, mib);
    journal.telemetry = telemetry(settings);
    journal
}

/// The folder of what outlives this process; empty where there is none.
fn state(settings: &Settings) -> PathBuf {
    let state = match &settings.store.url {
        Some(url) if !config::is_redis(url) => Some(PathBuf::from(url)),
        _ => config::base_directory("XDG_STATE_HOME", ".local/state").map(|state| state.join("opendevagent")),
    };
    state.unwrap_or_default()
}

fn files(state: &Path) -> Files {
    Files::new(if state.as_os_str().is_empty() { PathBuf::new() } else { state.join("journal") })
}

/// The store that a team shares, where the settings name one: the same for all who ask in this process, because its
/// connection and its heart are.
fn team_store(settings: &Settings) -> Option<Arc<TeamStore>> {
    type Known = (config::Store, Weak<Link>, Weak<TeamStore>);
    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    let url = settings.store.url.as_deref().filter(|url| config::is_redis(url))?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, link, _)| link.strong_count() > 0);
    let at = known.iter().position(|(of, ..)| *of == settings.store);
    if let Some(store) = at.and_then(|at| known[at].2.upgrade()) {
        return Some(store);
    }
    let open = at.and_then(|at| known.remove(at).1.upgrade());
    let link = open.unwrap_or_else(|| Arc::new(link(settings, url)));
    let store = TeamStore::new(files(&state(settings)), link.clone());
    known.push((settings.store.clone(), Arc::downgrade(&link), Arc::downgrade(&store)));
    Some(store)
}

/// The collector of the settings; `None` without one.
pub fn telemetry(settings: &Settings) -> Option<Telemetry> {
    let endpoint = settings.telemetry.otlp_endpoint.as_deref()?;
    Some(Telemetry::new(endpoint, std::env::var(HEADERS_ENV).ok().as_deref()))
}

/// The tasks alone, to look at.
pub fn store(settings: &Settings) -> Arc<dyn Store> {
    journal(settings).store
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
        streamed: 256,
        warm: settings.sandbox.warm as usize,
        idle: WARM_IDLE,
        setup_network: settings.sandbox.setup_network.clone(),
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
        setup: settings.sandbox.setup.clone(),
    }
}
