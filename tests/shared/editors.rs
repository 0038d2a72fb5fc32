//! Two editors at once, each with a real server of its own, home and files: on two stores, then on one Redis.

use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer};
use crate::redis::{self, Redis, signal};
use crate::support::eventually;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const LIMIT: usize = 3;

/// An editor with a file.
async fn editor(model: &ModelServer, store: Option<&Redis>, per_minute: usize) -> Editor {
    let agent = json!({"model": "m", "fallbacks": []});
    let settings = json!({
        "model": {"baseUrl": model.url()},
        "sandbox": {"host": "off"},
        "agents": {"architect": agent, "coder": agent, "debugger": agent},
        "limits": {"requestsPerMinute": per_minute, "concurrentTasks": 10, "concurrentCalls": 10},
        "store": {"url": store.map(Redis::url)},
    });
    let mut editor = Editor::start(json!({}), json!({"settings": settings})).await;
    editor.open("a.py", "python", "def half(n):\n    return n / 2\n").await;
    editor
}

async fn rows(editor: &mut Editor) -> Vec<Value> {
    let rows = editor.request("opendevagent/tasks", json!({})).await.expect("tasks");
    rows.as_array().cloned().unwrap_or_default()
}

/// Asks for the tasks until one fits.
async fn row(editor: &mut Editor, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let rows = rows(editor).await;
        if let Some(row) = rows.iter().find(|row| fits(row)) {
            return row.clone();
        }
        assert!(began.elapsed() < SOON, "waited for {what}: {rows:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn quit(editors: impl IntoIterator<Item = Editor>) {
    for mut editor in editors {
        editor.ignore_all();
        editor.quit().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_one_is_seen_and_cancelled_in_the_other() {
    if !redis::is_installed() {
        return;
    }
    let model = ModelServer::always(Answer::Stall("I am".into()));
    let mut alone = [editor(&model, None, 60).await, editor(&model, None, 60).await];
    let task = alone[0].begin("explain", "a.py").await;
    model.wait_for_requests(1);
    assert_eq!((rows(&mut alone[0]).await.len(), rows(&mut alone[1]).await.len()), (1, 0));
    alone[0].execute("cancel", json!({"task": task})).await.expect("it is cancelled");
    alone[0].ended(&task).await;
    quit(alone).await;

    let redis = Redis::start();
    let mut one = editor(&model, Some(&redis), 60).await;
    let mut other = editor(&model, Some(&redis), 60).await;
    for _ in 0..2 {
        let (mine, theirs) = (&mut one, &mut other);
        let asked = model.requests().len();
        let task = mine.begin("explain", "a.py").await;
        model.wait_for_requests(asked + 1);
        let seen =
            row(theirs, "a running task", |row| row["task"] == *task && row["phase"] == "planning").await;
        assert_eq!(
            (&seen["server"], &seen["uri"], &seen["offer"]),
            (&json!("other"), &Value::Null, &json!(false))
        );
        // It is not theirs to apply, and may be cancelled.
        theirs.execute("apply", json!({"task": task})).await.expect_err("it is of another");
        theirs.execute("cancel", json!({"task": task})).await.expect("it is asked to end");
        assert_eq!(mine.ended(&task).await["phase"], "cancelled");
        row(theirs, "its end", |row| row["task"] == *task && row["phase"] == "cancelled").await;
        std::mem::swap(&mut one, &mut other);
    }
    quit([one, other]).await;
}

/// However the two ask, so many calls a minute leave both together and no more.
#[tokio::test(flavor = "multi_thread")]
async fn their_requests_are_counted_together() {
    if !redis::is_installed() {
        return;
    }
    let model = super::says();
    let redis = Redis::start();
    let mut editors = [editor(&model, Some(&redis), LIMIT).await, editor(&model, Some(&redis), LIMIT).await];
    let mut tasks = [Vec::new(), Vec::new()];
    for number in 0..LIMIT {
        for (editor, tasks) in editors.iter_mut().zip(&mut tasks) {
            // A file is the place of one task at a time.
            let path = format!("{number}.py");
            editor.open(&path, "python", "print(6 * 7)\n").await;
            tasks.push(editor.begin("explain", &path).await);
        }
    }
    model.wait_for_requests(LIMIT);
    // Each that waits asks again within a second, and is refused.
    let asked = || {
        let stats = redis.command(&["INFO", "commandstats"]);
        let line =
            stats.lines().find(|line| line.starts_with("cmdstat_zcard")).unwrap_or_default().to_owned();
        line.split(['=', ',']).nth(1).and_then(|calls| calls.parse::<usize>().ok()).unwrap_or_default()
    };
    let before = asked();
    eventually("those who wait to ask again", SOON, || (asked() > before + 12).then_some(()));
    let counts = redis.command(&["KEYS", "{opendevagent}:requests:*"]);
    assert_eq!((model.requests().len(), redis.command(&["ZCARD", &counts])), (LIMIT, LIMIT.to_string()));
    // The minute is over as soon as the Redis says so.
    redis.command(&["DEL", &counts]);
    for (editor, tasks) in editors.iter_mut().zip(&tasks) {
        for task in tasks {
            assert_eq!(editor.ended(task).await["phase"], "complete");
        }
    }
    assert_eq!(model.requests().len(), 2 * LIMIT);
    quit(editors).await;
}

/// It stands still for ten seconds in the middle of a task of each: both end as ever, and each knows of both in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stops_for_ten_seconds_loses_nothing() {
    if !redis::is_installed() {
        return;
    }
    let redis = Redis::start();
    let (process, stopped) = (redis.id(), Arc::new(AtomicBool::new(false)));
    let model = ModelServer::start({
        let stopped = stopped.clone();
        move |_| {
            if !stopped.swap(true, Ordering::Relaxed) {
                signal(process, "STOP");
            }
            "It divides.".to_owned().into()
        }
    });
    let mut editors = [editor(&model, Some(&redis), 60).await, editor(&model, Some(&redis), 60).await];
    let mut tasks = Vec::new();
    for editor in &mut editors {
        assert_eq!(rows(editor).await, Vec::<Value>::new());
    }
    for editor in &mut editors {
        tasks.push(editor.begin("explain", "a.py").await);
    }
    let began = std::time::Instant::now();
    for (editor, task) in editors.iter_mut().zip(&tasks) {
        let record = editor.ended(task).await;
        assert_eq!(
            (&record["phase"], &record["text"]),
            (&json!("complete"), &json!("It divides.")),
            "{record:#}"
        );
    }
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(began.elapsed())).await;
    signal(process, "CONT");
    for (number, task) in tasks.iter().enumerate() {
        let there = &mut editors[1 - number];
        row(there, "the other's task", |row| row["task"] == **task && row["phase"] == "complete").await;
        let known = there.request("opendevagent/task", json!({"task": task})).await.expect("a record");
        assert_eq!(
            (&known["text"], known["usage"]["calls"].as_u64().or(known["usage"]["total"]["calls"].as_u64())),
            (&json!("It divides."), Some(1)),
            "{known:#}"
        );
    }
    assert_eq!(redis.command(&["HLEN", "{opendevagent}:rows"]), "2");
    assert_eq!(model.requests().len(), 2);
    quit(editors).await;
}
