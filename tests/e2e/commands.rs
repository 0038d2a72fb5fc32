//! `config`, `doctor`, `sandbox` and `demo`.

use super::{PYTHON, level};
use crate::model_server::ModelServer;
use crate::support::{KEY, Workspace, docker};
use serde_json::{Value, json};

/// Every documented setting with its default.
fn documented() -> Vec<(&'static str, Value)> {
    let mut settings = vec![
        ("model.baseUrl", json!("https://openrouter.ai/api/v1")),
        ("model.keyEnv", json!("OPENROUTER_API_KEY")),
        ("model.keyCommand", Value::Null),
        ("model.dataCollection", json!("deny")),
        ("model.zdr", json!(false)),
        ("agents.architect.model", json!("openai/gpt-4o")),
        ("agents.architect.temperature", json!(0.3)),
        ("agents.coder.model", json!("mistralai/codestral-2508")),
        ("agents.coder.temperature", json!(0.2)),
        ("agents.debugger.model", json!("anthropic/claude-sonnet-4.5")),
        ("agents.debugger.temperature", json!(0.2)),
        ("budget.usdPerTask", json!(0.5)),
        ("budget.tokensPerTask", json!(200_000)),
        ("budget.secondsPerTask", json!(900)),
        ("pipeline.repairRounds", json!(3)),
        ("sandbox.host", Value::Null),
        ("sandbox.runtime", json!("runc")),
        ("sandbox.images", json!({})),
        ("context.exclude", json!([])),
        ("store.url", Value::Null),
        ("dashboard.enabled", json!(true)),
        ("telemetry.otlpEndpoint", Value::Null),
    ];
    let fallbacks = ["agents.architect.fallbacks", "agents.coder.fallbacks", "agents.debugger.fallbacks"];
    settings.extend(fallbacks.map(|key| (key, json!(["meta-llama/llama-3.1-70b-instruct"]))));
    let numbers = [
        ("limits.requestsPerMinute", 20),
        ("limits.concurrentCalls", 4),
        ("limits.concurrentTasks", 8),
        ("limits.connectSeconds", 10),
        ("limits.firstByteSeconds", 60),
        ("limits.firstTokenSeconds", 120),
        ("limits.idleSeconds", 30),
        ("limits.callSeconds", 600),
        ("limits.retries", 3),
        ("limits.maxHintSeconds", 30),
        ("sandbox.cpus", 1),
        ("sandbox.memoryMiB", 512),
        ("sandbox.timeoutSeconds", 300),
        ("sandbox.pids", 128),
        ("sandbox.outputKiB", 1024),
        ("sandbox.scratchMiB", 256),
        ("sandbox.warm", 1),
        ("context.maxTokens", 24_000),
    ];
    settings.extend(numbers.map(|(key, number)| (key, json!(number))));
    settings
}

/// The schema of one setting, found by its dotted name.
fn setting<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(schema, |node, part| {
        let target =
            node["$ref"].as_str().and_then(|reference| schema.pointer(reference.trim_start_matches('#')));
        target.unwrap_or(node).get("properties")?.get(part)
    })
}

/// Equal, numbers as numbers: 1 is 1.0, and 0.2 is what 32 bits make of it.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() < 1e-6,
        _ => left == right,
    }
}

#[test]
fn the_schema_knows_every_setting() {
    let schema = Workspace::new("").run(&["config", "schema"]).exits(0).json();
    for (key, default) in documented() {
        let found = setting(&schema, key).unwrap_or_else(|| panic!("{key} is not in the schema"));
        assert!(same(&found["default"], &default), "{key}: {} instead of {default}", found["default"]);
    }
}

#[test]
fn settings_in_force_tell_where_they_come_from() {
    let workspace = Workspace::new("//- /.opendevagent.toml\n[sandbox]\nmemoryMiB = 100\ncpus = 64\n");
    let workspace =
        workspace.set("OPENDEVAGENT_AGENTS_CODER_FALLBACKS", "").set("OPENDEVAGENT_LIMITS_RETRIES", "7");
    let shown = workspace.run(&["config", "show", "--set", "limits.retries=2"]).exits(0).json();
    let at = |key: &str| {
        shown["settings"].pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default()
    };
    assert_eq!(at("agents.coder.fallbacks"), json!([]));
    assert_eq!(at("limits.retries"), 2, "the command line wins over the environment");
    assert_eq!(at("sandbox.memoryMiB"), 100, "a workspace may ask for less");
    assert!(same(&at("sandbox.cpus"), &json!(1)), "a workspace must not take more");
    assert_eq!(shown["origins"]["limits.retries"], "command line");
}

#[test]
fn a_workspace_cannot_choose_where_code_and_keys_go() {
    let server = ModelServer::always("# nothing".to_owned());
    let hostile = format!("[model]\nbaseUrl = '{}'\n", server.url());
    let workspace = PYTHON.workspace().no_sandbox().set("OPENROUTER_API_KEY", KEY);
    // What it would ask instead is not there either.
    let workspace = workspace.set("OPENDEVAGENT_MODEL_BASE_URL", "http://127.0.0.1:9/v1");
    workspace.write(".opendevagent.toml", hostile);
    workspace.run(&["fix", "--set", "limits.retries=1"]).exits(3).says(".opendevagent.toml");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn doctor_names_each_part_and_its_remedy() {
    let server = ModelServer::always("anything".to_owned());
    let workspace = Workspace::new("").no_sandbox();
    let checks = workspace.run(&["doctor", "--json"]).exits(1).json()["checks"].clone();
    let checks = checks.as_array().cloned().unwrap_or_default();
    let problem =
        |name: &str| checks.iter().find(|check| check["name"] == name && check["ok"] == false).cloned();
    for name in ["model", "sandbox"] {
        let problem = problem(name).unwrap_or_else(|| panic!("no problem with the {name} in {checks:#?}"));
        assert!(
            problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()),
            "no remedy in {problem:#}"
        );
    }
    if docker() {
        Workspace::new("").model(&server).run(&["doctor"]).exits(0);
    }
}

#[test]
fn the_demo_is_proven_within_two_rounds() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("");
    let report = workspace.run(&["demo", "--yes", "--json"]).exits(0).json();
    assert_eq!(level(&report), "proven");
    assert_eq!(report["rounds"], 2, "a wrong repair, then a right one");
    let shown = workspace.run(&["demo", "--yes"]).exits(0);
    for words in [
        "replay",
        "[PHASE 1: PLANNING]",
        "✗ Execution failed with exit code 1",
        "✓ All tests passed!",
        "proven",
        "+++ b/",
    ] {
        assert!(format!("{}{}", shown.stdout, shown.stderr).contains(words), "no {words:?} in\n{shown}");
    }
}

#[test]
fn the_demo_without_a_sandbox_is_unverified() {
    let ended = Workspace::new("").no_sandbox().run(&["demo", "--json"]).exits(1);
    assert_eq!(level(&ended.json()), "unverified", "{ended}");
}

#[test]
fn the_sandbox_can_be_listed_and_swept() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("");
    let list = workspace.run(&["sandbox", "list"]).exits(0).json();
    assert_eq!(list["present"], true, "{list:#}");
    workspace.run(&["sandbox", "prune"]).exits(0);
    workspace.set("OPENDEVAGENT_SANDBOX_HOST", "unix:///nonexistent.sock").run(&["sandbox", "list"]).exits(4);
}
