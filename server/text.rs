//! Text as editors see it: spans, edits, minimal diffs, positions and line endings.
//!
//! Lines end at `\n`, `\r\n` or a lone `\r` and nowhere else, as LSP 3.17 says ("Text Documents"): U+2028,
//! U+0085, VT and FF are ordinary characters.

mod diff;
mod position;
mod rebase;
#[cfg(test)]
mod tests;

pub(crate) use diff::line_ops;
pub use diff::{diff, unified};
pub use position::{Encoding, Lines, Position, rope_change, rope_offset};
pub use rebase::{Stale, rebase};

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// A half-open range of byte offsets into a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// Replaces the bytes of `span` by `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub text: String,
}

/// Edits of one text: sorted, disjoint, inside the text, on character boundaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

/// Why a list of edits is not one that [`Edits`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditsError {
    #[error("bytes {}..{} are outside the text or split a character", .0.start, .0.end)]
    Outside(Span),
    #[error("bytes {}..{} overlap or precede the edit before them", .0.start, .0.end)]
    Order(Span),
}

impl Edits {
    /// Checks `edits` against the `text` they are for. Two edits may touch, but not insert at one offset.
    pub fn new(edits: Vec<Edit>, text: &str) -> Result<Self, EditsError> {
        let mut last: Option<Span> = None;
        for &Edit { span, .. } in &edits {
            if text.get(span.start..span.end).is_none() {
                return Err(EditsError::Outside(span));
            }
            if last.is_some_and(|last| span.start < last.end || span == last) {
                return Err(EditsError::Order(span));
            }
            last = Some(span);
        }
        Ok(Self(edits))
    }

    /// The text after the edits.
    ///
    /// # Panics
    /// When `text` is not the one the edits were made for and an edit falls outside it.
    pub fn apply(&self, text: &str) -> String {
        let mut after = String::with_capacity(text.len());
        let mut kept = 0;
        for Edit { span, text: inserted } in &self.0 {
            after.push_str(&text[kept..span.start]);
            after.push_str(inserted);
            kept = span.end;
        }
        after.push_str(&text[kept..]);
        after
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Edits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// How lines end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eol {
    #[default]
    Lf,
    CrLf,
    Cr,
}

impl Eol {
    /// The most frequent line ending; LF where there is none, and before the others on a tie.
    pub fn of(text: &str) -> Self {
        let count = |eol: Self| lines(text).filter(|line| split_end(line).1 == eol.as_str()).count();
        let (lf, crlf, cr) = (count(Self::Lf), count(Self::CrLf), count(Self::Cr));
        if lf >= crlf && lf >= cr {
            Self::Lf
        } else if crlf >= cr {
            Self::CrLf
        } else {
            Self::Cr
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

/// The lines of a text with their endings. No empty line follows a final line ending.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = line_end(rest)?;
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

/// A line from [`lines`] as its content and its ending, which the last line may lack.
pub fn split_end(line: &str) -> (&str, &str) {
    let content = line.strip_suffix('\n').unwrap_or(line);
    let content = content.strip_suffix('\r').unwrap_or(content);
    line.split_at(content.len())
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The whole lines that a span of `text` touches, with the line before and the one after.
pub fn around(text: &str, span: Span) -> &str {
    const BREAK: char = '\n';
    let start = text[..span.start].rmatch_indices(BREAK).nth(1).map_or(0, |(at, _)| at + 1);
    let end = text[span.end..].match_indices(BREAK).nth(1).map_or(text.len(), |(at, _)| span.end + at + 1);
    &text[start..end]
}

/// Where the first line of `text` ends, its ending included; `None` for an empty text.
fn line_end(text: &str) -> Option<usize> {
    match text.find(['\n', '\r']) {
        Some(at) if text[at..].starts_with("\r\n") => Some(at + 2),
        Some(at) => Some(at + 1),
        None if text.is_empty() => None,
        None => Some(text.len()),
    }
}

/// The character boundary at or before `offset`, the end of the text for an offset past it.
fn boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
