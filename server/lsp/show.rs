//! Longer texts for the user: plans, diffs, logs. Where the editor asks for texts that are no files it is given those;
//! else they are written below the user's state directory, for an editor is certain to be able to open a file.

use super::plans::DOCUMENT;
use super::{MessageType, Server, newer, uri};
use crate::agent::plan;
use crate::config;
use crate::event::Action;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};
use tower_lsp::lsp_types::{ShowDocumentParams, Uri, request};

/// How long what was shown is kept. Older files go at the first text that a server shows.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);
/// Texts that are no files, of which is remembered that the client has asked for them.
pub(super) const CONTENTS: usize = 256;
/// The names of a task's texts; that of a plan is [`DOCUMENT`], all others are of its answer.
pub(super) const DIFF: &str = "changes.diff";
pub(super) const LOG: &str = "task.log";
static PRUNED: Once = Once::new();

impl Server {
    /// Shows a text that belongs to a task. Where it is to be found. Only what the user has `asked` for just now may take
    /// the focus: else the keys of somebody who goes on typing would land in it.
    pub(super) async fn show_text(&self, id: &str, name: &str, asked: bool) -> Option<String> {
        let editor = self.session().editor.clone();
        if editor.contents {
            let uri = newer::uri_of(id, name);
            if self.open(uri.parse().ok()?, asked).await {
                return Some(uri);
            }
        }
        let text = self.text(id, name).await?;
        let directory = self.directory()?;
        PRUNED.call_once(|| prune(&directory, SystemTime::now() - KEPT));
        let path = directory.join(format!("{id}-{name}"));
        if let Err(error) = write_private(&path, &text) {
            self.show(MessageType::ERROR, format!("{} could not be written: {error}", path.display()));
            return None;
        }
        let shown = match uri::of_file(&path) {
            Some(uri) => editor.show_document && self.open(uri, asked).await,
            None => false,
        };
        if !shown {
            self.show(MessageType::INFO, format!("OpenDevAgent: see {}", path.display()));
        }
        Some(path.display().to_string())
    }

    async fn open(&self, uri: Uri, asked: bool) -> bool {
        // eglot reads `false` as yes, and nothing as no; Neovim reads nothing as yes.
        let take_focus = (asked || self.session().client != "Eglot").then_some(asked);
        let params = ShowDocumentParams { uri, external: Some(false), take_focus, selection: None };
        let answer = self.client.send_request::<request::ShowDocument>(params).await;
        answer.is_ok_and(|answer| answer.success)
    }

    /// A text of a task, of this server or another, as it is now.
    pub(super) async fn text(&self, id: &str, name: &str) -> Option<String> {
        let plan =
            self.session().plans.get(id).filter(|_| name == DOCUMENT).map(|progress| progress.plan().clone());
        if let Some(plan) = plan {
            return Some(plan::markdown(&plan));
        }
        let asked = self.session().tasks.get(id).and_then(|entry| entry.report.as_ref()?.asked.clone());
        let record = self.any_record(id).await.ok()?;
        let lines = |of: &Value| {
            of.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        };
        match name {
            DIFF => {
                Some(record["edits"].as_array()?.iter().filter_map(|edit| edit["diff"].as_str()).collect())
            }
            LOG => Some(match asked {
                Some(asked) => {
                    let (who, model) = (asked.agent.name(), &asked.model);
                    format!(
                        "{}\n\nThe last question, to the {who} ({model}):\n{}",
                        lines(&record["log"]),
                        asked.text()
                    )
                }
                None => lines(&record["log"]),
            }),
            _ => record["text"].as_str().filter(|_| is_answer(name)).map(str::to_owned),
        }
    }

    /// The diff of a task's proposal.
    pub(super) async fn show_diff(&self, id: &str) -> Option<String> {
        self.show_text(id, DIFF, true).await
    }

    pub(super) async fn show_log(&self, id: &str) {
        self.show_text(id, LOG, true).await;
    }

    /// Tells a client that has a task's texts open that they are whole now.
    pub(super) fn refresh_contents(&self, id: &str) {
        for name in [DIFF, LOG] {
            self.refresh_content(id, name);
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

/// Whether a text is what an agent has answered; a plan is.
fn is_answer(name: &str) -> bool {
    Action::ALL.iter().any(|action| name.strip_suffix(".md") == Some(action.name()))
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
