//! The embedded store on a real folder: several servers, sudden ends, damage.

use super::*;
use crate::sandbox::owner::Owner;
use line::line;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

fn id(number: usize) -> String {
    format!("0192-{number:04}")
}

fn row(number: usize) -> Row {
    Row {
        id: id(number),
        action: "fix".into(),
        title: format!("fix file{number}.py"),
        workspace: "/w".into(),
        phase: "queued".into(),
        begun: files::now(),
        server: Owner::this().to_string(),
        ..Row::default()
    }
}

fn begun(row: &Row) -> Value {
    line(1, "begun", json!({"row": row, "asked": {}}))
}

fn ended(at: u64) -> Value {
    line(at, "ended", json!({"phase": "complete", "message": "done", "verdict": null}))
}

/// One server's view of the folder.
fn store(folder: &Path) -> Files {
    Files::new(folder.join("journal"))
}

async fn begin(store: &Files, row: &Row) {
    store.append(&row.id, vec![begun(row)], true).await.unwrap();
}

async fn ids(store: &Files, query: &Query) -> Vec<String> {
    store.list(query).await.unwrap().into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn two_servers_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path()), store(folder.path()));
    for number in 0..10 {
        begin(if number % 2 == 0 { &one } else { &other }, &row(number)).await;
    }
    let coding = line(2, "phase", json!({"phase": "coding"}));
    one.append(&id(0), vec![coding], false).await.unwrap();
    other.append(&id(1), vec![ended(3)], true).await.unwrap();
    for store in [&one, &other] {
        let newest = Query { limit: 3, ..Query::default() };
        assert_eq!(ids(store, &newest).await, [id(9), id(8), id(7)]);
        let next = Query { before: Some(id(7)), ..newest };
        assert_eq!(ids(store, &next).await, [id(6), id(5), id(4)]);
        let coding = Query { phase: Some("coding".into()), ..Query::default() };
        assert_eq!(ids(store, &coding).await, [id(0)]);
        let running = Query { phase: Some("running".into()), ..Query::default() };
        assert_eq!(ids(store, &running).await.len(), 9);
        let found = Query { text: "DONE file1".into(), ..Query::default() };
        assert_eq!(ids(store, &found).await, [id(1)]);
        assert!(store.news().await.is_empty());
    }
    assert_eq!(one.task("0192-0001").await.unwrap().row.ended, Some(3));
    assert_eq!(
        one.task("0192-000").await.unwrap_err(),
        StoreError::Ambiguous { id: "0192-000".into(), count: 10 }
    );
    for wrong in ["", "7", "../0192-0001", "0192-0001/"] {
        assert_eq!(one.task(wrong).await.unwrap_err(), StoreError::Unknown(wrong.into()));
    }
}

/// A server that starts takes no task for damaged that another just begins.
#[tokio::test]
async fn a_server_starts_while_another_begins_a_task() {
    let folder = tempfile::tempdir().unwrap();
    begin(&store(folder.path()), &row(0)).await;
    let journal = folder.path().join("journal");
    let writing = std::fs::File::options().append(true).open(journal.join("lock")).unwrap();
    writing.lock_shared().unwrap();
    let file = journal.join("tasks").join(format!("{}.jsonl", id(1)));
    std::fs::write(&file, "").unwrap();
    let new = store(folder.path());
    let looking = tokio::spawn(async move { (ids(&new, &Query::default()).await, new.news().await) });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    std::fs::write(&file, format!("{}\n", begun(&row(1)))).unwrap();
    drop(writing);
    assert_eq!(looking.await.unwrap(), (vec![id(1), id(0)], vec![]));
}

