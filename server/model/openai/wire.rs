//! The JSON bodies: what is sent, and what of an answer is understood. Unknown fields and values never fail.
//!
//! Source: OpenRouter's API reference, OpenAI's chat completions, and what other servers were seen to send.

use super::retry::{Cause, Fault, Tried};
use crate::model::{Call, Finish, Message, Usage};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use url::Url;

/// Most entries OpenRouter takes in `models`.
const MOST_FALLBACKS: usize = 3;

/// What a server understands beyond OpenAI's chat completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Fallbacks, provider preferences, sessions and attribution.
    OpenRouter,
    /// Nothing: no field is sent that OpenAI does not document.
    Plain,
}

impl Dialect {
    pub(super) fn of(base: &Url) -> Self {
        let ours = base.host_str() == Some("openrouter.ai")
            || base.path().trim_end_matches('/').ends_with("/api/v1");
        if ours { Self::OpenRouter } else { Self::Plain }
    }
}

/// The privacy wishes of the settings, as OpenRouter takes them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Provider<'a> {
    pub(super) data_collection: &'a str,
    pub(super) zdr: bool,
}

/// The body of `POST /chat/completions`.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    models: &'a [String],
    messages: &'a [Message],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    max_tokens: u32,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// `provider` is given where the dialect is OpenRouter's; `models` are the one to ask and those that may stand in for it.
    pub(super) fn new(
        call: &'a Call,
        models: &'a [String],
        tried: &Tried,
        provider: Option<Provider<'a>>,
    ) -> Self {
        let (model, others) =
            models.split_first().map_or(("", models), |(model, rest)| (model.as_str(), rest));
        let schema = call.schema.as_ref().filter(|_| tried.with_schema);
        Self {
            model,
            models: if provider.is_some() { &others[..others.len().min(MOST_FALLBACKS)] } else { &[] },
            messages: &call.messages,
            stream: true,
            stream_options: tried.with_usage.then(|| json!({"include_usage": true})),
            max_tokens: tried.max_tokens,
            temperature: call.temperature,
            response_format: schema.map(|(name, schema)| {
                json!({"type": "json_schema", "json_schema": {"name": name, "strict": true, "schema": schema}})
            }),
            session_id: provider.as_ref().map(|_| call.session.as_str()),
            provider,
        }
    }
}

/// What one piece of an answer says: a stream's chunk or a whole body.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) text: String,
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
        let choice = value.pointer("/choices/0").unwrap_or(&Value::Null);
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
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        calls: 1,
        prompt_tokens: count("/prompt_tokens"),
        completion_tokens: count("/completion_tokens"),
        cached_tokens: count("/prompt_tokens_details/cached_tokens"),
        cost_usd: usage["cost"].as_f64().filter(|cost| cost.is_finite() && *cost >= 0.0).unwrap_or(0.0),
    }
}

/// The error that `value` holds beside or instead of an answer, in any of the shapes servers use.
/// `status` is the HTTP status where it is the error's.
pub(super) fn error_in(value: &Value, status: Option<u16>) -> Option<Fault> {
    let error = &value["error"];
    if error.is_object() || error.as_str().is_some_and(|text| !text.is_empty()) {
        return Some(fault(error, status));
    }
    let bare = value["object"] == "error"
        || value["error_type"].is_string()
        || value["error_message"].is_string()
        || (value["detail"].is_array() || value["detail"].is_string()) && !value["choices"].is_array();
    bare.then(|| fault(value, status))
}

