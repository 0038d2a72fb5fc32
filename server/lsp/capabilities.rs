//! What the client can do, and what we offer it.

use crate::text::Encoding;
use serde_json::Value;
use tower_lsp::lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CodeLensOptions, DiagnosticOptions,
    DiagnosticServerCapabilities, ExecuteCommandOptions, HoverProviderCapability, OneOf,
    PositionEncodingKind, SaveOptions, ServerCapabilities, TextDocumentSyncCapability, TextDocumentSyncKind,
    TextDocumentSyncOptions, TextDocumentSyncSaveOptions, WorkspaceFoldersServerCapabilities,
    WorkspaceServerCapabilities,
};

/// Every command of `workspace/executeCommand` (CONTRACT §3), without the prefix `opendevagent.`.
pub(super) const COMMANDS: [&str; 16] = [
    "plan",
    "generate",
    "fix",
    "tests",
    "review",
    "explain",
    "run",
    "apply",
    "discard",
    "showDiff",
    "showPlan",
    "showLog",
    "cancel",
    "tasks",
    "dashboard",
    "restartSandbox",
];

/// The client's side of the bargain. Editors are told apart by what they declare, never by name.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "capabilities are independent yes-or-no answers")]
pub(super) struct Editor {
    pub(super) encoding: Encoding,
    pub(super) apply_edit: bool,
    /// `documentChanges` reach the client. Neovim up to 0.12 declares only resource operations, yet takes them.
    pub(super) document_changes: bool,
    pub(super) create_files: bool,
    pub(super) delete_files: bool,
    /// Code actions other than plain commands.
    pub(super) code_action_literals: bool,
    pub(super) progress: bool,
    pub(super) message_request: bool,
    pub(super) show_document: bool,
    pub(super) configuration: bool,
    pub(super) register_configuration: bool,
    pub(super) related_information: bool,
    pub(super) diagnostic_versions: bool,
    /// Diagnostics are pulled, and can be refreshed when a task ends. Without the refresh they are pushed.
    pub(super) pull_diagnostics: bool,
    pub(super) refresh_lenses: bool,
    pub(super) hints: bool,
    pub(super) refresh_hints: bool,
    pub(super) hover_markdown: bool,
    pub(super) register_watchers: bool,
    /// Watchers may be about files outside the workspace.
    pub(super) relative_patterns: bool,
    /// LSP 3.18: texts of ours that are no files, completions in grey, marks on what a model writes.
    pub(super) contents: bool,
    pub(super) completions: bool,
    pub(super) llm_tag: bool,
    /// Opt-ins of `initializationOptions.client`.
    pub(super) review: bool,
    pub(super) events: bool,
    pub(super) credentials: bool,
    pub(super) status: bool,
    /// The client tells the user itself how tasks end, from the events.
    pub(super) ends: bool,
}

impl Editor {
    /// Reads the params of `initialize`. From raw JSON, because lsp-types 0.97 misnames
    /// `workspace.diagnostics` and knows nothing of LSP 3.18.
    pub(super) fn new(params: &Value) -> Self {
        let at = |path: &str| params.pointer(path);
        let yes = |path: &str| at(path).and_then(Value::as_bool).unwrap_or(false);
        let names = |path: &str, name: &str| {
            at(path).and_then(Value::as_array).is_some_and(|names| names.iter().any(|known| known == name))
        };
        let operations = "/capabilities/workspace/workspaceEdit/resourceOperations";
        let has_operations = at(operations).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let encodings = "/capabilities/general/positionEncodings";
        let utf32_alone = names(encodings, "utf-32") && !names(encodings, "utf-16");
        Self {
            encoding: match (names(encodings, "utf-8"), utf32_alone) {
                (true, _) => Encoding::Utf8,
                (false, true) => Encoding::Utf32,
                (false, false) => Encoding::Utf16,
            },
            apply_edit: yes("/capabilities/workspace/applyEdit"),
            document_changes: yes("/capabilities/workspace/workspaceEdit/documentChanges") || has_operations,
            create_files: names(operations, "create"),
            delete_files: names(operations, "delete"),
            code_action_literals: at("/capabilities/textDocument/codeAction/codeActionLiteralSupport")
                .is_some_and(Value::is_object),
            progress: yes("/capabilities/window/workDoneProgress"),
            message_request: at("/capabilities/window/showMessage").is_some_and(Value::is_object),
            show_document: yes("/capabilities/window/showDocument/support"),
            configuration: yes("/capabilities/workspace/configuration"),
            register_configuration: yes("/capabilities/workspace/didChangeConfiguration/dynamicRegistration"),
            related_information: yes("/capabilities/textDocument/publishDiagnostics/relatedInformation"),
            diagnostic_versions: yes("/capabilities/textDocument/publishDiagnostics/versionSupport"),
            pull_diagnostics: at("/capabilities/textDocument/diagnostic").is_some_and(Value::is_object)
                && yes("/capabilities/workspace/diagnostics/refreshSupport"),
            refresh_lenses: yes("/capabilities/workspace/codeLens/refreshSupport"),
            hints: at("/capabilities/textDocument/inlayHint").is_some_and(Value::is_object),
            refresh_hints: yes("/capabilities/workspace/inlayHint/refreshSupport"),
            register_watchers: yes("/capabilities/workspace/didChangeWatchedFiles/dynamicRegistration"),
            relative_patterns: yes("/capabilities/workspace/didChangeWatchedFiles/relativePatternSupport"),
            contents: at("/capabilities/workspace/textDocumentContent").is_some_and(Value::is_object)
                && yes("/capabilities/window/showDocument/support"),
            completions: at("/capabilities/textDocument/inlineCompletion").is_some_and(Value::is_object),
            llm_tag: at("/capabilities/textDocument/codeAction/tagSupport/valueSet")
                .and_then(Value::as_array)
                .is_some_and(|tags| tags.contains(&Value::from(1))),
            hover_markdown: names("/capabilities/textDocument/hover/contentFormat", "markdown"),
            review: yes("/initializationOptions/client/review"),
            events: yes("/initializationOptions/client/events"),
            credentials: yes("/initializationOptions/client/credentials"),
            status: yes("/initializationOptions/client/status"),
            ends: yes("/initializationOptions/client/ends") && yes("/initializationOptions/client/events"),
        }
    }

