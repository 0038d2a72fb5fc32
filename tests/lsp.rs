//! The language server from outside: the wire, the order of things, commands, delivery (CONTRACT §3).

mod answers;
mod liveness;
mod moved;
mod newer;
mod plans;
mod servers;
mod settings;
mod shown;
mod wire;

use crate::editor::{Editor, Models, is_private};
use serde_json::{Value, json};
use std::path::Path;

const PLAN: &str =
    r#"{"summary":"s","components":[{"name":"a","responsibility":"r"}],"steps":[{"title":"t"}]}"#;
/// Replaces the body of `BEFORE`.
const EDIT: &str = "a.py\n```python\n<<<<<<< SEARCH\ndef one():\n    return 2\n=======\ndef one():\n    return 1\n>>>>>>> REPLACE\n```\n";
const BEFORE: &str = "def one():\n    return 2\n";
const AFTER: &str = "def one():\n    return 1\n";
const CREATION: &str = "n.py\n```python\n<<<<<<< SEARCH\n=======\nnew = 1\n>>>>>>> REPLACE\n```\n";

/// An editor that can do all that the tests are about.
fn able() -> Value {
    json!({
        "workspace": {"applyEdit": true, "workspaceEdit": {
            "documentChanges": true, "resourceOperations": ["create", "rename", "delete"]}},
        "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}},
        "window": {"showMessage": {}, "workDoneProgress": true, "showDocument": {"support": true}},
    })
}

/// An editor that can do nothing.
fn plain() -> Value {
    json!({})
}

fn options(models: &Models) -> Value {
    json!({"settings": models.settings})
}

async fn welcome(offered: Value) -> Value {
    let editor = Editor::start(json!({"general": {"positionEncodings": offered}}), Value::Null).await;
    let welcome = editor.welcome.clone();
    editor.quit().await;
    welcome
}

#[tokio::test]
async fn capabilities() {
    for (offered, expect) in [
        (json!(["utf-16"]), "utf-16"),
        (json!(["utf-32", "utf-8", "utf-16"]), "utf-8"),
        (json!(["utf-32"]), "utf-32"),
        (json!(null), "utf-16"),
    ] {
        let welcome = welcome(offered).await;
        assert_eq!(welcome["capabilities"]["positionEncoding"], expect);
        assert_eq!(welcome["capabilities"]["textDocumentSync"]["change"], 2);
        let commands = welcome["capabilities"]["executeCommandProvider"]["commands"].as_array().unwrap();
        assert_eq!(commands.len(), 16);
        assert!(welcome["capabilities"]["codeActionProvider"].get("resolveProvider").is_none());
        assert!(welcome["capabilities"].get("diagnosticProvider").is_none());
    }
}

#[tokio::test]
async fn the_beginning_and_the_end() {
    let mut editor = Editor::spawn();
    let early = editor.request("textDocument/codeAction", json!({})).await.unwrap_err();
    assert_eq!(early["code"], -32002);
    editor.request("initialize", json!({"capabilities": {}})).await.unwrap();
    editor.notify("initialized", Value::Null).await;
    let twice = editor.request("initialize", json!({"capabilities": {}})).await.unwrap_err();
    assert_eq!(twice["code"], -32600);
    let unknown = editor.request("no/such", json!({})).await.unwrap_err();
    assert_eq!(unknown["code"], -32601);
    let unknown = editor.request("$/no/such", json!({})).await.unwrap_err();
    assert_eq!(unknown["code"], -32601);
    editor.notify("no/such", json!({})).await;
    editor.notify("$/setTrace", json!({"value": "off"})).await;
    editor.request("opendevagent/tasks", Value::Null).await.unwrap();
    editor.request("shutdown", Value::Null).await.unwrap();
    let late = editor.request("textDocument/codeAction", json!({})).await.unwrap_err();
    assert_eq!(late["code"], -32600);
    editor.notify("exit", Value::Null).await;
    assert_eq!(editor.exit_code().await, Some(0));
}

