//! What stands at a place in a file: a comment that asks for something, a stub, the definition around it.
//!
//! A cheap scan of the lines around the place, by keywords. It only words the titles of code actions, so a
//! miss costs nothing.

use ropey::Rope;

/// Lines that are looked at above and below a place.
const REACH: usize = 400;
/// Characters of a line that are looked at.
const WIDTH: usize = 400;

/// Lines that are looked at for all stubs, and stubs that are named.
const MOST_LINES: usize = 20_000;
const MOST_STUBS: usize = 200;

/// How a family of languages writes comments and definitions.
struct Family {
    /// Language ids as clients send them.
    languages: &'static [&'static str],
    comments: &'static [&'static str],
    /// Words that are followed by the name of what they define.
    keywords: &'static [&'static str],
    /// `NAME(…) {` defines a function.
    braces: bool,
}

const FAMILIES: &[Family] = &[
    Family { languages: &["python"], comments: &["#"], keywords: &["def", "class"], braces: false },
    Family {
        languages: &["javascript", "javascriptreact", "typescript", "typescriptreact", "vue", "svelte"],
        comments: &["//", "/*", "*"],
        keywords: &["function", "function*", "class", "interface", "enum", "namespace"],
        braces: true,
    },
    Family {
        languages: &[
            "java",
            "csharp",
            "kotlin",
            "scala",
            "c",
            "cpp",
            "objective-c",
            "dart",
            "swift",
            "php",
            "groovy",
        ],
        comments: &["//", "/*", "*"],
        keywords: &[
            "class",
            "interface",
            "enum",
            "record",
            "struct",
            "object",
            "trait",
            "fun",
            "func",
            "function",
            "def",
        ],
        braces: true,
    },
    Family { languages: &["go"], comments: &["//", "/*"], keywords: &["func", "type"], braces: true },
    Family {
        languages: &["rust", "zig"],
        comments: &["//", "/*", "*"],
        keywords: &["fn", "struct", "enum", "trait", "impl", "mod"],
        braces: false,
    },
    Family {
        languages: &["shellscript", "bash", "sh", "zsh", "fish"],
        comments: &["#"],
        keywords: &["function"],
        braces: true,
    },
    Family {
        languages: &["ruby", "elixir", "crystal"],
        comments: &["#"],
        keywords: &["def", "class", "module"],
        braces: false,
    },
    Family {
        languages: &["lua", "haskell", "sql"],
        comments: &["--"],
        keywords: &["function"],
        braces: false,
    },
];

/// Words before a parenthesis that define nothing.
const CONTROL: &[&str] = &[
    "if",
    "for",
    "while",
    "switch",
    "catch",
    "return",
    "else",
    "match",
    "loop",
    "with",
    "do",
    "new",
    "await",
    "throw",
    "yield",
    "case",
    "foreach",
    "using",
    "lock",
    "until",
    "elif",
    "synchronized",
    "try",
];

/// Statements that stand for a body yet to be written. Matched against a trimmed line, without `;`.
const STUBS: &[&str] = &[
    "pass",
    "...",
    "raise NotImplementedError",
    "throw new Error(\"not implemented",
    "throw new Error('not implemented",
    "throw Error(\"not implemented",
    "throw new UnsupportedOperationException(",
    "throw new NotImplementedException(",
    "todo!(",
    "unimplemented!(",
    "panic(\"not implemented",
    "panic(\"todo",
    "panic(\"unimplemented",
    "TODO(",
    "fatalError(",
];

/// What the lines of a range ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// A TODO or another comment, as its words.
    Comment(String),
    /// A definition without a body, by its name.
    Stub(String),
    Nothing,
}

