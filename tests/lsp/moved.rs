//! What becomes of a proposal whose texts move on while it is made, while it waits, and while it is applied.

use super::{AFTER, BEFORE, EDIT, PLAN, able, generating, logged, options, propose, rechecks};
use crate::e2e::PYTHON;
use crate::editor::{Editor, Models};
use crate::model_server::{Answer, ModelServer};
use crate::support::{docker, eventually};
use serde_json::{Value, json};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// An editor with the sample project and the real sandbox. The model answers when it is told to.
async fn fixing() -> (Editor, ModelServer, Sender<()>) {
    let (go, wait) = channel();
    let answer = PYTHON.answer(PYTHON.repair);
    let server = ModelServer::start(move |_| {
        // A test that has ended lets it go, too.
        let _ = wait.recv();
        Answer::Text(answer.clone())
    });
    let agent = json!({"model": "debugger", "fallbacks": []});
    let settings = json!({"model": {"baseUrl": server.url()}, "agents": {"debugger": agent}});
    let mut editor = Editor::start(able(), json!({"settings": settings})).await;
    let tests = PYTHON.workspace().read("test_gcd.py");
    std::fs::write(editor.workspace().join("test_gcd.py"), tests).unwrap();
    editor.open(PYTHON.path, "python", &PYTHON.before()).await;
    (editor, server, go)
}

/// Begins the fix and waits until the model is asked; the task.
async fn asked(editor: &mut Editor, server: &ModelServer) -> String {
    let task = editor.begin("fix", PYTHON.path).await;
    rechecks(editor).await;
    server.wait_for_requests(1);
    task
}

async fn record(editor: &mut Editor, task: &str) -> Value {
    editor.request("opendevagent/task", json!({"task": task})).await.unwrap()
}

/// A fix that is through, and the question whether to apply it.
async fn fixed() -> (Editor, String, Value) {
    let (mut editor, server, go) = fixing().await;
    let task = asked(&mut editor, &server).await;
    go.send(()).unwrap();
    let question = editor.expect("window/showMessageRequest").await;
    (editor, task, question)
}

/// Performs the edits of a file as a client does; its text after them.
fn performed(apply: &Value, before: &str) -> String {
    let mut lines: Vec<String> = before.split_inclusive('\n').map(str::to_owned).collect();
    lines.push(String::new());
    let edits = apply["params"]["edit"]["documentChanges"][0]["edits"].as_array().unwrap().clone();
    for edit in edits.iter().rev() {
        let at = |end: &str, unit: &str| edit["range"][end][unit].as_u64().unwrap() as usize;
        let (first, last) = (at("start", "line"), at("end", "line"));
        let (head, tail) = (
            lines[first][..at("start", "character")].to_owned(),
            lines[last][at("end", "character")..].to_owned(),
        );
        let new = head + edit["newText"].as_str().unwrap() + &tail;
        lines.splice(first..=last, [new]);
    }
    lines.concat()
}

/// Lets the edit happen that the server sends: it must be for this version and give this text.
async fn takes(editor: &mut Editor, path: &str, version: i32, before: &str, after: &str) {
    let apply = editor.expect("workspace/applyEdit").await;
    let change = &apply["params"]["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({"uri": editor.uri(path), "version": version}));
    assert_eq!(performed(&apply, before), after);
    editor.change(path, version + 1, after).await;
    editor.reply(&apply, json!({"applied": true})).await;
}

/// The decisions in the journal, once there are so many.
fn decisions(editor: &Editor, task: &str, count: usize) -> Vec<String> {
    let journal = format!("home/.local/state/opendevagent/journal/tasks/{task}.jsonl");
    let path = editor.directory.path().join(journal);
    eventually("the decisions", Duration::from_secs(30), || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<_> = lines.filter_map(|line| Some(line["decision"].as_str()?.to_owned())).collect();
        (found.len() >= count).then_some(found)
    })
}

