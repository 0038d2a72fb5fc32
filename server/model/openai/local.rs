//! Model servers on this machine: Ollama, LM Studio, llama.cpp, vLLM. No key is sent to find them.

use super::{MOST_EXCERPT, new_client, wire};
use crate::model::{Window, redact};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use url::Url;

/// How long all local servers together get to answer.
const LOCAL_LIMIT: Duration = Duration::from_millis(280);
const LOCAL_SERVERS: &[(&str, u16)] =
    &[("Ollama", 11434), ("LM Studio", 1234), ("llama.cpp", 8080), ("vLLM", 8000)];
/// Most bytes read of an answer.
const MOST_BYTES: usize = 4 << 20;
/// How long a server's word on its room is believed.
const WINDOW_HOLDS: Duration = Duration::from_secs(600);
/// What Ollama gives a model that asks for nothing else.
const OLLAMA_TOKENS: u32 = 4096;

/// A server found on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalServer {
    pub name: String,
    pub base_url: String,
    pub models: Vec<String>,
    /// The room its first model has, where it says so.
    pub window: Option<Window>,
}

/// The servers on this machine that answer within 300 ms. No key is sent.
pub async fn find_local() -> Vec<LocalServer> {
    find_at(LOCAL_SERVERS).await
}

async fn find_at(servers: &[(&str, u16)]) -> Vec<LocalServer> {
    let Ok(client) = new_client(LOCAL_LIMIT, true) else { return Vec::new() };
    let probes = servers.iter().map(|&(name, port)| local(&client, name, port));
    join_all(probes).await.into_iter().flatten().collect()
}

async fn local(client: &reqwest::Client, name: &str, port: u16) -> Option<LocalServer> {
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let said = Said::ask(client, &Url::parse(&base_url).ok()?, None).await;
    let models = wire::model_ids(&said.models)?;
    let window = models.first().and_then(|model| said.window(model));
    let models = models.iter().map(|id| redact::excerpt(id, None, MOST_EXCERPT)).collect();
    Some(LocalServer { name: name.to_owned(), base_url, models, window })
}

/// Whether a server that can be asked for its room may be at `base`: on this machine, at a port that one of them uses.
/// Another program is not to be bothered with questions it was not made for.
pub(super) fn is_usual(base: &Url) -> bool {
    let port = base.port_or_known_default();
    super::on_loopback(base) && LOCAL_SERVERS.iter().any(|(_, usual)| port == Some(*usual))
}

/// The room that `model` has on the server at `base`, which is on this machine, and whether that stays: a model that
/// Ollama has not loaded yet may get more or less than what it is said to. No key is sent.
pub(super) async fn window(client: &reqwest::Client, base: &Url, model: &str) -> (Option<Window>, bool) {
    let said = Said::ask(client, base, Some(model)).await;
    let window = said.window(model);
    let stays =
        window.as_ref().is_some_and(|window| !window.truncates || said.running_tokens(model).is_some());
    (window, stays)
}

/// What servers on this machine said of their room: each model is asked for once, and again after a while.
#[derive(Default)]
pub(super) struct Windows(Mutex<HashMap<String, (Instant, Window)>>);

impl Windows {
    pub(super) fn get(&self, model: &str, now: Instant) -> Option<Window> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, window) = windows.get(model)?;
        (now.saturating_duration_since(*said) < WINDOW_HOLDS).then(|| window.clone())
    }

    pub(super) fn keep(&self, model: &str, window: &Window, now: Instant) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.insert(model.to_owned(), (now, window.clone()));
    }

    /// What was said has turned out wrong.
    pub(super) fn forget(&self, model: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
    }
}

/// What a server says of itself, in the ways of all that are known; null what it does not answer.
#[derive(Default)]
struct Said {
    /// `/v1/models`: everyone; vLLM with `max_model_len`.
    models: Value,
    /// `/props`: llama.cpp.
    props: Value,
    /// `/api/v0/models`: LM Studio.
    loaded: Value,
    /// `/api/ps`: what Ollama has in memory.
    running: Value,
    /// `/api/show`: what Ollama knows of the model.
    shown: Value,
}

impl Said {
    async fn ask(client: &reqwest::Client, base: &Url, model: Option<&str>) -> Self {
        let models = format!("{}/models", base.as_str().trim_end_matches('/'));
        let fetch = |request| fetch(request, LOCAL_LIMIT);
        let get = |path: &str| fetch(client.get(base.join(path).unwrap_or_else(|_| base.clone())));
        let (models, props, loaded, running) =
            tokio::join!(fetch(client.get(models)), get("/props"), get("/api/v0/models"), get("/api/ps"));
        let mut shown = Value::Null;
        if let Some(model) = model.filter(|_| running["models"].is_array()) {
            let body = json!({"model": model}).to_string();
            shown =
                fetch(client.post(base.join("/api/show").unwrap_or_else(|_| base.clone())).body(body)).await;
        }
        Self { models, props, loaded, running, shown }
    }

    fn window(&self, model: &str) -> Option<Window> {
        let window = |server: &str, tokens: Option<u32>| {
            let truncates = server == "Ollama";
            Some(Window { server: server.into(), tokens: tokens?, truncates, listed: false })
        };
        window("llama.cpp", self.props.pointer("/default_generation_settings/n_ctx").and_then(number))
            .or_else(|| {
                let entry = entry(&self.loaded["data"], model)?;
                window("LM Studio", number(&entry["loaded_context_length"]))
            })
            .or_else(|| window("vLLM", number(&entry(&self.models["data"], model)?["max_model_len"])))
            .or_else(|| {
                self.running["models"].as_array()?;
                let tokens = self.running_tokens(model).or_else(|| self.num_ctx());
                window("Ollama", tokens.or(Some(OLLAMA_TOKENS)))
            })
    }

