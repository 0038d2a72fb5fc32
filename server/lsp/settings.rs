//! The client's settings: pushed, pulled, and what has to be made anew when they change.

use super::capabilities::Editor;
use super::diagnostics::Refresh;
use super::tasks::Workshop;
use super::{Server, from_proto, uri};
use crate::config::{self, Inline, Loaded};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{ConfigurationItem, Registration, Uri};

/// How long a client has to tell the settings before work begins without its answer.
const SETTINGS_ANSWER: Duration = Duration::from_secs(3);

impl Server {
    /// The settings in force for a workspace folder.
    pub(super) fn load(&self, folder: Option<&Path>) -> Loaded {
        let (general, own) = {
            let session = self.session();
            (session.settings.clone(), folder.and_then(|folder| session.own_settings.get(folder).cloned()))
        };
        let editor: Vec<&Value> = general.iter().chain(&own).collect();
        config::load(&editor, Some(&self.overrides), folder)
    }

    /// Takes settings that the client has sent on its own: the section, or all it has of any server. What folders have
    /// of their own is asked for again.
    pub(super) fn take_settings(&self, mut sent: Map<String, Value>) {
        let section = match sent.remove("opendevagent") {
            Some(Value::Object(section)) => section,
            None if sent.keys().any(|key| config::is_setting(key)) => sent,
            // Nothing of it is about us.
            Some(_) | None => return,
        };
        let own = self.session().own_settings.clone();
        self.configure(Some(section), own);
        if !self.session().own_settings.is_empty() {
            self.pull_settings();
        }
    }

    /// Takes what holds for all, and what folders have of their own; the next task is run under it. Emacs sends an empty
    /// object at its start, which must not undo `initializationOptions`.
    fn configure(&self, general: Option<Map<String, Value>>, own: HashMap<PathBuf, Value>) {
        let shown: Vec<Option<PathBuf>> = {
            let mut session = self.session();
            let general = general.filter(|settings| !settings.is_empty()).map(Value::Object);
            let general = general.or_else(|| session.settings.clone());
            if session.settings == general && session.own_settings == own {
                return;
            }
            (session.settings, session.own_settings) = (general, own);
            session.inline.keys().cloned().collect()
        };
        self.reconnect();
        for folder in shown {
            self.read_inline(folder);
        }
    }

    /// Forgets models and sandboxes; the next task connects anew.
    pub(super) fn reconnect(&self) {
        let workshops = {
            let mut session = self.session();
            session.allowance.renew();
            std::mem::take(&mut session.workshops)
        };
        for workshop in workshops.into_values() {
            self.retire(workshop);
        }
        if self.session().attending.is_some() {
            self.attend();
        }
    }

    /// Lets a workshop keep nothing ready; tasks that run in it go on.
    pub(super) fn retire(&self, workshop: Arc<Workshop>) {
        self.work.spawn(async move { workshop.connected.ports.sandbox.retire().await });
    }

    /// Asks a client that keeps the settings for them.
    pub(super) fn pull_settings(&self) {
        if !self.is_asked(Refresh::Settings) {
            self.session().asked_settings = Some(Instant::now());
        }
        self.refresh(Refresh::Settings);
    }

    /// Asks for what holds for all, then for what holds in each folder.
    pub(super) async fn ask_for_settings(&self) -> Result<()> {
        let (folders, uris) = {
            let session = self.session();
            (session.folders.clone(), session.folder_uris.clone())
        };
        let item = |scope: Option<&Uri>| ConfigurationItem {
            scope_uri: scope.cloned(),
            section: Some("opendevagent".into()),
        };
        let items = std::iter::once(item(None)).chain(folders.iter().map(|folder| item(uris.get(folder))));
        let mut answers = self.client.configuration(items.collect()).await?.into_iter();
        let general = answers.next().unwrap_or_default();
        let has_own = |answer: &Value| answer.as_object().is_some_and(|own| !own.is_empty());
        let own = folders.into_iter().zip(answers);
        let own = own.filter(|(_, answer)| has_own(answer) && *answer != general).collect();
        self.configure(general.as_object().cloned(), own);
        Ok(())
    }

