//! An editor that keeps its own text, applies edits as the real one does, and answers whatever it is asked.

use crate::editor::Editor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// By what means a proposal reaches the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Review,
    Message,
    CodeAction,
}

/// What an editor says of an edit that it did not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Yes, all the same: Neovim and Zed.
    Applied,
    Refused,
}

/// One row of the table.
pub(super) struct Kind {
    name: &'static str,
    /// What it declares, as JSON.
    capabilities: fn() -> Value,
    client: fn() -> Value,
    encoding: &'static str,
    route: Route,
    dropped: Says,
    /// It has a button that cancels progress.
    cancels_progress: bool,
}

const OPERATIONS: [&str; 3] = ["create", "rename", "delete"];

pub(super) const PEERS: &[Kind] = &[
    Kind {
        name: "VS Code",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-16"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"documentChanges": true, "resourceOperations": OPERATIONS,
                        "changeAnnotationSupport": {"groupsOnLabel": true}},
                    "codeLens": {"refreshSupport": true}, "diagnostics": {"refreshSupport": true},
                    "didChangeConfiguration": {"dynamicRegistration": true}},
                "textDocument": {
                    "diagnostic": {"dynamicRegistration": true},
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix", "refactor"]}},
                        "resolveSupport": {"properties": ["edit"]}, "dataSupport": true, "disabledSupport": true},
                    "publishDiagnostics": {"relatedInformation": true, "versionSupport": true}},
                "window": {"showMessage": {"messageActionItem": {"additionalPropertiesSupport": true}},
                    "showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({"review": true, "events": true, "status": true}),
        encoding: "utf-16",
        route: Route::Review,
        dropped: Says::Refused,
        cancels_progress: true,
    },
    Kind {
        name: "Neovim",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-8", "utf-16", "utf-32"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"resourceOperations": ["rename", "create", "delete"]},
                    "codeLens": {"refreshSupport": true}},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix"]}},
                        "resolveSupport": {"properties": ["edit", "command"]}, "dataSupport": true, "isPreferredSupport": true},
                    "publishDiagnostics": {"relatedInformation": true}},
                "window": {"showMessage": {"messageActionItem": {"additionalPropertiesSupport": true}},
                    "showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-8",
        route: Route::Message,
        dropped: Says::Applied,
        cancels_progress: false,
    },
    Kind {
        name: "Helix",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-8", "utf-32", "utf-16"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"documentChanges": true, "resourceOperations": OPERATIONS, "failureHandling": "abort"},
                    "didChangeConfiguration": {"dynamicRegistration": false}},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix"]}},
                        "resolveSupport": {"properties": ["edit", "command"]}, "dataSupport": true, "disabledSupport": true},
                    "publishDiagnostics": {"versionSupport": true}},
                "window": {"showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-8",
        route: Route::CodeAction,
        dropped: Says::Refused,
        cancels_progress: false,
    },
    Kind {
        name: "Zed",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-16"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"documentChanges": true, "resourceOperations": OPERATIONS},
                    "codeLens": {"refreshSupport": true}, "diagnostics": {"refreshSupport": true}},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["refactor", "quickfix", "source"]}},
                        "resolveSupport": {"properties": ["kind", "diagnostics", "isPreferred", "disabled", "edit", "command"]}, "dataSupport": true},
                    "publishDiagnostics": {"relatedInformation": true, "versionSupport": true}},
                "window": {"showMessage": {}, "showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-16",
        route: Route::Message,
        dropped: Says::Applied,
        cancels_progress: true,
    },
    Kind {
        name: "eglot",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-32", "utf-8", "utf-16"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"documentChanges": true}},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix", "refactor"]}},
                        "resolveSupport": {"properties": ["edit", "command"]}, "dataSupport": true, "isPreferredSupport": true},
                    "publishDiagnostics": {"relatedInformation": false, "versionSupport": true}},
                "window": {"showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-8",
        route: Route::CodeAction,
        dropped: Says::Refused,
        cancels_progress: false,
    },
    Kind {
        name: "Kate",
        capabilities: || {
            json!({
                // It answers `workspace/applyEdit`, but does not say so.
                "workspace": {"workspaceFolders": true},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}},
                    "publishDiagnostics": {"relatedInformation": true}},
                "window": {"workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-16",
        route: Route::CodeAction,
        dropped: Says::Refused,
        cancels_progress: false,
    },
    Kind {
        name: "Sublime Text",
        capabilities: || {
            json!({
                "general": {"positionEncodings": ["utf-16"]},
                "workspace": {
                    "applyEdit": true, "configuration": true, "workspaceFolders": true,
                    "workspaceEdit": {"documentChanges": true, "failureHandling": "abort",
                        "changeAnnotationSupport": {"groupsOnLabel": false}},
                    "codeLens": {"refreshSupport": true}, "diagnostics": {"refreshSupport": true},
                    "didChangeConfiguration": {"dynamicRegistration": true}},
                "textDocument": {
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix", "refactor"]}},
                        "resolveSupport": {"properties": ["edit"]}, "dataSupport": true},
                    "publishDiagnostics": {"relatedInformation": true, "versionSupport": true}},
                "window": {"showMessage": {"messageActionItem": {"additionalPropertiesSupport": true}},
                    "showDocument": {"support": true}, "workDoneProgress": true},
            })
        },
        client: || json!({}),
        encoding: "utf-16",
        route: Route::Message,
        dropped: Says::Applied,
        cancels_progress: true,
    },
];

