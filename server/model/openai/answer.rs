//! Puts an answer together from the bytes of a stream, or reads one that came whole. Pure.

use super::error;
use super::retry::{Cause, Fault};
use super::wire::Frame;
use crate::model::sse::{Event, Parser};
use crate::model::{Finish, Heard, Reply, Usage};
use serde_json::Value;

/// What listens to the pieces of an answer.
pub(super) type Ear<'a> = dyn FnMut(Heard<'_>) + Send + 'a;

/// An answer on its way.
pub(super) struct Answer {
    parser: Parser,
    text: String,
    refusal: String,
    finish: Option<Finish>,
    model: String,
    /// As the server told it last.
    usage: Option<Usage>,
    has_token: bool,
    done: bool,
}

impl Answer {
    pub(super) fn of(model: &str) -> Self {
        Self {
            parser: Parser::default(),
            text: String::new(),
            refusal: String::new(),
            finish: None,
            model: model.to_owned(),
            usage: None,
            has_token: false,
            done: false,
        }
    }

    /// The model has begun: comments and roles do not count.
    pub(super) fn has_token(&self) -> bool {
        self.has_token
    }

    /// Nothing that matters follows: `[DONE]` was read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The reason for the end was read; only the usage may follow.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes the next bytes of a stream. The fault is the one that the stream reports.
    pub(super) fn push(&mut self, bytes: &[u8], heard: &mut Ear<'_>) -> Result<(), Fault> {
        let events =
            self.parser.push(bytes).map_err(|flood| Fault::new(Cause::Garbage, flood.to_string()))?;
        events.iter().try_for_each(|event| self.event(event, heard)).map_err(|fault| self.charged(fault))
    }

    /// The stream is over, orderly or not: it is an answer if it said why it ended.
    pub(super) fn close(mut self, heard: &mut Ear<'_>) -> Result<Reply, Fault> {
        if let Some(event) = std::mem::take(&mut self.parser).finish() {
            // What a broken connection left is no event if it does not parse.
            match self.event(&event, heard) {
                Err(fault) if fault.cause == Cause::Garbage => {}
                result => result.map_err(|fault| self.charged(fault))?,
            }
        }
        self.finish = self.finish.or(self.done.then_some(Finish::Stop));
        self.reply()
    }

    /// What was gathered, if it is an answer.
    fn reply(self) -> Result<Reply, Fault> {
        let said_nothing = self.text.is_empty();
        let cause = match self.finish {
            _ if said_nothing && !self.refusal.is_empty() => Cause::Declined,
            Some(Finish::Stop) if said_nothing => Cause::Empty,
            Some(_) => {
                let usage = self.usage.unwrap_or_default();
                return Ok(Reply {
                    text: self.text,
                    finish: self.finish.unwrap_or(Finish::Incomplete),
                    model: self.model,
                    usage,
                });
            }
            None => Cause::Cut,
        };
        let mut fault = self.charged(Fault::new(cause, self.refusal.as_str()));
        let usage = self.usage.unwrap_or_default();
        fault.partial = (!said_nothing).then(|| {
            Box::new(Reply { text: self.text, finish: Finish::Incomplete, model: self.model, usage })
        });
        Err(fault)
    }

    /// What fails now has been paid for all the same.
    fn charged(&self, mut fault: Fault) -> Fault {
        fault.heard = self.text.len();
        fault.usage = self.usage.map(Box::new);
        fault
    }

    /// Reads a body that is the whole answer, though a stream was asked for.
    pub(super) fn whole(mut self, body: &[u8], heard: &mut Ear<'_>) -> Result<Reply, Fault> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Fault::new(Cause::Garbage, format!("broken JSON: {error}")))?;
        let frame = Frame::read(&value)?;
        if !frame.is_answer {
            return Err(Fault::new(Cause::Garbage, "JSON without choices"));
        }
        self.take(frame, heard);
        self.finish = self.finish.or(Some(Finish::Incomplete));
        self.reply()
    }

