//! Reads edit blocks out of a model's answer, line by line and in linear time.
//!
//! Known forms: SEARCH/REPLACE blocks with or without a fence, whole files in a fence under their path, `***`
//! lines for deletions and moves, `*** Begin Patch` (V4A) and unified diffs in a fence. The path may stand
//! before the fence, in its info string or on its first line. A fence without a path is an illustration.

mod diff;
mod name;
mod progress;

use super::{Refusal, check_path};
pub use progress::Writing;

use diff::header;
use name::{bare, path_in, path_in_info, path_said};
use std::ops::Range;

/// Most blocks in one answer.
const MOST: usize = 500;
/// Most ways to read one block that holds several divider lines.
const MOST_DIVIDERS: usize = 8;
const DIVIDER: &str = "=======\n";
const NO_MARKER: &str =
    "this is no marker; a block is written with `<<<<<<< SEARCH`, `=======` and `>>>>>>> REPLACE`";

/// One edit as the model wrote it. Paths have passed [`check_path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Replace(Replace),
    Whole { path: String, text: String },
    Delete { path: String },
    Move { from: String, to: String },
}

impl Block {
    /// The file it is about; of a move, the old name.
    pub fn path(&self) -> &str {
        match self {
            Self::Replace(Replace { path, .. }) | Self::Whole { path, .. } | Self::Delete { path } => path,
            Self::Move { from, .. } => from,
        }
    }

    /// The same block with `change` made to its texts, not to its paths.
    pub fn with_texts<E>(self, change: &dyn Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Replace(hunk) => Self::Replace(hunk.with_texts(change)?),
            Self::Whole { path, text } => Self::Whole { path, text: change(&text)? },
            other => other,
        })
    }

    /// Every path the block names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let target = match self {
            Self::Move { to, .. } => Some(to.as_str()),
            _ => None,
        };
        [self.path()].into_iter().chain(target)
    }
}

/// A SEARCH/REPLACE block. Its text may itself hold lines that look like the divider, so it is kept whole,
/// with every place where it may be divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    pub path: String,
    /// Where the block begins in the answer, from 1.
    pub line: usize,
    /// A line after which SEARCH stands, where the form has such (`@@` in V4A).
    pub anchor: Option<String>,
    body: String,
    /// The divider lines in `body`; at least one.
    dividers: Vec<Range<usize>>,
}

impl Replace {
    pub fn new(path: &str, line: usize, search: &str, replace: &str) -> Self {
        let divider = search.len()..search.len() + DIVIDER.len();
        let body = [search, DIVIDER, replace].concat();
        Self { path: path.to_owned(), line, anchor: None, body, dividers: vec![divider] }
    }

    fn with_texts<E>(self, change: &dyn Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let (mut body, mut dividers, mut from) = (String::new(), Vec::new(), 0);
        for divider in self.dividers {
            body.push_str(&change(&self.body[from..divider.start])?);
            dividers.push(body.len()..body.len() + divider.len());
            body.push_str(&self.body[divider.clone()]);
            from = divider.end;
        }
        body.push_str(&change(&self.body[from..])?);
        let anchor = self.anchor.as_deref().map(change).transpose()?;
        Ok(Self { anchor, body, dividers, ..self })
    }

    /// Every way to read the block as SEARCH and REPLACE.
    pub fn splits(&self) -> impl Iterator<Item = (&str, &str)> {
        self.dividers.iter().map(|divider| (&self.body[..divider.start], &self.body[divider.end..]))
    }

    /// The text of a new file, when SEARCH is empty.
    pub fn created(&self) -> Option<&str> {
        self.splits().find(|(search, _)| search.trim().is_empty()).map(|(_, replace)| replace)
    }
}

/// The edit blocks of a whole answer, in its order; none when it holds only prose and illustrations.
pub fn parse(reply: &str) -> Result<Vec<Block>, Refusal> {
    let mut parser = Parser { lines: reply.split_inclusive('\n').collect(), ..Parser::default() };
    parser.skip_thoughts();
    while let Some(line) = parser.next() {
        parser.outside(line)?;
    }
    Ok(parser.blocks)
}

