//! Sends ended tasks to an OpenTelemetry collector, where the user has named one; otherwise nothing is made.

use super::Store;
use super::otlp::encode;
use crate::agent::Emit;
use crate::event::{Kind, Note};
use crate::model::openai::{is_loopback, new_client, root_cause};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// The collector's credentials, as OpenTelemetry names them: `name=value` pairs with commas between, percent-encoded.
pub const HEADERS_ENV: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// How long a collector may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Pauses before further tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Tasks on their way at once; what ends while so many are is left out.
const MOST: usize = 16;
/// How long an ending program waits for what is on its way.
const LAST: Duration = Duration::from_secs(3);

/// Tells a collector of tasks.
pub struct Telemetry {
    collector: Result<Collector, String>,
    sending: TaskTracker,
    /// That it does not work was said.
    told: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Collector {
    /// Ends in a slash.
    base: Url,
    headers: HeaderMap,
}

impl Telemetry {
    /// `headers` as [`HEADERS_ENV`] has them. Nothing is connected before a task has ended; what is wrong is told then.
    pub fn new(endpoint: &str, headers: Option<&str>) -> Self {
        let collector = Collector::new(endpoint, headers);
        Self { collector, sending: TaskTracker::new(), told: Arc::default() }
    }

    /// Sends an ended task beside everything else. `tell` hears once that this does not work.
    pub(super) fn send(&self, store: Arc<dyn Store>, task: String, tell: Emit) {
        let told = self.told.clone();
        let failed = move |why: String| {
            if !told.swap(true, Ordering::Relaxed) {
                let text = format!("no telemetry is sent: {why}");
                tell(Kind::Noted { level: Note::Warning, text });
            }
        };
        let collector = match &self.collector {
            Ok(_) if self.sending.len() >= MOST => return failed("the collector is too slow".into()),
            Ok(collector) => collector.clone(),
            Err(why) => return failed(why.clone()),
        };
        self.sending.spawn(async move {
            // What the store cannot tell it has said itself.
            let Ok(record) = store.task(&task).await else { return };
            let Some((traces, metrics)) = encode(&record) else { return };
            if let Err(why) = collector.post(&[("v1/traces", traces), ("v1/metrics", metrics)]).await {
                failed(why);
            }
        });
    }

    /// Whether the collector takes what has nothing in it; where it is.
    pub async fn probe(&self) -> Result<String, String> {
        let collector = self.collector.as_ref().map_err(String::clone)?;
        collector.post(&[("v1/traces", json!({"resourceSpans": []}))]).await?;
        Ok(format!("{} takes them", collector.base))
    }

    /// Waits a little for what is on its way.
    pub async fn flush(&self) {
        self.sending.close();
        let _ = tokio::time::timeout(LAST, self.sending.wait()).await;
    }
}

impl Collector {
    fn new(endpoint: &str, headers: Option<&str>) -> Result<Self, String> {
        let base = Url::parse(&format!("{}/", endpoint.trim_end_matches('/'))).ok();
        let base = base.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(
            "`telemetry.otlpEndpoint` is no address; set it to one that speaks OTLP over HTTP, e.g. http://127.0.0.1:4318",
        )?;
        // What stands there may be a secret, so it is not shown.
        let headers = headers.map_or(Some(HeaderMap::new()), read_headers).ok_or_else(|| {
            format!("{HEADERS_ENV} cannot be read; write it as name=value,name=value, percent-encoded")
        })?;
        Ok(Self { base, headers })
    }

    /// Posts bodies to paths, until one is not taken.
    async fn post(&self, bodies: &[(&str, Value)]) -> Result<(), String> {
        let client =
            new_client(ANSWER, is_loopback(self.base.as_str())).map_err(|error| error.to_string())?;
        for (path, body) in bodies {
            self.post_to(&client, path, body).await?;
        }
        Ok(())
    }

    /// Tries again what may pass (the protocol's "retryable" answers).
    async fn post_to(&self, client: &reqwest::Client, path: &str, body: &Value) -> Result<(), String> {
        let url = self.base.join(path).map_err(|error| error.to_string())?;
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = client.post(url.clone()).headers(self.headers.clone()).timeout(ANSWER);
            let request = request.header("content-type", "application/json").body(body.to_string());
            let (why, again) = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => (format!("HTTP {}", answer.status()), may_pass(answer.status())),
                Err(error) => (root_cause(&error).unwrap_or_else(|| error.to_string()), true),
            };
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    return Err(format!(
                        "{} answers {why}; correct `telemetry.otlpEndpoint` or start the collector",
                        self.base
                    ));
                }
            }
        }
    }
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn read_headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value: Vec<u8> = percent_encoding::percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
    };
    pairs.map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_never_shown() {
        let headers = read_headers("Authorization=Basic%20c2VjcmV0, x-scope=a=b,").expect("they are headers");
        assert_eq!(headers["authorization"], "Basic c2VjcmV0");
        assert_eq!(headers["x-scope"], "a=b");
        assert!(!format!("{headers:?}").contains("c2VjcmV0"));
        for wrong in ["authorization", "a b=c", "a=%0A"] {
            let why = Collector::new("http://127.0.0.1:1", Some(wrong)).err();
            assert!(why.is_some_and(|why| why.contains(HEADERS_ENV) && !why.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_an_address() {
        for wrong in ["", "collector:4317", "ftp://x", "grpc://x:4317"] {
            assert!(Collector::new(wrong, None).is_err(), "{wrong}");
        }
        let base = Collector::new("https://otlp.example/base", None).map(|collector| collector.base);
        let traces = base.ok().and_then(|base| base.join("v1/traces").ok());
        assert_eq!(traces.as_ref().map(Url::as_str), Some("https://otlp.example/base/v1/traces"));
    }
}
