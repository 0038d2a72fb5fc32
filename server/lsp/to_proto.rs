//! Ours in LSP's words: URIs, text edits, workspace edits, diagnostics.

use super::capabilities::Editor;
use super::published::Published;
use super::session::document_key;
use super::uri;
use crate::agent::patch::FileChange;
use crate::event::{Finding, Severity};
use crate::text::{self, Encoding, Lines};
use crate::workspace::{Document, Documents};
use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use tower_lsp::lsp_types::{
    AnnotatedTextEdit, CreateFile, CreateFileOptions, DeleteFile, Diagnostic, DiagnosticRelatedInformation,
    DiagnosticSeverity, DocumentChangeOperation, DocumentChanges, Location, NumberOrString, OneOf,
    OptionalVersionedTextDocumentIdentifier, Position, Range, ResourceOp, TextDocumentEdit, TextEdit, Uri,
    WorkspaceEdit,
};

/// The URI of a document: as the client named it where it is open.
pub(super) fn uri(documents: &Documents, key: &str) -> Option<Uri> {
    match documents.get(key) {
        Some(document) => Uri::from_str(&document.uri).ok(),
        None => uri::of_file(Path::new(key)).or_else(|| Uri::from_str(key).ok()),
    }
}

/// The smallest edits that turn one text into the other.
pub(super) fn text_edits(before: &str, after: &str, encoding: Encoding) -> Vec<TextEdit> {
    let lines = Lines::of(before);
    let at = |offset| position(lines.position(before, offset, encoding));
    text::diff(before, after)
        .iter()
        .map(|edit| TextEdit::new(Range::new(at(edit.span.start), at(edit.span.end)), edit.text.clone()))
        .collect()
}

pub(super) fn position(position: text::Position) -> Position {
    Position::new(position.line, position.column)
}

/// One file of a proposal, placed in the client's world.
pub(super) struct Placed {
    pub(super) key: String,
    pub(super) uri: Uri,
    /// Of the open document.
    pub(super) version: Option<i32>,
    pub(super) change: FileChange,
}

impl Placed {
    /// Whether a text has all of the edits, and maybe others beside them.
    pub(super) fn holds(&self, now: &str) -> bool {
        let (before, after) = (self.change.before.as_deref(), self.change.after.as_deref());
        let (Some(before), Some(after)) = (before, after) else { return false };
        let made = text::diff(before, now);
        text::diff(before, after).iter().all(|edit| made.iter().any(|one| one == edit))
    }

    /// `None` where the client knows no name for it.
    pub(super) fn of(documents: &Documents, root: &Path, change: &FileChange) -> Option<Self> {
        let key = document_key(root, &change.path);
        let uri = uri(documents, &key)?;
        let version = documents.get(&key).map(|document| document.version);
        Some(Self { key, uri, version, change: change.clone() })
    }
}

/// The edits of a proposal, one for each `workspace/applyEdit`, in this order: changed files, new files,
/// deleted files. Only a changed open file can be refused by the client for its version, so it goes first,
/// and nothing else happens when it is. Neovim looks at the version of the first change only.
pub(super) fn workspace_edits(files: &[Placed], editor: &Editor) -> Vec<WorkspaceEdit> {
    let (mut changed, mut created, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match (&file.change.before, &file.change.after) {
            (Some(before), Some(after)) => {
                changed.push(edit(file, text_edits(before, after, editor.encoding)));
            }
            (None, Some(after)) => {
                created.push(edit(file, vec![TextEdit::new(Range::default(), after.clone())]));
            }
            (_, None) => deleted.push(file),
        }
    }
    changed.sort_by_key(|edit| edit.text_document.version.is_none());
    let mut edits = Vec::new();
    if !changed.is_empty() {
        edits.push(if editor.document_changes { versioned(changed) } else { unversioned(changed) });
    }
    if !created.is_empty() {
        edits.push(if editor.create_files { creating(created) } else { unversioned(created) });
    }
    if !deleted.is_empty() && editor.delete_files {
        edits.push(deleting(&deleted));
    }
    edits
}

fn edit(file: &Placed, edits: Vec<TextEdit>) -> TextDocumentEdit {
    TextDocumentEdit {
        text_document: OptionalVersionedTextDocumentIdentifier {
            uri: file.uri.clone(),
            version: file.version,
        },
        edits: edits.into_iter().map(OneOf::Left).collect(),
    }
}

fn versioned(edits: Vec<TextDocumentEdit>) -> WorkspaceEdit {
    WorkspaceEdit { document_changes: Some(DocumentChanges::Edits(edits)), ..WorkspaceEdit::default() }
}

