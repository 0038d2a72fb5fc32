//! A model that says nothing more, and one that says too much: the editor works on, and the connection ends with the
//! task. Times are printed (`--show-output`), order is asserted.

use crate::e2e::PYTHON;
use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer};
use serde_json::{Value, json};
use std::time::Instant;

const PLAN: &str = r#"{"summary":"s","components":[{"name":"a","responsibility":"b"}]}"#;

/// The architect plans, the coder begins and falls silent.
fn stalls() -> ModelServer {
    ModelServer::start(|request| match request.model() {
        "architect" => Answer::Text(PLAN.into()),
        _ => Answer::Stall("Let me see, ".into()),
    })
}

async fn edit(server: &ModelServer) -> Editor {
    let agent = |name: &str| json!({"model": name, "fallbacks": []});
    let settings = json!({
        "model": {"baseUrl": server.url()}, "sandbox": {"host": "off"},
        "agents": {"architect": agent("architect"), "coder": agent("coder"), "debugger": agent("debugger")},
    });
    let able = json!({"window": {"workDoneProgress": true}});
    let mut editor = Editor::start(able, json!({"client": {"events": true}, "settings": settings})).await;
    editor.open("a.py", "python", "def a():\n    pass\n").await;
    editor
}

/// Begins to generate; its task, with its progress shown.
async fn generate(editor: &mut Editor) -> String {
    let task = editor.begin("generate", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    task
}

/// Waits for the last word on the task, and leaves.
async fn leave(mut editor: Editor) {
    while editor.expect("opendevagent/event").await["params"]["kind"] != "ended" {}
    let plan = editor.expect("window/showMessage").await;
    assert!(
        plan["params"]["message"].as_str().unwrap().contains("-generate.md"),
        "what there is, is shown: {plan}"
    );
    editor.ignore(&["opendevagent/event"]);
    editor.quit().await;
}

/// Waits until the agent has said something.
async fn said(editor: &mut Editor, agent: &str) {
    while {
        let event = editor.expect("opendevagent/event").await;
        event["params"]["kind"] != "said" || event["params"]["agent"] != agent
    } {}
}

#[tokio::test]
async fn a_stalled_model_hinders_nothing_and_cancel_closes_its_connection() {
    let server = stalls();
    let mut editor = edit(&server).await;
    let task = generate(&mut editor).await;
    said(&mut editor, "coder").await;

    let asked = Instant::now();
    let titles = editor.titles("a.py", 0).await;
    println!("a code action beside a stalled model: {:.2} ms", asked.elapsed().as_secs_f64() * 1e3);
    assert!(titles.contains(&"Cancel OpenDevAgent task".to_owned()), "{titles:?}");
    assert_eq!(server.hung_up(), 0, "it is still answering");

    let cancelled = Instant::now();
    editor.execute("cancel", json!({ "task": task })).await.unwrap();
    let record = editor.ended(&task).await;
    println!("cancelled to ended: {:.2} ms", cancelled.elapsed().as_secs_f64() * 1e3);
    server.wait_for_hang_up();
    println!("cancelled to the connection closed: {:.2} ms", cancelled.elapsed().as_secs_f64() * 1e3);
    assert_eq!(record["phase"], "cancelled");
    // The plan was told by the wire; of the coder's answer only what had arrived is known.
    let usage = &record["usage"]["by_agent"];
    assert_eq!(usage["architect"]["completion_tokens"], 20);
    assert!(usage["architect"].get("estimated").is_none(), "{usage}");
    assert_eq!(
        (&usage["coder"]["completion_tokens"], &usage["coder"]["estimated"]),
        (&json!(4), &json!(true))
    );
    assert_eq!(record["usage"]["estimated"], true);
    leave(editor).await;
}

#[tokio::test]
async fn an_editor_shows_who_is_waited_for() {
    let server = stalls();
    let mut editor = edit(&server).await;
    let task = generate(&mut editor).await;
    let shown = loop {
        let progress = editor.expect("$/progress").await;
        let message = progress["params"]["value"]["message"].as_str().unwrap_or_default().to_owned();
        if message.starts_with("waiting for coder, ") {
            break message;
        }
    };
    let seconds = shown.trim_start_matches("waiting for coder, ").trim_end_matches(" s");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{shown}");
    editor.execute("cancel", json!({ "task": task })).await.unwrap();
    assert_eq!(editor.ended(&task).await["phase"], "cancelled");
    server.wait_for_hang_up();
    leave(editor).await;
}

/// The answer goes on and on: its connection is closed in the middle, and the budget is what ended it.
#[test]
fn an_answer_beyond_the_budget_is_cut_off() {
    let flood = format!("{} ", "a".repeat(500)).repeat(60);
    let server = ModelServer::always(Answer::Stall(flood));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    let ended = workspace
        .set("OPENDEVAGENT_BUDGET_TOKENS_PER_TASK", "2500")
        .run(&["explain", "gcd.py", "--json"])
        .exits(6);
    server.wait_for_hang_up();
    let report = ended.json();
    assert!(report["error"].to_string().contains("wrote more than the"), "{report}");
    assert_eq!((server.requests().len(), &report["usage"]["estimated"]), (1, &json!(true)), "{report}");
    assert!(
        report["usage"]["completion_tokens"].as_u64().unwrap() > 250,
        "what arrived is counted: {report}"
    );
}
