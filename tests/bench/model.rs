//! What the model client itself costs: per streamed token, and to the first one, beyond a bare socket reader of
//! the same stream. Both are measured in turn, in one run; medians. `cargo bench --bench model`

use opendevagent::model::openai::{KeySource, OpenAi, Options};
use opendevagent::model::{Agent, Call, Heard, Message, Model, Role};
use secrecy::SecretString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKENS: usize = 2_000;
const ROUNDS: usize = 51;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn main() {
    let address = serve();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let model = OpenAi::new(options(address)).expect("a loopback address");
    runtime.block_on(asked(&model));
    let mut bare = Vec::new();
    let mut client = Vec::new();
    for _ in 0..ROUNDS {
        bare.push(read(address));
        client.push(runtime.block_on(asked(&model)));
    }
    let [bare_first, bare_whole] = medians(&bare);
    let [first, whole] = medians(&client);
    let per_token = (whole - bare_whole) / TOKENS as f64;
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{TOKENS} tokens a stream, {ROUNDS} streams each, medians in microseconds");
    let _ = writeln!(out, "bare socket: first {bare_first:.1}, whole {bare_whole:.1}");
    let _ = writeln!(out, "client:      first {first:.1}, whole {whole:.1}");
    let _ = writeln!(out, "overhead per streamed token: {per_token:.3}");
    let _ = writeln!(out, "added to the first token: {:.1}", first - bare_first);
}

/// A server that answers every request with the same stream.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let token = r#"data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":" token"},"finish_reason":null}]}"#;
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2000}}"#;
    let stream = format!("{}{end}\n\ndata: [DONE]\n\n", format!("{token}\n\n").repeat(TOKENS));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.set_nodelay(true);
            let mut request = Vec::new();
            // Both readers send a body that ends so, and in one piece.
            while !request.ends_with(b"}") {
                let mut piece = [0; 4096];
                let Ok(count @ 1..) = connection.read(&mut piece) else { break };
                request.extend_from_slice(&piece[..count]);
            }
            let _ = connection.write_all(HEAD);
            let _ = connection.write_all(stream.as_bytes());
        }
    });
    address
}

/// The least that can be done: time to the first byte of the stream and to its end.
fn read(address: SocketAddr) -> [Duration; 2] {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).expect("the server");
    let _ = stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}");
    let (mut first, mut seen, mut buffer) = (None, 0, [0; 16 << 10]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        seen += count;
        if seen > HEAD.len() {
            first.get_or_insert_with(|| started.elapsed());
        }
    }
    [first.unwrap_or_default(), started.elapsed()]
}

async fn asked(model: &OpenAi) -> [Duration; 2] {
    let call = Call {
        agent: Agent::Coder,
        model: "m".into(),
        fallbacks: Vec::new(),
        temperature: 0.2,
        max_tokens: 4_000,
        messages: vec![Message { role: Role::User, content: "do".into() }],
        schema: None,
        stable: 0,
        session: "s".into(),
    };
    let started = Instant::now();
    let mut first = None;
    let mut ear = |heard: Heard<'_>| {
        if matches!(heard, Heard::Text(_)) {
            first.get_or_insert_with(|| started.elapsed());
        }
    };
    let reply = model.complete(&call, &mut ear).await.expect("an answer");
    let whole = started.elapsed();
    assert_eq!(reply.text.len(), " token".len() * TOKENS);
    [first.unwrap_or_default(), whole]
}

/// In microseconds.
fn medians(rounds: &[[Duration; 2]]) -> [f64; 2] {
    [0, 1].map(|which| {
        let mut times: Vec<_> = rounds.iter().map(|times| times[which].as_secs_f64() * 1e6).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

struct NoKey;

impl KeySource for NoKey {
    fn key(&self, _rejected: bool) -> futures_util::future::BoxFuture<'_, Option<SecretString>> {
        Box::pin(std::future::ready(None))
    }
}

fn options(address: SocketAddr) -> Options {
    let long = Duration::from_secs(60);
    Options {
        base_url: format!("http://{address}/v1"),
        key: Arc::new(NoKey),
        data_collection: "deny".into(),
        zdr: false,
        connect: long,
        first_byte: long,
        first_token: long,
        idle: long,
        call: long,
        tries: 1,
        max_hint: long,
        requests_per_minute: 100_000,
        shared: None,
        concurrent: 1,
        lists: None,
    }
}
