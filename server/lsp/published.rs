//! What is published about one document, and how it follows the user's edits.

use super::to_proto::position;
use crate::event::Finding;
use crate::text::{self, Encoding, Lines};
use ropey::Rope;
use std::ops;
use std::path::PathBuf;
use tower_lsp::lsp_types::Range;

/// The findings of one task in one document.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) task: String,
    pub(super) root: PathBuf,
    /// The document's version that the findings are about.
    pub(super) version: Option<i32>,
    pub(super) findings: Vec<Finding>,
}

/// What one change did to the lines of a document.
pub(super) struct Edited {
    /// The lines whose text changed, from 0.
    lines: ops::Range<u32>,
    /// How far the lines below moved.
    moved: i32,
}

impl Edited {
    /// `range`: what was replaced by `text`, `None` the whole document. `moved`: lines that the document gained.
    pub(super) fn new(range: Option<Range>, text: &str, moved: i32) -> Self {
        let Some(Range { start, end }) = range else { return Self { lines: 0..u32::MAX, moved } };
        let (start, end) = (start.min(end), start.max(end));
        // Whole lines inserted or removed leave the line that follows them as it was.
        let whole = start.character == 0 && end.character == 0 && (text.is_empty() || text.ends_with('\n'));
        let last = if whole { end.line } else { end.line.saturating_add(1) };
        Self { lines: start.line..last, moved }
    }

    /// The changes that make one text of another, the last first: each leaves the lines above it where they were.
    pub(super) fn between(before: &Rope, after: &Rope) -> Vec<Self> {
        let (before, after) = (before.to_string(), after.to_string());
        let lines = Lines::of(&before);
        let at = |offset| position(lines.position(&before, offset, Encoding::Utf8));
        let changes = text::diff(&before, &after);
        let edited = changes.iter().rev().map(|change| {
            let range = Range::new(at(change.span.start), at(change.span.end));
            let come = Lines::of(&change.text).position(&change.text, change.text.len(), Encoding::Utf8).line;
            Self::new(Some(range), &change.text, come as i32 - (range.end.line - range.start.line) as i32)
        });
        edited.collect()
    }

    /// Where a line (from 1) is now; `None` when its text changed.
    fn place(&self, line: u32) -> Option<u32> {
        let line = line.max(1);
        match line - 1 {
            at if self.lines.contains(&at) => None,
            at if at >= self.lines.end => Some(line.saturating_add_signed(self.moved)),
            _ => Some(line),
        }
    }
}

impl Published {
    /// Moves what was found below a change and withdraws what was found on a changed line. Whether
    /// something was withdrawn.
    pub(super) fn follow(&mut self, edited: &Edited) -> bool {
        let before = self.findings.len();
        self.findings.retain_mut(|finding| {
            let Some(line) = edited.place(finding.line) else { return false };
            finding.line = line;
            let path = &finding.path;
            finding.related.retain_mut(|frame| match edited.place(frame.line) {
                _ if frame.path != *path => true,
                Some(line) => {
                    frame.line = line;
                    true
                }
                None => false,
            });
            true
        });
        self.findings.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Frame, Severity};
    use tower_lsp::lsp_types::Position;

    fn finding(line: u32) -> Finding {
        let frame = |path: &str| Frame { path: path.into(), line: 9, message: String::new() };
        Finding {
            path: "a.py".into(),
            line,
            column: 1,
            severity: Severity::Error,
            category: "check".into(),
            message: String::new(),
            related: vec![frame("a.py"), frame("b.py")],
        }
    }

    /// The lines of findings on lines 3, 5 and 7 after a change, whether some were withdrawn, and the frames.
    fn after(range: Option<(u32, u32, u32, u32)>, text: &str, moved: i32) -> (Vec<u32>, bool, Vec<u32>) {
        let range = range
            .map(|(from, column, to, last)| Range::new(Position::new(from, column), Position::new(to, last)));
        let mut published = Published {
            task: String::new(),
            root: PathBuf::new(),
            version: None,
            findings: [3, 5, 7].map(finding).into(),
        };
        let withdrawn = published.follow(&Edited::new(range, text, moved));
        let frames = published
            .findings
            .last()
            .map_or_else(Vec::new, |finding| finding.related.iter().map(|frame| frame.line).collect());
        (published.findings.iter().map(|finding| finding.line).collect(), withdrawn, frames)
    }

    #[test]
    fn findings_arrive_where_their_lines_are_now() {
        let check = |after: &str, expect: &[u32]| {
            let before = Rope::from_str("1\n2\n3\n4\n5\n6\n7\n8\n");
            let findings = [3, 5, 7].map(finding).into();
            let mut published =
                Published { task: String::new(), root: PathBuf::new(), version: None, findings };
            for edited in Edited::between(&before, &Rope::from_str(after)) {
                published.follow(&edited);
            }
            let lines: Vec<_> = published.findings.iter().map(|finding| finding.line).collect();
            assert_eq!(lines, expect, "{after:?}");
        };
        check("1\n2\n3\n4\n5\n6\n7\n8\n", &[3, 5, 7]);
        check("0\n1\n2\n3\n4\n5\nx\ny\n6\n7\n8\n", &[4, 6, 10]);
        check("2\n3\n4\n5 changed\n6\n7\n8\n", &[2, 6]);
        check("1\n2\n3\n7\n8", &[3, 4]);
        check("", &[]);
    }

    #[test]
    fn findings_follow_edits() {
        // Typing in a line; in another.
        assert_eq!(after(Some((4, 2, 4, 2)), "x", 0), (vec![3, 7], true, vec![9, 9]));
        assert_eq!(after(Some((3, 2, 3, 2)), "x", 0), (vec![3, 5, 7], false, vec![9, 9]));
        // Whole lines come and go above line 5.
        assert_eq!(after(Some((4, 0, 4, 0)), "x\ny\n", 2), (vec![3, 7, 9], false, vec![11, 9]));
        assert_eq!(after(Some((3, 0, 4, 0)), "", -1), (vec![3, 4, 6], false, vec![8, 9]));
        // A line break within line 5; lines joined; a range the wrong way round.
        assert_eq!(after(Some((4, 2, 4, 2)), "\n", 1), (vec![3, 8], true, vec![10, 9]));
        assert_eq!(after(Some((3, 4, 4, 0)), "", -1), (vec![3, 6], true, vec![8, 9]));
        assert_eq!(after(Some((4, 0, 3, 4)), "", -1), (vec![3, 6], true, vec![8, 9]));
        // A frame's own line; the whole document; a line beyond every document.
        assert_eq!(after(Some((8, 1, 8, 2)), "x", 0), (vec![3, 5, 7], false, vec![9]));
        assert_eq!(after(None, "", -20), (vec![], true, vec![]));
        assert_eq!(after(Some((u32::MAX, 1, u32::MAX, 1)), "x", 0), (vec![3, 5, 7], false, vec![9, 9]));
    }
}
