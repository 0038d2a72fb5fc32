//! Positions as LSP counts them, over plain text and over ropes.

use super::{boundary, lines, split_end};
use ropey::Rope;

/// What a column counts (LSP 3.17, `PositionEncodingKind`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    #[default]
    Utf16,
    Utf32,
}

impl Encoding {
    /// How many units a character takes.
    fn width(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// A place between two characters. Both numbers start at 0; `column` is in units of an [`Encoding`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// Where the lines of a text start. There is always one; a final line ending starts another, empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub fn of(text: &str) -> Self {
        let mut at = 0;
        let mut starts = vec![0];
        for line in lines(text) {
            at += line.len();
            if !split_end(line).1.is_empty() {
                starts.push(at);
            }
        }
        Self { starts }
    }

    /// The number of lines, at least 1.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The byte offset of a position in the `text` this index was made of. A column past the end of its line
    /// means the end of the line (before its ending), one inside a character the character's start, a line
    /// past the last one the end of the text.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let Some(&start) = self.starts.get(position.line as usize) else { return text.len() };
        let content = self.content(text, position.line as usize);
        let mut left = position.column as usize;
        for (at, c) in content.char_indices() {
            let width = encoding.width(c);
            if left < width {
                return start + at;
            }
            left -= width;
        }
        start + content.len()
    }

    /// The position of a byte offset in the `text` this index was made of. An offset inside a character means
    /// the character's start, one inside a line ending the end of the line, one past the text its end.
    pub fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let line = self.starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let content = self.content(text, line);
        let before = boundary(text, offset) - self.starts[line];
        let before = &content[..before.min(content.len())];
        let column = match encoding {
            Encoding::Utf8 => before.len(),
            _ => before.chars().map(|c| encoding.width(c)).sum(),
        };
        Position { line: line as u32, column: column as u32 }
    }

    /// A line without its ending.
    fn content<'a>(&self, text: &'a str, line: usize) -> &'a str {
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        split_end(&text[self.starts[line]..end]).0
    }
}

/// The char index of a position in a rope, by the rules of [`Lines::offset`].
pub fn rope_offset(rope: &Rope, position: Position, encoding: Encoding) -> usize {
    let Some(line) = rope.get_line(position.line as usize) else { return rope.len_chars() };
    let mut content = line.len_chars();
    for end in ['\n', '\r'] {
        if content > 0 && line.char(content - 1) == end {
            content -= 1;
        }
    }
    let content = line.slice(..content);
    let column = position.column as usize;
    let chars = match encoding {
        Encoding::Utf8 => content.byte_to_char(column.min(content.len_bytes())),
        Encoding::Utf16 => content.utf16_cu_to_char(column.min(content.len_utf16_cu())),
        Encoding::Utf32 => column.min(content.len_chars()),
    };
    rope.line_to_char(position.line as usize) + chars
}

/// Performs one content change of `textDocument/didChange`: replaces the range, or the whole text without one.
/// A reversed range is read forwards.
pub fn rope_change(rope: &mut Rope, range: Option<(Position, Position)>, text: &str, encoding: Encoding) {
    let Some((start, end)) = range else {
        *rope = Rope::from_str(text);
        return;
    };
    let (start, end) = (rope_offset(rope, start, encoding), rope_offset(rope, end, encoding));
    let (start, end) = (start.min(end), start.max(end));
    rope.remove(start..end);
    rope.insert(start, text);
}
