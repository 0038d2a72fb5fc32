//! The client's settings: pushed, pulled, and what has to be made anew when they change.

use super::Server;
use super::diagnostics::Refresh;
use super::tasks::Workshop;
use crate::config::{self, Inline, Loaded};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
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
        let workshops = std::mem::take(&mut self.session().workshops);
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
        tokio::task::spawn_blocking(move || {
            let inline = server.load(None).settings.inline;
            let old = server.session().inline.replace(inline.clone());
            if old != Some(inline) {
                server.refresh(Refresh::Lenses);
                server.refresh(Refresh::Hints);
            }
        });
    }

    pub(super) fn register_configuration(&self) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let registration = Registration {
                id: "configuration".into(),
                method: "workspace/didChangeConfiguration".into(),
                register_options: Some(json!({"section": "opendevagent"})),
            };
            client.register_capability(vec![registration]).await
        });
    }
}
