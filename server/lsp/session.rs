//! What the server knows about one client: its documents, its settings, its tasks and what became of them.
//!
//! Behind one mutex, changed before a handler's first wait and never held across one.

use super::capabilities::Editor;
use super::from_proto;
use super::hints::Proof;
use super::inline::Allowance;
use super::plans::Progress;
use super::published::{Edited, Published};
use super::tasks::Workshop;
use super::uri;
use crate::agent::patch::Writing;
use crate::agent::task::{Change, Report, Stop, Task};
use crate::config::Inline;
use crate::dashboard::Dashboard;
use crate::event::{Action, Phase};
use crate::text;
use crate::verdict::Level;
use crate::workspace::{Document, Documents};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_lsp::lsp_types::{ProgressToken, TextDocumentContentChangeEvent, Uri};

/// Times that a proposal is carried over before the user is asked again.
const MOVES: u32 = 3;
/// Finished tasks that are remembered.
const FINISHED: usize = 64;
/// Lines of a task's log that are remembered, and characters of a line.
const LOG_LINES: usize = 1000;
const LOG_WIDTH: usize = 2000;
/// A longer text is not compared while an editor waits for its code actions.
const COMPARED_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Session {
    pub(super) editor: Arc<Editor>,
    pub(super) documents: Documents,
    /// Keys of open documents whose text may not be what the editor shows: a change to them was lost.
    pub(super) doubted: HashSet<String>,
    /// Workspace folders, as absolute paths.
    pub(super) folders: Vec<PathBuf>,
    /// What the client calls them.
    pub(super) folder_uris: HashMap<PathBuf, Uri>,
    /// The settings that the client has sent last.
    pub(super) settings: Option<Value>,
    /// What folders have of their own, laid over those.
    pub(super) own_settings: HashMap<PathBuf, Value>,
    /// When the client was asked for settings, and had answered all before.
    pub(super) asked_settings: Option<Instant>,
    /// What the settings of folders, and of files in none, say of lenses, hints and completions, once it was needed.
    pub(super) inline: HashMap<Option<PathBuf>, Inline>,
    /// Model and sandbox by workspace folder, made when first needed, forgotten when the settings change.
    pub(super) workshops: HashMap<PathBuf, Arc<Workshop>>,
    /// URIs of the texts that the client has asked for (`newer`).
    pub(super) contents: HashSet<String>,
    /// By id, which is by age.
    pub(super) tasks: BTreeMap<String, Entry>,
    /// Plans whose steps can be generated, by the task that made them.
    pub(super) plans: BTreeMap<String, Progress>,
    /// What is published, by document key.
    pub(super) findings: BTreeMap<String, Published>,
    /// Documents whose check or run failed last.
    pub(super) failing: HashSet<String>,
    /// Texts that are on their way to the client as edits, by document key; gone once the document had them.
    pub(super) awaited: HashMap<String, String>,
    /// What was shown about the last edit that was applied, by document key.
    pub(super) proofs: HashMap<String, Proof>,
    /// Given by `opendevagent/setKey`.
    pub(super) key: Option<SecretString>,
    /// What completions may use.
    pub(super) allowance: Allowance,
    /// Setups the user was asked about, by what they would install.
    pub(super) asked: HashSet<String>,
    /// What the last task lacked: a model or a sandbox.
    pub(super) problem: Option<Stop>,
    /// What the client calls itself.
    pub(super) client: String,
    /// Ends the watch over the store that a team shares.
    pub(super) attending: Option<CancellationToken>,
    /// Why that store cannot be reached.
    pub(super) away: Option<String>,
    /// The page, once it was asked for.
    pub(super) dashboard: Option<Dashboard>,
}

/// One task and what became of it.
pub(super) struct Entry {
    pub(super) task: Task,
    /// Key of the document that it is about.
    pub(super) key: String,
    pub(super) cancel: CancellationToken,
    pub(super) began: SystemTime,
    /// The buffers it began with; let go when it ends.
    pub(super) documents: Documents,
    pub(super) phase: Phase,
    /// The highest percentage reported.
    pub(super) percent: u32,
    /// The number of the next event.
    pub(super) seq: u64,
    pub(super) progress: Option<ProgressToken>,
    /// When progress was last reported, and how much an agent had said by then.
    pub(super) reported: Option<Instant>,
    pub(super) said: usize,
    /// The answer that is being written.
    pub(super) answer: Writing,
    pub(super) log: VecDeque<String>,
    pub(super) cost_usd: f64,
    pub(super) report: Option<Arc<Report>>,
    pub(super) offer: Offer,
    /// The user wants it applied, and what they saw of it: it is carried over to a text that has changed elsewhere.
    pub(super) wanted: Option<Level>,
    /// How often that was done since it was offered.
    pub(super) moves: u32,
    /// Cancelled when the task is no longer remembered, with the questions about it that nobody has answered.
    pub(super) remembered: CancellationToken,
    _until_forgotten: DropGuard,
}

