//! The images that hold the languages and the runner: their names, and how they are made on this machine.
//!
//! Nothing is fetched but Debian packages. Where the engine cannot pull the base image, the base is made from
//! the same packages with `debootstrap`.

mod base;

use super::docker::Docker;
use super::{SandboxError, language};
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
const REPOSITORY: &str = "opendevagent/sandbox";
/// What the Dockerfile starts from.
const BASE: &str = "debian:trixie-slim";

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Build every layer anew.
    pub fresh: bool,
}

/// The name of the image with a stage's tools. It changes with the Dockerfile and the runner, so an old image is
/// never taken for a new one.
fn tag_of(stage: &str) -> String {
    static HASH: LazyLock<String> =
        LazyLock::new(|| text::sha256(format!("{DOCKERFILE}\0{RUNNER:?}").as_bytes())[..12].to_owned());
    format!("{REPOSITORY}:{}-{stage}", *HASH)
}

/// The name of the image that runs a language; without one, or with one we do not know, of that which runs all.
pub fn tag(language: Option<&str>) -> String {
    let row = language.and_then(language::by_name);
    tag_of(row.map_or_else(|| stages().last().copied().unwrap_or_default(), |row| row.image.as_str()))
}

/// The command that makes an image of [`tag`].
pub fn remedy(image: &str) -> String {
    let stage = image.strip_prefix(REPOSITORY).and_then(|rest| rest.rsplit_once('-')).map(|(_, stage)| stage);
    let row = language::all().iter().find(|row| Some(row.image.as_str()) == stage);
    match (stage, row) {
        (None, _) => format!("docker pull {image}"),
        (Some(stage), Some(row)) if stages().last() != Some(&stage) => {
            format!("opendevagent sandbox build {}", row.name)
        }
        _ => "opendevagent sandbox build".into(),
    }
}

/// The stages that have tools, each with those of all before it.
fn stages() -> Vec<&'static str> {
    let names = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "));
    names.map(|(_, name)| name).filter(|name| *name != "runner").collect()
}

/// The Dockerfile as far as a stage, and its end.
fn dockerfile(stage: &str) -> String {
    let sections: Vec<&str> = DOCKERFILE.split_inclusive("\n\nFROM ").collect();
    let header = format!(" AS {stage}\n");
    let last = sections.iter().position(|section| section.contains(&header)).unwrap_or_default();
    sections[..=last].concat() + sections.last().copied().unwrap_or_default()
}

/// Builds the images of some languages, of all where none is named, and answers their names. `progress` gets a line
/// per step, and what the steps print.
pub async fn build(
    docker: &Docker,
    languages: &[&language::Language],
    mut progress: impl FnMut(&str) + Send,
    options: BuildOptions,
) -> Result<Vec<String>, SandboxError> {
    base::provide(docker, BASE, &mut progress).await?;
    let wanted = |stage: &&str| languages.is_empty() || languages.iter().any(|row| row.image == *stage);
    let mut built = Vec::new();
    for stage in stages().into_iter().filter(wanted) {
        // What an earlier stage has made anew is new enough for those above it.
        let fresh = options.fresh && built.is_empty();
        built.push(build_stage(docker, stage, fresh, &mut progress).await?);
    }
    Ok(built)
}

async fn build_stage(
    docker: &Docker,
    stage: &str,
    fresh: bool,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<String, SandboxError> {
    let name = tag_of(stage);
    let mut arguments: HashMap<String, String> = ["http_proxy", "https_proxy", "no_proxy"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    arguments.insert("TOOLS".into(), stage.into());
    // The host's network, because a bridge often has no name service. Programs never run under this.
    let request = BuildImageOptionsBuilder::default()
        .t(&name)
        .nocache(fresh)
        .rm(true)
        .forcerm(true)
        .networkmode("host")
        .buildargs(&arguments)
        .version(BuilderVersion::BuilderV1)
        .build();
    let context =
        context(stage).map_err(|error| broken(&format!("cannot pack the build context: {error}")))?;
    perform(docker, request, context, &name, progress).await?;
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

/// The Dockerfile as far as a stage, and what it copies.
fn context(stage: &str) -> std::io::Result<Vec<u8>> {
    let dockerfile = dockerfile(stage);
    let files = [("Dockerfile", dockerfile.as_str())].into_iter().chain(RUNNER);
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
        let bytes = context("go").unwrap();
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
    fn every_language_has_its_stage_and_its_image() {
        for row in language::all() {
            assert!(stages().contains(&row.image.as_str()), "{}", row.name);
            let tag = tag(Some(&row.name));
            let (name, version) = tag.split_once(':').unwrap();
            let (hash, stage) = version.split_once('-').unwrap();
            assert_eq!((name, hash.len(), stage), (REPOSITORY, 12, row.image.as_str()));
        }
        assert_eq!(tag(None), tag_of("go"));
        assert!(DOCKERFILE.contains("\nARG TOOLS=go\n"));
    }

    #[test]
    fn a_stage_is_built_without_the_later_ones() {
        assert_eq!(dockerfile("go"), DOCKERFILE);
        let python = dockerfile("python");
        assert!(python.contains("python3-pytest") && !python.contains("nodejs"), "{python}");
        assert!(python.contains("\n\nFROM ${TOOLS}\nRUN") && python.ends_with("runner\"]\n"), "{python}");
    }

    #[test]
    fn a_missing_image_is_made_with_one_command() {
        assert_eq!(remedy(&tag(Some("python"))), "opendevagent sandbox build python");
        assert_eq!(remedy(&tag(Some("typescript"))), "opendevagent sandbox build javascript");
        assert_eq!(remedy(&tag(None)), "opendevagent sandbox build");
        assert_eq!(remedy("registry/x:1-python"), "docker pull registry/x:1-python");
    }
}
