//! A client's bytes: raw after a `!`, else one message a line after a handshake. The server answers to the end.

use serde_json::{Value, json};
use std::io::Cursor;
use std::time::Duration;
use tokio::io::{AsyncReadExt, duplex};

/// What the server can do on its own takes far less.
const HANGS: Duration = Duration::from_secs(30);
/// Those that begin work on the machine, which belongs to other tests.
const WORK: [&str; 3] = ["executeCommand", "opendevagent/doctor", "workspaceFolders"];

pub(super) fn run(data: &[u8]) {
    let raw = data.strip_prefix(b"!");
    if WORK.iter().any(|word| data.windows(word.len()).any(|part| part == word.as_bytes())) {
        return;
    }
    let input = raw.map_or_else(|| messages(data), <[u8]>::to_vec);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let output = runtime.block_on(async {
        let (mut ours, theirs) = duplex(1 << 16);
        let server = opendevagent::lsp::serve(Cursor::new(input), theirs, settings());
        let mut output = Vec::new();
        let both = async { tokio::join!(server, ours.read_to_end(&mut output)) };
        let _ = tokio::time::timeout(HANGS, both).await.expect("the server ends with its input");
        output
    });
    let ends_early = data.windows(4).any(|part| part == b"exit" || part == b"\\u00");
    if raw.is_none() && !ends_early {
        let output = String::from_utf8_lossy(&output);
        assert!(output.contains(r#""id":"last""#), "the last request has no answer: {output}");
    }
}

/// Neither a model nor a sandbox.
fn settings() -> Value {
    json!({"sandbox": {"host": "off"}, "model": {"baseUrl": "http://127.0.0.1:9/v1"}})
}

fn messages(data: &[u8]) -> Vec<u8> {
    let capabilities = json!({
        "general": {"positionEncodings": ["utf-16"]},
        "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}, "diagnostic": {}},
        "window": {"workDoneProgress": true, "showDocument": {"support": true}},
        "workspace": {"applyEdit": true, "workspaceEdit": {"documentChanges": true}},
    });
    let opened = json!({"uri": "file:///w/a.py", "languageId": "python", "version": 1, "text": "def f():\n    pass\n"});
    let mut all = Vec::new();
    let mut add = |body: &[u8]| {
        all.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        all.extend_from_slice(body);
    };
    let mut say = |message: Value| add(message.to_string().as_bytes());
    say(json!({"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": {
        "capabilities": capabilities, "initializationOptions": {"client": {"events": true, "status": true}}}}));
    say(json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}));
    say(json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": opened}}));
    data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(&mut add);
    let at = json!({"line": 0, "character": 0});
    let last = json!({"jsonrpc": "2.0", "id": "last", "method": "textDocument/codeAction", "params": {
        "textDocument": {"uri": "file:///w/a.py"}, "range": {"start": at, "end": at}, "context": {"diagnostics": []}}});
    add(last.to_string().as_bytes());
    all
}
