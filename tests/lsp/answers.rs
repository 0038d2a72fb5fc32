//! What the server answers for each kind of file. None of them hangs, is overwritten or is called good.

use super::{AFTER, BEFORE, EDIT, generating, goes_stale, logged, propose, rechecks};
use crate::e2e::whole;
use crate::editor::Editor;
use crate::model_server::ModelServer;
use crate::support::{ODD_FILES, odd_files};
use serde_json::{Value, json};
use std::path::Path;

async fn asking(server: &ModelServer) -> Editor {
    let agent = json!({"model": "m", "fallbacks": []});
    let agents = json!({"architect": agent, "coder": agent, "debugger": agent});
    let settings = json!({"model": {"baseUrl": server.url()}, "sandbox": {"host": "off"}, "agents": agents});
    Editor::start(json!({}), json!({"settings": settings})).await
}

/// Refused before a model is asked, whether the file is open or not.
#[tokio::test]
async fn files_that_cannot_be_edited() {
    let server = ModelServer::always(EDIT.to_owned());
    let mut editor = asking(&server).await;
    odd_files(&editor.workspace());
    for open in [false, true] {
        for (path, why) in ODD_FILES {
            // An editor shows what it takes a file for; nobody opens a folder.
            let opens = open && !matches!(path, "folder" | "missing.py" | "big.py");
            if opens {
                let document =
                    json!({"uri": editor.uri(path), "languageId": "python", "version": 1, "text": BEFORE});
                editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
            }
            let task = editor.begin("fix", path).await;
            let report = editor.ended(&task).await;
            let error = report["error"].as_str().unwrap_or_default();
            assert!(error.contains(why), "{path}, open {open}: {error:?}");
            assert_eq!(report["verdict"]["level"], "unverified");
            editor.expect("window/showMessage").await;
        }
    }
    assert!(server.requests().is_empty(), "no model was asked");
    editor.quit().await;
}

#[tokio::test]
async fn files_that_are_in_no_folder_of_the_workspace() {
    let server = ModelServer::always(EDIT.to_owned());
    let mut editor = asking(&server).await;
    let outside = editor.directory.path().join("outside.py");
    std::fs::write(&outside, BEFORE).unwrap();
    for (uri, why) in [
        ("untitled:Untitled-1".to_owned(), "saved file"),
        (url::Url::from_file_path(&outside).unwrap().into(), "outside the workspace"),
        (url::Url::from_file_path("/etc/passwd").unwrap().into(), "outside the workspace"),
    ] {
        let document = json!({"uri": uri, "languageId": "python", "version": 1, "text": BEFORE});
        editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
        for command in ["fix", "explain", "run", "generate"] {
            let error = editor.execute(command, json!({"uri": uri})).await.unwrap_err();
            assert_eq!(error["code"], -32602);
            assert!(error["message"].as_str().unwrap().contains(why), "{uri} {command}: {error}");
        }
    }
    assert!(server.requests().is_empty(), "no model was asked");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), BEFORE);
    editor.quit().await;
}

/// What an open buffer shows of a file behind a link is not sent either.
#[tokio::test]
async fn a_buffer_over_a_link_reaches_no_model() {
    let server = ModelServer::always("Because.".to_owned());
    let mut editor = asking(&server).await;
    let secret = editor.directory.path().join("secret");
    std::fs::write(&secret, "value = 'hunter2hunter2'\n").unwrap();
    std::os::unix::fs::symlink(&secret, editor.workspace().join("link.py")).unwrap();
    let document = json!({"uri": editor.uri("link.py"), "languageId": "python", "version": 1, "text": "value = 'hunter2hunter2'\n"});
    editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    editor.open("a.py", "python", "from link import value\nprint(value)\n").await;
    let task = editor.begin("explain", "a.py").await;
    editor.ended(&task).await;
    editor.expect("window/showMessage").await;
    let [request] = &server.requests()[..] else { panic!("one question") };
    assert!(request.prompt().contains("print(value)") && !request.prompt().contains("hunter2"));
    editor.quit().await;
}

