//! `opendevagent sandbox …`, and getting a machine ready: Docker installed and started, the image built.

use super::{complain, print, print_json};
use crate::config::Loaded;
use crate::sandbox::docker::Docker;
use crate::sandbox::language::{self, Language};
use crate::sandbox::tool::tool;
use crate::sandbox::{SandboxError, image};
use crate::wiring;
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How long a started engine may take to answer.
const ENGINE_START: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(super) enum SandboxCommand {
    /// Build the images from their Dockerfile.
    Build {
        /// Only those that run these languages.
        #[arg(value_parser = named)]
        languages: Vec<&'static Language>,
        /// Build every step again.
        #[arg(long)]
        fresh: bool,
    },
    /// Install what the workspace's lock files name, for its checks.
    Setup {
        /// The workspace folder; default is the current one.
        #[arg(long, value_name = "DIR")]
        workspace: Option<std::path::PathBuf>,
        /// Ask nothing before doing so.
        #[arg(long)]
        yes: bool,
    },
    /// The images, those made from it, and the containers that are running.
    List {
        /// Print what every container is held to instead.
        #[arg(long)]
        policy: bool,
    },
    /// Remove containers that no living server owns, and images of dependencies that are old or replaced.
    Prune {
        /// Keep images of the last so many days.
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
}

pub(super) async fn run(command: SandboxCommand, loaded: &Loaded) -> u8 {
    let docker = match wiring::docker(&loaded.settings) {
        Ok(docker) => docker,
        Err(error) => {
            complain(&format!("opendevagent: {error}"));
            return 4;
        }
    };
    let done = match &command {
        SandboxCommand::Build { languages, fresh } => {
            build(&docker, languages, *fresh).await.map(|images| print(&format!("{}\n", images.join("\n"))))
        }
        SandboxCommand::Setup { workspace, yes } => {
            let root = workspace.as_deref().unwrap_or(Path::new("."));
            let done = super::setup::run(&docker, loaded, root, *yes).await;
            docker.shutdown().await;
            match done {
                Ok(code) => return code,
                Err(error) => Err(error),
            }
        }
        SandboxCommand::List { policy: true } => {
            print_json(&docker.policy());
            Ok(())
        }
        SandboxCommand::List { policy: false } => list(&docker).await,
        SandboxCommand::Prune { days } => prune(&docker, *days).await,
    };
    if let Err(error) = done {
        complain(&format!("opendevagent: {error}"));
        return 4;
    }
    0
}

async fn prune(docker: &Docker, days: u32) -> Result<(), SandboxError> {
    docker.ping().await?;
    let containers = docker.sweep().await;
    let images = docker.prune_images(Duration::from_secs(u64::from(days) * 86_400)).await?;
    print(&format!("{containers} containers removed\n{images} images removed\n"));
    Ok(())
}

async fn list(docker: &Docker) -> Result<(), SandboxError> {
    let engine = docker.ping().await?;
    let mut images = BTreeMap::new();
    for row in language::all() {
        let image = docker.image(Some(&row.name));
        let present = docker.image_present(&image).await?;
        images.insert(&row.name, json!({ "image": image, "present": present }));
    }
    let all = docker.image(None);
    let present = docker.image_present(&all).await?;
    print_json(&json!({
        "engine": engine, "image": all, "present": present, "languages": images,
        "images": docker.images().await?, "containers": docker.containers().await?,
    }));
    Ok(())
}

fn named(name: &str) -> Result<&'static Language, String> {
    language::by_name(name).ok_or_else(|| {
        let known: Vec<_> = language::all().iter().map(|row| row.name.as_str()).collect();
        format!("no such language; known are {}", known.join(", "))
    })
}

