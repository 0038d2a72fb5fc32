//! A scripted editor: the real binary over its standard streams, real bytes, and a scripted model server.
//!
//! An [`Editor`] that is dropped with messages nobody has read fails its test.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// Long enough for a busy machine; only a hanging test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a server may say at any time.
const CHATTER: [&str; 2] = ["window/logMessage", "$/progress"];

/// One editor with its server.
pub(crate) struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    messages: mpsc::UnboundedReceiver<Value>,
    /// Every message of the server, as it came.
    pub(crate) wire: Arc<Mutex<String>>,
    /// Whoever holds this keeps the server's messages from being read.
    pub(crate) reading: Arc<tokio::sync::Mutex<()>>,
    /// Read from the wire, not yet asked for.
    unread: VecDeque<Value>,
    /// Methods whose messages may stay unread at the end, whenever they come.
    ignored: Vec<String>,
    /// Whether anything may.
    ignores_all: bool,
    next_id: i64,
    /// The workspace; the server's own files are in `.home` beside it.
    pub(crate) directory: Arc<TempDir>,
    /// The answer to `initialize`.
    pub(crate) welcome: Value,
}

impl Editor {
    /// Starts the server without a word.
    pub(crate) fn spawn() -> Self {
        Self::spawn_in(Arc::new(TempDir::new().unwrap()))
    }

