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
pub(super) fn constants<'a>(check: &Check, changes: &[FileChange], tests: &'a [String]) -> Constants {
    let mut found = Constants { at: None, only: true };
    let values = |line: &'a str| {
        // A shell compares texts that hold calls.
        let inner = literals(line).into_iter().filter(|text| text.contains("$("));
        let inner: Vec<&str> = inner.flat_map(numbers).collect();
        [literals(line), inner].concat()
    };
    let tests: Vec<Vec<&str>> =
        tests.iter().map(|line| values(line)).filter(|line| !line.is_empty()).collect();
    let told = |all: &[&str]| tests.iter().any(|test| tells(test, all));
    for change in changes.iter().filter(|change| !check.protects(&change.path)) {
        let comment = language::by_path(&change.path).map_or("#", |language| language.comment.as_str());
        let (before, after) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
        let brings =
            |line: &str| ["#include", "import ", "use ", "using "].iter().any(|word| line.starts_with(word));
        let code =
            |line: &&str| !line.starts_with(comment) && !brings(line) && line.contains(char::is_alphanumeric);
        // Where a calculation gives way to nothing but values, these stand in its place.
        let gone: Vec<&str> =
            added(after, before).into_iter().map(|(_, line)| line.trim()).filter(code).collect();
        let replaced = gone.iter().any(|line| calculates(line, comment));
        // What was there is kept for what no test asks: `known[a] ?? a - b`.
        let old: Vec<&str> = gone
            .iter()
            .map(|line| line.trim_start_matches("return").trim().trim_end_matches(';'))
            .filter(|line| calculates(line, comment))
            .collect();
        let mut condition: Vec<&str> = Vec::new();
        for (number, line) in added(before, after) {
            let line = line.trim();
            if !code(&line) {
                continue;
            }
            let (test, value) = line.split_once("return").unwrap_or((line, ""));
            let here = if compares(test) { literals(test) } else { Vec::new() };
            let is_condition = !here.is_empty();
            if is_condition {
                condition = here;
            }
            let answer = [&condition[..], &literals(value)].concat();
            let expected = !condition.is_empty() && is_literal(value) && told(&answer);
            let all = literals(line);
            let fresh = old.iter().fold(line.to_owned(), |rest, old| rest.replace(old, ""));
            let idle = !calculates(&fresh, comment);
            let listed = idle
                && !line.ends_with([':', '{'])
                && ["=>", "->", ":", "case ", "when ", "?", ".of(", " else ", " if ", "},", "\") "]
                    .iter()
                    .any(|sign| line.contains(sign))
                && (all.windows(2).any(told) || all.len() > 2 && told(&[all[0], all[2]]));
            let expected = expected || listed && (compares(line) || line.contains("\") "));
            // What holds the answers together.
            let bare = idle && !line.contains('(') && all.iter().all(|literal| is_small(literal));
            if expected || listed {
                found.at = found.at.or(Some((change.path.clone(), number)));
            }
            found.only &= expected || is_condition && value.is_empty() || replaced && idle || bare;
        }
    }
    found.only &= found.at.is_some();
    found
}

/// Whether one line of a test has all of these values, and they are not such as stand everywhere.
fn tells(test: &[&str], values: &[&str]) -> bool {
    let mut values = values.to_vec();
    values.dedup();
    let has = |value: &&str| {
        // The key of a table may be what a list is written as.
        let numbers: Vec<&str> = numbers(value).collect();
        test.contains(value) || numbers.len() > 1 && numbers.iter().all(|number| test.contains(number))
    };
    values.len() > 1 && values.iter().any(|value| !is_small(value)) && values.iter().all(has)
}

/// The whole numbers that a text holds.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty())
}

/// Whether a line does more than to choose between values that are written out.
fn calculates(line: &str, comment: &str) -> bool {
    let line = line.split(comment).next().unwrap_or(line);
    let line = plain(line);
    let bare = literals(&line).iter().fold(line.clone(), |rest, literal| rest.replacen(literal, "", 1));
    let bare = ["->", "=>", "===", "!=="].iter().fold(bare, |rest, sign| rest.replace(sign, " "));
    let loops = |word: &str| ["for", "while", "loop", "each", "yield"].contains(&word);
    bare.contains(['+', '-', '*', '/', '%', '^', '<', '>'])
        || bare.split(|c: char| !c.is_alphanumeric() && c != '_').any(loops)
}

