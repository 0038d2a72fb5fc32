//! The workspace as a program sees it: the same cases over a copy-on-write view and over sent files.

use super::{docker_with, job};
use opendevagent::sandbox::docker::Docker;
use opendevagent::sandbox::{Job, Outcome, Sandbox, Status};
use opendevagent::workspace::{Document, Documents, Snapshot};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

struct Project {
    folder: tempfile::TempDir,
    docker: Docker,
    view: bool,
}

/// In both modes: seen, and sent.
async fn projects() -> Vec<Project> {
    let mut projects = Vec::new();
    for view in [true, false] {
        let streamed = if view { 0 } else { usize::MAX };
        let Some(docker) = docker_with(|options| options.streamed = streamed).await else { break };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Project { folder, docker, view };
        project.write("a.py", "disk\n");
        project.write("sub/b.py", "below\n");
        project.write(".env", "KEY=1\n");
        project.write("sub/deep/id_rsa", "private\n");
        project.write("drafts/x.txt", "excluded\n");
        projects.push(project);
    }
    projects
}

impl Project {
    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().expect("a parent")).expect("the folder is ours");
        fs::write(self.path(path), text).expect("the folder is ours");
    }

    fn snapshot(&self) -> Snapshot {
        let documents = Documents::default();
        Snapshot::take(self.folder.path(), &documents, &["drafts/".into()]).expect("it can be read")
    }

    async fn shell(&self, workspace: Snapshot, script: &str) -> Outcome {
        let kind = if self.view { "overlayfs" } else { "tmpfs" };
        let script = format!("[ $(stat -f -c %T .) = {kind} ] || {{ echo not {kind}; exit 99; }}; {script}");
        let job = Job { workspace: Some(workspace), ..job(&["sh", "-c", &script]) };
        self.docker.run(job).await.expect("the sandbox works")
    }

    async fn says(&self, workspace: Snapshot, script: &str, expect: &str) {
        let outcome = self.shell(workspace, script).await;
        assert_eq!(outcome.stdout, expect, "view {}: {outcome:?}", self.view);
    }

    /// Every file with what is in it, and every link.
    fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let mut image = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("it is ours").flatten() {
                let kind = entry.file_type().expect("it is there");
                if kind.is_dir() {
                    folders.push(entry.path());
                }
                let bytes = if kind.is_file() { fs::read(entry.path()).expect("ours") } else { Vec::new() };
                image.insert(entry.path().display().to_string(), bytes);
            }
        }
        image
    }
}

#[tokio::test]
async fn secrets_are_hidden_and_texts_stand_over_files() {
    for project in projects().await {
        let mut documents = Documents::default();
        let document = |text: &str| Document {
            uri: String::new(),
            version: 1,
            language: "python".into(),
            text: text.into(),
        };
        documents.insert(project.path("a.py").display().to_string(), document("buffer\n"));
        let before = project.image();
        let snapshot = Snapshot::take(project.folder.path(), &documents, &["drafts/".into()]).unwrap();
        let script = "cat a.py sub/b.py; cat .env sub/deep/id_rsa drafts/x.txt 2>/dev/null; true";
        project.says(snapshot.clone(), script, "buffer\nbelow\n").await;
        let changed = snapshot.with([
            ("sub/b.py", None),
            ("a.py", Some("candidate\n")),
            ("new/folder/c.py", Some("new\n")),
        ]);
        let script = "cat a.py new/folder/c.py; test -e sub/b.py || echo gone";
        project.says(changed, script, "candidate\nnew\ngone\n").await;
        project.says(snapshot, "cat sub/b.py; ls new 2>/dev/null; true", "below\n").await;
        assert_eq!(project.image(), before);
        project.docker.shutdown().await;
    }
}

#[tokio::test]
async fn a_program_may_write_all_over_and_the_workspace_stays() {
    for project in projects().await {
        let before = project.image();
        let script = "echo x > a.py || { rm a.py && echo x > a.py; }; rm -f sub/b.py; mkdir -p sub/m/n; \
                      echo y > sub/m/n/z; echo z > top; mv top sub/moved; cat a.py sub/m/n/z sub/moved";
        project.says(project.snapshot(), script, "x\ny\nz\n").await;
        assert_eq!(project.image(), before);
        project.says(project.snapshot(), "cat a.py; ls", "disk\na.py\nsub\n").await;
        project.docker.shutdown().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn odd_files_do_no_harm() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for project in projects().await {
        project.write("run.sh", "#!/bin/sh\necho ran\n");
        fs::set_permissions(project.path("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/etc/hostname", project.path("out")).unwrap();
        symlink(project.path("a.py"), project.path("absolute")).unwrap();
        fs::write(project.path("big"), vec![7; 9 << 20]).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(project.path("socket")).unwrap();
        let mkfifo = std::process::Command::new("mkfifo").arg(project.path("pipe")).status();
        assert!(mkfifo.expect("mkfifo is there").success());
        let script = "./run.sh; wc -c < big; test -e pipe || test -e socket || echo none; \
                      cat out 2>/dev/null | grep -v sandbox; cat absolute 2>/dev/null; true";
        project.says(project.snapshot(), script, "ran\n9437184\nnone\n").await;
        project.docker.shutdown().await;
    }
}

#[tokio::test]
async fn what_becomes_secret_meanwhile_is_hidden_from_the_next_job() {
    for project in projects().await {
        let snapshot = project.snapshot();
        project.says(snapshot.clone(), "cat .env.local 2>/dev/null; true", "").await;
        project.write(".env.local", "KEY=2\n");
        project.says(snapshot, "cat .env.local 2>/dev/null; true", "").await;
        project.docker.shutdown().await;
    }
}

#[tokio::test]
async fn a_flood_of_files_ends_at_the_memory_limit() {
    for project in projects().await.into_iter().filter(|project| project.view) {
        let large = "for i in 0 1 2 3 4 5 6 7 8 9; do head -c 20000000 /dev/zero > f$i || exit 1; done";
        let many = "i=0; while : > f$i; do i=$((i+1)); done";
        for script in [large, many] {
            let outcome = project.shell(project.snapshot(), script).await;
            assert!(outcome.oom && outcome.status != Status::Ok, "{outcome:?}");
        }
        project.docker.shutdown().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn eight_at_once_leave_nothing_behind() {
    for project in projects().await.into_iter().filter(|project| project.view) {
        let jobs = (0..8).map(|n| {
            let script = format!("echo {n} > sub/own; sleep 0.2; cat sub/own; mkdir -p d/d/d; chmod 0 d/d");
            let project = &project;
            async move { project.says(project.snapshot(), &script, &format!("{n}\n")).await }
        });
        futures_util::future::join_all(jobs).await;
        let folders = scratch(&project.docker);
        assert_eq!(folders.len(), 1, "the views are in memory: {folders:?}");
        project.docker.shutdown().await;
        assert_eq!(scratch(&project.docker), Vec::<std::path::PathBuf>::new());
    }
}

/// The folders in memory of one owner.
#[cfg(target_os = "linux")]
fn scratch(docker: &Docker) -> Vec<std::path::PathBuf> {
    let label = docker.label();
    let id = label.rsplit('/').next().expect("the label ends in an id");
    let all = fs::read_dir("/dev/shm").expect("this is Linux").flatten();
    let below = all.filter_map(|entry| fs::read_dir(entry.path()).ok()).flatten().flatten();
    let own = below.map(|entry| entry.path()).filter(|path| ends_in(path, id));
    own.collect()
}

#[cfg(target_os = "linux")]
fn ends_in(path: &Path, id: &str) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(id))
}
