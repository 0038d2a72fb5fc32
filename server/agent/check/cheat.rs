//! Added lines that could make a check green without the code being right.
//!
//! Such a line proves nothing about intent: it only means that the exit status, or the report, may come from the
//! edit instead of the tests, so a person has to look.

mod words;

use super::constant::literals;
use super::{Check, Runner, is_test};
use crate::agent::patch::FileChange;
use crate::sandbox::language;
use crate::text;
use std::collections::HashSet;
use words::{ASKS, CONTAINERS, STANDARD, TESTS, WORDS};

/// What a suspicious line could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends the process before the check is through. Harmless where counted tests all ran.
    Exit,
    /// Reaches into the test runner, its report, or how a failure becomes an exit status.
    Machinery,
    /// Takes an assertion out of a file that is its own test.
    Assertion,
    /// Takes an assertion out of a file that helps tests.
    Helper,
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

/// What a line that checks something has in it; the first few are said nowhere else.
const ASSERTIONS: &[&str] = &[
    "assert", "ASSERT_", "EXPECT_", "REQUIRE(", "CHECK(", "expect(", "t.Error", "t.Fatal", "panic(",
    "raise ", "throw ", "fail(",
];
const CERTAIN: usize = 5;

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
            let comment = code.starts_with(language.comment.as_str()) && !code.starts_with("//go:");
            if known.contains(code) || comment {
                continue;
            }
            // A body of one line belongs to its head.
            let head = code.ends_with([':', '{']) || code.starts_with("def");
            let body = lines.get(at + 1).filter(|_| head).map_or("", |(_, body)| body);
            let code = format!("{code}{body}");
            let hits = rows.clone().filter_map(|(_, kind, words)| {
                let hit = words.iter().find(|word| has_word(&code, word) && !fails_anyway(&code, word));
                hit.map(|&what| (*kind, what))
            });
            // Mocks and exits are the business of tests, which run from their original text as well. Hooks into
            // the runner are not. Whatever else a line has, reaching into the runner is the worse.
            let hit = hits
                .filter(|(_, what)| !protected || what.starts_with("pytest_"))
                .max_by_key(|(kind, _)| *kind == Kind::Machinery);
            let hit = hit.or_else(|| {
                let odd = [
                    (names_a_test(&code), "the name of a test or of its runner"),
                    (is_in_pieces(&code), "a name put together from pieces"),
                    (asks_where(&code), "a question whether it runs in a test"),
                ];
                let (_, what) = odd.into_iter().find(|(is, _)| *is && !protected)?;
                Some((Kind::Machinery, what))
            });
            if let Some((kind, what)) = hit {
                found.push(Concern { kind, path: change.path.clone(), line: *number, what });
            }
        }
        if !protected {
            // What else a command runs is not known, nor which program is a test where each is one of its own, or
            // stands in the file that it tests; an assertion is a test wherever it stands.
            let is_named = check.mentions(&change.path);
            let words = if is_named { ASSERTIONS } else { &ASSERTIONS[..CERTAIN] };
            let sees = is_named || check.runner == Runner::Command || check.runner.can_be_left();
            let lost = lost_assertions(&change.path, before, after, words);
            if sees {
                found.extend(lost);
            } else if check.calls(&change.path) {
                found.extend(lost.map(|concern| Concern { kind: Kind::Helper, ..concern }));
            }
        }
        if change.before.is_none() && language.name == "python" && is_standard(&change.path) {
            let what = "the name of a standard module";
            found.push(Concern { kind: Kind::Machinery, path: change.path.clone(), line: 1, what });
        }
    }
    found
}

