//! The list of what a server serves: fetched behind an answer, kept for a day, and what comes of it.

use super::PYTHON;
use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer};
use crate::support::{KEY, Workspace, eventually, files_below};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn served() -> Value {
    json!({"object": "list", "data": [
        {"id": "openai/gpt-4o", "context_length": 128_000, "pricing": {"prompt": "0.0000025", "completion": "0.00001"}},
        {"id": "openai/gpt-4o-mini", "context_length": 128_000, "pricing": {"prompt": "0.00000015", "completion": "0.0000006"}},
        {"id": "tiny/gold", "context_length": 4_000, "pricing": {"prompt": "0.001", "completion": "0.01"}},
        {"id": "tiny/tin", "context_length": 4_000, "pricing": {"prompt": "0", "completion": "0"}},
    ]})
}

fn explained() -> ModelServer {
    let server = ModelServer::always(Answer::Text("It divides.".into()));
    server.serves(&served());
    server
}

fn workspace(server: &ModelServer, model: &str) -> Workspace {
    let workspace = PYTHON.workspace().model(server).no_sandbox();
    workspace
        .set("OPENDEVAGENT_AGENTS_ARCHITECT_MODEL", model)
        .set("OPENDEVAGENT_AGENTS_ARCHITECT_FALLBACKS", "")
}

/// What the home of a workspace holds of lists.
fn kept(home: &std::path::Path) -> Vec<(String, Value)> {
    let files = files_below(home).into_iter().filter(|(path, _)| path.contains("cache/opendevagent/models/"));
    files.map(|(path, bytes)| (path, serde_json::from_slice(&bytes).unwrap())).collect()
}

/// An editor with the server's own settings, the model of the Architect being `model`.
async fn edit(server: &ModelServer, model: &str) -> Editor {
    let settings = json!({
        "model": {"baseUrl": server.url()}, "sandbox": {"host": "off"},
        "agents": {"architect": {"model": model, "fallbacks": []}},
    });
    let mut editor = Editor::start(json!({}), json!({"settings": settings})).await;
    editor.request("opendevagent/setKey", json!({"key": KEY})).await.unwrap();
    editor.open("gcd.py", "python", "def gcd(a, b):\n    return a\n").await;
    editor
}

async fn log_of(editor: &mut Editor, command: &str) -> String {
    let task = editor.begin(command, "gcd.py").await;
    let record = editor.ended(&task).await;
    assert_eq!(record["phase"], "complete", "{record}");
    editor.expect("window/showMessage").await;
    let wire = editor.wire.lock().unwrap().clone();
    wire[wire.rfind("Task started").unwrap_or(0)..].to_owned()
}

#[tokio::test]
async fn the_list_is_fetched_behind_an_answer_and_unknown_models_are_told_once() {
    let server = explained();
    let mut editor = edit(&server, "openai/gpt-4p").await;
    let asked_before = server.lists().len();
    let log = log_of(&mut editor, "explain").await;
    assert!(!log.contains("does not list"), "nothing is known yet: {log}");
    let home = editor.directory.path().to_owned();
    let (path, list) = eventually("the list to be kept", SOON, || kept(&home).into_iter().next());
    assert!(path.ends_with("_v1.json"), "{path}");
    let price = json!({"prompt": 0.000_002_5, "answer": 0.000_01});
    assert_eq!(list["models"][0], json!({"id": "openai/gpt-4o", "context": 128_000, "price": price}));
    let lists = server.lists();
    let behind = &lists[asked_before..];
    assert_eq!(behind.len(), 1);
    assert!(!behind[0].iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")), "{behind:?}");

    let log = log_of(&mut editor, "explain").await;
    assert!(
        log.contains("does not list a model openai/gpt-4p; did you mean openai/gpt-4o?"),
        "the next one says so, and is answered: {log}"
    );
    let log = log_of(&mut editor, "explain").await;
    assert!(!log.contains("does not list"), "it is told once: {log}");
    assert_eq!(server.lists().len(), asked_before + 1, "it is asked once a day");
    editor.quit().await;
}

#[test]
fn models_are_listed_and_found() {
    let server = explained();
    let workspace = workspace(&server, "openai/gpt-4o");
    let all = workspace.run(&["models"]).exits(0).says("4 of 4 models of ");
    assert!(all.stdout.contains("128000 tokens  $2.50 / $10.00 per million"), "{all}");
    assert!(all.stdout.lines().next().unwrap().ends_with("architect"), "{all}");
    let some = workspace.run(&["models", "GPT", "mini", "--json"]).exits(0).json();
    let expect = json!([{
        "id": "openai/gpt-4o-mini", "context": 128_000,
        "prompt_usd_per_million": 0.15, "answer_usd_per_million": 0.6, "agents": [],
    }]);
    assert_eq!(some["models"], expect);
    assert_eq!(server.lists().len(), 1, "the second run read the cache");
    assert!(server.lists()[0].iter().all(|(_, value)| !value.contains(KEY)));
    let unknown = workspace.set("OPENDEVAGENT_AGENTS_ARCHITECT_MODEL", "tiny/golt");
    unknown
        .run(&["explain", "gcd.py"])
        .exits(0)
        .says("does not list a model tiny/golt; did you mean tiny/gold?");
}

#[test]
fn a_server_without_a_list_is_told_by_models_alone() {
    let server = explained();
    for garbage in ["<html>", "{}", r#"{"data": []}"#] {
        server.serves(&garbage);
        let workspace = workspace(&server, "m");
        workspace.run(&["models"]).exits(3).says("opendevagent: /models at 127.0.0.1:");
        let explained = workspace.run(&["explain", "gcd.py"]).exits(0);
        assert!(!explained.stderr.contains("Warning"), "{explained}");
        assert_eq!(kept(&workspace.home()), []);
    }
}

#[test]
fn listed_prices_are_kept_to_before_spending() {
    let server = explained();
    let workspace = workspace(&server, "tiny/gold");
    workspace.run(&["models"]).exits(0);
    let stopped = workspace.run(&["explain", "gcd.py"]).exits(6);
    stopped.says("the next call may cost $");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn listed_room_is_kept_to() {
    let server = explained();
    let workspace = workspace(&server, "tiny/tin");
    workspace.write("gcd.py", "# a line of the file\n".repeat(2_000));
    workspace.run(&["models"]).exits(0);
    workspace.run(&["explain", "gcd.py:1"]).exits(0).says("using tiny/tin on 127.0.0.1:");
    let request = &server.requests()[0];
    assert_eq!(request.body["max_tokens"], 1000);
    let prompt = request.prompt().len();
    assert!((3_000..12_000).contains(&prompt), "{prompt} bytes for 4000 tokens");
}
