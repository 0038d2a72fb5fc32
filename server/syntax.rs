//! A source file as its grammar reads it: syntax errors, and the names that it defines and refers to.
//!
//! Grammars are those of tree-sitter; nothing is loaded before a file of its language is read. A text may come from a
//! model, so reading it is bounded.

pub mod colour;
mod tags;
#[cfg(test)]
mod tests;

pub use tags::{Role, Tag};

use crate::text::lines;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use tags::Row;
use tree_sitter::{Parser, Point};
use tree_sitter_language::LanguageFn;

/// Longer texts are not read.
const MOST_BYTES: usize = 256 << 10;
/// Reading ends after this many hundreds of the parser's steps. Good code takes some 35 per KiB; a text made of
/// errors may take 0.2 ms for each.
const MOST_STEPS: usize = 10_000;

/// One row: how a language is recognised and read.
pub struct Language {
    /// As in `languages.toml`.
    pub name: &'static str,
    extensions: &'static [&'static str],
    grammar: LanguageFn,
    /// What is a definition and what a reference.
    tags: &'static [&'static [Row]],
}

/// Each grammar makes the program larger, by the bytes in its row.
static LANGUAGES: [Language; 5] = [
    // 470,000
    Language::row("python", &["py", "pyi"], tree_sitter_python::LANGUAGE, &[tags::PYTHON]),
    // 420,000
    Language::row(
        "javascript",
        &["js", "mjs", "cjs", "jsx"],
        tree_sitter_javascript::LANGUAGE,
        &[tags::JAVASCRIPT],
    ),
    // 1,450,000. TSX is another grammar, as large again.
    Language::row(
        "typescript",
        &["ts", "mts", "cts"],
        tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        &[tags::JAVASCRIPT, tags::TYPESCRIPT],
    ),
    // 230,000
    Language::row("go", &["go"], tree_sitter_go::LANGUAGE, &[tags::GO]),
    // 430,000
    Language::row("java", &["java"], tree_sitter_java::LANGUAGE, &[tags::JAVA]),
];

/// A text that was read.
pub struct Tree<'t> {
    text: &'t str,
    language: &'static Language,
    parsed: tree_sitter::Tree,
}

impl Language {
    const fn row(
        name: &'static str,
        extensions: &'static [&'static str],
        grammar: LanguageFn,
        tags: &'static [&'static [Row]],
    ) -> Self {
        Self { name, extensions, grammar, tags }
    }

    /// The language of a file by its extension, in any case.
    pub fn of(path: &str) -> Option<&'static Self> {
        let extension = path.rsplit('/').next()?.rsplit_once('.')?.1.to_lowercase();
        LANGUAGES.iter().find(|row| row.extensions.contains(&extension.as_str()))
    }

    /// Reads a text. `None` where it is too long or takes too many steps.
    pub fn parse<'t>(&'static self, text: &'t str) -> Option<Tree<'t>> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let mut parser = Parser::new();
        parser.set_language(&self.grammar.into()).ok()?;
        let mut steps = 0;
        let mut bounded = |_: &tree_sitter::ParseState| {
            steps += 1;
            if steps < MOST_STEPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let options = tree_sitter::ParseOptions::new().progress_callback(&mut bounded);
        let mut chunk = |at: usize, _: Point| &text.as_bytes()[at.min(text.len())..];
        let parsed = parser.parse_with_options(&mut chunk, None, Some(options))?;
        Some(Tree { text, language: self, parsed })
    }
}

impl<'t> Tree<'t> {
    /// The lines at which the grammar does not fit or something is missing, in order, one per error; counted
    /// from 1.
    pub fn errors(&self) -> Vec<usize> {
        let mut found = Vec::new();
        let mut cursor = self.parsed.walk();
        let mut line = Counter::new(self.text);
        loop {
            let node = cursor.node();
            let wrong = node.is_error() || node.is_missing();
            if wrong {
                found.push(line.at(node.start_byte()));
            }
            if !wrong && node.has_error() && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return found;
                }
            }
        }
    }

    /// The bodies of the outermost functions and methods, in order.
    fn bodies(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut cursor = self.parsed.walk();
        loop {
            let node = cursor.node();
            let is_function =
                ["function", "method", "constructor"].iter().any(|word| node.kind().contains(word));
            let body = node.child_by_field_name("body").filter(|_| is_function && node.is_named());
            // An arrow function may have a value in place of a body.
            let body = body.filter(|body| body.kind().contains("block") || body.kind().ends_with("body"));
            found.extend(body.map(|body| body.byte_range()));
            if body.is_none() && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return found;
                }
            }
        }
    }
}

/// What stands for an empty body, by language. Where a body must give a value, one that ends the program.
const EMPTY: &[(&str, &str)] = &[
    ("python", "pass"),
    ("javascript", "{}"),
    ("typescript", "{}"),
    ("go", "{ panic(\"emptied\") }"),
    ("java", "{ throw new RuntimeException(\"emptied\"); }"),
];

/// `after` with nothing in the bodies of its functions, but for those that stand in `before`; `None` where there is
/// no such body or no grammar.
pub fn emptied(path: &str, before: &str, after: &str) -> Option<String> {
    let language = Language::of(path)?;
    let (_, empty) = EMPTY.iter().find(|(name, _)| *name == language.name)?;
    let tree = language.parse(after)?;
    let mut out = String::with_capacity(after.len());
    let mut copied = 0;
    for body in tree.bodies().into_iter().filter(|body| !before.contains(&after[body.clone()])) {
        out.push_str(&after[copied..body.start]);
        out.push_str(empty);
        copied = body.end;
    }
    (copied > 0).then(|| out + &after[copied..])
}

/// The line of the first syntax error that an edit of `path` adds; `None` where it adds none or the file's
/// language has no grammar here.
pub fn new_error(path: &str, before: &str, after: &str) -> Option<usize> {
    let language = Language::of(path)?;
    let new = language.parse(after)?.errors();
    if new.is_empty() {
        return None;
    }
    let old = language.parse(before)?.errors();
    if new.len() <= old.len() {
        return None;
    }
    // An error that was there before stands on a line that reads the same.
    let content = |text, line: usize| lines(text).nth(line - 1).unwrap_or_default().trim();
    let mut known = HashMap::<_, usize>::new();
    for line in old {
        *known.entry(content(before, line)).or_default() += 1;
    }
    let mut fresh = new.iter().filter(|&&line| match known.get_mut(content(after, line)) {
        Some(left @ 1..) => {
            *left -= 1;
            false
        }
        _ => true,
    });
    fresh.next().or(new.last()).copied()
}

/// Counts lines up to growing byte offsets.
struct Counter<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl<'t> Counter<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn at(&mut self, offset: usize) -> usize {
        for (at, _) in self.text[self.at..offset].match_indices(['\n', '\r']) {
            let at = self.at + at;
            self.line += usize::from(!self.text[at..].starts_with("\r\n"));
        }
        self.at = offset;
        self.line
    }
}
