//! What a language model is asked ([`Call`]) and what it answers ([`Reply`]), free of HTTP.

pub mod catalog;
pub mod list;
pub mod openai;
pub mod price;
pub mod redact;
pub mod replay;
pub mod sse;

use futures_util::future::BoxFuture;
use price::Price;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Answers calls. Dropping the future closes the connection, which stops the generation.
pub trait Model: Send + Sync {
    /// Asks once. Retries and fallbacks happen inside and are told through `heard`.
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>>;

    /// One line about the server, when it can be reached and takes the key.
    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>>;

    /// What a token of `model` costs, as far as is known. Instant.
    fn price(&self, model: &str) -> Option<Price>;

    /// The room `model` has, where the server said so.
    fn window<'a>(&'a self, _model: &'a str) -> BoxFuture<'a, Option<Window>> {
        Box::pin(std::future::ready(None))
    }

    /// For people: what answers, e.g. `https://openrouter.ai/api/v1` or `replay of demo.jsonl`.
    fn describe(&self) -> String;
}

/// Stands for a model where none is to be asked.
#[derive(Debug)]
pub struct Unasked;

impl Model for Unasked {
    fn complete<'a>(
        &'a self,
        _call: &'a Call,
        _heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(std::future::ready(Err(ModelError::Refused("no model was asked".into()))))
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        Box::pin(std::future::ready(Ok(self.describe())))
    }

    fn price(&self, model: &str) -> Option<Price> {
        price::per_token(model)
    }

    fn describe(&self) -> String {
        "no model".into()
    }
}

/// What fits into a call of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// e.g. `Ollama`.
    pub server: String,
    /// Prompt and answer together, in tokens.
    pub tokens: u32,
    /// What does not fit is left out without a word (Ollama).
    pub truncates: bool,
    /// As a list of models has it; else as the server on this machine runs the model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

/// The three agents. Each has its own model, temperature and fallbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    Architect,
    Coder,
    Debugger,
}

impl Agent {
    pub fn name(self) -> &'static str {
        match self {
            Self::Architect => "architect",
            Self::Coder => "coder",
            Self::Debugger => "debugger",
        }
    }
}

/// One question to a model.
#[derive(Clone, Debug)]
pub struct Call {
    pub agent: Agent,
    pub model: String,
    /// Tried in this order when `model` fails: by the server where it can (OpenRouter), else by us.
    pub fallbacks: Vec<String>,
    /// 0 to 2.
    pub temperature: f32,
    pub max_tokens: u32,
    pub messages: Vec<Message>,
    /// The JSON Schema the answer should follow, with its name; a wish, the answer is checked anyway.
    pub schema: Option<(&'static str, serde_json::Value)>,
    /// Bytes of the last message that stay the same in the task's next calls: so far it can be cached.
    pub stable: usize,
    /// Random per workspace session: keeps a provider's prompt cache warm.
    pub session: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// What is heard while an answer is on its way.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A piece of the answer.
    Text(&'a str),
    /// The try failed and another follows after `after`.
    Retry { why: String, after: Duration },
    /// `from` failed; `to` is asked now.
    Fallback { from: &'a str, to: &'a str, why: String },
    /// The server's list of models is known and lacks this one; it is asked all the same. Told once.
    Unlisted { model: &'a str, server: &'a str, meant: Option<&'a str> },
    /// The server itself let another model answer.
    StoodIn { asked: &'a str, by: &'a str },
    /// What a request cost that came to nothing.
    Lost(Usage),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub text: String,
    pub finish: Finish,
    /// The model that answered, which is the one billed.
    pub model: String,
    pub usage: Usage,
}

/// Why an answer ended. Only [`Finish::Stop`] may become an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    Stop,
    Length,
    ContentFilter,
    ToolCalls,
    /// The stream ended without a reason, or with one we do not know.
    Incomplete,
}

/// What calls cost, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub calls: u32,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cached_tokens: u64,
    pub cost_usd: f64,
    /// The server did not tell all of it: some is our estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cached_tokens += other.cached_tokens;
        self.cost_usd += other.cost_usd;
        self.estimated |= other.estimated;
    }
}

/// Why there is no answer. The texts name the model, what it said (keys redacted) and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// No key was found, and the server needs one.
    #[error("{0}")]
    NoKey(String),
    /// 401: the key was refused. No further call is made with it.
    #[error("{0}")]
    Auth(String),
    /// 402: no credit.
    #[error("{0}")]
    Payment(String),
    /// 429 and no patience left.
    #[error("{0}")]
    RateLimited(String),
    /// The prompt does not fit the model's context.
    #[error("{0}")]
    TooLong(String),
    /// Another refusal that repeating does not cure: 400, 403, 404, 413, 422.
    #[error("{0}")]
    Refused(String),
    /// No connection, a time limit, or a server error that outlived the retries.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that is not in the protocol.
    #[error("{0}")]
    Malformed(String),
    /// A replayed transcript that does not fit what is asked now.
    #[error("{0}")]
    Diverged(String),
}
