//! What judges beside tests and configuration: files that the command starts by way of others, and those that tests name.

use super::{Check, MAX_TEST_BYTES, MAX_TEST_FILES, Runner, detect, is_test};
use crate::agent::patch::FileChange;
use crate::sandbox::language;
use crate::workspace::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Check {
    /// Changed files that a user's command starts by way of others: `make test` runs `sh scripts/check.sh`.
    fn started(&self, snapshot: &Snapshot, changes: &[FileChange]) -> BTreeSet<String> {
        if self.runner != Runner::Command {
            return BTreeSet::new();
        }
        // Whatever else is started may be what is to be repaired.
        let is_script = |path: &str| path.strip_suffix(".sh").is_some() || self.target.is_some();
        let ours = |path: &str| is_script(path) && self.target.as_deref() != Some(path);
        let own = |name: &str| snapshot.text(name).map(|text| text.to_string()).unwrap_or_default();
        let mut texts = vec![
            self.command.clone(),
            own("Makefile"),
            own("makefile"),
            own("GNUmakefile"),
            detect::test_script(snapshot, "").unwrap_or_default(),
        ];
        // Each is read once, so this ends.
        let mut known = BTreeSet::new();
        while let Some(text) = texts.pop() {
            let words = started_words(&text);
            let is_started = |path: &&str| {
                words.iter().any(|word| {
                    path.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
                })
            };
            let paths = snapshot.paths().filter(is_started);
            for path in paths.filter(|path| ours(path)).map(str::to_owned).collect::<Vec<_>>() {
                let is_new = known.len() < MAX_TEST_FILES && known.insert(path.clone());
                if is_new && self.target.is_some() {
                    texts.push(own(&path));
                }
            }
        }
        changes.iter().map(|change| change.path.clone()).filter(|path| known.contains(path)).collect()
    }

    /// Whether `path` may be what judges: data that a test names, which is what it expects or what the code is given; a
    /// script that the command starts.
    pub(super) fn judges_beside(&self, path: &str) -> bool {
        self.named.contains(path) && language::by_path(path).is_none() || self.started.contains(path)
    }

    /// Whether `path` is code beside what the task is about that a test names: it may hold what the test asserts with.
    pub(super) fn calls(&self, path: &str) -> bool {
        self.named.contains(path) && self.target.as_deref().is_some_and(|target| target != path)
    }

    /// The same check, held against a proposal's files.
    #[must_use]
    pub fn of(&self, snapshot: &Snapshot, changes: &[FileChange]) -> Self {
        let beside = |change: &&FileChange| change.before.is_some() && !self.protects(&change.path);
        let mut asked: Vec<&str> = changes.iter().filter(beside).map(|change| change.path.as_str()).collect();
        let mut named = BTreeSet::new();
        let small = |path: &&str| snapshot.size(path).is_some_and(|size| size <= MAX_TEST_BYTES);
        let tests = snapshot.paths().filter(|path| is_test(path) && language::by_path(path).is_some());
        for path in tests.filter(small).take(MAX_TEST_FILES) {
            if asked.is_empty() {
                break;
            }
            let Ok(text) = snapshot.text(path) else { continue };
            let (found, rest) = asked.into_iter().partition::<Vec<_>, _>(|path| names_file(&text, path));
            named.extend(found.into_iter().map(str::to_owned));
            asked = rest;
        }
        let started = Arc::new(self.started(snapshot, changes));
        Self { named: Arc::new(named), started, ..self.clone() }
    }
}

/// What starts a file that is named behind it.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "node", "python", "python3", "ruby", "php", "perl", "deno", "bun", "tsx", "ts-node",
];

/// The files that the lines of a shell or a makefile start: named behind an interpreter, or with `./` first.
fn started_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for command in text.split(|c: char| "\n;&|()`\"'=@".contains(c)) {
        let mut before = None;
        for word in command.split_whitespace().filter(|word| !word.starts_with('-')) {
            let name = word.strip_prefix("./").unwrap_or(word);
            let is_start = match before {
                None => word.len() > name.len(),
                Some(before) => INTERPRETERS.contains(&before),
            };
            if is_start && name.len() > 2 {
                words.push(name);
            }
            before = Some(word);
        }
    }
    words
}

/// Whether the text of a test names a file: data with its ending, as a string; code without, as a word.
fn names_file(text: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (name, is_code) = match language::by_path(path) {
        Some(_) => (name.split('.').next().unwrap_or(name), true),
        None => (name, false),
    };
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (left, right) = (&text[..at], &text[at + name.len()..]);
        let quote = ['"', '\'', '`'];
        if is_code {
            !left.ends_with(letter) && !right.starts_with(letter)
        } else {
            right.starts_with(quote) && (left.ends_with(quote) || left.ends_with('/'))
        }
    })
}