/// How a proposal stands to the texts as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Fresh,
    /// They have changed elsewhere: it is carried over and checked again before it is applied.
    Moved,
    Stale,
}

/// What became of a task's proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Offer {
    None,
    Standing,
    /// Its edits are on their way to the client.
    Applying,
    Applied,
    Discarded,
}

impl Session {
    /// Takes over workspace folders; those that are none on this machine are left out.
    pub(super) fn add_folders(&mut self, uris: impl IntoIterator<Item = Uri>) {
        for uri in uris {
            let Some(folder) = from_proto::path(uri.as_str()) else { continue };
            if !self.folders.contains(&folder) {
                self.folders.push(folder.clone());
            }
            self.folder_uris.insert(folder, uri);
        }
    }

    pub(super) fn open(&mut self, uri: String, version: i32, language: String, text: &str) {
        let document = Document { version, language, text: ropey::Rope::from_str(text), uri };
        let key = from_proto::key(&document.uri);
        self.doubted.remove(&key);
        self.documents.insert(key.clone(), document);
        self.look_out(&key);
    }

    /// Notes that a document reads as it was awaited. Done with each change: the user may go on typing before anybody
    /// else looks.
    fn look_out(&mut self, key: &str) {
        let document = self.documents.get(key);
        let reads = |text: &String| document.is_some_and(|document| document.text == text.as_str());
        if self.awaited.get(key).is_some_and(reads) {
            self.awaited.remove(key);
        }
    }

    /// Performs the changes of one `textDocument/didChange`. A document that is not open is left alone. Whether
    /// findings are out of date by it.
    pub(super) fn change(
        &mut self,
        key: &str,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) -> bool {
        let encoding = self.editor.encoding;
        let Some(document) = self.documents.get_mut(key) else { return false };
        self.proofs.remove(key);
        let mut published = self.findings.get_mut(key);
        let mut withdrawn = false;
        document.version = version;
        for change in changes {
            let lines = document.text.len_lines();
            let range = change
                .range
                .map(|range| (from_proto::position(range.start), from_proto::position(range.end)));
            text::rope_change(&mut document.text, range, &change.text, encoding);
            if range.is_none() {
                self.doubted.remove(key);
            }
            if let Some(published) = &mut published {
                let moved = document.text.len_lines() as i32 - lines as i32;
                published.version = Some(version);
                withdrawn |= published.follow(&Edited::new(change.range, &change.text, moved));
            }
        }
        self.look_out(key);
        withdrawn
    }

    /// Adds a task and cancels the unfinished one that was asked for the same, if any.
    pub(super) fn add(&mut self, task: Task, key: String, cancel: CancellationToken) {
        let asked = |task: &Task| (task.action, task.target.clone(), task.instruction.clone());
        for older in self.running() {
            if older.key == key && asked(&older.task) == asked(&task) {
                older.cancel.cancel();
            }
        }
        let finished: Vec<String> =
            self.tasks.iter().filter(|(_, entry)| entry.is_over()).map(|(id, _)| id.clone()).collect();
        for id in finished.iter().take(finished.len().saturating_sub(FINISHED)) {
            self.tasks.remove(id);
        }
        let remembered = CancellationToken::new();
        let entry = Entry {
            _until_forgotten: remembered.clone().drop_guard(),
            remembered,
            key,
            cancel,
            began: SystemTime::now(),
            documents: self.documents.clone(),
            phase: Phase::Queued,
            percent: 0,
            seq: 0,
            progress: None,
            reported: None,
            said: 0,
            answer: Writing::default(),
            log: VecDeque::new(),
            cost_usd: 0.0,
            report: None,
            offer: Offer::None,
            wanted: None,
            moves: 0,
            task,
        };
        self.tasks.insert(entry.task.id.clone(), entry);
    }

    /// Unfinished tasks.
    pub(super) fn running(&self) -> impl Iterator<Item = &Entry> {
        self.tasks.values().filter(|entry| entry.report.is_none())
    }

    /// The newest task that is not excluded by `wanted`.
    pub(super) fn newest(&self, wanted: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.tasks.values().rev().find(|entry| wanted(entry))
    }

