//! Code actions: which ones, by what name. From memory alone, so they are instant.
//!
//! An action carries only a command, and an edit where the editor takes none from a server. It is never preferred, for
//! then an editor would run it on save.

use super::capabilities::command;
use super::from_proto;
use super::session::{Entry, Offer, Session, Standing};
use super::stubs::{self, Spot};
use super::to_proto::{self, Placed};
use crate::agent::task::Change;
use crate::sandbox::language;
use crate::text::rope_offset;
use crate::verdict::Level;
use crate::workspace::Document;
use serde_json::{Value, json};
use std::path::Path;
use tower_lsp::lsp_types::{
    CodeAction, CodeActionContext, CodeActionKind, CodeActionOrCommand, Command, Diagnostic, Range,
    WorkspaceEdit,
};

/// Characters of a message or a selection in a title.
const TITLE: usize = 80;

/// One offer in the menu.
struct Item {
    title: String,
    kind: CodeActionKind,
    command: &'static str,
    argument: Value,
    /// The diagnostic it is for.
    diagnostic: Option<Diagnostic>,
    /// What the editor does before it runs the command.
    edit: Option<WorkspaceEdit>,
}

/// The actions at a range of a document (CONTRACT §3).
pub(super) fn actions(
    session: &Session,
    uri: &str,
    range: Range,
    context: &CodeActionContext,
) -> Vec<CodeActionOrCommand> {
    let key = from_proto::key(uri);
    let mut items = proposal_items(session, &key);
    if from_proto::path(uri).is_some() {
        items.extend(fix_items(session, &key, uri, range, &context.diagnostics));
        items.extend(refactor_items(session, &key, uri, range, context));
    }
    items.retain(|item| wanted(&item.kind, context.only.as_deref()));
    items.into_iter().map(|item| item.shown(session.editor.code_action_literals)).collect()
}

/// Whether a client that asks for `only` wants `kind`: `refactor` includes `refactor.rewrite`.
fn wanted(kind: &CodeActionKind, only: Option<&[CodeActionKind]>) -> bool {
    only.is_none_or(|only| {
        only.iter().any(|wanted| {
            let rest = kind.as_str().strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || wanted.as_str().is_empty())
        })
    })
}

/// What can be done with the newest proposal that touches the document, and with the tasks that run on it.
fn proposal_items(session: &Session, key: &str) -> Vec<Item> {
    let about = |title: String, command, entry: &Entry| {
        Item::new(title, CodeActionKind::QUICKFIX, command, json!({"task": entry.task.id}))
    };
    let mut items = Vec::new();
    let standing = |entry: &Entry| {
        entry.offer == Offer::Standing && entry.touches(key) && session.standing(entry) < Standing::Stale
    };
    if let Some(entry) = session.newest(standing) {
        items.push(match entry.level() {
            Some(Level::Failing) => about("Apply anyway".into(), "apply", entry),
            level => {
                let verdict = level.map_or("unverified", Level::name);
                let moved =
                    if session.standing(entry) == Standing::Moved { " before your changes" } else { "" };
                about(format!("Apply: {} ({verdict}{moved})", entry.summary()), "apply", entry)
            }
        });
        items[0].edit = carried(session, entry);
        items.push(about("Discard".into(), "discard", entry));
        items.push(about("Show diff".into(), "showDiff", entry));
    }
    for entry in session.running().filter(|entry| entry.key == key) {
        items.push(about("Cancel OpenDevAgent task".into(), "cancel", entry));
    }
    items
}

/// The edit of a proposal, for an editor that takes none from a server (Kate). There is one when all that changes is open
/// and as it was; the editor's text cannot have changed before it applies what it has just asked for.
fn carried(session: &Session, entry: &Entry) -> Option<WorkspaceEdit> {
    if session.editor.apply_edit {
        return None;
    }
    let changes = &entry.report.as_ref()?.proposal.changes;
    let place = |change: &Change| Placed::of(&session.documents, &entry.task.root, &change.file);
    let files: Vec<Placed> = changes.iter().map(place).collect::<Option<_>>()?;
    let as_it_was = |file: &Placed| {
        let document = session.documents.get(&file.key);
        let before = file.change.before.as_deref().filter(|_| file.change.after.is_some());
        document.zip(before).is_some_and(|(document, before)| document.text == before)
    };
    if !files.iter().all(as_it_was) {
        return None;
    }
    to_proto::workspace_edits(&files, &session.editor).pop()
}

fn fix_items(session: &Session, key: &str, uri: &str, range: Range, diagnostics: &[Diagnostic]) -> Vec<Item> {
    let mut items: Vec<Item> = diagnostics
        .iter()
        .map(|diagnostic| {
            let title = format!("Fix: {}", shorten(&diagnostic.message));
            let argument = json!({"uri": uri, "range": range, "diagnostics": [diagnostic]});
            let mut item = Item::new(title, CodeActionKind::QUICKFIX, "fix", argument);
            item.diagnostic = Some(diagnostic.clone());
            item
        })
        .collect();
    if session.failing.contains(key) {
        let argument = json!({"uri": uri, "range": range});
        items.push(Item::new("Fix failing check".into(), CodeActionKind::QUICKFIX, "fix", argument));
    }
    items
}

