//! A source file as its grammar reads it: syntax errors, and the names that it defines and refers to.
//!
//! Grammars and their tag queries are those of tree-sitter; nothing is loaded before a file of its language is
//! read. A text may come from a model, so reading it is bounded.

pub mod colour;
#[cfg(test)]
mod tests;

use crate::text::lines;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::OnceLock;
use tree_sitter::{Node, Parser, Point, Query, QueryCursor, QueryCursorOptions, StreamingIterator};
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
    /// What is a definition and what a reference, in the grammar's own words.
    tags: &'static [&'static str],
    query: OnceLock<Option<Query>>,
}

/// Each grammar makes the program larger, by the bytes in its row.
static LANGUAGES: [Language; 5] = [
    // 470,000
    Language::row("python", &["py", "pyi"], tree_sitter_python::LANGUAGE, &[tree_sitter_python::TAGS_QUERY]),
    // 420,000
    Language::row(
        "javascript",
        &["js", "mjs", "cjs", "jsx"],
        tree_sitter_javascript::LANGUAGE,
        &[tree_sitter_javascript::TAGS_QUERY],
    ),
    // 1,450,000; its query has only what JavaScript lacks. TSX is another grammar, as large again.
    Language::row(
        "typescript",
        &["ts", "mts", "cts"],
        tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        &[tree_sitter_typescript::TAGS_QUERY, tree_sitter_javascript::TAGS_QUERY],
    ),
    // 230,000
    Language::row("go", &["go"], tree_sitter_go::LANGUAGE, &[tree_sitter_go::TAGS_QUERY]),
    // 430,000
    Language::row("java", &["java"], tree_sitter_java::LANGUAGE, &[tree_sitter_java::TAGS_QUERY]),
];

/// A name in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag<'t> {
    pub name: &'t str,
    pub role: Role,
    /// What it names, in the grammar's words: `function`, `method`, `class`, `call`, …
    pub kind: &'static str,
    /// The lines of the whole definition, or of the reference; counted from 1, both included.
    pub first: usize,
    pub last: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Definition,
    Reference,
}

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
        tags: &'static [&'static str],
    ) -> Self {
        Self { name, extensions, grammar, tags, query: OnceLock::new() }
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
        let mut bounded = |_: &tree_sitter::ParseState| bound(&mut steps);
        let options = tree_sitter::ParseOptions::new().progress_callback(&mut bounded);
        let mut chunk = |at: usize, _: Point| &text.as_bytes()[at.min(text.len())..];
        let parsed = parser.parse_with_options(&mut chunk, None, Some(options))?;
        Some(Tree { text, language: self, parsed })
    }

    fn query(&self) -> Option<&Query> {
        let query = || Query::new(&self.grammar.into(), &self.tags.concat()).ok();
        self.query.get_or_init(query).as_ref()
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

    /// Definitions and references in the order of the text.
    pub fn tags(&self) -> Vec<Tag<'t>> {
        let Some(query) = self.language.query() else { return Vec::new() };
        let names = query.capture_names();
        let mut cursor = QueryCursor::new();
        let mut steps = 0;
        let mut bounded = |_: &tree_sitter::QueryCursorState| bound(&mut steps);
        let options = QueryCursorOptions::new().progress_callback(&mut bounded);
        let (root, bytes) = (self.parsed.root_node(), self.text.as_bytes());
        let mut matches = cursor.matches_with_options(query, root, bytes, options);
        let mut found: Vec<(Node<'_>, Tag<'t>)> = Vec::new();
        while let Some(found_here) = matches.next() {
            let (mut name, mut tagged) = (None, None);
            for capture in found_here.captures {
                match names[capture.index as usize].split_once('.') {
                    Some(("definition", kind)) => tagged = Some((capture.node, Role::Definition, kind)),
                    Some(("reference", kind)) => tagged = Some((capture.node, Role::Reference, kind)),
                    None if names[capture.index as usize] == "name" => name = Some(capture.node),
                    _ => {}
                }
            }
            if let (Some(name), Some((node, role, kind))) = (name, tagged) {
                found.push((name, self.tag(name, node, role, kind)));
            }
        }
        found.sort_by_key(|(name, _)| name.start_byte());
        found.dedup_by_key(|(name, tag)| (name.start_byte(), tag.role == Role::Definition));
        found.into_iter().map(|(_, tag)| tag).collect()
    }

    fn tag(&self, name: Node<'_>, node: Node<'_>, role: Role, kind: &'static str) -> Tag<'t> {
        let line = |point: Point| point.row + 1;
        let (first, last) = (line(node.start_position()), line(node.end_position()));
        Tag { name: &self.text[name.byte_range()], role, kind, first, last }
    }

    /// The innermost definition around a line, counted from 1.
    pub fn definition_at(&self, line: usize) -> Option<Tag<'t>> {
        let around = self
            .tags()
            .into_iter()
            .filter(|tag| tag.role == Role::Definition && (tag.first..=tag.last).contains(&line));
        around.min_by_key(|tag| tag.last - tag.first)
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

/// Counts one step, and ends what has taken too many.
fn bound(steps: &mut usize) -> ControlFlow<()> {
    *steps += 1;
    if *steps < MOST_STEPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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
