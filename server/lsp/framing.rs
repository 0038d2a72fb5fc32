//! The base protocol (LSP 3.17, "Base Protocol"), read forgivingly: a bad message is answered and skipped,
//! the next good one is served.

use super::uri;
use bytes::BytesMut;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};
use tower_lsp::jsonrpc::{Error, ErrorCode, Id, Request, Response};

/// A message may have this many bytes; more is refused before any memory is set aside for it.
const MAX_MESSAGE: usize = 256 << 20;
/// A header line may have this many bytes; more is junk.
const MAX_LINE: usize = 8 << 10;
/// Memory that a message of more than this many bytes has taken is given back after it.
const KEEP: usize = 1 << 20;
const LENGTH: &[u8] = b"content-length:";
/// What every message holds that opens or changes a text.
const EDITS: &[u8] = b"textDocument/did";

/// One message from the client, as far as it could be understood.
#[derive(Debug)]
pub(super) enum Incoming {
    Request(Request),
    Response(Response),
    /// The answer to a message that could not be understood.
    Refused(Response),
}

/// The messages in a stream of bytes.
pub(super) struct Frames<R> {
    input: R,
    buffer: BytesMut,
    header: Header,
    /// Something was skipped that was meant to edit a text.
    lost_edit: bool,
}

/// What the header lines of the message at hand have said.
#[derive(Default)]
struct Header {
    length: Option<usize>,
    /// The blank line has come, the content follows.
    complete: bool,
    /// A line was there that is not of the protocol.
    junk: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: BytesMut::new(), header: Header::default(), lost_edit: false }
    }

    /// Whether something was skipped since last asked that was meant to edit a text.
    pub(super) fn has_lost_edit(&mut self) -> bool {
        std::mem::take(&mut self.lost_edit)
    }

    /// The next message; `None` at the end of the input. Loses nothing when dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Some(incoming) = self.step() {
                return Some(incoming);
            }
            // The claimed length is not believed: memory grows with the bytes that arrive.
            self.buffer.reserve(16 << 10);
            if self.input.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Takes one message out of the buffer; `None` when its bytes have not all arrived.
    fn step(&mut self) -> Option<Incoming> {
        while !self.header.complete {
            if let Err(why) = self.header_line()? {
                return Some(Incoming::Refused(refusal(Id::Null, ErrorCode::ParseError, why)));
            }
        }
        let length = self.header.length.filter(|length| self.buffer.len() >= *length)?;
        self.header = Header::default();
        let mut body = self.buffer.split_to(length);
        let (incoming, used) = read(&mut body);
        self.lost_edit |= matches!(incoming, Incoming::Refused(_)) && holds_edit(&body[..used]);
        if used < body.len() {
            // The claimed length was wrong: what follows the message belongs to the next one.
            let mut rest = body.split_off(used);
            rest.unsplit(std::mem::take(&mut self.buffer));
            self.buffer = rest;
        }
        if length > KEEP {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Some(incoming)
    }

    /// Takes one header line out of the buffer; `None` when it has not all arrived.
    fn header_line(&mut self) -> Option<Result<(), String>> {
        let Some(end) = self.buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            if self.buffer.len() >= MAX_LINE {
                self.lost_edit |= holds_edit(&self.buffer[..MAX_LINE]);
                // Keeps what may be the beginning of a header after the junk.
                let _ = self.buffer.split_to(MAX_LINE - LENGTH.len() - 24);
                self.header.junk = true;
                return Some(Ok(()));
            }
            return None;
        };
        let line = self.buffer.split_to(end + 1);
        self.lost_edit |= holds_edit(&line);
        Some(self.header.take(line.trim_ascii()))
    }
}

impl Header {
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if let Some(claim) = length_claim(line) {
            let claim = String::from_utf8_lossy(claim.trim_ascii());
            *self = Self::default();
            match claim.parse::<usize>() {
                Ok(length) if length <= MAX_MESSAGE => self.length = Some(length),
                Ok(length) => return Err(format!("a message of {length} bytes is over {MAX_MESSAGE} bytes")),
                Err(_) => return Err("Content-Length is not a number of bytes".into()),
            }
        } else if line.is_empty() {
            self.complete = self.length.is_some();
            if std::mem::take(&mut self.junk) && !self.complete {
                return Err("a header without Content-Length".into());
            }
        } else if !line.to_ascii_lowercase().starts_with(b"content-type:") {
            self.junk = true;
        }
        Ok(())
    }
}

fn holds_edit(bytes: &[u8]) -> bool {
    bytes.windows(EDITS.len()).any(|part| part == EDITS)
}

/// What follows the last `Content-Length:` of a line, which may have junk before it.
fn length_claim(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(LENGTH.len()).rposition(|part| part.eq_ignore_ascii_case(LENGTH))?;
    Some(&line[at + LENGTH.len()..])
}

