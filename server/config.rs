//! Every setting, declared once: type, default and meaning. The JSON Schema, the README table, the VS Code
//! manifest and the Neovim types are generated from here and kept equal by a test.
//!
//! Order: defaults < user file < editor < environment < command line. The workspace's own file is untrusted:
//! it may name the check, shape the context and lower the sandbox's limits, nothing else.

mod rows;

pub use rows::{Row, rows, schema};

use crate::sandbox::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the workspace's own file.
pub const WORKSPACE_FILE: &str = ".opendevagent.toml";

/// Declares a group of settings: its fields with defaults; the doc comment of a field is its description.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

settings! {
    /// All settings, section `opendevagent`.
    Settings {
        model: Model = Model::default(),
        agents: Agents = Agents::default(),
        limits: CallLimits = CallLimits::default(),
        budget: Budget = Budget::default(),
        pipeline: Pipeline = Pipeline::default(),
        sandbox: Sandbox = Sandbox::default(),
        context: Context = Context::default(),
        store: Store = Store::default(),
        dashboard: Dashboard = Dashboard::default(),
        telemetry: Telemetry = Telemetry::default(),
    }
}

settings! {
    Model {
        /// Address of the OpenAI-compatible server. Plain http is refused beyond this machine.
        base_url: String = "https://openrouter.ai/api/v1".into(),
        /// Environment variable that holds the API key.
        key_env: String = "OPENROUTER_API_KEY".into(),
        /// Command whose first line of output is the API key, e.g. `pass show openrouter`.
        key_command: Option<String> = None,
        /// `deny`: only providers that neither store prompts nor train on them (OpenRouter).
        data_collection: DataCollection = DataCollection::Deny,
        /// Only endpoints with zero data retention (OpenRouter).
        zdr: bool = false,
    }
}

/// Whether providers may keep prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataCollection {
    Deny,
    Allow,
}