#[expect(clippy::mutable_key_type, reason = "the type is LSP's; a URI is not changed through its inner cell")]
fn unversioned(edits: Vec<TextDocumentEdit>) -> WorkspaceEdit {
    let plain = |edit: OneOf<TextEdit, AnnotatedTextEdit>| match edit {
        OneOf::Left(edit) => edit,
        OneOf::Right(annotated) => annotated.text_edit,
    };
    let changes: HashMap<Uri, Vec<TextEdit>> = edits
        .into_iter()
        .map(|edit| (edit.text_document.uri, edit.edits.into_iter().map(plain).collect()))
        .collect();
    WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }
}

fn creating(edits: Vec<TextDocumentEdit>) -> WorkspaceEdit {
    let options = CreateFileOptions { overwrite: Some(false), ignore_if_exists: Some(true) };
    let operations = edits.into_iter().flat_map(|edit| {
        let uri = edit.text_document.uri.clone();
        let create = CreateFile { uri, options: Some(options.clone()), annotation_id: None };
        [DocumentChangeOperation::Op(ResourceOp::Create(create)), DocumentChangeOperation::Edit(edit)]
    });
    operations_edit(operations.collect())
}

fn deleting(files: &[&Placed]) -> WorkspaceEdit {
    let operations = files.iter().map(|file| {
        DocumentChangeOperation::Op(ResourceOp::Delete(DeleteFile { uri: file.uri.clone(), options: None }))
    });
    operations_edit(operations.collect())
}

fn operations_edit(operations: Vec<DocumentChangeOperation>) -> WorkspaceEdit {
    WorkspaceEdit {
        document_changes: Some(DocumentChanges::Operations(operations)),
        ..WorkspaceEdit::default()
    }
}

/// The findings in one document.
pub(super) fn diagnostics(
    published: &Published,
    key: &str,
    documents: &Documents,
    editor: &Editor,
) -> Vec<Diagnostic> {
    let document = documents.get(key);
    published
        .findings
        .iter()
        .map(|finding| Diagnostic {
            range: range(finding, document.map(AsRef::as_ref), editor.encoding),
            severity: Some(severity(finding.severity)),
            code: Some(NumberOrString::String(finding.category.clone())),
            source: Some("opendevagent".into()),
            message: finding.message.clone(),
            related_information: related(published, finding, documents, editor),
            ..Diagnostic::default()
        })
        .collect()
}

/// From the finding's column to the end of its line. Of a document that is not open the line's length and its units are
/// unknown: the whole line.
fn range(finding: &Finding, document: Option<&Document>, encoding: Encoding) -> Range {
    let line = finding.line.saturating_sub(1);
    let column = finding.column.saturating_sub(1);
    let Some(text) = document.and_then(|document| document.text.get_line(line as usize)) else {
        return Range::new(Position::new(line, 0), Position::new(line.saturating_add(1), 0));
    };
    let text = text.to_string();
    let content = text.trim_end();
    let skipped = if column == 0 { content.len() - content.trim_start().len() } else { 0 };
    let start = content.char_indices().nth(column as usize).map_or(content.len(), |(at, _)| at) + skipped;
    let lines = Lines::of(&text);
    let column = |offset| lines.position(&text, offset, encoding).column;
    Range::new(Position::new(line, column(start)), Position::new(line, column(content.len())))
}

fn related(
    published: &Published,
    finding: &Finding,
    documents: &Documents,
    editor: &Editor,
) -> Option<Vec<DiagnosticRelatedInformation>> {
    if !editor.related_information || finding.related.is_empty() {
        return None;
    }
    let frames = finding.related.iter().filter_map(|frame| {
        let start = Position::new(frame.line.saturating_sub(1), 0);
        let uri = uri(documents, &document_key(&published.root, &frame.path))?;
        let location = Location { uri, range: Range::new(start, start) };
        Some(DiagnosticRelatedInformation { location, message: frame.message.clone() })
    });
    Some(frames.collect())
}

fn severity(severity: Severity) -> DiagnosticSeverity {
    match severity {
        Severity::Error => DiagnosticSeverity::ERROR,
        Severity::Warning => DiagnosticSeverity::WARNING,
        Severity::Info => DiagnosticSeverity::INFORMATION,
        Severity::Hint => DiagnosticSeverity::HINT,
    }
}