/// What stands on the lines `first..=last` (from 0).
pub(super) fn spot(text: &Rope, language: &str, first: usize, last: usize) -> Spot {
    let Some(family) = family(language) else { return Spot::Nothing };
    let last = last.min(first.saturating_add(REACH)).min(text.len_lines().saturating_sub(1));
    if let Some(name) = (first..=last).find_map(|at| stub_at(text, family, at)) {
        return Spot::Stub(name);
    }
    let words: Vec<String> = (first..=last).map_while(|at| comment(&line(text, at), family)).collect();
    let words = words.join(" ").trim().to_owned();
    if words.is_empty() { Spot::Nothing } else { Spot::Comment(words) }
}

/// The name of the innermost function or class around a line (from 0).
pub(super) fn enclosing(text: &Rope, language: &str, at: usize) -> Option<String> {
    let family = family(language)?;
    definition_around(text, family, at).map(|(_, name)| name)
}

fn family(language: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.languages.contains(&language))
}

/// The beginning of a line, without its ending.
fn line(text: &Rope, at: usize) -> String {
    let Some(line) = text.get_line(at) else { return String::new() };
    let mut line: String = line.chars().take(WIDTH).collect();
    line.truncate(line.trim_end().len());
    line
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The words of a line that is a comment as a whole.
fn comment(line: &str, family: &Family) -> Option<String> {
    let line = line.trim();
    let marker = family.comments.iter().find(|marker| line.starts_with(**marker))?;
    let words = line[marker.len()..].trim_start_matches(['/', '#', '!', '-', '*']);
    Some(words.trim_end_matches("*/").trim().to_owned())
}

/// The definition on or above a line that the line belongs to, judged by indentation.
fn definition_around(text: &Rope, family: &Family, at: usize) -> Option<(usize, String)> {
    let mut inner = usize::MAX;
    for at in (at.saturating_sub(REACH)..=at).rev() {
        let line = line(text, at);
        if line.trim().is_empty() || indent(&line) >= inner {
            continue;
        }
        if let Some(name) = defined(&line, family) {
            return Some((at, name));
        }
        // The closing brace of a body belongs to the definition at its own indentation.
        inner = indent(&line)
            + usize::from(line.trim_start().starts_with(['}', ')', ']']) || line.trim() == "end");
        if inner == 0 {
            return None;
        }
    }
    None
}

/// The name that a line defines.
fn defined(line: &str, family: &Family) -> Option<String> {
    let line = line.trim();
    if comment(line, family).is_some() {
        return None;
    }
    for word in line.split_whitespace() {
        if family.keywords.contains(&word) {
            let rest = &line[word.as_ptr() as usize - line.as_ptr() as usize + word.len()..];
            // Go's receiver and Rust's type parameters come before the name.
            let rest = skip_group(skip_group(rest.trim_start(), '(', ')'), '<', '>').trim_start();
            return Some(identifier(rest)).filter(|name| !name.is_empty());
        }
        if !word.starts_with("pub(") && word.contains(['(', '=', '{', '.', '"', '\'']) {
            break;
        }
    }
    let arrow = line.split_once('=').filter(|(_, value)| value.contains("=>") || value.contains("function"));
    if let Some((left, _)) = arrow.filter(|_| family.keywords.contains(&"function")) {
        let left = left.split(':').next().unwrap_or(left).trim_end();
        return left.split_whitespace().last().map(identifier).filter(|name| !name.is_empty());
    }
    braced(line).filter(|_| family.braces)
}

/// The name in `TYPE NAME(…) {`.
fn braced(line: &str) -> Option<String> {
    let (before, after) = line.split_once('(')?;
    let opens = after.contains(')')
        && !after.contains("=>")
        && (after.ends_with('{') || after.ends_with("{}") || after.ends_with("{ }"));
    let name = before.split(|c: char| !is_name(c)).next_back()?;
    let first = before.split_whitespace().next()?;
    let plain = before.chars().all(|c| is_name(c) || " \t<>[],:*&~?".contains(c));
    (opens && plain && !name.is_empty() && !CONTROL.contains(&name) && !CONTROL.contains(&first))
        .then(|| name.into())
}

fn skip_group(text: &str, open: char, close: char) -> &str {
    text.strip_prefix(open)
        .and_then(|rest| rest.split_once(close))
        .map_or(text, |(_, rest)| rest.trim_start())
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_name(*c)).collect()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The name of the definition around a line when its body is yet to be written.
fn stub_at(text: &Rope, family: &Family, at: usize) -> Option<String> {
    let (start, name) = definition_around(text, family, at)?;
    is_unwritten(text, family, start).then_some(name)
}

/// The definitions of a text that are yet to be written: line (from 0) and name.
pub(super) fn all(text: &Rope, language: &str) -> Vec<(u32, String)> {
    let Some(family) = family(language) else { return Vec::new() };
    let defined = |at| defined(&line(text, at), family).map(|name| (at, name));
    let definitions = (0..text.len_lines().min(MOST_LINES)).filter_map(defined);
    let stubs = definitions.filter(|(at, _)| is_unwritten(text, family, *at));
    stubs.map(|(at, name)| (at as u32, name)).take(MOST_STUBS).collect()
}

/// Whether the body of the definition on a line is yet to be written.
fn is_unwritten(text: &Rope, family: &Family, start: usize) -> bool {
    let header = line(text, start);
    let body_indent = indent(&header);
    let rest_of_header = header.rsplit_once(['{', ':']).map_or("", |(_, rest)| rest.trim());
    if header.ends_with("{}") || header.ends_with("{ }") || is_stub(rest_of_header.trim_end_matches('}')) {
        return true;
    }
    let mut statements = 0;
    let mut closed = false;
    let mut in_docstring = false;
    for at in start + 1..(start + 40).min(text.len_lines()) {
        let line = line(text, at);
        let words = line.trim();
        let quotes = words.matches("\"\"\"").count() + words.matches("'''").count();
        if quotes > 0 || in_docstring {
            in_docstring ^= quotes % 2 == 1;
            continue;
        }
        if words.is_empty() || comment(words, family).is_some() || words == "{" {
            continue;
        }
        if indent(&line) <= body_indent {
            closed = words.starts_with('}') || words == "end";
            // The rest of a header over several lines, e.g. `) -> int:`.
            if words.starts_with(')') {
                continue;
            }
            break;
        }
        statements += 1;
        if !is_stub(words) {
            return false;
        }
    }
    // Nothing between the braces is a stub; nothing after a header without a body is not.
    statements == 1 || (statements == 0 && closed)
}

fn is_stub(statement: &str) -> bool {
    let statement = statement.trim().trim_end_matches(';');
    STUBS.iter().any(|stub| match *stub {
        "pass" | "..." => statement == *stub,
        _ => statement.get(..stub.len()).is_some_and(|start| start.eq_ignore_ascii_case(stub)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of `$0` in `text` is the place.
    fn at(text: &str) -> (Rope, usize) {
        let place = text.find("$0").expect("a place");
        (Rope::from_str(&text.replace("$0", "")), text[..place].matches('\n').count())
    }

    fn stub(language: &str, text: &str, expect: Option<&str>) {
        let (rope, line) = at(text);
        let seen = match spot(&rope, language, line, line) {
            Spot::Stub(name) => Some(name),
            _ => None,
        };
        assert_eq!(seen.as_deref(), expect, "{text}");
    }

    #[test]
    fn stubs() {
        stub("python", "def gcd(a, b):$0\n    pass\n", Some("gcd"));
        stub(
            "python",
            "def gcd(a, b):\n    \"\"\"Doc.\n\n    More.\n    \"\"\"\n    ...$0\n\nx = 1\n",
            Some("gcd"),
        );
        stub(
            "python",
            "class A:\n    async def run(self):\n        $0raise NotImplementedError()\n",
            Some("run"),
        );
        stub("python", "def f(): ...$0\n", Some("f"));
        stub("python", "def f():\n    return$0 1\n", None);
        stub("python", "def f():\n    pass\n    return$0 1\n", None);
        stub("python", "def f(\n    a,\n) -> int:\n    return$0 a\n", None);
        stub("javascript", "export function add(a, b) {$0}\n", Some("add"));
        stub(
            "javascript",
            "function add(a, b) {\n  $0throw new Error(\"not implemented\");\n}\n",
            Some("add"),
        );
        stub(
            "typescript",
            "const add = (a: number) => {\n  $0throw new Error('Not implemented')\n}\n",
            Some("add"),
        );
        stub("typescript", "class A {\n  run(): void {\n$0\n  }\n}\n", Some("run"));
        stub("typescript", "if (a) {$0\n}\n", None);
        stub("rust", "fn f() -> u8 {\n    todo!()$0\n}\n", Some("f"));
        stub("rust", "pub(crate) fn f() { unimplemented!() }$0\n", Some("f"));
        stub("go", "func (s *S) Add(a int) int {\n\tpanic(\"not implemented\")$0\n}\n", Some("Add"));
        stub("java", "class A {\n    int add(int a) {$0\n    }\n}\n", Some("add"));
        stub("bash", "greet() {$0\n}\n", Some("greet"));
        stub("plaintext", "def f(): pass$0", None);
    }

    #[test]
    fn all_stubs_of_a_text() {
        let text = Rope::from_str(
            "class A:\n    def f(self):\n        pass\n\n    def g(self):\n        return 1\n\ndef h(): ...\n",
        );
        assert_eq!(all(&text, "python"), [(1, "f".to_owned()), (7, "h".to_owned())]);
        assert!(all(&text, "plaintext").is_empty());
        assert_eq!(all(&Rope::from_str(&"def f(): ...\n".repeat(10_000)), "python").len(), MOST_STUBS);
    }

    fn asked(language: &str, text: &str, expect: Option<&str>) {
        let (rope, line) = at(text);
        let seen = match spot(&rope, language, line, line) {
            Spot::Comment(words) => Some(words),
            _ => None,
        };
        assert_eq!(seen.as_deref(), expect, "{text}");
    }

    #[test]
    fn comments() {
        asked("python", "# TODO: sort it$0\n", Some("TODO: sort it"));
        asked("python", "x = 1  # TODO$0\n", None);
        asked("rust", "/// Sorts.$0\n", Some("Sorts."));
        asked("javascript", "  /* sort it */$0\n", Some("sort it"));
        asked("python", "$0\n", None);
        asked("python", "#$0\n", None);
    }

    fn around(language: &str, text: &str, expect: Option<&str>) {
        let (rope, line) = at(text);
        assert_eq!(enclosing(&rope, language, line).as_deref(), expect, "{text}");
    }

    #[test]
    fn definitions_around_a_line() {
        around("python", "class A:\n    def f(self):\n        if x:\n            return$0 1\n", Some("f"));
        around("python", "class A:\n    def f(self):\n        pass\n    x$0 = 1\n", Some("A"));
        around("python", "def f():\n    pass\n\nx$0 = 1\n", None);
        around("go", "func (s *S) Add(a int) int {\n\treturn 1\n}$0\n", Some("Add"));
        around("go", "type T struct {\n\ta$0 int\n}\n", Some("T"));
        around(
            "java",
            "public class A {\n    @Override\n    public int add(int a, int b) {\n        return$0 a;\n    }\n}\n",
            Some("add"),
        );
        around("rust", "impl<T> Stack<T> {\n    $0\n    x\n}\n", None);
        around("javascript", "const f = async () => {\n  await g()$0\n}\n", Some("f"));
        around("javascript", "describe('x', () => {\n  g()$0\n})\n", None);
    }

    #[test]
    fn hostile_text_is_no_danger() {
        for text in
            ["(".repeat(100_000), "\u{1f600}".repeat(10_000), "def ".repeat(50_000), "\n".repeat(10_000)]
        {
            let rope = Rope::from_str(&text);
            for language in ["python", "typescript", "go", "rust"] {
                spot(&rope, language, 0, usize::MAX);
                enclosing(&rope, language, usize::MAX);
            }
        }
    }
}