#[tokio::test]
async fn typing_elsewhere_while_a_fix_runs() {
    if !docker() {
        return;
    }
    let (mut editor, server, go) = fixing().await;
    let task = asked(&mut editor, &server).await;
    let (before, after) = (format!("# note\n{}", PYTHON.before()), format!("# note\n{}", PYTHON.after()));
    editor.change(PYTHON.path, 2, &before).await;
    go.send(()).unwrap();
    let question = editor.expect("window/showMessageRequest").await;
    assert!(question["params"]["message"].as_str().unwrap().contains("proven"), "{question}");
    let report = record(&mut editor, &task).await;
    let levels: Vec<_> = report["history"].as_array().unwrap().iter().map(|round| &round["level"]).collect();
    assert_eq!(levels, ["proven", "proven"], "checked on the old text and on the new one");
    assert_eq!(report["usage"]["calls"], 1);
    let hash = json!(opendevagent::text::sha256(before.as_bytes()));
    assert_eq!(report["edits"][0]["before_sha256"], hash, "{report:#}");
    assert_eq!(editor.titles(PYTHON.path, 0).await[0], "Apply: fix gcd.py (proven)");
    editor.reply(&question, json!({"title": "Apply"})).await;
    takes(&mut editor, PYTHON.path, 2, &before, &after).await;
    logged(&mut editor, &task, "Applied: ").await;
    assert_eq!(decisions(&editor, &task, 1), ["applied"]);
    editor.quit().await;
}

#[tokio::test]
async fn typing_in_the_edited_lines_while_a_fix_runs() {
    if !docker() {
        return;
    }
    let (mut editor, server, go) = fixing().await;
    let task = asked(&mut editor, &server).await;
    let typed = PYTHON.before().replace(PYTHON.bug, "    return b  # why?");
    editor.change(PYTHON.path, 2, &typed).await;
    go.send(()).unwrap();
    let told = editor.expect("window/showMessageRequest").await;
    let message = told["params"]["message"].as_str().unwrap();
    assert!(message.contains("nothing was applied, gcd.py has changed where"), "{message}");
    assert_eq!(told["params"]["actions"], json!([{"title": "Run again"}]));
    let report = record(&mut editor, &task).await;
    assert_eq!((&report["phase"], &report["verdict"]["level"]), (&json!("failed"), &json!("unverified")));
    assert_eq!(report["edits"].as_array().unwrap().len(), 1, "what was paid for is there to be read");
    assert!(!editor.titles(PYTHON.path, 0).await.iter().any(|title| title.starts_with("Apply")));
    assert_eq!(decisions(&editor, &task, 1), ["stale"]);
    // Once more, on the text as it is; the answer does not fit it, twice.
    editor.reply(&told, json!({"title": "Run again"})).await;
    rechecks(&mut editor).await;
    server.wait_for_requests(2);
    assert!(server.requests()[1].prompt().contains("return b  # why?"));
    go.send(()).unwrap();
    go.send(()).unwrap();
    editor.expect("textDocument/publishDiagnostics").await;
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

#[tokio::test]
async fn typing_elsewhere_that_breaks_the_program_while_a_fix_runs() {
    if !docker() {
        return;
    }
    let (mut editor, server, go) = fixing().await;
    let task = asked(&mut editor, &server).await;
    editor.change(PYTHON.path, 2, &format!("assert False\n{}", PYTHON.before())).await;
    go.send(()).unwrap();
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("failing"), "{told}");
    let report = record(&mut editor, &task).await;
    assert_eq!((&report["phase"], &report["verdict"]["level"]), (&json!("failed"), &json!("failing")));
    assert_eq!(report["usage"]["calls"], 1, "what the user broke is not repaired for them");
    assert_eq!(editor.titles(PYTHON.path, 0).await[0], "Apply anyway");
    editor.expect("textDocument/publishDiagnostics").await;
    editor.quit().await;
}

