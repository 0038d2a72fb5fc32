//! Every setting, declared once: type, default and meaning. The JSON Schema, the README table, the VS Code
//! manifest and the Neovim types are generated from here and kept equal by a test.
//!
//! Order: defaults < user file < editor < environment < command line. The workspace's own file is untrusted:
//! it may name the check, shape the context and lower the sandbox's limits, nothing else.

pub mod quiet;
mod rows;
mod settings;

use rows::{PREFIX, environment_name};
pub use rows::{Row, rows, schema};
pub use settings::*;

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the workspace's own file.
pub const WORKSPACE_FILE: &str = ".opendevagent.toml";

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
#[derive(Clone, Debug, Default, PartialEq)]
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

/// Reads the user file, the environment and the workspace's file around what the `editor` says, for all and then for
/// this workspace alone, and the `command_line`.
pub fn load(editor: &[&Value], command_line: Option<&Value>, workspace: Option<&Path>) -> Loaded {
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    if let Some(path) = user_file() {
        match read_toml::<Value>(&path) {
            Ok(Some(values)) => layers.push(Layer { origin: path.display().to_string(), values }),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    for values in editor {
        let values = values.get("opendevagent").unwrap_or(values);
        layers.push(Layer { origin: "editor".into(), values: values.clone() });
    }
    if std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with(PREFIX)) {
        layers.push(Layer {
            origin: "environment".into(),
            values: environment(|name| std::env::var(name).ok()),
        });
    }
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
        // An empty map says nothing.
        for (key, value) in leaves(&layer.values).into_iter().filter(|(_, value)| !value.is_object()) {
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

/// Whether a name, nested or dotted, is one of a setting or of a group of them.
pub fn is_setting(name: &str) -> bool {
    let group = name.split('.').next().unwrap_or(name);
    serde_json::to_value(Settings::default()).is_ok_and(|settings| settings.get(group).is_some())
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

/// The environment's values: `model.baseUrl` is `OPENDEVAGENT_MODEL_BASE_URL`.
fn environment(variable: impl Fn(&str) -> Option<String>) -> Value {
    let value = |(key, default): (String, Value)| {
        let text = variable(&environment_name(&key))?;
        Some((key, parse_like(&default, &text)))
    };
    defaults().into_iter().filter_map(value).collect::<Map<_, _>>().into()
}

/// A setting's value from its text, as the environment and `--set` have it: lists are split at commas, maps are JSON.
/// What does not fit the type stays text, and is refused with a message when it is merged.
pub fn parse(key: &str, text: &str) -> Value {
    let default = defaults().into_iter().find(|(name, _)| name == key);
    default.map_or_else(|| text.into(), |(_, default)| parse_like(&default, text))
}

fn parse_like(default: &Value, text: &str) -> Value {
    let json = || serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into());
    match default {
        Value::Array(_) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
        Value::Null if text.is_empty() => Value::Null,
        // What may be unset is a text.
        Value::Null | Value::String(_) => text.into(),
        Value::Object(_) | Value::Number(_) | Value::Bool(_) => json(),
    }
}

/// Every setting's name and default. Much cheaper than [`rows`].
fn defaults() -> Vec<(String, Value)> {
    leaves(&serde_json::to_value(Settings::default()).unwrap_or_default())
}

/// The values of a layer by dotted name. A map of free names (`sandbox.images`) is split too.
fn leaves(values: &Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
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
