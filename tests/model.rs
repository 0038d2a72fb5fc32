//! The model client against a real server on loopback that plays prepared bytes.

mod faults;
mod server;

use futures_util::future::BoxFuture;
use opendevagent::model::openai::{KeySource, OpenAi, Options};
use opendevagent::model::{Agent, Call, Finish, Heard, Message, Model, ModelError, Reply, Role, Usage};
use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Act, STREAM, Server};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const KEY: &str = "sk-or-v1-secretsecretsecret0123456789";
const HI: &str = r#"data: {"model":"who","choices":[{"delta":{"content":"hi"}}]}"#;
const STOP: &str = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

fn stream(lines: &[&str]) -> Act {
    Act::Send(format!("{STREAM}{}\n\n", lines.join("\n\n")).into_bytes())
}

fn answer() -> Act {
    stream(&[HI, STOP, "data: [DONE]"])
}

fn http(status: &str, headers: &str, media: &str, body: &str) -> Act {
    let length = body.len();
    Act::Send(
        format!("HTTP/1.1 {status} X\r\ncontent-type: {media}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .into_bytes(),
    )
}

fn error(status: u16, error: &Value) -> Act {
    http(&status.to_string(), "", "application/json", &json!({ "error": error }).to_string())
}

/// Gives these keys, the next one after each refusal.
struct Keys(Mutex<Vec<&'static str>>);

impl KeySource for Keys {
    fn key(&self, rejected: bool) -> BoxFuture<'_, Option<SecretString>> {
        Box::pin(async move {
            let mut keys = self.0.lock().unwrap();
            if rejected && !keys.is_empty() {
                keys.remove(0);
            }
            keys.first().map(|key| SecretString::from(*key))
        })
    }
}

fn options(base_url: &str, keys: &[&'static str]) -> Options {
    let long = Duration::from_secs(15);
    Options {
        base_url: base_url.to_owned(),
        key: Arc::new(Keys(Mutex::new(keys.to_vec()))),
        data_collection: "deny".into(),
        zdr: false,
        connect: long,
        first_byte: long,
        first_token: long,
        idle: long,
        call: 4 * long,
        tries: 3,
        max_hint: Duration::from_secs(30),
        requests_per_minute: 100,
        shared: None,
        concurrent: 4,
        lists: None,
    }
}

fn call(fallbacks: &[&str]) -> Call {
    Call {
        agent: Agent::Coder,
        model: "mistral/codestral-22b".into(),
        fallbacks: fallbacks.iter().map(|model| (*model).to_owned()).collect(),
        temperature: 0.2,
        max_tokens: 1000,
        messages: vec![Message { role: Role::User, content: "do".into() }],
        schema: Some(("plan", json!({"type": "object"}))),
        stable: 0,
        session: "s-1".into(),
    }
}

/// Everything that is seen of one call.
struct Outcome {
    result: Result<Reply, ModelError>,
    heard: String,
    /// What the requests cost that came to nothing.
    lost: Usage,
    server: Server,
}

async fn ask_with(server: Server, options: Options, call: Call) -> Outcome {
    let debug = format!("{options:?}");
    let model = OpenAi::new(options).unwrap();
    assert!(!format!("{debug}{model:?}").contains("secretsecret"));
    let mut heard = Vec::new();
    let mut lost = Usage::default();
    let mut ear = |piece: Heard<'_>| match piece {
        Heard::Text(text) => heard.push(text.to_owned()),
        Heard::Retry { why, .. } => heard.push(format!("[retry: {why}]")),
        Heard::Unlisted { model, meant, .. } => heard.push(format!("[no {model}, {meant:?}?]")),
        Heard::StoodIn { asked, by } => heard.push(format!("[{by} for {asked}]")),
        Heard::Lost(usage) => lost += usage,
        Heard::Fallback { from, to, why } => heard.push(format!("[{from} -> {to}: {why}]")),
    };
    let result = model.complete(&call, &mut ear).await;
    let heard = heard.concat();
    for text in [&heard, &format!("{result:?}")] {
        assert!(!text.contains("secretsecret"), "{text}");
    }
    Outcome { result, heard, lost, server }
}

async fn ask(acts: Vec<Act>) -> Outcome {
    let server = Server::start("/v1", acts).await;
    let options = options(&server.base_url, &[KEY]);
    ask_with(server, options, call(&[])).await
}

/// The kind of a result, and what it says.
fn told(result: &Result<Reply, ModelError>) -> (String, String) {
    match result {
        Ok(reply) => (format!("{:?}", reply.finish), reply.text.clone()),
        Err(error) => {
            let kind = format!("{error:?}");
            (kind.split('(').next().unwrap_or_default().to_owned(), error.to_string())
        }
    }
}

async fn check(name: &str, acts: Vec<Act>, kind: &str, says: &str, requests: usize) {
    let outcome = ask(acts).await;
    let (got, text) = told(&outcome.result);
    assert_eq!((got.as_str(), outcome.server.requests()), (kind, requests), "{name}: {text}");
    assert!(text.contains(says), "{name}: {text}");
    if outcome.result.is_err() {
        assert!(text.contains("mistralai/codestral-2508 at 127.0.0.1:"), "{name}: {text}");
        assert!(text.contains("; "), "{name} says what to do: {text}");
        assert!(text.chars().count() < 600, "{name}: {text}");
    }
}

#[tokio::test]
async fn the_request_is_what_the_server_understands() {
    let server = Server::start("/api/v1/", vec![answer()]).await;
    let settings = options(&server.base_url, &[" 'sk-or-v1-secretsecretsecret0123456789'\n"]);
    let outcome = ask_with(server, settings, call(&["b", "c", "d", "e"])).await;
    let reply = outcome.result.unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str(), reply.usage.calls), ("hi", "who", 1));
    let seen = outcome.server.seen.lock().unwrap();
    assert!(seen[0].head.starts_with("POST /api/v1/chat/completions HTTP/1.1"));
    let format = json!({"name": "plan", "strict": true, "schema": {"type": "object"}});
    let expect = json!({
        "model": "mistralai/codestral-2508", "models": ["b", "c", "d"],
        "messages": [{"role": "user", "content": "do"}],
        "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 1000, "temperature": 0.2,
        "response_format": {"type": "json_schema", "json_schema": format},
        "provider": {"data_collection": "deny", "zdr": false, "require_parameters": true}, "session_id": "s-1",
    });
    assert_eq!(seen[0].body, expect);
    drop(seen);
    assert_eq!(outcome.server.headers("authorization"), [format!("Bearer {KEY}")]);
    for (name, value) in [("x-title", "OpenDevAgent"), ("x-openrouter-categories", "ide-extension")] {
        assert_eq!(outcome.server.headers(name), [value]);
    }
}