impl DataCollection {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

settings! {
    Agents {
        architect: Architect = Architect::default(),
        coder: Coder = Coder::default(),
        debugger: Debugger = Debugger::default(),
    }
}

/// An agent's settings differ only in their defaults.
macro_rules! agent {
    ($name:ident, $what:literal, $model:literal, $temperature:literal) => {
        settings! {
            #[doc = $what]
            $name {
                /// Model that is asked.
                model: String = $model.into(),
                /// 0 (always the likeliest word) to 2.
                temperature: f64 = $temperature,
                /// Models asked in this order when the first fails.
                fallbacks: Vec<String> = vec!["meta-llama/llama-3.1-70b-instruct".into()],
            }
        }
    };
}

agent!(Architect, "Plans and explains.", "openai/gpt-4o", 0.3);
agent!(Coder, "Writes code and tests.", "mistralai/codestral-2508", 0.2);
agent!(Debugger, "Analyses, repairs and reviews.", "anthropic/claude-sonnet-4.5", 0.2);

settings! {
    CallLimits {
        /// Calls to the model server per minute.
        requests_per_minute: u32 = 20,
        /// Calls on their way at once.
        concurrent_calls: u32 = 4,
        /// Tasks running at once; further ones wait.
        concurrent_tasks: u32 = 8,
        /// Seconds to connect.
        connect_seconds: f64 = 10.0,
        /// Seconds to the first byte of an answer.
        first_byte_seconds: f64 = 60.0,
        /// Seconds to the first word of an answer; local servers load the model first.
        first_token_seconds: f64 = 120.0,
        /// Seconds of silence in the middle of an answer.
        idle_seconds: f64 = 30.0,
        /// Seconds for a whole answer.
        call_seconds: f64 = 600.0,
        /// Tries of one call in all.
        retries: u32 = 3,
        /// Longest wait that a server may ask for, in seconds, before the next model is asked instead.
        max_hint_seconds: f64 = 30.0,
    }
}

settings! {
    Budget {
        /// US dollars one task may cost.
        usd_per_task: f64 = 0.50,
        /// Tokens one task may use.
        tokens_per_task: u64 = 200_000,
        /// Seconds one task may take.
        seconds_per_task: f64 = 900.0,
    }
}

settings! {
    Pipeline {
        /// Repairs after the first proposal, before one fresh start.
        repair_rounds: u32 = 3,
    }
}

settings! {
    Sandbox {
        /// Address of the Docker engine; unset: `DOCKER_HOST`, the Docker context, the usual sockets. `off`: no sandbox.
        host: Option<String> = None,
        /// CPUs a check may use.
        cpus: f64 = 1.0,
        /// Memory of a check in MiB, without swap.
        #[serde(rename = "memoryMiB")]
        memory_mib: u64 = 512,
        /// Wall clock limit of a check in seconds.
        timeout_seconds: f64 = 300.0,
        /// Processes and threads a check may have.
        pids: u32 = 128,
        /// Output kept of each stream in KiB; a program that writes more is killed.
        #[serde(rename = "outputKiB")]
        output_kib: u64 = 1024,
        /// Scratch space in MiB of `/work` and of `/tmp`.
        #[serde(rename = "scratchMiB")]
        scratch_mib: u64 = 256,
        /// Container runtime, e.g. `runsc` for gVisor.
        runtime: String = "runc".into(),
        /// Image per language instead of the built one; it must hold the runner.
        images: BTreeMap<String, String> = BTreeMap::new(),
        /// Containers kept ready per language in use (no effect yet).
        warm: u32 = 1,
    }
}

settings! {
    Context {
        /// Tokens of workspace text a model may see in one call.
        max_tokens: u32 = 24_000,
        /// Further files never read, sent or edited; syntax of `.gitignore`. Secrets and ignored files always are.
        exclude: Vec<String> = Vec::new(),
    }
}

settings! {
    Store {
        /// Where tasks are kept; `redis://…` shares them (no effect yet).
        url: Option<String> = None,
    }
}

settings! {
    Dashboard {
        /// Offer the page that shows tasks (no effect yet).
        enabled: bool = true,
    }
}

settings! {
    Telemetry {
        /// OTLP endpoint for traces; none by default (no effect yet).
        otlp_endpoint: Option<String> = None,
    }
}

/// What the workspace's own file may say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct WorkspaceFile {
    check: Option<String>,
    context: WorkspaceContext,
    languages: BTreeMap<String, WorkspaceLanguage>,
    sandbox: WorkspaceSandbox,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct WorkspaceContext {
    max_tokens: Option<u32>,
    exclude: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorkspaceLanguage {
    check: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorkspaceSandbox {
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<u64>,
    cpus: Option<f64>,
    #[serde(rename = "timeoutSeconds")]
    timeout_seconds: Option<f64>,
}

/// Settings with where they came from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub settings: Settings,
    /// The workspace's check, and its checks by language; `CheckSource::Workspace`.
    pub check: Option<String>,
    pub language_checks: BTreeMap<String, String>,
    /// Setting -> who set it, for those that are not at their default.
    pub origins: BTreeMap<String, String>,
    /// What could not be used, and why. Shown as warnings, never fatal.
    pub problems: Vec<String>,
}

/// One source of settings: its name for people and its values, nested or with dotted names.
pub struct Layer {
    pub origin: String,
    pub values: Value,
}

/// Reads the user file, the environment and the workspace's file around `editor` and `command_line`.
pub fn load(editor: Option<&Value>, command_line: Option<&Value>, workspace: Option<&Path>) -> Loaded {
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    if let Some(path) = user_file() {
        match read_toml::<Value>(&path) {
            Ok(Some(values)) => layers.push(Layer { origin: path.display().to_string(), values }),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(values) = editor {
        let values = values.get("opendevagent").unwrap_or(values).clone();
        layers.push(Layer { origin: "editor".into(), values });
    }
    layers.push(Layer { origin: "environment".into(), values: environment(|name| std::env::var(name).ok()) });
    if let Some(values) = command_line {
        layers.push(Layer { origin: "command line".into(), values: values.clone() });
    }
    let mut loaded = merge(&layers);
    loaded.problems.splice(0..0, problems);
    if let Some(root) = workspace {
        match read_toml::<WorkspaceFile>(&root.join(WORKSPACE_FILE)) {
            Ok(Some(file)) => loaded.narrow(file),
            Ok(None) => {}
            Err(problem) => loaded.problems.push(format!(
                "{problem}; a workspace may set only check, context.*, languages.*.check and sandbox.memoryMiB, cpus, timeoutSeconds"
            )),
        }
    }
    loaded
}

/// Lays one layer over the other, value by value: one bad value costs only itself.
pub fn merge(layers: &[Layer]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut merged = serde_json::to_value(&loaded.settings).unwrap_or_default();
    for layer in layers {
        for (key, value) in leaves(&layer.values) {
            let mut candidate = merged.clone();
            let parsed = set(&mut candidate, &key, value).and_then(|()| {
                serde_json::from_value::<Settings>(candidate.clone()).map_err(|error| error.to_string())
            });
            match parsed.and_then(|settings| settings.validate(&key).map(|()| settings)) {
                Ok(settings) => {
                    loaded.settings = settings;
                    loaded.origins.insert(key, layer.origin.clone());
                    merged = candidate;
                }
                Err(why) => {
                    loaded.problems.push(format!("setting {key} from {} is not used: {why}", layer.origin))
                }
            }
        }
    }
    loaded
}

impl Loaded {
    /// Applies the workspace's file: limits only downwards, exclusions only added.
    fn narrow(&mut self, file: WorkspaceFile) {
        self.check = file.check;
        self.language_checks =
            file.languages.into_iter().filter_map(|(name, language)| Some((name, language.check?))).collect();
        if let Some(tokens) = file.context.max_tokens {
            self.settings.context.max_tokens = tokens;
        }
        self.settings.context.exclude.extend(file.context.exclude);
        let sandbox = &mut self.settings.sandbox;
        if let Some(memory) = file.sandbox.memory_mib {
            sandbox.memory_mib = sandbox.memory_mib.min(memory.max(16));
        }
        if let Some(cpus) = file.sandbox.cpus.filter(|cpus| *cpus > 0.0) {
            sandbox.cpus = sandbox.cpus.min(cpus);
        }
        if let Some(seconds) = file.sandbox.timeout_seconds.filter(|seconds| *seconds > 0.0) {
            sandbox.timeout_seconds = sandbox.timeout_seconds.min(seconds);
        }
    }
}

impl Settings {
    /// What a type cannot say.
    fn validate(&self, key: &str) -> Result<(), String> {
        let positive = |value: f64, most: f64| {
            if value > 0.0 && value <= most {
                Ok(())
            } else {
                Err(format!("must be above 0 and at most {most}"))
            }
        };
        match key {
            "sandbox.cpus" => positive(self.sandbox.cpus, 1024.0),
            "sandbox.timeoutSeconds" => positive(self.sandbox.timeout_seconds, 86_400.0),
            "sandbox.memoryMiB" => positive(self.sandbox.memory_mib as f64, 1_048_576.0),
            "sandbox.pids" => positive(f64::from(self.sandbox.pids), 1_000_000.0),
            "sandbox.outputKiB" => positive(self.sandbox.output_kib as f64, 1_048_576.0),
            "sandbox.scratchMiB" => positive(self.sandbox.scratch_mib as f64, 1_048_576.0),
            "limits.requestsPerMinute" => positive(f64::from(self.limits.requests_per_minute), 100_000.0),
            "limits.concurrentCalls" => positive(f64::from(self.limits.concurrent_calls), 1_000.0),
            "limits.concurrentTasks" => positive(f64::from(self.limits.concurrent_tasks), 1_000.0),
            "limits.retries" => positive(f64::from(self.limits.retries), 100.0),
            _ if key.ends_with("Seconds") || key == "budget.secondsPerTask" => {
                let value = serde_json::to_value(self).ok().and_then(|all| {
                    all.pointer(&format!("/{}", key.replace('.', "/"))).and_then(Value::as_f64)
                });
                value.map_or(Ok(()), |value| positive(value, 86_400.0))
            }
            _ => Ok(()),
        }
    }

    /// The limits of one sandbox run.
    pub fn sandbox_limits(&self) -> Limits {
        Limits {
            cpus: self.sandbox.cpus,
            memory_mib: self.sandbox.memory_mib,
            network: "none",
            timeout: seconds(self.sandbox.timeout_seconds),
            pids: i64::from(self.sandbox.pids),
            output_kib: self.sandbox.output_kib,
            scratch_mib: self.sandbox.scratch_mib,
        }
    }
}

/// A setting in seconds as a duration; settings are validated to be in range.
pub fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(60))
}

/// `$XDG_CONFIG_HOME/opendevagent/config.toml`, or where the platform keeps such files.
pub fn user_file() -> Option<PathBuf> {
    base_directory("XDG_CONFIG_HOME", ".config").map(|directory| directory.join("opendevagent/config.toml"))
}

/// A base directory of the XDG specification, or its default below the home directory.
pub fn base_directory(variable: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME").or_else(|| absolute("USERPROFILE"))?.join(default)))
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => match toml::from_str(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!("{}: {}", path.display(), error.to_string().trim_end())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The environment's values: `model.baseUrl` is `OPENDEVAGENT_MODEL_BASE_URL`, lists are split at commas.
fn environment(variable: impl Fn(&str) -> Option<String>) -> Value {
    let mut values = Map::new();
    for row in rows() {
        if let Some(text) = variable(&row.environment) {
            values.insert(row.key.clone(), row.parse(&text));
        }
    }
    Value::Object(values)
}

/// The values of a layer by dotted name. A map of free names (`sandbox.images`) is split too.
fn leaves(values: &Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&key, value, found);
                }
            }
            _ => found.push((prefix.to_owned(), value.clone())),
        }
    }
    let mut found = Vec::new();
    walk("", values, &mut found);
    found
}

fn set(all: &mut Value, key: &str, value: Value) -> Result<(), String> {
    let mut place = all;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let map = place.as_object_mut().ok_or_else(|| format!("there is no setting {key}"))?;
        if parts.peek().is_none() {
            map.insert(part.to_owned(), value);
            return Ok(());
        }
        place = map.get_mut(part).ok_or_else(|| format!("there is no setting {key}"))?;
    }
    Err("a name is missing".into())
}

#[cfg(test)]
mod tests;