#[tokio::test]
async fn a_task_is_watched_from_where_one_left_off() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path()), store(folder.path()));
    begin(&one, &row(1)).await;
    let (lines, cursor) = other.since(&id(1), "").await.unwrap();
    assert_eq!((lines.len(), lines[0]["kind"].as_str()), (1, Some("begun")));
    assert_eq!(other.since(&id(1), &cursor).await.unwrap(), (vec![], cursor.clone()));
    one.append(&id(1), vec![line(2, "noted", json!({"text": "hm"})), ended(3)], false).await.unwrap();
    let (lines, _) = other.since(&id(1), &cursor).await.unwrap();
    assert_eq!(
        lines.iter().map(|line| line["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["noted", "ended"]
    );
}

#[tokio::test]
async fn what_a_dead_server_ran_is_interrupted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut row = row(1);
    // A process of this host and namespace that started at another time than any with its id.
    let this = Owner::this().to_string();
    let parts: Vec<&str> = this.split('/').collect();
    row.server = format!(
        "{}/{}/1/{}",
        parts[..parts.len() - 3].join("/"),
        parts[parts.len() - 3],
        parts[parts.len() - 1]
    );
    begin(&store(folder.path()), &row).await;
    let asked = line(2, "asked", json!({"number": 1, "agent": "coder"}));
    store(folder.path()).append(&row.id, vec![asked], true).await.unwrap();
    let (one, other) = (store(folder.path()), store(folder.path()));
    let (told, again) = tokio::join!(one.news(), other.news());
    let told = [told, again].concat();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("0 calls were answered, $0.0000 spent, and one more was on its way"),
        "{told:?}"
    );
    let record = one.task(&row.id).await.unwrap();
    assert!(record.row.interrupted && record.row.phase == "failed" && !record.row.is_running());
    assert_eq!(record.events.len(), 1, "it is written down once");
}

#[tokio::test]
async fn damage_costs_only_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    for number in 0..3 {
        begin(&store(folder.path()), &row(number)).await;
    }
    std::fs::write(path.join("tasks/0192-0001.jsonl"), [0; 64]).unwrap();
    std::fs::write(path.join("index"), "SQLite format 3\0").unwrap();
    let whole = path.join("tasks/0192-0002.jsonl");
    let torn = [std::fs::read(&whole).unwrap(), b"{\"kind\":\"no".to_vec()].concat();
    std::fs::write(&whole, torn).unwrap();
    let store = store(folder.path());
    assert_eq!(ids(&store, &Query::default()).await, [id(2), id(0)]);
    let news = store.news().await;
    assert_eq!(news.len(), 2, "{news:?}");
    assert_eq!(std::fs::read_dir(path.join("damaged")).unwrap().count(), 2);
    // What was torn does not swallow what follows.
    store.append(&id(2), vec![ended(5)], true).await.unwrap();
    let record = store.task(&id(2)).await.unwrap();
    assert_eq!((record.row.ended, record.damaged), (Some(5), 1));
}

#[tokio::test]
async fn the_old_and_the_many_are_let_go_but_never_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for number in 0..6 {
        begin(&store, &row(number)).await;
    }
    let text = "x".repeat(200 << 10);
    for number in 1..6 {
        let at = if number == 1 { 1 } else { files::now() };
        let lines = vec![line(2, "noted", json!({"text": text})), ended(at)];
        store.append(&id(number), lines, true).await.unwrap();
    }
    assert_eq!(store.prune(30, 100).await.unwrap(), 1);
    assert_eq!(ids(&store, &Query::default()).await, [id(5), id(4), id(3), id(2), id(0)]);
    assert_eq!(store.prune(30, 0).await.unwrap(), 4);
    assert_eq!(ids(&store, &Query::default()).await, [id(0)]);
    assert_eq!(Files::new(folder.path().join("journal")).list(&Query::default()).await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("journal/tasks")).unwrap().count(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    begin(&store(folder.path()), &row(1)).await;
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("journal"), mode("journal/tasks")), (0o700, 0o700));
    assert_eq!((mode("journal/index"), mode("journal/tasks/0192-0001.jsonl")), (0o600, 0o600));
}

#[tokio::test]
async fn one_server_at_a_time_edits_a_folder() {
    let (state, folder, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = || {
        let files = Files::new(state.path().join("journal"));
        Journal::new(Arc::new(files), audit::Audit::new(state.path().to_owned()), 90, 512)
    };
    let (one, two) = (journal(), journal());
    let claim = one.claim(folder.path()).await.unwrap();
    assert!(two.claim(other.path()).await.is_ok(), "another folder is nobody's business");
    let refused = two.claim(&folder.path().join(".")).await.unwrap_err();
    assert!(refused.contains("apply again"), "{refused}");
    drop(claim);
    assert!(two.claim(folder.path()).await.is_ok());
}
