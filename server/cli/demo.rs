//! `opendevagent demo`: the whole loop on a small bundled project with a real bug.
//!
//! The model is recorded, and said to be, unless `--model` asks for a real one. The sandbox is never recorded.

use super::replay::Watcher;
use super::{complain, engine, print, print_json, task};
use crate::agent::Ports;
use crate::agent::dependencies::nobody;
use crate::agent::task::{Report, Target, Task};
use crate::config::Loaded;
use crate::event::Action;
use crate::model::Model;
use crate::model::openai::find_local;
use crate::model::replay::Replay;
use crate::sandbox::language;
use crate::verdict::Level;
use crate::wiring;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The sample, file by file.
const PROJECT: &[(&str, &str)] = &[
    ("shares.py", include_str!("../demo/project/shares.py")),
    ("tests/test_shares.py", include_str!("../demo/project/tests/test_shares.py")),
];
const TRANSCRIPT: &str = include_str!("../demo/transcript.jsonl");
const TARGET: &str = "shares.py";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Install and build what is missing without asking.
    #[arg(long)]
    yes: bool,
    /// Ask a real model: the configured one when there is a key, else a local server.
    #[arg(long)]
    model: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: DemoArgs, loaded: &Loaded) -> u8 {
    engine::prepare(loaded, language::by_name("python"), args.yes).await;
    let project = match Project::write() {
        Ok(project) => project,
        Err(error) => return super::usage(&format!("the sample could not be written: {error}")),
    };
    let (model, loaded) = match model(args.model, loaded).await {
        Ok(ready) => ready,
        Err(why) => {
            complain(&format!("opendevagent: {why}"));
            return 3;
        }
    };
    complain(&format!("Model: {}", model.describe()));
    complain(&format!("Project: {}", project.0.display()));
    let ports = Arc::new(wiring::ports(&loaded, model, nobody()));
    let plan = ask(&ports, Action::Plan, &project.0, None).await;
    if let Some(text) = plan.text.as_ref().filter(|_| !args.json) {
        print(&format!("\n{text}\n"));
    }
    if plan.stop.is_some() {
        return finish(&args, &plan);
    }
    let report = ask(&ports, Action::Fix, &project.0, plan.text).await;
    finish(&args, &report)
}

async fn ask(ports: &Arc<Ports>, action: Action, root: &Path, plan: Option<String>) -> Report {
    let mut wanted = Task::new(action, root.to_owned());
    wanted.target = Some(Target { path: TARGET.into(), lines: None });
    wanted.plan = plan;
    if action == Action::Plan {
        wanted.instruction = Some("Find out why the tests of this file fail, and plan the repair.".into());
    }
    task::watch(ports.clone(), wanted, Watcher::None, None).await
}

fn finish(args: &DemoArgs, report: &Report) -> u8 {
    if args.json {
        print_json(report);
        return report.exit_code();
    }
    for edit in &report.edits {
        print(&format!("\n{}", edit.diff));
    }
    for round in &report.history {
        print(&format!("\nAttempt {}: {} ({})", round.attempt, round.level.name(), round.reason));
    }
    let level = report.verdict.as_ref().map_or(Level::Unverified, |verdict| verdict.level);
    let reason = report.verdict.as_ref().map_or_else(|| report.summary(), |verdict| verdict.reason.clone());
    print(&format!(
        "\n\nVerdict: {} ({reason})\nTime: {:.1} s, of which {:.2} s were ours\n",
        level.name(),
        report.duration_ms as f64 / 1000.0,
        report.overhead_ms as f64 / 1000.0
    ));
    report.exit_code()
}

/// The recorded model, or with `--model` the configured server, or the first local one.
async fn model(real: bool, loaded: &Loaded) -> Result<(Arc<dyn Model>, Loaded), String> {
    if !real {
        let replay = Replay::from_str("the bundled demo", TRANSCRIPT).map_err(|error| error.to_string())?;
        return Ok((Arc::new(replay), loaded.clone()));
    }
    let mut loaded = loaded.clone();
    let keys = Arc::new(wiring::Keys::new(&loaded.settings, None));
    let has_key = crate::model::openai::KeySource::key(&*keys, false).await.is_some();
    let configured = loaded.origins.contains_key("model.baseUrl");
    if !has_key && !configured {
        let found = find_local().await;
        let Some(server) = found.into_iter().find(|server| !server.models.is_empty()) else {
            return Err(format!(
                "no key in {} and no local model server was found; set the key, or start Ollama, llama.cpp, LM Studio or vLLM",
                loaded.settings.model.key_env
            ));
        };
        complain(&format!("Using {} on {}", server.models[0], server.name));
        let changed = json!({
            "model.baseUrl": server.base_url,
            "agents.architect.model": server.models[0],
            "agents.coder.model": server.models[0],
            "agents.debugger.model": server.models[0],
        });
        loaded = crate::config::load(&[], Some(&changed), None);
    }
    let server = wiring::model(&loaded.settings, keys).map_err(|error| error.to_string())?;
    Ok((Arc::new(server), loaded))
}

/// A copy of the sample in a folder of its own, removed in the end.
struct Project(PathBuf);

impl Project {
    fn write() -> std::io::Result<Self> {
        let root = std::env::temp_dir().join(format!("opendevagent-demo-{}", uuid::Uuid::new_v4().simple()));
        let project = Self(root);
        for (path, text) in PROJECT {
            let path = project.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&project.0))?;
            std::fs::write(path, text)?;
        }
        Ok(project)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // It lies in the folder for temporary files; what cannot be removed goes with it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
