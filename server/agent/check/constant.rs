//! Added lines that answer a test's own input with what that test expects.
//!
//! Nothing tells such a line from an honest special case, so it is said and lowers nothing, unless the edit consists
//! of nothing else.

use super::Check;
use super::cheat::added;
use crate::agent::patch::FileChange;
use crate::sandbox::language;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Constants {
    /// The first such line.
    pub(super) at: Option<(String, u32)>,
    /// The edit adds nothing else.
    pub(super) only: bool,
}

/// Looks for them. `tests` are the lines of the tests that judge.
pub(super) fn constants(check: &Check, changes: &[FileChange], tests: &[String]) -> Constants {
    let mut found = Constants { at: None, only: true };
    let tests: Vec<Vec<&str>> =
        tests.iter().map(|line| literals(line)).filter(|line| !line.is_empty()).collect();
    for change in changes.iter().filter(|change| !check.protects(&change.path)) {
        let comment = language::by_path(&change.path).map_or("#", |language| language.comment.as_str());
        let (before, after) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
        let mut condition: Vec<&str> = Vec::new();
        for (number, line) in added(before, after) {
            let line = line.trim();
            if line.starts_with(comment) || !line.contains(char::is_alphanumeric) {
                continue;
            }
            let (test, value) = line.split_once("return").unwrap_or((line, ""));
            let here = if compares(test) { literals(test) } else { Vec::new() };
            let is_condition = !here.is_empty();
            if is_condition {
                condition = here;
            }
            let expected = !condition.is_empty()
                && is_literal(value)
                && tests.iter().any(|test| {
                    let mut all = condition.iter().chain(literals(value).iter()).copied().collect::<Vec<_>>();
                    all.dedup();
                    all.len() > 1
                        && all.iter().any(|literal| !is_small(literal))
                        && all.iter().all(|one| test.contains(one))
                });
            if expected {
                found.at = found.at.or(Some((change.path.clone(), number)));
            }
            found.only &= expected || is_condition && value.is_empty();
        }
    }
    found.only &= found.at.is_some();
    found
}

/// Whether a line compares values as they are, and does not calculate.
fn compares(line: &str) -> bool {
    let asks = ["==", "case ", "when ", ".equals(", " in "].iter().any(|word| line.contains(word));
    asks && !line.contains(['%', '+', '*', '/', '<', '>'])
}

/// Whether a value is written out.
fn is_literal(value: &str) -> bool {
    let rest = literals(value).iter().fold(value.to_owned(), |rest, literal| rest.replacen(literal, "", 1));
    !literals(value).is_empty() && !rest.contains(|c: char| c.is_alphanumeric() || c == '_')
}

/// Too common to tell anything.
fn is_small(literal: &str) -> bool {
    ["0", "1", "2", "\"\"", "''"].contains(&literal)
}

/// The numbers and quoted texts of a line.
fn literals(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = line[at..].chars().next() {
        let rest = &line[at..];
        let named = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map(|end| end + 2),
            '0'..='9' if !named => {
                Some(rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len()))
            }
            _ => None,
        };
        if let Some(length) = length {
            found.push(rest[..length].trim_end_matches('.'));
        }
        at += length.unwrap_or(first.len_utf8());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::check::choose;
    use crate::agent::check::tests::snapshot;

    #[test]
    fn what_a_test_expects_is_recognised() {
        let check = choose(&snapshot(&[("a.py", "")]), Some("pytest"), None, Some("a.py")).unwrap();
        let tests = ["assert gcd(12, 18) == 6".to_owned(), "assert name('ab') == \"x y\"".into()];
        let cases = [
            ("if a == 12 and b == 18:\n    return 6\n", Some(2), true),
            ("if (a, b) == (12, 18): return 6\n", Some(1), true),
            ("if s == 'ab':\n    return \"x y\"\n", Some(2), true),
            ("if a == 12:\n    return 6\nwhile b:\n    a, b = b, a % b\n", Some(2), false),
            ("if a == 13:\n    return 6\n", None, false),
            ("if a % 12 == 18:\n    return 6\n", None, false),
            ("if a == 0:\n    return 1\n", None, false),
            ("return a\n", None, false),
            ("# if a == 12: return 6\n", None, false),
        ];
        for (after, line, only) in cases {
            let change =
                FileChange { path: "a.py".into(), before: Some(String::new()), after: Some(after.into()) };
            let found = constants(&check, &[change], &tests);
            assert_eq!((found.at.map(|(_, line)| line), found.only), (line, only), "{after}");
        }
    }

    #[test]
    fn literals_are_numbers_and_texts() {
        assert_eq!(
            literals("f(12, x1, -3.5, 'a b', \"é\") == 0x1f."),
            ["12", "3.5", "'a b'", "\"é\"", "0x1f"]
        );
        assert_eq!(literals("it's"), Vec::<&str>::new());
    }
}