fn refactor_items(
    session: &Session,
    key: &str,
    uri: &str,
    range: Range,
    context: &CodeActionContext,
) -> Vec<Item> {
    let document = session.documents.get(key).map(AsRef::as_ref);
    let selection = document.and_then(|document| selected(session, document, range));
    let argument = json!({"uri": uri, "range": range});
    let item =
        |title: String, kind: CodeActionKind, command| Item::new(title, kind, command, argument.clone());
    let refactor = || CodeActionKind::REFACTOR;
    let mut items = vec![generate_item(document, selection.as_deref(), &argument, range)];
    items.push(item("Plan this".into(), refactor(), "plan"));
    if let Some(name) = document.and_then(|document| testable(document, range, key)) {
        items.push(item(format!("Write tests for {name}"), refactor(), "tests"));
    }
    items.push(item("Review".into(), refactor(), "review"));
    if selection.is_some() || !context.diagnostics.is_empty() {
        let mut explain = item("Explain".into(), refactor(), "explain");
        if !context.diagnostics.is_empty() {
            explain.argument["diagnostics"] = json!(context.diagnostics);
        }
        items.push(explain);
    }
    if document.is_some_and(|document| runs(document, key)) {
        items.push(item("Run in sandbox".into(), refactor(), "run"));
    }
    items
}

fn generate_item(
    document: Option<&Document>,
    selection: Option<&str>,
    argument: &Value,
    range: Range,
) -> Item {
    let (first, last) = from_proto::lines(range);
    let spot = document.map_or(Spot::Nothing, |document| {
        stubs::spot(&document.text, &document.language, first as usize - 1, last as usize - 1)
    });
    let mut argument = argument.clone();
    let title = match (spot, selection) {
        (Spot::Stub(name), _) => format!("Implement {name}"),
        (Spot::Comment(words), _) => {
            argument["instruction"] = words.into();
            "Generate from comment".into()
        }
        (Spot::Nothing, Some(selection)) => format!("Generate: {}", shorten(selection)),
        (Spot::Nothing, None) => "Generate here…".into(),
    };
    Item::new(title, CodeActionKind::REFACTOR_REWRITE, "generate", argument)
}

/// The beginning of what is selected; `None` when it is nothing or blank.
fn selected(session: &Session, document: &Document, range: Range) -> Option<String> {
    let at = |position| rope_offset(&document.text, from_proto::position(position), session.editor.encoding);
    let (start, end) = (at(range.start), at(range.end));
    let end = end.max(start);
    let text: String = document.text.slice(start..end).chars().take(TITLE * 4).collect();
    let text = text.trim().to_owned();
    // One character is no choice: a cursor of Helix's always holds one.
    text.chars().nth(1).is_some().then_some(text)
}

/// The function or class at the range, or the module that the file is.
fn testable(document: &Document, range: Range, key: &str) -> Option<String> {
    let line = range.start.line as usize;
    stubs::enclosing(&document.text, &document.language, line).or_else(|| {
        let stem = Path::new(key).file_stem()?.to_str()?;
        runs(document, key).then(|| stem.to_owned())
    })
}

/// Whether the sandbox knows how to run the document's language.
fn runs(document: &Document, key: &str) -> bool {
    language::by_lsp_id(&document.language).or_else(|| language::by_path(key)).is_some()
}

/// The first line of a text, short enough for a menu.
fn shorten(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end();
    if line.chars().count() <= TITLE {
        return line.to_owned();
    }
    let start: String = line.chars().take(TITLE - 1).collect();
    format!("{}…", start.trim_end())
}

impl Item {
    fn new(title: String, kind: CodeActionKind, command: &'static str, argument: Value) -> Self {
        Self { title, kind, command, argument, diagnostic: None, edit: None }
    }

