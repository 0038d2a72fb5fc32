//! A model behind HTTP: any server that speaks OpenAI's chat completions, OpenRouter first of all.
//!
//! What is sent and understood is in `wire`, how an answer is put together in `answer`, what is done
//! about a failure in `retry`; this file holds the connections, the key and the time limits.

mod answer;
mod key;
mod local;
mod pace;
mod retry;
mod wire;

pub use key::{KeyInfo, KeySource};
pub use local::{LocalServer, find_local};

use super::{Call, Heard, Model, ModelError, Reply, catalog, redact};
use answer::{Answer, Ear};
use futures_util::future::BoxFuture;
use key::{Keyring, exposed};
use pace::Pace;
use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use retry::{Cause, Fault, Next, Policy, Tried};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::{Host, Url};
use wire::{Body, Dialect, Provider};

const REFERER: &str = "https://github.com/opendevagent/opendevagent";
const TITLE: &str = "OpenDevAgent";
/// Most bytes of a body that is not a stream, and of one that reports an error.
const BODY_CAP: usize = 16 << 20;
const ERROR_CAP: usize = 64 << 10;
/// No wait is longer, whatever the settings say: clocks cannot add up more than they hold.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most characters shown of a body that is not in the protocol.
const MOST_EXCERPT: usize = 200;
/// How long the usage may take after the answer ended, and the connection's end after `[DONE]`.
const USAGE_GRACE: Duration = Duration::from_secs(2);
const CLOSE_GRACE: Duration = Duration::from_millis(50);
/// Where and how to ask.
pub struct Options {
    /// The address before `/chat/completions`. Plain http is refused beyond loopback.
    pub base_url: String,
    pub key: Arc<dyn KeySource>,
    /// `deny` or `allow`: whether providers may store and train on what is sent (OpenRouter).
    pub data_collection: String,
    /// Only providers that retain nothing (OpenRouter).
    pub zdr: bool,
    pub connect: Duration,
    /// From the request to the first byte of its answer.
    pub first_byte: Duration,
    /// From the request to the first piece of text; comments do not count.
    pub first_token: Duration,
    /// Between any two pieces; comments do count.
    pub idle: Duration,
    /// One call with all its tries.
    pub call: Duration,
    /// Requests of one call, the first included.
    pub tries: u32,
    /// A server that asks to wait longer is not waited for.
    pub max_hint: Duration,
    pub requests_per_minute: u32,
    /// Calls at the same time; more wait.
    pub concurrent: usize,
}

/// A client of one server. Cheap to make: the first call builds what speaks HTTP.
pub struct OpenAi {
    options: Options,
    base: Url,
    host: String,
    dialect: Dialect,
    client: OnceLock<reqwest::Client>,
    slots: Semaphore,
    pace: Pace,
    keys: Keyring,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OpenAi").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Model for OpenAi {
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut Ear<'a>,
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let _slot = self.slots.acquire().await;
            let limit = self.options.call;
            timeout(limit, self.ask(call, heard)).await.unwrap_or_else(|_| {
                let fault = late("whole answer", limit, "limits.callSeconds");
                Err(self.error(fault, &call.model, None))
            })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        Box::pin(async move {
            match self.dialect {
                Dialect::OpenRouter => self.check_key().await.map(|key| key.to_string()),
                Dialect::Plain => self.models().await.map(|ids| told(&ids)),
            }
        })
    }

    fn describe(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }
}

