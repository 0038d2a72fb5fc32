//! A model behind HTTP: any server that speaks OpenAI's chat completions, OpenRouter first of all.
//!
//! What is sent and understood is in `wire`, how an answer is put together in `answer`, what is done
//! about a failure in `retry`; this file holds the connections, the key and the time limits.

mod address;
mod answer;
mod dialect;
mod error;
mod hint;
mod key;
mod listing;
mod local;
mod pace;
mod request;
mod retry;
mod wire;

pub use address::is_loopback;
pub use key::{KeyInfo, KeySource};
pub use local::{LocalServer, find_local};
pub use request::{new_client, root_cause};

use super::list::List;
use super::price::{self, Price};
use super::{Call, Heard, Model, ModelError, Reply, Window, catalog, redact};
use crate::link::Limit;
use address::on_loopback;
use answer::Ear;
use dialect::{Dialect, Fields};
use futures_util::future::BoxFuture;
use key::{Keyring, exposed};
use listing::Listing;
use local::Windows;
use pace::Pace;
use request::late;
use retry::{Cause, Fault, Next, Policy, Tried};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{sleep, timeout};
use url::Url;

/// Most bytes of a body that is not a stream.
const BODY_CAP: usize = 4 << 20;
/// No wait is longer, whatever the settings say: clocks cannot add up more than they hold.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most characters shown of a body that is not in the protocol.
const MOST_EXCERPT: usize = 200;

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
    /// Where they are counted together with those of others; without it this process counts its own.
    pub shared: Option<Limit>,
    /// Calls at the same time; more wait.
    pub concurrent: usize,
    /// Where lists of models are kept; without it none is asked for by itself.
    pub lists: Option<PathBuf>,
}

/// A client of one server. Cheap to make: the first call builds what speaks HTTP.
pub struct OpenAi {
    options: Options,
    base: Url,
    host: String,
    dialect: Dialect,
    client: OnceLock<reqwest::Client>,
    pace: Pace,
    keys: Keyring,
    /// Fields that each model was found not to take.
    refused: Mutex<HashMap<String, Fields>>,
    listing: Listing,
    windows: Windows,
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
            let _place = self.pace.enter().await?;
            let limit = self.options.call;
            timeout(limit, self.ask(call, heard)).await.unwrap_or_else(|_| {
                let fault = late("gave no whole answer", limit, "limits.callSeconds");
                Err(self.error(fault, &call.model, None))
            })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        Box::pin(async move {
            if self.dialect.openrouter {
                self.check_key().await.map(|key| key.to_string())
            } else {
                self.models().await.map(|ids| told(&ids))
            }
        })
    }

    fn window<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<Window>> {
        Box::pin(async move {
            let model = catalog::canonical(model);
            if !local::is_usual(&self.base) {
                let tokens = self.listing.find(&model)?.context?;
                return Some(Window { server: self.host.clone(), tokens, truncates: false, listed: true });
            }
            if let Some(window) = self.windows.get(&model, Instant::now()) {
                return Some(window);
            }
            let (window, stays) = local::window(self.client().ok()?, &self.base, &model).await;
            if let Some(window) = window.as_ref().filter(|_| stays) {
                self.windows.keep(&model, window, Instant::now());
            }
            window
        })
    }

    fn price(&self, model: &str) -> Option<Price> {
        let model = catalog::canonical(model);
        let listed = self.listing.find(&model).and_then(|listed| listed.price);
        listed.or_else(|| price::per_token(&model))
    }

    fn describe(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }
}