/// Any JSON-RPC message. Faster than an untagged enum, and `"params": null` is the same as none.
#[derive(Deserialize)]
struct Message {
    id: Option<Id>,
    method: Option<String>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Error>,
}

/// What can be seen of a message whose content is unreadable or nested too deeply.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    id: Option<Value>,
    method: Option<IgnoredAny>,
}

/// Reads one message and tells how many bytes of `body` it took.
fn read(body: &mut [u8]) -> (Incoming, usize) {
    let mut message = serde_json::from_slice::<Message>(body);
    if message.as_ref().is_err_and(serde_json::Error::is_syntax) && mend_surrogates(body) {
        message = serde_json::from_slice(body);
    }
    match message {
        Ok(Message { id, method: Some(method), mut params, .. }) => {
            params.as_mut().map(uri::mend);
            let mut request = Request::build(method.clone());
            if let Some(id) = id {
                request = request.id(id);
            }
            // tower-lsp is strict where clients are not: `shutdown` takes no params, all else must have some.
            if method != "shutdown" {
                request = request.params(params.unwrap_or_else(|| Value::Object(Map::new())));
            }
            (Incoming::Request(request.finish()), body.len())
        }
        Ok(Message { id: Some(id), mut result, error, .. }) => {
            result.as_mut().map(uri::mend);
            let answer = error.map_or(Ok(result.unwrap_or(Value::Null)), Err);
            (Incoming::Response(Response::from_parts(id, answer)), body.len())
        }
        Ok(_) => (invalid(Id::Null, "a message needs a method or an id"), body.len()),
        Err(error) if error.is_data() => {
            let id = serde_json::from_slice::<Envelope>(body).ok().and_then(|envelope| envelope.id);
            (invalid(readable_id(id), &error.to_string()), body.len())
        }
        Err(error) => salvage(body, &error),
    }
}

/// Puts U+FFFD in place of each half of a UTF-16 pair that stands alone. Editors whose texts are UTF-16 may send one, as
/// the text of a change that must not be lost for it; the replacement is as wide, so later positions stay right. Whether
/// there was any.
fn mend_surrogates(body: &mut [u8]) -> bool {
    let (mut mended, mut at) = (false, 0);
    while let Some(next) = body[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        match (unit(body, at), unit(body, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                body[at..at + 6].copy_from_slice(b"\\ufffd");
                (mended, at) = (true, at + 6);
            }
            _ => at = (at + 2).min(body.len()),
        }
    }
    mended
}

/// The value of the escape `\uXXXX` at a place.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// What is left of a message that is not JSON as a whole.
fn salvage(body: &[u8], error: &serde_json::Error) -> (Incoming, usize) {
    // Ignoring a value does not recurse, so depth is no danger here.
    let mut values = Deserializer::from_slice(body).into_iter::<Envelope>();
    let Some(Ok(envelope)) = values.next() else {
        let next = body.windows(LENGTH.len()).skip(1).position(|part| part.eq_ignore_ascii_case(LENGTH));
        let refused = Incoming::Refused(refusal(Id::Null, ErrorCode::ParseError, error.to_string()));
        return (refused, next.map_or(body.len(), |at| at + 1));
    };
    let id = readable_id(envelope.id);
    let refused = refusal(id.clone(), ErrorCode::ParseError, error.to_string());
    let incoming = match envelope.method {
        // Whoever waits for this answer learns that it was unreadable.
        None if id != Id::Null => Incoming::Response(refused),
        _ => Incoming::Refused(refused),
    };
    (incoming, values.byte_offset())
}

fn readable_id(id: Option<Value>) -> Id {
    id.and_then(|id| serde_json::from_value(id).ok()).unwrap_or_default()
}

fn invalid(id: Id, why: &str) -> Incoming {
    Incoming::Refused(refusal(id, ErrorCode::InvalidRequest, why.into()))
}