impl OpenAi {
    /// Fails on an address that no key may be sent to. Touches neither network nor certificates.
    pub fn new(options: Options) -> Result<Self, ModelError> {
        let wrong = |why: &str| {
            let shown = redact::excerpt(&options.base_url, None, MOST_EXCERPT);
            ModelError::Refused(format!("model.baseUrl {shown:?} {why}"))
        };
        let base = Url::parse(options.base_url.trim()).map_err(|error| {
            wrong(&format!("is no address ({error}); write it like https://openrouter.ai/api/v1"))
        })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(ModelError::Refused(
                "model.baseUrl holds a user or password; take it out and set OPENROUTER_API_KEY or model.keyCommand".into(),
            ));
        }
        match base.scheme() {
            "https" => {}
            "http" if on_loopback(&base) => {}
            "http" => return Err(wrong("would send key and code in clear over the network; use https")),
            _ => return Err(wrong("is neither https nor http")),
        }
        let host = base.host_str().ok_or_else(|| wrong("names no host"))?;
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            dialect: Dialect::of(&base),
            client: OnceLock::new(),
            slots: Semaphore::new(options.concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            pace: Pace::new(options.requests_per_minute),
            keys: Keyring::new(options.key.clone(), &host, !on_loopback(&base)),
            options: Options {
                first_byte: options.first_byte.min(LONGEST_WAIT),
                first_token: options.first_token.min(LONGEST_WAIT),
                idle: options.idle.min(LONGEST_WAIT),
                ..options
            },
            base,
            host,
        })
    }

    /// Asks OpenRouter about the key. Costs nothing.
    pub async fn check_key(&self) -> Result<KeyInfo, ModelError> {
        let value = self.get("key").await?;
        let data = &value["data"];
        let text = data["label"].as_str().unwrap_or_default();
        Ok(KeyInfo {
            label: redact::excerpt(text, None, MOST_EXCERPT),
            limit: data["limit"].as_f64(),
            remaining: data["limit_remaining"].as_f64(),
        })
    }

    async fn models(&self) -> Result<Vec<String>, ModelError> {
        let value = self.get("models").await?;
        wire::model_ids(&value).ok_or_else(|| {
            let fault = Fault::new(Cause::Garbage, "JSON without a list of models");
            self.error(fault, "/models", None)
        })
    }

    async fn get(&self, path: &str) -> Result<Value, ModelError> {
        let key = self.keys.any().await?;
        let limit = self.options.first_byte;
        let fetched = timeout(limit, self.fetch(path, key.as_ref())).await;
        let fetched = fetched.unwrap_or_else(|_| Err(self.no_first_byte()));
        let value = fetched.map_err(|fault| self.error(fault, &format!("/{path}"), key.as_ref()))?;
        self.keys.accept();
        Ok(value)
    }

    async fn fetch(&self, path: &str, key: Option<&SecretString>) -> Result<Value, Fault> {
        let request = self.client()?.get(self.url(&[path])).headers(self.headers(key));
        let mut response = request.send().await.map_err(|error| broken(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&mut response).await);
        }
        let body = self.body(&mut response, BODY_CAP, self.options.first_byte).await?;
        let value: Value = serde_json::from_slice(&body).map_err(|_| strange(&response, &body))?;
        wire::error_in(&value, None).map_or(Ok(value), Err)
    }

    /// One call: requests until one is answered or none is worth making.
    async fn ask(&self, call: &Call, heard: &mut Ear<'_>) -> Result<Reply, ModelError> {
        let models: Vec<_> =
            std::iter::once(&call.model).chain(&call.fallbacks).map(|id| catalog::canonical(id)).collect();
        let policy = Policy { tries: self.options.tries, max_hint: self.options.max_hint };
        let mut tried = Tried::nothing(call);
        let mut key = self.keys.good().await?;
        loop {
            sleep(self.pace.reserve(Instant::now())).await;
            let from = tried.model;
            tried.requests += 1;
            let mut fault = match self.request(call, &models[from..], &tried, key.as_ref(), heard).await {
                Ok(reply) => return Ok(shown(reply, &tried, key.as_ref())),
                Err(fault) => fault,
            };
            let next = retry::decide(&fault, &tried, &policy, fastrand::f64());
            let why = fault.why(exposed(key.as_ref()));
            let wait = tried.follow(next);
            match next {
                Next::GiveUp => {
                    return match fault.partial.take() {
                        Some(partial) => Ok(shown(*partial, &tried, key.as_ref())),
                        None => Err(self.error(fault, &models[from], key.as_ref())),
                    };
                }
                Next::RenewKey => match self.keys.renew(key.as_ref()).await {
                    Some(new) => key = Some(new),
                    None => return Err(self.error(fault, &models[from], key.as_ref())),
                },
                Next::Fallback(_) => {
                    heard(Heard::Fallback { from: &models[from], to: &models[tried.model], why });
                }
                _ => heard(Heard::Retry { why, after: wait }),
            }
            sleep(wait).await;
        }
    }

    /// One request. `models` are the one to ask and those that may stand in for it.
    async fn request(
        &self,
        call: &Call,
        models: &[String],
        tried: &Tried,
        key: Option<&SecretString>,
        heard: &mut Ear<'_>,
    ) -> Result<Reply, Fault> {
        let privacy = Provider { data_collection: &self.options.data_collection, zdr: self.options.zdr };
        let provider = (self.dialect == Dialect::OpenRouter).then_some(privacy);
        let body = serde_json::to_vec(&Body::new(call, models, tried, provider))
            .map_err(|error| Fault::new(Cause::Answered, error.to_string()))?;
        let started = Instant::now();
        let request =
            self.client()?.post(self.url(&["chat", "completions"])).headers(self.headers(key)).body(body);
        let mut response = timeout_at(started + self.options.first_byte, request.send())
            .await
            .map_err(|_| self.no_first_byte())?
            .map_err(|error| broken(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&mut response).await);
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
            return (started + first_token, late("first token", first_token, "limits.firstTokenSeconds"));
        }
        (idle_until, self.no_further_byte())
    }

    fn no_first_byte(&self) -> Fault {
        late("first byte", self.options.first_byte, "limits.firstByteSeconds")
    }

    fn no_further_byte(&self) -> Fault {
        late("further byte", self.options.idle, "limits.idleSeconds")
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
            let chunk =
                timeout(limit, response.chunk()).await.map_err(|_| late)?.map_err(|error| broken(&error))?;
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
            Ok(value) => wire::error_in(&value, code).unwrap_or_else(|| wire::fault(&value, code)),
            Err(_) => strange(response, &body),
        };
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        fault.code = code;
        fault.hint =
            retry::hint(header("retry-after"), fault.hint, header("x-ratelimit-reset"), SystemTime::now());
        fault
    }

    fn client(&self) -> Result<&reqwest::Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client =
            new_client(self.options.connect, on_loopback(&self.base)).map_err(|error| broken(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        if let Some(bearer) = key.and_then(bearer) {
            headers.insert(AUTHORIZATION, bearer);
        }
        if self.dialect == Dialect::OpenRouter {
            headers.insert("http-referer", HeaderValue::from_static(REFERER));
            headers.insert("x-title", HeaderValue::from_static(TITLE));
            headers.insert("x-openrouter-title", HeaderValue::from_static(TITLE));
            headers.insert("x-openrouter-categories", HeaderValue::from_static("ide-extension"));
        }
        headers
    }

    fn error(&self, fault: Fault, asked: &str, key: Option<&SecretString>) -> ModelError {
        fault.into_error(asked, &self.host, exposed(key))
    }
}

