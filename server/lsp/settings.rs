//! The client's settings: pushed, pulled, and what has to be made anew when they change.

use super::capabilities::Editor;
use super::diagnostics::Refresh;
use super::tasks::Workshop;
use super::{Server, from_proto, to_proto};
use crate::config::{self, Inline, Loaded};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{ConfigurationItem, Registration};

impl Server {
    /// The settings in force for a workspace folder.
    pub(super) fn load(&self, folder: Option<&Path>) -> Loaded {
        let editor = self.session().settings.clone();
        config::load(editor.as_ref(), Some(&self.overrides), folder)
    }

    /// Takes new settings; the next task is run under them. Emacs sends an empty object at its start, which
    /// must not undo `initializationOptions`.
    pub(super) fn configure(&self, settings: Map<String, Value>) {
        if !settings.is_empty() {
            self.session().settings = Some(Value::Object(settings));
            self.reconnect();
            if self.session().inline.is_some() {
                self.read_inline();
            }
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
        self.refresh(Refresh::Settings);
    }

    pub(super) async fn ask_for_settings(&self) -> Result<()> {
        let item = ConfigurationItem { scope_uri: None, section: Some("opendevagent".into()) };
        if let Some(Value::Object(settings)) = self.client.configuration(vec![item]).await?.pop() {
            self.configure(settings);
        }
        Ok(())
    }

    /// The settings of what is shown in the text. They are read beside the handlers when first needed; until then
    /// they are as declared.
    pub(super) fn inline(&self) -> Inline {
        let mut session = self.session();
        if let Some(inline) = &session.inline {
            return inline.clone();
        }
        session.inline = Some(Inline::default());
        drop(session);
        self.read_inline();
        Inline::default()
    }

    fn read_inline(&self) {
        let server = self.clone();
        tokio::task::spawn_blocking(move || drop(server.reload(None)));
    }

    /// The settings in force for a folder. Has the client ask again for what is shown otherwise now.
    pub(super) fn reload(&self, folder: Option<&Path>) -> Loaded {
        // Whoever takes over last has read last.
        static READING: Mutex<()> = Mutex::new(());
        let _reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.load(folder);
        let inline = &loaded.settings.inline;
        let old = self.session().inline.replace(inline.clone());
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
                let pattern =
                    json!({"baseUri": to_proto::file_uri(folder), "pattern": name.to_string_lossy()});
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
        self.read_inline();
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