#[tokio::test]
async fn plain_servers_get_no_foreign_fields_and_no_key_if_there_is_none() {
    let server = Server::start("/v1", vec![answer()]).await;
    let [first_byte, first_token, idle, call_limit] = [Duration::MAX; 4];
    let settings =
        Options { first_byte, first_token, idle, call: call_limit, ..options(&server.base_url, &[]) };
    let outcome = ask_with(server, settings, call(&["b"])).await;
    assert_eq!(outcome.result.unwrap().finish, Finish::Stop);
    for field in ["models", "provider", "session_id"] {
        assert_eq!(outcome.server.asked(field), [Value::Null]);
    }
    for name in ["authorization", "x-title", "http-referer"] {
        assert_eq!(outcome.server.headers(name), [""]);
    }
}

#[tokio::test]
async fn answers_come_in_many_shapes() {
    let whole = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).to_string();
    check(
        "json",
        vec![http("200", "", "application/json; charset=utf-8", &format!("\n  {whole}"))],
        "Stop",
        "hi",
        1,
    )
    .await;
    check("done", vec![stream(&[HI, "data: [DONE]"])], "Stop", "hi", 1).await;
    check("no done", vec![stream(&[HI, STOP])], "Stop", "hi", 1).await;
    check("comments", vec![stream(&[": PROCESSING", HI, ": ping", STOP])], "Stop", "hi", 1).await;
    let length = r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#;
    check("length", vec![stream(&[HI, length])], "Length", "hi", 1).await;
    let open = |lines: &[&str]| Act::Stall(format!("{STREAM}{}\n\n", lines.join("\n\n")).into_bytes());
    check("open after done", vec![open(&[HI, STOP, "data: [DONE]"])], "Stop", "hi", 1).await;
    check("open after the reason", vec![open(&[HI, STOP])], "Stop", "hi", 1).await;
}