/// Redirects are not followed: they would carry the key and the code elsewhere.
fn new_client(connect: Duration, loopback: bool) -> Result<reqwest::Client, reqwest::Error> {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("opendevagent/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect);
    if loopback { builder.no_proxy() } else { builder }.build()
}

/// Whether `base_url` is on this machine, where a key is not needed and plain http is allowed.
pub fn is_loopback(base_url: &str) -> bool {
    Url::parse(base_url.trim()).is_ok_and(|url| on_loopback(&url))
}

fn on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Models as one line: how many, and the first few.
fn told(ids: &[String]) -> String {
    let first: Vec<_> = ids.iter().take(3).map(String::as_str).collect();
    let more = if ids.len() > first.len() { ", …" } else { "" };
    let first = redact::excerpt(&first.join(", "), None, MOST_EXCERPT);
    format!("{} models: {first}{more}", ids.len())
}

fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The reply as it leaves: the foreign name made harmless, every request counted.
fn shown(mut reply: Reply, tried: &Tried, key: Option<&SecretString>) -> Reply {
    reply.text = redact::without_keys_in_use(&reply.text).into_owned();
    reply.model = redact::excerpt(&reply.model, exposed(key), MOST_EXCERPT);
    reply.usage.calls = tried.requests;
    reply
}

/// `what` did not come within `limit`, which is the setting `setting`.
fn late(what: &'static str, limit: Duration, setting: &'static str) -> Fault {
    Fault::new(Cause::Time(what, limit, setting), "")
}

/// A request that failed below HTTP. The address is left out, the root cause is what helps.
fn broken(error: &reqwest::Error) -> Fault {
    let error_and_below =
        std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    let root = error_and_below.skip(1).last().map(ToString::to_string);
    let cause = if error.is_connect() || error.is_builder() { Cause::Connect } else { Cause::Cut };
    Fault::new(cause, root.unwrap_or_default())
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
