//! What LSP 3.18 has and lsp-types 0.97 does not know: read from raw JSON and put into answers on their way out, each
//! only for clients that offer it. The one other place that knows of 3.18 is `Editor::new`.

use super::capabilities::{Editor, command};
use super::from_proto::wrong;
use super::{Server, show};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Response, Result};
use tower_lsp::lsp_types::request;

/// The scheme of texts that belong to a task and are no files: `opendevagent-task:/TASK/NAME`.
pub(super) const SCHEME: &str = "opendevagent-task";
/// `CodeActionTag.LLMGenerated`.
const LLM_GENERATED: u32 = 1;
/// Commands that show, stop or throw away: no model has a part in them.
const OWN_WORK: [&str; 4] = ["run", "cancel", "discard", "showDiff"];

/// An answer that lacks something.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Initialize,
    CodeActions,
}

impl Answer {
    pub(super) fn to(method: &str) -> Option<Self> {
        match method {
            "initialize" => Some(Self::Initialize),
            "textDocument/codeAction" => Some(Self::CodeActions),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ContentParams {
    uri: String,
}

/// `workspace/textDocumentContent/refresh`.
enum Refreshed {}

impl request::Request for Refreshed {
    type Params = Value;
    type Result = Value;
    const METHOD: &'static str = "workspace/textDocumentContent/refresh";
}

impl Server {
    /// Puts into an answer what this client offers to understand.
    pub(super) fn complete(&self, answer: Answer, response: Response) -> Response {
        let editor = self.session().editor.clone();
        if !editor.contents && !editor.completions && !editor.llm_tag {
            return response;
        }
        let (id, mut result) = response.into_parts();
        if let Ok(result) = &mut result {
            match answer {
                Answer::Initialize => editor.offer(&mut result["capabilities"]),
                Answer::CodeActions if editor.llm_tag => mark(result),
                Answer::CodeActions => {}
            }
        }
        Response::from_parts(id, result)
    }

    /// `workspace/textDocumentContent`: a text as it is now.
    pub(super) async fn content(&self, ContentParams { uri }: ContentParams) -> Result<Value> {
        let no_text = || wrong("textDocumentContent", format!("there is no text {uri:?}"));
        let (id, name) = text_of(&uri).ok_or_else(no_text)?;
        let text = self.text(id, name).await.ok_or_else(no_text)?;
        let mut session = self.session();
        if session.contents.len() >= show::CONTENTS {
            session.contents.clear();
        }
        session.contents.insert(uri);
        Ok(json!({"text": text}))
    }

    /// Has the client ask again for a text that it has asked for.
    pub(super) fn refresh_content(&self, id: &str, name: &str) {
        let uri = uri_of(id, name);
        if self.session().contents.contains(&uri) {
            let client = self.client.clone();
            tokio::spawn(async move { client.send_request::<Refreshed>(json!({"uri": uri})).await });
        }
    }
}

impl Editor {
    /// Adds to our capabilities what lsp-types has no place for.
    fn offer(&self, capabilities: &mut Value) {
        if self.contents {
            capabilities["workspace"]["textDocumentContent"] = json!({"schemes": [SCHEME]});
        }
        if self.completions {
            capabilities["inlineCompletionProvider"] = json!({});
        }
    }
}

/// Marks the actions behind which a model writes.
fn mark(actions: &mut Value) {
    let own = OWN_WORK.map(command);
    for action in actions.as_array_mut().into_iter().flatten() {
        let name = action["command"]["command"].as_str();
        if name.is_some_and(|name| own.iter().all(|own| own != name)) {
            action["tags"] = json!([LLM_GENERATED]);
        }
    }
}

pub(super) fn uri_of(id: &str, name: &str) -> String {
    format!("{SCHEME}:/{id}/{name}")
}

/// The task and the name of a text of ours.
pub(super) fn text_of(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(SCHEME)?.strip_prefix(":/")?.trim_start_matches('/').split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_texts() {
        assert_eq!(text_of(&uri_of("0199-a", "plan.md")), Some(("0199-a", "plan.md")));
        assert_eq!(text_of("opendevagent-task:///0199-a/task.log"), Some(("0199-a", "task.log")));
        for other in [
            "file:///0199-a/plan.md",
            "opendevagent-task:",
            "opendevagent-task:/x",
            "opendevagent-tasks:/x/y",
            "",
        ] {
            assert_eq!(text_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_model_has_no_part_in_is_not_marked() {
        let action = |name: &str| json!({"title": name, "command": {"command": command(name)}});
        let mut actions = json!([action("fix"), action("run"), action("apply"), action("discard")]);
        mark(&mut actions);
        let marked: Vec<bool> =
            actions.as_array().into_iter().flatten().map(|action| action["tags"] == json!([1])).collect();
        assert_eq!(marked, [true, false, true, false]);
    }
}