    /// Our answer to `initialize`.
    pub(super) fn answer(&self) -> ServerCapabilities {
        ServerCapabilities {
            position_encoding: Some(match self.encoding {
                Encoding::Utf8 => PositionEncodingKind::UTF8,
                Encoding::Utf16 => PositionEncodingKind::UTF16,
                Encoding::Utf32 => PositionEncodingKind::UTF32,
            }),
            text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions {
                    include_text: Some(false),
                })),
                ..TextDocumentSyncOptions::default()
            })),
            code_action_provider: Some(if self.code_action_literals {
                CodeActionProviderCapability::Options(CodeActionOptions {
                    code_action_kinds: Some(vec![
                        CodeActionKind::QUICKFIX,
                        CodeActionKind::REFACTOR,
                        CodeActionKind::REFACTOR_REWRITE,
                    ]),
                    ..CodeActionOptions::default()
                })
            } else {
                CodeActionProviderCapability::Simple(true)
            }),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            inlay_hint_provider: self.hints.then_some(OneOf::Left(true)),
            code_lens_provider: Some(CodeLensOptions { resolve_provider: Some(false) }),
            execute_command_provider: Some(ExecuteCommandOptions {
                commands: COMMANDS.iter().map(|name| command(name)).collect(),
                ..ExecuteCommandOptions::default()
            }),
            diagnostic_provider: self.pull_diagnostics.then(|| {
                DiagnosticServerCapabilities::Options(DiagnosticOptions {
                    identifier: Some("opendevagent".into()),
                    ..DiagnosticOptions::default()
                })
            }),
            workspace: Some(WorkspaceServerCapabilities {
                workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                    supported: Some(true),
                    change_notifications: Some(OneOf::Left(true)),
                }),
                file_operations: None,
            }),
            ..ServerCapabilities::default()
        }
    }
}

/// The full name of a command.
pub(super) fn command(name: &str) -> String {
    format!("opendevagent.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encoding(offered: &Value, expect: Encoding) {
        let editor = Editor::new(&json!({"capabilities": {"general": {"positionEncodings": offered}}}));
        assert_eq!(editor.encoding, expect, "{offered}");
    }

    #[test]
    fn encodings() {
        encoding(&json!(["utf-8", "utf-32", "utf-16"]), Encoding::Utf8);
        encoding(&json!(["utf-16"]), Encoding::Utf16);
        encoding(&json!(["utf-32", "utf-16"]), Encoding::Utf16);
        encoding(&json!(["utf-32"]), Encoding::Utf32);
        encoding(&json!(null), Encoding::Utf16);
        encoding(&json!("utf-8"), Encoding::Utf16);
    }

    #[test]
    fn neovim_takes_document_changes_without_saying_so() {
        let edit = json!({"resourceOperations": ["rename", "create", "delete"]});
        let editor = Editor::new(&json!({"capabilities": {"workspace": {"workspaceEdit": edit}}}));
        assert!(editor.document_changes && editor.create_files && editor.delete_files);
    }

    #[test]
    fn nothing_is_assumed() {
        let editor = Editor::new(&Value::Null);
        assert!(!editor.apply_edit && !editor.document_changes && !editor.message_request && !editor.review);
    }
}
