//! The base image: there already, pulled, or made with `debootstrap` from the Debian mirror this host uses.

use super::super::SandboxError;
use super::super::docker::Docker;
use super::super::tool::tool;
use super::broken;
use bollard::body_try_stream;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

const SUITE: &str = "trixie";
/// Used where the host names no mirror of its own.
const MIRROR: &str = "http://deb.debian.org/debian";
/// A registry that cannot be reached answers late or never.
const PULL: Duration = Duration::from_secs(300);

/// True when the base would have to be made here and the tool for it is missing.
pub fn debootstrap_missing() -> bool {
    find_program("debootstrap").is_none()
}

/// Sees to it that the engine holds the base image.
pub(super) async fn provide(
    docker: &Docker,
    base: &str,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<(), SandboxError> {
    if docker.image_present(base).await? {
        return Ok(());
    }
    progress(&format!("pulling {base}"));
    let Err(refusal) = pull(docker, base).await else { return Ok(()) };
    progress(&format!("cannot pull {base}: {refusal}"));
    make(docker, base, progress).await
}

pub(in crate::sandbox) async fn pull(docker: &Docker, base: &str) -> Result<(), String> {
    let client = docker.client().await.map_err(|error| error.to_string())?;
    let options = CreateImageOptionsBuilder::default().from_image(base).build();
    let mut steps = client.create_image(Some(options), None, None);
    let pulling = async {
        while let Some(step) = steps.next().await {
            step.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    timeout(PULL, pulling).await.unwrap_or_else(|_| Err("the registry does not answer".into()))
}

async fn make(
    docker: &Docker,
    base: &str,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<(), SandboxError> {
    let mirror = mirror();
    if let Some(obstacle) = obstacle() {
        return Err(SandboxError::Unavailable {
            why: format!("{base} cannot be pulled, and {obstacle}"),
            remedy: format!(
                "run `docker pull {base}` where a registry can be reached, or as root on Debian `apt-get install \
                 debootstrap && debootstrap --variant=minbase {SUITE} base {mirror} && tar -C base -c . | docker \
                 import - {base}`"
            ),
        });
    }
    let folder = std::env::temp_dir().join(format!("opendevagent-base-{}", std::process::id()));
    let made = debootstrap(&folder, &mirror, progress).await;
    let imported = match made {
        Ok(()) => {
            progress(&format!("importing {base}"));
            import(docker, &folder, base).await
        }
        Err(error) => Err(error),
    };
    // What is left of it costs disk space and nothing else.
    let _ = tokio::fs::remove_dir_all(&folder).await;
    imported
}

/// Why the base cannot be made here, if so.
fn obstacle() -> Option<String> {
    if debootstrap_missing() {
        Some("`debootstrap`, which would make it, is not installed".into())
    } else if !is_root() {
        Some("`debootstrap`, which would make it, needs root".into())
    } else {
        None
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Root's tools are often left out of PATH.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

async fn debootstrap(
    folder: &Path,
    mirror: &str,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<(), SandboxError> {
    progress(&format!("making the base from {mirror}"));
    let program = find_program("debootstrap").ok_or_else(|| broken("`debootstrap` is gone"))?;
    let mut command = tool(program);
    command.arg("--variant=minbase");
    if let Some(cache) = cache().filter(|cache| std::fs::create_dir_all(cache).is_ok()) {
        command.arg(format!("--cache-dir={}", cache.display()));
    }
    command.arg(SUITE).arg(folder).arg(mirror);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let failed = |why: &str| broken(&format!("`debootstrap` failed: {why}"));
    let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let mut last = String::new();
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            progress(&line);
            last = line;
        }
    }
    match child.wait().await {
        Ok(status) if status.success() => Ok(()),
        _ => Err(failed(&last)),
    }
}

/// Streams the tree into the engine. Devices and package lists stay behind.
async fn import(docker: &Docker, folder: &Path, base: &str) -> Result<(), SandboxError> {
    let failed = |why: &str| broken(&format!("importing {base} failed: {why}"));
    let mut archiver = tool("tar")
        .args(["--numeric-owner", "--exclude=./dev/*", "--exclude=./var/cache/apt/archives/*.deb"])
        .args(["--exclude=./var/lib/apt/lists/*", "-c", "."])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let output = archiver.stdout.take().ok_or_else(|| failed("`tar` has no output"))?;
    let (repository, tag) = base.split_once(':').unwrap_or((base, "latest"));
    let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
    let body = body_try_stream(ReaderStream::new(output));
    let mut steps = docker.client().await?.create_image(Some(options), Some(body), None);
    while let Some(step) = steps.next().await {
        step.map_err(|error| failed(&error.to_string()))?;
    }
    match archiver.wait().await {
        Ok(status) if status.success() => Ok(()),
        _ => Err(failed("`tar` could not read the tree")),
    }
}

/// Kept, so that the next build fetches nothing.
fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("opendevagent/debootstrap"))
}

/// The first Debian mirror that the host's package manager uses.
fn mirror() -> String {
    let lists = std::fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut lists: Vec<PathBuf> = lists.chain(["/etc/apt/sources.list".into()]).collect();
    lists.sort();
    let known = |path: &PathBuf| path.extension().is_some_and(|end| end == "sources" || end == "list");
    let mut texts =
        lists.iter().filter(|path| known(path)).filter_map(|path| std::fs::read_to_string(path).ok());
    texts.find_map(|text| mirror_in(&text)).unwrap_or_else(|| MIRROR.to_owned())
}

/// A Debian archive in either format of `sources.list(5)`: `URIs: A B`, or `deb [options] A suite …`. Security
/// archives and those of other distributions hold no base system.
fn mirror_in(text: &str) -> Option<String> {
    let lines =
        text.lines().map(str::trim).filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut words = lines.flat_map(str::split_whitespace);
    let archive = |word: &&str| {
        let path = word.trim_end_matches('/');
        word.starts_with("http") && path.ends_with("/debian")
    };
    words.find(archive).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_mirror_is_used() {
        let check =
            |text: &str, expect: Option<&str>| assert_eq!(mirror_in(text).as_deref(), expect, "{text}");
        check("Types: deb\n# c\nURIs: http://m.test/debian\nSuites: x", Some("http://m.test/debian"));
        check("deb [arch=amd64] https://m.test/debian/ trixie main", Some("https://m.test/debian/"));
        check("URIs: http://m.test/debian-security", None);
        check("deb http://m.test/ubuntu noble main", None);
        check("# deb http://m.test/debian trixie main", None);
        check("", None);
    }
}
