//! What editors send that is odd, wrong or too much: the next good message is served, and no edit is lost or misplaced.

use super::{BEFORE, EDIT, PLAN, able, is_stale, options, plain, propose};
use crate::editor::{Editor, Models};
use serde_json::{Value, json};

/// A line of an open document as the server has it: the title of an action on the selected line. At most 79 characters.
async fn line(editor: &mut Editor, uri: &str, line: u32) -> String {
    let actions = editor.request("textDocument/codeAction", selected(uri, line)).await.unwrap();
    let title = actions[0]["title"].as_str().unwrap();
    title.strip_prefix("Generate: ").unwrap_or_default().to_owned()
}

fn selected(uri: &str, line: u32) -> Value {
    json!({
        "textDocument": {"uri": uri},
        "range": {"start": {"line": line, "character": 0}, "end": {"line": line + 1, "character": 0}},
        "context": {"diagnostics": [], "only": ["refactor.rewrite"]},
    })
}

/// `textDocument/didChange` that puts `text` at a place.
fn insertion(uri: &str, version: i32, (line, character): (u32, u32), text: &str) -> Value {
    let at = json!({"line": line, "character": character});
    json!({
        "textDocument": {"uri": uri, "version": version},
        "contentChanges": [{"range": {"start": at, "end": at}, "text": text}],
    })
}

#[tokio::test]
async fn ids_may_be_words() {
    // Connections to it are made, and nobody ever takes them.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", mute.local_addr().unwrap());
    let mut editor = Editor::start(able(), json!({"settings": {"model": {"baseUrl": url}}})).await;
    editor
        .send(&json!({"jsonrpc": "2.0", "id": "one", "method": "opendevagent/tasks", "params": null}))
        .await;
    assert_eq!(editor.answer(&json!("one")).await.unwrap(), json!([]));
    // The key is tried at that server.
    let ask = json!({"jsonrpc": "2.0", "id": "two", "method": "opendevagent/setKey", "params": {"key": "k"}});
    editor.send(&ask).await;
    editor.notify("$/cancelRequest", json!({"id": "two"})).await;
    assert_eq!(editor.answer(&json!("two")).await.unwrap_err()["code"], -32800);
    editor.notify("$/cancelRequest", json!({"id": "no such"})).await;
    editor.quit().await;
}

/// Requests that have params and get none are refused; all else is as if there were an empty object.
#[tokio::test]
async fn params_may_be_null() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    for method in [
        "$/setTrace",
        "textDocument/didSave",
        "workspace/didChangeWatchedFiles",
        "window/workDoneProgress/cancel",
    ] {
        editor.notify(method, Value::Null).await;
    }
    for method in
        ["textDocument/codeAction", "textDocument/codeLens", "workspace/executeCommand", "opendevagent/task"]
    {
        assert_eq!(editor.request(method, Value::Null).await.unwrap_err()["code"], -32602, "{method}");
    }
    for value in ["messages", "verbose", "off"] {
        editor.notify("$/setTrace", json!({"value": value})).await;
    }
    assert_eq!(editor.request("opendevagent/tasks", Value::Null).await.unwrap(), json!([]));
    editor.quit().await;
}

#[tokio::test]
async fn what_we_did_not_ask_for_is_ignored() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    editor.open("a.py", "python", BEFORE).await;
    let document = json!({"uri": editor.uri("a.py")});
    editor.notify("textDocument/willSave", json!({"textDocument": document, "reason": 1})).await;
    editor.notify("textDocument/didSave", json!({"textDocument": document})).await;
    let refused =
        editor.request("textDocument/willSaveWaitUntil", json!({"textDocument": document, "reason": 1}));
    assert_eq!(refused.await.unwrap_err()["code"], -32601);
    for token in [json!("no such"), json!(7), json!("")] {
        editor.notify("window/workDoneProgress/cancel", json!({"token": token})).await;
    }
    editor.notify("$/progress", json!({"token": 1, "value": {"kind": "begin", "title": "x"}})).await;
    for answer in [json!({"id": 99, "result": {}}), json!({"id": "x", "error": {"code": 1, "message": "no"}})]
    {
        editor.send(&answer).await;
    }
    assert_eq!(line(&mut editor, document["uri"].as_str().unwrap(), 1).await, "return 2");
    editor.quit().await;
}

