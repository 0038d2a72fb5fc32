//! One request: its headers and body, the time limits, and what came back.

use super::answer::{Answer, Ear};
use super::error;
use super::retry::{Cause, Fault, Tried};
use super::wire::{Body, Provider};
use super::{BODY_CAP, OpenAi, Options, address, hint};
use crate::model::{Call, Reply};
use reqwest::Response;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::error::Error;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

const TITLE: &str = "OpenDevAgent";
/// Most bytes of a body that reports an error.
const ERROR_CAP: usize = 64 << 10;
/// How long the usage may take after the answer ended, and the connection's end after `[DONE]`.
const USAGE_GRACE: Duration = Duration::from_secs(2);
const CLOSE_GRACE: Duration = Duration::from_millis(50);

impl OpenAi {
    pub(super) async fn fetch(&self, path: &str, key: Option<&SecretString>) -> Result<Value, Fault> {
        let request = self.client()?.get(self.url(&[path])).headers(self.headers(key));
        let mut response = request.send().await.map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&mut response).await);
        }
        let body = self.body(&mut response, BODY_CAP, self.options.first_byte).await?;
        let value: Value = serde_json::from_slice(&body).map_err(|_| strange(&response, &body))?;
        error::error_in(&value, None).map_or(Ok(value), Err)
    }

    /// One request. `models` are the one to ask and those that may stand in for it.
    pub(super) async fn request(
        &self,
        call: &Call,
        models: &[String],
        tried: &Tried,
        key: Option<&SecretString>,
        heard: &mut Ear<'_>,
    ) -> Result<Reply, Fault> {
        let provider = self.dialect.openrouter.then_some(Provider {
            data_collection: &self.options.data_collection,
            zdr: self.options.zdr,
            require_parameters: false,
        });
        let body = serde_json::to_vec(&Body::new(call, models, tried, provider))
            .map_err(|error| Fault::new(Cause::Answered, error.to_string()))?;
        let started = Instant::now();
        let request =
            self.client()?.post(self.url(&["chat", "completions"])).headers(self.headers(key)).body(body);
        let mut response = timeout_at(started + self.options.first_byte, request.send())
            .await
            .map_err(|_| self.no_first_byte())?
            .map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&mut response).await);
        }
        let packed = response.headers().get(CONTENT_ENCODING).filter(|name| *name != "identity");
        if packed.is_some() {
            return Err(Fault::new(Cause::Garbage, "a compressed body that was not asked for"));
        }
        let answer = Answer::of(models.first().map_or("", String::as_str));
        let media = content_type(&response);
        if media.starts_with("text/event-stream") {
            return self.listen(&mut response, answer, started, heard).await;
        }
        let is_json = media.starts_with("application/json");
        let cap = if is_json { BODY_CAP } else { ERROR_CAP };
        let body = self.body(&mut response, cap, self.options.first_byte).await?;
        if is_json { answer.whole(&body, heard) } else { Err(strange(&response, &body)) }
    }

    /// Reads a stream to its end, or to the first thing that ends it.
    async fn listen(
        &self,
        response: &mut Response,
        mut answer: Answer,
        started: Instant,
        heard: &mut Ear<'_>,
    ) -> Result<Reply, Fault> {
        let mut silent = true;
        loop {
            let (until, late) = self.patience(&answer, started, silent);
            // A flood of comments never lets the timer's turn come.
            if until <= Instant::now() {
                return Err(late);
            }
            match timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(bytes))) => answer.push(&bytes, heard)?,
                Ok(_) => break,
                Err(_) if answer.is_finished() => break,
                Err(_) => return Err(late),
            }
            silent = false;
            if answer.is_done() {
                // A connection read to its end can be used again.
                let _ = timeout(CLOSE_GRACE, response.chunk()).await;
                break;
            }
        }
        answer.close(heard)
    }

    /// Until when the next bytes are waited for, and what it means if they do not come.
    fn patience(&self, answer: &Answer, started: Instant, silent: bool) -> (Instant, Fault) {
        let Options { first_byte, first_token, idle, .. } = self.options;
        if silent {
            return (started + first_byte, self.no_first_byte());
        }
        let idle_until = Instant::now() + if answer.is_finished() { idle.min(USAGE_GRACE) } else { idle };
        if !answer.has_token() && started + first_token < idle_until {
            return (
                started + first_token,
                late("sent no first token", first_token, "limits.firstTokenSeconds"),
            );
        }
        (idle_until, self.no_further_byte())
    }

    pub(super) fn no_first_byte(&self) -> Fault {
        late("sent no first byte", self.options.first_byte, "limits.firstByteSeconds")
    }

    fn no_further_byte(&self) -> Fault {
        late("sent no further byte", self.options.idle, "limits.idleSeconds")
    }

    /// Reads a body up to `cap` bytes; what is beyond is left unread. The first ones may take `first`.
    async fn body(&self, response: &mut Response, cap: usize, first: Duration) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        while body.len() < cap {
            let (limit, late) = if body.is_empty() {
                (first, self.no_first_byte())
            } else {
                (self.options.idle, self.no_further_byte())
            };
            let chunk = timeout(limit, response.chunk())
                .await
                .map_err(|_| late)?
                .map_err(|error| self.broken(&error))?;
            let Some(bytes) = chunk else { break };
            body.extend_from_slice(&bytes[..bytes.len().min(cap - body.len())]);
        }
        Ok(body)
    }

    /// What a status other than success says.
    async fn refusal(&self, response: &mut Response) -> Fault {
        let status = response.status();
        let code = Some(status.as_u16());
        // The status says enough if the body does not come.
        let body = self.body(response, ERROR_CAP, self.options.idle).await.unwrap_or_default();
        let mut fault = match serde_json::from_slice::<Value>(&body) {
            _ if status.is_redirection() => Fault::new(Cause::Answered, redirect(response)),
            Ok(value) => error::error_in(&value, code).unwrap_or_else(|| error::fault(&value, code)),
            Err(_) => strange(response, &body),
        };
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let now = SystemTime::now();
        fault.code = code;
        fault.hint = hint::after(&header, now).or(fault.hint).or_else(|| hint::reset(&header, now));
        fault
    }

    /// A request that failed below HTTP. The address is left out, the root cause is what helps.
    fn broken(&self, error: &reqwest::Error) -> Fault {
        let is_connect = error.is_connect() || error.is_builder();
        if is_connect && error.is_timeout() {
            return late("took no connection", self.options.connect, "limits.connectSeconds");
        }
        let root = root_cause(error);
        Fault::new(if is_connect { Cause::Connect } else { Cause::Cut }, root.unwrap_or_default())
    }

    pub(super) fn client(&self) -> Result<&reqwest::Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = new_client(self.options.connect, address::on_loopback(&self.base))
            .map_err(|error| self.broken(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Asks for the list of models, with the key only where it is needed and safe.
    pub(super) fn list_request(&self, key: Option<&SecretString>) -> Option<reqwest::RequestBuilder> {
        let key = key.filter(|_| self.lists_with_key());
        Some(self.client().ok()?.get(self.url(&["models"])).headers(self.headers(key)))
    }

    pub(super) fn lists_with_key(&self) -> bool {
        !self.dialect.lists_openly && !address::on_loopback(&self.base)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if let Some(version) = self.dialect.api_version
            && !url.query_pairs().any(|(name, _)| name == "api-version")
        {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        url
    }

    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        let name = HeaderName::from_static(self.dialect.key_header);
        if let Some(value) = key.and_then(|key| key_value(key, &name)) {
            headers.insert(name, value);
        }
        if self.dialect.openrouter {
            headers.insert("x-title", HeaderValue::from_static(TITLE));
            headers.insert("x-openrouter-title", HeaderValue::from_static(TITLE));
            headers.insert("x-openrouter-categories", HeaderValue::from_static("ide-extension"));
        }
        headers
    }
}

/// What is at the bottom of an error, e.g. that a connection was refused.
pub fn root_cause(error: &reqwest::Error) -> Option<String> {
    let error_and_below =
        std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    error_and_below.skip(1).last().map(ToString::to_string)
}

/// Redirects are not followed: they would carry the key and the code elsewhere.
pub fn new_client(connect: Duration, loopback: bool) -> Result<reqwest::Client, reqwest::Error> {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("opendevagent/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect);
    if loopback { builder.no_proxy() } else { builder }.build()
}

fn key_value(key: &SecretString, name: &HeaderName) -> Option<HeaderValue> {
    let scheme = if *name == AUTHORIZATION { "Bearer " } else { "" };
    let mut value = HeaderValue::from_str(&format!("{scheme}{}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What was not done within `limit`, e.g. "sent no first byte", and the setting that raises it.
pub(super) fn late(what: &'static str, limit: Duration, setting: &'static str) -> Fault {
    Fault::new(Cause::Time(what, limit, setting), "")
}

/// A body that is not in the protocol. A web page is named, never shown.
fn strange(response: &Response, body: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(body);
    let is_page = content_type(response).contains("html") || text.trim_start().starts_with('<');
    Fault::new(Cause::Garbage, if is_page { "a web page".into() } else { text })
}

fn redirect(response: &Response) -> String {
    let target = response.headers().get("location").and_then(|value| value.to_str().ok());
    let target = target.and_then(|text| response.url().join(text).ok());
    let host = target.as_ref().and_then(Url::host_str).unwrap_or("elsewhere");
    format!("a redirect to {host}")
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}
