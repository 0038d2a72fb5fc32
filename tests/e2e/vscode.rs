//! The real VS Code, its extension and this server: review, apply, undo, discard, cancel, as a user sees them.

use crate::model_server::ModelServer;
use crate::support::{docker, project, skipped};
use std::process::Command;

/// What repairs `gcd.py` of the workspace that the suite opens.
const REPAIR: &str = "The remainder was meant.\n\ngcd.py\n```python\n<<<<<<< SEARCH
    return a if b == 0 else gcd(b, a // b)
=======
    return a if b == 0 else gcd(b, a % b)
>>>>>>> REPLACE\n```\n";

#[test]
fn the_suite_seen_from_the_editor_passes_with_this_server() {
    if !docker() {
        return;
    }
    if std::env::var_os("OPENDEVAGENT_VSCODE_TESTS").is_none() {
        return skipped("set OPENDEVAGENT_VSCODE_TESTS=1 to run it; it builds VS Code when that is missing");
    }
    let server = ModelServer::always(REPAIR.to_owned());
    let output = Command::new("node")
        .arg(project().join("tests/vscode/run.mjs"))
        .env("OPENDEVAGENT_BIN", env!("CARGO_BIN_EXE_opendevagent"))
        .env("OPENDEVAGENT_MODEL_BASE_URL", server.url())
        .env("OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef")
        .output()
        .expect("node can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("vscode: 9 of 9 tests passed"), "{said}");
}