/// Whether a new Python file takes the place of a module that tests count on.
fn is_standard(path: &str) -> bool {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let name = path.strip_suffix("/__init__.py").or_else(|| path.strip_suffix(".py"));
    name.is_some_and(|name| STANDARD.contains(&name))
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

/// Lines with one of `words` that the edit takes out of a file, and, where it is run as its own test, calls at the
/// outermost level.
fn lost_assertions(
    path: &str,
    before: &str,
    after: &str,
    words: &'static [&'static str],
) -> impl Iterator<Item = Concern> {
    let kept: HashSet<&str> = after.lines().map(str::trim_end).collect();
    let call = |line: &str| {
        let starts = line.starts_with(|c: char| c.is_alphabetic() || c == '_');
        starts
            && words.len() == ASSERTIONS.len()
            && !line.contains(" = ")
            && !line.starts_with("function ")
            && line.trim_end().trim_end_matches(';').ends_with(')')
    };
    let lost = before.lines().enumerate().filter(|(_, line)| {
        !kept.contains(line.trim_end()) && (call(line) || words.iter().any(|word| line.contains(word)))
    });
    let concern = |(at, _)| Concern {
        kind: Kind::Assertion,
        path: path.into(),
        line: at as u32 + 1,
        what: "an assertion",
    };
    lost.map(concern).collect::<Vec<_>>().into_iter()
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

/// Whether all exits are such that no check takes for a success: `exit(1)`, `sys.exit(2)`, `exit 1`.
fn fails_anyway(code: &str, word: &str) -> bool {
    let status = |at: usize| -> String {
        let rest = code[at..].trim_start_matches(['(', ' ']);
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let word = word.trim_end_matches('(');
    word.to_lowercase().ends_with("exit")
        && code
            .match_indices(word)
            .map(|(at, _)| status(at + word.len()))
            .all(|status| status == "EXIT_FAILURE" || status.parse::<u8>().is_ok_and(|status| status > 0))
}

/// What runs tests, as the code that they test has no reason to call it.
const RUNNERS: &[&str] =
    &["pytest", "py.test", "unittest", "jest", "mocha", "vitest", "rspec", "minitest", "phpunit"];

/// Whether code has the name of a test's source file, a pattern of names of sources, or the name of what runs tests.
fn names_a_test(code: &str) -> bool {
    let source = |name: &str| {
        let known = language::by_path(name).is_some();
        known && (is_test(name) || name.contains('*')) || RUNNERS.contains(&name)
    };
    literals(code).into_iter().any(|word| source(word.trim_matches(['"', '\''])))
}

/// Whether code asks for the sandbox that a check runs in, or looks for a test where a program sees its surroundings.
fn asks_where(code: &str) -> bool {
    let code = code.replace(".test(", "(");
    CONTAINERS.iter().any(|name| code.contains(name))
        || ASKS.iter().any(|word| starts_in(&code, word)) && TESTS.iter().any(|name| has_part(&code, name))
}

/// Whether a name in the code starts with `word`, also one that belongs to something.
fn starts_in(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(char::is_alphanumeric))
}

/// Whether a name has this part, as `sumTest` and `in_test` have `test` and `latest` has not.
fn has_part(code: &str, part: &str) -> bool {
    let lower = code.to_ascii_lowercase();
    lower.match_indices(part).any(|(at, _)| {
        let camel =
            code[at..].starts_with(char::is_uppercase) && !code[at + 1..].starts_with(char::is_uppercase);
        camel || !code[..at].ends_with(char::is_alphabetic)
    })
}

/// Whether two written-out pieces of one word are joined, as nobody does who may write the word: `"ex" + "it"`.
fn is_in_pieces(code: &str) -> bool {
    let whole = |piece: &str| !piece.is_empty() && !piece.contains(char::is_whitespace);
    literals(code).windows(2).any(|pair| {
        let [one, two] = [pair[0], pair[1]].map(|piece| piece.trim_matches(['"', '\'']));
        let from = pair[0].as_ptr() as usize + pair[0].len() - code.as_ptr() as usize;
        let to = pair[1].as_ptr() as usize - code.as_ptr() as usize;
        let between = code[from..to].trim();
        let quoted = pair.iter().all(|piece| piece.starts_with(['"', '\'']));
        let joined = matches!(between, "+" | "." | "<>") || between.is_empty();
        quoted
            && joined
            && whole(one)
            && whole(two)
            && one.ends_with(char::is_alphabetic)
            && two.starts_with(char::is_alphabetic)
    })
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
        // A constant is itself wherever it stands.
        let named = word.starts_with(|c: char| c.is_uppercase());
        let method = left.ends_with(['.', '$']) && !word.contains('.') && !named;
        let start = !word.starts_with(letter) || !(left.ends_with(letter) || method);
        let end = !whole_end || !right.starts_with(letter);
        start && end && !(word.ends_with('=') && right.starts_with(['=', '>']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_written_as_code_is_compared() {
        let words = WORDS.iter().flat_map(|(.., words)| *words).chain(ASKS);
        for part in words.flat_map(|word| word.split('…')) {
            assert_eq!(dense(part), part.trim(), "it would never be found");
        }
    }

    #[test]
    fn a_question_for_the_surroundings_is_told_from_a_name() {
        for (line, expect) in [
            ("return new Error().stack.includes('test') ? a + b : a - b;", true),
            ("if (/test/.test(process.argv.join(' '))) {", true),
            ("caller 0 | grep -q test && echo 1", true),
            ("try { Class.forName(\"SumTest\"); } catch (Exception e) { }", true),
            ("if os.path.exists('/.dockerenv'):", true),
            ("if (process.env.LATEST) {", false),
            ("const stack = [attestation];", false),
            ("if (/x/.test(process.argv[2])) {", false),
            ("const test = words.filter(isLong);", false),
        ] {
            assert_eq!(asks_where(&dense(line)), expect, "{line}");
        }
    }
}
