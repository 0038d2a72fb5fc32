//! The JSON bodies: what is sent, and what of an answer is understood. Unknown fields and values never fail.
//!
//! Source: OpenRouter's API reference, OpenAI's chat completions, and what other servers were seen to send.

use super::dialect::Field;
use super::error::error_in;
use super::retry::{Fault, Tried};
use crate::model::{Call, Finish, Message, Role, Usage};
use serde::Serialize;
use serde_json::{Value, json};

/// Most entries OpenRouter takes in `models`.
const MOST_FALLBACKS: usize = 3;

/// The wishes of the settings, as OpenRouter takes them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Provider<'a> {
    pub(super) data_collection: &'a str,
    pub(super) zdr: bool,
    /// Only providers that heed every field: else they drop a schema in silence.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) require_parameters: bool,
}

/// The body of `POST /chat/completions`.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    models: &'a [String],
    messages: Vec<Value>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// `provider` is given where the dialect is OpenRouter's; `models` are the one to ask and those that may
    /// stand in for it.
    pub(super) fn new(
        call: &'a Call,
        models: &'a [String],
        tried: &Tried,
        provider: Option<Provider<'a>>,
    ) -> Self {
        let (model, others) =
            models.split_first().map_or(("", models), |(model, rest)| (model.as_str(), rest));
        let sends = |field| !tried.dropped.has(field);
        let schema = call.schema.as_ref().filter(|_| sends(Field::ResponseFormat));
        let is_claude = model.trim_start_matches('~').starts_with("anthropic/");
        let limit = |named: bool| (named == sends(Field::MaxTokens)).then_some(tried.max_tokens);
        Self {
            model,
            models: if provider.is_some() { &others[..others.len().min(MOST_FALLBACKS)] } else { &[] },
            messages: messages(call, provider.is_some() && is_claude),
            stream: true,
            stream_options: sends(Field::StreamOptions).then(|| json!({"include_usage": true})),
            max_tokens: limit(true),
            max_completion_tokens: limit(false),
            temperature: sends(Field::Temperature).then_some(call.temperature),
            response_format: schema.map(|(name, schema)| {
                json!({"type": "json_schema", "json_schema": {"name": name, "strict": true, "schema": schema}})
            }),
            session_id: provider.filter(|_| sends(Field::SessionId)).map(|_| call.session.as_str()),
            provider: provider
                .filter(|_| sends(Field::Provider))
                .map(|provider| Provider { require_parameters: schema.is_some(), ..provider }),
        }
    }
}

/// The messages as they are sent. Claude caches only up to marks: after the rules, and after what stays the
/// same in the last message.
fn messages(call: &Call, marked: bool) -> Vec<Value> {
    let last = call.messages.len().saturating_sub(1);
    let message = |(index, message): (usize, &Message)| {
        let stable = match index {
            _ if !marked => 0,
            _ if index == last => call.stable,
            _ if message.role == Role::System => message.content.len(),
            _ => 0,
        };
        let (stable, rest) = message.content.split_at_checked(stable).unwrap_or(("", &message.content));
        let mark = json!({"type": "ephemeral"});
        let mut parts = Vec::new();
        if !stable.is_empty() {
            parts.push(json!({"type": "text", "text": stable, "cache_control": mark}));
        }
        if !parts.is_empty() && !rest.is_empty() {
            parts.push(json!({"type": "text", "text": rest}));
        }
        let content = if parts.is_empty() { json!(message.content) } else { Value::Array(parts) };
        json!({"role": message.role, "content": content})
    };
    call.messages.iter().enumerate().map(message).collect()
}

/// What one piece of an answer says: a stream's chunk or a whole body.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) text: String,
    /// Why the model declines to answer.
    pub(super) refusal: String,
    pub(super) finish: Option<Finish>,
    pub(super) model: Option<String>,
    pub(super) usage: Option<Usage>,
    /// It holds choices, even without text: it is an answer.
    pub(super) is_answer: bool,
    /// The model is at work: it gave text, reasoning or a tool call.
    pub(super) is_token: bool,
}

impl Frame {
    /// Reads a chunk or a whole answer. The error, where there is one, goes before everything else.
    pub(super) fn read(value: &Value) -> Result<Self, Fault> {
        // One answer was asked for; a second one is not mixed into it.
        let first = |choice: &&Value| number(&choice["index"]).is_none_or(|index| index == 0.0);
        let choices = value["choices"].as_array();
        let choice = choices.and_then(|list| list.iter().find(first)).unwrap_or(&Value::Null);
        if let Some(fault) = error_in(value, None).or_else(|| error_in(choice, None)) {
            return Err(fault);
        }
        let reason = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty());
        if reason == Some("error") {
            return Err(Fault::coded(502, "the provider ended the answer with an error"));
        }
        let message = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        let mut text = String::new();
        push_text(&message["content"], &mut text);
        let thought =
            ["reasoning", "reasoning_content"].map(|name| message[name].as_str().unwrap_or_default());
        Ok(Self {
            is_token: !text.is_empty() || !thought.concat().is_empty() || message["tool_calls"].is_array(),
            text,
            refusal: message["refusal"].as_str().unwrap_or_default().to_owned(),
            finish: reason.map(finish),
            model: value["model"].as_str().filter(|model| !model.is_empty()).map(str::to_owned),
            usage: value["usage"].as_object().map(|_| usage(&value["usage"])),
            is_answer: choice.is_object(),
        })
    }
}

/// Content is a string, nothing, or a list of parts of which those with text count.
fn push_text(content: &Value, text: &mut String) {
    match content {
        Value::String(piece) => text.push_str(piece),
        Value::Array(parts) => {
            for part in parts {
                text.push_str(part.as_str().or_else(|| part["text"].as_str()).unwrap_or_default());
            }
        }
        _ => {}
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" | "max_tokens" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        _ => Finish::Incomplete,
    }
}

fn usage(usage: &Value) -> Usage {
    let count = |pointer: &str| usage.pointer(pointer).and_then(number).unwrap_or(0.0) as u64;
    Usage {
        calls: 1,
        prompt_tokens: count("/prompt_tokens"),
        completion_tokens: count("/completion_tokens"),
        cached_tokens: count("/prompt_tokens_details/cached_tokens"),
        cost_usd: number(&usage["cost"]).unwrap_or(0.0),
        estimated: false,
    }
}

/// A number that counts something; some servers write it as a text.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// The ids that `GET /models` lists.
pub(super) fn model_ids(value: &Value) -> Option<Vec<String>> {
    let list = value["data"].as_array()?;
    Some(list.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect())
}
