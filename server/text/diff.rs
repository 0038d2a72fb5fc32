//! What changed between two texts: as minimal edits for editors, as a unified diff for people.

use super::{Edit, Edits, Span, lines};
use similar::{Algorithm, ChangeTag, DiffOp, group_diff_ops, udiff::UnifiedHunkHeader};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long a diff may look for a smaller result. Past it the rest counts as replaced, which stays correct.
const PATIENCE: Duration = Duration::from_millis(200);
/// Unchanged lines around each hunk of a unified diff.
const CONTEXT: usize = 3;

/// The smallest edits found that turn `before` into `after`: by line, then each replaced run of lines trimmed
/// to the characters that differ. No edit splits a character or a `\r\n`.
pub fn diff(before: &str, after: &str) -> Edits {
    let (old, new): (Vec<_>, Vec<_>) = (lines(before).collect(), lines(after).collect());
    let (old_at, new_at) = (starts(&old), starts(&new));
    let edits = line_ops(&old, &new)
        .iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| {
            let (old, new) = (op.old_range(), op.new_range());
            let start = old_at[old.start];
            let gone = &before[start..old_at[old.end]];
            let come = &after[new_at[new.start]..new_at[new.end]];
            let (head, tail) = common(gone, come);
            Edit {
                span: Span { start: start + head, end: start + gone.len() - tail },
                text: come[head..come.len() - tail].to_owned(),
            }
        })
        .collect();
    Edits(edits)
}

/// A unified diff of one file with three lines of context, as `git apply` and `patch -p1` read it. `None` stands
/// for a file that does not exist. Equal texts give an empty string. Only `\n` ends a line here.
pub fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    if before == after {
        return String::new();
    }
    let name = |side, text: Option<&str>| text.map_or("/dev/null".to_owned(), |_| format!("{side}/{path}"));
    let mut diff = format!("--- {}\n+++ {}\n", name("a", before), name("b", after));
    let old: Vec<_> = before.unwrap_or_default().split_inclusive('\n').collect();
    let new: Vec<_> = after.unwrap_or_default().split_inclusive('\n').collect();
    for hunk in group_diff_ops(line_ops(&old, &new), CONTEXT) {
        // Writing to a String cannot fail.
        let _ = writeln!(diff, "{}", UnifiedHunkHeader::new(&hunk));
        for change in hunk.iter().flat_map(|op| op.iter_changes(&old, &new)) {
            diff.push(match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            });
            diff.push_str(change.value());
            if !change.value().ends_with('\n') {
                diff.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    diff
}

/// How the lines of `old` become those of `new`, within a bounded time. The operations follow each other without
/// gaps on both sides.
pub(crate) fn line_ops(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let deadline = Instant::now().checked_add(PATIENCE);
    let mut ops = similar::capture_diff_slices_deadline(Algorithm::Myers, old, new, deadline);
    // similar 2.7 moves deletions and insertions to nicer places and then leaves the index that an operation has
    // on its other side as it was (mitsuhiko/similar#78); the order and the lengths are right.
    let (mut old_at, mut new_at) = (0, 0);
    for op in &mut ops {
        match op {
            DiffOp::Delete { new_index, .. } => *new_index = new_at,
            DiffOp::Insert { old_index, .. } => *old_index = old_at,
            DiffOp::Equal { .. } | DiffOp::Replace { .. } => {}
        }
        (old_at, new_at) = (op.old_range().end, op.new_range().end);
    }
    ops
}

/// The byte offset at which each line starts, and the end of the text.
fn starts(lines: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let mut starts = vec![0];
    starts.extend(lines.iter().map(|line| {
        at += line.len();
        at
    }));
    starts
}

/// The lengths in bytes of the head and the tail that both texts share, apart from each other and on
/// boundaries that are safe in both.
fn common(old: &str, new: &str) -> (usize, usize) {
    let shared = |(a, b): &(char, char)| a == b;
    let mut head: usize = old.chars().zip(new.chars()).take_while(shared).map(|(c, _)| c.len_utf8()).sum();
    if splits_crlf(old, head) || splits_crlf(new, head) {
        head -= 1;
    }
    let (old, new) = (&old[head..], &new[head..]);
    let mut tail: usize =
        old.chars().rev().zip(new.chars().rev()).take_while(shared).map(|(c, _)| c.len_utf8()).sum();
    if splits_crlf(old, old.len() - tail) || splits_crlf(new, new.len() - tail) {
        tail -= 1;
    }
    (head, tail)
}

/// Whether `at` lies between a `\r` and a `\n`.
fn splits_crlf(text: &str, at: usize) -> bool {
    text[..at].ends_with('\r') && text[at..].starts_with('\n')
}
