//! Plans as documents whose steps are generated, and what reviews find on its way to a fix.

use super::logged;
use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer};
use crate::support::{docker, eventually};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const PLAN: &str = r#"{"summary": "Say hello", "steps": [
    {"title": "Greet", "files": ["a.py"]}, {"title": "Part", "files": ["b.py"]}]}"#;

/// Answers with the plan, then each step with a file of its own; tests are not written.
fn model() -> ModelServer {
    ModelServer::start(|request| {
        let prompt = request.prompt();
        let step = ["a", "b"]
            .into_iter()
            .enumerate()
            .find(|(index, _)| prompt.contains(&format!("Do step {} of the plan and no other", index + 1)));
        Answer::Text(match step {
            Some((_, name)) => format!("{name}.py\n```python\nprint('{name}')\n```\n"),
            None => PLAN.into(),
        })
    })
}

fn capabilities() -> Value {
    json!({
        "workspace": {"applyEdit": true, "workspaceEdit": {
            "documentChanges": true, "resourceOperations": ["create"]}},
        "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}},
        "window": {"showMessage": {}, "showDocument": {"support": true}},
    })
}

async fn start(server: &ModelServer, sandbox: Option<&str>) -> Editor {
    let settings = json!({"model": {"baseUrl": server.url()}, "sandbox": {"host": sandbox}});
    Editor::start(capabilities(), json!({"settings": settings})).await
}

/// Answers `window/showDocument`; the file that is shown.
async fn shown(editor: &mut Editor) -> PathBuf {
    let show = editor.expect("window/showDocument").await;
    editor.reply(&show, json!({"success": true})).await;
    assert_eq!(show["params"]["takeFocus"], false, "it comes when it likes, and the user may be typing");
    url::Url::parse(show["params"]["uri"].as_str().unwrap()).unwrap().to_file_path().unwrap()
}

/// Plans for a file; the plan's task and document.
async fn plan(editor: &mut Editor) -> (String, PathBuf) {
    editor.open("main.py", "python", "print(1)\n").await;
    let task = editor.begin("plan", "main.py").await;
    (task, shown(editor).await)
}

/// The lenses of a plan's document: title, line and command.
async fn lenses(editor: &mut Editor, document: &PathBuf) -> Vec<(String, u64, Value)> {
    let uri = url::Url::from_file_path(document).unwrap();
    let params = json!({"textDocument": {"uri": uri.as_str()}});
    let lenses = editor.request("textDocument/codeLens", params).await.unwrap();
    let lens = |lens: &Value| {
        let title = lens["command"]["title"].as_str().unwrap().to_owned();
        (title, lens["range"]["start"]["line"].as_u64().unwrap(), lens["command"].clone())
    };
    lenses.as_array().unwrap().iter().map(lens).collect()
}

fn titles(lenses: &[(String, u64, Value)]) -> Vec<(&str, u64)> {
    lenses.iter().map(|(title, line, _)| (title.as_str(), *line)).collect()
}

async fn press(editor: &mut Editor, lens: &(String, u64, Value)) -> Value {
    let name = lens.2["command"].as_str().unwrap().strip_prefix("opendevagent.").unwrap().to_owned();
    editor.execute(&name, lens.2["arguments"][0].clone()).await.unwrap()
}

/// Takes the proposal that is asked about next, and writes what it creates.
async fn apply(editor: &mut Editor, name: &str) {
    let question = editor.expect("window/showMessageRequest").await;
    assert!(question["params"]["message"].as_str().unwrap().contains(name), "{question}");
    editor.reply(&question, json!({"title": "Apply"})).await;
    let edit = editor.expect("workspace/applyEdit").await;
    std::fs::write(editor.workspace().join(name), format!("print('{}')\n", &name[..1])).unwrap();
    editor.reply(&edit, json!({"applied": true})).await;
}

