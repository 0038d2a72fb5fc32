//! What leaves a task beside its result: what is said and when, and what a panic leaves.

use crate::editor::{Editor, Models, is_private};
use crate::support::KEY;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// What is said when a task of these settings fails.
async fn said(quiet: Value) -> Option<String> {
    let mut settings = Models::start(&[("architect", "no plan at all")]).await.settings;
    settings["notify"] = json!({"quietHours": quiet});
    let mut editor = Editor::start(json!({}), json!({"settings": settings})).await;
    editor.open("a.py", "python", "x = 1\n").await;
    let task = editor.begin("plan", "a.py").await;
    editor.ended(&task).await;
    // Answers keep their order with what was said before them.
    let said = match quiet {
        Value::Null => Some(editor.expect("window/showMessage").await["params"]["message"].to_string()),
        _ => None,
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    // An editor that is dropped with a message nobody has read fails its test: nothing is said twice, or in the night.
    editor.ignore(&[]);
    editor.quit().await;
    said
}

#[tokio::test]
async fn the_end_of_a_task_is_told_once_and_never_in_quiet_hours() {
    let told = said(Value::Null).await;
    assert!(told.as_deref().is_some_and(|told| told.contains("plan")), "{told:?}");
    assert_eq!(said(json!("00:00-00:00")).await, None);
}

#[test]
fn a_panic_leaves_a_report_without_keys() {
    const CHILD: &str = "OPENDEVAGENT_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        opendevagent::crash::install();
        panic!("the key was {KEY}");
    }
    let home = tempfile::tempdir().unwrap();
    let name = "observed::a_panic_leaves_a_report_without_keys";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "1")
        .env("XDG_STATE_HOME", home.path())
        .output()
        .unwrap();
    assert!(!child.status.success());
    let folder = home.path().join("opendevagent/crashes");
    let reports: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [report] = reports.as_slice() else { panic!("one report: {reports:?}") };
    let text = std::fs::read_to_string(report).unwrap();
    assert!(text.contains("the key was sk-or-v1-***") && text.contains("observed.rs:"), "{text}");
    assert!(!text.contains(KEY) && is_private(report));
}
