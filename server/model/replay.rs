//! Transcripts: [`Replay`] answers from one without asking a model, [`Recorder`] writes one.
//!
//! JSON Lines, one per call: `{"agent","model","prompt_sha256"?,"reply":{"text","finish","model","usage"}}`.

use super::{Agent, Call, Heard, Message, Model, ModelError, Reply, redact};
use crate::text;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The pieces in which a replayed answer is heard, in characters.
const PIECE: usize = 64;
/// Most bytes of a transcript.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    agent: Agent,
    /// The model that was asked; the one that answered is in the reply.
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_sha256: Option<String>,
    reply: Reply,
}

/// A model that gives the answers of a transcript in their order.
#[derive(Debug)]
pub struct Replay {
    name: String,
    /// With their line numbers, from 1.
    lines: Vec<(usize, Line)>,
    next: AtomicUsize,
}

impl Replay {
    /// Reads the transcript at `path`, of at most 64 MiB.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wrong = |why: String| ModelError::Malformed(format!("cannot read the transcript {name}: {why}"));
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > MOST_BYTES {
            return Err(wrong(format!("it is over {} MiB", MOST_BYTES >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::from_str(&name, &text)
    }

    /// Reads a transcript; `name` is what people are told. Empty lines are passed over.
    pub fn from_str(name: &str, text: &str) -> Result<Self, ModelError> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let number = index + 1;
            let line = serde_json::from_str(line).map_err(|error| {
                ModelError::Malformed(format!("{name} line {number} is no line of a transcript: {error}"))
            })?;
            lines.push((number, line));
        }
        Ok(Self { name: name.to_owned(), lines, next: AtomicUsize::new(0) })
    }

    fn answer(&self, call: &Call) -> Result<Reply, ModelError> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let diverged = |what: String| {
            let name = &self.name;
            ModelError::Diverged(format!(
                "the replay of {name} no longer fits: {what}; record it again with --record"
            ))
        };
        let Some((number, line)) = self.lines.get(index) else {
            let (agent, held) = (call.agent.name(), self.lines.len());
            return Err(diverged(format!("the {agent} makes call {}, and it holds {held}", index + 1)));
        };
        if line.agent != call.agent {
            let (then, now) = (line.agent.name(), call.agent.name());
            return Err(diverged(format!("line {number} answers the {then}, and the {now} asks")));
        }
        match &line.prompt_sha256 {
            Some(recorded) if *recorded != prompt_sha256(&call.messages) => {
                Err(diverged(format!("line {number} answers another prompt of the {}", call.agent.name())))
            }
            _ => Ok(line.reply.clone()),
        }
    }
}

impl Model for Replay {
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let reply = self.answer(call)?;
            let mut rest = reply.text.as_str();
            while !rest.is_empty() {
                let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
                heard(Heard::Text(&rest[..end]));
                rest = &rest[end..];
            }
            Ok(reply)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        Box::pin(async { Ok(format!("{} recorded answers", self.lines.len())) })
    }

    fn describe(&self) -> String {
        format!("replay of {}, no model is asked", self.name)
    }
}

/// Passes every call on to `model` and appends what was answered, keys hidden, to a transcript.
#[derive(Debug)]
pub struct Recorder<M> {
    model: M,
    name: String,
    file: Mutex<File>,
}

impl<M: Model> Recorder<M> {
    /// Opens the transcript at `path`, for its owner only where it is new; fails if it cannot be written.
    pub fn create(model: M, path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| unwritten(&name, &error))?;
        Ok(Self { model, name, file: Mutex::new(file) })
    }

    fn write(&self, call: &Call, reply: &Reply) -> Result<(), ModelError> {
        let line = Line {
            agent: call.agent,
            model: redact::redact(&call.model),
            prompt_sha256: Some(prompt_sha256(&call.messages)),
            reply: Reply { text: redact::redact(&reply.text), ..reply.clone() },
        };
        let write = || {
            let mut bytes = serde_json::to_vec(&line)?;
            bytes.push(b'\n');
            self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
        };
        write().map_err(|error| unwritten(&self.name, &error))
    }
}

impl<M: Model> Model for Recorder<M> {
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let reply = self.model.complete(call, heard).await?;
            self.write(call, &reply)?;
            Ok(reply)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        self.model.probe()
    }

    fn describe(&self) -> String {
        self.model.describe()
    }
}

fn unwritten(name: &str, error: &std::io::Error) -> ModelError {
    ModelError::Refused(format!("cannot write the transcript {name}: {error}; give --record another file"))
}