#[derive(Default)]
struct Parser<'r> {
    lines: Vec<&'r str>,
    /// How many lines are read, which is the number of the last one read.
    at: usize,
    blocks: Vec<Block>,
    /// The path on the nearest line above that is not blank.
    named: Option<String>,
    /// The path of the block before.
    last: Option<String>,
    /// A whole Markdown file ended at a bare fence, so another bare fence may belong to it as well.
    markdown: bool,
}

/// The opening line of a fenced block.
struct Fence<'r> {
    sign: char,
    count: usize,
    info: &'r str,
    line: usize,
}

/// A line of the answer with its number.
type Numbered<'r> = (usize, &'r str);

impl<'r> Parser<'r> {
    fn next(&mut self) -> Option<&'r str> {
        let line = self.lines.get(self.at).copied()?;
        self.at += 1;
        Some(line)
    }

    /// Passes over what a model thinks before it answers, where its server does not take that out.
    fn skip_thoughts(&mut self) {
        let thinks = self.lines.iter().find(|line| !line.trim().is_empty());
        if thinks.is_some_and(|line| line.trim_start().starts_with("<think>"))
            && let Some((at, rest)) = self
                .lines
                .iter()
                .enumerate()
                .find_map(|(at, line)| Some((at, line.split_once("</think>")?.1)))
        {
            self.lines[at] = rest;
            self.at = at;
        }
    }

    fn push(&mut self, block: Block) -> Result<(), Refusal> {
        if self.blocks.len() == MOST {
            return Err(Refusal::TooMany { most: MOST });
        }
        self.last = Some(block.path().to_owned());
        self.blocks.push(block);
        Ok(())
    }

    fn outside(&mut self, line: &'r str) -> Result<(), Refusal> {
        if line.trim().is_empty() || self.edit(line)? || self.directive(line)? {
            return Ok(());
        }
        if let Some(fence) = Fence::open(line, self.at) {
            return self.fence(&fence);
        }
        if is_conflict(line) {
            return malformed(self.at, NO_MARKER);
        }
        let path = path_in(line);
        // Enough for a block, which must fit; not for a whole file.
        self.last = path.is_none().then(|| path_said(line)).flatten().or(self.last.take());
        self.name(path);
        Ok(())
    }

    /// Takes the path, if any, that the line above names.
    fn name(&mut self, path: Option<String>) {
        self.named.clone_from(&path);
        self.last = path.or(self.last.take());
    }

    /// Reads a SEARCH/REPLACE block if `line` opens one.
    fn edit(&mut self, line: &str) -> Result<bool, Refusal> {
        if marker(line, '>', "REPLACE").is_some() {
            return malformed(self.at, "a REPLACE marker without a SEARCH marker before it");
        }
        let flush = line.trim_start();
        if flush != line && marker(flush, '<', "SEARCH").or(marker(flush, '>', "REPLACE")).is_some() {
            return malformed(self.at, "an indented marker; markers begin at the start of the line");
        }
        let Some((count, name)) = marker(line, '<', "SEARCH") else { return Ok(false) };
        let opened = self.at;
        let unended = Refusal::Unterminated { line: opened, what: "edit block", end: ">>>>>>> REPLACE" };
        let (mut body, mut dividers) = (String::new(), Vec::new());
        loop {
            let Some(line) = self.next() else { return Err(unended) };
            if marker(line, '<', "SEARCH").is_some() {
                return Err(unended);
            }
            if marker(line, '>', "REPLACE").is_some() {
                break;
            }
            if let Some((count, "")) = marker(line, '=', "") {
                dividers.push((count, body.len()..body.len() + line.len()));
            }
            body.push_str(line);
        }
        // Dividers as long as the marker come first: shorter and longer ones are more likely text.
        if dividers.iter().any(|(length, _)| *length == count) {
            dividers.retain(|(length, _)| *length == count);
        }
        let path = path_in(name).or(self.named.take()).or(self.last.clone());
        let path = check_path(&path.ok_or(Refusal::NoPath { line: opened })?)?;
        match dividers.len() {
            0 => return malformed(opened, "the edit block has no `=======` line between SEARCH and REPLACE"),
            1..=MOST_DIVIDERS => {}
            _ => return Err(Refusal::Dividers { path, line: opened }),
        }
        let dividers = dividers.into_iter().map(|(_, divider)| divider).collect();
        self.push(Block::Replace(Replace { path, line: opened, anchor: None, body, dividers }))?;
        Ok(true)
    }

    /// Reads a `***` line and what belongs to it.
    fn directive(&mut self, line: &str) -> Result<bool, Refusal> {
        let line = line.trim_end();
        if let Some(path) = line.strip_prefix("*** Delete File: ") {
            self.push(Block::Delete { path: check_path(bare(path))? })?;
        } else if let Some(paths) = line.strip_prefix("*** Move File: ") {
            let Some((from, to)) = paths.split_once(" -> ") else {
                return malformed(self.at, "a move is written `*** Move File: OLD -> NEW`");
            };
            self.push(Block::Move { from: check_path(bare(from))?, to: check_path(bare(to))? })?;
        } else if line == "*** Begin Patch" {
            self.v4a()?;
        } else if line.starts_with("*** Update File: ") || line.starts_with("*** Add File: ") {
            return malformed(self.at, "the patch has no `*** Begin Patch` line before it");
        } else {
            return Ok(false);
        }
        self.named = None;
        Ok(true)
    }

    /// Reads a fenced block: edit blocks, a diff, a whole file, or an illustration to be passed over.
    fn fence(&mut self, fence: &Fence<'r>) -> Result<(), Refusal> {
        let path = path_in_info(fence.info).or(self.named.take());
        if self.markdown && path.is_none() && fence.info.is_empty() {
            let why =
                "the Markdown file before it holds fences of its own; put it in a fence of four backticks";
            return malformed(self.at, why);
        }
        self.named.clone_from(&path);
        let (mut held, mut edits, mut depth): (Vec<Numbered<'r>>, bool, usize) = (Vec::new(), false, 0);
        // `text`: the fence holds a file with lines that look like markers; whether they may is not known here.
        let (mut blank, mut text) = (true, false);
        loop {
            let Some(line) = self.next() else {
                let unended = Refusal::Unterminated { line: fence.line, what: "fenced file", end: "```" };
                return if path.is_some() && !edits { Err(unended) } else { Ok(()) };
            };
            match Fence::open(line, self.at).filter(|inner| fence.holds(inner)) {
                Some(inner) if inner.info.is_empty() && depth == 0 => break,
                Some(inner) if inner.info.is_empty() => depth -= 1,
                Some(_) if edits => {
                    // The fence before it was not closed.
                    self.at -= 1;
                    break;
                }
                Some(_) if path.is_some() => depth += 1,
                _ if !text && marker(line.trim_start(), '<', "SEARCH").is_some() => {
                    match self.name_from(&held, edits) {
                        Err(_) if path.is_some() && !edits => text = true,
                        named => named?,
                    }
                }
                _ => {}
            }
            if !text && (self.edit(line)? || blank && self.directive(line)?) {
                edits = true;
                held.clear();
            } else {
                blank &= line.trim().is_empty();
                held.push((self.at, line));
            }
        }
        if !edits {
            self.named = None;
            return self.fenced(fence, path, &held);
        }
        self.name(
            held.iter().rev().find(|(_, line)| !line.trim().is_empty()).and_then(|(_, line)| path_in(line)),
        );
        Ok(())
    }

    /// Takes the path from the line before a SEARCH marker inside a fence.
    fn name_from(&mut self, held: &[Numbered<'_>], edits: bool) -> Result<(), Refusal> {
        let mut full = held.iter().filter(|(_, line)| !line.trim().is_empty());
        let Some(&(at, line)) = full.next_back() else { return Ok(()) };
        let path = path_in(line);
        if !edits && (path.is_none() || full.next().is_some()) {
            return malformed(
                at,
                "text before the SEARCH marker in the same fence; only a path may stand there",
            );
        }
        if path.is_some() {
            self.name(path);
        }
        Ok(())
    }

    /// What a fence without markers means.
    fn fenced(
        &mut self,
        fence: &Fence<'_>,
        path: Option<String>,
        held: &[Numbered<'_>],
    ) -> Result<(), Refusal> {
        let language = fence.info.split_whitespace().next().unwrap_or_default().to_lowercase();
        let is_patch_file = path.as_deref().is_some_and(|path| {
            [".diff", ".patch"].iter().any(|ending| path.to_lowercase().ends_with(ending))
        });
        let headed =
            held.iter().position(|(_, line)| !line.trim().is_empty()).and_then(|at| header(&held[at..]));
        if (matches!(language.as_str(), "diff" | "patch") || headed.is_some()) && !is_patch_file {
            return self.unified(path.as_deref(), held);
        }
        // What a program printed about a file is not the file.
        let printed = matches!(language.as_str(), "console" | "output" | "log" | "shell-session" | "pycon");
        let Some(path) = path.filter(|_| !printed) else { return Ok(()) };
        let text: String = held.iter().map(|(_, line)| *line).collect();
        if language == "json" && is_findings(&text) {
            return Ok(());
        }
        let path = check_path(&path)?;
        self.markdown |=
            [".md", ".markdown", ".mdx"].iter().any(|ending| path.to_lowercase().ends_with(ending));
        self.push(Block::Whole { path, text })
    }
}

impl<'r> Fence<'r> {
    /// Reads ```` ```info ```` or `~~~info` with three signs or more, indented by up to three spaces.
    fn open(line: &'r str, at: usize) -> Option<Self> {
        let text = line.trim_end();
        let fence = text.trim_start_matches(' ');
        let sign = fence.chars().next().filter(|sign| "`~".contains(*sign))?;
        let info = fence.trim_start_matches(sign);
        let count = fence.len() - info.len();
        let valid = count >= 3 && text.len() - fence.len() <= 3 && !info.contains('`');
        valid.then(|| Self { sign, count, info: info.trim(), line: at })
    }

    /// Whether `inner` could close this fence or open another of its kind inside.
    fn holds(&self, inner: &Fence<'_>) -> bool {
        inner.sign == self.sign && inner.count >= self.count
    }
}

fn malformed<T>(line: usize, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Malformed { line, why })
}

/// A line of 5 to 9 times `sign`, then `word`; gives how many signs and what follows.
fn marker<'l>(line: &'l str, sign: char, word: &str) -> Option<(usize, &'l str)> {
    let rest = line.trim_start_matches(sign);
    let count = line.len() - rest.len();
    let after = rest.trim_start_matches(' ').strip_prefix(word)?;
    // Some models close what they take for a tag.
    let after = after.strip_prefix('>').filter(|_| sign == '<').unwrap_or(after);
    let apart = after.is_empty() || after.starts_with(char::is_whitespace);
    ((5..=9).contains(&count) && apart).then_some((count, after.trim()))
}

/// Whether a line looks like one side of a conflict or of a block with other words than ours.
fn is_conflict(line: &str) -> bool {
    line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>")
}

/// Whether a line of a file looks like a marker of either kind.
pub(super) fn is_marker(line: &str) -> bool {
    let flush = line.trim_start();
    is_conflict(line) || marker(flush, '<', "SEARCH").or(marker(flush, '>', "REPLACE")).is_some()
}

/// Whether a text is the Debugger's list of findings (CONTRACT §6).
fn is_findings(text: &str) -> bool {
    let value = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    ["issues", "improvements", "security", "best_practices"].iter().all(|key| value.get(key).is_some())
}