/// A notebook is none of our business; its cells, which some editors open as documents, are texts without a file.
#[tokio::test]
async fn notebooks_are_left_alone() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    let cell = "vscode-notebook-cell:/w/n.ipynb#W0sZmlsZQ%3D%3D";
    let notebook = json!({"uri": "file:///w/n.ipynb", "notebookType": "jupyter-notebook", "version": 1,
        "cells": [{"kind": 2, "document": cell}]});
    let text = json!({"uri": cell, "languageId": "python", "version": 1, "text": "def f():\n    pass\n"});
    editor
        .notify(
            "notebookDocument/didOpen",
            json!({"notebookDocument": notebook, "cellTextDocuments": [text]}),
        )
        .await;
    let changed =
        json!({"notebookDocument": {"version": 2, "uri": "file:///w/n.ipynb"}, "change": {"cells": {}}});
    editor.notify("notebookDocument/didChange", changed).await;
    editor
        .notify("notebookDocument/didSave", json!({"notebookDocument": {"uri": "file:///w/n.ipynb"}}))
        .await;
    editor.notify("textDocument/didOpen", json!({"textDocument": text})).await;
    editor.notify("textDocument/didChange", insertion(cell, 2, (0, 0), "# x\n")).await;
    let document = json!({"uri": cell});
    assert_eq!(editor.request("textDocument/codeAction", selected(cell, 0)).await.unwrap(), json!([]));
    let lenses = json!({"textDocument": document});
    assert_eq!(editor.request("textDocument/codeLens", lenses).await.unwrap(), json!([]));
    let hover = json!({"textDocument": document, "position": {"line": 0, "character": 0}});
    assert_eq!(editor.request("textDocument/hover", hover).await.unwrap(), Value::Null);
    let error = editor.execute("fix", json!({"uri": cell})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("saved file"), "{error}");
    editor.notify("textDocument/didClose", json!({"textDocument": document})).await;
    editor
        .notify(
            "notebookDocument/didClose",
            json!({"notebookDocument": {"uri": "file:///w/n.ipynb"}, "cellTextDocuments": [document]}),
        )
        .await;
    editor.quit().await;
}

#[tokio::test]
async fn documents_that_come_twice_or_never() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    let uri = editor.uri("a.py");
    // Never opened: no text to change, and none to look at.
    editor.notify("textDocument/didChange", insertion(&uri, 2, (0, 0), "x")).await;
    assert_eq!(line(&mut editor, &uri, 0).await, "");
    editor.open("a.py", "python", "one\n").await;
    editor.notify("textDocument/didChange", insertion(&uri, 9, (0, 0), "two ")).await;
    // The last opening counts, at its version.
    editor.open("a.py", "python", "three\n").await;
    assert_eq!(line(&mut editor, &uri, 0).await, "three");
    // Versions are the editor's business: a lower one is taken as it comes, in its order.
    for (version, text) in [(5, "a"), (3, "b"), (3, "c"), (-1, "d")] {
        editor.notify("textDocument/didChange", insertion(&uri, version, (0, 0), text)).await;
    }
    assert_eq!(line(&mut editor, &uri, 0).await, "dcbathree");
    for _ in 0..2 {
        editor.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}})).await;
    }
    editor.notify("textDocument/didChange", insertion(&uri, 6, (0, 0), "x")).await;
    assert_eq!(line(&mut editor, &uri, 0).await, "");
    editor.quit().await;
}

/// JavaScript's strings may hold half of a pair, and `JSON.stringify` writes it as an escape that is no text.
#[tokio::test]
async fn half_a_character_is_no_reason_to_lose_a_change() {
    let mut editor = Editor::start(plain(), Value::Null).await;
    editor.open("a.py", "python", "x\n").await;
    let uri = editor.uri("a.py");
    for (version, at, text) in [(2, 0, r"\ud83d"), (3, 1, r"\udca1"), (4, 2, "after ")] {
        let change = format!(
            r#"{{"method":"textDocument/didChange","params":{{"textDocument":{{"uri":"{uri}","version":{version}}},"contentChanges":[{{"range":{{"start":{{"line":0,"character":{at}}},"end":{{"line":0,"character":{at}}}}},"text":"{text}"}}]}}}}"#
        );
        editor.raw(format!("Content-Length: {}\r\n\r\n{change}", change.len()).as_bytes()).await;
    }
    assert_eq!(line(&mut editor, &uri, 0).await, "\u{fffd}\u{fffd}after x");
    editor.quit().await;
}

/// A change that cannot be read is lost, so the text is not known any more: nothing is decided or edited on it.
#[tokio::test]
async fn a_text_of_which_a_change_was_lost_is_not_edited() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    for lost in [
        r#"{"method":"textDocument/didChange","params":{"textDocument":{"uri":"URI","version":2.5},"contentChanges":[]}}"#,
        r#"{"method":"textDocument/didChange","params":{"textDocument":{"uri":"URI","version":2},"contentChanges":[{"range":{"start":{"line":-1,"character":0},"end":{"line":0,"character":0}},"text":"x"}]}}"#,
        r#"{"method":"textDocument/didChange","params":{"textDocument":{"uri":"URI","version":2},"contentChanges":[{"text":"x]}}"#,
        r#"[{"method":"textDocument/didChange"}]"#,
    ] {
        let mut editor = Editor::start(able(), options(&models)).await;
        let (task, question) = propose(&mut editor).await;
        let uri = editor.uri("a.py");
        let lost = lost.replace("URI", &uri);
        editor.raw(format!("Content-Length: {}\r\n\r\n{lost}", lost.len()).as_bytes()).await;
        let told = editor.expect("window/showMessage").await;
        assert!(told["params"]["message"].as_str().unwrap().contains("open it again"), "{told}");
        is_stale(&mut editor, &question, "may be another text than yours").await;
        let error = editor.execute("fix", json!({"uri": uri})).await.unwrap_err();
        assert!(error["message"].as_str().unwrap().contains("close the file and open it again"), "{error}");
        let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
        assert_eq!(record["proposal"], "discarded");
        // What is whole again is edited again.
        editor.change("a.py", 3, BEFORE).await;
        editor.forget(|message| message.get("method").is_none());
        let fix = editor.execute("explain", json!({"uri": uri})).await.unwrap();
        let create = editor.expect("window/workDoneProgress/create").await;
        editor.reply(&create, Value::Null).await;
        editor.execute("cancel", fix).await.unwrap();
        editor.quit().await;
    }
}

