//! Answers that must not be applied: refused with a reason, asked for once more, and nothing is written.

use super::{PYTHON, edit, level, whole};
use crate::model_server::{Answer, ModelServer};
use crate::support::{Ended, Workspace, docker};

/// The model is asked twice, the second time with the reason, and nothing is written.
#[track_caller]
fn check_refused(workspace: Workspace, answer: impl Into<Answer>, reason: &str) -> Ended {
    let server = ModelServer::always(answer);
    let workspace = workspace.model(&server).no_sandbox();
    let files = workspace.files();
    let ended = workspace.run(&["fix", "gcd.py", "--apply", "--json"]).exits(1);
    let report = ended.json();
    assert_eq!(level(&report), "unverified");
    assert_eq!(report["edits"], serde_json::json!([]));
    let why = report["verdict"]["reason"].as_str().unwrap_or_default();
    assert!(why.contains(reason), "the reason does not say {reason:?}: {why}");
    assert_eq!(workspace.files(), files);
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "one retry");
    assert!(requests[1].prompt().contains(reason), "the retry does not say {reason:?}");
    ended
}

#[test]
fn an_answer_without_an_edit() {
    check_refused(PYTHON.workspace(), "All tests pass now.".to_owned(), "no edit");
}

#[test]
fn an_ambiguous_search() {
    let workspace = PYTHON.workspace();
    workspace.write("gcd.py", "def one():\n    return 1\n\n\ndef two():\n    return 1\n");
    let ended = check_refused(workspace, edit("gcd.py", "    return 1", "    return 2"), "2");
    let why = ended.json()["verdict"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains('6'), "the lines are named: {why}");
}

#[test]
fn a_search_that_is_not_there() {
    check_refused(PYTHON.workspace(), edit("gcd.py", "    return c", "    return a"), "gcd.py");
}

#[test]
fn a_new_file_over_an_old_one() {
    check_refused(PYTHON.workspace(), edit("gcd.py", "", "def gcd(a, b):\n    return 6"), "gcd.py");
}

#[test]
fn paths_outside_the_workspace() {
    for path in ["../escape.py", "/tmp/escape.py", "src/../../escape.py", "C:\\escape.py", "~/escape.py"] {
        check_refused(PYTHON.workspace(), whole(path, "escaped = True\n"), "");
        assert!(!std::path::Path::new("/tmp/escape.py").exists(), "{path} was written");
    }
}

#[cfg(unix)]
#[test]
fn links_out_of_the_workspace() {
    let outside = tempfile::tempdir().expect("the temporary folder can be written");
    let workspace = PYTHON.workspace();
    std::os::unix::fs::symlink(outside.path(), workspace.root().join("linked")).expect("a link can be made");
    check_refused(workspace, whole("linked/escape.py", "escaped = True\n"), "link");
    assert_eq!(std::fs::read_dir(outside.path()).expect("it is there").count(), 0);
}

#[test]
fn secrets_and_version_control() {
    for path in [".env", "config/.env.local", ".git/hooks/pre-commit", "server.pem", "private/notes.txt"] {
        let workspace = PYTHON.workspace();
        workspace.write(".env", "TOKEN=secret-of-the-user\n");
        workspace.write(".gitignore", "private/\n");
        check_refused(workspace, whole(path, "TOKEN=stolen\n"), "");
    }
}

#[test]
fn secrets_are_never_shown_to_a_model() {
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    workspace.write(".env", "TOKEN=secret-of-the-user\n");
    workspace.write("id_rsa", "secret-of-the-user\n");
    workspace.run(&["fix", "-m", "look into .env and id_rsa", "--json"]);
    assert!(!server.requests().is_empty());
    for request in server.requests() {
        assert!(!request.body.to_string().contains("secret-of-the-user"));
    }
}

#[test]
fn answers_that_did_not_end_with_stop() {
    let text = PYTHON.answer(PYTHON.repair);
    check_refused(PYTHON.workspace(), Answer::Finish(text.clone(), "length"), "cut off");
    check_refused(PYTHON.workspace(), Answer::Finish(text, "content_filter"), "");
}

#[test]
fn a_stream_that_breaks_is_not_applied() {
    let server = ModelServer::always(Answer::CutOff(PYTHON.answer(PYTHON.repair)));
    let workspace = PYTHON.workspace().model(&server).no_sandbox();
    let files = workspace.files();
    let ended = workspace.run(&["fix", "--apply", "--json"]);
    assert!(matches!(ended.code, Some(1 | 3)), "{ended}");
    assert_eq!(workspace.files(), files);
}

#[test]
fn a_refused_answer_may_be_followed_by_a_good_one() {
    if !docker() {
        return;
    }
    let server = ModelServer::saying(["Trust me.".to_owned(), PYTHON.answer(PYTHON.repair)]);
    let report = PYTHON.workspace().model(&server).run(&["fix", "--json"]).exits(0).json();
    assert_eq!(level(&report), "proven");
}

#[test]
fn a_file_that_changed_meanwhile_is_stale() {
    if !docker() {
        return;
    }
    let workspace = PYTHON.workspace();
    let file = workspace.root().join(PYTHON.path);
    let mine = format!("{}# typed while the model was thinking\n", PYTHON.before());
    let typed = mine.clone();
    let server = ModelServer::start(move |_| {
        std::fs::write(&file, &typed).expect("the file can be written");
        PYTHON.answer(PYTHON.repair).into()
    });
    let workspace = workspace.model(&server);
    let ended = workspace.run(&["fix", "--apply", "--json"]).exits(5).says(PYTHON.path);
    assert_eq!(workspace.read(PYTHON.path), mine, "{ended}");
}