fn refusal(id: Id, code: ErrorCode, message: String) -> Response {
    Response::from_error(id, Error { code, message: message.into(), data: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` and shows each message: `method`, `=id` for an answer, `!code:id` for a refusal.
    async fn check(bytes: &[u8], expect: &[&str]) {
        let mut frames = Frames::new(bytes);
        let mut seen = Vec::new();
        while let Some(incoming) = frames.next().await {
            seen.push(match incoming {
                Incoming::Request(request) => request.method().to_owned(),
                Incoming::Response(response) => format!("={}", response.id()),
                Incoming::Refused(response) => {
                    format!("!{}:{}", response.error().map_or(0, |error| error.code.code()), response.id())
                }
            });
        }
        assert_eq!(seen, expect, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
    }

    fn frame(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// `bad` followed by a good message.
    async fn check_bad(bad: impl AsRef<[u8]>, expect: &[&str]) {
        let good = frame(r#"{"jsonrpc":"2.0","method":"good"}"#);
        let expect: Vec<&str> = expect.iter().copied().chain(["good"]).collect();
        check(&[bad.as_ref(), good.as_bytes()].concat(), &expect).await;
    }

    const BODY: &str = r#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":"0123456789"}}"#;

    #[tokio::test]
    async fn good_messages() {
        check(frame(r#"{"id":1,"method":"m","params":null}"#).as_bytes(), &["m"]).await;
        check(frame(r#"{"id":"s","result":null}"#).as_bytes(), &["=\"s\""]).await;
        check(frame(r#"{"id":2,"error":{"code":-1,"message":"no"}}"#).as_bytes(), &["=2"]).await;
        check(b"content-length:14\nContent-Type: x\n\n{\"method\":\"m\"}", &["m"]).await;
        check(format!("Content-Length: 99\r\n\r\n{BODY}").as_bytes(), &[]).await;
    }

    /// A text of half a pair is no reason to lose a change.
    #[test]
    fn lone_halves_of_utf16_pairs() {
        for (text, expect) in [
            (r"a\ud83d", "a\u{fffd}"),
            (r"\udca1b", "\u{fffd}b"),
            (r"\ud83d\ud83d\udca1\udca1", "\u{fffd}💡\u{fffd}"),
            (r"\\ud83d\ud83d\\", "\\ud83d\u{fffd}\\"),
            (r"\ud83d\n\u00e9", "\u{fffd}\né"),
        ] {
            let mut body = format!(r#"{{"method":"m","params":{{"text":"{text}"}}}}"#).into_bytes();
            let (Incoming::Request(request), used) = read(&mut body) else { panic!("{text}") };
            assert_eq!(
                (request.params().expect("params")["text"].as_str(), used),
                (Some(expect), body.len())
            );
        }
        assert!(!mend_surrogates(&mut r"\ud83d\udca1 \\ud83d \u12".to_owned().into_bytes()));
    }

    #[tokio::test]
    async fn junk_before_and_after_headers() {
        check_bad("Garbage\r\n\r\n", &["!-32700:null"]).await;
        check_bad("GET / HTTP/1.1\r\nHost: x\r\n\r\n", &["!-32700:null"]).await;
        check_bad("\r\n\r\n\n", &[]).await;
        check_bad(format!("X-Junk: 1\r\n{}", frame(BODY)), &["m"]).await;
        check_bad("x".repeat(100_000), &[]).await;
    }

    #[tokio::test]
    async fn wrong_lengths() {
        check_bad("Content-Length: abc\r\n\r\n", &["!-32700:null"]).await;
        check_bad(format!("Content-Length: -1\r\n\r\n{BODY}"), &["!-32700:null"]).await;
        check_bad(format!("Content-Length: 2147483648\r\n\r\n{BODY}"), &["!-32700:null"]).await;
        check_bad("Content-Length: 99999999999999999999999\r\n\r\n", &["!-32700:null"]).await;
        check_bad(format!("Content-Length: 40\r\n\r\n{BODY}"), &["!-32700:null"]).await;
        for excess in [5, 20, 40] {
            check_bad(format!("Content-Length: {}\r\n\r\n{BODY}", BODY.len() + excess), &["!-32700:7"]).await;
        }
    }

    #[tokio::test]
    async fn it_is_known_whether_an_edit_was_skipped() {
        let edit = r#"{"method":"textDocument/didChange","params":{}}"#;
        for (bytes, lost) in [
            (frame(edit), false),
            (frame("{]}"), false),
            ("GET / HTTP/1.1\r\n\r\n".into(), false),
            (frame(&edit.replace("{}", "{]")), true),
            (frame(&format!("[{edit}]")), true),
            (format!("Content-Length: 2147483648\r\n\r\n{edit}\n"), true),
            (format!("{edit}{}", "x".repeat(MAX_LINE)), true),
        ] {
            let mut frames = Frames::new(bytes.as_bytes());
            while frames.next().await.is_some() {}
            assert_eq!(frames.has_lost_edit(), lost, "{bytes:.40}");
            assert!(!frames.has_lost_edit(), "it is told once");
        }
    }

    #[tokio::test]
    async fn wrong_contents() {
        check_bad(frame(r#"{"jsonrpc":"2.0","id":1,"#), &["!-32700:null"]).await;
        check_bad(frame("42"), &["!-32600:null"]).await;
        check_bad(frame("[]"), &["!-32600:null"]).await;
        check_bad(frame(&format!("[{BODY}]")), &["!-32600:null"]).await;
        check_bad(frame("{}"), &["!-32600:null"]).await;
        check_bad(frame(r#"{"id":3,"method":4}"#), &["!-32600:3"]).await;
        check_bad(b"Content-Length: 28\r\n\r\n{\"id\":3,\"method\":\"\xff\xfe\",\"a\":1}", &["!-32700:3"])
            .await;
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        check_bad(frame(&format!(r#"{{"id":4,"method":"m","params":{open}{close}}}"#)), &["!-32700:4"]).await;
        check_bad(frame(&format!(r#"{{"id":4,"result":{open}{close}}}"#)), &["=4"]).await;
    }
}
