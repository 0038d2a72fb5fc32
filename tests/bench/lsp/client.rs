//! A client that measures: blocking, one thread that reads, and what the system knows of the server's process.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Only a server that hangs is waited for so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// One server and what it said.
pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    /// Each message with the time at which its last byte was read.
    heard: Receiver<(Instant, Value)>,
    started: Instant,
    next_id: i64,
}

impl Client {
    pub fn start(command: &[String]) -> Self {
        let started = Instant::now();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("OPENDEVAGENT_SANDBOX_HOST", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send((Instant::now(), message)).is_err() {
                    break;
                }
            }
        });
        Self { child, input, heard, started, next_id: 0 }
    }

    /// Starts a server and shakes hands. Also the time from before the start to the answer.
    pub fn greeted(command: &[String], options: &Value) -> (Self, Duration) {
        let mut client = Self::start(command);
        let params = json!({"processId": std::process::id(), "capabilities": {}, "rootUri": "file:///tmp/bench",
            "initializationOptions": options});
        let answered = client.request("initialize", &params);
        let took = answered - client.started;
        client.notify("initialized", &json!({}));
        (client, took)
    }

    /// Sends a request and waits for its answer: when it came.
    pub fn request(&mut self, method: &str, params: &Value) -> Instant {
        let id = self.ask(method, params);
        self.answer(id)
    }

    /// How long a request takes.
    pub fn timed(&mut self, method: &str, params: &Value) -> Duration {
        let asked = Instant::now();
        self.request(method, params) - asked
    }

    pub fn ask(&mut self, method: &str, params: &Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.write(&frame(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})));
        id
    }

    pub fn answer(&self, id: i64) -> Instant {
        self.until(|message| message.get("method").is_none() && message["id"] == json!(id))
    }

    /// When the first message came that is like this; those before it are passed over.
    pub fn until(&self, like: impl Fn(&Value) -> bool) -> Instant {
        loop {
            let (at, message) = self.heard.recv_timeout(PATIENCE).expect("the server answers");
            if like(&message) {
                return at;
            }
        }
    }

    pub fn notify(&mut self, method: &str, params: &Value) {
        self.write(&frame(&json!({"jsonrpc": "2.0", "method": method, "params": params})));
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(bytes).expect("the server reads");
        input.flush().expect("the server reads");
    }

    pub fn open(&mut self, uri: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": "python", "version": 1, "text": text});
        self.notify("textDocument/didOpen", &json!({"textDocument": document}));
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// How long the process takes to end from now.
    pub fn end(&mut self) -> Duration {
        let from = Instant::now();
        while self.child.try_wait().expect("our child").is_none() {
            assert!(from.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_micros(50));
        }
        from.elapsed()
    }

    /// Time on a processor so far, in microseconds, all threads.
    pub fn processor_time(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let spent = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        tasks.map_or(f64::NAN, |tasks| tasks.flatten().filter_map(spent).sum::<f64>() / 1000.0)
    }

    /// A number of `/proc/PID/status`: sizes are in KiB.
    pub fn status(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
    }

    /// How often its threads gave the processor up by themselves, all together.
    pub fn waits(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let waits = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<f64>().ok()
        };
        tasks.map_or(f64::NAN, |tasks| tasks.flatten().filter_map(waits).sum())
    }

    /// Waits until it does nothing any more.
    pub fn settle(&self) {
        let mut before = self.processor_time();
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.processor_time();
            if now - before < 3_000.0 {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message as it goes over the wire.
pub fn frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length?];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