#[tokio::test]
async fn typing_elsewhere_before_apply() {
    if !docker() {
        return;
    }
    let (mut editor, task, question) = fixed().await;
    let (before, after) = (format!("# note\n{}", PYTHON.before()), format!("# note\n{}", PYTHON.after()));
    editor.change(PYTHON.path, 2, &before).await;
    assert_eq!(editor.titles(PYTHON.path, 0).await[0], "Apply: fix gcd.py (proven before your changes)");
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    // The same edits with no worse a verdict: the user has agreed already.
    takes(&mut editor, PYTHON.path, 2, &before, &after).await;
    let report = logged(&mut editor, &task, "Applied: ").await;
    assert_eq!(report["history"].as_array().unwrap().len(), 2);
    assert_eq!((&report["usage"]["calls"], &report["verdict"]["level"]), (&json!(1), &json!("proven")));
    assert_eq!(decisions(&editor, &task, 2), ["rebased", "applied"]);
    editor.quit().await;
}

#[tokio::test]
async fn typing_elsewhere_that_breaks_the_program_before_apply() {
    if !docker() {
        return;
    }
    let (mut editor, task, question) = fixed().await;
    editor.change(PYTHON.path, 2, &format!("assert False\n{}", PYTHON.before())).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("failing"), "{told}");
    assert_eq!(record(&mut editor, &task).await["verdict"]["level"], "failing");
    assert_eq!(editor.titles(PYTHON.path, 0).await[0], "Apply anyway");
    editor.expect("textDocument/publishDiagnostics").await;
    editor.quit().await;
}

/// Typed and taken back: the text is the one that was checked, under another version.
#[tokio::test]
async fn what_was_typed_and_taken_back_needs_no_second_check() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.change("a.py", 2, "x").await;
    editor.change("a.py", 3, BEFORE).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    takes(&mut editor, "a.py", 3, BEFORE, AFTER).await;
    let report = logged(&mut editor, &task, "Applied: ").await;
    assert!(!report["log"].to_string().contains("carried over"), "{report:#}");
    editor.quit().await;
}

/// A change that crosses the edit on its way: the client refuses it for its version.
#[tokio::test]
async fn typing_between_the_check_of_the_version_and_the_edit() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let late = editor.expect("workspace/applyEdit").await;
    let (before, after) = (format!("# new\n{BEFORE}"), format!("# new\n{AFTER}"));
    editor.change("a.py", 2, &before).await;
    editor.reply(&late, json!({"applied": false, "failureReason": "a.py has changed in the meantime"})).await;
    rechecks(&mut editor).await;
    takes(&mut editor, "a.py", 2, &before, &after).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// Whoever types all the time is asked again in the end.
#[tokio::test]
async fn a_text_that_never_rests() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    for version in 2..6 {
        let apply = editor.expect("workspace/applyEdit").await;
        editor.change("a.py", version, &format!("# {version}\n{BEFORE}")).await;
        editor.reply(&apply, json!({"applied": false})).await;
        if version < 5 {
            rechecks(&mut editor).await;
        }
    }
    let told = editor.expect("window/showMessageRequest").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("nothing was applied"), "{told}");
    editor.reply(&told, Value::Null).await;
    assert_eq!(decisions(&editor, &task, 4), ["rebased", "rebased", "rebased", "stale"]);
    editor.quit().await;
}

/// The edit arrives and the user types on at once: both changes are there before anybody looks.
#[tokio::test]
async fn typing_right_behind_the_edit() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let uri = editor.uri("a.py");
    let change = |version: i32, text: &str| {
        let document = json!({"uri": uri, "version": version});
        let params = json!({"textDocument": document, "contentChanges": [{"text": text}]});
        let body =
            json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}).to_string();
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let both = change(2, AFTER) + &change(3, &format!("{AFTER}# more\n"));
    editor.raw(both.as_bytes()).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// A task on a file that is not open, up to the question.
async fn unopened() -> (Editor, String, Value) {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let mut editor = Editor::start(able(), options(&models)).await;
    std::fs::write(editor.workspace().join("a.py"), BEFORE).unwrap();
    let task = editor.begin("generate", "a.py").await;
    rechecks(&mut editor).await;
    let question = editor.expect("window/showMessageRequest").await;
    (editor, task, question)
}