#[tokio::test]
async fn exit_without_shutdown_and_end_of_input() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    editor.notify("exit", Value::Null).await;
    assert_eq!(editor.exit_code().await, Some(1));

    let models = Models::start(&[]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    editor.begin("explain", "a.py").await;
    editor.raw(b"Content-Length: 100\r\n\r\n{").await;
    editor.hang_up();
    assert_eq!(editor.exit_code().await, Some(1));
}

/// Our input stays open: an editor that was killed may have left it to a child of its own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_editors_process_is_gone() {
    let mut parent = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let mut editor = Editor::spawn();
    let params = json!({"capabilities": {}, "processId": parent.id()});
    editor.request("initialize", params).await.unwrap();
    editor.request("opendevagent/tasks", Value::Null).await.unwrap();
    parent.kill().await.unwrap();
    assert_eq!(editor.exit_code().await, Some(1));
}

#[tokio::test]
async fn garbage_is_answered_and_survived() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    let deep = format!(r#"{{"id":9,"method":"m","params":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    for (bad, id, code) in [
        ("Content-Length: 3\r\n\r\n{]}".to_owned(), Value::Null, -32700),
        ("Content-Length: 2147483648\r\n\r\n".to_owned(), Value::Null, -32700),
        ("Content-Length: 2\r\n\r\n42".to_owned(), Value::Null, -32600),
        (format!("Content-Length: {}\r\n\r\n{deep}", deep.len()), json!(9), -32700),
    ] {
        editor.raw(bad.as_bytes()).await;
        assert_eq!(editor.answer(&id).await.unwrap_err()["code"], code, "{}", &bad[..40.min(bad.len())]);
        assert_eq!(editor.request("opendevagent/tasks", json!({})).await.unwrap(), json!([]));
    }
    editor.quit().await;
}

/// A small generator of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// 1,000 small changes arrive in one go; the title of an action, asked right behind them, shows the text that
/// a plain string has after the same changes.
#[tokio::test]
async fn changes_are_taken_in_order() {
    let mut editor = Editor::start(able(), Value::Null).await;
    editor.open("a.txt", "plaintext", "").await;
    let mut dice = Dice(7);
    let mut text: Vec<char> = Vec::new();
    for version in 2..1002 {
        let (from, count) = (dice.roll(text.len() + 1), dice.roll(3));
        let to = (from + count).min(text.len());
        let piece = ["a", "é", "💡", "z", "", "xyz"][dice.roll(6)];
        let column = |at: usize, text: &[char]| text[..at].iter().map(|c| c.len_utf16()).sum::<usize>();
        let (start, end) = (column(from, &text), column(to, &text));
        text.splice(from..to, piece.chars());
        let change = json!({"range": {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}},
            "text": piece});
        let document = json!({"uri": editor.uri("a.txt"), "version": version});
        let params = json!({"textDocument": document, "contentChanges": [change]});
        editor.notify("textDocument/didChange", params).await;
    }
    let end = text.iter().map(|c| c.len_utf16()).sum::<usize>();
    for at in (0..text.len().saturating_sub(70)).step_by(70) {
        let start = text[..at].iter().map(|c| c.len_utf16()).sum::<usize>();
        let params = json!({
            "textDocument": {"uri": editor.uri("a.txt")},
            "range": {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}},
            "context": {"diagnostics": [], "only": ["refactor.rewrite"]},
        });
        let actions = editor.request("textDocument/codeAction", params).await.unwrap();
        let shown = actions[0]["title"].as_str().unwrap().strip_prefix("Generate: ").unwrap().to_owned();
        let expect: String = text[at..].iter().collect();
        assert!(expect.starts_with(shown.trim_end_matches('…')), "{shown} at {at} of {expect}");
    }
    editor.quit().await;
}