    fn shown(self, literals: bool) -> CodeActionOrCommand {
        let command = Command::new(self.title.clone(), command(self.command), Some(vec![self.argument]));
        if !literals {
            return CodeActionOrCommand::Command(command);
        }
        CodeActionOrCommand::CodeAction(CodeAction {
            title: self.title,
            kind: Some(self.kind),
            diagnostics: self.diagnostic.map(|diagnostic| vec![diagnostic]),
            edit: self.edit,
            command: Some(command),
            ..CodeAction::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsp::capabilities::Editor;
    use std::sync::Arc;
    use tower_lsp::lsp_types::Position;

    const URI: &str = "file:///w/src/gcd.py";

    fn session(text: &str, language: &str) -> Session {
        let editor = Arc::new(Editor { code_action_literals: true, ..Editor::default() });
        let mut session = Session { editor, ..Session::default() };
        session.open(URI.into(), 1, language.into(), text);
        session
    }

    fn titles(session: &Session, range: Range, context: &CodeActionContext) -> Vec<String> {
        let title = |action| match action {
            CodeActionOrCommand::CodeAction(action) => {
                assert!(action.is_preferred.is_none() && action.edit.is_none() && action.data.is_none());
                assert!(action.command.is_some_and(|command| command.title == action.title));
                format!("{} [{}]", action.title, action.kind.expect("a kind").as_str())
            }
            CodeActionOrCommand::Command(command) => command.title,
        };
        actions(session, URI, range, context).into_iter().map(title).collect()
    }

    /// A range on line `line` (from 0) between two columns.
    fn at(line: u32, from: u32, to: u32) -> Range {
        Range::new(Position::new(line, from), Position::new(line, to))
    }

    fn only(kinds: &[&str]) -> CodeActionContext {
        let only = kinds.iter().map(|kind| CodeActionKind::from((*kind).to_owned())).collect();
        CodeActionContext { only: Some(only), ..CodeActionContext::default() }
    }

    fn diagnostic(message: &str) -> Diagnostic {
        Diagnostic::new_simple(at(1, 0, 4), message.into())
    }

    const TEXT: &str = "# TODO: gcd\ndef gcd(a, b):\n    return a\n\ndef lcm(a, b):\n    pass\n\nx = 1\n";

    #[test]
    fn the_table() {
        let session = session(TEXT, "python");
        let check = |range, diagnostics: &[Diagnostic], expect: &[&str]| {
            let context =
                CodeActionContext { diagnostics: diagnostics.to_vec(), ..CodeActionContext::default() };
            assert_eq!(titles(&session, range, &context), expect, "{range:?}");
        };
        check(
            at(2, 4, 4),
            &[],
            &[
                "Generate here… [refactor.rewrite]",
                "Plan this [refactor]",
                "Write tests for gcd [refactor]",
                "Review [refactor]",
                "Run in sandbox [refactor]",
            ],
        );
        check(
            at(2, 4, 10),
            &[diagnostic("a is wrong\nreally")],
            &[
                "Fix: a is wrong [quickfix]",
                "Generate: return [refactor.rewrite]",
                "Plan this [refactor]",
                "Write tests for gcd [refactor]",
                "Review [refactor]",
                "Explain [refactor]",
                "Run in sandbox [refactor]",
            ],
        );
        check(
            at(5, 0, 0),
            &[],
            &[
                "Implement lcm [refactor.rewrite]",
                "Plan this [refactor]",
                "Write tests for lcm [refactor]",
                "Review [refactor]",
                "Run in sandbox [refactor]",
            ],
        );
        check(
            at(0, 3, 3),
            &[],
            &[
                "Generate from comment [refactor.rewrite]",
                "Plan this [refactor]",
                "Write tests for gcd [refactor]",
                "Review [refactor]",
                "Run in sandbox [refactor]",
            ],
        );
    }

    #[test]
    fn only_is_hierarchical() {
        let session = session(TEXT, "python");
        let check = |kinds: &[&str], count: usize| {
            assert_eq!(titles(&session, at(2, 0, 0), &only(kinds)).len(), count, "{kinds:?}");
        };
        check(&["refactor.rewrite"], 1);
        check(&["refactor"], 5);
        check(&[""], 5);
        check(&["quickfix"], 0);
        check(&["source.fixAll", "source.organizeImports"], 0);
        check(&["refactor.rew"], 0);
        check(&[], 0);
    }

    #[test]
    fn a_failing_check_is_offered_a_fix() {
        let mut session = session(TEXT, "python");
        session.failing.insert("/w/src/gcd.py".into());
        assert_eq!(titles(&session, at(2, 0, 0), &only(&["quickfix"])), ["Fix failing check [quickfix]"]);
    }

    #[test]
    fn plain_commands_for_clients_that_know_nothing_else() {
        let mut session = session(TEXT, "plaintext");
        session.editor = Arc::default();
        assert_eq!(
            titles(&session, at(2, 0, 0), &CodeActionContext::default()),
            ["Generate here…", "Plan this", "Write tests for gcd", "Review", "Run in sandbox"]
        );
    }

    #[test]
    fn what_is_no_file_has_no_actions() {
        let mut session = session(TEXT, "python");
        session.open("untitled:1".into(), 1, "python".into(), TEXT);
        assert!(actions(&session, "untitled:1", at(0, 0, 0), &CodeActionContext::default()).is_empty());
        assert!(actions(&session, "%%%", at(0, 0, 0), &CodeActionContext::default()).is_empty());
    }

    #[test]
    fn titles_are_short() {
        assert_eq!(shorten(&"x".repeat(200)).chars().count(), TITLE);
        assert_eq!(shorten("  a\nb"), "a");
        assert_eq!(shorten(""), "");
    }
}
