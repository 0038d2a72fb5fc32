//! Tests of merging, names and the untrusted workspace file.

use super::*;
use serde_json::json;

fn layer(origin: &str, values: Value) -> Layer {
    Layer { origin: origin.into(), values }
}

#[test]
fn later_layers_win_and_are_remembered() {
    let loaded = merge(&[
        layer("file", json!({"sandbox": {"memoryMiB": 256, "cpus": 0.5}})),
        layer("editor", json!({"sandbox.memoryMiB": 128, "agents.coder.fallbacks": []})),
    ]);
    assert_eq!(loaded.problems, Vec::<String>::new());
    assert_eq!(loaded.settings.sandbox.memory_mib, 128);
    assert!((loaded.settings.sandbox.cpus - 0.5).abs() < f64::EPSILON);
    assert!(loaded.settings.agents.coder.fallbacks.is_empty());
    assert_eq!(loaded.origins["sandbox.memoryMiB"], "editor");
}

#[test]
fn a_bad_value_costs_only_itself() {
    let loaded = merge(&[layer(
        "editor",
        json!({"sandbox": {"cpus": "many", "pids": 7}, "nonsense": 1, "limits": {"idleSeconds": -1}}),
    )]);
    assert_eq!(loaded.settings.sandbox.pids, 7);
    assert!((loaded.settings.sandbox.cpus - 1.0).abs() < f64::EPSILON);
    assert_eq!(loaded.problems.len(), 3, "{:?}", loaded.problems);
    assert!(loaded.problems.iter().all(|problem| problem.contains("from editor is not used")));
}

#[test]
fn environment_names_follow_the_keys() {
    let names: Vec<_> = rows().into_iter().map(|row| row.environment).collect();
    for name in [
        "OPENDEVAGENT_MODEL_BASE_URL",
        "OPENDEVAGENT_AGENTS_CODER_FALLBACKS",
        "OPENDEVAGENT_SANDBOX_MEMORY_MIB",
        "OPENDEVAGENT_SANDBOX_OUTPUT_KIB",
        "OPENDEVAGENT_BUDGET_USD_PER_TASK",
    ] {
        assert!(names.iter().any(|one| one == name), "{name} is missing in {names:?}");
    }
    let values = environment(|name| match name {
        "OPENDEVAGENT_AGENTS_CODER_FALLBACKS" => Some("a/b, c/d".into()),
        "OPENDEVAGENT_AGENTS_CODER_TEMPERATURE" => Some("0.7".into()),
        "OPENDEVAGENT_MODEL_ZDR" => Some("true".into()),
        "OPENDEVAGENT_SANDBOX_HOST" => Some("off".into()),
        "OPENDEVAGENT_AGENTS_DEBUGGER_FALLBACKS" => Some(String::new()),
        _ => None,
    });
    let loaded = merge(&[layer("environment", values)]);
    assert_eq!(loaded.problems, Vec::<String>::new());
    assert_eq!(loaded.settings.agents.coder.fallbacks, ["a/b", "c/d"]);
    assert!(loaded.settings.model.zdr);
    assert_eq!(loaded.settings.sandbox.host.as_deref(), Some("off"));
    assert!(loaded.settings.agents.debugger.fallbacks.is_empty());
    assert_eq!(names, defaults().iter().map(|(key, _)| environment_name(key)).collect::<Vec<_>>());
}

#[test]
fn text_is_read_as_the_setting_has_it() {
    for (key, text, value) in [
        ("sandbox.images", "{\"go\": \"x\"}", json!({"go": "x"})),
        ("sandbox.images", "{", json!("{")),
        ("sandbox.images.go", "x", json!("x")),
        ("sandbox.cpus", " 2 ", json!(2)),
        ("sandbox.cpus", "many", json!("many")),
        ("sandbox.host", "", json!(null)),
        ("sandbox.host", "off", json!("off")),
        ("model.zdr", "true", json!(true)),
        ("model.dataCollection", "allow", json!("allow")),
        ("model.keyEnv", "7", json!("7")),
        ("context.exclude", "a, ,b", json!(["a", "b"])),
    ] {
        assert_eq!(parse(key, text), value, "{key} {text}");
    }
    let file = layer("file", json!({"sandbox": {"images": {"go": "x"}}}));
    let empty = layer("editor", json!({"sandbox": {"images": {}}}));
    assert_eq!(merge(&[file, empty]).settings.sandbox.images["go"], "x");
}

#[test]
fn the_schema_is_that_of_the_settings() {
    let mut schema = schemars::schema_for!(Settings).to_value();
    schema["title"] = json!("OpenDevAgent settings");
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    expect_test::expect_file!["schema.json"].assert_eq(&(text + "\n"));
}

#[test]
fn every_setting_has_a_description_and_a_default() {
    for row in rows() {
        assert!(!row.description().is_empty(), "{} has no description", row.key);
        assert!(row.schema.get("default").is_some(), "{} has no default", row.key);
        let is_text = row.schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!("string")));
        assert!(!row.default().is_null() || is_text, "{} could not be read from text", row.key);
    }
}

#[test]
fn a_workspace_only_narrows() {
    let check = |text: &str| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(WORKSPACE_FILE), text).unwrap();
        let mut loaded = Loaded::default();
        match read_toml::<WorkspaceFile>(&directory.path().join(WORKSPACE_FILE)) {
            Ok(Some(file)) => loaded.narrow(file),
            Ok(None) => panic!("the file exists"),
            Err(problem) => loaded.problems.push(problem),
        }
        loaded
    };
    let narrowed =
        check("check = 'make test'\n[sandbox]\nmemoryMiB = 100\ncpus = 4\n[context]\nexclude = ['x/']");
    assert_eq!(narrowed.check.as_deref(), Some("make test"));
    assert_eq!(narrowed.settings.sandbox.memory_mib, 100);
    assert!((narrowed.settings.sandbox.cpus - 1.0).abs() < f64::EPSILON);
    assert_eq!(narrowed.settings.context.exclude, ["x/"]);
    for hostile in [
        "[model]\nbaseUrl = 'http://evil'",
        "[sandbox]\nhost = 'tcp://evil'",
        "[sandbox.images]\npython = 'evil'",
    ] {
        let loaded = check(hostile);
        assert_eq!(loaded.settings, Settings::default());
        assert_eq!(loaded.problems.len(), 1);
    }
}