#[tokio::test]
async fn arguments_are_checked() {
    let mut editor = Editor::start(plain(), json!({"settings": {"dashboard": {"enabled": false}}})).await;
    let uri = editor.uri("a.py");
    for (command, argument, expect) in [
        ("fix", json!({}), "missing field `uri`"),
        ("fix", json!({"uri": uri, "lines": 3}), "unknown field `lines`"),
        ("plan", json!(["x"]), "must be an object"),
        ("run", json!({"uri": "untitled:1"}), "saved file"),
        ("apply", json!({}), "missing field `task`"),
        ("apply", json!({"task": "none"}), "no task \"none\""),
        ("cancel", json!({"task": "none"}), "no task \"none\""),
        ("showPlan", json!({}), "no task to show"),
        ("nothing", json!({}), "no command"),
    ] {
        let error = editor.execute(command, argument).await.unwrap_err();
        assert_eq!(error["code"], -32602, "{command}");
        assert!(error["message"].as_str().unwrap().contains(expect), "{error}");
    }
    let error = editor.execute("dashboard", json!({})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("switched off"));
    assert_eq!(editor.execute("tasks", json!({})).await.unwrap(), json!([]));
    editor.quit().await;
}

/// Models that never answer hold up nobody, and every way to cancel ends the task.
#[tokio::test]
async fn hanging_tasks_are_no_hindrance_and_can_be_cancelled() {
    let models = Models::start(&[]).await;
    let mut editor = Editor::start(able(), options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    editor.open("b.py", "python", BEFORE).await;
    let explain = editor.begin("explain", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let review = editor.begin("review", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let replaced = editor.begin("explain", "b.py").await;
    let _late = editor.expect("window/workDoneProgress/create").await;
    let newer = editor.begin("explain", "b.py").await;
    let _never = editor.expect("window/workDoneProgress/create").await;

    assert_eq!(editor.ended(&replaced).await["phase"], "cancelled", "a newer task replaces it");
    let titles = editor.titles("a.py", 0).await;
    assert_eq!(titles.iter().filter(|title| *title == "Cancel OpenDevAgent task").count(), 2);
    editor.notify("window/workDoneProgress/cancel", json!({"token": explain})).await;
    assert_eq!(editor.ended(&explain).await["phase"], "cancelled");
    editor.execute("cancel", json!({"task": review})).await.unwrap();
    assert_eq!(editor.ended(&review).await["phase"], "cancelled");
    assert!(!editor.titles("a.py", 0).await.contains(&"Cancel OpenDevAgent task".to_owned()));

    editor.request("shutdown", Value::Null).await.unwrap();
    editor.notify("exit", Value::Null).await;
    assert_eq!(editor.exit_code().await, Some(0), "{newer} is cancelled by the end");
}

/// Runs `generate` on `a.py` up to the question what to do with the proposal; the question.
async fn propose(editor: &mut Editor) -> (String, Value) {
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let question = editor.expect("window/showMessageRequest").await;
    let titles: Vec<&str> = question["params"]["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["Apply", "Show diff", "Discard"]);
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("generate a.py") && message.contains("unverified"), "{message}");
    assert!(editor.titles("a.py", 0).await.contains(&"Apply: generate a.py (unverified)".to_owned()));
    (task, question)
}

async fn generating(answer: &str) -> Editor {
    let models = Models::start(&[("architect", PLAN), ("coder", answer)]).await;
    Editor::start(able(), options(&models)).await
}

#[tokio::test]
async fn a_proposal_is_applied_to_the_buffer() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let change = &apply["params"]["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({"uri": editor.uri("a.py"), "version": 1}));
    assert_eq!(
        change["edits"],
        json!([{"range": {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 12}},
        "newText": "1"}])
    );
    editor.change("a.py", 2, AFTER).await;
    editor.reply(&apply, json!({"applied": true})).await;
    editor.reply(&apply, json!({"applied": false})).await;
    let record = logged(&mut editor, &task, "Applied: ").await;
    assert_eq!(std::fs::read_to_string(editor.workspace().join("a.py")).unwrap(), BEFORE, "{record}");
    assert!(!editor.titles("a.py", 0).await.iter().any(|title| title.starts_with("Apply")));
    let again = editor.execute("apply", json!({"task": task})).await.unwrap_err();
    assert!(again["message"].as_str().unwrap().contains("applied already"));
    editor.quit().await;
}

/// Waits for a line in a task's log; the record.
async fn logged(editor: &mut Editor, task: &str, line: &str) -> Value {
    loop {
        let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
        if record["log"].as_array().unwrap().iter().any(|entry| entry.as_str().unwrap().contains(line)) {
            return record;
        }
        editor.expect("window/logMessage").await;
    }
}

#[tokio::test]
async fn the_log_keeps_the_vocabulary() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, Value::Null).await;
    let log = editor.ended(&task).await["log"].to_string();
    for line in [
        "[PHASE 1: PLANNING] Architect analyzing task...",
        "✓ Plan created: 1 components identified",
        "[PHASE 2: ACTING] Coder generating implementation...",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert!(!log.contains("All tests passed"), "{log}");
    editor.quit().await;
}

#[tokio::test]
async fn what_the_client_says_is_not_believed() {
    let mut editor = generating(EDIT).await;
    let (_, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    editor.reply(&apply, json!({"applied": true})).await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("a.py does not show it"), "{told}");
    editor.quit().await;
}

/// The task goes on, to hold its proposal against the texts as they are now.
async fn rechecks(editor: &mut Editor) {
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
}

/// The text has changed, which is looked at once more before it is said.
async fn goes_stale(editor: &mut Editor, question: &Value, why: &str) {
    editor.reply(question, json!({"title": "Apply"})).await;
    rechecks(editor).await;
    told_stale(editor, why).await;
}

async fn is_stale(editor: &mut Editor, question: &Value, why: &str) {
    editor.reply(question, json!({"title": "Apply"})).await;
    told_stale(editor, why).await;
}

async fn told_stale(editor: &mut Editor, why: &str) {
    let told = editor.expect("window/showMessageRequest").await;
    let message = told["params"]["message"].as_str().unwrap();
    assert!(message.contains("nothing was applied") && message.contains(why), "{message}");
    assert_eq!(told["params"]["actions"], json!([{"title": "Run again"}]));
    editor.reply(&told, Value::Null).await;
}

#[tokio::test]
async fn a_buffer_that_moved_on_is_left_alone() {
    let mut editor = generating(EDIT).await;
    let (_, question) = propose(&mut editor).await;
    editor.change("a.py", 2, "x").await;
    assert!(!editor.titles("a.py", 0).await.iter().any(|title| title.starts_with("Apply")));
    goes_stale(&mut editor, &question, "a.py has changed where it was to be edited").await;
    editor.quit().await;
}

#[tokio::test]
async fn a_file_that_changed_on_disk_is_left_alone() {
    let mut editor = generating(EDIT).await;
    let (_, question) = propose(&mut editor).await;
    editor.notify("textDocument/didClose", json!({"textDocument": {"uri": editor.uri("a.py")}})).await;
    std::fs::write(editor.workspace().join("a.py"), "x").unwrap();
    goes_stale(&mut editor, &question, "a.py has changed where it was to be edited").await;
    editor.quit().await;
}

#[tokio::test]
async fn a_stale_task_runs_again_on_request() {
    let mut editor = generating(EDIT).await;
    let (_, question) = propose(&mut editor).await;
    editor.change("a.py", 2, &BEFORE.replace('2', "0")).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    let told = editor.expect("window/showMessageRequest").await;
    editor.change("a.py", 3, BEFORE).await;
    editor.reply(&told, json!({"title": "Run again"})).await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let question = editor.expect("window/showMessageRequest").await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    assert_eq!(apply["params"]["edit"]["documentChanges"][0]["textDocument"]["version"], 3);
    editor.reply(&apply, json!({"applied": false, "failureReason": "no"})).await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("refused the edit: no"), "{told}");
    editor.quit().await;
}

