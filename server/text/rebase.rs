//! Edits of a text that has changed elsewhere in the meantime.

use super::{Edit, Edits, Span, diff};

/// The text has changed where an edit stands, or right beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has changed where the edit at bytes {}..{} stands", .0.start, .0.end)]
pub struct Stale(pub Span);

/// The edits of `old` as edits of `new`. Every edit must stand inside a run of whole lines that both texts share,
/// not at its border unless that is the border of both texts; so what was next to it still is.
///
/// # Panics
/// When an edit falls outside `old`.
pub fn rebase(edits: &Edits, old: &str, new: &str) -> Result<Edits, Stale> {
    let changed = diff(old, new);
    // The runs of bytes that both texts share: where they begin in either, and how long they are.
    let (mut runs, mut from, mut to) = (Vec::new(), 0, 0);
    for edit in &changed {
        runs.push((from, to, edit.span.start - from));
        to += edit.span.start - from + edit.text.len();
        from = edit.span.end;
    }
    runs.push((from, to, old.len() - from));
    let moved = |edit: &Edit| {
        let run = runs.iter().find(|run| fits(edit.span, **run, old, new)).ok_or(Stale(edit.span))?;
        let place = |at: usize| at - run.0 + run.1;
        Ok(Edit {
            span: Span { start: place(edit.span.start), end: place(edit.span.end) },
            text: edit.text.clone(),
        })
    };
    edits.iter().map(moved).collect::<Result<Vec<_>, _>>().map(Edits)
}

/// Whether the lines that `span` touches, and the line break on either side of them, are inside a shared run.
fn fits(span: Span, (from, to, length): (usize, usize, usize), old: &str, new: &str) -> bool {
    const BREAKS: [char; 2] = ['\n', '\r'];
    let first = old[..span.start].rfind(BREAKS);
    let last = old[span.end..].find(BREAKS).map(|at| span.end + at);
    let above = first.map_or(from == 0 && to == 0, |at| from <= at);
    let end = from + length;
    let below = last.map_or(end == old.len() && to + length == new.len(), |at| at < end);
    above && below && from <= span.start && span.end <= end
}
