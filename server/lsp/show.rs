//! Longer texts for the user: plans, diffs, logs. Written below the user's state directory, for an editor is
//! certain to be able to open a file.

use super::{MessageType, Server, to_proto};
use crate::agent::task::Report;
use crate::config;
use crate::text;
use std::path::{Path, PathBuf};
use tower_lsp::lsp_types::{ShowDocumentParams, request};

impl Server {
    /// Shows a text that belongs to a task. The file it was written to.
    pub(super) async fn show_text(&self, id: &str, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.directory()?.join(format!("{id}-{name}"));
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
