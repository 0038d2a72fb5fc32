//! Settings from the client: pulled for all and for each folder, pushed, answered late, never, and with garbage.

use super::{BEFORE, able, options};
use crate::e2e::PYTHON;
use crate::editor::{Editor, Models};
use crate::support::docker;
use serde_json::{Value, json};

fn asking() -> Value {
    json!({"workspace": {"configuration": true, "workspaceFolders": true}})
}

/// A second folder of the workspace, beside the first; its URI.
async fn second_folder(editor: &mut Editor) -> String {
    let folder = editor.directory.path().join("second");
    std::fs::create_dir_all(&folder).unwrap();
    let uri: String = url::Url::from_file_path(folder).unwrap().into();
    let event = json!({"added": [{"uri": uri, "name": "second"}], "removed": []});
    editor.notify("workspace/didChangeWorkspaceFolders", json!({"event": event})).await;
    uri
}

/// Begins a task on a file of any folder; its id.
async fn begin(editor: &mut Editor, command: &str, uri: &str) -> String {
    let task = editor.execute(command, json!({"uri": uri})).await.unwrap();
    task["task"].as_str().unwrap().to_owned()
}

async fn push(editor: &mut Editor, settings: Value) {
    editor.notify("workspace/didChangeConfiguration", json!({"settings": settings})).await;
}

