//! Writes the lines of located blocks into a file.

use super::place::{File, Line, Place};
use crate::text::line_ops;
use similar::DiffOp;
use std::borrow::Cow;
use std::ops::Range;

/// What shall stand at a place instead of what was searched for.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) place: Place,
    pub(super) search: Vec<Line<'a>>,
    pub(super) replace: Vec<Line<'a>>,
}

/// Why changes cannot be made; the numbers are their indices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// A line of the change is indented too little to be shifted as the others are.
    Shallow(usize),
    /// One change touches lines that the other names.
    Overlap(usize, usize),
}

/// A line to be written: its content and its ending.
type Written<'a> = (Cow<'a, str>, &'a str);

/// The part of a change that alters something: lines of the file, and what stands there instead.
struct Piece<'a> {
    lines: Range<usize>,
    new: Vec<Written<'a>>,
}

impl<'a> File<'a> {
    /// The file with every change made. Lines that are in both SEARCH and REPLACE keep their bytes, and several
    /// changes may name them; the others get the file's line endings. The byte order mark stays, and so does
    /// whether the last line ends.
    pub(super) fn rewrite(&self, changes: &[Change<'_>]) -> Result<String, Clash> {
        let pieces = |(at, change)| self.pieces(change).ok_or(Clash::Shallow(at));
        let by_change = changes.iter().enumerate().map(pieces).collect::<Result<Vec<_>, _>>()?;
        if let Some((one, other)) = clash(changes, &by_change) {
            return Err(Clash::Overlap(one, other));
        }
        let mut pieces: Vec<_> = by_change.into_iter().flatten().collect();
        pieces.sort_by_key(|piece| (piece.lines.start, piece.lines.end));
        let mut written = Vec::new();
        let mut next = 0;
        for piece in pieces {
            written.extend(self.kept(next..piece.lines.start));
            written.extend(piece.new);
            next = piece.lines.end;
        }
        written.extend(self.kept(next..self.lines.len()));
        Ok(self.join(&written))
    }

    /// What a change alters. Blank lines of the file that the block left out are not touched.
    fn pieces(&self, change: &Change<'_>) -> Option<Vec<Piece<'a>>> {
        let Change { place, search, replace } = change;
        let old: Vec<_> = search.iter().map(|line| line.text).collect();
        let new: Vec<_> = replace.iter().map(|line| line.text).collect();
        let mut pieces = Vec::new();
        let mut next = place.lines.start;
        for op in line_ops(&old, &new) {
            let named: Vec<_> = op.old_range().filter_map(|index| place.names[index]).collect();
            next = named.last().map_or(next, |line| line + 1);
            if matches!(op, DiffOp::Equal { .. }) {
                continue;
            }
            pieces.extend(named.iter().map(|&line| Piece { lines: line..line + 1, new: Vec::new() }));
            let mut written = Vec::new();
            for (nth, index) in op.new_range().enumerate() {
                let near = named.get(nth).copied().unwrap_or(next.saturating_sub(1));
                written.push((place.shift.apply(new[index])?.into(), self.end_near(near)));
            }
            if !written.is_empty() {
                pieces.push(Piece { lines: next..next, new: written });
            }
        }
        Some(pieces)
    }

    fn kept(&self, lines: Range<usize>) -> impl Iterator<Item = Written<'a>> {
        self.lines[lines].iter().map(|line| (line.text.into(), line.end))
    }

    /// How a line written at line `at` ends.
    fn end_near(&self, at: usize) -> &'a str {
        let ends = self.lines.get(at).map(|line| line.end);
        ends.filter(|end| !end.is_empty()).unwrap_or(self.eol.as_str())
    }

    fn join(&self, lines: &[Written<'_>]) -> String {
        let ended = self.lines.last().is_none_or(|line| !line.end.is_empty());
        let mut text = String::from(if self.bom { "\u{feff}" } else { "" });
        for (at, (content, end)) in lines.iter().enumerate() {
            text.push_str(content);
            if at + 1 < lines.len() || ended {
                text.push_str(if end.is_empty() { self.eol.as_str() } else { end });
            }
        }
        text
    }
}

/// Two changes of which one alters what the other names, or that both insert at one place.
fn clash(changes: &[Change<'_>], pieces: &[Vec<Piece<'_>>]) -> Option<(usize, usize)> {
    let mut order: Vec<_> = (0..changes.len()).collect();
    order.sort_by_key(|&at| changes[at].place.lines.start);
    for (nth, &one) in order.iter().enumerate() {
        let end = changes[one].place.lines.end;
        for &other in order[nth + 1..].iter().take_while(|&&other| changes[other].place.lines.start <= end) {
            let same_place = pieces[one].iter().any(|piece| {
                piece.lines.is_empty() && pieces[other].iter().any(|also| also.lines == piece.lines)
            });
            if same_place
                || alters(&pieces[one], &changes[other].place.lines)
                || alters(&pieces[other], &changes[one].place.lines)
            {
                return Some((one, other));
            }
        }
    }
    None
}

/// Whether a piece stands among `lines`; an insertion at either end of them does not.
fn alters(pieces: &[Piece<'_>], lines: &Range<usize>) -> bool {
    pieces.iter().any(|piece| piece.lines.start < lines.end && piece.lines.end > lines.start)
}