#[tokio::test]
async fn discarding_and_the_diff() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Show diff"})).await;
    let show = editor.expect("window/showDocument").await;
    assert_eq!(show["params"]["takeFocus"], true, "the user has asked for it");
    let path = url::Url::parse(show["params"]["uri"].as_str().unwrap()).unwrap().to_file_path().unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("-    return 2\n+    return 1\n"));
    assert!(is_private(&path) && path.starts_with(editor.directory.path()));
    editor.reply(&show, json!({"success": true})).await;
    editor.execute("discard", json!({"task": task})).await.unwrap();
    assert!(!editor.titles("a.py", 0).await.iter().any(|title| title.starts_with("Apply")));
    let error = editor.execute("apply", json!({"task": task})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("was discarded"));
    editor.quit().await;
}

#[tokio::test]
async fn a_new_file_is_created_by_the_editor() {
    let mut editor = generating(CREATION).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let question = editor.expect("window/showMessageRequest").await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let changes = &apply["params"]["edit"]["documentChanges"];
    assert_eq!(changes[0]["kind"], "create");
    assert_eq!(changes[0]["options"]["ignoreIfExists"], true);
    assert_eq!(changes[1]["edits"][0]["newText"], "new = 1\n");
    let new = json!({"uri": editor.uri("n.py"), "languageId": "python", "version": 1, "text": "new = 1\n"});
    editor.notify("textDocument/didOpen", json!({"textDocument": new})).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    assert!(!Path::new(&editor.workspace().join("n.py")).exists());
    editor.quit().await;
}

