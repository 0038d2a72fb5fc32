//! Carries a proposal over to the texts as they are now, when those have changed elsewhere only.
//!
//! The user goes on typing while a task runs. What is offered must fit the text that is there then, and its verdict
//! must be about that text: so the edits are moved along and checked again. Whatever is not plainly the same edit
//! in the same surroundings is stale, and nothing of it is applied.

use super::patch::FileChange;
use super::pipeline::Seen;
use super::task::{Report, Stop};
use super::{Work, with_panics};
use crate::event::Note;
use crate::verdict::Level;
use crate::workspace::{Documents, Snapshot, TextError};
use crate::{syntax, text};

impl FileChange {
    /// The same change of a file that reads `now`; `None`: there is no such file.
    ///
    /// # Errors
    /// Why it is not the same change there.
    pub fn carried(&self, now: Option<&str>) -> Result<Self, String> {
        let path = &self.path;
        if self.before.as_deref() == now {
            return Ok(self.clone());
        }
        let after = match (&self.before, now, &self.after) {
            (_, None, _) => return Err(format!("{path} is gone")),
            (None, Some(""), Some(after)) => after.clone(),
            (None, ..) => return Err(format!("there is a file {path} by now")),
            (.., None) => return Err(format!("{path} was to be deleted and has changed")),
            (Some(before), Some(now), Some(after)) => {
                moved(before, now, after).ok_or(format!("{path} has changed where it was to be edited"))?
            }
        };
        if let Some(line) = syntax::new_error(path, now.unwrap_or_default(), &after) {
            return Err(format!("{path} has changed so that the edit would break it at line {line}"));
        }
        Ok(Self { path: path.clone(), before: now.map(Into::into), after: Some(after) })
    }
}

impl Report {
    /// Of its verdict.
    pub fn level(&self) -> Option<Level> {
        self.verdict.as_ref().map(|verdict| verdict.level)
    }

    /// Whether a proposal that was carried over may be applied without another question, when the user agreed to it as
    /// `seen`: the edits are the same, and the text around them is the user's own. What fails its check by now is theirs
    /// to decide anew.
    pub fn is_as_good(&self, seen: Level) -> bool {
        let stands = |level| level >= seen && (level != Level::Failing || seen == Level::Failing);
        self.stop.is_none() && self.level().is_some_and(stands)
    }
}

/// `now` with the edits that make `after` of `before`.
fn moved(before: &str, now: &str, after: &str) -> Option<String> {
    let edits = text::rebase(&text::diff(before, after), before, now).ok()?;
    // What was copied meanwhile may stand for the original: an edit that fits more places than before fits none.
    let unique = edits.iter().all(|edit| {
        let around = text::around(now, edit.span);
        now.matches(around).count() <= before.matches(around).count()
    });
    unique.then(|| edits.apply(now))
}

/// Every change, of the texts in `now`.
fn carry(changes: &[FileChange], now: &Snapshot) -> Result<Vec<FileChange>, String> {
    let carried = |change: &FileChange| match now.text(&change.path) {
        Ok(text) => change.carried(Some(&text)),
        Err(TextError::Missing(_)) => change.carried(None),
        Err(error) => Err(error.to_string()),
    };
    changes.iter().map(carried).collect()
}

