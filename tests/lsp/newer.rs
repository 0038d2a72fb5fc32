//! What LSP 3.18 brings, for clients that offer it, and files of settings that are watched.

use super::{BEFORE, EDIT, PLAN, able, logged, options, plain};
use crate::editor::{Editor, Models};
use crate::model_server::{Answer, ModelServer};
use crate::support::KEY;
use serde_json::{Value, json};

/// An editor of 2026 that declares all of it.
fn newest() -> Value {
    let mut able = able();
    able["workspace"]["textDocumentContent"] = json!({"dynamicRegistration": true});
    able["textDocument"]["codeAction"]["tagSupport"] = json!({"valueSet": [1]});
    able["textDocument"]["inlineCompletion"] = json!({"dynamicRegistration": true});
    able
}

#[tokio::test]
async fn only_what_is_offered_is_used() {
    for (capabilities, offered) in [(newest(), true), (able(), false)] {
        let mut editor = Editor::start(capabilities, Value::Null).await;
        let welcome = &editor.welcome["capabilities"];
        assert_eq!(welcome["workspace"]["textDocumentContent"]["schemes"].is_array(), offered);
        assert_eq!(welcome["inlineCompletionProvider"].is_object(), offered);
        editor.open("a.py", "python", BEFORE).await;
        let params = json!({
            "textDocument": {"uri": editor.uri("a.py")},
            "range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}},
            "context": {"diagnostics": []},
        });
        let actions = editor.request("textDocument/codeAction", params).await.unwrap();
        for action in actions.as_array().unwrap() {
            let by_a_model = offered && action["title"] != "Run in sandbox";
            assert_eq!(action["tags"], if by_a_model { json!([1]) } else { Value::Null }, "{action}");
        }
        editor.quit().await;
    }
}