async fn build(
    docker: &Docker,
    languages: &[&'static Language],
    fresh: bool,
) -> Result<Vec<String>, SandboxError> {
    let began = std::time::Instant::now();
    let built = image::build(docker, languages, complain, image::BuildOptions { fresh }).await?;
    complain(&format!("{} is ready after {:.0} s", built.join(", "), began.elapsed().as_secs_f64()));
    Ok(built)
}

/// Gets the engine running and the image built for one language, or for all, as far as that can be done from here. What stands in the way is
/// said, not returned: whoever needs the sandbox will find out that it is missing.
pub(super) async fn prepare(loaded: &Loaded, only: Option<&'static Language>, yes: bool) {
    let docker = match wiring::docker(&loaded.settings) {
        Ok(docker) => docker,
        Err(error) => return complain(&format!("Docker: {error}")),
    };
    if let Err(error) = docker.ping().await {
        complain(&format!("Docker: {error}"));
        if !start_engine(&docker, loaded, yes).await {
            return;
        }
    }
    match docker.image_present(&docker.image(only.map(|row| row.name.as_str()))).await {
        Ok(true) => {}
        Ok(false) => {
            if image::debootstrap_missing()
                && can_install()
                && agreed("install debootstrap, to make the base image", yes)
            {
                apt(&["debootstrap"]).await;
            }
            complain("Building what the sandbox needs; this is done once and takes a few minutes.");
            if let Err(error) = build(&docker, only.as_slice(), false).await {
                complain(&format!("opendevagent: {error}"));
            }
        }
        Err(error) => complain(&format!("Docker: {error}")),
    }
}

/// Installs Docker on Debian or Ubuntu as root, and starts it. Elsewhere says what to do.
async fn start_engine(docker: &Docker, loaded: &Loaded, yes: bool) -> bool {
    if loaded.settings.sandbox.host.is_some() || std::env::var_os("DOCKER_HOST").is_some() {
        complain(
            "The engine's address was set by you (`sandbox.host`, DOCKER_HOST); start it, or unset the address.",
        );
        return false;
    }
    if !can_install() {
        complain(
            "Install Docker Engine or Docker Desktop and start it; on Debian or Ubuntu: sudo apt-get install docker.io. \
             Without it nothing can be verified.",
        );
        return false;
    }
    if !on_path("dockerd") {
        if !agreed("install Docker Engine (apt-get install docker.io debootstrap)", yes) {
            return false;
        }
        if !apt(&["docker.io", "debootstrap"]).await {
            return false;
        }
    }
    if !agreed("start Docker Engine", yes) {
        return false;
    }
    start_daemon(docker).await
}

/// Starts the daemon through the init system where there is one, else by itself in a session of its own.
async fn start_daemon(docker: &Docker) -> bool {
    complain("Starting Docker Engine ...");
    if Path::new("/run/systemd/system").exists() {
        let _ = tool("systemctl").args(["start", "docker"]).status().await;
    } else {
        let log = std::fs::File::create("/var/log/dockerd.log").map_or_else(|_| Stdio::null(), Stdio::from);
        let started = tool("setsid")
            .args(["--fork", "dockerd"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .status();
        if let Err(error) = started.await {
            complain(&format!("dockerd could not be started: {error}"));
            return false;
        }
    }
    let waited = tokio::time::timeout(ENGINE_START, async {
        while docker.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    if waited.await.is_err() {
        complain(
            "Docker Engine was started but does not answer; see /var/log/dockerd.log or `journalctl -u docker`",
        );
        return false;
    }
    true
}

/// Root on a system with apt.
fn can_install() -> bool {
    is_root() && on_path("apt-get")
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of our own process entry is who we are; saves a dependency for one number.
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

async fn apt(packages: &[&str]) -> bool {
    for arguments in
        [vec!["update", "-qq"], [&["install", "-y", "-qq", "--no-install-recommends"], packages].concat()]
    {
        complain(&format!("apt-get {} ...", arguments.join(" ")));
        let ran = tool("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await;
        if !ran.is_ok_and(|status| status.success()) {
            complain(&format!("apt-get {} failed; run it yourself to see why", arguments.join(" ")));
            return false;
        }
    }
    true
}

pub(super) fn agreed(what: &str, yes: bool) -> bool {
    if yes {
        return true;
    }
    if !std::io::stdin().is_terminal() {
        complain(&format!("Not asked to {what}: run again with --yes."));
        return false;
    }
    let _ = write!(std::io::stderr().lock(), "OpenDevAgent would {what}. Do it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
