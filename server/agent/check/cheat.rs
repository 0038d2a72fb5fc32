//! Added lines that could make a check green without the code being right.
//!
//! Such a line proves nothing about intent: it only means that the exit status, or the report, may come from the
//! edit instead of the tests, so a person has to look.

mod words;

use super::Check;
use crate::agent::patch::FileChange;
use crate::sandbox::language;
use crate::text;
use std::collections::HashSet;
use words::WORDS;

/// What a suspicious line could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends the process before the check is through. Harmless where counted tests all ran.
    Exit,
    /// Reaches into the test runner, its report, or how a failure becomes an exit status.
    Machinery,
    /// Takes an assertion out of a file that is its own test.
    Assertion,
}

/// A suspicious line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concern {
    pub kind: Kind,
    pub path: String,
    /// From 1, in the text after the edit; for [`Kind::Assertion`] in the text before.
    pub line: u32,
    /// The words that made it one.
    pub what: &'static str,
}

/// What a line that checks something has in it.
const ASSERTIONS: &[&str] =
    &["assert", "expect(", "t.Error", "t.Fatal", "panic(", "raise ", "throw ", "fail("];

/// The suspicious lines of a proposal.
pub(super) fn concerns(check: &Check, changes: &[FileChange]) -> Vec<Concern> {
    let mut found = Vec::new();
    for change in changes {
        let (before, after) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
        let Some(language) = language::by_path(&change.path) else { continue };
        let protected = check.protects(&change.path);
        let known: HashSet<String> = before.lines().map(dense).collect();
        let rows = WORDS.iter().filter(|(languages, ..)| languages.contains(&language.name.as_str()));
        let lines: Vec<(u32, String)> =
            added(before, after).into_iter().map(|(number, line)| (number, dense(line))).collect();
        for (at, (number, code)) in lines.iter().enumerate() {
            if known.contains(code) || code.starts_with(language.comment.as_str()) {
                continue;
            }
            // A body of one line belongs to its head.
            let body = lines.get(at + 1).filter(|_| code.ends_with(':')).map_or("", |(_, body)| body);
            let code = format!("{code}{body}");
            let hit = rows.clone().find_map(|(_, kind, words)| {
                words.iter().find(|word| has_word(&code, word)).map(|&what| (*kind, what))
            });
            // Mocks and exits are the business of tests, which run from their original text as well. Hooks into
            // the runner are not.
            if let Some((kind, what)) = hit.filter(|(_, what)| !protected || what.starts_with("pytest_")) {
                found.push(Concern { kind, path: change.path.clone(), line: *number, what });
            }
        }
        if check.mentions(&change.path) && !protected {
            found.extend(lost_assertions(&change.path, before, after));
        }
    }
    found
}

/// The lines of `after` that are not in `before`, with their numbers from 1.
pub(super) fn added<'a>(before: &str, after: &'a str) -> Vec<(u32, &'a str)> {
    let new: Vec<&str> = after.lines().collect();
    let old: Vec<&str> = before.lines().collect();
    let mut lines = Vec::new();
    for op in text::line_ops(&old, &new) {
        if op.tag() != similar::DiffTag::Equal {
            lines.extend(op.new_range().map(|at| (at as u32 + 1, new[at])));
        }
    }
    lines
}

/// Assertions and calls at the outermost level that the edit takes out of a file that is run as its own test.
fn lost_assertions(path: &str, before: &str, after: &str) -> Vec<Concern> {
    let kept: HashSet<&str> = after.lines().map(str::trim_end).collect();
    let call = |line: &str| {
        let starts = line.starts_with(|c: char| c.is_alphabetic() || c == '_');
        starts
            && !line.contains(" = ")
            && !line.starts_with("function ")
            && line.trim_end().trim_end_matches(';').ends_with(')')
    };
    let lost = before.lines().enumerate().filter(|(_, line)| {
        !kept.contains(line.trim_end()) && (call(line) || ASSERTIONS.iter().any(|word| line.contains(word)))
    });
    lost.map(|(at, _)| Concern {
        kind: Kind::Assertion,
        path: path.into(),
        line: at as u32 + 1,
        what: "an assertion",
    })
    .collect()
}

/// The line with no blanks at its ends and around signs, so that `os . _exit ( 0 )` reads `os._exit(0)`.
fn dense(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in line.split_whitespace() {
        let wordy = |c: char| c.is_alphanumeric() || c == '_' || "|[+\"'`".contains(c);
        if out.ends_with(wordy) && word.starts_with(wordy) {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Whether `word` stands in the code, not as the end or the start of a longer name. `…` stands for anything.
fn has_word(code: &str, word: &str) -> bool {
    if let Some((first, then)) = word.split_once('…') {
        return code.split_once(first).is_some_and(|(_, rest)| rest.contains(then));
    }
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let whole_end = word.chars().all(char::is_alphabetic);
    code.match_indices(word).any(|(at, _)| {
        let (left, right) = (&code[..at], &code[at + word.len()..]);
        // `self.exit()` is not `exit()`, but `node.process.exit` is `process.exit`.
        let method = left.ends_with(['.', '$']) && !word.contains('.');
        let start = !word.starts_with(letter) || !(left.ends_with(letter) || method);
        let end = !whole_end || !right.starts_with(letter);
        start && end && !(word.ends_with('=') && right.starts_with(['=', '>']))
    })
}
