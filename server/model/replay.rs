//! Transcripts: [`Replay`] answers from one without asking a model, [`Recorder`] writes one.
//!
//! JSON Lines. The first tells what was asked (`{"opendevagent": VERSION, ...}`); then, in their order, one line per
//! call (`{"agent","model","prompt","reply":{"text","finish","model","usage"}}`) and one per check
//! (`{"check":{...}}`); the last tells how it ended (`{"ended":{...}}`). Without keys: it serves as a bug report.

use super::price::{self, Price};
use super::{Agent, Call, Heard, Message, Model, ModelError, Reply, Window, redact};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The pieces in which a replayed answer is heard, in characters.
const PIECE: usize = 64;
/// Most bytes of a transcript.
const MOST_BYTES: u64 = 64 << 20;
/// Most characters shown of a line that differs.
const MOST_SHOWN: usize = 120;

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    agent: Agent,
    /// The model that was asked; the one that answered is in the reply.
    model: String,
    /// Without it any prompt fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt: Option<Vec<Message>>,
    reply: Reply,
}

/// A model that gives the answers of a transcript in their order.
#[derive(Debug)]
pub struct Replay {
    name: String,
    header: Value,
    checks: Vec<Value>,
    /// The room that was known before each call.
    windows: Mutex<VecDeque<Option<Window>>>,
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
        let (mut lines, mut checks, mut header) = (Vec::new(), Vec::new(), Value::Null);
        let mut windows = VecDeque::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let number = index + 1;
            let wrong = |error: serde_json::Error| {
                ModelError::Malformed(format!("{name} line {number} is no line of a transcript: {error}"))
            };
            let mut value: Value = serde_json::from_str(line).map_err(wrong)?;
            if value.get("opendevagent").is_some() {
                header = value;
            } else if let Some(check) = value.get_mut("check") {
                checks.push(check.take());
            } else if let Some(window) = value.get_mut("window") {
                windows.push_back(serde_json::from_value(window.take()).map_err(wrong)?);
            } else if value.get("ended").is_none() {
                lines.push((number, serde_json::from_value(value).map_err(wrong)?));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            header,
            checks,
            windows: Mutex::new(windows),
            lines,
            next: AtomicUsize::new(0),
        })
    }

    /// What was asked when it was recorded; null where that was not written.
    pub fn header(&self) -> &Value {
        &self.header
    }

    /// What the checks showed when it was recorded.
    pub fn checks(&self) -> &[Value] {
        &self.checks
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
        match line.prompt.as_deref().and_then(|then| difference(then, &call.messages)) {
            Some(difference) => Err(diverged(format!(
                "call {} asks the {} something else: {difference}",
                index + 1,
                call.agent.name()
            ))),
            None => Ok(line.reply.clone()),
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

    fn price(&self, model: &str) -> Option<Price> {
        price::per_token(model)
    }

    fn window<'a>(&'a self, _model: &'a str) -> BoxFuture<'a, Option<Window>> {
        let next = self.windows.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Box::pin(std::future::ready(next.flatten()))
    }

    fn describe(&self) -> String {
        format!("replay of {}, no model is asked", self.name)
    }
}

/// A transcript that is being written.
#[derive(Debug)]
pub struct Transcript {
    name: String,
    file: Mutex<File>,
    /// Hidden beside what looks like a key.
    secrets: Vec<String>,
}

impl Transcript {
    /// Begins a new transcript at `path`, for its owner only where it is new, with its first line.
    pub fn create(path: &Path, header: &Value, secrets: Vec<String>) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| unwritten(&name, &error))?;
        let transcript = Self { name, file: Mutex::new(file), secrets };
        transcript.write(header)?;
        Ok(transcript)
    }

    /// Adds a line, secrets hidden.
    pub fn write(&self, line: &impl Serialize) -> Result<(), ModelError> {
        let write = || {
            let mut value = serde_json::to_value(line)?;
            redact::each_text(&mut value, &|text| {
                *text = redact::without(&redact::redact(text), &self.secrets);
            });
            let mut bytes = serde_json::to_vec(&value)?;
            bytes.push(b'\n');
            self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
        };
        write().map_err(|error| unwritten(&self.name, &error))
    }
}

