//! The language server beside a bare tower-lsp server that does nothing, in turn, in the same rounds. Judge by the
//! ratios and by processor time: a busy machine makes both slow. `cargo bench --bench lsp`
//!
//! The bare server is this program itself, called with `--bare`. `OPENDEVAGENT_SERVER` names another server of ours
//! to measure, e.g. the release build, which is linked harder than a benchmark's.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it takes what it needs of what every benchmark has")]

#[path = "lsp/client.rs"]
mod client;
mod support;

use client::{Client, frame};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use support::{Sample, line, load};
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{
    CodeActionOrCommand, CodeActionParams, CodeActionProviderCapability, CodeActionResponse, Command,
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, InitializeParams,
    InitializeResult, ServerCapabilities, TextDocumentSyncCapability, TextDocumentSyncKind,
};
use tower_lsp::{LanguageServer, LspService, Server};

const ROUNDS: usize = 15;
const CHANGES: usize = 2_000;
const DOCUMENT: &str = "file:///tmp/bench/a.py";

/// Answers at once and keeps nothing.
struct Bare;

impl LanguageServer for Bare {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        let capabilities = ServerCapabilities {
            text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::INCREMENTAL)),
            code_action_provider: Some(CodeActionProviderCapability::Simple(true)),
            ..ServerCapabilities::default()
        };
        Ok(InitializeResult { capabilities, server_info: None })
    }

    async fn did_open(&self, _: DidOpenTextDocumentParams) {}

    async fn did_change(&self, _: DidChangeTextDocumentParams) {}

    async fn did_close(&self, _: DidCloseTextDocumentParams) {}

    async fn code_action(&self, _: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let command = Command { title: "Nothing".into(), command: "nothing".into(), arguments: None };
        Ok(Some(vec![CodeActionOrCommand::Command(command)]))
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--bare") {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (service, socket) = LspService::new(|_| Bare);
        return runtime.block_on(Server::new(tokio::io::stdin(), tokio::io::stdout(), socket).serve(service));
    }
    let own = std::env::current_exe().expect("this program").display().to_string();
    let bare = vec![own, "--bare".to_owned()];
    let server = std::env::var("OPENDEVAGENT_SERVER");
    let ours = vec![server.unwrap_or_else(|_| env!("CARGO_BIN_EXE_opendevagent").to_owned())];
    let pair = [&bare, &ours];
    println!("load {}; bare / ours; ours: {}", load(), ours[0]);
    let size = std::fs::metadata(&ours[0]).map_or(f64::NAN, |data| data.len() as f64 / 1_048_576.0);
    line("program", format!("{size:.2} MiB"), "at most 12, stripped");
    startup(pair);
    idle(pair);
    for size in [100 << 10, 1 << 20, 10 << 20] {
        typing(pair, size);
    }
    actions(pair);
    for size in [10 << 10, 1 << 20] {
        actions_while_typing(pair, size);
    }
    pending_models(&ours);
    many_documents(pair);
    endings(pair);
    large_document(pair);
}

/// One line: bare and ours, their ratio, and what ours should be.
fn compare(what: &str, unit: &str, [bare, ours]: [f64; 2], target: &str) {
    line(what, format!("{bare:.2} / {ours:.2} {unit}"), &format!("× {:.2}; {target}", ours / bare));
}

fn startup(pair: [&Vec<String>; 2]) {
    let mut answered: [Sample; 2] = Default::default();
    let mut spent: [Sample; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (which, command) in pair.into_iter().enumerate() {
            let (client, took) = Client::greeted(command, &Value::Null);
            answered[which].push_time(took);
            client.settle();
            spent[which].push(client.processor_time() / 1000.0);
        }
    }
    compare("start to the answer to initialize", "ms", answered.map(|it| it.median()), "at most × 1.3");
    compare("processor time of a start", "ms", spent.map(|it| it.median()), "at most 3");
}

