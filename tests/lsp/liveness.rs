//! Clients that are slow, mute or confused: they harm nobody but themselves.

use super::{BEFORE, options, plain};
use crate::editor::{Editor, Models};
use serde_json::json;
use std::collections::HashMap;

/// A client that starts hundreds of tasks before it reads anything: every answer comes, every event with its number.
#[tokio::test]
async fn a_client_that_reads_late_hears_all() {
    const ASKED: i64 = 900;
    let models = Models::start(&[]).await;
    let mut options = options(&models);
    options["client"] = json!({"events": true});
    let mut editor = Editor::start(plain(), options).await;
    editor.open("a.py", "python", BEFORE).await;
    let reading = editor.reading.clone();
    let pause = reading.lock().await;
    let argument = json!({"uri": editor.uri("a.py")});
    // Each task cancels the one before.
    let params = json!({"command": "opendevagent.explain", "arguments": [argument]});
    let mut first = 0;
    for number in 0..ASKED {
        let id = editor.post("workspace/executeCommand", params.clone()).await;
        if number == 0 {
            first = id;
        }
    }
    drop(pause);
    let mut tasks = Vec::new();
    for id in first..first + ASKED {
        tasks.push(editor.answer(&id.into()).await.unwrap()["task"].as_str().unwrap().to_owned());
    }
    let mut next = HashMap::<String, u64>::new();
    let last = tasks.pop().unwrap();
    editor.execute("cancel", json!({"task": last})).await.unwrap();
    loop {
        let event = editor.expect("opendevagent/event").await;
        let task = event["params"]["task"].as_str().unwrap().to_owned();
        let seq = next.entry(task.clone()).or_default();
        assert_eq!(event["params"]["seq"], *seq, "{event}");
        *seq += 1;
        if task == last && event["params"]["kind"] == "ended" {
            break;
        }
    }
    editor.ignore_all();
    editor.quit().await;
}
