//! What tasks are run with: models, limits, containers, the store.

use crate::config::Loaded;
use crate::dashboard::words;
use crate::journal::{Query, Store};
use crate::sandbox::SandboxError;
use crate::sandbox::docker::Listed;
use crate::wiring;
use maud::{Markup, html};
use std::time::Duration;

/// How long the engine may take to say what runs.
const ENGINE: Duration = Duration::from_secs(3);

/// What the page shows of the world outside.
pub(in crate::dashboard) struct Facts {
    loaded: Loaded,
    containers: Result<Vec<Listed>, String>,
    tasks: Result<usize, String>,
    store: String,
    /// Who shares the store and is there.
    there: Vec<String>,
    trouble: Option<String>,
}

impl Facts {
    pub(in crate::dashboard) async fn gather(loaded: Loaded, store: &dyn Store) -> Self {
        let every = Query::default();
        let (containers, tasks) = tokio::join!(containers(&loaded), store.list(&every));
        Self {
            containers,
            tasks: tasks.map(|rows| rows.len()).map_err(|error| error.to_string()),
            store: store.describe(),
            there: store.there().await,
            trouble: store.problem().map(|problem| problem.to_string()),
            loaded,
        }
    }
}

async fn containers(loaded: &Loaded) -> Result<Vec<Listed>, String> {
    let listed = async { wiring::docker(&loaded.settings)?.containers().await };
    match tokio::time::timeout(ENGINE, listed).await {
        Ok(listed) => listed.map_err(|error: SandboxError| error.to_string()),
        Err(_) => Err(format!("the engine did not answer within {} s", ENGINE.as_secs())),
    }
}

pub(in crate::dashboard) fn system(facts: &Facts) -> Markup {
    html! {
        h1 { "System" }
        div.two {
            (models(&facts.loaded))
            (sandbox(facts))
            (limits(&facts.loaded))
            (store(facts))
        }
        @if !facts.loaded.problems.is_empty() {
            section.card {
                h2 { "Settings that are not used" }
                ul { @for problem in &facts.loaded.problems { li { (problem) } } }
            }
        }
        p.hint { "OpenDevAgent " (env!("CARGO_PKG_VERSION")) ", process " (std::process::id()) }
    }
}

fn card(heading: &str, rows: &[(&str, String)], more: &Markup) -> Markup {
    html! {
        section.card {
            h2 { (heading) }
            table.plain {
                tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } }
            }
            (more)
        }
    }
}

fn models(loaded: &Loaded) -> Markup {
    let settings = &loaded.settings;
    let agents = &settings.agents;
    let agent = |model: &str, temperature: f64, fallbacks: &[String]| {
        let then =
            if fallbacks.is_empty() { String::new() } else { format!(", then {}", fallbacks.join(", ")) };
        format!("{model} at {temperature}{then}")
    };
    let (architect, coder, debugger) = (&agents.architect, &agents.coder, &agents.debugger);
    let rows = [
        ("Server", settings.model.base_url.clone()),
        ("Architect", agent(&architect.model, architect.temperature, &architect.fallbacks)),
        ("Coder", agent(&coder.model, coder.temperature, &coder.fallbacks)),
        ("Debugger", agent(&debugger.model, debugger.temperature, &debugger.fallbacks)),
        ("Data collection", settings.model.data_collection.name().into()),
    ];
    card("Models", &rows, &html! {})
}

fn sandbox(facts: &Facts) -> Markup {
    let limits = facts.loaded.settings.sandbox_limits();
    let rows = [
        ("CPUs", limits.cpus.to_string()),
        ("Memory", words::bytes(limits.memory_mib << 20)),
        ("Time", words::duration(limits.timeout.as_millis() as u64)),
        ("Processes", limits.pids.to_string()),
        ("Output", words::bytes(limits.output_kib << 10)),
        ("Scratch", words::bytes(limits.scratch_mib << 20)),
        ("Network", limits.network.into()),
        ("Runtime", facts.loaded.settings.sandbox.runtime.clone()),
    ];
    card(
        "Sandbox",
        &rows,
        &html! {
            h3 { "Containers" }
            @match &facts.containers {
                Err(why) => p.problem { (why) },
                Ok(containers) if containers.is_empty() => p.hint { "None runs." },
                Ok(containers) => ul {
                    @for container in containers {
                        li {
                            code { (container.id.get(..12).unwrap_or(&container.id)) } " " (container.state)
                            @if container.task.is_empty() { ", kept ready" } @else { " for " a href=(format!("task/{}", container.task)) { "its task" } }
                        }
                    }
                },
            }
        },
    )
}

fn limits(loaded: &Loaded) -> Markup {
    let (limits, budget) = (&loaded.settings.limits, &loaded.settings.budget);
    let rows = [
        ("Calls per minute", limits.requests_per_minute.to_string()),
        ("Calls at once", limits.concurrent_calls.to_string()),
        ("Tasks at once", limits.concurrent_tasks.to_string()),
        ("Tries of a call", limits.retries.to_string()),
        ("Cost of a task", words::dollars(budget.usd_per_task)),
        ("Tokens of a task", words::count(budget.tokens_per_task)),
        ("Time of a task", words::duration((budget.seconds_per_task * 1000.0) as u64)),
        ("Repairs", loaded.settings.pipeline.repair_rounds.to_string()),
    ];
    card("Limits and budget", &rows, &html! {})
}

fn store(facts: &Facts) -> Markup {
    let tasks = match &facts.tasks {
        Ok(tasks) => words::count(*tasks as u64),
        Err(why) => why.clone(),
    };
    let mut rows = vec![("Kept in", facts.store.clone()), ("Tasks", tasks)];
    if !facts.there.is_empty() {
        rows.push(("There now", facts.there.join(", ")));
    }
    rows.extend(facts.trouble.clone().map(|trouble| ("Trouble", trouble)));
    card("Store", &rows, &html! {})
}
