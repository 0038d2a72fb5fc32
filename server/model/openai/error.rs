//! Errors in JSON, in any of the shapes servers use, read into a [`Fault`]. Pure.

use super::hint;
use super::retry::{Cause, Fault};
use serde_json::Value;
use std::time::{Duration, SystemTime};

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
    let now = SystemTime::now();
    let header = header_in(&error["metadata"]["headers"]);
    let hint = hint::after(&header, now)
        .or_else(|| [availability, error].iter().find_map(|value| asked_wait(value, now)))
        .or_else(|| hint::reset(&header, now))
        .or_else(|| hint::in_words(&said));
    let mut fault = Fault::new(cause(&names, &said, error, code), said);
    fault.code = code;
    fault.hint = hint;
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
        None | Some(429) if has_name(&["insufficient_quota"]) || says(&["exceeded your current quota"]) => {
            Cause::Quota
        }
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
    let detail = error["detail"].as_array().and_then(|list| list.first());
    let field = detail.and_then(|first| first["loc"].as_array()?.last()).or(error.get("param"));
    let detail = detail.map(|first| &first["msg"]);
    let texts = [Some(error), error.get("message"), error.get("error_message"), error.get("detail"), detail];
    let raw = error.pointer("/metadata/raw").and_then(Value::as_str).map(raw_message);
    let provider = error.pointer("/metadata/provider_name").and_then(Value::as_str);
    let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
    let parts = texts.into_iter().flatten().filter_map(Value::as_str).chain(reasons).chain(provider);
    for part in parts.map(str::to_owned).chain(raw).filter(|part| !part.is_empty()) {
        said.push_str(if said.is_empty() { "" } else { ": " });
        said.push_str(&part);
    }
    match field.and_then(Value::as_str) {
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

/// Reads headers that were passed on in a body, whatever their case.
fn header_in(headers: &Value) -> impl Fn(&str) -> Option<String> + '_ {
    move |wanted: &str| {
        let (_, value) = headers.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        text(value)
    }
}

/// What an error's own fields ask for; `retryDelay` is Google's, among the details.
fn asked_wait(error: &Value, now: SystemTime) -> Option<Duration> {
    let details = error["details"].as_array().into_iter().flatten().map(|detail| &detail["retryDelay"]);
    [&error["retry_after"], &error["retry_after_seconds"], &error["retryDelay"]]
        .into_iter()
        .chain(details)
        .find_map(|value| hint::wait(&text(value)?, now))
}

/// A string, or a number as one.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.is_number().then(|| value.to_string()))
}