/// Sixteen tasks run and a thousand changes come between requests: each answer comes, and shows the text of its moment.
#[tokio::test]
async fn tasks_and_changes_do_not_disturb_the_order() {
    let models = Models::start(&[]).await;
    let mut options = options(&models);
    options["settings"]["limits"] = json!({"concurrentTasks": 16, "concurrentCalls": 16});
    let mut editor = Editor::start(plain(), options).await;
    let mut tasks = Vec::new();
    for number in 0..16 {
        let path = format!("{number}.py");
        editor.open(&path, "python", BEFORE).await;
        tasks.push(editor.begin("explain", &path).await);
    }
    let uri = editor.uri("0.py");
    editor.change("0.py", 2, "\n").await;
    let (mut asked, mut typed) = (Vec::new(), String::new());
    for number in 0..1000_u32 {
        let letter = char::from(b'a' + (number % 26) as u8).to_string();
        editor.notify("textDocument/didChange", insertion(&uri, 3 + number as i32, (0, 0), &letter)).await;
        typed.insert_str(0, &letter);
        if number % 10 == 9 {
            let id = editor.post("textDocument/codeAction", selected(&uri, 0)).await;
            asked.push((id, typed.clone()));
        }
    }
    for (id, typed) in asked {
        let actions = editor.answer(&id.into()).await.unwrap();
        let shown = actions[0]["title"].as_str().unwrap().strip_prefix("Generate: ").unwrap();
        assert!(typed.starts_with(shown.trim_end_matches('…')), "{shown} of {typed}");
    }
    for task in tasks {
        editor.execute("cancel", json!({"task": task})).await.unwrap();
        assert_eq!(editor.ended(&task).await["phase"], "cancelled");
    }
    editor.quit().await;
}

/// A client that stops reading while it asks and types: the server takes no more than it has room for, and goes on where
/// it stopped when the client reads again. Nothing that was typed is lost.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_loses_no_edit() {
    const ROUNDS: u32 = 6_000;
    const MOST_KIB: u64 = 200 << 10;
    let mut editor = Editor::start(plain(), Value::Null).await;
    editor.open("a.py", "python", "\n").await;
    let uri = editor.uri("a.py");
    let pause = editor.reading.clone().lock_owned().await;
    let first = editor.upcoming();
    let mut bytes = Vec::new();
    for number in 0..ROUNDS {
        let change = insertion(&uri, 2 + number as i32, (0, number), if number % 7 == 0 { "b" } else { "a" });
        let change = json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": change});
        let ask = json!({"jsonrpc": "2.0", "id": first + i64::from(number), "method": "textDocument/codeAction", "params": selected(&uri, 0)});
        for body in [change.to_string(), ask.to_string()] {
            bytes.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes());
        }
    }
    let pid = editor.pid();
    let release = async {
        // It stops taking when it may not speak. Then the client reads again.
        let (mut before, mut calm) = (taken(pid), 0);
        while calm < 5 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let now = taken(pid);
            calm = if now == before { calm + 1 } else { 0 };
            before = now;
        }
        let kib = resident_kib(pid);
        drop(pause);
        (before, kib)
    };
    let all = bytes.len() as u64;
    let ((), (taken, kib)) = tokio::join!(editor.raw(&bytes), release);
    assert!(taken < all, "it would have taken all {all} bytes");
    assert!(kib < MOST_KIB, "{kib} KiB for a client that does not read");
    let mut text = String::new();
    for number in 0..ROUNDS {
        text.push(if number % 7 == 0 { 'b' } else { 'a' });
        let actions = editor.answer(&(first + i64::from(number)).into()).await.unwrap();
        let shown = actions[0]["title"].as_str().unwrap();
        let shown = shown.strip_prefix("Generate: ").map_or("a", |shown| shown.trim_end_matches('…'));
        assert!(number == 0 || text.starts_with(shown), "{number}: {shown}");
    }
    let at = json!({"line": 0, "character": ROUNDS - 20});
    let mut end = selected(&uri, 0);
    end["range"]["start"] = at;
    let actions = editor.request("textDocument/codeAction", end).await.unwrap();
    assert_eq!(actions[0]["title"], format!("Generate: {}", &text[text.len() - 20..]));
    editor.quit().await;
}

/// Bytes that a process has read.
#[cfg(target_os = "linux")]
fn taken(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "rchar:")
}

#[cfg(target_os = "linux")]
fn resident_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

#[cfg(target_os = "linux")]
fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