/// With no opt-in and no capability nothing is sent; the code action stands.
#[tokio::test]
async fn the_code_action_stands_where_nothing_can_be_asked() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let capabilities = json!({"workspace": {"applyEdit": true}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    editor.ended(&task).await;
    let titles = editor.titles("a.py", 0).await;
    assert_eq!(titles[..3], ["Apply: generate a.py (unverified)", "Discard", "Show diff"]);
    editor.execute("apply", json!({"task": task})).await.unwrap();
    let apply = editor.expect("workspace/applyEdit").await;
    assert!(apply["params"]["edit"]["changes"][editor.uri("a.py")].is_array(), "{apply}");
    editor.change("a.py", 2, AFTER).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

#[tokio::test]
async fn a_client_with_opt_ins_reviews_and_follows() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let client = json!({"review": true, "events": true, "status": true});
    let mut editor = Editor::start(able(), json!({"client": client, "settings": models.settings})).await;
    assert_eq!(editor.expect("opendevagent/status").await["params"]["state"], "ready");
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    assert_eq!(editor.expect("opendevagent/status").await["params"]["state"], "busy");
    let review = editor.expect("opendevagent/review").await;
    let file = &review["params"]["files"][0];
    assert_eq!(review["params"]["task"], *task);
    assert_eq!((&file["before"], &file["after"]), (&json!(BEFORE), &json!(AFTER)));
    assert_eq!(editor.expect("opendevagent/status").await["params"]["state"], "ready");
    editor.reply(&review, json!({"decision": "discard"})).await;
    let mut seq = 0;
    loop {
        let event = editor.expect("opendevagent/event").await;
        assert_eq!(event["params"]["seq"], seq, "{event}");
        seq += 1;
        if event["params"]["kind"] == "ended" {
            break;
        }
    }
    let decided = editor.expect("opendevagent/event").await;
    assert_eq!((&decided["params"]["text"], &decided["params"]["seq"]), (&json!("Discarded"), &json!(seq)));
    editor.quit().await;
}

#[tokio::test]
async fn a_plan_is_shown() {
    let models = Models::start(&[("architect", PLAN)]).await;
    let mut editor = Editor::start(json!({}), options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("plan", "a.py").await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains(&format!("{task}-plan.md")), "{told}");
    editor.execute("showPlan", json!({})).await.unwrap();
    editor.expect("window/showMessage").await;
    editor.execute("showLog", json!({"task": task})).await.unwrap();
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

const FINDINGS: &str = "Two things.\n```json\n{\"issues\":[{\"path\":\"a.py\",\"line\":2,\"message\":\"wrong\",\"severity\":\"error\"}],\"improvements\":[],\"security\":[],\"best_practices\":[]}\n```\n";

#[tokio::test]
async fn findings_become_diagnostics_until_the_file_is_closed() {
    let models = Models::start(&[("debugger", FINDINGS)]).await;
    let capabilities = json!({"textDocument": {"publishDiagnostics": {"versionSupport": true}}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    editor.open("a.py", "python", "# 💡\n    x = 💡\n").await;
    editor.begin("review", "a.py").await;
    let published = editor.expect("textDocument/publishDiagnostics").await["params"].take();
    assert_eq!((&published["uri"], &published["version"]), (&json!(editor.uri("a.py")), &json!(1)));
    let diagnostic = &published["diagnostics"][0];
    assert_eq!(
        diagnostic["range"],
        json!({"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 10}})
    );
    assert_eq!((&diagnostic["source"], &diagnostic["code"]), (&json!("opendevagent"), &json!("bug")));
    editor.expect("window/showMessage").await;
    editor.notify("textDocument/didClose", json!({"textDocument": {"uri": editor.uri("a.py")}})).await;
    let published = editor.expect("textDocument/publishDiagnostics").await;
    assert_eq!(published["params"]["diagnostics"], json!([]));
    editor.quit().await;
}

#[tokio::test]
async fn findings_follow_the_text_until_their_line_changes() {
    let models = Models::start(&[("debugger", FINDINGS)]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    editor.open("a.py", "python", "# a\n    x = 1\n").await;
    editor.begin("review", "a.py").await;
    editor.expect("textDocument/publishDiagnostics").await;
    editor.expect("window/showMessage").await;
    let lenses = json!({"textDocument": {"uri": editor.uri("a.py")}});
    // Nothing is published for a line above, so the next to come is about the line itself.
    for (version, line, text) in [(2, 0, "# above\n"), (3, 2, "y")] {
        let at = json!({"line": line, "character": 0});
        let change = json!({"range": {"start": at, "end": at}, "text": text});
        let document = json!({"uri": editor.uri("a.py"), "version": version});
        editor
            .notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": [change]}))
            .await;
    }
    let published = editor.expect("textDocument/publishDiagnostics").await;
    assert_eq!(published["params"]["diagnostics"], json!([]));
    assert_eq!(editor.request("textDocument/codeLens", lenses).await.unwrap(), json!([]));
    editor.quit().await;
}

#[tokio::test]
async fn a_code_action_is_resolved_as_it_is() {
    let models = Models::start(&[]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    let action = json!({"title": "Review", "kind": "refactor"});
    assert_eq!(editor.request("codeAction/resolve", action.clone()).await.unwrap(), action);
    editor.quit().await;
}

#[tokio::test]
async fn findings_are_pulled_by_clients_that_can_be_told_to() {
    let models = Models::start(&[("debugger", FINDINGS)]).await;
    let capabilities =
        json!({"textDocument": {"diagnostic": {}}, "workspace": {"diagnostics": {"refreshSupport": true}}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    assert!(editor.welcome["capabilities"]["diagnosticProvider"].is_object());
    editor.open("a.py", "python", BEFORE).await;
    editor.begin("review", "a.py").await;
    let refresh = editor.expect("workspace/diagnostic/refresh").await;
    editor.reply(&refresh, Value::Null).await;
    let document = json!({"textDocument": {"uri": editor.uri("a.py")}});
    let report = editor.request("textDocument/diagnostic", document).await.unwrap();
    assert_eq!(report["items"][0]["message"], "wrong");
    editor.expect("window/showMessage").await;
    editor.quit().await;
}
