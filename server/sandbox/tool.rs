//! Programs of the host that set the sandbox up, and what of our environment they see: never a key, which may be in it.

use std::ffi::OsStr;
use tokio::process::Command;

/// What a program needs to find itself, its files, the engine and the network.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TERM",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
const PASSED_STARTS: &[&str] = &["LC_", "DOCKER_"];

/// A program to be started without our keys.
pub fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let passed = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed));
    command.env_clear().envs(passed);
    command
}

/// Proxies are named in small letters too.
fn is_passed(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    PASSED.contains(&name.as_str()) || PASSED_STARTS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_key_is_not_passed_on() {
        for name in ["PATH", "https_proxy", "DOCKER_HOST", "LC_ALL"] {
            assert!(is_passed(name), "{name}");
        }
        for name in
            ["OPENROUTER_API_KEY", "OPENDEVAGENT_MODEL_KEY_COMMAND", "MY_OWN", "AWS_SECRET_ACCESS_KEY"]
        {
            assert!(!is_passed(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_tool_sees_nothing_else() {
        let said = tool("env").output().await.unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let names: Vec<_> =
            said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(names.contains(&"PATH") && names.iter().all(|name| is_passed(name)), "{names:?}");
        assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "which this test has");
    }
}
