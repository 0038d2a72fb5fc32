//! Images made from others: one that can run jobs, and one that holds a workspace's dependencies as well.
//!
//! ```text
//! base ── runner and room ──> runnable ── setup, with a network ──> prepared ── checks, without one
//! ```
//!
//! A setup is a job like any other, in a container whose root can be written and that has a network; its files and
//! its caches lie in memory and do not come into the image. Names hold a hash of all that decides about the content,
//! so an image that is there is right.

use super::container::{Spec, started};
use super::{CALL, Docker, wire, within};
use crate::sandbox::setup::{self, Base, Built, Setup};
use crate::sandbox::{Job, Outcome, Progress, SandboxError, Status, image};
use crate::text;
use bollard::models::{ContainerConfig, ImageInspect};
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion, CommitContainerOptionsBuilder};
use std::collections::HashMap;
use std::time::Duration;

const RUNNABLE: &str = "opendevagent/derived";
const PREPARED: &str = "opendevagent/setup";
const DEVCONTAINER: &str = "opendevagent/devcontainer";
/// On every image made here: which of the three it is.
pub(super) const KIND: &str = "opendevagent.derived";
pub(super) const FROM: &str = "opendevagent.from";
pub(super) const WORKSPACE: &str = "opendevagent.workspace";
pub(super) const SOURCES: &str = "opendevagent.sources";

/// Wall clock limit of one setup.
const SETUP: Duration = Duration::from_secs(900);
/// Wall clock limit of a workspace's own image build.
const BUILD: Duration = Duration::from_secs(1800);
/// Writing a layer to disk.
const COMMIT: Duration = Duration::from_secs(600);
const OUTPUT: u64 = 8 << 20;
/// Of a setup's output, shown when it fails.
const SHOWN: usize = 2000;

impl Docker {
    /// The image to run for `image`: itself where it holds the runner, else one made from it, which must be there
    /// already. Nothing is fetched.
    pub(super) async fn runnable(&self, image: &str) -> Result<String, SandboxError> {
        if image.starts_with("opendevagent/") {
            return Ok(image.to_owned());
        }
        let found = self.inspect(image).await?;
        if has_runner(&found) { Ok(image.to_owned()) } else { self.derive(image, &found).await }
    }

    /// The prepared image of a setup, if there is one. Asks the engine alone.
    pub(super) async fn find_prepared(&self, setup: &Setup) -> Result<Option<String>, SandboxError> {
        let name = self.prepared_name(setup);
        Ok(self.image_present(&name).await?.then_some(name))
    }

    /// Makes the prepared image. One at a time; who comes second finds it made.
    pub(super) async fn make_prepared(
        &self,
        task: &str,
        setup: &Setup,
        progress: Progress<'_>,
    ) -> Result<String, SandboxError> {
        let _turn = self.preparing.lock().await;
        if let Some(name) = self.find_prepared(setup).await? {
            return Ok(name);
        }
        let base = self.base(setup, progress).await?;
        let found = self.inspect(&base).await?;
        let runnable = self.derive(&base, &found).await?;
        let name = self.prepared_name(setup);
        progress(&format!("installing what {} names", setup.sources.join(", ")));
        self.install(task, setup, &runnable, &name).await?;
        progress(&format!("{name} is ready"));
        Ok(name)
    }

    fn prepared_name(&self, setup: &Setup) -> String {
        // A new runner makes a new image.
        let base = format!("{} {}", self.image(None), self.base_name(setup));
        format!("{PREPARED}:{}", setup.key(&base))
    }

    /// What the setup starts from. The user's own choice of an image goes before the workspace's.
    fn base_name(&self, setup: &Setup) -> String {
        let chosen =
            setup.language.as_ref().is_some_and(|language| self.options.images.contains_key(language));
        match &setup.base {
            Some(Base::Image(image)) if !chosen => image.clone(),
            Some(Base::Built(built)) if !chosen => {
                format!("{DEVCONTAINER}:{}", &text::sha256(format!("{built:?}").as_bytes())[..12])
            }
            _ => self.image(setup.language.as_deref()),
        }
    }