fn idle(pair: [&Vec<String>; 2]) {
    let figures = pair.map(|command| {
        let (client, _) = Client::greeted(command, &Value::Null);
        // The look for what killed servers have left comes two seconds after the start.
        std::thread::sleep(Duration::from_secs(4));
        let waits = client.waits();
        std::thread::sleep(Duration::from_secs(3));
        [client.status("VmRSS") / 1024.0, client.status("RssAnon") / 1024.0, client.waits() - waits]
    });
    let [resident, anonymous, waits] = [0, 1, 2].map(|which| figures.map(|figure| figure[which]));
    compare("resident memory, idle", "MiB", resident, "at most 6");
    compare("anonymous memory, idle", "MiB", anonymous, "at most 0.6");
    compare("wake-ups in 3 s, idle", "", waits, "0");
}

/// Lines of code, about so many bytes.
fn document(bytes: usize) -> String {
    let piece = "def function(alpha, beta):\n    total = alpha * 17 + beta\n    return total\n\n";
    piece.repeat(bytes / piece.len() + 1)
}

/// Incremental changes that type at one place, from a version on.
fn keystrokes(first: usize, count: usize) -> Vec<Vec<u8>> {
    let key = |number: usize| {
        let at = json!({"line": 40, "character": number - first});
        json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
            "textDocument": {"uri": DOCUMENT, "version": number},
            "contentChanges": [{"range": {"start": at, "end": at}, "text": "x"}]}})
    };
    (first..first + count).map(|number| frame(&key(number))).collect()
}

fn code_action() -> (&'static str, Value) {
    let at = json!({"line": 1, "character": 4});
    let params = json!({"textDocument": {"uri": DOCUMENT}, "range": {"start": at, "end": at},
        "context": {"diagnostics": []}});
    ("textDocument/codeAction", params)
}

fn with_document(command: &[String], bytes: usize) -> Client {
    let (mut client, _) = Client::greeted(command, &Value::Null);
    client.open(DOCUMENT, &document(bytes));
    let (method, params) = code_action();
    client.request(method, &params);
    client.settle();
    client
}

fn typing(pair: [&Vec<String>; 2], bytes: usize) {
    let mut spent: [Sample; 2] = Default::default();
    for _ in 0..3 {
        for (which, command) in pair.into_iter().enumerate() {
            let mut client = with_document(command, bytes);
            let before = client.processor_time();
            client.write(&keystrokes(2, CHANGES).concat());
            let (method, params) = code_action();
            client.request(method, &params);
            spent[which].push((client.processor_time() - before) / CHANGES as f64);
        }
    }
    let what = format!("processor time of a change, {} KiB", bytes >> 10);
    compare(&what, "µs", spent.map(|it| it.median()), "at most 5");
}

fn actions(pair: [&Vec<String>; 2]) {
    let (method, params) = code_action();
    let mut clients = pair.map(|command| with_document(command, 10 << 10));
    let mut took: [Sample; 2] = Default::default();
    for _ in 0..1_000 {
        for (client, took) in clients.iter_mut().zip(&mut took) {
            took.push_time(client.timed(method, &params));
        }
    }
    compare("code action, idle, median", "ms", [0, 1].map(|which| took[which].median()), "at most 0.2");
    compare("code action, idle, 99 %", "ms", took.map(|it| it.percentile(99)), "at most 0.4");
}

fn actions_while_typing(pair: [&Vec<String>; 2], bytes: usize) {
    let (method, params) = code_action();
    let took = pair.map(|command| {
        let mut client = with_document(command, bytes);
        let mut took = Sample::default();
        let began = Instant::now();
        for (number, key) in keystrokes(2, 3_000).into_iter().enumerate() {
            let due = began + Duration::from_millis(number as u64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            client.write(&key);
            if number % 20 == 19 {
                took.push_time(client.timed(method, &params));
            }
        }
        took.percentile(99)
    });
    let what = format!("code action, 1,000 changes/s, {} KiB, 99 %", bytes >> 10);
    compare(&what, "ms", took, "at most × 2 and 1");
}

/// A model server that takes every call and says nothing.
fn silent_model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    });
    format!("http://{address}/v1")
}

