//! Server-sent events, read from bytes as they arrive (WHATWG HTML, section 9.2). Pure.

/// Longest line, and longest joined data of one event, in bytes.
const LINE_CAP: usize = 4 << 20;
/// Most bytes of one stream: far above any answer, far below what hurts.
const TOTAL_CAP: usize = 64 << 20;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event with data. Events without data are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field, mostly empty.
    pub name: String,
    /// The `data:` lines, joined by line feeds; bytes that are no UTF-8 are U+FFFD.
    pub data: String,
}

/// A line or the stream is longer than an honest server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has a line over {} MiB or is over {} MiB", LINE_CAP >> 20, TOTAL_CAP >> 20)]
pub struct Overflow;

/// Takes the bytes of a stream in any pieces. Each byte is looked at once.
#[derive(Debug)]
pub struct Parser {
    line: Vec<u8>,
    name: String,
    /// None until a `data:` line came.
    data: Option<String>,
    first_line: bool,
    /// A comment is not kept, however long it gets.
    in_comment: bool,
    /// The last byte was CR: a LF that follows belongs to it.
    after_cr: bool,
    total: usize,
    line_cap: usize,
    total_cap: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::with_caps(LINE_CAP, TOTAL_CAP)
    }
}

impl Parser {
    fn with_caps(line_cap: usize, total_cap: usize) -> Self {
        Self {
            line: Vec::new(),
            name: String::new(),
            data: None,
            first_line: true,
            in_comment: false,
            after_cr: false,
            total: 0,
            line_cap,
            total_cap,
        }
    }

    /// The events that `bytes` complete. After [`Overflow`] the stream is to be given up.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Overflow> {
        self.total += bytes.len();
        if self.total > self.total_cap {
            return Err(Overflow);
        }
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(&next) = rest.first() {
            if std::mem::take(&mut self.after_cr) && next == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            self.keep(&rest[..end.unwrap_or(rest.len())])?;
            let Some(end) = end else { break };
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            events.extend(self.end_line()?);
        }
        Ok(events)
    }

    /// The event that the end of the stream left without its blank line. Many servers end like that.
    pub fn finish(mut self) -> Option<Event> {
        self.end_line().ok().flatten().or_else(|| self.dispatch())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Overflow> {
        if self.line.is_empty() && part.first() == Some(&b':') {
            self.in_comment = true;
        }
        if self.in_comment {
            return Ok(());
        }
        if self.line.len() + part.len() > self.line_cap {
            return Err(Overflow);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, Overflow> {
        let first = std::mem::take(&mut self.first_line);
        if std::mem::take(&mut self.in_comment) {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.line);
        let line = if first { bytes.strip_prefix(BOM).unwrap_or(&bytes) } else { &bytes };
        let event = if line.is_empty() { self.dispatch() } else { self.field(line).map(|()| None)? };
        bytes.clear();
        self.line = bytes;
        Ok(event)
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        self.data.take().map(|data| Event { name, data })
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Overflow> {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &line[..colon] {
            b"event" => self.name = value.into_owned(),
            b"data" => self.add_data(&value)?,
            // llama.cpp before September 2025 sent its errors in a field of this name.
            b"error" => {
                self.name = String::from("error");
                self.add_data(&value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &str) -> Result<(), Overflow> {
        let Some(data) = &mut self.data else {
            self.data = Some(value.to_owned());
            return Ok(());
        };
        if data.len() + value.len() > self.line_cap {
            return Err(Overflow);
        }
        data.push('\n');
        data.push_str(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, the events are the same.
    fn check(stream: &[u8], expect: &[&str]) {
        for size in 1..=stream.len().max(1) {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in stream.chunks(size) {
                events.extend(parser.push(piece).unwrap());
            }
            events.extend(parser.finish());
            let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!(data, expect, "pieces of {size} of {}", String::from_utf8_lossy(stream));
        }
    }

    #[test]
    fn lines_end_in_each_way_and_data_lines_join() {
        check(b"data: a\n\ndata: b\n\n", &["a", "b"]);
        check(b"data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
        check(b"data: a\r\rdata: b\r\r", &["a", "b"]);
        check(b"data: a\r\n\ndata: b\n\r\n", &["a", "b"]);
        check(b"data: a\ndata:b\ndata:  c\ndata\n\n", &["a\nb\n c\n"]);
        check(b"data:\n\n", &[""]);
    }

    #[test]
    fn comments_unknown_fields_and_the_bom_are_passed_over() {
        check(b"\xEF\xBB\xBFdata: a\n\n", &["a"]);
        check(b": ping\n\n:\n\ndata: a\n: in between\ndata: b\n\n", &["a\nb"]);
        check(b"id: 7\nretry: x\nnonsense\n\xFF\xFE: y\nevent: e\n\n\n\ndata: a\n\n", &["a"]);
        check(b"", &[]);
    }

    #[test]
    fn the_end_of_the_stream_ends_the_last_event() {
        check(b"data: a\n\ndata: b\n", &["a", "b"]);
        check(b"data: a\n\ndata: b", &["a", "b"]);
        check(b"data: a\n\n: bye", &["a"]);
    }

    #[test]
    fn code_points_may_be_split_and_broken_ones_are_replaced() {
        check("data: grüße 🦀\n\n".as_bytes(), &["grüße 🦀"]);
        check(b"data: a\xC3\n\ndata: \xBCb\n\n", &["a\u{FFFD}", "\u{FFFD}b"]);
    }

    #[test]
    fn events_have_names() {
        let mut parser = Parser::default();
        let events = parser.push(b"event: error\ndata: a\n\nerror: b\n\ndata: c\n\n").unwrap();
        let names: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
        assert_eq!(names, [("error", "a"), ("error", "b"), ("", "c")]);
    }

    #[test]
    fn floods_end_at_the_caps_and_comments_are_not_kept() {
        assert_eq!(Parser::with_caps(8, 99).push(b"data: abc"), Err(Overflow));
        assert_eq!(Parser::with_caps(8, 99).push(b"data:abc\ndata:def\ndata:ghi\n"), Err(Overflow));
        assert_eq!(Parser::with_caps(8, 9).push(b":123456789"), Err(Overflow));
        let mut parser = Parser::with_caps(8, 99);
        assert_eq!(parser.push(b": a long comment\ndata:abc\n\n").unwrap().len(), 1);
        assert_eq!(parser.push(b":").and_then(|_| parser.push(b"data: more of it")), Ok(vec![]));
    }
}