/// Reads an error object, or an error that is only a text.
pub(super) fn fault(error: &Value, status: Option<u16>) -> Fault {
    let names = ["/error_type", "/metadata/error_type", "/code", "/type", "/availability/code"];
    let names = names.map(|pointer| error.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let said = message(error);
    let code = status
        .or_else(|| code(&error["code"]))
        .or_else(|| code(&error["http_status"]))
        .or_else(|| code(&error["status"]))
        .or_else(|| names.iter().find_map(|name| named_code(name)));
    let availability = &error["availability"];
    let headers = &error["metadata"]["headers"];
    let header = |name: &str| {
        headers[name].as_str().map(str::to_owned).or_else(|| Some(headers[name].as_u64()?.to_string()))
    };
    let mut fault = Fault::new(cause(&names, &said, error, code), said);
    fault.code = code;
    fault.hint = super::retry::hint(
        header("Retry-After").as_deref(),
        seconds(&availability["retry_after"]).or_else(|| seconds(&error["retry_after"])),
        header("X-RateLimit-Reset").as_deref(),
        SystemTime::now(),
    );
    fault.retryable = availability["retryable"].as_bool();
    fault
}

fn cause(names: &[&str], said: &str, error: &Value, code: Option<u16>) -> Cause {
    let low = said.to_ascii_lowercase();
    let has_name = |wanted: &[&str]| names.iter().any(|name| wanted.contains(name));
    let says = |wanted: &[&str]| wanted.iter().any(|text| low.contains(text));
    let daily =
        error.pointer("/metadata/limit_source").and_then(Value::as_str) == Some("openrouter_free_tier_daily");
    let unknown = ["not found", "not exist", "not a valid", "invalid model", "unknown model"];
    match code {
        None | Some(429) if daily || says(&["free-models-per-day"]) => Cause::DailyCap,
        // The code says more about a key, the credit or a limit than words do.
        Some(401..=403 | 429) => Cause::Answered,
        _ if has_name(&["context_length_exceeded", "exceed_context_size_error"])
            || says(&["context length", "context size", "context window", "prompt is too long"]) =>
        {
            Cause::TooLong
        }
        None | Some(400 | 404)
            if has_name(&["model_not_found", "model_deprecated", "no_endpoints"])
                || says(&["no endpoints found for"])
                || says(&["model"]) && says(&unknown) =>
        {
            Cause::UnknownModel
        }
        _ => Cause::Answered,
    }
}

/// What the error says for people: its message, and what the provider behind it said.
fn message(error: &Value) -> String {
    let mut said = String::new();
    let reasons = error.pointer("/metadata/reasons").and_then(Value::as_array);
    let detail = error["detail"].as_array().and_then(|list| list.first()).map(|first| &first["msg"]);
    let texts = [Some(error), error.get("message"), error.get("error_message"), error.get("detail"), detail];
    let raw = error.pointer("/metadata/raw").and_then(Value::as_str).map(raw_message);
    let provider = error.pointer("/metadata/provider_name").and_then(Value::as_str);
    let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
    let parts = texts.into_iter().flatten().filter_map(Value::as_str).chain(reasons).chain(provider);
    for part in parts.map(str::to_owned).chain(raw).filter(|part| !part.is_empty()) {
        said.push_str(if said.is_empty() { "" } else { ": " });
        said.push_str(&part);
    }
    match error["param"].as_str() {
        Some(param) if !said.contains(param) => format!("{said} ({param})"),
        _ if said.is_empty() => "an error without a message".to_owned(),
        _ => said,
    }
}

/// OpenRouter passes a provider's body on as a string, often with JSON in it.
fn raw_message(raw: &str) -> String {
    let value: Value = serde_json::from_str(raw).unwrap_or_default();
    let inner = value.pointer("/error/message").or(value.get("message")).or(value.get("error"));
    match inner.and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None if raw.trim_start().starts_with('<') => "a web page".to_owned(),
        None => raw.to_owned(),
    }
}

/// A status, as a number or a text.
fn code(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    u16::try_from(number).ok().filter(|code| (400..600).contains(code))
}

/// The status that the name of an error stands for.
fn named_code(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_request"
        | "invalid_request_error"
        | "invalid_prompt"
        | "BadRequestError"
        | "context_length_exceeded"
        | "exceed_context_size_error"
        | "max_tokens_exceeded" => 400,
        "authentication" | "authentication_error" | "invalid_api_key" => 401,
        "payment_required" | "insufficient_quota" => 402,
        "permission_denied" | "permission_error" => 403,
        "not_found" | "not_found_error" | "model_not_found" | "NotFoundError" => 404,
        "timeout" | "request_timeout" => 408,
        "rate_limit_exceeded" | "rate_limit_error" | "RateLimitError" | "capacity_exhausted" => 429,
        "server"
        | "unmapped"
        | "server_error"
        | "api_error"
        | "internal_server_error"
        | "InternalServerError" => 500,
        "provider_unavailable" => 502,
        "provider_overloaded" | "temporarily_unavailable" | "unavailable_error" => 503,
        "overloaded_error" | "overloaded" => 529,
        _ => return None,
    })
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The ids that `GET /models` lists.
pub(super) fn model_ids(value: &Value) -> Option<Vec<String>> {
    let list = value["data"].as_array()?;
    Some(list.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect())
}