/// The URIs of the documents whose text an edit changes.
pub(super) fn touched(edit: &WorkspaceEdit) -> Vec<&str> {
    let changes = edit.changes.iter().flatten().map(|(uri, _)| uri.as_str());
    let versioned = match &edit.document_changes {
        Some(DocumentChanges::Edits(edits)) => {
            edits.iter().map(|edit| edit.text_document.uri.as_str()).collect()
        }
        Some(DocumentChanges::Operations(operations)) => operations
            .iter()
            .filter_map(|operation| match operation {
                DocumentChangeOperation::Edit(edit) => Some(edit.text_document.uri.as_str()),
                DocumentChangeOperation::Op(_) => None,
            })
            .collect(),
        None => Vec::new(),
    };
    changes.chain(versioned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn placed(path: &str, version: Option<i32>, before: Option<&str>, after: Option<&str>) -> Placed {
        let change =
            FileChange { path: path.into(), before: before.map(Into::into), after: after.map(Into::into) };
        let key = format!("/w/{path}");
        Placed { uri: uri::of_file(Path::new(&key)).expect("a path"), key, version, change }
    }

    fn check(editor: &Editor, files: &[Placed], expect: &Value) {
        assert_eq!(serde_json::to_value(workspace_edits(files, editor)).expect("JSON"), *expect);
    }

    #[test]
    fn forms_of_edits() {
        let plain = Editor { apply_edit: true, ..Editor::default() };
        let full = Editor { document_changes: true, create_files: true, delete_files: true, ..plain.clone() };
        let change = || placed("a.py", Some(3), Some("a\nb\n"), Some("a\nc\n"));
        let at = |line, from, to| json!({"start": {"line": line, "character": from}, "end": {"line": line, "character": to}});
        let edits = json!([{"range": at(1, 0, 1), "newText": "c"}]);
        check(&plain, &[change()], &json!([{"changes": {"file:///w/a.py": edits}}]));
        let versioned = json!({"textDocument": {"uri": "file:///w/a.py", "version": 3}, "edits": edits});
        check(&full, &[change()], &json!([{"documentChanges": [versioned]}]));
        let closed = placed("b.py", None, Some("x"), Some("y"));
        let unopened = json!({"textDocument": {"uri": "file:///w/b.py", "version": null},
            "edits": [{"range": at(0, 0, 1), "newText": "y"}]});
        check(&full, &[closed, change()], &json!([{"documentChanges": [versioned, unopened]}]));
        let created = placed("n.py", None, None, Some("n\n"));
        let text = json!([{"range": at(0, 0, 0), "newText": "n\n"}]);
        check(&plain, &[created], &json!([{"changes": {"file:///w/n.py": text}}]));
        let created = placed("n.py", None, None, Some("n\n"));
        let deleted = placed("d.py", None, Some("d"), None);
        check(
            &full,
            &[deleted, created],
            &json!([
                {"documentChanges": [
                    {"kind": "create", "uri": "file:///w/n.py", "options": {"overwrite": false, "ignoreIfExists": true}},
                    {"textDocument": {"uri": "file:///w/n.py", "version": null}, "edits": text}]},
                {"documentChanges": [{"kind": "delete", "uri": "file:///w/d.py"}]},
            ]),
        );
    }

    #[test]
    fn edits_count_in_the_negotiated_units() {
        let check = |encoding, expect| {
            let edits = text_edits("💡é x\n", "💡é y\n", encoding);
            assert_eq!(edits.iter().map(|edit| edit.range.start.character).collect::<Vec<_>>(), [expect]);
        };
        check(Encoding::Utf8, 7);
        check(Encoding::Utf16, 4);
        check(Encoding::Utf32, 3);
    }

    #[test]
    fn findings_reach_to_the_end_of_the_line() {
        let document = |text: &str| Document {
            uri: "file:///a".into(),
            version: 1,
            language: "python".into(),
            text: ropey::Rope::from_str(text),
        };
        let check = |line, column, expect: (u32, u32, u32)| {
            let finding = Finding {
                path: "a".into(),
                line,
                column,
                severity: Severity::Error,
                category: "check".into(),
                message: String::new(),
                related: Vec::new(),
            };
            let range = range(&finding, Some(&document("    💡x = 1  \n")), Encoding::Utf16);
            assert_eq!((range.start.line, range.start.character, range.end.character), expect);
            let unopened = super::range(&finding, None, Encoding::Utf16);
            assert_eq!((unopened.start.character, unopened.end.character), (0, 0));
            assert_eq!(unopened.end.line, unopened.start.line + 1);
        };
        check(1, 1, (0, 4, 11));
        check(1, 6, (0, 6, 11));
        check(1, 90, (0, 11, 11));
        check(9, 3, (8, 0, 0));
        check(0, 0, (0, 4, 11));
    }
}