/// One running editor.
pub(super) struct Peer {
    kind: &'static Kind,
    editor: Editor,
    /// Version and text of each open document, by URI.
    documents: BTreeMap<String, (i32, String)>,
    /// What the user picks wherever there is a choice; without it questions are left for later.
    choice: Option<&'static str>,
    drops_edits: bool,
    /// Questions that the user has not answered yet, where they are held back.
    held: Option<Vec<Value>>,
    asked: usize,
    /// How many messages of the server's own it has taken.
    heard: usize,
    /// What was opened or told.
    pub(super) shown: Vec<String>,
}

impl Peer {
    pub(super) async fn start(kind: &'static Kind, settings: &Value) -> Self {
        let options = json!({"client": (kind.client)(), "settings": settings});
        let editor = Editor::start((kind.capabilities)(), options).await;
        assert_eq!(editor.welcome["capabilities"]["positionEncoding"], kind.encoding, "{}", kind.name);
        Self {
            kind,
            editor,
            documents: BTreeMap::new(),
            choice: None,
            drops_edits: false,
            held: None,
            asked: 0,
            heard: 0,
            shown: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.name
    }

    pub(super) fn route(&self) -> Route {
        self.kind.route
    }

    pub(super) fn choose(&mut self, title: &'static str) {
        self.choice = Some(title);
    }

    pub(super) fn drop_edits(&mut self) {
        self.drops_edits = true;
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.editor.workspace()
    }

    pub(super) async fn open(&mut self, path: &str, text: &str) {
        self.documents.insert(self.editor.uri(path), (1, text.to_owned()));
        self.editor.open(path, "python", text).await;
    }

    pub(super) fn text(&self, path: &str) -> &str {
        &self.documents[&self.editor.uri(path)].1
    }

    /// The user replaces the whole text.
    pub(super) async fn retype(&mut self, path: &str, text: &str) {
        self.set_text(&self.editor.uri(path), text.to_owned()).await;
    }

    async fn set_text(&mut self, uri: &str, text: String) {
        let document = self.documents.get_mut(uri).expect("it is open");
        document.0 += 1;
        document.1.clone_from(&text);
        let params = json!({"textDocument": {"uri": uri, "version": document.0},
            "contentChanges": [{"text": text}]});
        self.editor.notify("textDocument/didChange", params).await;
    }

    /// A request of the user; what the server asks meanwhile is answered.
    async fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.editor.post(method, params).await;
        loop {
            let mut message = self.editor.next().await;
            if message.get("method").is_none() && message["id"] == json!(id) {
                return match message.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(message["result"].take()),
                };
            }
            self.hear(message).await;
        }
    }

    pub(super) async fn execute(&mut self, command: &str, argument: Value) -> Result<Value, Value> {
        let params = json!({"command": format!("opendevagent.{command}"), "arguments": [argument]});
        self.request("workspace/executeCommand", params).await
    }

    /// Picks the code action of this name, as a user does: a command with its arguments.
    pub(super) async fn begin(&mut self, action: &str, path: &str) -> String {
        let argument = json!({"uri": self.editor.uri(path), "instruction": "do it"});
        let answer = self.execute(action, argument).await.unwrap();
        answer["task"].as_str().unwrap().to_owned()
    }

    async fn actions(&mut self, path: &str) -> Vec<Value> {
        let at = json!({"line": 0, "character": 0});
        let params = json!({"textDocument": {"uri": self.editor.uri(path)},
            "range": {"start": at, "end": at}, "context": {"diagnostics": []}});
        let actions = self.request("textDocument/codeAction", params).await.unwrap();
        actions.as_array().unwrap().clone()
    }

    pub(super) async fn titles(&mut self, path: &str) -> Vec<String> {
        let title = |action: &Value| action["title"].as_str().unwrap().to_owned();
        self.actions(path).await.iter().map(title).collect()
    }

    /// Where the server asks nobody, the user picks the code action that stands in the file.
    pub(super) async fn apply_where_nobody_is_asked(&mut self, task: &str) {
        if self.route() != Route::CodeAction {
            return;
        }
        let actions = self.actions("a.py").await;
        let stands = |action: &&Value| action["title"].as_str().unwrap().starts_with("Apply: ");
        let action = actions.iter().find(stands).unwrap_or_else(|| panic!("no Apply in {actions:#?}"));
        let command = action["command"].clone();
        assert_eq!(command["arguments"][0]["task"], *task);
        if let Some(edit) = action.get("edit").cloned() {
            self.apply(&edit).await;
        }
        let params = json!({"command": command["command"], "arguments": command["arguments"]});
        self.request("workspace/executeCommand", params).await.unwrap();
    }

    /// By the progress display where the editor can, else by the code action's command.
    pub(super) async fn cancel(&mut self, task: &str) {
        if self.kind.cancels_progress {
            self.editor.notify("window/workDoneProgress/cancel", json!({"token": task})).await;
        } else {
            self.execute("cancel", json!({"task": task})).await.unwrap();
        }
    }

    /// Handles messages until this holds.
    pub(super) async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let message = self.editor.next().await;
            self.hear(message).await;
        }
    }

    /// Until the user was asked about a proposal, where this editor's users are.
    pub(super) async fn until_asked(&mut self) {
        if self.route() != Route::CodeAction {
            self.until(|peer| peer.asked > 0).await;
        }
    }

    async fn until_record(&mut self, task: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let before = self.heard;
            let record = self.request("opendevagent/task", json!({"task": task})).await.unwrap();
            if fits(&record) {
                return record;
            }
            // Something is said whenever something has changed; it may come before an answer that is older.
            if self.heard == before {
                let message = self.editor.next().await;
                self.hear(message).await;
            }
        }
    }

    pub(super) async fn until_ended(&mut self, task: &str) -> Value {
        self.until_record(task, |record| record.get("duration_ms").is_some()).await
    }

    pub(super) async fn until_logged(&mut self, task: &str, line: &str) -> Value {
        let has = |entry: &Value| entry.as_str().unwrap().contains(line);
        self.until_record(task, |record| record["log"].as_array().unwrap().iter().any(has)).await
    }

    /// The user does not answer for now.
    pub(super) fn hold_answers(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Once something was asked, where this editor's users are asked, the user answers.
    pub(super) async fn release_answers(&mut self) {
        if self.route() != Route::CodeAction {
            self.until(|peer| peer.held.as_ref().is_some_and(|held| !held.is_empty())).await;
        }
        for message in self.held.take().unwrap_or_default() {
            self.hear(message).await;
        }
    }

    /// Does what the editor does with a message of the server.
    async fn hear(&mut self, message: Value) {
        self.heard += 1;
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let params = &message["params"];
        let is_question = matches!(&*method, "window/showMessageRequest" | "opendevagent/review");
        if let Some(held) = self.held.as_mut().filter(|_| is_question) {
            held.push(message);
            return;
        }
        let answer = match &*method {
            "workspace/configuration" => json!([null]),
            "window/showDocument" => {
                self.shown.push(params["uri"].to_string());
                json!({"success": true})
            }
            "window/showMessage" => {
                self.shown.push(params["message"].to_string());
                return;
            }
            "window/showMessageRequest" => {
                self.asked += 1;
                let offers = |title: &&str| params["actions"].to_string().contains(&format!("{title:?}"));
                self.choice.filter(offers).map_or(Value::Null, |title| json!({"title": title}))
            }
            "opendevagent/review" => {
                self.asked += 1;
                json!({"decision": self.choice.map_or_else(|| "later".into(), str::to_lowercase)})
            }
            "workspace/applyEdit" => self.apply(&params["edit"]).await,
            _ if message.get("id").is_none() => return,
            _ => Value::Null,
        };
        self.editor.reply(&message, answer).await;
    }

    /// Applies an edit if its versions are ours; the answer.
    async fn apply(&mut self, edit: &Value) -> Value {
        let versioned = edit["documentChanges"].as_array().into_iter().flatten();
        let plain = edit["changes"].as_object().into_iter().flatten();
        let mut changes: Vec<(String, Value, Value)> = versioned
            .map(|change| {
                let document = &change["textDocument"];
                (
                    document["uri"].as_str().unwrap().to_owned(),
                    document["version"].clone(),
                    change["edits"].clone(),
                )
            })
            .collect();
        changes.extend(plain.map(|(uri, edits)| (uri.clone(), Value::Null, edits.clone())));
        assert!(!changes.is_empty(), "{edit}");
        let is_ours = |(uri, version, _): &(String, Value, Value)| {
            version.is_null() || *version == json!(self.documents[uri].0)
        };
        if self.drops_edits || !changes.iter().all(is_ours) {
            return match self.kind.dropped {
                Says::Applied => json!({"applied": true}),
                Says::Refused => json!({"applied": false, "failureReason": "the version is another"}),
            };
        }
        for (uri, _, edits) in changes {
            let text = applied(&self.documents[&uri].1, &edits, self.kind.encoding);
            self.set_text(&uri, text).await;
        }
        json!({"applied": true})
    }

    pub(super) async fn quit(mut self) {
        self.editor.ignore_all();
        self.request("shutdown", Value::Null).await.unwrap();
        self.editor.notify("exit", Value::Null).await;
        assert_eq!(self.editor.exit_code().await, Some(0));
    }
}

/// The text with edits that do not overlap, from the last to the first.
fn applied(text: &str, edits: &Value, encoding: &str) -> String {
    let mut edits: Vec<(usize, usize, &str)> = edits
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| {
            let at = |end: &str| offset(text, &edit["range"][end], encoding);
            (at("start"), at("end"), edit["newText"].as_str().unwrap())
        })
        .collect();
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.0));
    let mut text = text.to_owned();
    for (start, end, new) in edits {
        text.replace_range(start..end, new);
    }
    text
}

/// The byte at a position, counted one character at a time.
fn offset(text: &str, position: &Value, encoding: &str) -> usize {
    let number = |name: &str| position[name].as_u64().unwrap() as usize;
    let line_start: usize = text.split_inclusive('\n').take(number("line")).map(str::len).sum();
    let mut units = 0;
    for (at, character) in text[line_start..].char_indices() {
        if units >= number("character") {
            return line_start + at;
        }
        units += match encoding {
            "utf-8" => character.len_utf8(),
            "utf-16" => character.len_utf16(),
            _ => 1,
        };
    }
    text.len()
}
