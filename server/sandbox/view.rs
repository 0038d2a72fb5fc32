//! How a program comes to see the workspace.

use super::{Job, JobFile};
use crate::workspace::{File, Files};

/// A job carries at most this many files of a workspace, and bytes in all.
const MAX_FILES: usize = 20_000;
const MAX_BYTES: u64 = 64 << 20;

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