#[tokio::test]
async fn a_file_that_is_opened_meanwhile_with_another_text() {
    let (mut editor, task, question) = unopened().await;
    let (before, after) = (format!("# unsaved\n{BEFORE}"), format!("# unsaved\n{AFTER}"));
    let document = json!({"uri": editor.uri("a.py"), "languageId": "python", "version": 7, "text": before});
    editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    takes(&mut editor, "a.py", 7, &before, &after).await;
    logged(&mut editor, &task, "Applied: ").await;
    assert_eq!(std::fs::read_to_string(editor.workspace().join("a.py")).unwrap(), BEFORE);
    editor.quit().await;
}

#[tokio::test]
async fn a_file_that_changes_on_disk_while_it_is_not_open() {
    let (mut editor, task, question) = unopened().await;
    let pulled = format!("# pulled\n{BEFORE}");
    std::fs::write(editor.workspace().join("a.py"), &pulled).unwrap();
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    let apply = editor.expect("workspace/applyEdit").await;
    assert_eq!(apply["params"]["edit"]["documentChanges"][0]["textDocument"]["version"], Value::Null);
    let after = performed(&apply, &pulled);
    assert_eq!(after, format!("# pulled\n{AFTER}"));
    std::fs::write(editor.workspace().join("a.py"), after).unwrap();
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// Kate takes no edits from a server: the code action brings them along, and brings none for a text that has moved on.
#[tokio::test]
async fn an_editor_that_takes_no_edits_gets_those_for_its_text_as_it_is_now() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let literals = json!({"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}});
    let capabilities = json!({"textDocument": {"codeAction": literals}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    editor.ended(&task).await;
    let (before, after) = (format!("# note\n{BEFORE}"), format!("# note\n{AFTER}"));
    editor.change("a.py", 2, &before).await;
    let action = first_action(&mut editor).await;
    assert_eq!(action["title"], "Apply: generate a.py (unverified before your changes)");
    assert!(action.get("edit").is_none(), "{action}");
    editor.execute("apply", json!({"task": task})).await.unwrap();
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("apply them once more"), "{told}");
    let action = first_action(&mut editor).await;
    assert_eq!(action["title"], "Apply: generate a.py (unverified)");
    let edits = &action["edit"]["changes"][editor.uri("a.py")];
    assert_eq!(edits[0]["range"]["start"], json!({"line": 2, "character": 11}), "{action}");
    editor.execute("apply", json!({"task": task})).await.unwrap();
    editor.change("a.py", 3, &after).await;
    logged(&mut editor, &task, "Applied: ").await;
    assert_eq!(decisions(&editor, &task, 2), ["rebased", "applied"]);
    editor.quit().await;
}

async fn first_action(editor: &mut Editor) -> Value {
    let at = json!({"line": 0, "character": 0});
    let params = json!({
        "textDocument": {"uri": editor.uri("a.py")},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": []},
    });
    editor.request("textDocument/codeAction", params).await.unwrap()[0].take()
}

#[tokio::test]
async fn undo_after_apply_is_the_users_last_word() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    takes(&mut editor, "a.py", 1, BEFORE, AFTER).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.change("a.py", 3, BEFORE).await;
    let error = editor.execute("apply", json!({"task": task})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("applied already"), "{error}");
    assert!(!editor.titles("a.py", 0).await.iter().any(|title| title.starts_with("Apply")));
    editor.quit().await;
}

/// A second check can be cancelled as any task; then nothing is applied.
#[tokio::test]
async fn the_second_check_can_be_cancelled() {
    if !docker() {
        return;
    }
    let (mut editor, task, question) = fixed().await;
    editor.change(PYTHON.path, 2, &format!("import time\ntime.sleep(600)\n{}", PYTHON.before())).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    rechecks(&mut editor).await;
    logged(&mut editor, &task, "carried over").await;
    assert!(editor.titles(PYTHON.path, 0).await.contains(&"Cancel OpenDevAgent task".to_owned()));
    editor.execute("cancel", json!({"task": task})).await.unwrap();
    assert_eq!(editor.ended(&task).await["phase"], "cancelled");
    let error = editor.execute("apply", json!({"task": task})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("discarded"), "{error}");
    editor.quit().await;
}