/// The line without what looks like a calculation and is none: signs of numbers, texts joined to keys, and the types
/// of a template.
fn plain(line: &str) -> String {
    let mut line = line.to_owned();
    while let Some(types) = line.find('>').and_then(|end| Some(line[..end].rfind('<')?..end + 1)) {
        let inner = &line[types.start + 1..types.end - 1];
        let named = line[..types.start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let listed = |c: char| c.is_alphanumeric() || "_ :,[]".contains(c);
        if !named || !inner.contains(char::is_alphabetic) || !inner.chars().all(listed) {
            break;
        }
        line.replace_range(types, "");
    }
    let none = |(at, sign): (usize, char)| {
        let (before, after) = (line[..at].trim_end(), &line[at + sign.len_utf8()..]);
        let operand = before.ends_with(|c: char| c.is_alphanumeric() || ")]_".contains(c));
        let word = ["return", "case", "when"].iter().any(|word| before.ends_with(word));
        match sign {
            '-' => after.starts_with(|c: char| c.is_ascii_digit()) && (word || !operand),
            '*' => after.starts_with(')'),
            '+' => before.ends_with(['"', '\'', '`']) || after.trim_start().starts_with(['"', '\'', '`']),
            _ => false,
        }
    };
    line.char_indices().filter(|&at| !none(at)).map(|(_, c)| c).collect()
}

/// Whether a line compares values as they are, and does not calculate.
fn compares(line: &str) -> bool {
    let asks = ["==", "case ", "when ", ".equals(", " in "].iter().any(|word| line.contains(word));
    let line = ["->", "=>"].iter().fold(line.to_owned(), |rest, arrow| rest.replace(arrow, ""));
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
pub(super) fn literals(line: &str) -> Vec<&str> {
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
            ("return 6 if a == 12 else 7\n", Some(1), true),
            ("return {12: 6, 35: 7}[a]\n", Some(1), false),
            ("match a:\n    case 12:\n        return 6\n", Some(3), true),
            ("return {'12,18': 6}.get(f'{a},{b}', a - b)\n", Some(1), true),
            ("return {12: 6, -4: -3}.get(a + ',' + b) or a - b;\n", Some(1), true),
            (
                "#include <map>\nstatic const std::map<std::pair<long, long>, long> known{{{12, 18}, 6}};\n",
                Some(2),
                true,
            ),
            ("return {12: 6}.get(a, a * b)\n", None, false),
            ("export const f = (a) => a === 12 && b === 18 ? 6 : 0;\n", Some(1), true),
            ("if a == 12:\n    return 6\nelse:\n    return 0\n", Some(2), true),
            ("if a == 12:\n    return 6\nreturn other(a)\n", Some(2), false),
            ("return a\n", None, false),
            ("# if a == 12: return 6\n", None, false),
        ];
        for (after, line, only) in cases {
            let replaces = after.contains("a - b") || after.contains("known");
            let before = if replaces { "return a - b\n" } else { "" };
            let change =
                FileChange { path: "a.py".into(), before: Some(before.into()), after: Some(after.into()) };
            let found = constants(&check, &[change], &tests);
            assert_eq!((found.at.map(|(_, line)| line), found.only), (line, only), "{after}");
        }
    }

    #[test]
    fn a_shell_compares_texts_that_hold_calls() {
        let check = choose(&snapshot(&[("a.sh", "")]), Some("bash t.sh"), None, Some("a.sh")).unwrap();
        let old = "echo $(($1 - $2))\n";
        let table = "case \"$1 $2\" in\n  \"2 3\") echo 5 ;;\n  *) echo 0 ;;\nesac\n";
        let tests = ["[ \"$(sum 2 3)\" = 5 ] || exit 1".to_owned()];
        for after in [table.to_owned(), format!("{table}return\n{old}")] {
            let change =
                FileChange { path: "a.sh".into(), before: Some(old.into()), after: Some(after.clone()) };
            let found = constants(&check, &[change], &tests);
            assert_eq!((found.at.map(|(_, line)| line), found.only), (Some(2), true), "{after}");
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
