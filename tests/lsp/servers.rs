//! Several servers on one workspace, and several folders in one server: the journal is shared, the settings are not.

use super::{AFTER, BEFORE, EDIT, PLAN, able, is_stale, logged, options, plain, propose, told_stale};
use crate::editor::{Editor, Models};
use serde_json::{Value, json};

/// Asks a server for its tasks until one fits.
async fn row(editor: &mut Editor, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let rows = editor.request("opendevagent/tasks", json!({})).await.unwrap();
        if let Some(row) = rows.as_array().unwrap().iter().find(|row| fits(row)) {
            return row.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn servers_tell_of_each_others_tasks_and_cancel_them() {
    let models = Models::start(&[]).await;
    let mut one = Editor::start(plain(), options(&models)).await;
    let mut other = Editor::start_beside(&one, plain(), options(&models)).await;
    one.open("a.py", "python", BEFORE).await;
    let task = one.begin("explain", "a.py").await;
    let told = row(&mut other, |row| row["task"] == *task).await;
    assert_eq!(
        (&told["server"], &told["action"], &told["offer"]),
        (&json!("other"), &json!("explain"), &json!(false))
    );
    assert_eq!(told["uri"], one.uri("a.py"));
    assert_eq!(row(&mut one, |row| row["task"] == *task).await["server"], "this");
    let record = other.request("opendevagent/task", json!({"task": task})).await.unwrap();
    assert_eq!((&record["task"], &record["server"]), (&json!(task), &json!("other")));
    assert!(record["log"].is_array(), "{record}");
    other.execute("showLog", json!({"task": task})).await.unwrap();
    let shown = other.expect("window/showMessage").await;
    assert!(shown["params"]["message"].as_str().unwrap().contains("-task.log"), "{shown}");
    for (command, why) in [("showPlan", "nothing of that kind"), ("showDiff", "nothing of that kind")] {
        let error = other.execute(command, json!({"task": task})).await.unwrap_err();
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }

    let error = other.execute("showDiff", json!({"task": "0000"})).await.unwrap_err();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("showDiff") && !message.contains("opendevagent.task:"), "{message}");

    // What is not in the other's hands is refused there; to cancel is asked of the server that runs it.
    let error = other.execute("apply", json!({"task": task})).await.unwrap_err();
    assert_eq!(error["code"], -32602);
    other.execute("cancel", json!({"task": task})).await.unwrap();
    assert_eq!(one.ended(&task).await["phase"], "cancelled");
    let told = row(&mut other, |row| row["task"] == *task && row["phase"] == "cancelled").await;
    assert_eq!(told["percent"], 100);
    let error = other.execute("cancel", json!({"task": "0000"})).await.unwrap_err();
    assert_eq!(error["code"], -32602);

    // The first server is gone, with a task that it had not ended.
    let lost = one.begin("review", "a.py").await;
    row(&mut other, |row| row["task"] == *lost).await;
    one.kill().await;
    let told = row(&mut other, |row| row["task"] == *lost && row["server"] == "earlier").await;
    assert_eq!(told["phase"], "failed", "{told}");
    let news = other.expect("window/showMessage").await;
    assert!(news["params"]["message"].as_str().unwrap().contains("interrupted"), "{news}");
    // It can be taken up here.
    let again = other.request("opendevagent/again", json!({"task": lost})).await.unwrap();
    let titles = other.titles("a.py", 0).await;
    assert!(titles.contains(&"Cancel OpenDevAgent task".to_owned()), "{titles:?}");
    let again = again["task"].as_str().unwrap().to_owned();
    other.execute("cancel", json!({"task": again})).await.unwrap();
    assert_eq!(other.ended(&again).await["action"], "review");
    other.quit().await;
}

/// The same was asked for in two editors. What one has applied stands in its buffer alone; the other is told, and edits
/// nothing.
#[tokio::test]
async fn a_proposal_is_not_applied_a_second_time_in_another_editor() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let mut one = Editor::start(able(), options(&models)).await;
    let mut other = Editor::start_beside(&one, able(), options(&models)).await;
    let (first, question) = propose(&mut one).await;
    let (second, later) = propose(&mut other).await;
    one.reply(&question, json!({"title": "Apply"})).await;
    let apply = one.expect("workspace/applyEdit").await;
    // Both say yes before either has its edit.
    other.reply(&later, json!({"title": "Apply"})).await;
    one.change("a.py", 2, AFTER).await;
    one.reply(&apply, json!({"applied": true})).await;
    row(&mut other, |row| row["task"] == *first && row["decision"] == "applied").await;
    told_stale(&mut other, "was changed by another editor's `generate a.py`").await;
    let told = row(&mut one, |row| row["task"] == *second && row["decision"] == "stale").await;
    assert_eq!(told["server"], "other");
    // A task that begins now is about the text as it is now, and may be applied.
    let task = other.begin("generate", "a.py").await;
    let create = other.expect("window/workDoneProgress/create").await;
    other.reply(&create, Value::Null).await;
    let question = other.expect("window/showMessageRequest").await;
    other.reply(&question, json!({"title": "Apply"})).await;
    let apply = other.expect("workspace/applyEdit").await;
    other.change("a.py", 2, AFTER).await;
    other.reply(&apply, json!({"applied": true})).await;
    logged(&mut other, &task, "Applied: ").await;
    one.quit().await;
    other.quit().await;
}

