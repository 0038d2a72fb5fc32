//! What the command line answers for each kind of file. None of them hangs, is overwritten or is called good.

use super::{edit, level, whole};
use crate::model_server::ModelServer;
use crate::support::{ODD_FILES, Workspace, odd_files};

const BEFORE: &str = "def one():\n    return 2\n";
const FIXTURE: &str = "\n//- /a.py\ndef one():\n    return 2\n";

fn answer() -> String {
    edit("a.py", "    return 2", "    return 1")
}

/// What is in every file that can be read without waiting.
fn state(workspace: &Workspace) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found: Vec<_> = std::fs::read_dir(workspace.root())
        .expect("the folder can be read")
        .flatten()
        .map(|entry| {
            let file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let bytes = file.then(|| std::fs::read(entry.path()).expect("it can be read"));
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn files_that_cannot_be_edited() {
    let server = ModelServer::always(answer());
    let workspace = Workspace::new(FIXTURE).model(&server).no_sandbox();
    odd_files(&workspace.root());
    let before = state(&workspace);
    // A folder is resolved here: behind a linked one the real file is named.
    for (path, why) in ODD_FILES.into_iter().filter(|(path, _)| *path != "linked/real.py") {
        let ended = workspace.run(&["fix", path, "-m", "do it", "--apply", "--json"]).exits(2).says(why);
        assert_eq!(level(&ended.json()), "unverified");
    }
    // A link that leads nowhere is no new file either.
    workspace.run(&["generate", "dangling.py", "-m", "do it", "--apply"]).exits(2).says("symbolic link");
    assert_eq!(state(&workspace), before);
    assert!(server.requests().is_empty(), "no model was asked");
}

/// Nor by an answer about another file than the target.
#[test]
fn files_that_an_answer_cannot_edit() {
    for (path, why) in ODD_FILES.into_iter().filter(|(path, _)| !matches!(*path, "missing.py" | "folder")) {
        let server = ModelServer::always(whole(path, "x = 2\n"));
        let workspace = Workspace::new(FIXTURE).model(&server).no_sandbox();
        odd_files(&workspace.root());
        let before = state(&workspace);
        workspace.run(&["fix", "a.py", "-m", "do it", "--apply"]).exits(1).says(why);
        assert_eq!(state(&workspace), before, "{path}");
    }
}

/// The mode is the user's word: an edit by rename would go past it.
#[test]
fn a_read_only_file() {
    use std::os::unix::fs::PermissionsExt;
    let server = ModelServer::always(answer());
    let workspace = Workspace::new(FIXTURE).model(&server).no_sandbox();
    let path = workspace.root().join("a.py");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o444).expect("the mode can be set");
    let ended = workspace.run(&["fix", "a.py", "-m", "do it", "--apply"]).exits(2).says("a.py is read-only");
    assert!(ended.stdout.contains("+    return 1"), "the diff is shown: {ended}");
    assert_eq!(workspace.read("a.py"), BEFORE);
    assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o444);
    mode(0o600).expect("the mode can be set");
    workspace.run(&["fix", "a.py", "-m", "do it", "--apply"]).exits(1).says("unverified");
    assert_eq!(workspace.read("a.py"), BEFORE.replace('2', "1"));
    assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_empty_file() {
    let server = ModelServer::always(whole("e.py", "new = 1\n"));
    let workspace = Workspace::new(FIXTURE).model(&server).no_sandbox();
    workspace.write("e.py", "");
    workspace.run(&["fix", "e.py", "-m", "do it", "--apply"]).exits(1).says("unverified");
    assert_eq!(workspace.read("e.py"), "new = 1\n");
}

/// Nothing runs tests where there is no sandbox, so none are asked for.
#[test]
fn no_tests_are_written_where_nothing_can_run_them() {
    let plan = r#"{"summary":"s","components":[{"name":"a","responsibility":"r"}],"steps":[{"title":"t"}]}"#;
    let server = ModelServer::saying([plan.to_owned(), whole("n.py", "new = 1\n")]);
    let workspace = Workspace::new(FIXTURE).model(&server).no_sandbox();
    let ended = workspace.run(&["generate", "n.py", "-m", "do it", "--json"]).exits(1);
    assert_eq!(ended.json()["usage"]["calls"], 2, "a plan and the code");
    assert!(ended.json()["verdict"]["reason"].to_string().contains("switched off"), "{ended}");
}

/// Names with blanks stand bare above a block, as all do.
#[test]
fn a_file_whose_name_has_blanks() {
    let server = ModelServer::always(edit("my docs/a b.py", "x = 1", "x = 2"));
    let workspace = Workspace::new("//- /my docs/a b.py\nx = 1\n").model(&server).no_sandbox();
    workspace.run(&["fix", "my docs/a b.py", "-m", "x is 2", "--apply"]).exits(1);
    assert_eq!(workspace.read("my docs/a b.py"), "x = 2\n");
}