/// Answers `window/showDocument` and asks for the text as an editor does.
async fn shown(editor: &mut Editor) -> (String, String) {
    let show = editor.expect("window/showDocument").await;
    editor.reply(&show, json!({"success": true})).await;
    let uri = show["params"]["uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("opendevagent-task:/"), "{uri}");
    let content = editor.request("workspace/textDocumentContent", json!({"uri": uri})).await.unwrap();
    (uri, content["text"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn texts_need_no_files() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let mut capabilities = newest();
    capabilities["window"] = json!({"showDocument": {"support": true}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("generate", "a.py").await;
    editor.ended(&task).await;
    editor.execute("showDiff", json!({"task": task})).await.unwrap();
    let (uri, diff) = shown(&mut editor).await;
    assert!(uri.ends_with("/changes.diff") && diff.contains("-    return 2\n+    return 1\n"), "{diff}");
    editor.execute("showLog", json!({"task": task})).await.unwrap();
    let (_, log) = shown(&mut editor).await;
    assert!(log.contains("[PHASE 2: ACTING]") && log.contains("The last question, to the coder"), "{log}");

    let plan = editor.begin("plan", "a.py").await;
    let (uri, text) = shown(&mut editor).await;
    assert!(text.contains("1. [ ] **t**"), "{text}");
    let document = json!({"textDocument": {"uri": uri}});
    let lenses = editor.request("textDocument/codeLens", document).await.unwrap();
    assert_eq!(lenses[1]["command"]["title"], "Generate this step", "{lenses}");
    let step = lenses[1]["command"]["arguments"][0].clone();
    let step = editor.execute("generate", step).await.unwrap();
    // What is shown is out of date, and asked for again.
    let refresh = editor.expect("workspace/textDocumentContent/refresh").await;
    assert_eq!(refresh["params"]["uri"], uri);
    editor.reply(&refresh, Value::Null).await;
    editor.ended(step["task"].as_str().unwrap()).await;
    let refresh = editor.expect("workspace/textDocumentContent/refresh").await;
    editor.reply(&refresh, Value::Null).await;
    let text = editor.request("workspace/textDocumentContent", json!({"uri": uri})).await.unwrap();
    assert!(text["text"].as_str().unwrap().contains("*(failed)*"), "{text}");
    for unknown in [
        format!("opendevagent-task:/{plan}/none.txt"),
        "opendevagent-task:/0/plan.md".into(),
        "file:///a".into(),
    ] {
        let error =
            editor.request("workspace/textDocumentContent", json!({"uri": unknown})).await.unwrap_err();
        assert_eq!(error["code"], -32602);
    }
    let logs = editor.directory.path().join("home/.local/state/opendevagent/shown");
    let names = std::fs::read_dir(logs).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| name.contains("-plan.")), "only a plan is kept");
    editor.ignore(&["workspace/textDocumentContent/refresh"]);
    editor.quit().await;
}

/// An editor that says it shows such texts and then does not, gets a file.
#[tokio::test]
async fn a_text_that_is_not_shown_becomes_a_file() {
    let models = Models::start(&[("architect", "Because.")]).await;
    let mut editor = Editor::start(newest(), options(&models)).await;
    editor.open("a.py", "python", BEFORE).await;
    editor.begin("explain", "a.py").await;
    let create = editor.expect("window/workDoneProgress/create").await;
    editor.reply(&create, Value::Null).await;
    let show = editor.expect("window/showDocument").await;
    editor.reply(&show, json!({"success": false})).await;
    let show = editor.expect("window/showDocument").await;
    let path = url::Url::parse(show["params"]["uri"].as_str().unwrap()).unwrap().to_file_path().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "Because.");
    editor.reply(&show, json!({"success": true})).await;
    editor.quit().await;
}

async fn completing(server: &ModelServer, more: Value) -> Editor {
    let mut settings = json!({"model": {"baseUrl": server.url()}, "inline": {"completion": true}});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut editor = Editor::start(newest(), json!({"settings": settings})).await;
    editor.open("a.py", "python", "x = \n").await;
    editor
}

fn at(uri: &str, column: u32, kind: u32) -> Value {
    json!({"textDocument": {"uri": uri}, "position": {"line": 0, "character": column}, "context": {"triggerKind": kind}})
}

/// Asks until something is completed: the setting is read beside, and until it is nothing is.
async fn completed(editor: &mut Editor, place: Value) -> Value {
    loop {
        let mut answer = editor.request("textDocument/inlineCompletion", place.clone()).await.unwrap();
        if answer != Value::Null {
            return answer["items"][0].take();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coder_completes_at_the_cursor_when_it_is_switched_on() {
    let server = ModelServer::always("```python\n41 + 1\n```\n".to_owned());
    let mut editor = completing(&server, json!({})).await;
    let uri = editor.uri("a.py");
    let item = completed(&mut editor, at(&uri, 4, 1)).await;
    assert_eq!(item["insertText"], "41 + 1");
    assert_eq!(item["range"]["start"], json!({"line": 0, "character": 4}));
    // A pause counts as well as a wish.
    assert_eq!(completed(&mut editor, at(&uri, 4, 2)).await["insertText"], "41 + 1");
    let asked = server.requests();
    assert!(
        asked[0].prompt().contains("x = <hole-") && asked[0].body["max_tokens"] == 256,
        "{:?}",
        asked[0].body
    );
    let audit = editor.directory.path().join("home/.local/state/opendevagent/audit.jsonl");
    let audit = std::fs::read_to_string(audit).unwrap();
    assert!(audit.contains("\"model_called\"") && audit.contains("\"files\":[\"a.py\"]"), "{audit}");
    // Switched off without a restart.
    let off = json!({"settings": {"opendevagent": {"model": {"baseUrl": server.url()}}}});
    editor.notify("workspace/didChangeConfiguration", off).await;
    while editor.request("textDocument/inlineCompletion", at(&uri, 4, 1)).await.unwrap() != Value::Null {}
    editor.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_completed_unless_it_is_switched_on() {
    let server = ModelServer::always("```\n1\n```".to_owned());
    let settings = json!({"settings": {"model": {"baseUrl": server.url()}}});
    for (capabilities, settings) in [(newest(), settings.clone()), (plain(), settings)] {
        let mut editor = Editor::start(capabilities, settings).await;
        editor.open("a.py", "python", "x = \n").await;
        let place = at(&editor.uri("a.py"), 4, 1);
        for _ in 0..3 {
            let answer = editor.request("textDocument/inlineCompletion", place.clone()).await.unwrap();
            assert_eq!(answer, Value::Null);
        }
        editor.quit().await;
    }
    assert_eq!(server.requests().len(), 0);
}

/// The next key ends it, whether the client cancels or only sends the change; the model's connection is closed.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_key_ends_a_completion() {
    let server = ModelServer::always(Answer::Stall("```\n41".into()));
    let mut editor = completing(&server, json!({})).await;
    let uri = editor.uri("a.py");
    let mut under_way = 0;
    let mut begin = async |editor: &mut Editor, server: &ModelServer| {
        under_way += 1;
        loop {
            let id = editor.post("textDocument/inlineCompletion", at(&uri, 4, 1)).await;
            // The setting may not be read yet: then it is answered at once.
            for _ in 0..50 {
                if server.requests().len() >= under_way {
                    return id;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            editor.forget(|message| message["id"] == id);
        }
    };
    let id = begin(&mut editor, &server).await;
    editor.notify("$/cancelRequest", json!({"id": id})).await;
    assert_eq!(editor.answer(&id.into()).await.unwrap_err()["code"], -32800);
    server.wait_for_hang_ups(1);
    let id = begin(&mut editor, &server).await;
    editor.change("a.py", 2, "x = 4\n").await;
    assert_eq!(editor.answer(&id.into()).await.unwrap(), Value::Null);
    server.wait_for_hang_ups(2);
    // A newer wish ends the one before.
    let older = begin(&mut editor, &server).await;
    let newer = begin(&mut editor, &server).await;
    assert_eq!(editor.answer(&older.into()).await.unwrap(), Value::Null);
    server.wait_for_hang_ups(3);
    editor.notify("$/cancelRequest", json!({"id": newer})).await;
    assert_eq!(editor.answer(&newer.into()).await.unwrap_err()["code"], -32800);
    server.wait_for_hang_ups(4);
    editor.quit().await;
}

/// What may not leave does not, and a refused key is told of once.
#[tokio::test(flavor = "multi_thread")]
async fn completions_keep_the_rules_of_tasks() {
    let server = ModelServer::always(format!("```\nuse('{KEY}')\n```"));
    let limits = json!({"limits": {"requestsPerMinute": 4}, "context": {"exclude": ["hidden.py"]}});
    let mut editor = completing(&server, limits).await;
    let uri = editor.uri("a.py");
    editor.change("a.py", 2, &format!("x = \nkey = '{KEY}'\n")).await;
    completed(&mut editor, at(&uri, 4, 1)).await;
    assert!(!server.requests()[0].body.to_string().contains(KEY));
    editor.open("hidden.py", "python", "x = \n").await;
    editor.open(".env", "python", "x = \n").await;
    for closed in ["hidden.py", ".env"] {
        let place = at(&editor.uri(closed), 4, 1);
        assert_eq!(editor.request("textDocument/inlineCompletion", place).await.unwrap(), Value::Null);
    }
    // Half of what may be asked in a minute is left to tasks.
    for _ in 0..4 {
        editor.request("textDocument/inlineCompletion", at(&uri, 4, 1)).await.unwrap();
    }
    assert!(server.requests().len() <= 2, "{}", server.requests().len());
    editor.quit().await;

    let server = ModelServer::always(Answer::Status(401, "no".into()));
    let mut editor = completing(&server, json!({})).await;
    let uri = editor.uri("a.py");
    let told = loop {
        editor.request("textDocument/inlineCompletion", at(&uri, 4, 1)).await.unwrap();
        if let Some(told) = editor.heard("window/showMessage") {
            break told;
        }
    };
    assert!(told["params"]["message"].as_str().unwrap().contains("completes nothing until"), "{told}");
    let asked = server.requests().len();
    editor.request("textDocument/inlineCompletion", at(&uri, 4, 1)).await.unwrap();
    assert_eq!(server.requests().len(), asked);
    editor.quit().await;
}

#[tokio::test]
async fn files_of_settings_are_watched() {
    let mut capabilities = plain();
    capabilities["workspace"] = json!({
        "codeLens": {"refreshSupport": true},
        "didChangeWatchedFiles": {"dynamicRegistration": true, "relativePatternSupport": true},
    });
    let mut editor = Editor::start(capabilities, Value::Null).await;
    let register = editor.expect("client/registerCapability").await;
    let wish = &register["params"]["registrations"][0];
    assert_eq!(wish["method"], "workspace/didChangeWatchedFiles");
    let watchers = &wish["registerOptions"]["watchers"];
    assert_eq!(watchers[0]["globPattern"], "**/.opendevagent.toml");
    assert_eq!(watchers[1]["globPattern"]["pattern"], "config.toml");
    let folder = watchers[1]["globPattern"]["baseUri"].as_str().unwrap().to_owned();
    editor.reply(&register, Value::Null).await;
    let changed =
        |uri: String| json!({"changes": [{"uri": "file:///other.txt", "type": 1}, {"uri": uri, "type": 2}]});

    // What is wrong in the workspace's file is said when it is saved, not with the next task.
    std::fs::write(editor.workspace().join(".opendevagent.toml"), "[model]\nbaseUrl = 'http://evil'\n")
        .unwrap();
    editor.notify("workspace/didChangeWatchedFiles", changed(editor.uri(".opendevagent.toml"))).await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains("a workspace may set only"), "{told}");

    // The user's own file takes effect at once.
    editor.open("a.py", "python", "def two():\n    pass\n").await;
    let lenses = json!({"textDocument": {"uri": editor.uri("a.py")}});
    assert_eq!(
        editor.request("textDocument/codeLens", lenses.clone()).await.unwrap()[0]["command"]["title"],
        "Implement two"
    );
    let file = url::Url::parse(&folder).unwrap().to_file_path().unwrap();
    std::fs::create_dir_all(&file).unwrap();
    std::fs::write(file.join("config.toml"), "inline.stubs = false\n").unwrap();
    editor.notify("workspace/didChangeWatchedFiles", changed(format!("{folder}/config.toml"))).await;
    let refresh = editor.expect("workspace/codeLens/refresh").await;
    editor.reply(&refresh, Value::Null).await;
    assert_eq!(editor.request("textDocument/codeLens", lenses).await.unwrap(), json!([]));
    editor.quit().await;
}

/// Without watchers a saved buffer is as good, and else the next task reads the files.
#[tokio::test]
async fn without_watchers_settings_are_read_with_the_next_task() {
    let models = Models::start(&[("architect", "Because.")]).await;
    let capabilities = json!({"workspace": {"codeLens": {"refreshSupport": true}}});
    let mut editor = Editor::start(capabilities, options(&models)).await;
    editor.open("a.py", "python", "def two():\n    pass\n").await;
    let lenses = json!({"textDocument": {"uri": editor.uri("a.py")}});
    assert_ne!(editor.request("textDocument/codeLens", lenses.clone()).await.unwrap(), json!([]));
    let folder = editor.directory.path().join("home/.config/opendevagent");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "inline.stubs = false\n").unwrap();
    let task = editor.begin("explain", "a.py").await;
    editor.ended(&task).await;
    logged(&mut editor, &task, "PHASE").await;
    editor.expect("window/showMessage").await;
    assert_eq!(editor.request("textDocument/codeLens", lenses).await.unwrap(), json!([]));

    editor.open(".opendevagent.toml", "toml", "check = 3\n").await;
    let saved = json!({"textDocument": {"uri": editor.uri(".opendevagent.toml")}});
    editor.notify("textDocument/didSave", saved).await;
    let told = editor.expect("window/showMessage").await;
    assert!(told["params"]["message"].as_str().unwrap().contains(".opendevagent.toml"), "{told}");
    editor.forget(|message| message["method"] == "workspace/codeLens/refresh");
    editor.quit().await;
}
