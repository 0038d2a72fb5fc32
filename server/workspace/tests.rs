//! Listings and snapshots of real folders.

use super::*;
use std::fs;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(&folder, path, text);
    }
    folder
}

fn write(folder: &tempfile::TempDir, path: &str, text: &str) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn take(folder: &tempfile::TempDir) -> Snapshot {
    Snapshot::take(folder.path(), &Documents::default(), &["drafts/".into()]).unwrap()
}

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    let mut paths: Vec<_> = snapshot.paths().collect();
    paths.sort_unstable();
    paths
}

fn hidden(snapshot: &Snapshot) -> Vec<&str> {
    let mut hidden: Vec<_> = snapshot.hidden().filter_map(Path::to_str).collect();
    hidden.sort_unstable();
    hidden
}

/// Until the folders' times can be relied on.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(2_100));
}

#[test]
fn closed_files_are_in_no_listing_and_hidden_from_programs() {
    let folder = folder(&[
        (".env", "K=1"),
        (".git/config", "token"),
        (".gitignore", "out/\n*.log\n!keep.log\n"),
        (".opendevagentignore", "private.txt\n"),
        ("a.py", "a"),
        ("a.log", "ignored"),
        ("keep.log", "kept"),
        ("drafts/x.py", "excluded"),
        ("deep/.gitignore", "*.tmp\n!private.txt\n"),
        ("deep/b.tmp", "ignored here"),
        ("deep/private.txt", "not to be opened again by a .gitignore"),
        ("out/x.py", "ignored folder"),
        ("out/deep/.env.local", "K=2"),
        ("b.tmp", "not ignored here"),
    ]);
    let snapshot = take(&folder);
    assert_eq!(
        paths(&snapshot),
        [".gitignore", ".opendevagentignore", "a.py", "b.tmp", "deep/.gitignore", "keep.log"]
    );
    assert_eq!(
        hidden(&snapshot),
        [".env", ".git", "a.log", "deep/b.tmp", "deep/private.txt", "drafts", "out/deep/.env.local"]
    );
    let mut folders: Vec<_> = snapshot.folders().collect();
    folders.sort_unstable();
    assert_eq!(folders, ["deep", "out"]);
    for path in [".env", "deep/private.txt", "deep/new.tmp", "drafts/new.py", "out/x.py", ".git/hooks/new"] {
        assert_eq!(snapshot.may_edit(path), Err(TextError::Excluded(path.into())), "{path}");
        assert!(snapshot.text(path).is_err(), "{path}");
    }
    assert_eq!(snapshot.may_edit("new/folder/a.py"), Ok(()));
}

/// A pipe in the place of rules would never be read to its end.
#[cfg(unix)]
#[test]
fn rules_may_be_linked_are_no_pipes_and_secrets_have_no_case() {
    let folder =
        folder(&[("rules", "\u{feff}a.log\r\n"), (".Env", "K=1"), ("deep/KEY.PEM", ""), ("a.log", "")]);
    write(&folder, "A.log", "another file");
    std::os::unix::fs::symlink("rules", folder.path().join(".gitignore")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join(".ignore")).status().unwrap();
    assert!(made.success());
    let snapshot = take(&folder);
    assert_eq!(paths(&snapshot), ["A.log", "rules"]);
    assert_eq!(hidden(&snapshot), [".Env", ".ignore", "a.log", "deep/KEY.PEM"]);
}

/// What git leaves out of a tree with these rules is what we leave out.
#[test]
fn rules_are_read_as_git_reads_them() {
    const PIECES: [&str; 20] = [
        "a", "b", "ab", "*", "**", "/", "/", "!", "?", "[ab]", "[!a]", "[a-b]", "\\", "#", " ", "{a,b}", ".",
        "b/", "*.a", "/**/",
    ];
    let names = ["a", "b", "ab", "a.a", "#a", "!b", "a b", "{a,b}", "b "];
    let folder = folder(&[]);
    for name in names {
        write(&folder, &format!("{name}.d/x.a"), "");
        write(&folder, name, "");
        for below in names {
            write(&folder, &format!("sub/{name}.d/{below}"), "");
        }
    }
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(folder.path()).args(["-c", "core.excludesFile=", "-c", "core.quotePath=off"]);
        let output = command.args(args).output().expect("git is there");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "-q"]);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..150 {
        let mut lines = |count| -> String {
            let piece = |random: &mut fastrand::Rng| PIECES[random.usize(..PIECES.len())];
            let mut line =
                || (0..random.usize(1..5)).map(|_| piece(&mut random)).chain(["\n"]).collect::<String>();
            (0..count).map(|_| line()).collect()
        };
        let (above, below) = (lines(4), lines(2));
        write(&folder, ".gitignore", &above);
        write(&folder, "sub/.gitignore", &below);
        let listed = git(&["ls-files", "-z", "--others", "--exclude-standard"]);
        let mut listed: Vec<_> = listed.split_terminator('\0').collect();
        listed.sort_unstable();
        let snapshot = Snapshot::take(folder.path(), &Documents::default(), &[]).unwrap();
        assert_eq!(paths(&snapshot), listed, "{above:?} {below:?}");
    }
}

