//! Where the engine listens, found the way Docker's own client finds it, then Podman's places.

use crate::text;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What discovery looks at: environment variables by name, and files.
pub(super) struct Surroundings<'a> {
    pub(super) var: &'a dyn Fn(&str) -> Option<String>,
    pub(super) read: &'a dyn Fn(&Path) -> Option<String>,
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
}

impl Surroundings<'static> {
    /// Those of this process.
    pub(super) fn real() -> Self {
        Surroundings {
            var: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            read: &|path| std::fs::read_to_string(path).ok(),
            exists: &|path| path.exists(),
        }
    }
}

/// The engine's address as a URL (`unix://`, `tcp://`, `npipe://` …); none when there is no sign of one.
///
/// First match of: `DOCKER_HOST`; the context named by `DOCKER_CONTEXT` or chosen by `docker context use`; the
/// system's socket; the user's own (rootless, Docker Desktop); Podman's, the user's and the system's.
pub(super) fn find(around: &Surroundings<'_>) -> Option<String> {
    if let Some(host) = (around.var)("DOCKER_HOST") {
        return Some(host);
    }
    let home = (around.var)("HOME").map(PathBuf::from);
    if let Some(host) = context(around, home.as_deref()) {
        return Some(host);
    }
    if cfg!(windows) {
        return Some("npipe:////./pipe/docker_engine".into());
    }
    let runtime = (around.var)("XDG_RUNTIME_DIR").map(PathBuf::from);
    let below = |base: &Option<PathBuf>, path: &str| base.as_ref().map(|base| base.join(path));
    let places = [
        Some("/var/run/docker.sock".into()),
        below(&runtime, "docker.sock"),
        below(&home, ".docker/run/docker.sock"),
        below(&home, ".docker/desktop/docker.sock"),
        below(&runtime, "podman/podman.sock"),
        Some("/run/podman/podman.sock".into()),
    ];
    let found = places.into_iter().flatten().find(|path| (around.exists)(path))?;
    Some(format!("unix://{}", found.display()))
}

/// The address kept in a Docker context; none for the default one or a broken file.
fn context(around: &Surroundings<'_>, home: Option<&Path>) -> Option<String> {
    let folder = match (around.var)("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => home?.join(".docker"),
    };
    let json = |path: &Path| serde_json::from_str::<Value>(&(around.read)(path)?).ok();
    let name = match (around.var)("DOCKER_CONTEXT") {
        Some(name) => name,
        None => json(&folder.join("config.json"))?.get("currentContext")?.as_str()?.to_owned(),
    };
    if name == "default" || name.is_empty() {
        return None;
    }
    let meta = json(&folder.join("contexts/meta").join(text::sha256(name.as_bytes())).join("meta.json"))?;
    Some(meta.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vars: &[(&str, &str)], files: &[(&str, &str)], expect: Option<&str>) {
        let var =
            |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let file = |path: &Path| files.iter().find(|(known, _)| Path::new(known) == path);
        let around = Surroundings {
            var: &var,
            read: &|path| file(path).map(|(_, text)| (*text).to_owned()),
            exists: &|path| file(path).is_some(),
        };
        assert_eq!(find(&around).as_deref(), expect, "{vars:?} {files:?}");
    }

    #[test]
    fn the_environment_wins_then_the_context_then_the_sockets() {
        let user = [("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        let system = ("/var/run/docker.sock", "");
        check(&user, &[], None);
        check(&[], &[system], Some("unix:///var/run/docker.sock"));
        check(&user, &[("/run/user/1/docker.sock", "")], Some("unix:///run/user/1/docker.sock"));
        check(&user, &[("/h/.docker/run/docker.sock", "")], Some("unix:///h/.docker/run/docker.sock"));
        check(&user, &[("/run/podman/podman.sock", "")], Some("unix:///run/podman/podman.sock"));
        check(&[("DOCKER_HOST", "tcp://10.0.0.1:2375")], &[system], Some("tcp://10.0.0.1:2375"));

        let meta = format!("/h/.docker/contexts/meta/{}/meta.json", text::sha256(b"desk"));
        let host = r#"{"Name":"desk","Endpoints":{"docker":{"Host":"unix:///x.sock"}}}"#;
        let chosen = ("/h/.docker/config.json", r#"{"currentContext":"desk"}"#);
        check(&user, &[system, chosen, (&meta, host)], Some("unix:///x.sock"));
        check(
            &[("HOME", "/h"), ("DOCKER_CONTEXT", "desk")],
            &[system, (&meta, host)],
            Some("unix:///x.sock"),
        );
        check(
            &[("HOME", "/h"), ("DOCKER_CONTEXT", "default")],
            &[system, chosen],
            Some("unix:///var/run/docker.sock"),
        );
        check(&user, &[system, chosen, (&meta, "{")], Some("unix:///var/run/docker.sock"));
    }
}
