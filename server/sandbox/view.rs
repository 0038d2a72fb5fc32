//! How a program comes to see the workspace.

use super::{Job, JobFile};
use crate::workspace::{File, Files};

/// A job carries at most this many files of a workspace, and bytes in all.
const MAX_FILES: usize = 20_000;
const MAX_BYTES: u64 = 64 << 20;

/// The job with what stands over its workspace, which the program sees by itself.
pub(super) fn over(mut job: Job) -> Job {
    let Some(workspace) = job.workspace.take() else { return job };
    let mut files = Vec::new();
    for file in workspace.on_top() {
        match &file.bytes {
            Some(_) => files.extend(laid(file)),
            None => job.removed.push(file.path),
        }
    }
    files.append(&mut job.files);
    Job { files, ..job }
}

/// The job with the files of its workspace among its own, and those that were left out.
pub(super) async fn spread(mut job: Job) -> (Job, Vec<String>) {
    let Some(workspace) = job.workspace.take() else { return (job, Vec::new()) };
    let reading = tokio::task::spawn_blocking(move || workspace.all(MAX_FILES, MAX_BYTES));
    let Files { files, left_out } = reading.await.unwrap_or_default();
    let own = std::mem::take(&mut job.files);
    job.files = files.into_iter().filter_map(laid).chain(own).collect();
    (job, left_out)
}

fn laid(file: File) -> Option<JobFile> {
    Some(JobFile { path: file.path, bytes: file.bytes?, executable: file.executable })
}