impl OpenAi {
    /// Fails on an address that no key may be sent to. Touches neither network nor certificates.
    pub fn new(options: Options) -> Result<Self, ModelError> {
        let base = address::base(&options.base_url)?;
        let host = base.host_str().unwrap_or_default();
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // A server on loopback is another one on another machine.
        let together = options.shared.clone().map(|limit| {
            let machine = if on_loopback(&base) { limit.machine() } else { "" };
            let server = format!("{base} {machine}");
            (limit, server)
        });
        Ok(Self {
            dialect: Dialect::of(&base),
            client: OnceLock::new(),
            pace: Pace::new(options.requests_per_minute, options.concurrent, together),
            keys: Keyring::new(options.key.clone(), &host, !on_loopback(&base)),
            refused: Mutex::default(),
            listing: Listing::new(
                base[..url::Position::AfterPath].trim_end_matches('/'),
                options.lists.clone(),
            ),
            windows: Windows::default(),
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
        wire::model_ids(&self.get("models").await?).ok_or_else(|| self.no_list())
    }

    /// What the server serves, as it said within the last day, else as it says now, else as it said when it was last
    /// heard.
    pub async fn list(&self) -> Result<Arc<List>, ModelError> {
        if let Some(list) = self.listing.fresh() {
            return Ok(list);
        }
        let key = if self.lists_with_key() { self.keys.any().await? } else { None };
        let answer = self.get_with("models", key).await;
        let list = answer.and_then(|answer| {
            List::read(self.listing.server(), &answer, SystemTime::now()).ok_or_else(|| self.no_list())
        });
        list.map(|list| self.listing.take(list)).or_else(|error| self.listing.known().ok_or(error))
    }

    fn no_list(&self) -> ModelError {
        self.error(Fault::new(Cause::Garbage, "JSON without a list of models"), "/models", None)
    }

    async fn get(&self, path: &str) -> Result<Value, ModelError> {
        let value = self.get_with(path, self.keys.any().await?).await?;
        self.keys.accept();
        Ok(value)
    }

    async fn get_with(&self, path: &str, key: Option<SecretString>) -> Result<Value, ModelError> {
        let limit = self.options.first_byte;
        let fetched = timeout(limit, self.fetch(path, key.as_ref())).await;
        let fetched = fetched.unwrap_or_else(|_| Err(self.no_first_byte()));
        fetched.map_err(|fault| self.error(fault, &format!("/{path}"), key.as_ref()))
    }

    /// One call: requests until one is answered or none is worth making.
    async fn ask(&self, call: &Call, heard: &mut Ear<'_>) -> Result<Reply, ModelError> {
        let models: Vec<_> =
            std::iter::once(&call.model).chain(&call.fallbacks).map(|id| catalog::canonical(id)).collect();
        let policy =
            Policy { tries: self.options.tries, max_hint: self.options.max_hint, keeps: self.dialect.keeps };
        for model in &models {
            if self.listing.lacks(model) {
                let meant = self.listing.nearest(model);
                heard(Heard::Unlisted { model, server: &self.host, meant: meant.as_deref() });
            }
        }
        let mut tried = Tried::nothing(call, self.refused_by(&models[0]));
        let mut key = self.keys.good().await?;
        loop {
            self.pace.start(exposed(key.as_ref())).await;
            let from = tried.model;
            let mut fault = match self.request(call, &models[from..], &tried, key.as_ref(), heard).await {
                Ok(reply) => {
                    self.remember(&models[from], &tried);
                    self.listing.refresh(|| self.list_request(key.as_ref()));
                    if let Some(by) = models[from + 1..].iter().find(|id| **id == reply.model) {
                        heard(Heard::StoodIn { asked: &models[from], by });
                    }
                    return Ok(self.shown(reply, call, key.as_ref()));
                }
                Err(fault) => fault,
            };
            if fault.cause == Cause::TooLong {
                self.windows.forget(&models[from]);
            }
            let next = retry::decide(&fault, &tried, &policy, fastrand::f64());
            let why = fault.why(exposed(key.as_ref()));
            let wait = tried.follow(next);
            if let (Next::GiveUp, Some(partial)) = (next, fault.partial.take()) {
                return Ok(self.shown(*partial, call, key.as_ref()));
            }
            heard(Heard::Lost(price::of_lost(
                call,
                self.price(&models[from]),
                fault.heard,
                fault.usage.as_deref().copied(),
            )));
            match next {
                Next::GiveUp => return Err(self.error(fault, &models[from], key.as_ref())),
                Next::RenewKey => match self.keys.renew(key.as_ref()).await {
                    Some(new) => key = Some(new),
                    None => return Err(self.error(fault, &models[from], key.as_ref())),
                },
                Next::Fallback(_) => {
                    tried.dropped = tried.dropped.and(self.refused_by(&models[tried.model]));
                    heard(Heard::Fallback { from: &models[from], to: &models[tried.model], why });
                }
                _ => heard(Heard::Retry { why, after: wait }),
            }
            sleep(wait).await;
        }
    }

    fn refused_by(&self, model: &str) -> Fields {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(model).copied().unwrap_or_default().and(self.dialect.refuses)
    }

    /// What was left out of a request that was answered is not sent to this model again.
    fn remember(&self, model: &str, tried: &Tried) {
        if tried.learned != Fields::NONE {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let known = refused.entry(model.to_owned()).or_default();
            *known = known.and(tried.learned);
        }
    }

    /// The reply as it leaves: foreign names made harmless, its cost estimated where the server told none.
    fn shown(&self, mut reply: Reply, call: &Call, key: Option<&SecretString>) -> Reply {
        reply.text = redact::without_keys_in_use(&reply.text).into_owned();
        reply.model = redact::excerpt(&reply.model, exposed(key), MOST_EXCERPT);
        if reply.usage.prompt_tokens + reply.usage.completion_tokens == 0 {
            reply.usage = price::estimate(call, self.price(&reply.model), reply.text.len());
        }
        reply.usage.calls = 1;
        reply
    }

    fn error(&self, fault: Fault, asked: &str, key: Option<&SecretString>) -> ModelError {
        fault.into_error(asked, &self.host, exposed(key))
    }
}

/// Models as one line: how many, and the first few.
fn told(ids: &[String]) -> String {
    let first: Vec<_> = ids.iter().take(3).map(String::as_str).collect();
    let more = if ids.len() > first.len() { ", …" } else { "" };
    let first = redact::excerpt(&first.join(", "), None, MOST_EXCERPT);
    format!("{} models: {first}{more}", ids.len())
}
