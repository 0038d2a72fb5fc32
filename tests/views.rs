//! What the server tells editors that have views of their own: rows of tasks, proposals to look at again, what a
//! problem is about, and wishes that hold for one task alone.

use crate::editor::{Editor, Models};
use crate::model_server::{Answer, ModelServer};
use serde_json::{Value, json};

const PLAN: &str =
    r#"{"summary":"s","components":[{"name":"a","responsibility":"r"}],"steps":[{"title":"t"}]}"#;
const EDIT: &str = "a.py\n```python\n<<<<<<< SEARCH\none = 2\n=======\none = 1\n>>>>>>> REPLACE\n```\n";

/// One that follows events and tells the user itself how tasks end.
fn opted() -> Value {
    json!({"events": true, "status": true, "ends": true})
}

async fn event(editor: &mut Editor, kind: &str) -> Value {
    loop {
        let event = editor.expect("opendevagent/event").await["params"].take();
        if event["kind"] == kind {
            return event;
        }
    }
}

/// The status after the next task.
async fn idle(editor: &mut Editor) -> Value {
    let mut was_busy = false;
    loop {
        let status = editor.expect("opendevagent/status").await["params"].take();
        let is_busy = status["state"] == "busy";
        if was_busy && !is_busy {
            return status;
        }
        was_busy |= is_busy;
    }
}

/// All that comes of a task has come: `idle` was asked for, and the text of a plan is shown.
async fn leave(mut editor: Editor) {
    editor.ignore(&["opendevagent/event"]);
    editor.quit().await;
}

fn settings(server: &ModelServer) -> Value {
    let agent = json!({"model": "m", "fallbacks": []});
    json!({
        "model": {"baseUrl": server.url(), "keyEnv": "NO_SUCH_VARIABLE_OF_TEST"}, "sandbox": {"host": "off"},
        "agents": {"architect": agent, "coder": agent, "debugger": agent},
    })
}

#[tokio::test]
async fn a_proposal_can_be_looked_at_again_and_run_again() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let mut editor = Editor::start(json!({}), json!({"client": opted(), "settings": models.settings})).await;
    editor.open("a.py", "python", "one = 2\n").await;
    let task = editor.begin("generate", "a.py").await;
    let ended = event(&mut editor, "ended").await;
    assert_eq!((&ended["phase"], ended.get("stop")), (&json!("complete"), None));
    assert_eq!(idle(&mut editor).await["state"], "ready");
    let proposal = editor.request("opendevagent/proposal", json!({"task": task})).await.unwrap();
    assert_eq!(proposal["verdict"]["level"], "unverified");
    assert_eq!(proposal["files"][0]["uri"], editor.uri("a.py"));
    assert_eq!(proposal["files"][0]["after"], "one = 1\n");
    let rows = editor.request("opendevagent/tasks", Value::Null).await.unwrap();
    assert_eq!((&rows[0]["proposal"], &rows[0]["uri"]), (&json!("standing"), &json!(editor.uri("a.py"))));
    assert!(rows[0]["cost_usd"].is_f64(), "{rows}");
    editor.execute("discard", json!({"task": task})).await.unwrap();
    assert_eq!(event(&mut editor, "noted").await["text"], "Discarded");
    let rows = editor.request("opendevagent/tasks", Value::Null).await.unwrap();
    assert_eq!(rows[0]["proposal"], "discarded");

    let again = editor.request("opendevagent/again", json!({"task": task})).await.unwrap();
    let ended = event(&mut editor, "ended").await;
    assert_eq!(ended["task"], again["task"]);
    assert_ne!(again["task"], *task);
    idle(&mut editor).await;
    for request in ["opendevagent/again", "opendevagent/proposal"] {
        let unknown = editor.request(request, json!({"task": "none"})).await.unwrap_err();
        assert_eq!(unknown["code"], -32602, "{unknown}");
    }
    leave(editor).await;
}

#[tokio::test]
async fn a_folder_stands_for_the_whole_workspace() {
    let models = Models::start(&[("architect", PLAN)]).await;
    let mut editor = Editor::start(json!({}), json!({"client": opted(), "settings": models.settings})).await;
    let uri = editor.uri("");
    editor.execute("plan", json!({"uri": uri, "instruction": "a calculator"})).await.unwrap();
    assert_eq!(event(&mut editor, "started").await["title"], "plan");
    assert_eq!(event(&mut editor, "ended").await["phase"], "complete");
    idle(&mut editor).await;
    editor.expect("window/showMessage").await;
    leave(editor).await;
}

/// The sum that one call needs at least is far above what this task may cost.
#[tokio::test]
async fn a_budget_holds_for_one_task_alone() {
    let models = Models::start(&[("architect", PLAN)]).await;
    let mut settings = models.settings.clone();
    // A model with a price, which the wire never gets to see.
    settings["agents"]["architect"] = json!({"model": "openai/gpt-4o", "fallbacks": []});
    let mut editor = Editor::start(json!({}), json!({"client": opted(), "settings": settings})).await;
    editor.open("a.py", "python", "one = 2\n").await;
    let arguments = json!({"uri": editor.uri("a.py"), "instruction": "x", "budget": 0.000_001});
    editor.execute("plan", arguments).await.unwrap();
    let ended = event(&mut editor, "ended").await;
    assert_eq!((&ended["phase"], &ended["stop"]), (&json!("failed"), &json!("budget")), "{ended}");
    idle(&mut editor).await;
    leave(editor).await;
}

#[tokio::test]
async fn a_refused_key_is_told_from_a_server_that_is_away() {
    let server = ModelServer::guarded("the-right-key", |_| Answer::Text(PLAN.into()));
    let options = json!({"client": opted(), "settings": settings(&server)});
    let mut editor = Editor::start(json!({}), options).await;
    editor.open("a.py", "python", "one = 2\n").await;
    editor.begin("plan", "a.py").await;
    let ended = event(&mut editor, "ended").await;
    assert_eq!((&ended["phase"], &ended["stop"]), (&json!("failed"), &json!("key")), "{ended}");
    let problem = idle(&mut editor).await;
    assert_eq!(problem["about"], "key");
    assert!(problem["remedy"].is_string(), "{problem}");
    for (key, ok, refused) in [("a-wrong-key", false, true), ("the-right-key", true, false)] {
        let set = editor.request("opendevagent/setKey", json!({"key": key})).await.unwrap();
        assert_eq!((&set["ok"], &set["refused"]), (&json!(ok), &json!(refused)), "{set}");
    }
    // The problem is mended without a further task.
    assert_eq!(editor.expect("opendevagent/status").await["params"]["state"], "ready");
    editor.begin("plan", "a.py").await;
    assert_eq!(event(&mut editor, "ended").await["phase"], "complete");
    idle(&mut editor).await;
    editor.expect("window/showMessage").await;
    leave(editor).await;
}