#[test]
fn a_second_look_sees_what_changed_in_folders_and_rules() {
    let files = [("a.py", ""), ("gone.py", ""), ("sub/b.py", ""), ("sub/deep/c.py", ""), ("sub/d.log", "")];
    let folder = folder(&files);
    settle();
    assert_eq!(paths(&take(&folder)), ["a.py", "gone.py", "sub/b.py", "sub/d.log", "sub/deep/c.py"]);
    fs::remove_file(folder.path().join("gone.py")).unwrap();
    write(&folder, "sub/deep/new.py", "");
    write(&folder, "more/e.py", "");
    let all = ["a.py", "more/e.py", "sub/b.py", "sub/d.log", "sub/deep/c.py", "sub/deep/new.py"];
    assert_eq!(paths(&take(&folder)), all);
    write(&folder, "sub/.gitignore", "*.log\n/deep/\n");
    assert_eq!(paths(&take(&folder)), ["a.py", "more/e.py", "sub/.gitignore", "sub/b.py"]);
    settle();
    assert!(paths(&take(&folder)).contains(&"sub/b.py"));
    // Rewritten in place: only the rule file's own time tells.
    write(&folder, "sub/.gitignore", "b.py\n");
    assert!(!paths(&take(&folder)).contains(&"sub/b.py"));
    assert!(paths(&take(&folder)).contains(&"sub/deep/c.py"));
}

#[test]
fn what_is_read_is_as_it_was_when_the_task_began() {
    let folder = folder(&[("read.py", "one"), ("late.py", "one"), ("gone.py", "one")]);
    let snapshot = take(&folder);
    assert_eq!(&*snapshot.text("read.py").unwrap(), "one");
    // File times go by the kernel's tick.
    std::thread::sleep(std::time::Duration::from_millis(20));
    for path in ["read.py", "late.py", "new.py"] {
        write(&folder, path, "two");
    }
    fs::remove_file(folder.path().join("gone.py")).unwrap();
    assert_eq!(&*snapshot.text("read.py").unwrap(), "one");
    for path in ["late.py", "gone.py", "new.py"] {
        assert_eq!(snapshot.text(path), Err(TextError::Changed(path.into())));
    }
    assert_eq!(&*take(&folder).text("late.py").unwrap(), "two");
}

#[test]
fn texts_stand_over_files() {
    let folder = folder(&[("a.py", "disk"), ("b.py", "disk")]);
    let snapshot = take(&folder).with([("a.py", Some("top")), ("b.py", None), ("new/c.py", Some("new"))]);
    assert_eq!(paths(&snapshot), ["a.py", "new/c.py"]);
    assert_eq!(&*snapshot.text("a.py").unwrap(), "top");
    assert_eq!(snapshot.text("b.py"), Err(TextError::Missing("b.py".into())));
    let all = snapshot.all(10, 1000);
    let all: Vec<_> = all.files.iter().map(|file| (&*file.path, file.bytes.as_deref())).collect();
    assert_eq!(all, [("a.py", Some(&b"top"[..])), ("new/c.py", Some(&b"new"[..]))]);
    let on_top: Vec<_> =
        snapshot.on_top().into_iter().map(|file| (file.path, file.bytes.is_some())).collect();
    assert_eq!(on_top, [("a.py".into(), true), ("b.py".into(), false), ("new/c.py".into(), true)]);
}

#[test]
fn files_beyond_a_limit_are_named() {
    let folder = folder(&[("a", "1234"), ("b", "12345"), ("c", "12")]);
    let names = |files: &Files| files.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let all = take(&folder).all(10, 7);
    assert_eq!((names(&all), all.left_out), (vec!["a".into(), "c".into()], vec!["b (5 bytes)".into()]));
    assert_eq!(take(&folder).all(1, 100).left_out.len(), 2);
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_never_read() {
    let folder = folder(&[("a.py", "a"), ("sub/b.py", "b")]);
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("sub", folder.path().join("linked")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let snapshot = take(&folder);
    assert_eq!(paths(&snapshot), ["a.py", "sub/b.py"]);
    assert_eq!(hidden(&snapshot), ["socket"]);
    assert_eq!(snapshot.text("link"), Err(TextError::Link("link".into())));
    assert_eq!(snapshot.may_edit("linked/b.py"), Err(TextError::Link("linked/b.py".into())));
}