/// Not every client encodes what a URI wants encoded. The buffer counts all the same, and the edit is for it.
#[tokio::test]
async fn a_file_whose_uri_is_not_encoded() {
    const NAME: &str = "[id] é 100%.py";
    let mut editor = generating(&EDIT.replace("a.py", &format!("`{NAME}`"))).await;
    std::fs::write(editor.workspace().join(NAME), "old = 0\n").unwrap();
    let uri = format!("file://{}/{NAME}", editor.workspace().display());
    let document = json!({"uri": uri, "languageId": "python", "version": 7, "text": BEFORE});
    editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    let typed = json!({"textDocument": {"uri": uri, "version": 8}, "contentChanges": [
        {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}, "text": "# typed\n"},
    ]});
    editor.notify("textDocument/didChange", typed).await;
    let task = editor.execute("generate", json!({"uri": uri, "instruction": "do it"})).await.unwrap();
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let question = editor.expect("window/showMessageRequest").await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let change = &apply["params"]["edit"]["documentChanges"][0];
    let named = url::Url::parse(change["textDocument"]["uri"].as_str().unwrap()).unwrap();
    assert_eq!(named.to_file_path(), Ok(editor.workspace().join(NAME)));
    assert_eq!(
        (&change["textDocument"]["version"], &change["edits"][0]["newText"]),
        (&8.into(), &"1".into())
    );
    assert_eq!(change["edits"][0]["range"]["start"], json!({"line": 2, "character": 11}));
    let edited = json!({"textDocument": {"uri": uri, "version": 9}, "contentChanges": change["edits"].as_array().unwrap()
        .iter().map(|edit| json!({"range": edit["range"], "text": edit["newText"]})).collect::<Vec<_>>()});
    editor.notify("textDocument/didChange", edited).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, task["task"].as_str().unwrap(), "Applied: ").await;
    editor.quit().await;
}

/// What cannot be opened may differ from the disk: it is not worked on, and the other files are.
#[tokio::test]
async fn a_file_that_is_opened_without_a_version() {
    let server = ModelServer::always("Because.".to_owned());
    let mut editor = asking(&server).await;
    std::fs::write(editor.workspace().join("b.py"), BEFORE).unwrap();
    editor.open("a.py", "python", BEFORE).await;
    let document =
        json!({"uri": editor.uri("b.py"), "languageId": "python", "version": null, "text": "typed"});
    editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    let told = editor.expect("window/showMessage").await["params"]["message"].take();
    assert!(told.as_str().unwrap().contains("b.py is not edited"), "{told}");
    let error = editor.execute("explain", json!({"uri": editor.uri("b.py")})).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("close the file and open it again"), "{error}");
    let task = editor.begin("explain", "a.py").await;
    editor.ended(&task).await;
    editor.expect("window/showMessage").await;
    assert_eq!(server.requests().len(), 1);
    editor.quit().await;
}

/// Some editors carry an edit over what the user types while it is on its way.
#[tokio::test]
async fn an_edit_that_stands_beside_what_was_typed() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    editor.change("a.py", 2, &format!("typed = 1\n{AFTER}")).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// The file on disk counts when its buffer is gone.
#[tokio::test]
async fn a_file_that_is_closed_meanwhile() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    let closed = json!({"textDocument": {"uri": editor.uri("a.py")}});
    editor.notify("textDocument/didClose", closed).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    assert_eq!(apply["params"]["edit"]["documentChanges"][0]["textDocument"]["version"], Value::Null);
    std::fs::write(editor.workspace().join("a.py"), AFTER).unwrap();
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// What the client says of a file that was not open is believed no more than of an open one. The edit may stand in a
/// buffer that nobody told of, so it is not sent a second time.
#[tokio::test]
async fn a_closed_file_that_the_client_only_says_it_has_edited() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    let closed = json!({"textDocument": {"uri": editor.uri("a.py")}});
    editor.notify("textDocument/didClose", closed).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    editor.reply(&apply, json!({"applied": true})).await;
    let told = editor.expect("window/showMessage").await;
    let message = told["params"]["message"].as_str().unwrap();
    assert!(message.contains("shows it in a.py; save all files, and look"), "{message}");
    let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
    assert!(!record["log"].to_string().contains("Applied: "), "{record}");
    let error = editor.execute("apply", json!({"task": task})).await.unwrap_err();
    assert_eq!(error["code"], -32602);
    editor.quit().await;
}