impl Work<'_> {
    /// The workspace below `documents`.
    pub(super) async fn take(&self, documents: Documents) -> Result<Snapshot, Stop> {
        let (root, exclude) = (self.task.root.clone(), self.ports.options.exclude.clone());
        let taken = tokio::task::spawn_blocking(move || Snapshot::take(&root, &documents, &exclude));
        let unread = |error| Stop::Usage(format!("{} cannot be read: {error}", self.task.root.display()));
        taken
            .await
            .map_err(|error| Stop::Usage(format!("the workspace could not be read: {error}")))?
            .map_err(unread)
    }

    /// Looks whether the texts are still those that the edits were made for. When they are not, the edits are carried
    /// over. What fails its check is not offered, so it is not looked at.
    pub(super) async fn compare(&mut self) -> Result<Seen, Stop> {
        let (level, changes) = match self.chosen() {
            Some((verdict, changes)) => (Some(verdict.level), changes),
            None => (None, std::mem::take(&mut self.pending)),
        };
        if level == Some(Level::Failing) {
            return Ok(Seen::Still);
        }
        self.carried.clone_from(&changes);
        let now = self.take((self.now)()).await?;
        let (then, there) = (changes.clone(), now.clone());
        let carried = with_panics(tokio::task::spawn_blocking(move || carry(&then, &there)).await)
            .unwrap_or_else(|| Err("the server is about to end".into()));
        let carried = carried.map_err(|why| Stop::Stale(format!("{why}; run it again")))?;
        self.snapshot = Some(now);
        let still = carried == changes;
        self.carried.clone_from(&carried);
        if level.is_none() || !still {
            self.pending = carried;
        }
        if still {
            return Ok(Seen::Still);
        }
        self.note(
            Note::Info,
            "The text has changed elsewhere: the edits are carried over and checked again".into(),
        );
        // What was seen was seen of another text; tests that were written for it are a part of it now.
        (self.before, self.unchecked, self.blind) = (None, None, None);
        self.stands_from = self.attempts.len();
        self.moved = true;
        Ok(Seen::Moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "def a():\n    return 1\n\n\ndef b():\n    return 2\n";
    const AFTER: &str = "def a():\n    return 1\n\n\ndef b():\n    return 3\n";

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        FileChange { path: path.into(), before: before.map(Into::into), after: after.map(Into::into) }
    }

    /// What becomes of the edit `BEFORE` → `AFTER` where the text is `now`.
    fn check(now: &str, expect: Result<&str, &str>) {
        let carried = change("a.py", Some(BEFORE), Some(AFTER)).carried(Some(now));
        match expect {
            Ok(after) => assert_eq!(carried, Ok(change("a.py", Some(now), Some(after))), "{now}"),
            Err(why) => {
                assert!(carried.as_ref().is_err_and(|error| error.contains(why)), "{now}: {carried:?}")
            }
        }
    }

    #[test]
    fn a_change_elsewhere_is_kept_beside_the_edit() {
        check(BEFORE, Ok(AFTER));
        check(&format!("# new\n{BEFORE}"), Ok(&format!("# new\n{AFTER}")));
        check(&format!("\u{feff}{BEFORE}"), Ok(&format!("\u{feff}{AFTER}")));
        let (now, after) = (BEFORE.replace("return 1", "return 10"), AFTER.replace("return 1", "return 10"));
        check(&now, Ok(&after));
    }

    #[test]
    fn what_is_not_plainly_the_same_edit_is_stale() {
        for now in
            ["", "x", AFTER, &BEFORE.replace("return 2", "return 4"), &BEFORE.replace("def b", "def c")]
        {
            check(now, Err("has changed where"));
        }
        // The function was copied: either copy could be the one that was meant.
        check(&format!("{BEFORE}\n\ndef b():\n    return 2\n"), Err("has changed where"));
        check(&format!("def b():\n    return 2\n\n\n{BEFORE}"), Err("has changed where"));
    }

    #[test]
    fn files_that_came_or_went_are_stale() {
        let stale = |change: FileChange, now: Option<&str>, why: &str| {
            let carried = change.carried(now);
            assert!(carried.as_ref().is_err_and(|error| error.contains(why)), "{carried:?}");
        };
        stale(change("a.py", Some(BEFORE), Some(AFTER)), None, "is gone");
        stale(change("a.py", Some(BEFORE), None), Some("x"), "to be deleted");
        stale(change("a.py", Some(BEFORE), None), None, "is gone");
        stale(change("a.py", None, Some(AFTER)), Some("x"), "by now");
        let opened = change("a.py", None, Some(AFTER)).carried(Some(""));
        assert_eq!(opened, Ok(change("a.py", Some(""), Some(AFTER))));
    }

    /// The edit closes a bracket that the text has lost meanwhile.
    #[test]
    fn an_edit_that_would_break_the_text_now_is_stale() {
        let before = "x = 1\n\n\ny = (\n    2\n)\n";
        let now = "x = 1\n\n\ny = (\n    2\n)\n\n\nz = 1\n";
        let fine = change("a.py", Some(before), Some(&before.replace("x = 1", "x = [1]")));
        assert!(fine.carried(Some(now)).is_ok());
        // Each alone is well-formed: the edit takes the `try` away, and the text got an `except` for it.
        let before = "def f():\n    try:\n        pass\n    finally:\n        pass\n    a = 1\n    b = 2\n";
        let after = "def f():\n    try:\n        pass\n    finally:\n        pass\n    a = (1,\n    b = 2\n";
        let broken = change("a.py", Some(before), Some(after)).carried(Some(&format!("{before}c = 3\n")));
        assert!(broken.as_ref().is_err_and(|error| error.contains("would break it")), "{broken:?}");
    }
}
