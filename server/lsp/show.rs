//! Longer texts for the user: plans, diffs, logs. Written below the user's state directory, for an editor is
//! certain to be able to open a file.

use super::{MessageType, Server, to_proto};
use crate::agent::task::Report;
use crate::config;
use crate::text;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};
use tower_lsp::lsp_types::{ShowDocumentParams, request};

/// How long what was shown is kept. Older files go at the first text that a server shows.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);
static PRUNED: Once = Once::new();

impl Server {
    /// Shows a text that belongs to a task. The file it was written to.
    pub(super) async fn show_text(&self, id: &str, name: &str, text: &str) -> Option<PathBuf> {
        let directory = self.directory()?;
        PRUNED.call_once(|| prune(&directory, SystemTime::now() - KEPT));
        let path = directory.join(format!("{id}-{name}"));
        if let Err(error) = write_private(&path, text) {
            self.show(MessageType::ERROR, format!("{} could not be written: {error}", path.display()));
            return None;
        }
        let shown = self.session().editor.show_document && self.open(&path).await;
        if !shown {
            self.show(MessageType::INFO, format!("OpenDevAgent: see {}", path.display()));
        }
        Some(path)
    }

    async fn open(&self, path: &Path) -> bool {
        let Some(uri) = to_proto::file_uri(path) else { return false };
        let params =
            ShowDocumentParams { uri, external: Some(false), take_focus: Some(true), selection: None };
        let answer = self.client.send_request::<request::ShowDocument>(params).await;
        answer.is_ok_and(|answer| answer.success)
    }

    /// The diff of a task's proposal.
    pub(super) async fn show_diff(&self, id: &str) -> Option<PathBuf> {
        let (_, report) = self.ended(id)?;
        self.show_text(id, "changes.diff", &diff(&report)).await
    }

    pub(super) async fn show_log(&self, id: &str) {
        let log: Option<String> = {
            let session = self.session();
            session.tasks.get(id).map(|entry| {
                let mut text = entry.log.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
                let asked = entry.report.as_ref().and_then(|report| report.asked.as_ref());
                if let Some(asked) = asked {
                    let (who, model) = (asked.agent.name(), &asked.model);
                    text = format!("{text}\n\nThe last question, to the {who} ({model}):\n{}", asked.text());
                }
                text
            })
        };
        if let Some(log) = log {
            self.show_text(id, "task.log", &log).await;
        }
    }

    pub(super) fn directory(&self) -> Option<PathBuf> {
        let base = config::base_directory("XDG_STATE_HOME", ".local/state");
        if base.is_none() {
            self.show(MessageType::ERROR, "no place for files was found: set HOME or XDG_STATE_HOME".into());
        }
        Some(base?.join("opendevagent/shown"))
    }
}

fn diff(report: &Report) -> String {
    let files = report.proposal.changes.iter().map(|change| &change.file);
    files.map(|file| text::unified(&file.path, file.before.as_deref(), file.after.as_deref())).collect()
}

/// Removes the files that were written before `limit`. What cannot be removed stays.
fn prune(directory: &Path, limit: SystemTime) {
    for file in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file);
        let written = metadata.and_then(|metadata| metadata.modified().ok());
        if written.is_some_and(|written| written < limit) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Writes a file that only the user can read.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_go_and_new_ones_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, age: Duration| {
            let path = directory.path().join(name);
            write_private(&path, "text").expect("a file");
            let opened = std::fs::File::options().write(true).open(&path).expect("the file");
            opened.set_modified(SystemTime::now() - age).expect("its time");
            path
        };
        let (old, new) = (file("old", KEPT * 2), file("new", KEPT / 2));
        std::fs::create_dir(directory.path().join("folder")).expect("a folder");
        prune(directory.path(), SystemTime::now() - KEPT);
        prune(&directory.path().join("missing"), SystemTime::now());
        assert!(!old.exists() && new.exists() && directory.path().join("folder").exists());
    }
}
