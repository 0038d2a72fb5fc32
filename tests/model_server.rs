//! An OpenAI-compatible model server on loopback whose answers are scripted. Real HTTP and real server-sent events,
//! in pieces that respect neither events nor characters.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Bytes per write: small enough to cut events, JSON and UTF-8 sequences in two.
const PIECE: usize = 61;
/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one call is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Streamed, ended with `finish_reason` `stop`.
    Text(String),
    /// Streamed, ended with this `finish_reason`.
    Finish(String, &'static str),
    /// Streamed, then the connection ends without a reason.
    CutOff(String),
    /// Streamed, then nothing until the client goes away.
    Stall(String),
    /// An HTTP status with an error body instead of a stream.
    Status(u16, String),
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// One call as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Headers,
    pub body: Value,
}

impl Request {
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// All messages, one after the other.
    pub fn prompt(&self) -> String {
        let messages = self.body["messages"].as_array().into_iter().flatten();
        messages.filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Names with values.
pub type Headers = Vec<(String, String)>;
type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// What the connections share.
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    script: Mutex<Script>,
    /// The only key that is taken; none: all are.
    key: Option<String>,
    /// What it says that it serves.
    models: Mutex<String>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    hung_up: usize,
    /// Questions for what it serves.
    lists: Vec<Headers>,
}

/// The server; its threads end with the process.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ModelServer {
    /// Answers each call with what `script` says.
    pub fn start(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::open(None, script)
    }

    /// Refuses whoever comes without this key.
    pub fn guarded(key: &str, script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::open(Some(format!("Bearer {key}")), script)
    }

    fn open(key: Option<String>, script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: Condvar::new(),
            script: Mutex::new(Box::new(script)),
            key,
            models: Mutex::new(json!({"data": []}).to_string()),
        });
        let server = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        server
    }

    /// Answers the calls one after the other; the last answer stands for all further calls.
    pub fn saying(answers: impl IntoIterator<Item = impl Into<Answer>>) -> Self {
        let mut answers: Vec<Answer> = answers.into_iter().map(Into::into).collect();
        answers.reverse();
        Self::start(move |_| match answers.len() {
            0 => Answer::Status(400, "the script has no answer".into()),
            1 => answers[0].clone(),
            _ => answers.pop().expect("it has at least two"),
        })
    }

    /// Answers all calls the same.
    pub fn always(answer: impl Into<Answer>) -> Self {
        Self::saying([answer])
    }

    /// From now on this is the answer to the question what it serves.
    pub fn serves(&self, models: &impl ToString) {
        *lock(&self.shared.models) = models.to_string();
    }

    /// The headers of every such question so far.
    pub fn lists(&self) -> Vec<Headers> {
        lock(&self.shared.seen).lists.clone()
    }

    /// The value for `model.baseUrl`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every call so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.seen).requests.clone()
    }

    /// Waits until `count` calls have arrived.
    pub fn wait_for_requests(&self, count: usize) {
        self.wait(|seen| seen.requests.len() >= count, "a call");
    }

    /// How many connections clients have closed before their answers were complete.
    pub fn hung_up(&self) -> usize {
        lock(&self.shared.seen).hung_up
    }

    /// Waits until a client has closed a connection before its answer was complete.
    pub fn wait_for_hang_up(&self) {
        self.wait_for_hang_ups(1);
    }

    /// The same of so many connections.
    pub fn wait_for_hang_ups(&self, count: usize) {
        self.wait(|seen| seen.hung_up >= count, "the client to hang up");
    }

    fn wait(&self, until: impl Fn(&Seen) -> bool, what: &str) {
        let seen = lock(&self.shared.seen);
        let (_seen, waited) = self
            .shared
            .changed
            .wait_timeout_while(seen, PATIENCE, |seen| !until(seen))
            .expect("no thread panics with the lock");
        assert!(!waited.timed_out(), "waited {PATIENCE:?} for {what}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics with the lock")
}

/// One connection: one request, one answer, closed.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some((line, headers, body)) = read_request(&mut stream) else { return };
    let request = Request { headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    if shared.key.is_some() && request.header("authorization") != shared.key.as_deref() {
        let _ = say(&mut stream, &request, &Answer::Status(401, "No auth credentials found".into()));
        return;
    }
    if line.starts_with("GET ") {
        let models = lock(&shared.models).clone();
        if line.contains("/models ") {
            lock(&shared.seen).lists.push(request.headers);
        }
        let _ = respond(&mut stream, 200, "application/json", models.as_bytes());
        return;
    }
    lock(&shared.seen).requests.push(request.clone());
    shared.changed.notify_all();
    let answer = lock(&shared.script)(&request);
    if say(&mut stream, &request, &answer).is_err() {
        lock(&shared.seen).hung_up += 1;
        shared.changed.notify_all();
    }
}

/// Request line, headers and body; `None` when the client sent none.
fn read_request(stream: &mut TcpStream) -> Option<(String, Headers, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        read_some(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        read_some(stream, &mut body)?;
    }
    Some((line, headers, body))
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 << 10];
    let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}

/// An error means that the client has gone.
fn say(stream: &mut TcpStream, request: &Request, answer: &Answer) -> std::io::Result<()> {
    let (text, finish) = match answer {
        Answer::Status(status, message) => {
            let body = json!({"error": {"code": status, "message": message}}).to_string();
            return respond(stream, *status, "application/json", body.as_bytes());
        }
        Answer::Text(text) => (text, Some("stop")),
        Answer::Finish(text, finish) => (text, Some(*finish)),
        Answer::CutOff(text) | Answer::Stall(text) => (text, None),
    };
    stream.set_nodelay(true)?;
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    for piece in events(request, text, finish).as_bytes().chunks(PIECE) {
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")?;
    }
    match answer {
        Answer::Stall(_) => match stream.read(&mut [0; 1]) {
            Ok(0) | Err(_) => Err(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(_) => Ok(()),
        },
        Answer::CutOff(_) => Ok(()),
        _ => stream.write_all(b"0\r\n\r\n"),
    }
}

/// The stream of an answer: a comment, its text word by word, the end, the usage.
fn events(request: &Request, text: &str, finish: Option<&str>) -> String {
    let chunk = |rest: Value| {
        let mut chunk =
            json!({"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": request.model()});
        chunk
            .as_object_mut()
            .into_iter()
            .for_each(|chunk| chunk.extend(rest.as_object().cloned().unwrap_or_default()));
        format!("data: {chunk}\n\n")
    };
    let choice = |text: &str, finish: Option<&str>| {
        let delta = json!({"role": "assistant", "content": text});
        chunk(json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let mut stream = String::from(": PROCESSING\n\n");
    for word in text.split_inclusive(' ') {
        stream.push_str(&choice(word, None));
    }
    if let Some(finish) = finish {
        let usage =
            json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cost": 0.001});
        stream.push_str(&choice("", Some(finish)));
        stream.push_str(&chunk(json!({"choices": [], "usage": usage})));
        stream.push_str("data: [DONE]\n\n");
    }
    stream
}

fn respond(stream: &mut TcpStream, status: u16, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
