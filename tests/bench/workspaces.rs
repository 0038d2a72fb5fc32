//! What a check costs by the size of the workspace it sees.

use super::{job, ready, run, sandbox};
use crate::support::{Sample, ratio, times};
use opendevagent::sandbox::{Job, Status};
use opendevagent::workspace::{Documents, Snapshot};
use std::path::Path;
use std::time::Instant;

/// Files, in so many folders.
const SIZES: [(usize, usize); 3] = [(10, 1), (1_000, 10), (100_000, 1_000)];

pub(super) async fn workspaces(rounds: usize) {
    let made = SIZES.map(|(files, folders)| {
        let workspace = tempfile::tempdir().expect("a temporary folder");
        fill(workspace.path(), files, folders);
        workspace
    });
    println!();
    let mut first = Vec::new();
    for workspace in &made {
        let begin = Instant::now();
        drop(take(workspace.path()));
        first.push(begin.elapsed());
    }
    let sandboxes = SIZES.map(|_| sandbox(1));
    for (docker, workspace) in sandboxes.iter().zip(&made) {
        check(docker, workspace.path()).await;
    }
    let mut samples = SIZES.map(|_| Sample::default());
    for _ in 0..rounds {
        for ((docker, workspace), sample) in sandboxes.iter().zip(&made).zip(&mut samples) {
            ready(docker, 1).await;
            let begin = Instant::now();
            check(docker, workspace.path()).await;
            sample.push_time(begin.elapsed());
        }
    }
    for docker in &sandboxes {
        docker.shutdown().await;
    }
    for (((files, folders), sample), first) in SIZES.iter().zip(&samples).zip(&first) {
        let note = format!("listed first in {:.0} ms", first.as_secs_f64() * 1e3);
        times(&format!("check, {files} files in {folders} folders"), sample, &note);
    }
    ratio("100,000 files / 10 files", samples[2].median() / samples[0].median(), 1.3);
}

fn fill(root: &Path, files: usize, folders: usize) {
    for folder in 0..folders {
        let folder = root.join(format!("d{folder}"));
        std::fs::create_dir(&folder).expect("the folder is ours");
        for file in 0..files / folders {
            std::fs::write(folder.join(format!("f{file}.py")), "x = 1\n").expect("the folder is ours");
        }
    }
}

fn take(root: &Path) -> Snapshot {
    Snapshot::take(root, &Documents::default(), &[]).expect("the folder is ours")
}

/// From the listing to the result.
async fn check(docker: &opendevagent::sandbox::docker::Docker, root: &Path) {
    let test = ["python3", "-c", "import sys; sys.path.insert(0, 'd0'); import f0; print(f0.x)"];
    run(docker, Job { workspace: Some(take(root)), ..job(&test) }, Status::Ok).await;
}
