//! The protocol's faults, as rows: what a server sends, and what becomes of the call. Each row tells the kind of
//! the result, words of what the user sees, and how many requests were made. No row may leak the key.

use super::server::{Act, STREAM, Server};
use super::{HI, KEY, STOP, answer, ask_with, call, check, error, http, options, stream, told};
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use opendevagent::model::openai::OpenAi;
use opendevagent::model::{Finish, Model, ModelError};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

type Row = (&'static str, Vec<Act>, &'static str, &'static str, usize);

/// Rows are independent, and most of them wait.
async fn all(rows: Vec<Row>) {
    join_all(
        rows.into_iter().map(|(name, acts, kind, says, requests)| check(name, acts, kind, says, requests)),
    )
    .await;
}

fn json_body(body: &str) -> Act {
    http("200", "", "application/json", body)
}

fn frames(lines: &[&str]) -> Vec<Act> {
    vec![stream(lines)]
}

fn raw(bytes: &[u8]) -> Act {
    Act::Send([STREAM.as_bytes(), bytes].concat())
}

/// Every byte comes alone.
fn drops(text: &str) -> Act {
    let bytes = [STREAM.as_bytes(), text.as_bytes()].concat();
    Act::Pieces(bytes.chunks(7).map(<[u8]>::to_vec).collect())
}

#[tokio::test]
async fn bodies_in_200() {
    let whole = |message: &str, rest: &str| {
        vec![json_body(&format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]{rest}}}"#))]
    };
    all(vec![
        (
            "padded",
            vec![json_body(&format!(
                "\n \n{}",
                r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#
            ))],
            "Stop",
            "hi",
            1,
        ),
        ("null usage", whole(r#"{"content":"hi"}"#, r#","usage":null"#), "Stop", "hi", 1),
        (
            "parts",
            whole(r#"{"content":[{"type":"text","text":"h"},{"type":"text","text":"i"}]}"#, ""),
            "Stop",
            "hi",
            1,
        ),
        (
            "no reason",
            vec![json_body(r#"{"choices":[{"message":{"content":"hi"}}]}"#)],
            "Incomplete",
            "hi",
            1,
        ),
        (
            "error alone",
            vec![json_body(r#"{"error":{"code":403,"message":"flagged"}}"#)],
            "Refused",
            "answered 403: flagged",
            1,
        ),
        ("error as text", vec![json_body(r#"{"error":"out of memory"}"#)], "Refused", "out of memory", 1),
        (
            "error code as text",
            vec![json_body(r#"{"error":{"code":"403","message":"m"}}"#)],
            "Refused",
            "answered 403",
            1,
        ),
        (
            "error in the choice",
            vec![json_body(r#"{"choices":[{"error":{"code":400,"message":"m"},"finish_reason":"error"}]}"#)],
            "Refused",
            "answered 400",
            1,
        ),
        (
            "passing error",
            vec![json_body(r#"{"error":{"code":502,"message":"m"}}"#), answer()],
            "Stop",
            "hi",
            2,
        ),
        (
            "mistral's error",
            vec![json_body(r#"{"object":"error","message":"no such thing"}"#)],
            "Refused",
            "no such thing",
            1,
        ),
        (
            "gateway's error",
            vec![json_body(r#"{"error_type":"permission_denied","error_message":"m"}"#)],
            "Refused",
            "answered 403: m",
            1,
        ),
        ("null", vec![json_body("null")], "Malformed", "JSON without choices", 1),
        ("a list", vec![json_body("[]")], "Malformed", "JSON without choices", 1),
        ("no choices", vec![json_body(r#"{"choices":[]}"#)], "Malformed", "JSON without choices", 1),
        ("half", vec![json_body(r#"{"choices":[{"mess"#)], "Malformed", "broken JSON", 1),
        ("nothing", vec![json_body("")], "Malformed", "broken JSON", 1),
        ("deep", vec![json_body(&"[".repeat(200_000))], "Malformed", "broken JSON", 1),
        (
            "giant",
            vec![json_body(&format!(r#"{{"choices":"{}"}}"#, "x".repeat(5 << 20)))],
            "Malformed",
            "broken JSON",
            1,
        ),
        ("nul", vec![json_body("\0\0")], "Malformed", "broken JSON", 1),
        (
            "refusal",
            whole(r#"{"content":null,"refusal":"I cannot do that"}"#, ""),
            "Refused",
            "declined: I cannot do that;",
            1,
        ),
        ("empty", whole(r#"{"content":""}"#, ""), "Malformed", "answered nothing", 3),
        (
            "a web page",
            vec![http("200", "", "text/html; charset=utf-8", "<html>Sign in")],
            "Malformed",
            "a web page;",
            1,
        ),
        ("a web page as JSON", vec![json_body("<html>Sign in")], "Malformed", "broken JSON", 1),
        ("text", vec![http("200", "", "text/plain", "try\u{1b}[31m later")], "Malformed", ": try later;", 1),
        (
            "no type",
            vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec())],
            "Malformed",
            ": ok;",
            1,
        ),
        (
            "packed",
            vec![http("200", "content-encoding: gzip\r\n", "text/event-stream", "\u{1f}\u{8}")],
            "Malformed",
            "compressed",
            1,
        ),
        ("the key in a body", vec![http("200", "", "text/plain", KEY)], "Malformed", "***", 1),
    ])
    .await;
}

#[tokio::test]
async fn streams() {
    let end = |reason: &str| format!(r#"data: {{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
    let delta = |delta: &str| format!(r#"data: {{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
    let crlf = format!("{HI}\r\n\r\n{STOP}\r\n\r\ndata: [DONE]\r\n\r\n");
    let fault = |frame: &str| frames(&[frame]);
    all(vec![
        ("crlf", vec![raw(crlf.as_bytes())], "Stop", "hi", 1),
        ("cr", vec![raw(format!("{HI}\r\r{STOP}\r\r").as_bytes())], "Stop", "hi", 1),
        ("byte order mark", vec![raw(format!("\u{feff}{HI}\n\n{STOP}\n\n").as_bytes())], "Stop", "hi", 1),
        ("single newlines", vec![raw(format!("{HI}\n{STOP}\ndata: [DONE]\n").as_bytes())], "Stop", "hi", 1),
        ("in drops", vec![drops(&crlf)], "Stop", "hi", 1),
        ("split characters", vec![drops(&format!("{}\n\n{STOP}\n\n", delta(r#"{"content":"grüße 🦀"}"#)))], "Stop", "grüße 🦀", 1),
        ("broken characters", vec![raw(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xff\"},\"finish_reason\":\"stop\"}]}\n\n")], "Stop", "a\u{fffd}", 1),
        ("comments", frames(&[": OPENROUTER PROCESSING", ":", HI, ": ping", STOP]), "Stop", "hi", 1),
        ("a long comment", frames(&[&format!(": {}", "x".repeat(5 << 20)), HI, STOP]), "Stop", "hi", 1),
        ("fields nobody knows", frames(&["id: 1\nretry: 5\nwhat: ever", HI, STOP]), "Stop", "hi", 1),
        ("no JSON", frames(&["data: ping", "data:", HI, "data: 7", STOP]), "Stop", "hi", 1),
        ("null delta", frames(&[r#"data: {"choices":[{"delta":null}]}"#, &delta(r#"{"content":null}"#), HI, STOP]), "Stop", "hi", 1),
        ("only roles", frames(&[&delta(r#"{"role":"assistant"}"#), HI, STOP]), "Stop", "hi", 1),
        ("filter results first", frames(&[r#"data: {"choices":[],"prompt_filter_results":[]}"#, HI, STOP]), "Stop", "hi", 1),
        ("reasoning", frames(&[&delta(r#"{"reasoning":"hm"}"#), &delta(r#"{"reasoning_content":"hm"}"#), HI, STOP]), "Stop", "hi", 1),
        ("a second choice", frames(&[HI, r#"data: {"choices":[{"index":1,"delta":{"content":"no"},"finish_reason":"length"}]}"#, STOP]), "Stop", "hi", 1),
        ("after done", frames(&[HI, "data: [DONE]", HI]), "Stop", "hi", 1),
        ("after the reason", frames(&[HI, STOP, "data: {\"choices\":[]}"]), "Stop", "hi", 1),
        ("length", frames(&[HI, &end("length")]), "Length", "hi", 1),
        ("content filter", frames(&[HI, &end("content_filter")]), "ContentFilter", "hi", 1),
        ("tool calls", frames(&[HI, &end("tool_calls")]), "ToolCalls", "hi", 1),
        ("a new reason", frames(&[HI, &end("paused")]), "Incomplete", "hi", 1),
        ("an empty reason", frames(&[HI, &end("")]), "Incomplete", "hi", 3),
        ("error as the reason", vec![stream(&[HI, &end("error")]), answer()], "Stop", "hi", 2),
        ("refusal in pieces", frames(&[&delta(r#"{"refusal":"I can"}"#), &delta(r#"{"refusal":"not"}"#), STOP]), "Refused", "declined: I cannot;", 1),
        ("no text", frames(&[STOP]), "Malformed", "answered nothing", 3),
        ("only done", frames(&["data: [DONE]"]), "Malformed", "answered nothing", 3),
        ("only comments", frames(&[": ping"]), "Unreachable", "ended its answer too early", 3),
        ("broken JSON", frames(&[HI, "data: {\"choices\":[{"]), "Malformed", "broken JSON in the stream", 1),
        ("an error first", fault(r#"data: {"error":{"code":400,"message":"bad"}}"#), "Refused", "answered 400: bad", 1),
        ("a key error first", fault(r#"data: {"error":{"code":401,"message":"bad"}}"#), "Auth", "answered 401: bad", 1),
        ("a limit first", vec![stream(&[r#"data: {"error":{"code":429,"message":"slow"}}"#]), answer()], "Stop", "hi", 2),
        ("an error in the middle", vec![stream(&[HI, r#"data: {"error":{"code":502,"message":"m"},"choices":[]}"#]), answer()], "Stop", "hi", 2),
        ("a final error in the middle", frames(&[HI, r#"data: {"error":{"code":403,"message":"flagged"}}"#]), "Refused", "answered 403: flagged", 1),
        ("an error by name", vec![stream(&[HI, r#"data: {"error":{"code":"server_error","message":"m"}}"#]), answer()], "Stop", "hi", 2),
        ("a named event", fault("event: error\ndata: {\"message\":\"Compute error.\",\"code\":400}"), "Refused", "Compute error;", 1),
        ("an old field", fault("error: {\"code\":400,\"message\":\"m\"}"), "Refused", "answered 400: m", 1),
        ("too long a prompt", fault(r#"data: {"error":{"message":"maximum context length is 4096 tokens"}}"#), "TooLong", "lower context.maxTokens", 1),
        ("the key in an error", fault(&format!(r#"data: {{"error":{{"code":400,"message":"bad key {KEY}"}}}}"#)), "Refused", "bad key ***;", 1),
        ("the key as the model", fault(&format!(r#"data: {{"model":"{KEY}","choices":[{{"delta":{{"content":"hi"}},"finish_reason":"stop"}}]}}"#)), "Stop", "hi", 1),
    ])
    .await;
}

#[tokio::test]
async fn statuses() {
    let page = |status: &'static str| {
        vec![http(status, "retry-after: 0\r\n", "text/html", "<!doctype html><h1>Cloudflare</h1>")]
    };
    let says = |status: u16, body: serde_json::Value| vec![error(status, &body)];
    all(vec![
        ("a page with 403", page("403"), "Refused", "answered 403: a web page;", 1),
        ("a page with 502", page("502"), "Unreachable", "answered 502: a web page;", 3),
        ("a page with 524", page("524"), "Unreachable", "answered 524: a web page;", 3),
        ("no body", vec![http("400", "", "application/json", "")], "Refused", "answered 400;", 1),
        ("detail", vec![http("422", "", "application/json", r#"{"detail":[{"loc":["body","messages"],"msg":"Field required"}]}"#)], "Refused", "Field required (messages)", 1),
        ("detail as text", vec![http("404", "", "application/json", r#"{"detail":"Not Found"}"#)], "Refused", "answered 404: Not Found", 1),
        ("moderation", says(403, json!({"message": "flagged", "metadata": {"reasons": ["violence"]}})), "Refused", "flagged: violence", 1),
        ("the provider's body", says(400, json!({"message": "Provider returned error", "metadata": {"raw": "{\"error\":{\"message\":\"inner\"}}"}})), "Refused", "Provider returned error: inner", 1),
        ("no endpoint", says(404, json!({"message": "No endpoints found matching your data policy"})), "Refused", "model.dataCollection", 1),
        ("too large", says(413, json!({"message": "m"})), "Refused", "answered 413", 1),
        ("no quota", says(429, json!({"message": "You exceeded your current quota", "code": "insufficient_quota"})), "Payment", "add credit", 1),
        ("the daily cap", says(429, json!({"message": "m", "metadata": {"limit_source": "openrouter_free_tier_daily"}})), "RateLimited", "until tomorrow", 1),
        ("hardly any credit", says(402, json!({"message": "can only afford 12."})), "Payment", "add credit", 1),
        ("a teapot", says(418, json!({"message": "m"})), "Refused", "answered 418", 1),
        ("loading", vec![http("503", "retry-after: 0\r\n", "application/json", r#"{"error":{"message":"Loading model","type":"unavailable_error"}}"#), answer()], "Stop", "hi", 2),
        ("a redirect", vec![http("302", "location: http://127.0.0.1:9/\r\n", "text/plain", "")], "Refused", "redirects are not followed", 1),
        ("a permanent redirect", vec![http("308", "location: /v2\r\n", "text/plain", "")], "Refused", "a redirect to 127.0.0.1", 1),
        ("an announcement", vec![Act::Send([b"HTTP/1.1 103 Early Hints\r\n\r\n", STREAM.as_bytes(), HI.as_bytes(), b"\n\n", STOP.as_bytes(), b"\n\n"].concat())], "Stop", "hi", 1),
        ("no content", vec![Act::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())], "Malformed", "something else than an answer", 1),
    ])
    .await;
}

#[tokio::test]
async fn connections() {
    let chunked = |rest: &str| {
        Act::Send(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{rest}").into_bytes())
    };
    let size = format!("{:x}\r\n{HI}\n\n\r\n", HI.len() + 2);
    all(vec![
        ("closed at once", vec![Act::Send(vec![]), answer()], "Stop", "hi", 2),
        ("reset", vec![Act::Reset(vec![]), answer()], "Stop", "hi", 2),
        (
            "reset in the head",
            vec![Act::Reset(b"HTTP/1.1 200 OK\r\ncont".to_vec()), answer()],
            "Stop",
            "hi",
            2,
        ),
        (
            "reset after text",
            vec![Act::Reset([STREAM.as_bytes(), HI.as_bytes(), b"\n\n"].concat()), answer()],
            "Stop",
            "hi",
            2,
        ),
        ("no HTTP", vec![Act::Send(b"SSH-2.0-OpenSSH_9\r\n".to_vec())], "Unreachable", "too early", 3),
        ("a chunk too few", vec![chunked(&size), answer()], "Stop", "hi", 2),
        ("no chunk size", vec![chunked(&format!("{size}zz\r\n")), answer()], "Stop", "hi", 2),
        (
            "too short",
            vec![
                Act::Send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
                        .to_vec(),
                ),
                answer(),
            ],
            "Stop",
            "hi",
            2,
        ),
        (
            "cut in a character",
            vec![raw(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xc3"), answer()],
            "Stop",
            "hi",
            2,
        ),
        ("cut for ever", vec![raw(format!("{HI}\n\n").as_bytes())], "Incomplete", "hi", 3),
    ])
    .await;
}

/// The lower bounds are the hints; a wait that is too long fails over instead, at once.
#[tokio::test]
async fn hints_are_heeded_in_every_form() {
    let began = Instant::now();
    let epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let soon = format!("x-ratelimit-reset: {}\r\n", epoch + 1_500);
    let rows = [
        ("retry-after: 1\r\n", json!({"message": "m"}), Some(1_000)),
        ("retry-after: 0.7\r\n", json!({"message": "m"}), Some(700)),
        ("retry-after-ms: 650\r\nretry-after: 99\r\n", json!({"message": "m"}), Some(650)),
        ("x-ratelimit-reset-tokens: 600ms\r\n", json!({"message": "m"}), Some(600)),
        ("ratelimit-reset: 1\r\n", json!({"message": "m"}), Some(1_000)),
        (soon.as_str(), json!({"message": "m"}), Some(0)),
        ("", json!({"message": "m", "retry_after": 0.6}), Some(600)),
        ("", json!({"message": "m", "availability": {"retry_after": 0.6}}), Some(600)),
        ("", json!({"message": "m", "metadata": {"headers": {"retry-after": "1"}}}), Some(1_000)),
        ("", json!({"message": "m", "details": [{"retryDelay": "0.6s"}]}), Some(600)),
        ("", json!({"message": "Please try again in 620ms."}), Some(620)),
        ("retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n", json!({"message": "m"}), None),
        ("retry-after: 31\r\n", json!({"message": "m"}), None),
        ("x-ratelimit-reset-requests: 6m0s\r\n", json!({"message": "m"}), None),
        ("", json!({"message": "Please try again in 2h3m."}), None),
    ];
    join_all(rows.into_iter().map(|(headers, body, millis)| async move {
        let name = format!("{headers} {body}");
        let busy = http("429", headers, "application/json", &json!({ "error": body }).to_string());
        let server = Server::start("/v1", vec![busy, answer()]).await;
        let settings = options(&server.base_url, &[KEY]);
        let outcome = ask_with(server, settings, call(&["b"])).await;
        assert_eq!(told(&outcome.result).0, "Stop", "{name}");
        let seen = outcome.server.seen.lock().unwrap();
        let models: Vec<_> =
            seen.iter().map(|seen| seen.body["model"].as_str().unwrap_or_default()).collect();
        assert_eq!(models[1..], [if millis.is_some() { "mistralai/codestral-2508" } else { "b" }], "{name}");
        let gap = seen[1].at.duration_since(seen[0].at);
        assert!(gap >= Duration::from_millis(millis.unwrap_or(0)), "{name}: {gap:?}");
        // A moment binds however late the first request was; the epoch was cut to whole milliseconds.
        let moment = began + Duration::from_millis(1_499);
        assert!(!headers.starts_with("x-ratelimit-reset: ") || seen[1].at >= moment, "{name}: {gap:?}");
        assert_eq!(
            outcome.heard.contains("-> b: answered 429"),
            millis.is_none(),
            "{name}: {}",
            outcome.heard
        );
    }))
    .await;
}

/// Silence in each phase ends when the call is dropped, and the server sees its socket closed.
#[tokio::test]
async fn dropping_closes_the_socket_in_every_phase() {
    let head = STREAM.as_bytes();
    let phases = [
        vec![],
        b"HTTP/1.1 200 OK\r\ncontent".to_vec(),
        head.to_vec(),
        [head, b": ping\n\n"].concat(),
        [head, HI.as_bytes(), b"\n\n"].concat(),
        [head, HI.as_bytes(), b"\n\ndata: {\"cho"].concat(),
        b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\n{".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{".to_vec(),
    ];
    for sent in phases {
        let name = String::from_utf8_lossy(&sent).into_owned();
        let mut server = Server::start("/v1", vec![Act::Stall(sent)]).await;
        let model = OpenAi::new(options(&server.base_url, &[KEY])).unwrap();
        let task = tokio::spawn(async move { model.complete(&call(&[]), &mut |_| ()).await });
        server.stalled.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled(), "{name}");
        let closed = tokio::time::timeout(Duration::from_secs(10), server.closed.recv()).await;
        assert_eq!(closed, Ok(Some(())), "{name}");
    }
}

/// A line without end is read up to its cap and no further, and the process does not keep it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_flat_in_a_flood() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
    };
    let before = resident();
    for (head, piece, kind) in [
        (format!("{STREAM}data: "), &[b'a'; 8192][..], "Malformed"),
        (format!("{STREAM}data: {{\"choices\":[]}}\n"), b"data: {}\n", "Malformed"),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[".into(), b"[],[],[],", "Malformed"),
        ("HTTP/1.1 400 X\r\n\r\n".into(), &[b'<'; 8192][..], "Refused"),
    ] {
        let server =
            Server::start("/v1", vec![Act::Repeat(head.into_bytes(), Box::leak(piece.to_vec().into()))])
                .await;
        let settings = options(&server.base_url, &[KEY]);
        assert_eq!(told(&ask_with(server, settings, call(&[])).await.result).0, kind);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 256 << 20, "{} MiB more than before", grown >> 20);
}

#[tokio::test]
async fn who_cannot_be_connected_to_is_told_apart() {
    let ask = async |base_url: &str, connect: Duration| {
        let settings = super::Options { tries: 1, connect, ..options(base_url, &[KEY]) };
        told(&OpenAi::new(settings).unwrap().complete(&call(&[]), &mut |_| ()).await)
    };
    let long = Duration::from_secs(15);
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let (kind, text) = ask(&format!("https://{address}/v1"), long).await;
    assert!(kind == "Unreachable" && text.contains("could not be reached"), "TLS to a plain port: {text}");

    let (kind, text) = ask("https://nobody.invalid/v1", long).await;
    assert!(kind == "Unreachable" && text.contains("could not be reached"), "no such name: {text}");

    // A listener that accepts nobody and whose queue is full leaves the handshake unanswered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(
            tokio::time::timeout(Duration::from_millis(50), tokio::net::TcpStream::connect(address)).await,
        );
    }
    let (kind, text) = ask(&format!("http://{address}/v1"), Duration::from_millis(200)).await;
    assert!(kind == "Unreachable" && text.contains("took no connection for 0.2 s"), "{text}");
    assert!(text.contains("raise limits.connectSeconds"), "{text}");
    drop((waiting, full));
}

#[tokio::test]
async fn ipv6_on_this_machine_is_served() {
    let Some(server) = Server::start_at("[::1]:0", "/v1", vec![answer()]).await else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let settings = options(&server.base_url, &[KEY]);
    let reply = ask_with(server, settings, call(&[])).await.result.unwrap();
    assert_eq!(reply.finish, Finish::Stop);
}

#[tokio::test]
async fn azure_has_its_own_header_and_version() {
    let server = Server::start("/openai/deployments/gpt", vec![answer()]).await;
    let settings = options(&server.base_url, &[KEY]);
    let outcome = ask_with(server, settings, call(&[])).await;
    outcome.result.unwrap();
    assert_eq!(outcome.server.headers("api-key"), [KEY]);
    assert_eq!(outcome.server.headers("authorization"), [""]);
    assert_eq!(outcome.server.asked("max_completion_tokens"), [1000]);
    let head = outcome.server.seen.lock().unwrap()[0].head.clone();
    assert!(
        head.starts_with("POST /openai/deployments/gpt/chat/completions?api-version=2024-10-21 "),
        "{head}"
    );
}

/// What a model was found not to take is left out of its next calls too; Claude's cache marks are set.
#[tokio::test]
async fn refused_fields_are_remembered_and_prompts_marked() {
    let no = |field: &str| {
        error(400, &json!({"message": format!("Unsupported parameter: '{field}'"), "param": field}))
    };
    let server = Server::start("/api/v1", vec![no("temperature"), answer(), answer()]).await;
    let model = OpenAi::new(options(&server.base_url, &[KEY])).unwrap();
    let mut call = call(&[]);
    call.model = "anthropic/claude-sonnet-4.5".into();
    call.stable = 1;
    for _ in 0..2 {
        model.complete(&call, &mut |_| ()).await.unwrap();
    }
    let sent: Vec<_> = server.asked("temperature").iter().map(|value| !value.is_null()).collect();
    assert_eq!(sent, [true, false, false]);
    let mark = json!({"type": "ephemeral"});
    let parts = json!([{"type": "text", "text": "d", "cache_control": mark}, {"type": "text", "text": "o"}]);
    assert_eq!(server.asked("messages")[0], json!([{"role": "user", "content": parts}]));
}

/// OpenRouter may let another of the models answer; the user hears of it.
#[tokio::test]
async fn a_stand_in_is_told() {
    let other = r#"data: {"model":"b","choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let server = Server::start("/api/v1", vec![stream(&[other])]).await;
    let settings = options(&server.base_url, &[KEY]);
    let outcome = ask_with(server, settings, call(&["b"])).await;
    assert_eq!(outcome.heard, "hi[b for mistralai/codestral-2508]");
    assert!(matches!(outcome.result, Ok(reply) if reply.model == "b"));
}

/// A limit of one per minute and one at a time: more calls wait, dropped ones take no place.
#[tokio::test]
async fn calls_beyond_the_queue_are_refused() {
    let server = Server::start("/v1", vec![Act::Stall(vec![])]).await;
    let settings = super::Options { concurrent: 1, ..options(&server.base_url, &[KEY]) };
    let model = std::sync::Arc::new(OpenAi::new(settings).unwrap());
    let ask = || {
        let model = model.clone();
        tokio::spawn(async move { model.complete(&call(&[]), &mut |_| ()).await })
    };
    let mut tasks: FuturesUnordered<_> = (0..70).map(|_| ask()).collect();
    for _ in 0..5 {
        let ended =
            tokio::time::timeout(Duration::from_secs(30), tasks.next()).await.expect("one is refused");
        match ended {
            Some(Ok(Err(ModelError::RateLimited(text)))) if text.contains("calls wait") => {}
            other => panic!("{other:?}"),
        }
    }
    while server.requests() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(tasks.next().now_or_never().is_none(), "the others wait");
    assert_eq!((tasks.len(), server.requests()), (65, 1));
}
