//! What an engine may do to us, on an engine of our own that can be killed, starved and hung: always an error
//! with a remedy, in time, and nothing left behind.
//!
//! Needs root and `dockerd`; the engine of the machine is only read.

use super::{docker, eventually, eventually_within, job, options};
use crate::support::skipped;
use opendevagent::sandbox::docker::{Docker, DockerOptions};
use opendevagent::sandbox::{Sandbox, SandboxError, Status, image};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A second engine. Its disk is 96 MiB of memory, and its runtime `hang` hangs while a file says so.
struct Engine {
    folder: TempDir,
    dockerd: Child,
}

impl Engine {
    /// None, with a word about it, where it cannot be.
    async fn start() -> Option<Self> {
        let shared = docker().await?;
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if !root || !Path::new("/usr/sbin/dockerd").exists() && !Path::new("/usr/bin/dockerd").exists() {
            skipped("needs root and dockerd");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let script = folder.path().join("runtime");
        let held = folder.path().join("hang");
        let text = format!(
            "#!/bin/sh\nif [ -e {0} ]; then echo $$ >> {0}; exec sleep 300; fi\nexec runc \"$@\"\n",
            held.display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        succeeds(Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(data(&folder)));
        let engine = Self { dockerd: Self::dockerd(&folder), folder };
        engine.answers().await;
        engine.import(&shared.image(None));
        Some(engine)
    }

    fn dockerd(folder: &TempDir) -> Child {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let name = folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        // In a network of its own: an engine without a bridge takes away the one that it finds.
        Command::new("unshare")
            .args(["--net", "dockerd"])
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
            .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .arg(format!("--host=unix://{}", path("engine.sock")))
            .arg(format!("--data-root={}", path("data")))
            .arg(format!("--exec-root={}", path("exec")))
            .arg(format!("--pidfile={}", path("pid")))
            .arg(format!("--add-runtime=hang={}", path("runtime")))
            .arg(format!("--containerd-namespace={name}"))
            .arg(format!("--containerd-plugins-namespace={name}-plugins"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn answers(&self) {
        // After a crash it ends the containers of its former life first, which takes the time of a `docker stop`.
        eventually_within(Duration::from_secs(120), "the second engine", || {
            self.cli(&["version"]).output().unwrap().status.success()
        })
        .await;
    }

    /// Docker's own client of this engine.
    fn cli(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.address()).args(args);
        command
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }

    /// The runner and a few programs out of the big image, under its name.
    fn import(&self, image: &str) {
        let pack = "tar -ch /usr/local/bin/opendevagent-runner /bin/sh /bin/sleep $(ldd /bin/sleep | grep -o '/[^ ]*')";
        let mut packing = Command::new("docker")
            .args(["run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", image, "-c", pack])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let archive = packing.stdout.take().unwrap();
        succeeds(self.cli(&["import", "-", &image::tag(None)]).stdin(archive));
        packing.wait().unwrap();
    }

    fn sandbox(&self, change: impl FnOnce(&mut DockerOptions)) -> Docker {
        let mut options = DockerOptions { host: Some(self.address()), ..options() };
        change(&mut options);
        Docker::connect(options).unwrap()
    }

    fn containers(&self, state: &str) -> usize {
        let all = self.cli(&["ps", "--all", "--quiet", "--filter", state]).output().unwrap();
        assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
        all.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
    }

    /// The file that makes the runtime hang; lists those that do.
    fn hang(&self) -> PathBuf {
        self.folder.path().join("hang")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Ends its containers, too. What cannot be done here is no reason to hide how the test ended.
        let _ = Command::new("kill").arg(self.dockerd.id().to_string()).status();
        let _ = self.dockerd.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            println!("{}", log.lines().rev().take(30).collect::<Vec<_>>().join("\n"));
        }
        let networks =
            std::fs::read_dir(self.folder.path().join("exec/netns")).into_iter().flatten().flatten();
        for mounted in networks.map(|entry| entry.path()).chain([data(&self.folder)]) {
            let _ = Command::new("umount").arg("--lazy").arg(mounted).status();
        }
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_in_the_middle_is_an_error_and_comes_back() {
    let Some(mut engine) = Engine::start().await else { return };
    let docker = engine.sandbox(|options| options.warm = 2);
    assert_eq!(docker.run(job(&["sleep", "0"])).await.unwrap().status, Status::Ok);
    let running = docker.run(job(&["sh", "-c", "echo begun; sleep 100"]));
    let killing = async {
        // One runs the program, two wait.
        eventually("the program to run", || engine.containers("status=running") == 3).await;
        engine.dockerd.kill().unwrap();
        engine.dockerd.wait().unwrap();
        // Its containerd died with it, but stays a zombie where nobody reaps it, and the next would wait for that.
        let _ = std::fs::remove_file(engine.folder.path().join("exec/containerd/containerd.pid"));
    };
    let (ended, ()) = tokio::join!(running, killing);
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("; start it") || error.contains("; run it again"), "{error}");

    let error = docker.run(job(&["sleep", "0"])).await.unwrap_err().to_string();
    assert!(error.contains("; start it"), "{error}");

    engine.dockerd = Engine::dockerd(&engine.folder);
    engine.answers().await;
    assert_eq!(docker.run(job(&["sleep", "0"])).await.unwrap().status, Status::Ok);
    docker.shutdown().await;
    assert_eq!(engine.containers("status=running"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_that_says_so() {
    let Some(engine) = Engine::start().await else { return };
    let docker = engine.sandbox(|_| {});
    let fill = format!("cat /dev/zero > {}/fill", data(&engine.folder).display());
    Command::new("sh").arg("-c").arg(fill).stderr(Stdio::null()).status().unwrap();
    let error = docker.run(job(&["sleep", "0"])).await.unwrap_err().to_string();
    assert!(error.contains("free some disk space"), "{error}");
    std::fs::remove_file(data(&engine.folder).join("fill")).unwrap();
    assert_eq!(docker.run(job(&["sleep", "0"])).await.unwrap().status, Status::Ok);
    docker.shutdown().await;
    assert_eq!(engine.containers("status=running"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_hangs_is_given_up_and_cleared_away_later() {
    let Some(engine) = Engine::start().await else { return };
    std::fs::write(engine.hang(), "").unwrap();
    let docker = engine.sandbox(|options| options.runtime = "hang".into());
    let error = docker.run(job(&["sleep", "0"])).await.unwrap_err().to_string();
    assert!(error.contains("while starting the container"), "{error}");
    let hung = std::fs::read_to_string(engine.hang()).unwrap();
    assert_eq!(engine.containers("label=opendevagent.owner"), 1, "the engine cannot remove it");
    std::fs::remove_file(engine.hang()).unwrap();
    succeeds(Command::new("kill").arg("-KILL").args(hung.lines()));
    assert_eq!(docker.run(job(&["sleep", "0"])).await.unwrap().status, Status::Ok);
    eventually("it to be cleared away", || engine.containers("label=opendevagent.owner") == 0).await;
    docker.shutdown().await;
}

#[tokio::test]
async fn a_socket_that_never_answers_is_an_error_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let host = Some(format!("unix://{}", socket.display()));
    let docker = Docker::connect(DockerOptions { host, ..options() }).unwrap();
    // Several at once do not wait for one another.
    let jobs = (0..4).map(|_| docker.run(job(&["true"])));
    let ended = futures_util::future::join_all(jobs);
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("one deadline for all");
    for error in ended {
        let error = error.unwrap_err();
        assert!(matches!(error, SandboxError::Broken { .. }), "{error}");
        assert!(error.to_string().contains("see whether `docker info` answers"), "{error}");
    }
}