    /// Sees to it that the base is there: pulled or built where the workspace names it.
    async fn base(&self, setup: &Setup, progress: Progress<'_>) -> Result<String, SandboxError> {
        let name = self.base_name(setup);
        if self.image_present(&name).await? {
            return Ok(name);
        }
        match &setup.base {
            Some(Base::Image(image)) if *image == name => {
                progress(&format!("pulling {image}"));
                image::pull(self, image)
                    .await
                    .map_err(|why| failed(&format!("{image} cannot be pulled: {why}")))?;
            }
            Some(Base::Built(built)) if name.starts_with(DEVCONTAINER) => {
                progress(&format!("building {}", built.dockerfile));
                let building = self.build_devcontainer(built, &name, progress);
                tokio::time::timeout(BUILD, building).await.unwrap_or_else(|_| {
                    Err(failed(&format!("{} took too long to build", built.dockerfile)))
                })?;
            }
            _ => return Err(SandboxError::NoImage { image: name }),
        }
        Ok(name)
    }

    async fn build_devcontainer(
        &self,
        built: &Built,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<(), SandboxError> {
        let request = BuildImageOptionsBuilder::default()
            .t(name)
            .dockerfile(&built.inside)
            .rm(true)
            .forcerm(true)
            .memory(i32::MAX)
            .memswap(i32::MAX)
            .networkmode(&self.options.setup_network)
            .buildargs(&built.args.iter().cloned().collect::<HashMap<_, _>>())
            .labels(&HashMap::from([(KIND, "devcontainer"), (FROM, built.dockerfile.as_str())]))
            .version(BuilderVersion::BuilderV1);
        let request = match &built.target {
            Some(target) => request.target(target),
            None => request,
        };
        let context: Vec<_> = built.context.iter().map(|(path, bytes)| (path.as_str(), &**bytes)).collect();
        let context = image::archive(&context).map_err(|error| failed(&error.to_string()))?;
        image::perform(self, request.build(), context, name, &mut |line| progress(line)).await
    }

    /// `image` with the runner and room for dependencies. No program of the image runs for it.
    async fn derive(&self, image: &str, found: &ImageInspect) -> Result<String, SandboxError> {
        let id = found.id.as_deref().unwrap_or(image);
        let runner = self.image(None);
        let hash = text::sha256(format!("{id}\0{runner}\0{ROOM_VERSION}").as_bytes());
        let name = format!("{RUNNABLE}:{}", &hash[..12]);
        if self.image_present(&name).await? {
            return Ok(name);
        }
        let copy = if has_runner(found) {
            String::new()
        } else {
            self.inspect(&runner).await?;
            format!("COPY --from={runner} {RUNNER} {RUNNER}\n")
        };
        let dockerfile = format!("FROM {image}\n{copy}ADD room.tar /\nENTRYPOINT [\"{RUNNER}\"]\nCMD []\n");
        let pack = |error: std::io::Error| failed(&error.to_string());
        let room = room().map_err(pack)?;
        let context =
            image::archive(&[("Dockerfile", dockerfile.as_bytes()), ("room.tar", &room)]).map_err(pack)?;
        let request = BuildImageOptionsBuilder::default()
            .t(&name)
            .rm(true)
            .forcerm(true)
            .networkmode("none")
            .labels(&HashMap::from([(KIND, "runnable"), (FROM, image)]))
            .version(BuilderVersion::BuilderV1)
            .build();
        image::perform(self, request, context, &name, &mut |_| {}).await?;
        Ok(name)
    }

    /// Runs the setup on `runnable` and keeps what it leaves as `name`.
    async fn install(
        &self,
        task: &str,
        setup: &Setup,
        runnable: &str,
        name: &str,
    ) -> Result<(), SandboxError> {
        let (mut env, mut files) = setup::environment();
        env.extend(
            setup
                .env
                .iter()
                .filter(|(name, _)| env.iter().all(|(known, _)| known != name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        files.extend(setup.files.iter().cloned());
        let command = if setup.command.is_empty() { "true" } else { &setup.command };
        let job = Job {
            task: task.to_owned(),
            files,
            argv: vec!["sh".into(), "-ec".into(), command.to_owned()],
            env,
            ..Job::default()
        };
        let policy = self.policy().for_setup(&self.options.setup_network);
        let (client, place) = (self.client().await?, self.place().await);
        let spec = Spec { image: runnable.to_owned(), view: None };
        let mut container = started(self.start_under(&policy, client, &spec, task, place)?).await?;
        let mut reply = wire::Reply::new(OUTPUT);
        let request = wire::encode(&job, SETUP, OUTPUT);
        let record = match container.converse(&request, &mut reply, SETUP).await? {
            Some(record) => record,
            None => container.post_mortem().await?,
        };
        let outcome = reply.outcome(record);
        if outcome.status != Status::Ok {
            return Err(failed(&explain(&outcome)));
        }
        let path = self.inspect(runnable).await?.config.unwrap_or_default().env.unwrap_or_default();
        let path = path.into_iter().find_map(|line| line.strip_prefix("PATH=").map(str::to_owned));
        self.keep(container.id(), setup, &path.unwrap_or_else(|| PATH.into()), name, runnable).await
    }

    async fn keep(
        &self,
        container: &str,
        setup: &Setup,
        path: &str,
        name: &str,
        runnable: &str,
    ) -> Result<(), SandboxError> {
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let options = CommitContainerOptionsBuilder::default()
            .container(container)
            .repo(repository)
            .tag(tag)
            .pause(true)
            .build();
        let mut env: Vec<String> = setup.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        env.push(format!("PATH={TOOLS}:{path}"));
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let config = ContainerConfig {
            env: Some(env),
            labels: Some(HashMap::from([
                label(KIND, "prepared"),
                label(FROM, &self.base_name(setup)),
                label(WORKSPACE, &setup.workspace),
                label(SOURCES, &setup.sources.join(", ")),
                label("opendevagent.runnable", runnable),
            ])),
            ..ContainerConfig::default()
        };
        let client = self.client().await?;
        within(COMMIT, "keeping the dependencies", client.commit_container(options, config)).await?;
        Ok(())
    }

    async fn inspect(&self, image: &str) -> Result<ImageInspect, SandboxError> {
        let client = self.client().await?;
        match within(CALL, "looking for the image", client.inspect_image(image)).await {
            Err(SandboxError::NoImage { .. }) => Err(SandboxError::NoImage { image: image.to_owned() }),
            found => found,
        }
    }
}

const RUNNER: &str = super::policy::RUNNER;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs that dependencies bring.
const TOOLS: &str = "/deps/python/bin:/node_modules/.bin";
/// Changes with [`room`].
const ROOM_VERSION: &str = "1";

fn has_runner(found: &ImageInspect) -> bool {
    let entrypoint = found.config.as_ref().and_then(|config| config.entrypoint.as_ref());
    entrypoint.is_some_and(|entrypoint| entrypoint.first().is_some_and(|first| first == RUNNER))
}

/// The folders an image needs to run jobs and to hold dependencies. Node looks for packages in every folder above a
/// program, so `/node_modules` is found from `/work`.
fn room() -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode) in [("work/", 0o700), (&format!("{}/", &setup::ROOM[1..]), 0o755)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_uid(super::policy::UID.into());
        header.set_gid(super::policy::UID.into());
        header.set_size(0);
        archive.append_data(&mut header, path, std::io::empty())?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    archive.append_link(&mut header, "node_modules", "/deps/node/node_modules")?;
    archive.into_inner()
}

/// How a setup failed, with the end of what it wrote.
fn explain(outcome: &Outcome) -> String {
    let ending = match (outcome.status, outcome.exit_code) {
        (Status::Timeout, _) => format!("took longer than {} s", SETUP.as_secs()),
        (Status::Oom, _) => "ran out of memory".into(),
        (Status::Error, _) => outcome.error.clone().unwrap_or_default(),
        (_, Some(code)) => format!("ended with exit {code}"),
        _ => "was ended".into(),
    };
    let output = [outcome.stdout.trim(), outcome.stderr.trim()].join("\n");
    let output = output.trim();
    let skipped = output.chars().count().saturating_sub(SHOWN);
    format!("the setup {ending}:\n{}", output.chars().skip(skipped).collect::<String>())
}

fn failed(why: &str) -> SandboxError {
    SandboxError::Broken {
        why: why.trim_end().to_owned(),
        remedy: "correct what names the dependencies, or set `sandbox.setup` to the command that installs them in \
                 /deps (`off`: none)"
            .into(),
    }
}
