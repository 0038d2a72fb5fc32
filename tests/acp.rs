//! The Agent Client Protocol from outside: the real binary, a client of lines of JSON, a scripted model.

use crate::editor::Models;
use crate::support::docker;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Long enough for a busy machine; only a hanging test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const PLAN: &str = r#"{"summary":"s","components":[],"steps":[{"title":"t"}]}"#;
const BEFORE: &str = "def one():\n    return 2\n";
const AFTER: &str = "def one():\n    return 1\n";
const EDIT: &str = "a.py\n```python\n<<<<<<< SEARCH\ndef one():\n    return 2\n=======\ndef one():\n    return 1\n>>>>>>> REPLACE\n```\n";

/// A client with one file, which it may hold unsaved.
struct Client {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    directory: TempDir,
    session: String,
    /// `a.py` as the user sees it.
    buffer: String,
    /// What the user answers to a question for permission.
    permits: bool,
    /// Whether it writes what it says that it wrote.
    writes: bool,
    questions: usize,
    updates: Vec<Value>,
    next_id: i64,
}

impl Client {
    async fn start(models: &Models, sandbox: bool, capabilities: Value) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("w")).unwrap();
        std::fs::write(directory.path().join("w/a.py"), BEFORE).unwrap();
        let config = directory.path().join("config/opendevagent");
        std::fs::create_dir_all(&config).unwrap();
        let mut settings = models.settings.clone();
        if sandbox {
            settings.as_object_mut().unwrap().remove("sandbox");
        }
        std::fs::write(config.join("config.toml"), toml::to_string(&settings).unwrap()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_opendevagent"))
            .arg("--acp")
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", directory.path())
            .env("XDG_CONFIG_HOME", directory.path().join("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut client = Self {
            child,
            input,
            output: BufReader::new(output).lines(),
            directory,
            session: String::new(),
            buffer: BEFORE.into(),
            permits: true,
            writes: true,
            questions: 0,
            updates: Vec::new(),
            next_id: 0,
        };
        let hello = json!({"protocolVersion": 1, "clientCapabilities": capabilities});
        let answer = client.request("initialize", hello).await.unwrap();
        assert_eq!(answer["protocolVersion"], 1);
        assert_eq!(answer["agentInfo"]["name"], "opendevagent");
        let session = json!({"cwd": client.workspace(), "mcpServers": []});
        let answer = client.request("session/new", session).await.unwrap();
        client.session = answer["sessionId"].as_str().unwrap().to_owned();
        client
    }

    fn workspace(&self) -> PathBuf {
        self.directory.path().join("w")
    }

    async fn send(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        self.input.flush().await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await.expect("something comes");
        serde_json::from_str(&line.unwrap().expect("the agent runs")).unwrap()
    }

    async fn post(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// The answer; whatever the agent asks meanwhile is answered.
    async fn answer(&mut self, id: i64) -> Result<Value, Value> {
        loop {
            let mut message = self.next().await;
            if message.get("method").is_none() && message["id"] == json!(id) {
                return match message.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(message["result"].take()),
                };
            }
            self.hear(message).await;
        }
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.post(method, params).await;
        self.answer(id).await
    }

    async fn hear(&mut self, message: Value) {
        let params = &message["params"];
        let result = match message["method"].as_str().unwrap() {
            "session/update" => {
                self.updates.push(params["update"].clone());
                return;
            }
            // It no longer waits for something that it asked: any client may ignore that.
            "$/cancel_request" => return,
            "session/request_permission" => {
                self.questions += 1;
                let option = if self.permits { "yes" } else { "no" };
                json!({"outcome": {"outcome": "selected", "optionId": option}})
            }
            "fs/read_text_file" => {
                assert!(params["path"].as_str().unwrap().ends_with("/w/a.py"), "{params}");
                json!({"content": self.buffer})
            }
            "fs/write_text_file" => {
                assert!(params["path"].as_str().unwrap().ends_with("/w/a.py"), "{params}");
                if self.writes {
                    params["content"].as_str().unwrap().clone_into(&mut self.buffer);
                }
                json!({})
            }
            method => panic!("the agent asks for {method}"),
        };
        self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).await;
    }

    fn words(&self, text: &str) -> Value {
        let link = json!({"type": "resource_link", "name": "a.py", "uri": self.uri()});
        json!({"sessionId": self.session, "prompt": [{"type": "text", "text": text}, link]})
    }

    fn uri(&self) -> String {
        url::Url::from_file_path(self.workspace().join("a.py")).unwrap().into()
    }

    /// One prompt about `a.py`: why the turn ended.
    async fn prompt(&mut self, text: &str) -> String {
        let params = self.words(text);
        let answer = self.request("session/prompt", params).await.unwrap();
        answer["stopReason"].as_str().unwrap().to_owned()
    }

    /// Updates of one kind.
    fn told(&self, kind: &str) -> Vec<&Value> {
        self.updates.iter().filter(|update| update["sessionUpdate"] == kind).collect()
    }

    /// What the agent said to the user.
    fn said(&self) -> String {
        let chunks = self.told("agent_message_chunk");
        chunks.iter().map(|update| update["content"]["text"].as_str().unwrap()).collect()
    }

    /// What became of the proposals, the oldest first, and how many lines of the audit log tell of applied edits.
    fn decisions(&self) -> (Vec<String>, usize) {
        let state = self.directory.path().join(".local/state/opendevagent");
        let mut tasks: Vec<_> = std::fs::read_dir(state.join("journal/tasks"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        tasks.sort();
        let lines = |path: PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
        };
        let decided = tasks.into_iter().flat_map(lines).filter(|line| line["kind"] == "decided");
        let decided = decided.map(|line| line["decision"].as_str().unwrap().to_owned()).collect();
        let applied =
            lines(state.join("audit.jsonl")).into_iter().filter(|line| line["deed"] == "edit_applied");
        (decided, applied.count())
    }

    /// Closes the agent's input, which ends it.
    async fn leave(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("the agent ends");
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}

fn able() -> Value {
    json!({"fs": {"readTextFile": true, "writeTextFile": true}})
}

async fn answering() -> Models {
    Models::start(&[("architect", PLAN), ("coder", EDIT), ("debugger", EDIT)]).await
}

#[tokio::test]
async fn a_proposal_is_shown_permitted_and_written_by_the_client() {
    let mut client = Client::start(&answering().await, false, able()).await;
    assert_eq!(client.prompt("make it one in ").await, "end_turn");
    assert_eq!((client.buffer.as_str(), client.questions), (AFTER, 1));
    assert_eq!(std::fs::read_to_string(client.workspace().join("a.py")).unwrap(), BEFORE);
    let commands = &client.told("available_commands_update")[0]["availableCommands"];
    assert_eq!(commands.as_array().unwrap().len(), 6);
    let call = client.told("tool_call")[0];
    let diff = &call["content"][0];
    assert_eq!((&diff["oldText"], &diff["newText"]), (&json!(BEFORE), &json!(AFTER)), "{call}");
    assert_eq!(client.told("tool_call_update")[0]["status"], "completed");
    assert!(client.said().contains("sandbox") && client.said().contains("Applied."), "{}", client.said());
    let steps = client.told("plan").last().unwrap()["entries"].as_array().unwrap().clone();
    assert!(steps.iter().all(|step| step["status"] == "completed"), "{steps:?}");
    client.leave().await;
}

/// What became of proposals is written down, and what was written by the client is in the audit log.
#[tokio::test]
async fn decisions_are_in_the_journal() {
    let mut client = Client::start(&answering().await, false, able()).await;
    client.permits = false;
    client.prompt("make it one in ").await;
    assert_eq!(client.decisions(), (vec!["discarded".to_owned()], 0));
    client.permits = true;
    client.prompt("make it one in ").await;
    assert_eq!(client.decisions(), (vec!["discarded".to_owned(), "applied".to_owned()], 1));
    client.leave().await;
}

/// Editors take sessions up again after a restart, and close those that nobody looks at.
#[tokio::test]
async fn sessions_are_resumed_and_closed() {
    let silent = Models::start(&[]).await;
    let mut client = Client::start(&silent, false, able()).await;
    let resume = json!({"sessionId": "of before", "cwd": client.workspace(), "mcpServers": []});
    client.request("session/resume", resume).await.unwrap();
    client.session = "of before".into();
    let params = client.words("/explain ");
    let id = client.post("session/prompt", params.clone()).await;
    client.request("session/close", json!({"sessionId": "of before"})).await.unwrap();
    assert_eq!(client.answer(id).await.unwrap()["stopReason"], "cancelled");
    let error = client.request("session/prompt", params).await.unwrap_err();
    assert!(error["data"].as_str().unwrap().contains("no such session"), "{error}");
    client.request("session/close", json!({"sessionId": "of before"})).await.unwrap();
    client.leave().await;
}

#[tokio::test]
async fn nothing_is_written_without_permission() {
    let mut client = Client::start(&answering().await, false, able()).await;
    client.permits = false;
    client.prompt("make it one in ").await;
    assert_eq!((client.buffer.as_str(), client.questions), (BEFORE, 1));
    assert!(client.said().contains("Not applied: discarded"), "{}", client.said());
    client.leave().await;
}

/// The buffer is believed, not the answer.
#[tokio::test]
async fn what_a_client_does_not_write_is_not_applied() {
    let mut client = Client::start(&answering().await, false, able()).await;
    client.writes = false;
    client.prompt("make it one in ").await;
    assert!(client.said().contains("says that it wrote a.py, and it did not"), "{}", client.said());
    assert_eq!(client.decisions(), (Vec::new(), 0));
    client.leave().await;
}

/// What the user typed and did not save is what the model sees, and what an edit is compared with.
#[tokio::test]
async fn unsaved_text_counts() {
    let mut client = Client::start(&answering().await, false, able()).await;
    client.buffer = format!("# mine\n{BEFORE}");
    client.prompt("make it one in ").await;
    assert_eq!(client.buffer, format!("# mine\n{AFTER}"));
    client.leave().await;
}

/// Types `text` while the question is open, and says yes.
async fn typing_meanwhile(text: &str) -> Client {
    let mut client = Client::start(&answering().await, false, able()).await;
    let params = client.words("make it one in ");
    let id = client.post("session/prompt", params).await;
    let question = loop {
        let message = client.next().await;
        if message["method"] == "session/request_permission" {
            break message;
        }
        client.hear(message).await;
    };
    client.buffer = text.into();
    client.hear(question).await;
    client.answer(id).await.unwrap();
    client
}

#[tokio::test]
async fn what_was_typed_meanwhile_stays() {
    let client = typing_meanwhile("typed\n").await;
    assert_eq!(client.buffer, "typed\n");
    assert!(client.said().contains("a.py has changed where it was to be edited"), "{}", client.said());
    client.leave().await;
    let client = typing_meanwhile(&format!("# typed\n{BEFORE}")).await;
    assert_eq!(client.buffer, format!("# typed\n{AFTER}"));
    assert!(client.said().contains("\n\nApplied."), "{}", client.said());
    client.leave().await;
}

#[tokio::test]
async fn a_client_without_files_sees_the_diff() {
    let mut client = Client::start(&answering().await, false, json!({})).await;
    client.prompt("make it one in ").await;
    assert_eq!((client.told("tool_call").len(), client.questions), (1, 0));
    assert!(client.said().contains("takes no edits"), "{}", client.said());
    client.leave().await;
}

#[tokio::test]
async fn a_stalled_model_is_cancelled() {
    let silent = Models::start(&[]).await;
    let mut client = Client::start(&silent, false, able()).await;
    let params = client.words("/explain ");
    let id = client.post("session/prompt", params.clone()).await;
    // One task at a time, and the connection goes on hearing.
    let second = client.request("session/prompt", params).await.unwrap_err();
    assert!(second["data"].as_str().unwrap().contains("cancel it first"), "{second}");
    let session = json!({"sessionId": client.session});
    client.send(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": session})).await;
    assert_eq!(client.answer(id).await.unwrap()["stopReason"], "cancelled");
    client.leave().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let mut client = Client::start(&answering().await, false, able()).await;
    assert_eq!(client.prompt("/dance ").await, "end_turn");
    assert!(client.said().contains("there is no /dance"), "{}", client.said());
    let error = client.request("session/new", json!({"cwd": "w", "mcpServers": []})).await.unwrap_err();
    assert!(error["data"].as_str().unwrap().contains("absolute path"), "{error}");
    let prompt = json!({"sessionId": "none", "prompt": []});
    assert!(client.request("session/prompt", prompt).await.is_err());
    let unknown = client.request("no/such", json!({})).await.unwrap_err();
    assert_eq!(unknown["code"], -32601);
    for line in [&b"garbage\n"[..], b"\xff\xfe\n"] {
        client.input.write_all(line).await.unwrap();
        let parse_error = client.next().await;
        assert_eq!(parse_error["error"]["code"], -32700, "{parse_error}");
    }
    assert_eq!(client.prompt("make it one in ").await, "end_turn");
    client.leave().await;
}

#[tokio::test]
async fn a_fix_is_proven_in_the_sandbox() {
    if !docker() {
        return;
    }
    let mut client = Client::start(&answering().await, true, able()).await;
    let test = "from a import one\n\n\ndef test_one():\n    assert one() == 1\n";
    std::fs::write(client.workspace().join("test_one.py"), test).unwrap();
    assert_eq!(client.prompt("/fix ").await, "end_turn");
    assert!(client.said().contains("proven"), "{}", client.said());
    let runs: Vec<_> =
        client.told("tool_call").into_iter().filter(|call| call["kind"] == "execute").collect();
    assert_eq!((&runs[0]["status"], &runs[1]["status"]), (&json!("failed"), &json!("completed")));
    let output = runs[0]["content"][0]["content"]["text"].as_str().unwrap();
    assert!(output.contains("test_one"), "{output}");
    assert_eq!(client.buffer, AFTER);
    client.leave().await;
}
