//! Changes of a document, held against a list of characters; then positions, a diff and a rebased edit.

use opendevagent::text::{Encoding, Lines, Position, diff, rebase, rope_change, rope_offset};
use opendevagent::workspace::Document;
use ropey::Rope;

/// What is typed: by the number of its place.
const PIECES: [&str; 16] = [
    "",
    "a",
    "b",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\u{2028}",
    "\u{85}",
    "é",
    "e\u{301}",
    "😀",
    "👩\u{200d}🚀",
    "\u{feff}",
    "x\ny\n",
];
/// More says nothing new.
const CHANGES: usize = 200;

pub fn document(text: &str) -> Document {
    Document { uri: "file:///a".into(), version: 0, language: "text".into(), text: Rope::from_str(text) }
}

/// A place in a text as an editor would name it, by an account of its own: characters in a list.
pub fn place(text: &[char], position: Position, encoding: Encoding) -> usize {
    let mut at = 0;
    for _ in 0..position.line {
        match text[at..].iter().position(|c| matches!(c, '\n' | '\r')) {
            Some(end) => {
                at += end + 1;
                at += usize::from(text[at - 1] == '\r' && text.get(at) == Some(&'\n'));
            }
            None => return text.len(),
        }
    }
    let mut left = position.column;
    while at < text.len() && !matches!(text[at], '\n' | '\r') {
        let width = match encoding {
            Encoding::Utf8 => text[at].len_utf8(),
            Encoding::Utf16 => text[at].len_utf16(),
            Encoding::Utf32 => 1,
        } as u32;
        if left < width {
            break;
        }
        left -= width;
        at += 1;
    }
    at
}

pub(super) fn run(data: &[u8]) {
    let Some((&first, changes)) = data.split_first() else { return };
    let encoding = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32][usize::from(first % 3)];
    let mut document = document("");
    let mut naive: Vec<char> = Vec::new();
    let mut middle = String::new();
    for (nth, change) in changes.chunks_exact(5).take(CHANGES).enumerate() {
        let position = |line: u8, column: u8| Position { line: line.into(), column: column.into() };
        let ends = [position(change[0], change[1]), position(change[2], change[3])];
        let new = [PIECES[usize::from(change[4] % 16)], PIECES[usize::from(change[4] / 16)]].concat();
        // A whole text now and then.
        let range = (change[0] != 255).then_some((ends[0], ends[1]));
        rope_change(&mut document.text, range, &new, encoding);
        let places = range.map_or([0, naive.len()], |_| ends.map(|end| place(&naive, end, encoding)));
        naive.splice(places[0].min(places[1])..places[0].max(places[1]), new.chars());
        assert!(document.text.chars().eq(naive.iter().copied()), "after {range:?} {new:?}");
        if nth == changes.len() / 10 {
            middle = document.text.to_string();
        }
    }
    let text = document.text.to_string();
    positions(&text, &document.text, encoding);
    let edits = diff(&middle, &text);
    assert_eq!(edits.apply(&middle), text);
    let other = middle.replacen('\n', "\n-\n", 1);
    if let Ok(rebased) = rebase(&edits, &middle, &other) {
        let lines = |text: &str| text.lines().filter(|line| *line == "-").count();
        assert!(lines(&rebased.apply(&other)) >= usize::from(other != middle), "what others wrote stays");
    }
}

/// Every place of a text leads back to itself, in both accounts.
fn positions(text: &str, rope: &Rope, encoding: Encoding) {
    let lines = Lines::of(text);
    assert_eq!(lines.count(), rope.len_lines());
    let places = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
    for at in places.filter(|&at| !(text[..at].ends_with('\r') && text[at..].starts_with('\n'))) {
        let position = lines.position(text, at, encoding);
        assert_eq!(lines.offset(text, position, encoding), at);
        assert_eq!(rope.char_to_byte(rope_offset(rope, position, encoding)), at);
    }
}