    fn event(&mut self, event: &Event, heard: &mut Ear<'_>) -> Result<(), Fault> {
        if let Ok(value) = serde_json::from_str(&event.data) {
            return self.frame(event, &value, heard);
        }
        // Some servers forget the blank line between events, which joins their data.
        for line in event.data.lines().map(str::trim) {
            match serde_json::from_str(line) {
                _ if line == "[DONE]" => self.done = true,
                Ok(value) => self.frame(event, &value, heard)?,
                Err(error) if line.starts_with('{') => {
                    return Err(Fault::new(Cause::Garbage, format!("broken JSON in the stream: {error}")));
                }
                // A line that is no object holds no text of the answer.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn frame(&mut self, event: &Event, value: &Value, heard: &mut Ear<'_>) -> Result<(), Fault> {
        if self.done {
            return Ok(());
        }
        let frame = Frame::read(value)?;
        if event.name == "error" {
            return Err(error::fault(value, None));
        }
        self.take(frame, heard);
        Ok(())
    }

    fn take(&mut self, frame: Frame, heard: &mut Ear<'_>) {
        if !frame.text.is_empty() {
            heard(Heard::Text(&frame.text));
            self.text.push_str(&frame.text);
        }
        self.refusal.push_str(&frame.refusal);
        self.has_token |= frame.is_token;
        self.finish = frame.finish.or(self.finish);
        self.usage = frame.usage.or(self.usage);
        if let Some(model) = frame.model {
            self.model = model;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, how it ended, and what listeners heard.
    fn read(stream: &str) -> Result<Reply, Fault> {
        let mut heard = String::new();
        let mut ear = |piece: Heard<'_>| {
            if let Heard::Text(text) = piece {
                heard.push_str(text);
            }
        };
        let mut answer = Answer::of("asked");
        answer.push(stream.as_bytes(), &mut ear)?;
        let reply = answer.close(&mut ear)?;
        assert_eq!(reply.text, heard);
        Ok(reply)
    }

    fn check(stream: &str, text: &str, finish: Finish) {
        let reply = read(stream).map_err(|fault| fault.why(None)).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish), (text, finish), "{stream}");
    }

    fn check_fault(stream: &str, cause: Cause, code: Option<u16>) {
        let fault = read(stream).map(|reply| reply.text).unwrap_err();
        assert_eq!((fault.cause, fault.code), (cause, code), "{stream}: {}", fault.why(None));
    }

    const HI: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"hi\"}}]}\n\n";

    #[test]
    fn an_answer_is_whole_with_a_reason_or_done() {
        let end = |reason: &str| {
            format!("{HI}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n")
        };
        check(&end("stop"), "hi", Finish::Stop);
        check(&end("length"), "hi", Finish::Length);
        check(&end("content_filter"), "hi", Finish::ContentFilter);
        check(&end("tool_calls"), "hi", Finish::ToolCalls);
        check(&end("whim"), "hi", Finish::Incomplete);
        check(&format!("{HI}data: [DONE]\n\n"), "hi", Finish::Stop);
        check(&format!("{HI}data: [DONE]"), "hi", Finish::Stop);
        check_fault(HI, Cause::Cut, None);
        check_fault("", Cause::Cut, None);
        check_fault("data: [DONE]\n\n", Cause::Empty, None);
        check_fault(&format!("{HI}data: {{\"choices\":[{{\"delta\":{{\"con"), Cause::Cut, None);
        assert_eq!(read(HI).unwrap_err().partial.map(|reply| reply.finish), Some(Finish::Incomplete));
    }

    #[test]
    fn every_field_is_optional_and_content_has_many_shapes() {
        let odd = "data: {}\n\ndata: 7\n\ndata: ping\n\ndata:\n\ndata: {\"choices\":null,\"usage\":null}\n\n\
             data: {\"choices\":[{\"delta\":{\"content\":null}}]}\n\n\
             data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"},\"b\"]}}]}\n\n\
             data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n\
             data: {\"choices\":[{\"message\":{\"content\":\"c\"},\"finish_reason\":\"stop\"}]}\n\n";
        check(odd, "abc", Finish::Stop);
        let joined = format!("{}data: [DONE]\n", HI.trim_end().to_owned() + "\n").repeat(1);
        check(&joined, "hi", Finish::Stop);
    }

    #[test]
    fn usage_comes_with_or_without_choices_and_the_last_wins() {
        let stream = format!(
            "{HI}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":1}}}}\n\n\
             data: {{\"model\":\"who\",\"choices\":[],\"usage\":{{\"prompt_tokens\":10,\"completion_tokens\":4,\"cost\":0.5,\
             \"prompt_tokens_details\":{{\"cached_tokens\":3}}}}}}\n\ndata: [DONE]\n\n"
        );
        let reply = read(&stream).map_err(|fault| fault.why(None)).unwrap();
        let usage = Usage {
            calls: 1,
            prompt_tokens: 10,
            completion_tokens: 4,
            cached_tokens: 3,
            cost_usd: 0.5,
            estimated: false,
        };
        assert_eq!((reply.model.as_str(), reply.usage), ("who", usage));
    }

    #[test]
    fn errors_are_found_wherever_they_are() {
        let cases = [
            (
                "data: {\"error\":{\"code\":429,\"message\":\"m\"},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}",
                Some(429),
            ),
            ("data: {\"error\":{\"code\":\"502\",\"message\":\"m\"},\"choices\":[]}", Some(502)),
            ("data: {\"error\":{\"code\":\"server_error\",\"message\":\"m\"}}", Some(500)),
            ("data: {\"choices\":[{\"error\":{\"code\":503},\"delta\":{}}]}", Some(503)),
            ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}", Some(502)),
            ("data: {\"error\":\"out of memory\"}", None),
            ("data: {\"error_type\":\"rate_limit_exceeded\",\"error_message\":\"m\"}", Some(429)),
            ("data: {\"object\":\"error\",\"message\":\"m\",\"code\":400}", Some(400)),
            ("data: {\"error\":{\"http_status\":503,\"error_type\":\"provider_overloaded\"}}", Some(503)),
            ("event: error\ndata: {\"message\":\"m\",\"code\":500}", Some(500)),
            ("error: {\"code\":500,\"message\":\"m\"}", Some(500)),
        ];
        for (frame, code) in cases {
            check_fault(&format!("{frame}\n\n"), Cause::Answered, code);
            check_fault(&format!("{HI}{frame}\n\ndata: [DONE]\n\n"), Cause::Answered, code);
        }
        check_fault(
            "data: {\"error\":{\"message\":\"maximum context length is 9\"}}\n\n",
            Cause::TooLong,
            None,
        );
        check_fault("data: {\"choices\":[{\"delta\n\n", Cause::Garbage, None);
        check_fault(&format!("data: {}\n\n", "{\"a\":".repeat(100_000)), Cause::Garbage, None);
    }
}
