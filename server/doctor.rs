//! `doctor`: whether everything a task needs is there, and what to do where it is not.

mod promises;

use crate::agent::dependencies::nobody;
use crate::config::{Loaded, user_file};
use crate::model::openai::{LocalServer, find_local};
use crate::model::{Model, ModelError};
use crate::sandbox::Sandbox;
use crate::sandbox::setup;
use crate::wiring::{self, AskKey};
use crate::workspace::{Documents, Snapshot};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    /// Also true for what is not there and not needed.
    pub ok: bool,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, ok: true, message: message.into(), remedy: None }
    }

    fn problem(name: &'static str, error: &str) -> Self {
        let (message, remedy) = remedy(error);
        Self { name, ok: false, message, remedy }
    }
}

/// What is wrong, and what to do: our errors end in the remedy, behind the last semicolon.
pub fn remedy(error: &str) -> (String, Option<String>) {
    match error.rsplit_once("; ") {
        Some((message, remedy)) => (message.to_owned(), Some(remedy.to_owned())),
        None => (error.to_owned(), None),
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<8} {}", if self.ok { "✓" } else { "✗" }, self.name, self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n           → {remedy}"),
            None => Ok(()),
        }
    }
}

/// Looks at settings, store, model and key, sandbox and image, editors. Asks the network, changes nothing. `ask` is where
/// an editor keeps the key.
pub async fn examine(loaded: &Loaded, workspace: Option<&Path>, ask: Option<AskKey>) -> Vec<Check> {
    let mut checks = vec![settings(loaded), store(loaded).await];
    match wiring::connect(loaded, ask, nobody()) {
        Ok(connected) => {
            let model: Arc<dyn Model> = connected.ports.model.clone();
            let (model, local, sandboxed) =
                tokio::join!(model.probe(), find_local(), sandbox(&*connected.ports.sandbox));
            checks.push(answer("model", model));
            checks.push(match local.as_slice() {
                [] => Check::ok("local", "no model server found on this machine"),
                found => Check::ok("local", found.iter().map(described).collect::<Vec<_>>().join("; ")),
            });
            let ready = sandboxed.first().is_some_and(|check| check.ok);
            checks.extend(sandboxed);
            if let Some(workspace) = workspace.filter(|_| ready) {
                checks.push(dependencies(&*connected.ports.sandbox, loaded, workspace).await);
            }
        }
        Err(error) => checks.push(Check::problem("model", &error.to_string())),
    }
    checks.extend(telemetry(loaded).await);
    checks.push(editors());
    checks
}

/// e.g. `Ollama at http://127.0.0.1:11434/v1 with qwen2.5-coder (4096 tokens)`.
fn described(server: &LocalServer) -> String {
    let models = server.models.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let room = server.window.as_ref().map_or(String::new(), |window| format!(" ({} tokens)", window.tokens));
    format!("{} at {} with {models}{room}", server.name, server.base_url)
}

fn settings(loaded: &Loaded) -> Check {
    let file = user_file().map_or_else(|| "no user file".into(), |path| path.display().to_string());
    match loaded.problems.as_slice() {
        [] => Check::ok("settings", format!("{} set, user file {file}", loaded.origins.len())),
        problems => Check {
            remedy: Some(format!("correct them in {file} or your editor")),
            ..Check::problem("settings", &problems.join("; "))
        },
    }
}

/// Where tasks are kept; a Redis that a team shares is asked.
async fn store(loaded: &Loaded) -> Check {
    match wiring::store(&loaded.settings).probe().await {
        Ok(detail) => Check::ok("store", detail),
        Err(error) => Check::problem("store", &error.to_string()),
    }
}

fn answer(name: &'static str, probed: Result<String, ModelError>) -> Check {
    match probed {
        Ok(detail) => Check::ok(name, detail),
        Err(error) => Check::problem(name, &error.to_string()),
    }
}

/// The engine and its image; where both are there, also whether the limits hold, shown by trying to break them.
async fn sandbox(sandbox: &dyn Sandbox) -> Vec<Check> {
    let engine = match sandbox.probe().await {
        Ok(detail) => Check::ok("sandbox", detail),
        Err(error) => return vec![Check::problem("sandbox", &error.to_string())],
    };
    let named = promises::named(&sandbox.limits());
    let limits = match promises::broken(sandbox).await {
        Ok(broken) if broken.is_empty() => Check::ok("limits", format!("hold: {named}")),
        Ok(broken) => Check {
            remedy: Some("use another engine or `sandbox.runtime`, or run only programs you trust".into()),
            ..Check::problem("limits", &format!("not enforced here: {} (of {named})", broken.join(", ")))
        },
        Err(error) => Check::problem("limits", &error.to_string()),
    };
    sandbox.close().await;
    vec![engine, limits]
}

/// Whether what the workspace's lock files name is installed for its checks.
async fn dependencies(sandbox: &dyn Sandbox, loaded: &Loaded, workspace: &Path) -> Check {
    const NAME: &str = "packages";
    let exclude = &loaded.settings.context.exclude;
    let Ok(snapshot) = Snapshot::take(workspace, &Documents::default(), exclude) else {
        return Check::ok(NAME, "the workspace cannot be read");
    };
    let (mut there, mut lacking) = (Vec::new(), Vec::new());
    for setup in setup::plans(&snapshot, loaded.settings.sandbox.setup.as_deref()) {
        let sources = setup.sources.join(", ");
        match sandbox.prepared(&setup).await {
            Ok(Some(image)) => there.push(format!("{sources} in {image}")),
            // One file may want more than one image, as package.json does for JavaScript and TypeScript.
            Ok(None) if lacking.contains(&sources) => {}
            Ok(None) => lacking.push(sources),
            Err(error) => return Check::problem(NAME, &error.to_string()),
        }
    }
    match (there.as_slice(), lacking.as_slice()) {
        ([], []) => Check::ok(NAME, "this workspace names no dependencies"),
        (there, []) => Check::ok(NAME, there.join("; ")),
        (_, lacking) => Check {
            remedy: Some("opendevagent sandbox setup".into()),
            ..Check::ok(NAME, format!("not installed for checks: what {} names", lacking.join(", ")))
        },
    }
}

/// Whether the collector takes an empty message; nothing where there is none.
async fn telemetry(loaded: &Loaded) -> Option<Check> {
    const NAME: &str = "traces";
    let telemetry = wiring::telemetry(&loaded.settings)?;
    Some(match telemetry.probe().await {
        Ok(detail) => Check::ok(NAME, detail),
        Err(error) => Check::problem(NAME, &error),
    })
}

/// The editors whose program is on the search path.
fn editors() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<_> =
        [("VS Code", "code"), ("Neovim", "nvim"), ("Helix", "hx"), ("Zed", "zed"), ("Emacs", "emacs")]
            .into_iter()
            .filter(|(_, program)| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
            .map(|(name, _)| name)
            .collect();
    match found.as_slice() {
        [] => Check::ok("editors", "none found on the search path; any editor with an LSP client will do"),
        found => Check::ok("editors", found.join(", ")),
    }
}
