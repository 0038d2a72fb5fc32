//! Model servers on this machine: Ollama, LM Studio, llama.cpp, vLLM. No key is sent to find them.

use super::{BODY_CAP, MOST_EXCERPT, new_client, wire};
use crate::model::redact;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// How long all local servers together get to answer.
const LOCAL_LIMIT: Duration = Duration::from_millis(300);
const LOCAL_SERVERS: &[(&str, u16)] =
    &[("Ollama", 11434), ("LM Studio", 1234), ("llama.cpp", 8080), ("vLLM", 8000)];

/// A server found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalServer {
    pub name: String,
    pub base_url: String,
    pub models: Vec<String>,
}

/// The servers on this machine that answer within 300 ms. No key is sent.
pub async fn find_local() -> Vec<LocalServer> {
    find_at(LOCAL_SERVERS).await
}

async fn find_at(servers: &[(&str, u16)]) -> Vec<LocalServer> {
    let Ok(client) = new_client(LOCAL_LIMIT, true) else { return Vec::new() };
    let probes = servers.iter().map(|&(name, port)| timeout(LOCAL_LIMIT, local(&client, name, port)));
    join_all(probes).await.into_iter().filter_map(|found| found.ok().flatten()).collect()
}

async fn local(client: &reqwest::Client, name: &str, port: u16) -> Option<LocalServer> {
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let mut response = client.get(format!("{base_url}/models")).send().await.ok()?;
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.ok()?.filter(|_| body.len() < BODY_CAP) {
        body.extend_from_slice(&bytes);
    }
    let models = wire::model_ids(&serde_json::from_slice(&body).ok()?)?;
    let models = models.iter().map(|id| redact::excerpt(id, None, MOST_EXCERPT)).collect();
    Some(LocalServer { name: name.to_owned(), base_url, models })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers one request with `body`; its port.
    async fn serve(body: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(count > 0);
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn local_servers_are_told_from_other_programs() {
        let model = serve(r#"{"object":"list","data":[{"id":"qwen2.5-coder:7b"}]}"#).await;
        let (page, silent) = (serve("<html>").await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let silent_port = silent.local_addr().unwrap().port();
        let found = find_at(&[("silent", silent_port), ("page", page), ("Ollama", model)]).await;
        let base_url = format!("http://127.0.0.1:{model}/v1");
        let models = vec!["qwen2.5-coder:7b".to_owned()];
        assert_eq!(found, [LocalServer { name: "Ollama".into(), base_url, models }]);
    }
}