fn pending_models(ours: &[String]) {
    let options = json!({"client": {"events": true}, "settings": {"model": {"baseUrl": silent_model()},
        "limits": {"concurrentTasks": 64, "concurrentCalls": 64, "requestsPerMinute": 1000}}});
    let folder = std::env::temp_dir().join("opendevagent-bench-lsp");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("a.py"), document(1 << 10)).expect("a file");
    let uri = format!("file://{}/a.py", folder.display());
    let mut client = Client::start(ours);
    client.request(
        "initialize",
        &json!({"processId": null, "capabilities": {},
        "rootUri": format!("file://{}", folder.display()), "initializationOptions": options}),
    );
    client.notify("initialized", &json!({}));
    client.open(&uri, &document(1 << 10));
    for _ in 0..64 {
        let command = json!({"command": "opendevagent.explain", "arguments": [{"uri": uri}]});
        client.request("workspace/executeCommand", &command);
    }
    client.settle();
    let (method, mut params) = code_action();
    params["textDocument"]["uri"] = json!(uri);
    let mut took = Sample::default();
    for version in 2..502 {
        let change = json!({"textDocument": {"uri": uri, "version": version},
            "contentChanges": [{"text": document(1 << 10)}]});
        client.notify("textDocument/didChange", &change);
        took.push_time(client.timed(method, &params));
    }
    let figure = format!("{:.2} / {:.2} ms", took.median(), took.percentile(99));
    line("change + code action, 64 models asked, 99 %", figure, "at most 1");
    let _ = std::fs::remove_dir_all(folder);
}

fn many_documents(pair: [&Vec<String>; 2]) {
    const COUNT: usize = 1_000;
    let text = document(10 << 10);
    let (method, params) = code_action();
    let figures = pair.map(|command| {
        let (mut client, _) = Client::greeted(command, &Value::Null);
        client.settle();
        let none = client.status("VmRSS");
        let uri = |number: usize| format!("file:///tmp/bench/{number}.py");
        (0..COUNT).for_each(|number| client.open(&uri(number), &text));
        client.request(method, &params);
        client.settle();
        let all = client.status("VmRSS");
        for number in 0..COUNT {
            client.notify("textDocument/didClose", &json!({"textDocument": {"uri": uri(number)}}));
        }
        client.request(method, &params);
        client.settle();
        [(all - none) / COUNT as f64, 100.0 * (client.status("VmRSS") - none) / (all - none)]
    });
    compare("memory of an open document of 10 KiB", "KiB", figures.map(|it| it[0]), "at most 13");
    line("kept of it after close", format!("{:.1} %", figures[1][1]), "at most 10");
}

fn endings(pair: [&Vec<String>; 2]) {
    let mut times: [[Sample; 2]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (which, command) in pair.into_iter().enumerate() {
            let mut client = with_document(command, 1 << 10);
            times[0][which].push_time(client.timed("shutdown", &Value::Null));
            client.notify("exit", &Value::Null);
            client.close_input();
            times[1][which].push_time(client.end());
            let mut client = with_document(command, 1 << 10);
            client.close_input();
            times[2][which].push_time(client.end());
        }
    }
    let names = [("shutdown", "at most 1"), ("exit", "at most 5"), ("end of input", "at most 5")];
    for ((what, target), samples) in names.into_iter().zip(times) {
        compare(what, "ms", samples.map(|it| it.median()), target);
    }
}

fn large_document(pair: [&Vec<String>; 2]) {
    let text = document(64 << 20);
    let (method, params) = code_action();
    let figures = pair.map(|command| {
        let (mut client, _) = Client::greeted(command, &Value::Null);
        let began = Instant::now();
        client.open(DOCUMENT, &text);
        let took = client.request(method, &params) - began;
        [took.as_secs_f64(), client.status("VmHWM") / 1024.0]
    });
    compare("64 MiB opened", "s", figures.map(|it| it[0]), "at most 0.8");
    compare("memory at most", "MiB", figures.map(|it| it[1]), "at most 260");
}
