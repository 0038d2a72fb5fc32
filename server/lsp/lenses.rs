//! Code lenses. From memory alone, so they are instant; a new kind is a function here and a line in [`lenses`].
//!
//! A lens may be clicked when its line has moved: its command says what it is about beside where, so an old place does
//! no harm.

use super::capabilities::command;
use super::session::Session;
use super::{Server, from_proto, stubs, to_proto};
use serde_json::{Value, json};
use tower_lsp::lsp_types::{CodeLens, Command, Position, Range};

impl Server {
    /// All lenses of a document.
    pub(super) async fn lenses(&self, uri: String) -> Vec<CodeLens> {
        let wanted = self.inline(from_proto::path(&uri).as_deref()).stubs;
        let (mut lenses, document) = {
            let session = self.session();
            let document = session.documents.get(&from_proto::key(&uri)).filter(|_| wanted).cloned();
            (failing(&session, &uri), document)
        };
        if let Some(document) = document.filter(|_| from_proto::path(&uri).is_some()) {
            // A long text would hold up who types.
            let found = tokio::task::spawn_blocking(move || stubs::all(&document.text, &document.language));
            lenses.extend(
                found.await.unwrap_or_default().iter().map(|(line, name)| implement(&uri, *line, name)),
            );
        }
        lenses
    }
}

/// `Fix` and `Run` above each line on which a check has failed.
fn failing(session: &Session, uri: &str) -> Vec<CodeLens> {
    let key = from_proto::key(uri);
    let Some(published) = session.findings.get(&key) else { return Vec::new() };
    let diagnostics = to_proto::diagnostics(published, &key, &session.documents, &session.editor);
    let failing =
        published.findings.iter().zip(diagnostics).filter(|(finding, _)| finding.category == "check");
    failing
        .flat_map(|(_, diagnostic)| {
            let range = diagnostic.range;
            let argument = json!({"uri": uri, "range": range});
            let mut with_diagnostic = argument.clone();
            with_diagnostic["diagnostics"] = json!([diagnostic]);
            [lens(range, "Fix".into(), "fix", with_diagnostic), lens(range, "Run".into(), "run", argument)]
        })
        .collect()
}

/// `Implement NAME` above a definition that is yet to be written.
fn implement(uri: &str, line: u32, name: &str) -> CodeLens {
    let start = Position::new(line, 0);
    let range = Range::new(start, start);
    let title = format!("Implement {name}");
    let argument = json!({"uri": uri, "range": range, "instruction": title});
    lens(range, title, "generate", argument)
}

fn lens(range: Range, title: String, name: &str, argument: Value) -> CodeLens {
    CodeLens { range, command: Some(Command::new(title, command(name), Some(vec![argument]))), data: None }
}