#[tokio::test]
async fn settings_are_pulled_and_pushed() {
    let models = Models::start(&[("architect", "Because.")]).await;
    let mut editor = Editor::start(asking(), Value::Null).await;
    let pull = editor.expect("workspace/configuration").await;
    let (all, folder) = (json!({"section": "opendevagent"}), editor.uri(""));
    assert_eq!(pull["params"]["items"], json!([all, {"scopeUri": folder, "section": "opendevagent"}]));
    editor.reply(&pull, json!([null, null])).await;
    push(&mut editor, json!({"opendevagent": models.settings})).await;
    push(&mut editor, json!({})).await;
    let pull = editor.expect("workspace/configuration").await;
    // Shorter than what was asked for.
    editor.reply(&pull, json!([{}])).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("explain", "a.py").await;
    assert_eq!(editor.ended(&task).await["text"], "Because.");
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

/// What another server's settings, or none, were sent for leaves ours alone; so do answers that are none.
#[tokio::test]
async fn what_is_not_about_us_undoes_nothing() {
    let models = Models::start(&[("architect", "Because.")]).await;
    let mut editor = Editor::start(asking(), options(&models)).await;
    let others = [
        json!({"python": {"analysis": "strict"}}),
        json!({"opendevagent": null, "python": {}}),
        json!({"opendevagent": 5}),
    ];
    for settings in others {
        push(&mut editor, settings).await;
    }
    let garbage = [
        json!({"result": null}),
        json!({"result": "x"}),
        json!({"result": [5, [], 1]}),
        json!({"error": {"code": 1, "message": "no"}}),
    ];
    for answer in garbage {
        let pull = editor.expect("workspace/configuration").await;
        let mut message = json!({"jsonrpc": "2.0", "id": pull["id"]});
        message.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        editor.send(&message).await;
        push(&mut editor, Value::Null).await;
    }
    let pull = editor.expect("workspace/configuration").await;
    editor.reply(&pull, json!([{}, {}])).await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("explain", "a.py").await;
    assert_eq!(editor.ended(&task).await["text"], "Because.");
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

/// A folder's own settings decide which model reads its files. Until they are known nothing of it is sent to another.
#[tokio::test]
async fn each_folder_has_its_own_model() {
    let one = Models::start(&[("architect", "Of the first.")]).await;
    let two = Models::start(&[("architect", "Of the second.")]).await;
    let mut editor = Editor::start(asking(), options(&one)).await;
    let pull = editor.expect("workspace/configuration").await;
    editor.reply(&pull, json!([one.settings, one.settings])).await;
    editor.open("a.py", "python", BEFORE).await;
    let folder = second_folder(&mut editor).await;
    let file = format!("{folder}/b.py");
    std::fs::write(editor.directory.path().join("second/b.py"), BEFORE).unwrap();
    let task = begin(&mut editor, "explain", &file).await;
    // It waits for the answer that it hangs on, and holds up nobody else.
    let pull = editor.expect("workspace/configuration").await;
    assert_eq!(pull["params"]["items"][2], json!({"scopeUri": folder, "section": "opendevagent"}));
    assert!(editor.titles("a.py", 0).await.contains(&"Plan this".to_owned()));
    editor.reply(&pull, json!([one.settings, null, {"model": two.settings["model"]}])).await;
    assert_eq!(editor.ended(&task).await["text"], "Of the second.");
    editor.expect("window/showMessage").await;
    let task = editor.begin("explain", "a.py").await;
    assert_eq!(editor.ended(&task).await["text"], "Of the first.");
    editor.expect("window/showMessage").await;

    // What holds for all is sent anew: the folder's own stays, and is asked for.
    push(&mut editor, json!({"opendevagent": {"model": {"baseUrl": "http://127.0.0.1:9/v1"}}})).await;
    let pull = editor.expect("workspace/configuration").await;
    editor.reply(&pull, json!([one.settings, null, null])).await;
    let task = begin(&mut editor, "explain", &file).await;
    assert_eq!(editor.ended(&task).await["text"], "Of the first.");
    editor.expect("window/showMessage").await;
    editor.quit().await;
}

/// Tasks wait for a client that answers late, but not for ever, and its late answer counts.
#[tokio::test]
async fn settings_that_are_answered_late_or_never() {
    let one = Models::start(&[("architect", "Of the first.")]).await;
    let two = Models::start(&[("architect", "Of the second.")]).await;
    let mut editor = Editor::start(asking(), options(&one)).await;
    let pull = editor.expect("workspace/configuration").await;
    editor.open("a.py", "python", BEFORE).await;
    let task = editor.begin("explain", "a.py").await;
    editor.execute("cancel", json!({"task": task})).await.unwrap();
    assert_eq!(editor.ended(&task).await["phase"], "cancelled");
    let task = editor.begin("explain", "a.py").await;
    assert_eq!(editor.ended(&task).await["text"], "Of the first.");
    editor.expect("window/showMessage").await;
    editor.reply(&pull, json!([null, two.settings])).await;
    editor.reply(&pull, json!([null, one.settings])).await;
    // The answer to a question that no task waits for any more may be taken beside the next request.
    for _ in 0..100 {
        let task = editor.begin("explain", "a.py").await;
        let said = editor.ended(&task).await["text"].take();
        editor.expect("window/showMessage").await;
        if said == "Of the second." {
            return editor.quit().await;
        }
        assert_eq!(said, "Of the first.");
    }
    panic!("the late answer was lost");
}

/// Each folder's own file says what decides, each folder's own settings what it may use.
#[tokio::test]
async fn each_folder_is_checked_its_own_way() {
    if !docker() {
        return;
    }
    let models = Models::start(&[("debugger", &PYTHON.answer(PYTHON.repair))]).await;
    let mut capabilities = able();
    capabilities["workspace"]["configuration"] = true.into();
    let mut editor = Editor::start(capabilities, Value::Null).await;
    let mut general = models.settings.clone();
    general.as_object_mut().unwrap().remove("sandbox");
    let pull = editor.expect("workspace/configuration").await;
    editor.reply(&pull, json!([general, null])).await;
    let folder = second_folder(&mut editor).await;
    let pull = editor.expect("workspace/configuration").await;
    editor.reply(&pull, json!([general, null, {"sandbox": {"memoryMiB": 300}}])).await;
    let checks = ["python -m pytest -q test_gcd.py", "python -m pytest -q"];
    let folders = [editor.workspace(), editor.directory.path().join("second")];
    for (folder, check) in folders.iter().zip(checks) {
        std::fs::write(folder.join("gcd.py"), PYTHON.before()).unwrap();
        std::fs::write(folder.join("test_gcd.py"), PYTHON.workspace().read("test_gcd.py")).unwrap();
        std::fs::write(folder.join(".opendevagent.toml"), format!("check = {check:?}\n")).unwrap();
    }
    let first = editor.uri("gcd.py");
    let tasks = [
        begin(&mut editor, "fix", &first).await,
        begin(&mut editor, "fix", &format!("{folder}/gcd.py")).await,
    ];
    for ((task, check), memory) in tasks.iter().zip(checks).zip([512, 300]) {
        let verdict = editor.ended(task).await["verdict"].take();
        assert_eq!((&verdict["level"], &verdict["check"]), (&json!("proven"), &json!(check)), "{verdict:#}");
        assert_eq!(
            (&verdict["check_source"], &verdict["sandbox"]["memory_mib"]),
            (&json!("workspace"), &json!(memory))
        );
    }
    editor.ignore_all();
    editor.quit().await;
}