#[tokio::test]
async fn refusals_are_final() {
    let says = |message: &str| json!({"code": 0, "message": format!("{message} {KEY}\u{1b}[31m\u{202e}")});
    let cases = [
        (400, "Refused", "answered 400: bad ***;"),
        (401, "Auth", "answered 401: bad ***; check the key"),
        (402, "Payment", "answered 402: bad ***; add credit"),
        (403, "Refused", "answered 403: bad ***;"),
        (404, "Refused", "answered 404: bad ***; check model.baseUrl"),
        (413, "Refused", "answered 413: bad ***;"),
        (422, "Refused", "answered 422: bad ***;"),
    ];
    for (status, kind, text) in cases {
        check(&status.to_string(), vec![error(status, &says("bad"))], kind, text, 1).await;
    }
    let long = json!({"message": "maximum context length is 4096 tokens"});
    check("too long", vec![error(400, &long)], "TooLong", "lower context.maxTokens", 1).await;
    let daily = json!({"code": 429, "message": "Rate limit exceeded: free-models-per-day"});
    check("daily", vec![error(429, &daily)], "RateLimited", "until tomorrow", 1).await;
    let never = json!({"message": "m", "availability": {"retryable": false}});
    check("not retryable", vec![error(503, &never)], "Unreachable", "answered 503", 1).await;
    let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
    check("page", vec![http("403", "", "text/html", page)], "Refused", "answered 403: a web page;", 1).await;
    check("page in 200", vec![http("200", "", "text/html", page)], "Malformed", ": a web page;", 1).await;
    check("text in 200", vec![http("200", "", "text/plain", &"no ".repeat(900))], "Malformed", "no no…;", 1)
        .await;
    check(
        "redirect",
        vec![http("307", "location: http://evil.example/x\r\n", "text/plain", "")],
        "Refused",
        "a redirect to evil.example;",
        1,
    )
    .await;
    check(
        "error in 200",
        vec![http("200", "", "application/json", r#"{"error":{"code":403,"message":"m"}}"#)],
        "Refused",
        "answered 403: m",
        1,
    )
    .await;
    check(
        "no choices",
        vec![http("200", "", "application/json", "{}")],
        "Malformed",
        "JSON without choices",
        1,
    )
    .await;
    check(
        "broken",
        vec![http("200", "", "application/json", "{\"choices\":")],
        "Malformed",
        "broken JSON",
        1,
    )
    .await;
    check(
        "error frame",
        vec![stream(&[r#"data: {"error":{"message":"Compute error."}}"#])],
        "Refused",
        "Compute error;",
        1,
    )
    .await;
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let busy = || error(429, &json!({"message": "slow down", "metadata": {"headers": {"Retry-After": "0"}}}));
    let hint = |status: &str| http(status, "retry-after: 0\r\n", "application/json", r#"{"error":"m"}"#);
    let frame = |code: Value| {
        stream(&[HI, &format!("data: {}", json!({"error": {"code": code, "message": "m"}, "choices": []}))])
    };
    check("429", vec![busy(), busy(), answer()], "Stop", "hi", 3).await;
    check("429 for ever", vec![busy()], "RateLimited", "answered 429: slow down; wait", 3).await;
    for status in ["408", "500", "502", "503", "504", "524", "529"] {
        check(status, vec![hint(status), answer()], "Stop", "hi", 2).await;
    }
    check("500 for ever", vec![hint("500")], "Unreachable", "answered 500: m; try again later", 3).await;
    check("frame", vec![frame(json!(502)), frame(json!("server_error")), answer()], "Stop", "hi", 3).await;
    check("cut", vec![stream(&[HI]), answer()], "Stop", "hi", 2).await;
    check("cut for ever", vec![stream(&[HI])], "Incomplete", "hi", 3).await;
    let outcome = ask(vec![stream(&[HI]), hint("500"), answer()]).await;
    let (lost, usage) = (outcome.lost, outcome.result.unwrap().usage);
    assert_eq!((lost.calls, lost.completion_tokens, lost.estimated), (2, 1, true));
    assert_eq!((usage.calls, usage.completion_tokens, usage.estimated), (1, 1, true));
    check("nothing", vec![Act::Send(vec![])], "Unreachable", "ended its answer too early", 3).await;
    check("only done", vec![stream(&["data: [DONE]"])], "Malformed", "answered nothing", 3).await;
    let broken = format!(
        "{}\r\n\r\n{HI}\n\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999"
    );
    check("short", vec![Act::Send(broken.into_bytes()), answer()], "Stop", "hi", 2).await;
}

type Limit = fn(&mut Options) -> &mut Duration;

/// Only the limit under test is short; which setting raises it is said.
#[tokio::test]
async fn every_wait_has_a_limit() {
    let text = || format!("{STREAM}{HI}\n\n").into_bytes();
    let pings = || Act::Repeat(STREAM.into(), b": ping\n\n");
    let short = Duration::from_millis(100);
    let cases: [(&str, Act, Limit); 6] = [
        (
            "sent no first byte for 0.1 s; try again, or raise limits.firstByteSeconds",
            Act::Stall(vec![]),
            |o| &mut o.first_byte,
        ),
        ("limits.firstByteSeconds", Act::Stall(STREAM.into()), |o| &mut o.first_byte),
        ("limits.firstTokenSeconds", pings(), |o| &mut o.first_token),
        ("limits.idleSeconds", Act::Stall(text()), |o| &mut o.idle),
        ("limits.callSeconds", Act::Stall(vec![]), |o| &mut o.call),
        ("limits.callSeconds", pings(), |o| &mut o.call),
    ];
    for (says, act, limit) in cases {
        let server = Server::start("/v1", vec![act]).await;
        let mut settings = Options { tries: 2, ..options(&server.base_url, &[KEY]) };
        *limit(&mut settings) = short;
        let (kind, text) = told(&ask_with(server, settings, call(&[])).await.result);
        assert!(kind == "Unreachable" && text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn a_flood_ends() {
    let flood = Act::Repeat(format!("{STREAM}data: ").into_bytes(), &[b'a'; 8192]);
    let server = Server::start("/v1", vec![flood]).await;
    let settings = options(&server.base_url, &[KEY]);
    let outcome = ask_with(server, settings, call(&[])).await;
    let (kind, text) = told(&outcome.result);
    assert!(kind == "Malformed" && text.contains("a line over 4 MiB"), "{text}");
    assert_eq!(outcome.server.requests(), 1);
}

#[tokio::test]
async fn other_models_stand_in() {
    let unknown = || error(404, &json!({"message": "model 'x' not found"}));
    let patient =
        || http("429", "retry-after: 99\r\n", "application/json", r#"{"error":{"message":"later"}}"#);
    let down = || http("503", "retry-after: 0\r\n", "application/json", r#"{"error":{"message":"down"}}"#);
    let first = "mistralai/codestral-2508";
    let cases = [
        (vec![unknown(), answer()], vec![first, "b"], "Stop"),
        (vec![unknown()], vec![first, "b"], "Refused"),
        (vec![patient(), answer()], vec![first, "b"], "Stop"),
        (vec![patient()], vec![first, "b"], "RateLimited"),
        (vec![down(), down(), answer()], vec![first, first, "b"], "Stop"),
        (vec![error(403, &json!({"message": "no"}))], vec![first], "Refused"),
    ];
    for (acts, models, kind) in cases {
        let server = Server::start("/v1", acts).await;
        let settings = options(&server.base_url, &[KEY]);
        let outcome = ask_with(server, settings, call(&["b"])).await;
        assert_eq!(
            (outcome.server.asked("model"), told(&outcome.result).0),
            (models.iter().map(|m| json!(m)).collect(), kind.to_owned())
        );
        assert_eq!(outcome.heard.contains("[mistralai/codestral-2508 -> b: answered"), models.contains(&"b"));
    }
}

#[tokio::test]
async fn what_a_server_does_not_support_is_left_out_once() {
    let no = |field: &str| error(400, &json!({"message": format!("{field} is not supported")}));
    let outcome = ask(vec![no("response_format"), no("stream_options"), answer()]).await;
    assert_eq!(told(&outcome.result).0, "Stop");
    let sent = |field| outcome.server.asked(field).iter().map(|value| !value.is_null()).collect::<Vec<_>>();
    assert_eq!(sent("response_format"), [true, false, false]);
    assert_eq!(sent("stream_options"), [true, true, false]);
    check("again", vec![no("response_format")], "Refused", "not supported", 2).await;

    let poor =
        || error(402, &json!({"message": "You requested up to 1000 tokens, but can only afford 300."}));
    let outcome = ask(vec![poor(), answer()]).await;
    assert_eq!(outcome.server.asked("max_tokens"), [1000, 300]);
    check("poor", vec![poor()], "Payment", "can only afford 300; add credit", 2).await;
}

#[tokio::test]
async fn a_refused_key_is_never_sent_again() {
    let refused = || error(401, &json!({"message": "User not found."}));
    let server = Server::start("/v1", vec![refused(), answer()]).await;
    let settings = options(&server.base_url, &[KEY, "sk-or-v1-secretsecretsecret-new"]);
    let outcome = ask_with(server, settings, call(&[])).await;
    assert_eq!(told(&outcome.result).0, "Stop");
    let sent = [format!("Bearer {KEY}"), "Bearer sk-or-v1-secretsecretsecret-new".to_owned()];
    assert_eq!(outcome.server.headers("authorization"), sent);

    let server = Server::start("/v1", vec![refused()]).await;
    let model = OpenAi::new(options(&server.base_url, &[KEY, KEY, KEY])).unwrap();
    for _ in 0..2 {
        let result = model.complete(&call(&[]), &mut |_| ()).await;
        assert_eq!(told(&result).0, "Auth");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn dropping_a_call_closes_the_connection() {
    let mut server = Server::start("/v1", vec![Act::Stall(format!("{STREAM}{HI}\n\n").into_bytes())]).await;
    let model = OpenAi::new(options(&server.base_url, &[KEY])).unwrap();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let task =
        tokio::spawn(
            async move { model.complete(&call(&[]), &mut |_| tell.send(()).unwrap_or_default()).await },
        );
    heard.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    server.closed.recv().await.unwrap();
}

#[tokio::test]
async fn addresses_that_would_leak_are_refused() {
    let cases = [
        ("http://openrouter.ai/api/v1", "use https"),
        ("http://localhost.evil.example/v1", "use https"),
        ("http://10.0.0.1/v1", "use https"),
        ("https://me:pass@openrouter.ai/api/v1", "holds a user or password"),
        ("ftp://localhost/v1", "neither https nor http"),
        ("openrouter.ai", "is no address"),
    ];
    for (base_url, says) in cases {
        let text = OpenAi::new(options(base_url, &[KEY])).unwrap_err().to_string();
        assert!(text.contains(says) && !text.contains("pass@"), "{text}");
    }
    for base_url in
        ["https://openrouter.ai/api/v1", "http://localhost:1/v1", "http://[::1]:1", "http://127.9.9.9"]
    {
        OpenAi::new(options(base_url, &[KEY])).unwrap();
    }
    let model = OpenAi::new(options("https://openrouter.ai/api/v1", &[])).unwrap();
    let (kind, text) = told(&model.complete(&call(&[]), &mut |_| ()).await);
    assert!(kind == "NoKey" && text.contains("OPENROUTER_API_KEY"), "{text}");
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        let settings = Options { tries: 2, ..options(&format!("{scheme}://{nobody}/v1"), &[KEY]) };
        let (kind, text) = told(&OpenAi::new(settings).unwrap().complete(&call(&[]), &mut |_| ()).await);
        assert!(kind == "Unreachable" && text.contains("could not be reached: Connection refused"), "{text}");
    }
}

#[tokio::test]
async fn servers_are_probed() {
    let key =
        json!({"data": {"label": "sk-or-v1-abc...789", "limit": 20, "limit_remaining": 12.4}}).to_string();
    let server = Server::start("/api/v1", vec![http("200", "", "application/json", &key)]).await;
    let model = OpenAi::new(options(&server.base_url, &[KEY])).unwrap();
    assert_eq!(model.probe().await.unwrap(), "key sk-or-v1-***...789, $12.40 of $20.00 left");

    let list = json!({"data": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}]}).to_string();
    let server = Server::start("/v1", vec![http("200", "", "application/json", &list)]).await;
    let model = OpenAi::new(options(&server.base_url, &[])).unwrap();
    assert_eq!(model.probe().await.unwrap(), "4 models: a, b, c, …");
    assert!(server.seen.lock().unwrap()[0].head.starts_with("GET /v1/models "));

    let server = Server::start("/api/v1", vec![error(401, &json!({"message": "User not found."}))]).await;
    let model = OpenAi::new(options(&server.base_url, &[KEY])).unwrap();
    let error = model.probe().await.unwrap_err();
    assert!(
        matches!(&error, ModelError::Auth(text) if text.contains("User not found; check the key")),
        "{error}"
    );
}
