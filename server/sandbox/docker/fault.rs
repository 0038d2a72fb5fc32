//! What went wrong between us and the engine, in words that end in what to do.

use super::SandboxError;
use bollard::errors::Error;
use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

/// No sign of an engine on this machine.
pub(super) fn not_installed() -> SandboxError {
    SandboxError::Unavailable {
        why: "no Docker engine was found".into(),
        remedy: "install Docker or Podman, start it, or set `sandbox.host` to its address".into(),
    }
}

/// An address was named, and nobody is there.
fn not_listening(path: &str) -> SandboxError {
    SandboxError::Unavailable {
        why: format!("no Docker engine listens at {path}"),
        remedy: "start it, or set `sandbox.host` (or DOCKER_HOST) to its address".into(),
    }
}

pub(super) fn unsupported(host: &str) -> SandboxError {
    SandboxError::Unavailable {
        why: format!("`{host}` is no address the sandbox can use"),
        remedy: "set `sandbox.host` to a `unix://`, `npipe://` or `tcp://` address; forward the socket with \
                 `ssh -L` to use another machine's engine"
            .into(),
    }
}

/// The engine took a call and did not answer it.
pub(super) fn hung(doing: &str, limit: Duration) -> SandboxError {
    SandboxError::Broken {
        why: format!("the Docker engine did not answer within {} s while {doing}", limit.as_secs()),
        remedy: "see whether `docker info` answers, and restart the engine if not".into(),
    }
}

/// The container ended, or its stream, before the runner reported.
pub(super) fn lost(detail: &str) -> SandboxError {
    SandboxError::Broken {
        why: format!("the sandbox container went away before its result arrived{detail}"),
        remedy: "run it again; if this repeats, see the engine's log".into(),
    }
}

/// So many containers neither run nor go away that no more are made.
pub(super) fn stuck(containers: usize) -> SandboxError {
    SandboxError::Broken {
        why: format!("{containers} containers hang, and the Docker engine cannot remove them"),
        remedy: "restart the engine; if this repeats, set `sandbox.runtime` to `runc`".into(),
    }
}

/// Reads the engine's error. `doing` completes "failed while …".
pub(super) fn explain(error: &Error, doing: &str, image: &str) -> SandboxError {
    if let Error::DockerResponseServerError { status_code, message } = error {
        return answered(*status_code, message, doing, image);
    }
    let unavailable =
        |why: &str, remedy: &str| SandboxError::Unavailable { why: why.into(), remedy: remedy.into() };
    match cause(error) {
        _ if let Error::SocketNotFoundError(path) = error => not_listening(path),
        Some(ErrorKind::NotFound) => not_installed(),
        Some(ErrorKind::PermissionDenied) => unavailable(
            "the Docker socket may not be opened by this user",
            "add yourself to the docker group (`sudo usermod -aG docker $USER`, then log in again) or use \
             rootless Docker or Podman",
        ),
        Some(ErrorKind::ConnectionRefused) => unavailable(
            "the Docker engine is not running",
            "start it (`sudo systemctl start docker`, or open Docker Desktop)",
        ),
        _ if matches!(error, Error::RequestTimeoutError) => unavailable(
            "the Docker engine does not answer",
            "see whether `docker info` answers, and restart the engine if not",
        ),
        _ => SandboxError::Broken {
            why: format!("the Docker engine failed while {doing}: {error}"),
            remedy: "see whether `docker info` answers, and restart the engine if not".into(),
        },
    }
}

fn answered(status: u16, message: &str, doing: &str, image: &str) -> SandboxError {
    let says = |needle: &str| message.to_ascii_lowercase().contains(needle);
    let remedy = if status == 404 && says("no such image") {
        return SandboxError::NoImage { image: image.to_owned() };
    } else if says("no space left") || says("disk quota") {
        "free some disk space (`docker system df` shows what the engine holds)"
    } else if says("opendevagent-runner") {
        "use the image of `opendevagent sandbox build`, or one built from it: this one has no runner"
    } else if says("runtime") && (says("unknown") || says("not found") || says("invalid")) {
        "set `sandbox.runtime` to one that `docker info` lists"
    } else {
        "see the engine's log"
    };
    SandboxError::Broken {
        why: format!("the Docker engine refused {doing}: {}", message.trim()),
        remedy: remedy.into(),
    }
}

/// The kind of the input/output error at the bottom, if there is one.
fn cause(error: &Error) -> Option<ErrorKind> {
    let mut next = error.source();
    if let Error::IOError { err } = error {
        return Some(err.kind());
    }
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_their_remedy() {
        let check = |status_code, message: &str, expect: &str| {
            let error = Error::DockerResponseServerError { status_code, message: message.into() };
            let text = explain(&error, "creating the container", "img:1").to_string();
            assert!(text.contains(expect), "{text}");
        };
        check(404, "No such image: img:1", "`docker pull img:1`");
        check(500, "write /var/lib/docker/x: no space left on device", "free some disk space");
        check(400, "exec: \"/usr/local/bin/opendevagent-runner\": no such file", "has no runner");
        check(400, "unknown or invalid runtime name: runsc", "`sandbox.runtime`");
        check(409, "something else", "the engine's log");
    }

    #[test]
    fn failures_to_connect_are_told_apart() {
        let check = |kind: ErrorKind, expect: &str| {
            let error = Error::IOError { err: kind.into() };
            let text = explain(&error, "connecting", "").to_string();
            assert!(text.contains(expect), "{text}");
        };
        check(ErrorKind::NotFound, "install Docker");
        check(ErrorKind::PermissionDenied, "docker group");
        check(ErrorKind::ConnectionRefused, "start it");
        check(ErrorKind::BrokenPipe, "`docker info`");
    }
}
