//! A server on loopback that plays prepared bytes and keeps what it was sent.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The head of a stream.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// What the server does with one connection.
#[derive(Clone)]
pub(super) enum Act {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends this and keeps the connection open, in silence.
    Stall(Vec<u8>),
    /// Sends these one after the other.
    Pieces(Vec<Vec<u8>>),
    /// Sends this and breaks the connection off.
    Reset(Vec<u8>),
    /// Sends this, then the second over and over.
    Repeat(Vec<u8>, &'static [u8]),
}

/// A request as it arrived.
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: Value,
    pub(super) at: Instant,
}

/// A server that plays one act per connection, and the last one for ever.
pub(super) struct Server {
    pub(super) base_url: String,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    /// Tells when all was sent on a connection that stalls now.
    pub(super) stalled: mpsc::UnboundedReceiver<()>,
    /// Tells when the client closed a stalled connection.
    pub(super) closed: mpsc::UnboundedReceiver<()>,
}

impl Server {
    pub(super) async fn start(path: &str, acts: Vec<Act>) -> Self {
        Self::start_at("127.0.0.1:0", path, acts).await.unwrap()
    }

    /// `None` where the address cannot be had.
    pub(super) async fn start_at(address: &str, path: &str, acts: Vec<Act>) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        let base_url = format!("http://{}{path}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (tell, closed) = mpsc::unbounded_channel();
        let (tell_stalled, stalled) = mpsc::unbounded_channel();
        let log = seen.clone();
        tokio::spawn(async move {
            let mut acts = acts.into_iter().peekable();
            while let Ok((stream, _)) = listener.accept().await {
                let last = acts.peek().cloned().filter(|_| acts.len() == 1);
                if let Some(act) = last.or_else(|| acts.next()) {
                    tokio::spawn(play(stream, act, log.clone(), tell_stalled.clone(), tell.clone()));
                }
            }
        });
        Some(Self { base_url, seen, stalled, closed })
    }

    pub(super) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// A field of the body of each request.
    pub(super) fn asked(&self, field: &str) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|seen| seen.body[field].clone()).collect()
    }

    /// A header of each request; empty if it was not sent.
    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let value = |seen: &Seen| {
            let line = seen.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.map_or(String::new(), |line| line[name.len() + 1..].trim().to_owned())
        };
        self.seen.lock().unwrap().iter().map(value).collect()
    }
}

async fn play(
    mut stream: TcpStream,
    act: Act,
    log: Arc<Mutex<Vec<Seen>>>,
    stalled: mpsc::UnboundedSender<()>,
    closed: mpsc::UnboundedSender<()>,
) {
    let Some(seen) = read_request(&mut stream).await else { return };
    log.lock().unwrap().push(seen);
    match act {
        Act::Send(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
        Act::Pieces(pieces) => {
            let _ = stream.set_nodelay(true);
            for piece in pieces {
                let _ = stream.write_all(&piece).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Act::Reset(bytes) => {
            let _ = stream.write_all(&bytes).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = stream.set_zero_linger();
        }
        Act::Repeat(bytes, more) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(more).await.is_ok() {}
            let _ = closed.send(());
        }
        Act::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stalled.send(());
            let _ = stream.read(&mut [0]).await;
            let _ = closed.send(());
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(Seen {
                head: head.to_owned(),
                body: serde_json::from_str(body).unwrap_or_default(),
                at: Instant::now(),
            });
        }
    }
}
