//! Writes a proposal to the files, all or none. For the command line alone: with an editor attached the editor writes.

use super::complain;
use crate::agent::task::{Change, Proposal, Stop, read_only};
use crate::workspace::{is_read_only, read_file};
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Writes every file beside its place first and renames then, keeping modes. Nothing is written when a file is no
/// longer what the proposal was made for; a failure in the middle is rolled back.
///
/// # Errors
/// `Stale` when a file changed, `Usage` when a path needs a confirmation that cannot be asked for or a write fails.
pub(super) fn write(root: &Path, proposal: &Proposal) -> Result<(), Stop> {
    confirm(&proposal.changes)?;
    for change in &proposal.changes {
        unchanged(root, change)?;
    }
    let mut staged = Vec::new();
    let result =
        stage(root, &proposal.changes, &mut staged).and_then(|()| commit(root, &proposal.changes, &staged));
    for (temporary, _) in staged {
        // Gone already when it was renamed.
        let _ = fs::remove_file(temporary);
    }
    result.map_err(|error| Stop::Usage(format!("nothing was written: {error}")))
}

fn confirm(changes: &[Change]) -> Result<(), Stop> {
    let paths: Vec<_> =
        changes.iter().filter(|change| change.confirm).map(|change| change.file.path.as_str()).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let paths = paths.join(", ");
    if !std::io::stdin().is_terminal() {
        return Err(Stop::Usage(format!(
            "nothing was written: {paths} can run code on this machine, so the change needs your yes; run this in a terminal"
        )));
    }
    complain(&format!("{paths} can run code on this machine. Write all the same? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Stop::Usage("nothing was written".into())),
    }
}

fn unchanged(root: &Path, change: &Change) -> Result<(), Stop> {
    let place = root.join(&change.file.path);
    let now = read_file(&place)
        .map_err(|error| Stop::Stale(format!("{}: {error}; nothing was written", change.file.path)))?;
    if is_read_only(&place) {
        return Err(Stop::Usage(format!("nothing was written: {}", read_only(&change.file.path))));
    }
    if now.as_deref() == change.file.before.as_ref().map(String::as_bytes) {
        return Ok(());
    }
    Err(Stop::Stale(format!("{} changed meanwhile, nothing was written; run it again", change.file.path)))
}

/// Writes the new texts beside their places.
fn stage(root: &Path, changes: &[Change], staged: &mut Vec<(PathBuf, PathBuf)>) -> std::io::Result<()> {
    for change in changes {
        let Some(text) = &change.file.after else { continue };
        let place = root.join(&change.file.path);
        let folder = place.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".opendevagent-{}", uuid::Uuid::new_v4().simple()));
        staged.push((temporary.clone(), place.clone()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = fs::metadata(&place) {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Renames the staged files into place and removes deleted ones; undoes what was done when one fails.
fn commit(root: &Path, changes: &[Change], staged: &[(PathBuf, PathBuf)]) -> std::io::Result<()> {
    let deleted = changes
        .iter()
        .filter(|change| change.file.after.is_none())
        .map(|change| root.join(&change.file.path));
    let renames = staged.iter().map(|(temporary, place)| (place.clone(), Some(temporary)));
    let mut done = Vec::new();
    for (place, temporary) in renames.chain(deleted.map(|place| (place, None))) {
        let step = match temporary {
            Some(temporary) => fs::rename(temporary, &place),
            None => fs::remove_file(&place),
        };
        if let Err(error) = step {
            undo(root, changes, &done);
            return Err(error);
        }
        done.push(place);
    }
    Ok(())
}

fn undo(root: &Path, changes: &[Change], done: &[PathBuf]) {
    for change in changes {
        let place = root.join(&change.file.path);
        if done.contains(&place) {
            let back = match &change.file.before {
                Some(text) => fs::write(&place, text),
                None => fs::remove_file(&place),
            };
            if let Err(error) = back {
                complain(&format!("opendevagent: {} could not be put back: {error}", place.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::patch::FileChange;

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let file =
            FileChange { path: path.into(), before: before.map(Into::into), after: after.map(Into::into) };
        Change { file, version: None, confirm: false }
    }

    fn tree(root: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(root)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| {
                (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn all_files_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("a"), "1\r\n").unwrap();
        fs::write(root.join("b"), "2").unwrap();
        let changes = vec![
            change("a", Some("1\r\n"), Some("one\r\n")),
            change("b", Some("2"), None),
            change("c", None, Some("3")),
        ];
        write(root, &Proposal { changes: changes.clone() }).unwrap();
        assert_eq!(tree(root), [("a".into(), "one\r\n".into()), ("c".into(), "3".into())]);
        let stale = write(root, &Proposal { changes });
        assert!(matches!(stale, Err(Stop::Stale(_))), "{stale:?}");
        assert_eq!(tree(root), [("a".into(), "one\r\n".into()), ("c".into(), "3".into())]);
    }

    #[test]
    fn a_failure_in_the_middle_is_rolled_back() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("a"), "1").unwrap();
        fs::create_dir_all(root.join("d/full")).unwrap();
        // A folder cannot be replaced by a file, so the second rename fails.
        let mut second = change("d", None, Some("x"));
        second.file.path = "d".into();
        let staged_changes = vec![change("a", Some("1"), Some("one")), second];
        let mut staged = Vec::new();
        stage(root, &staged_changes, &mut staged).unwrap();
        assert!(commit(root, &staged_changes, &staged).is_err());
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_read_only_or_no_file_any_more_is_left_alone() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let refused = |paths: [&str; 2]| {
            let changes = paths.map(|path| change(path, Some("1"), Some("2"))).to_vec();
            write(root, &Proposal { changes }).unwrap_err()
        };
        fs::write(root.join("a"), "1").unwrap();
        fs::write(root.join("b"), "1").unwrap();
        fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o444)).unwrap();
        let why = refused(["a", "b"]);
        assert!(matches!(&why, Stop::Usage(why) if why.contains("b is read-only")), "{why:?}");
        symlink("a", root.join("link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        fs::create_dir(root.join("folder")).unwrap();
        for other in ["link", "pipe", "folder"] {
            let why = refused(["a", other]);
            assert!(matches!(&why, Stop::Stale(why) if why.starts_with(other)), "{why:?}");
        }
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "1");
        assert!(fs::symlink_metadata(root.join("link")).unwrap().is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.sh");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        write(directory.path(), &Proposal { changes: vec![change("run.sh", Some("a"), Some("b"))] }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
    }
}