    /// What Ollama has given the model that it runs.
    fn running_tokens(&self, model: &str) -> Option<u32> {
        number(&entry(&self.running["models"], model)?["context_length"])
    }

    /// What the model's own file asks of Ollama.
    fn num_ctx(&self) -> Option<u32> {
        let mut lines = self.shown["parameters"].as_str()?.lines();
        lines.find_map(|line| line.trim().strip_prefix("num_ctx")?.trim().parse().ok())
    }
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// The entry of a model in a list; Ollama's `:latest` may be left out.
fn entry<'a>(list: &'a Value, model: &str) -> Option<&'a Value> {
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let is = |entry: &Value| {
        ["id", "name", "model"]
            .iter()
            .any(|key| entry[*key].as_str().is_some_and(|name| bare(name) == bare(model)))
    };
    list.as_array()?.iter().find(|entry| is(entry))
}

/// A JSON answer; null when there is none in time.
pub(super) async fn fetch(request: reqwest::RequestBuilder, limit: Duration) -> Value {
    let answer = async {
        let mut response = request.send().await.ok()?;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.ok()?.filter(|_| body.len() < MOST_BYTES) {
            body.extend_from_slice(&bytes);
        }
        response.status().is_success().then(|| serde_json::from_slice(&body).ok())?
    };
    timeout(limit, answer).await.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers these paths, and 404 elsewhere; its port. It takes no key.
    async fn serve(answers: &'static [(&'static str, &'static str)]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                let head = String::from_utf8_lossy(&buffer[..count]).to_ascii_lowercase();
                assert!(!head.contains("authorization"));
                let path = head.split(' ').nth(1).unwrap();
                let found = answers.iter().find(|(known, _)| *known == path);
                let (status, body) = found.map_or((404, "{}"), |(_, body)| (200, *body));
                let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn local_servers_are_told_from_other_programs() {
        let model = serve(&[("/v1/models", r#"{"object":"list","data":[{"id":"qwen2.5-coder:7b"}]}"#)]).await;
        let page = serve(&[("/v1/models", "<html>")]).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_port = silent.local_addr().unwrap().port();
        let found = find_at(&[("silent", silent_port), ("page", page), ("Ollama", model)]).await;
        let base_url = format!("http://127.0.0.1:{model}/v1");
        let models = vec!["qwen2.5-coder:7b".to_owned()];
        assert_eq!(found, [LocalServer { name: "Ollama".into(), base_url, models, window: None }]);
    }

    #[tokio::test]
    async fn each_server_says_in_its_own_way_how_much_fits() {
        const LIST: (&str, &str) = ("/v1/models", r#"{"data":[{"id":"m:latest"}]}"#);
        let cases: [(&'static [_], &str, u32); 6] = [
            (&[LIST, ("/props", r#"{"default_generation_settings":{"n_ctx":2048}}"#)], "llama.cpp", 2048),
            (
                &[("/api/v0/models", r#"{"data":[{"id":"x"},{"id":"m","loaded_context_length":8192}]}"#)],
                "LM Studio",
                8192,
            ),
            (&[("/v1/models", r#"{"data":[{"id":"m","max_model_len":32768}]}"#)], "vLLM", 32768),
            (
                &[LIST, ("/api/ps", r#"{"models":[{"name":"m:latest","context_length":16384}]}"#)],
                "Ollama",
                16384,
            ),
            (
                &[
                    LIST,
                    ("/api/ps", r#"{"models":[]}"#),
                    ("/api/show", r#"{"parameters":"stop \"x\"\nnum_ctx    9000"}"#),
                ],
                "Ollama",
                9000,
            ),
            (&[LIST, ("/api/ps", r#"{"models":[]}"#), ("/api/show", "{}")], "Ollama", 4096),
        ];
        let client = new_client(LOCAL_LIMIT, true).unwrap();
        for (answers, server, tokens) in cases {
            let base = Url::parse(&format!("http://127.0.0.1:{}/v1", serve(answers).await)).unwrap();
            let (found, stays) = window(&client, &base, "m").await;
            let expect =
                Window { server: server.into(), tokens, truncates: server == "Ollama", listed: false };
            assert_eq!(
                (found, stays),
                (Some(expect), tokens != 9000 && tokens != 4096),
                "Ollama has not loaded it"
            );
        }
        let base = Url::parse(&format!("http://127.0.0.1:{}/v1", serve(&[LIST]).await)).unwrap();
        assert_eq!(window(&client, &base, "m").await, (None, false));
    }

    #[test]
    fn a_window_is_believed_for_ten_minutes_or_until_it_proves_wrong() {
        let windows = Windows::default();
        let window = Window { server: "llama.cpp".into(), tokens: 2048, truncates: false, listed: false };
        let now = Instant::now();
        windows.keep("m", &window, now);
        let after = |seconds| windows.get("m", now + Duration::from_secs(seconds));
        assert_eq!((after(599), after(600), windows.get("n", now)), (Some(window), None, None));
        windows.forget("m");
        assert_eq!(windows.get("m", now), None);
    }
}