/// The client shows the edit by opening the file with it, and the user types on at once.
#[tokio::test]
async fn a_closed_file_that_is_opened_with_the_edit() {
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    let closed = json!({"textDocument": {"uri": editor.uri("a.py")}});
    editor.notify("textDocument/didClose", closed).await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let document = json!({"uri": editor.uri("a.py"), "languageId": "python", "version": 1, "text": AFTER});
    editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    editor.change("a.py", 2, "typed = 1\n").await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// The edits were for a buffer that was never saved.
#[tokio::test]
async fn a_buffer_that_is_thrown_away_meanwhile() {
    let mut editor = generating(EDIT).await;
    let (_, question) = propose(&mut editor).await;
    std::fs::write(editor.workspace().join("a.py"), "other = 1\n").unwrap();
    let closed = json!({"textDocument": {"uri": editor.uri("a.py")}});
    editor.notify("textDocument/didClose", closed).await;
    goes_stale(&mut editor, &question, "a.py has changed where it was to be edited").await;
    editor.quit().await;
}

/// Renamed, deleted, or something else under the old name.
#[tokio::test]
async fn a_file_that_goes_meanwhile() {
    type Act = fn(&Path, &Path);
    let acts: [(Act, &str); 4] = [
        (|from, to| std::fs::rename(from, to).unwrap(), "a.py is gone"),
        (|from, _| std::fs::remove_file(from).unwrap(), "a.py is gone"),
        (
            |from, to| {
                std::fs::rename(from, to).unwrap();
                std::os::unix::fs::symlink("b.py", from).unwrap();
            },
            "a.py is a symbolic link",
        ),
        (
            |from, _| {
                std::fs::remove_file(from).unwrap();
                assert!(std::process::Command::new("mkfifo").arg(from).status().unwrap().success());
            },
            "a.py is a folder, a pipe or a device",
        ),
    ];
    for (act, why) in acts {
        let mut editor = generating(EDIT).await;
        let (_, question) = propose(&mut editor).await;
        let closed = json!({"textDocument": {"uri": editor.uri("a.py")}});
        editor.notify("textDocument/didClose", closed).await;
        let (from, to) = (editor.workspace().join("a.py"), editor.workspace().join("b.py"));
        act(&from, &to);
        let document =
            json!({"uri": editor.uri("b.py"), "languageId": "python", "version": 1, "text": BEFORE});
        editor.notify("textDocument/didOpen", json!({"textDocument": document})).await;
        goes_stale(&mut editor, &question, why).await;
        editor.quit().await;
    }
}

/// The proposal stands until the user has made the file writable.
#[tokio::test]
async fn a_read_only_file() {
    use std::os::unix::fs::PermissionsExt;
    let mut editor = generating(EDIT).await;
    let (task, question) = propose(&mut editor).await;
    let path = editor.workspace().join("a.py");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o444);
    editor.reply(&question, json!({"title": "Apply"})).await;
    let told = editor.expect("window/showMessage").await;
    let message = told["params"]["message"].as_str().unwrap();
    assert!(message.contains("a.py is read-only; make it writable (`chmod u+w a.py`)"), "{message}");
    mode(0o644);
    editor.execute("apply", json!({"task": task})).await.unwrap();
    let apply = editor.expect("workspace/applyEdit").await;
    editor.change("a.py", 2, AFTER).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

#[tokio::test]
async fn an_empty_file() {
    let mut editor = generating(&whole("e.py", "new = 1\n")).await;
    editor.open("e.py", "python", "").await;
    let task = editor.begin("generate", "e.py").await;
    rechecks(&mut editor).await;
    let question = editor.expect("window/showMessageRequest").await;
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    let change = &apply["params"]["edit"]["documentChanges"][0];
    assert_eq!(
        (&change["textDocument"]["version"], &change["edits"][0]["newText"]),
        (&json!(1), &json!("new = 1\n"))
    );
    editor.change("e.py", 2, "new = 1\n").await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}
