//! `fix` from each supported Neovim, headless, with the real plugin: the buffer is changed, the disk is not, one undo
//! takes it back.

use super::SAMPLES;
use crate::model_server::ModelServer;
use crate::support::{docker, project};
use serde_json::{Value, json};
use std::process::Command;

/// A Neovim of this version, fetched when it is missing.
pub fn neovim(version: &str) -> String {
    let setup = Command::new(project().join("tests/nvim/setup.sh")).arg(version).output();
    let setup = setup.expect("a shell script can be run");
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    String::from_utf8_lossy(&setup.stdout).trim().to_owned()
}

#[test]
fn a_fix_reaches_the_buffer_and_nothing_else() {
    if !docker() {
        return;
    }
    // Each language in another version; proposals come as a diff or as a question.
    for ((sample, review), version) in SAMPLES.iter().zip(["1", "0", "1"]).zip(["0.10", "0.11", "0.12"]) {
        let server = ModelServer::always(sample.answer(sample.repair));
        let workspace = sample.workspace().model(&server);
        let output = workspace
            .command(&neovim(version))
            .args(["--clean", "--headless", "-l"])
            .arg(project().join("tests/nvim/e2e.lua"))
            .env("OPENDEVAGENT_BIN", env!("CARGO_BIN_EXE_opendevagent"))
            .env("OPENDEVAGENT_TEST_DIR", workspace.root())
            .env("OPENDEVAGENT_TEST_FILE", sample.path)
            .env("OPENDEVAGENT_TEST_REVIEW", review)
            .output()
            .expect("Neovim can be started");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{out}\n{err}", sample.language);
        let result: Value =
            serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
        assert_eq!(result["verdict"]["level"], "proven", "{result:#}");
        assert_eq!(result["buffer"], json!(sample.after()), "{}", sample.language);
        assert_eq!(result["disk"], json!(sample.before()));
        assert_eq!(result["modified"], true);
        assert_eq!(result["undone"], json!(sample.before()));
        assert_eq!(workspace.read(sample.path), sample.before());
    }
}
