//! Lines inside files that look like the markers of a conflict or of an edit block.
//!
//! In an answer they are more likely a block that was not well written than text. A file that has such lines already,
//! such as a page about git, can be edited as any other: they may stay or go, in their order; none may come.

use super::Refusal;
use super::parse::is_marker;
use crate::text::lines;

/// Refuses a text with a marker line that was not there before. In a `whole` text what leads to the first one must have
/// been there, too: else it is a block with the words of another file.
pub(super) fn check(path: &str, before: &str, after: &str, whole: bool) -> Result<(), Refusal> {
    let mut old = lines(before).map(str::trim_end).filter(|line| is_marker(line));
    let mut new = lines(after).map(str::trim_end).enumerate().filter(|(_, line)| is_marker(line)).peekable();
    let refuse = |at: usize, line: &str| {
        let text = line.trim().chars().take(80).collect();
        Err(Refusal::Marker { path: path.to_owned(), line: at + 1, text })
    };
    if let Some(&(at, line)) = new.peek().filter(|_| whole) {
        let known = match lead(after) {
            Some(lead) => lines(before).any(|line| line.trim_end() == lead),
            None => lead(before).is_none(),
        };
        if !known {
            return refuse(at, line);
        }
    }
    new.find(|(_, line)| !old.any(|old| old == *line)).map_or(Ok(()), |(at, line)| refuse(at, line))
}

/// The last line with text before the first marker.
fn lead(text: &str) -> Option<&str> {
    let above = lines(text).map(str::trim_end).take_while(|line| !is_marker(line));
    above.filter(|line| !line.is_empty()).last()
}