fn written(document: &PathBuf, words: &str) {
    eventually(words, Duration::from_secs(60), || {
        std::fs::read_to_string(document).unwrap().contains(words).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_generated_and_its_end_stands_in_the_plan() {
    let server = model();
    let mut editor = start(&server, Some("off")).await;
    let (task, document) = plan(&mut editor).await;
    written(&document, "1. [ ] **Greet** (a.py)\n2. [ ] **Part** (b.py)\n");
    let first = lenses(&mut editor, &document).await;
    assert_eq!(titles(&first), [("Generate all", 0), ("Generate this step", 6), ("Generate this step", 7)]);
    let wrong = |step: Value| json!({"uri": first[0].2["arguments"][0]["uri"], "plan": task, "step": step});
    assert!(editor.execute("generate", wrong(json!(3))).await.is_err());
    assert!(editor.execute("fix", wrong(json!(1))).await.is_err());

    let step = press(&mut editor, &first[1]).await["task"].as_str().unwrap().to_owned();
    editor.ended(&step).await;
    // Nothing can be run here, so that the step is no success, yet it may be taken.
    apply(&mut editor, "a.py").await;
    let record = logged(&mut editor, &step, "Applied: ").await;
    assert!(record["context"]["messages"][1]["content"].as_str().unwrap().contains("Do step 1 of the plan"));
    written(&document, "1. [x] **Greet** (a.py)\n2. [ ] **Part** (b.py)\n");
    let then = lenses(&mut editor, &document).await;
    let again = "Done: generate this step again";
    assert_eq!(titles(&then), [("Generate all", 0), (again, 6), ("Generate this step", 7)]);
    let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
    assert_eq!(
        (&record["plan"]["steps"][0]["state"], &record["plan"]["steps"][1]["state"]),
        (&json!("done"), &json!("open"))
    );

    // All that is left is step 2, which runs nowhere: that is the end of "all".
    let step = press(&mut editor, &then[0]).await["task"].as_str().unwrap().to_owned();
    editor.ended(&step).await;
    let question = editor.expect("window/showMessageRequest").await;
    assert!(question["params"]["message"].as_str().unwrap().contains("b.py"), "{question}");
    written(&document, "2. [ ] **Part** (b.py) *(failed)*\n");
    let plans =
        server.requests().iter().filter(|asked| asked.prompt().contains("You are the Architect")).count();
    assert_eq!(plans, 1, "a step needs no plan of its own");
    editor.reply(&question, Value::Null).await;
    editor.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_steps_follow_each_other_as_they_are_applied() {
    if !docker() {
        return;
    }
    let server = model();
    let mut editor = start(&server, None).await;
    let (task, document) = plan(&mut editor).await;
    let first = lenses(&mut editor, &document).await;
    press(&mut editor, &first[0]).await;
    apply(&mut editor, "a.py").await;
    apply(&mut editor, "b.py").await;
    written(&document, "1. [x] **Greet** (a.py)\n2. [x] **Part** (b.py)\n");
    let again = "Done: generate this step again";
    assert_eq!(titles(&lenses(&mut editor, &document).await), [(again, 6), (again, 7)]);
    let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
    assert_eq!(record["plan"]["steps"][1]["state"], "done");
    editor.ignore(&["textDocument/publishDiagnostics"]);
    editor.quit().await;
}

const FINDINGS: &str = "One thing.\n```json\n{\"issues\":[{\"path\":\"main.py\",\"line\":1,\"message\":\"prints a wrong number\"}],\"improvements\":[],\"security\":[],\"best_practices\":[]}\n```\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_finds_is_carried_to_the_debugger() {
    let server = ModelServer::always(FINDINGS.to_owned());
    let mut editor = start(&server, Some("off")).await;
    editor.open("main.py", "python", "print(1)\n").await;
    editor.begin("review", "main.py").await;
    let found = editor.expect("textDocument/publishDiagnostics").await["params"]["diagnostics"][0].take();
    let document = shown(&mut editor).await;
    assert_eq!(std::fs::read_to_string(&document).unwrap(), "One thing.");
    let params = json!({
        "textDocument": {"uri": editor.uri("main.py")},
        "range": found["range"],
        "context": {"diagnostics": [found], "only": ["quickfix"]},
    });
    let actions = editor.request("textDocument/codeAction", params).await.unwrap();
    assert_eq!(actions[0]["title"], "Fix: prints a wrong number");
    let fix = editor.execute("fix", actions[0]["command"]["arguments"][0].clone()).await.unwrap();
    let fix = fix["task"].as_str().unwrap().to_owned();
    editor.ended(&fix).await;
    let asked = server.requests()[1].prompt();
    assert!(
        asked.contains("You are the Debugger")
            && asked.contains("opendevagent>\nline 1: prints a wrong number\n"),
        "{asked}"
    );
    editor.ignore(&["textDocument/publishDiagnostics", "window/showMessage"]);

    editor.begin("explain", "main.py").await;
    assert!(shown(&mut editor).await.to_string_lossy().ends_with("-explain.md"));
    editor.ignore(&["textDocument/publishDiagnostics", "window/showMessage"]);
    editor.quit().await;
}