    fn spawn_in(directory: Arc<TempDir>) -> Self {
        let home = directory.path().join("home");
        std::fs::create_dir_all(directory.path().join("w")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_opendevagent"))
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.path().join("stderr")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::unbounded_channel();
        let wire = Arc::new(Mutex::new(String::new()));
        let written = wire.clone();
        let reading = Arc::new(tokio::sync::Mutex::new(()));
        let gate = reading.clone();
        tokio::spawn(async move {
            while let Some(message) = read(&mut output).await {
                drop(gate.lock().await);
                written.lock().unwrap().push_str(&message.to_string());
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (unread, ignored) = (VecDeque::new(), CHATTER.map(str::to_owned).to_vec());
        let (ignores_all, next_id, welcome) = (false, 0, Value::Null);
        Self {
            child,
            input,
            messages,
            wire,
            reading,
            unread,
            ignored,
            ignores_all,
            next_id,
            directory,
            welcome,
        }
    }

    /// Starts the server and shakes hands, with these capabilities and `initializationOptions`.
    pub(crate) async fn start(capabilities: Value, options: Value) -> Self {
        Self::spawn().greet(capabilities, options).await
    }

    /// The same for a second editor with a server of its own, of the same user on the same workspace.
    pub(crate) async fn start_beside(other: &Self, capabilities: Value, options: Value) -> Self {
        Self::spawn_in(other.directory.clone()).greet(capabilities, options).await
    }

    async fn greet(mut self, capabilities: Value, options: Value) -> Self {
        let editor = &mut self;
        let folder = json!({"uri": editor.uri(""), "name": "w"});
        let params = json!({
            "processId": std::process::id(),
            "capabilities": capabilities,
            "initializationOptions": options,
            "workspaceFolders": [folder],
        });
        editor.welcome = editor.request("initialize", params).await.unwrap();
        editor.notify("initialized", json!({})).await;
        self
    }

    pub(crate) fn workspace(&self) -> std::path::PathBuf {
        self.directory.path().join("w")
    }

    /// The URI of a file of the workspace.
    pub(crate) fn uri(&self, path: &str) -> String {
        url::Url::from_file_path(self.workspace().join(path)).unwrap().into()
    }

    /// Writes a file and opens it at version 1.
    pub(crate) async fn open(&mut self, path: &str, language: &str, text: &str) {
        std::fs::write(self.workspace().join(path), text).unwrap();
        let document = json!({"uri": self.uri(path), "languageId": language, "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    }

    /// Changes the whole text of an open document.
    pub(crate) async fn change(&mut self, path: &str, version: i32, text: &str) {
        let params = json!({
            "textDocument": {"uri": self.uri(path), "version": version},
            "contentChanges": [{"text": text}],
        });
        self.notify("textDocument/didChange", params).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(bytes).await.unwrap();
        input.flush().await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Sends a request; its id.
    pub(crate) async fn post(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// The id of the next request.
    pub(crate) fn upcoming(&self) -> i64 {
        self.next_id + 1
    }

    /// The answer to a request: its result, or its error.
    pub(crate) async fn answer(&mut self, id: &Value) -> Result<Value, Value> {
        let mut answer = self.find(|message| message.get("method").is_none() && message["id"] == *id).await;
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.post(method, params).await;
        self.answer(&id.into()).await
    }

    /// The next message of this method, a request or a notification.
    pub(crate) async fn expect(&mut self, method: &str) -> Value {
        self.find(|message| message["method"] == method).await
    }

    /// A message of this method, if one has come.
    pub(crate) fn heard(&mut self, method: &str) -> Option<Value> {
        while let Ok(message) = self.messages.try_recv() {
            self.unread.push_back(message);
        }
        let at = self.unread.iter().position(|message| message["method"] == method)?;
        self.unread.remove(at)
    }

    pub(crate) async fn reply(&mut self, request: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    /// Runs a command of the server.
    pub(crate) async fn execute(&mut self, command: &str, argument: Value) -> Result<Value, Value> {
        let params = json!({"command": format!("opendevagent.{command}"), "arguments": [argument]});
        self.request("workspace/executeCommand", params).await
    }

    /// Begins a task on a file; its id.
    pub(crate) async fn begin(&mut self, command: &str, path: &str) -> String {
        let argument = json!({"uri": self.uri(path), "instruction": "do it"});
        let answer = self.execute(command, argument).await.unwrap();
        answer["task"].as_str().unwrap().to_owned()
    }

    /// The titles of the code actions on a line.
    pub(crate) async fn titles(&mut self, path: &str, line: u32) -> Vec<String> {
        let at = json!({"line": line, "character": 0});
        let params = json!({
            "textDocument": {"uri": self.uri(path)},
            "range": {"start": at, "end": at},
            "context": {"diagnostics": []},
        });
        let actions = self.request("textDocument/codeAction", params).await.unwrap();
        actions
            .as_array()
            .unwrap()
            .iter()
            .map(|action| action["title"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until a task has ended; its record.
    pub(crate) async fn ended(&mut self, task: &str) -> Value {
        loop {
            let record = self.request("opendevagent/task", json!({"task": task})).await.unwrap();
            if record.get("duration_ms").is_some() {
                return record;
            }
            // Something is said whenever something has changed.
            let said = self.find(|message| CHATTER.contains(&message["method"].as_str().unwrap_or(""))).await;
            drop(said);
        }
    }

    /// The next message, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        self.find(|_| true).await
    }

    /// Takes the first message that fits; the others stay unread.
    async fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&fits) {
            return self.unread.remove(at).expect("it was just found");
        }
        loop {
            let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
            let message = message.unwrap_or_else(|_| panic!("nothing came; unread: {:#?}", self.unread));
            let message = message.unwrap_or_else(|| panic!("the server ended; unread: {:#?}", self.unread));
            if fits(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }

    /// Drops what came and fits.
    pub(crate) fn forget(&mut self, fits: impl Fn(&Value) -> bool) {
        while let Ok(message) = self.messages.try_recv() {
            self.unread.push_back(message);
        }
        self.unread.retain(|message| !fits(message));
    }

    /// Whatever came and will come need not be asked for: the server has more to say of a task than a test wants, and
    /// may say it after the answer that the test has waited for.
    pub(crate) fn ignore_all(&mut self) {
        self.ignores_all = true;
    }

    /// Reads past messages of these methods, and minds none that comes later.
    pub(crate) fn ignore(&mut self, methods: &[&str]) {
        self.ignored.extend(methods.iter().map(|&method| method.to_owned()));
        let ignored = self.ignored.clone();
        self.forget(|message| {
            message["method"].as_str().is_some_and(|it| ignored.iter().any(|one| one == it))
        });
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Kills the server, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Closes the server's input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for the end of the process; its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the server ends").unwrap().code()
    }

    /// `shutdown` and `exit`, with the input still open.
    pub(crate) async fn quit(mut self) {
        self.request("shutdown", Value::Null).await.unwrap();
        self.notify("exit", Value::Null).await;
        assert_eq!(self.exit_code().await, Some(0));
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.ignore(&[]);
        if !self.ignores_all && !std::thread::panicking() {
            assert!(self.unread.is_empty(), "unread: {:#?}", self.unread);
        }
    }
}

async fn read(output: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("Content-Length", number)) => length = number.parse().ok()?,
            _ => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// A model server over real HTTP. It answers each agent with one text, or never.
pub(crate) struct Models {
    /// Settings that lead to it, with the sandbox off.
    pub(crate) settings: Value,
}

impl Models {
    /// Answers by the name of the agent; one that is not named is never answered.
    pub(crate) async fn start(answers: &[(&'static str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Vec<(String, String)> =
            answers.iter().map(|(who, text)| ((*who).into(), (*text).into())).collect();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone()));
            }
        });
        let agent = |name: &str| json!({"model": name, "fallbacks": []});
        let settings = json!({
            "model": {"baseUrl": format!("http://{address}/v1")},
            "sandbox": {"host": "off"},
            "agents": {"architect": agent("architect"), "coder": agent("coder"), "debugger": agent("debugger")},
        });
        Self { settings }
    }
}

async fn serve(stream: tokio::net::TcpStream, answers: Vec<(String, String)>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let asked: Value = serde_json::from_slice(&body).ok()?;
    let answer = answers.iter().find(|(who, _)| asked["model"] == **who);
    let Some((who, text)) = answer else { return std::future::pending().await };
    let chunk = json!({"model": who, "choices": [{"index": 0, "delta": {"content": text}}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let answer = format!("{head}data: {chunk}\n\ndata: {stop}\n\ndata: [DONE]\n\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Whether a path is readable by its owner alone.
pub(crate) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
}