    /// How the open documents of a proposal stand to it. What is not open is compared when it is applied.
    pub(super) fn standing(&self, entry: &Entry) -> Standing {
        let Some(report) = &entry.report else { return Standing::Stale };
        let of = |change: &Change| match self.documents.get(&entry.document_key(&change.file.path)) {
            Some(document) if change.version.is_some_and(|version| version != document.version) => {
                let long = document.text.len_bytes() > COMPARED_BYTES;
                let fits = long || change.file.carried(Some(&document.text.to_string())).is_ok();
                if fits { Standing::Moved } else { Standing::Stale }
            }
            _ => Standing::Fresh,
        };
        report.proposal.changes.iter().map(of).max().unwrap_or(Standing::Fresh)
    }

    /// Forgets a task's findings; the keys of the documents that had some.
    pub(super) fn clear(&mut self, task: &str) -> Vec<String> {
        withdraw(&mut self.findings, |_, shown| shown.task == task)
    }

    /// Forgets what the tasks about a document have found in others that are not open: the keys of those.
    pub(super) fn clear_unopened(&mut self, about: &str) -> Vec<String> {
        let (tasks, documents) = (&self.tasks, &self.documents);
        let of_it = |shown: &Published| tasks.get(&shown.task).is_some_and(|entry| entry.key == about);
        withdraw(&mut self.findings, |key, shown| of_it(shown) && documents.get(key).is_none())
    }
}

/// Takes out the findings that go: the keys of their documents.
fn withdraw(
    findings: &mut BTreeMap<String, Published>,
    goes: impl Fn(&str, &Published) -> bool,
) -> Vec<String> {
    let gone = findings.iter().filter(|(key, shown)| goes(key, shown));
    let gone: Vec<String> = gone.map(|(key, _)| key.clone()).collect();
    findings.retain(|key, _| !gone.contains(key));
    gone
}

impl Entry {
    /// The key of a document of this task's workspace.
    pub(super) fn document_key(&self, path: &str) -> String {
        document_key(&self.task.root, path)
    }

    /// Takes it up again to carry its proposal over to the texts as they are now, unless it was often enough. The task
    /// to run.
    pub(super) fn reopen(&mut self, documents: Documents, cancel: CancellationToken) -> Option<Task> {
        if self.moves >= MOVES {
            return None;
        }
        let report = self.report.take()?;
        self.wanted = Some(report.level().unwrap_or(Level::Unverified));
        self.moves += 1;
        (self.phase, self.percent, self.said, self.progress) = (Phase::Queued, 0, 0, None);
        (self.documents, self.cancel) = (documents, cancel);
        Some(Task { given: Some(report), ..self.task.clone() })
    }

    /// Whether it has ended, and nothing of it is on its way to the client.
    fn is_over(&self) -> bool {
        self.report.is_some() && self.offer != Offer::Applying
    }

    pub(super) fn touches(&self, key: &str) -> bool {
        let changes = self.report.iter().flat_map(|report| &report.proposal.changes);
        self.key == key || changes.into_iter().any(|change| self.document_key(&change.file.path) == key)
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.report.as_ref()?.level()
    }

    pub(super) fn write(&mut self, line: &str) {
        if self.log.len() >= LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line.chars().take(LOG_WIDTH).collect());
    }

    /// What a proposal does, in a few words: `gcd.py` or `3 files`.
    pub(super) fn summary(&self) -> String {
        let Some(report) = &self.report else { return self.task.title() };
        match report.proposal.changes.as_slice() {
            [only] => format!("{} {}", self.task.action.name(), only.file.path),
            many => format!("{} {} files", self.task.action.name(), many.len()),
        }
    }

    /// One row of `opendevagent/tasks`.
    pub(super) fn row(&self) -> Value {
        // The report is there before its end is told.
        let phase = self.report.as_ref().map_or(self.phase, |report| report.phase);
        json!({
            "task": self.task.id,
            "action": self.task.action,
            "title": self.task.title(),
            "phase": phase,
            "percent": phase.percent(),
            "verdict": self.report.as_ref().and_then(|report| report.verdict.as_ref()),
            "offer": self.offer == Offer::Standing,
            "proposal": self.offer,
            "uri": uri::of_file(Path::new(&self.key)),
            "cost_usd": self.cost_usd,
            "error": self.report.as_ref().and_then(|report| report.error.as_ref()),
            "server": "this",
        })
    }

    pub(super) fn is(&self, action: Action) -> bool {
        self.task.action == action
    }
}

/// The key of a file below a workspace folder.
pub(super) fn document_key(root: &Path, path: &str) -> String {
    root.join(path).to_string_lossy().into_owned()
}
