//! Six editors as they declare themselves and as they behave: each plans, generates, fixes, applies, discards,
//! cancels, meets a stale text and a missing Docker, through plain LSP or its own opt-ins.
//!
//! What an editor declares and does is taken from its source and from probing it: the table in [`peer`].

mod peer;

use crate::editor::Models;
use crate::support::docker;
use peer::{PEERS, Peer, Route};
use serde_json::{Value, json};

const PLAN: &str =
    r#"{"summary":"s","components":[{"name":"a","responsibility":"r"}],"steps":[{"title":"t"}]}"#;
/// The changed place is behind a character that counts as four, two or one, by the encoding.
const BEFORE: &str = "def one():\r\n    return '💡' + '2'\r\n";
const AFTER: &str = "def one():\r\n    return '💡' + '1'\r\n";
const EDIT: &str = "a.py\n```python\n<<<<<<< SEARCH\ndef one():\n    return '💡' + '2'\n=======\ndef one():\n    return '💡' + '1'\n>>>>>>> REPLACE\n```\n";
const TEST: &str = "from a import one\n\n\ndef test_one():\n    assert one() == '💡1'\n";

async fn answering() -> Models {
    Models::start(&[("architect", PLAN), ("coder", EDIT), ("debugger", EDIT)]).await
}

/// Every editor with a model that answers, its sandbox switched off.
async fn each(flow: impl AsyncFn(&mut Peer)) {
    for kind in PEERS {
        let mut peer = Peer::start(kind, &answering().await.settings).await;
        peer.open("a.py", BEFORE).await;
        flow(&mut peer).await;
        peer.quit().await;
    }
}

#[tokio::test]
async fn each_shows_a_plan() {
    each(async |peer| {
        let task = peer.begin("plan", "a.py").await;
        peer.until_ended(&task).await;
        peer.until(|peer| peer.shown.iter().any(|shown| shown.contains("plan"))).await;
    })
    .await;
}

#[tokio::test]
async fn each_generates_and_applies() {
    each(async |peer| {
        peer.choose("Apply");
        let task = peer.begin("generate", "a.py").await;
        let record = peer.until_ended(&task).await;
        assert_eq!(record["verdict"]["level"], "unverified", "{}", peer.name());
        peer.apply_where_nobody_is_asked(&task).await;
        peer.until_logged(&task, "Applied: ").await;
        assert_eq!(peer.text("a.py"), AFTER, "{}", peer.name());
        assert_eq!(std::fs::read_to_string(peer.workspace().join("a.py")).unwrap(), BEFORE);
        assert!(!peer.titles("a.py").await.iter().any(|title| title.starts_with("Apply")));
    })
    .await;
}

#[tokio::test]
async fn each_discards() {
    each(async |peer| {
        peer.choose("Discard");
        let task = peer.begin("generate", "a.py").await;
        peer.until_ended(&task).await;
        if peer.route() == Route::CodeAction {
            peer.execute("discard", json!({"task": task})).await.unwrap();
        }
        peer.until_asked().await;
        while peer.titles("a.py").await.iter().any(|title| title.starts_with("Apply")) {
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.text("a.py"), BEFORE, "{}", peer.name());
        let error = peer.execute("apply", json!({"task": task})).await.unwrap_err();
        assert!(error["message"].as_str().unwrap().contains("discarded"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn each_cancels() {
    for kind in PEERS {
        let silent = Models::start(&[]).await;
        let mut peer = Peer::start(kind, &silent.settings).await;
        peer.open("a.py", BEFORE).await;
        let task = peer.begin("explain", "a.py").await;
        assert!(peer.titles("a.py").await.contains(&"Cancel OpenDevAgent task".to_owned()));
        peer.cancel(&task).await;
        assert_eq!(peer.until_ended(&task).await["phase"], "cancelled", "{}", peer.name());
        peer.quit().await;
    }
}

/// The user types on while the task runs: what was typed stays, and nothing is applied.
#[tokio::test]
async fn each_keeps_what_was_typed() {
    each(async |peer| {
        peer.choose("Apply");
        peer.hold_answers();
        let task = peer.begin("generate", "a.py").await;
        peer.until_ended(&task).await;
        let typed = BEFORE.replace("'2'", "'3'");
        peer.retype("a.py", &typed).await;
        peer.release_answers().await;
        if peer.route() == Route::CodeAction {
            assert!(!peer.titles("a.py").await.iter().any(|title| title.starts_with("Apply")));
            let _ = peer.execute("apply", json!({"task": task})).await;
        }
        peer.until_logged(&task, "has changed where it was to be edited").await;
        assert_eq!(peer.text("a.py"), typed, "{}", peer.name());
    })
    .await;
}

/// An edit that the editor drops, whatever it says of it, is not taken for applied.
#[tokio::test]
async fn each_is_not_believed() {
    each(async |peer| {
        peer.choose("Apply");
        peer.drop_edits();
        let task = peer.begin("generate", "a.py").await;
        peer.until_ended(&task).await;
        peer.apply_where_nobody_is_asked(&task).await;
        let record = peer.until_logged(&task, "Not applied: ").await;
        assert!(!record["log"].to_string().contains("Applied: "), "{}: {record}", peer.name());
        assert_eq!(peer.text("a.py"), BEFORE);
    })
    .await;
}

#[tokio::test]
async fn each_hears_that_docker_is_missing() {
    for kind in PEERS {
        let mut settings = answering().await.settings;
        settings["sandbox"]["host"] = json!("unix:///nonexistent/docker.sock");
        let mut peer = Peer::start(kind, &settings).await;
        peer.open("a.py", BEFORE).await;
        let task = peer.begin("generate", "a.py").await;
        let record = peer.until_ended(&task).await;
        let reason = record["verdict"]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(record["verdict"]["level"], "unverified", "{}", peer.name());
        assert!(reason.contains("docker.sock"), "{}: {reason}", peer.name());
        peer.quit().await;
    }
}

#[tokio::test]
async fn each_fixes_with_proof() {
    if !docker() {
        return;
    }
    for kind in PEERS {
        let mut settings = answering().await.settings;
        settings["sandbox"] = Value::Null;
        let mut peer = Peer::start(kind, &settings).await;
        std::fs::write(peer.workspace().join("test_one.py"), TEST).unwrap();
        peer.open("a.py", BEFORE).await;
        peer.choose("Apply");
        let task = peer.begin("fix", "a.py").await;
        let record = peer.until_ended(&task).await;
        assert_eq!(record["verdict"]["level"], "proven", "{}: {record:#}", peer.name());
        peer.apply_where_nobody_is_asked(&task).await;
        peer.until_logged(&task, "Applied: ").await;
        assert_eq!(peer.text("a.py"), AFTER, "{}", peer.name());
        peer.quit().await;
    }
}
