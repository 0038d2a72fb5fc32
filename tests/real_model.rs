//! The client against a real llama.cpp server with a tiny model: streaming, cancel, usage, schema, room; not wisdom.
//! Opt-in: `LLM_REAL=1 tests/run`.

use crate::support::{project, skipped};
use opendevagent::config::Settings;
use opendevagent::model::{Agent, Call, Finish, Heard, Message, Model, ModelError, Reply, Role};
use opendevagent::wiring;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// The server; it ends with its input.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server; its address.
fn start(python: &str) -> (Server, String) {
    let mut command = Command::new(python);
    command.arg(project().join("tests/llm/serve.py"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let stdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.find("http://").map(|at| line[at..].trim().to_owned()));
    (Server(child), address.expect("the server tells its address"))
}

fn call(prompt: &str, max_tokens: u32, schema: Option<Value>) -> Call {
    Call {
        agent: Agent::Coder,
        model: "smollm2".into(),
        fallbacks: vec![],
        temperature: 0.0,
        max_tokens,
        messages: vec![Message { role: Role::User, content: prompt.into() }],
        schema: schema.map(|schema| ("answer", schema)),
        session: "s".into(),
        stable: 0,
    }
}

/// The answer, and in how many pieces it came.
async fn ask(model: &dyn Model, call: &Call) -> (Result<Reply, ModelError>, usize) {
    let mut pieces = 0;
    let mut ear = |heard: Heard<'_>| pieces += usize::from(matches!(heard, Heard::Text(_)));
    let result = model.complete(call, &mut ear).await;
    (result, pieces)
}

#[tokio::test]
async fn a_real_server_streams_counts_cancels_and_keeps_to_a_schema() {
    let Ok(python) = std::env::var("OPENDEVAGENT_LLM_PYTHON") else { return skipped("needs LLM_REAL=1") };
    let (_server, address) = start(&python);
    let mut settings = Settings::default();
    settings.model.base_url = format!("{address}/v1");
    settings.model.key_env = "NO_KEY_IS_NEEDED".into();
    let keys = Arc::new(wiring::Keys::new(&settings, None));
    let model = wiring::model(&settings, keys).unwrap();

    let window = model.window("smollm2").await.expect("it tells its room");
    assert_eq!((window.server.as_str(), window.tokens), ("llama.cpp", 2048));
    assert!(model.probe().await.unwrap().starts_with("1 models"));

    let (reply, pieces) = ask(&model, &call("Count from one to ten.", 24, None)).await;
    let reply = reply.unwrap();
    assert!(
        pieces > 1 && !reply.text.is_empty() && reply.usage.prompt_tokens > 0,
        "{pieces} pieces: {reply:?}"
    );
    assert!((1..=24).contains(&reply.usage.completion_tokens), "{reply:?}");

    let schema = json!({"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"], "additionalProperties": false});
    let (reply, _) = ask(&model, &call("What is 2 + 3? Answer in JSON.", 100, Some(schema))).await;
    let reply = reply.unwrap();
    assert_eq!(reply.finish, Finish::Stop, "{reply:?}");
    assert!(serde_json::from_str::<Value>(&reply.text).unwrap()["sum"].is_i64(), "{reply:?}");

    // There is one slot: an answer that went on would keep the next one waiting.
    let long = call("Tell a very long story.", 1500, None);
    let (sender, began) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let mut ear = |_: Heard<'_>| {
        let _ = sender.take().map(|sender| sender.send(()));
    };
    tokio::select! {
        result = model.complete(&long, &mut ear) => panic!("it ended before it was cancelled: {result:?}"),
        began = began => began.unwrap(),
    }
    let (reply, _) = ask(&model, &call("Say hello.", 8, None)).await;
    assert!(reply.unwrap().usage.completion_tokens <= 8);

    let (refused, _) = ask(&model, &call(&"word ".repeat(4_000), 8, None)).await;
    assert!(matches!(refused, Err(ModelError::TooLong(_))), "{refused:?}");
}
