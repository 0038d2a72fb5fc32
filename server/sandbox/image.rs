//! The image that holds all languages and the runner: its name, and how it is made on this machine.
//!
//! Nothing is fetched but Debian packages. Where the engine cannot pull the base image, the base is made from
//! the same packages with `debootstrap`.

mod base;

use super::SandboxError;
use super::docker::Docker;
use crate::text;
use bollard::body_full;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::LazyLock;

pub use base::debootstrap_missing;
pub(super) use base::pull;

const DOCKERFILE: &str = include_str!("image/Dockerfile");
/// The runner's source, by path in the build context.
const RUNNER: [(&str, &str); 7] = [
    ("runner/runner.rs", include_str!("runner.rs")),
    ("runner/runner/collect.rs", include_str!("runner/collect.rs")),
    ("runner/runner/job.rs", include_str!("runner/job.rs")),
    ("runner/runner/meter.rs", include_str!("runner/meter.rs")),
    ("runner/runner/program.rs", include_str!("runner/program.rs")),
    ("runner/runner/report.rs", include_str!("runner/report.rs")),
    ("runner/runner/sys.rs", include_str!("runner/sys.rs")),
];
/// What the Dockerfile starts from.
const BASE: &str = "debian:trixie-slim";

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Build every layer anew.
    pub fresh: bool,
}

/// The image's name. It changes with the Dockerfile and the runner, so an old image is never taken for a new one.
pub fn tag() -> String {
    static TAG: LazyLock<String> = LazyLock::new(|| {
        let hash = text::sha256(format!("{DOCKERFILE}\0{RUNNER:?}").as_bytes());
        format!("opendevagent/sandbox:{}", &hash[..12])
    });
    TAG.clone()
}

/// Builds the image and answers its name. `progress` gets a line per step, and what the steps print.
pub async fn build(
    docker: &Docker,
    mut progress: impl FnMut(&str) + Send,
    options: BuildOptions,
) -> Result<String, SandboxError> {
    base::provide(docker, BASE, &mut progress).await?;
    let name = tag();
    let arguments: HashMap<String, String> = ["http_proxy", "https_proxy", "no_proxy"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    // The host's network, because a bridge often has no name service. Programs never run under this.
    let request = BuildImageOptionsBuilder::default()
        .t(&name)
        .nocache(options.fresh)
        .rm(true)
        .forcerm(true)
        .networkmode("host")
        .buildargs(&arguments)
        .version(BuilderVersion::BuilderV1)
        .build();
    let context = context().map_err(|error| broken(&format!("cannot pack the build context: {error}")))?;
    perform(docker, request, context, &name, &mut progress).await?;
    Ok(name)
}

/// Has the engine build the image `name`, as `request` says, from an archive.
pub(super) async fn perform(
    docker: &Docker,
    request: BuildImageOptions,
    context: Vec<u8>,
    name: &str,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(), SandboxError> {
    let client = docker.client().await?;
    let mut steps = client.build_image(request, None, Some(body_full(context.into())));
    let mut tail = Tail::default();
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| broken(&format!("building {name} failed: {error}{tail}")))?;
        for line in step.stream.iter().chain(&step.status).flat_map(|text| text.lines()) {
            let line = line.trim_end();
            if !line.is_empty() {
                tail.push(line);
                progress(line);
            }
        }
    }
    if docker.image_present(name).await? {
        Ok(())
    } else {
        Err(broken(&format!("no image came of it{tail}")))
    }
}

/// The last lines of a build, for its error.
#[derive(Default)]
struct Tail(std::collections::VecDeque<String>);

impl Tail {
    fn push(&mut self, line: &str) {
        if self.0.len() == 8 {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(200).collect());
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The Dockerfile and what it copies.
fn context() -> std::io::Result<Vec<u8>> {
    let files = [("Dockerfile", DOCKERFILE)].into_iter().chain(RUNNER);
    archive(&files.map(|(name, text)| (name, text.as_bytes())).collect::<Vec<_>>())
}

/// Files as an archive to build from. Times are zero, so that the engine's cache holds.
pub(super) fn archive(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes)?;
    }
    archive.into_inner()
}

fn broken(why: &str) -> SandboxError {
    SandboxError::Broken {
        why: why.to_owned(),
        remedy: "see that the packages can be fetched and the disk has 4 GB free, then run \
                 `opendevagent sandbox build` again"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_holds_what_the_dockerfile_copies() {
        let bytes = context().unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        for line in DOCKERFILE.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
            let source = line.split_whitespace().nth(1).unwrap();
            assert!(names.iter().any(|name| name.starts_with(source)), "{line}");
        }
        assert!(DOCKERFILE.contains(&format!("ARG BASE={BASE}\n")));
    }

    #[test]
    fn the_tag_is_stable_and_short() {
        let (name, hash) =
            tag().split_once(':').map(|(name, hash)| (name.to_owned(), hash.to_owned())).unwrap();
        assert_eq!((name.as_str(), hash.len()), ("opendevagent/sandbox", 12));
    }
}
