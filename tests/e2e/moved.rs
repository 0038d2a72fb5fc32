//! Files that change while a task runs: what is written has both, or nothing is written.

use super::{PYTHON, level};
use crate::model_server::{Answer, ModelServer};
use crate::support::{Ended, Workspace, docker};
use std::path::Path;

/// Fixes the sample with `--apply`; `act` is done to the file while the model thinks.
fn fix(act: impl Fn(&Path) + Send + 'static) -> (Workspace, Ended) {
    let workspace = PYTHON.workspace();
    let path = workspace.root().join(PYTHON.path);
    let answer = PYTHON.answer(PYTHON.repair);
    let server = ModelServer::start(move |_| {
        act(&path);
        Answer::Text(answer.clone())
    });
    let workspace = workspace.model(&server);
    let ended = workspace.run(&["fix", "--apply", "--json"]);
    (workspace, ended)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file can be written");
}

#[test]
fn a_change_elsewhere_is_kept_and_checked_with_the_edit() {
    if !docker() {
        return;
    }
    let (workspace, ended) = fix(|path| write(path, &format!("# note\n{}", PYTHON.before())));
    let report = ended.exits(0).json();
    assert_eq!(level(&report), "proven");
    assert_eq!(report["history"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!(report["usage"]["calls"], 1, "no model is asked for it");
    let (before, after) = (format!("# note\n{}", PYTHON.before()), format!("# note\n{}", PYTHON.after()));
    let hash = |text: &str| opendevagent::text::sha256(text.as_bytes());
    assert_eq!(report["edits"][0]["before_sha256"], hash(&before));
    assert_eq!(report["edits"][0]["after_sha256"], hash(&after));
    assert_eq!(workspace.read(PYTHON.path), after);
}

#[test]
fn a_change_elsewhere_that_breaks_the_program_is_not_made_worse() {
    if !docker() {
        return;
    }
    let broken = || format!("assert False\n{}", PYTHON.before());
    let (workspace, ended) = fix(move |path| write(path, &broken()));
    let report = ended.exits(1).json();
    assert_eq!((level(&report), report["usage"]["calls"].as_u64()), ("failing", Some(1)), "{report:#}");
    assert_eq!(workspace.read(PYTHON.path), broken());
}

#[test]
fn what_cannot_be_carried_over_is_stale() {
    if !docker() {
        return;
    }
    let typed = || PYTHON.before().replace(PYTHON.bug, "    return b  # why?");
    let (workspace, ended) = fix(move |path| write(path, &typed()));
    let report = ended.exits(5).says("gcd.py has changed where it was to be edited; run it again").json();
    assert_eq!(level(&report), "unverified");
    assert_eq!(report["edits"].as_array().map(Vec::len), Some(1), "what was paid for is there to be read");
    assert_eq!(workspace.read(PYTHON.path), typed());

    let (workspace, ended) = fix(|path| std::fs::remove_file(path).expect("it was there"));
    ended.exits(5).says("gcd.py is gone");
    assert!(!workspace.root().join(PYTHON.path).exists());

    let (workspace, ended) = fix(|path| {
        let elsewhere = path.with_file_name("elsewhere.py");
        if !elsewhere.exists() {
            std::fs::rename(path, elsewhere).expect("it was there");
            std::os::unix::fs::symlink("elsewhere.py", path).expect("a link can be made");
        }
    });
    ended.exits(1).says("gcd.py is a symbolic link");
    assert_eq!(workspace.read("elsewhere.py"), PYTHON.before());
}
