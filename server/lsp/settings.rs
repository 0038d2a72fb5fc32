//! The client's settings: pushed, pulled, and what has to be made anew when they change.

use super::Server;
use super::tasks::Workshop;
use crate::config::{self, Loaded};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
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
        }
    }

    /// Forgets models and sandboxes; the next task connects anew.
    pub(super) fn reconnect(&self) {
        let workshops = std::mem::take(&mut self.session().workshops);
        for workshop in workshops.into_values() {
            self.retire(workshop);
        }
    }

    /// Lets a workshop keep nothing ready; tasks that run in it go on.
    pub(super) fn retire(&self, workshop: Arc<Workshop>) {
        self.work.spawn(async move { workshop.connected.ports.sandbox.retire().await });
    }

    /// Asks a client that keeps the settings for them.
    pub(super) fn pull_settings(&self) {
        let server = self.clone();
        tokio::spawn(async move {
            let item = ConfigurationItem { scope_uri: None, section: Some("opendevagent".into()) };
            let answer = server.client.configuration(vec![item]).await;
            if let Some(Value::Object(settings)) = answer.ok().and_then(|mut answer| answer.pop()) {
                server.configure(settings);
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