/// Of the messages' words, in lower-case hexadecimal. Times and the names of temporary files differ from run to
/// run, so digits, the letters of hexadecimal numbers, dots and blanks are left out.
fn prompt_sha256(messages: &[Message]) -> String {
    let varies = |c: &char| c.is_ascii_hexdigit() || c.is_whitespace() || *c == '.';
    let words: String =
        messages.iter().flat_map(|message| message.content.chars()).filter(|c| !varies(c)).collect();
    text::sha256(words.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Finish, Role, Usage};

    fn call(agent: Agent, prompt: &str) -> Call {
        Call {
            agent,
            model: "m".into(),
            fallbacks: vec![],
            temperature: 0.2,
            max_tokens: 9,
            messages: vec![Message { role: Role::User, content: prompt.into() }],
            schema: None,
            session: "s".into(),
        }
    }

    fn line(agent: &str, hash: &str, text: &str) -> String {
        format!(
            r#"{{"agent":"{agent}","model":"m",{hash}"reply":{{"text":{text:?},"finish":"stop","model":"m","usage":{{"prompt_tokens":3,"completion_tokens":2,"cached_tokens":1,"cost_usd":0.25}}}}}}"#
        )
    }

    async fn ask(model: &impl Model, agent: Agent, prompt: &str) -> (Result<Reply, ModelError>, Vec<String>) {
        let mut pieces = Vec::new();
        let mut ear = |heard: Heard<'_>| {
            if let Heard::Text(text) = heard {
                pieces.push(text.to_owned());
            }
        };
        let result = model.complete(&call(agent, prompt), &mut ear).await;
        (result, pieces)
    }

    #[tokio::test]
    async fn answers_come_in_order_and_in_pieces() {
        let long = "ü".repeat(150);
        let text = format!("{}\n\n{}\n", line("architect", "", &long), line("coder", "", "code"));
        let replay = Replay::from_str("demo.jsonl", &text).unwrap();
        assert_eq!(replay.describe(), "replay of demo.jsonl, no model is asked");
        let (answer, pieces) = ask(&replay, Agent::Architect, "plan").await;
        let answer = answer.unwrap();
        assert_eq!((pieces.len(), pieces.concat()), (3, long.clone()));
        assert_eq!((answer.text, answer.finish, answer.usage.cost_usd), (long, Finish::Stop, 0.25));
        assert_eq!(ask(&replay, Agent::Coder, "code").await.0.unwrap().text, "code");
        let error = ask(&replay, Agent::Debugger, "fix").await.0.unwrap_err().to_string();
        assert!(error.contains("the debugger makes call 3, and it holds 2"), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_fit_says_where() {
        let other = format!(r#""prompt_sha256":"{}","#, "0".repeat(64));
        for (line, expect) in [
            (line("coder", "", "x"), "line 1 answers the coder, and the architect asks"),
            (line("architect", &other, "x"), "line 1 answers another prompt of the architect"),
        ] {
            let error =
                ask(&Replay::from_str("t", &line).unwrap(), Agent::Architect, "p").await.0.unwrap_err();
            assert!(matches!(&error, ModelError::Diverged(why) if why.contains(expect)), "{error}");
        }
        let error = Replay::from_str("t", "\n{\"agent\":\"cook\"}").unwrap_err().to_string();
        assert!(error.starts_with("t line 2 is no line of a transcript: unknown variant `cook`"), "{error}");
        assert!(matches!(Replay::open(Path::new("does/not/exist")), Err(ModelError::Malformed(_))));
    }

    #[tokio::test]
    async fn what_is_recorded_replays_without_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let first = Replay::from_str("t", &line("coder", "", "use sk-or-v1-0123456789abcdef")).unwrap();
        let recorder = Recorder::create(first, &path).unwrap();
        let reply = ask(&recorder, Agent::Coder, "p").await.0.unwrap();
        assert_eq!(reply.text, "use sk-or-v1-0123456789abcdef");
        assert!(ask(&recorder, Agent::Coder, "p").await.0.is_err());
        let again = ask(&Replay::open(&path).unwrap(), Agent::Coder, "p").await.0.unwrap();
        assert_eq!(again, Reply { text: "use sk-or-v1-***".into(), ..reply });
        let usage =
            Usage { calls: 0, prompt_tokens: 3, completion_tokens: 2, cached_tokens: 1, cost_usd: 0.25 };
        assert_eq!(again.usage, usage);
        assert!(
            ask(&Replay::open(&path).unwrap(), Agent::Coder, "p 0.21 f00").await.0.is_ok(),
            "times differ"
        );
        let error = ask(&Replay::open(&path).unwrap(), Agent::Coder, "q").await.0.unwrap_err();
        assert!(matches!(error, ModelError::Diverged(_)), "{error}");
    }
}