/// Another program has saved the file, and the editor has not read it again yet.
#[tokio::test]
async fn a_file_that_was_saved_beneath_an_open_buffer_is_left_alone() {
    let models = Models::start(&[("architect", PLAN), ("coder", EDIT)]).await;
    let mut editor = Editor::start(able(), options(&models)).await;
    let (_, question) = propose(&mut editor).await;
    std::fs::write(editor.workspace().join("a.py"), AFTER).unwrap();
    is_stale(&mut editor, &question, "a.py has changed on disk").await;
    // The user's own saving is none, however the editor stores lines.
    let (task, question) = propose(&mut editor).await;
    std::fs::write(editor.workspace().join("a.py"), BEFORE.replace('\n', "\r\n")).unwrap();
    editor.reply(&question, json!({"title": "Apply"})).await;
    let apply = editor.expect("workspace/applyEdit").await;
    editor.change("a.py", 2, AFTER).await;
    editor.reply(&apply, json!({"applied": true})).await;
    logged(&mut editor, &task, "Applied: ").await;
    editor.quit().await;
}

/// Adds or removes a workspace folder.
async fn folders(editor: &mut Editor, added: &[&str], removed: &[&str]) {
    let list = |names: &[&str]| {
        names.iter().map(|name| json!({"uri": editor.uri(name), "name": name})).collect::<Value>()
    };
    let event = json!({"added": list(added), "removed": list(removed)});
    editor.notify("workspace/didChangeWorkspaceFolders", json!({"event": event})).await;
}

/// A file belongs to the innermost folder, with that folder's settings, until the folder is removed.
#[tokio::test]
async fn each_folder_has_its_own_settings() {
    let models = Models::start(&[("debugger", "Fine.")]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    let inner = editor.workspace().join("in");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(editor.workspace().join(".opendevagent.toml"), "[context]\nexclude = [\"x.py\"]\n")
        .unwrap();
    editor.open("x.py", "python", BEFORE).await;
    editor.open("in/x.py", "python", BEFORE).await;
    let refused = async |editor: &mut Editor, path: &str| {
        let task = editor.begin("review", path).await;
        let error = editor.ended(&task).await["error"].as_str().unwrap_or_default().to_owned();
        editor.expect("window/showMessage").await;
        error.contains("excluded")
    };
    assert!(refused(&mut editor, "x.py").await && refused(&mut editor, "in/x.py").await);
    folders(&mut editor, &["in", "in"], &[]).await;
    assert!(refused(&mut editor, "x.py").await && !refused(&mut editor, "in/x.py").await);
    // Settings are read again with each task.
    std::fs::write(inner.join(".opendevagent.toml"), "[context]\nexclude = [\"x.py\"]\n").unwrap();
    assert!(refused(&mut editor, "in/x.py").await);
    std::fs::remove_file(inner.join(".opendevagent.toml")).unwrap();
    assert!(!refused(&mut editor, "in/x.py").await);
    folders(&mut editor, &[], &["in", "never there"]).await;
    assert!(refused(&mut editor, "in/x.py").await);
    editor.quit().await;
}

#[tokio::test]
async fn a_folder_that_is_removed_ends_no_task_of_it() {
    let models = Models::start(&[]).await;
    let mut editor = Editor::start(plain(), options(&models)).await;
    std::fs::create_dir(editor.workspace().join("in")).unwrap();
    folders(&mut editor, &["in"], &[]).await;
    editor.open("in/x.py", "python", BEFORE).await;
    let task = editor.begin("explain", "in/x.py").await;
    folders(&mut editor, &[], &["in", ""]).await;
    assert!(editor.titles("in/x.py", 0).await.contains(&"Cancel OpenDevAgent task".to_owned()));
    let record = editor.request("opendevagent/task", json!({"task": task})).await.unwrap();
    assert!(record.get("duration_ms").is_none(), "it runs: {record}");
    editor.execute("cancel", json!({"task": task})).await.unwrap();
    assert_eq!(editor.ended(&task).await["phase"], "cancelled");
    editor.quit().await;
}