/// Passes every call on to `model` and writes down what was answered.
#[derive(Debug)]
pub struct Recorder<M> {
    pub model: M,
    pub transcript: Arc<Transcript>,
}

impl<M: Model> Model for Recorder<M> {
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let reply = self.model.complete(call, heard).await?;
            self.transcript.write(&Line {
                agent: call.agent,
                model: call.model.clone(),
                prompt: Some(call.messages.clone()),
                reply: reply.clone(),
            })?;
            Ok(reply)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        self.model.probe()
    }

    fn window<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<Window>> {
        Box::pin(async move {
            let window = self.model.window(model).await;
            // What cannot be written here fails with the next call.
            let _ = self.transcript.write(&json!({ "window": window }));
            window
        })
    }

    fn price(&self, model: &str) -> Option<Price> {
        self.model.price(model)
    }

    fn describe(&self) -> String {
        self.model.describe()
    }
}

fn unwritten(name: &str, error: &std::io::Error) -> ModelError {
    ModelError::Refused(format!("cannot write the transcript {name}: {error}; give --record another file"))
}

/// Where `now` first differs from what was recorded. Times and the names of temporary files differ from run to run,
/// so digits, the letters of hexadecimal numbers, dots and blanks do not count.
fn difference(then: &[Message], now: &[Message]) -> Option<String> {
    let words = |line: &str| {
        let varies = |c: &char| c.is_ascii_hexdigit() || c.is_whitespace() || *c == '.';
        redact::redact(line).chars().filter(|c| !varies(c)).collect::<String>()
    };
    let lines = |messages: &[Message]| -> Vec<String> {
        messages.iter().flat_map(|message| message.content.lines()).map(str::to_owned).collect()
    };
    let (then, now) = (lines(then), lines(now));
    let at = (0..then.len().max(now.len()))
        .find(|&at| then.get(at).map(|line| words(line)) != now.get(at).map(|line| words(line)))?;
    let shown = |line: Option<&String>| match line {
        Some(line) => format!("`{}`", redact::excerpt(line, None, MOST_SHOWN)),
        None => "the end".to_owned(),
    };
    Some(format!("line {} of the prompt was {}, is {}", at + 1, shown(then.get(at)), shown(now.get(at))))
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
            stable: 0,
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
        let other = r#""prompt":[{"role":"user","content":"one 12.5 s\ntwo"}],"#;
        for (line, expect) in [
            (line("coder", "", "x"), "line 1 answers the coder, and the architect asks"),
            (
                line("architect", other, "x"),
                "call 1 asks the architect something else: line 2 of the prompt was `two`, is the end",
            ),
        ] {
            let error = ask(&Replay::from_str("t", &line).unwrap(), Agent::Architect, "one 7.25 s")
                .await
                .0
                .unwrap_err();
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
        let transcript =
            Transcript::create(&path, &json!({"opendevagent": "0", "task": "t"}), vec![]).unwrap();
        let recorder = Recorder { model: first, transcript: Arc::new(transcript) };
        let reply = ask(&recorder, Agent::Coder, "p").await.0.unwrap();
        assert_eq!(reply.text, "use sk-or-v1-0123456789abcdef");
        assert!(ask(&recorder, Agent::Coder, "p").await.0.is_err());
        recorder.transcript.write(&json!({"check": {"status": "ok"}})).unwrap();
        let written = Replay::open(&path).unwrap();
        assert_eq!(
            (&written.header()["task"], written.checks()),
            (&json!("t"), &[json!({"status": "ok"})][..])
        );
        let again = ask(&Replay::open(&path).unwrap(), Agent::Coder, "p").await.0.unwrap();
        assert_eq!(again, Reply { text: "use sk-or-v1-***".into(), ..reply });
        let usage = Usage {
            calls: 0,
            prompt_tokens: 3,
            completion_tokens: 2,
            cached_tokens: 1,
            cost_usd: 0.25,
            estimated: false,
        };
        assert_eq!(again.usage, usage);
        assert!(
            ask(&Replay::open(&path).unwrap(), Agent::Coder, "p 0.21 f00").await.0.is_ok(),
            "times differ"
        );
        let error = ask(&Replay::open(&path).unwrap(), Agent::Coder, "q").await.0.unwrap_err();
        assert!(matches!(error, ModelError::Diverged(_)), "{error}");
    }
}