    /// Waits for settings that were asked for: what a folder has of its own may name another model, so nothing is to
    /// be sent to the one for all meanwhile. A client that never answers holds nobody up for long.
    pub(super) async fn settled(&self) {
        let Some(since) = self.session().asked_settings else { return };
        let answered = self.until_changed(|_| !self.is_asked(Refresh::Settings));
        let _ = tokio::time::timeout_at((since + SETTINGS_ANSWER).into(), answered).await;
    }

    /// The settings of what is shown in the text of a file. They are read beside the handlers when first needed; until
    /// then they are as declared.
    pub(super) fn inline(&self, file: Option<&Path>) -> Inline {
        let mut session = self.session();
        let folder = file.and_then(|file| from_proto::innermost(&session.folders, file));
        if let Some(inline) = session.inline.get(&folder) {
            return inline.clone();
        }
        session.inline.insert(folder.clone(), Inline::default());
        drop(session);
        self.read_inline(folder);
        Inline::default()
    }

    fn read_inline(&self, folder: Option<PathBuf>) {
        let server = self.clone();
        tokio::task::spawn_blocking(move || drop(server.reload(folder.as_deref())));
    }

    /// The settings in force for a folder. Has the client ask again for what is shown otherwise now.
    pub(super) fn reload(&self, folder: Option<&Path>) -> Loaded {
        // Whoever takes over last has read last.
        static READING: Mutex<()> = Mutex::new(());
        let _reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.load(folder);
        let inline = &loaded.settings.inline;
        let old = self.session().inline.insert(folder.map(Path::to_owned), inline.clone());
        if old.is_some_and(|old| old != *inline) {
            self.refresh(Refresh::Lenses);
            self.refresh(Refresh::Hints);
        }
        loaded
    }

    /// Asks to be told of changed settings, where the client registers such wishes.
    pub(super) fn register(&self, editor: &Editor) {
        let mut wishes = Vec::new();
        if editor.register_configuration {
            wishes.push(Registration {
                id: "configuration".into(),
                method: "workspace/didChangeConfiguration".into(),
                register_options: Some(json!({"section": "opendevagent"})),
            });
        }
        if editor.register_watchers {
            let mut watchers = vec![json!({"globPattern": format!("**/{}", config::WORKSPACE_FILE)})];
            let user = config::user_file().filter(|_| editor.relative_patterns);
            if let Some((folder, name)) = user.as_ref().and_then(|file| file.parent().zip(file.file_name())) {
                let pattern = json!({"baseUri": uri::of_file(folder), "pattern": name.to_string_lossy()});
                watchers.push(json!({"globPattern": pattern}));
            }
            wishes.push(Registration {
                id: "settings".into(),
                method: "workspace/didChangeWatchedFiles".into(),
                register_options: Some(json!({"watchers": watchers})),
            });
        }
        if !wishes.is_empty() {
            let client = self.client.clone();
            tokio::spawn(async move { client.register_capability(wishes).await });
        }
    }

    /// Reads files of settings that were saved, and says at once what is wrong with them. Without this they are read with
    /// the next task; ignore files and all that is indexed are compared by their times then, watched or not.
    pub(super) fn notice_settings<'a>(&self, saved: impl IntoIterator<Item = &'a str>) {
        let user = config::user_file();
        let is_settings = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name == config::WORKSPACE_FILE) || user.as_ref() == Some(path)
        };
        let files: Vec<PathBuf> =
            saved.into_iter().filter_map(from_proto::path).filter(is_settings).collect();
        if files.is_empty() {
            return;
        }
        let shown: Vec<_> = self.session().inline.keys().cloned().collect();
        for folder in shown {
            self.read_inline(folder);
        }
        let server = self.clone();
        tokio::task::spawn_blocking(move || {
            for file in files {
                let folder = file.parent().filter(|_| user.as_ref() != Some(&file));
                for problem in server.load(folder).problems {
                    server.warn(format!("OpenDevAgent settings: {problem}"));
                }
            }
        });
    }
}
