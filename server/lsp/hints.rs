//! Beside an applied edit: what was shown about it, until the document is edited again.

use super::Server;
use super::diagnostics::Refresh;
use super::session::Session;
use super::to_proto::{Placed, position};
use crate::text::{self, Lines};
use crate::verdict::{Level, Verdict};
use tower_lsp::lsp_types::{InlayHint, InlayHintLabel, InlayHintTooltip, Position, Range};

/// What stands beside the first change of an edit.
pub(super) struct Proof {
    /// The document's, as it was applied.
    version: i32,
    line: u32,
    label: String,
    reason: String,
}

impl Server {
    /// Shows beside the edits of an applied proposal what they were shown to do.
    pub(super) fn prove(&self, files: &[Placed], verdict: Option<&Verdict>) {
        if let Some(verdict) = verdict {
            self.session().prove(files, verdict);
            self.refresh(Refresh::Hints);
        }
    }
}

impl Session {
    /// Remembers a verdict where the buffers show the edits it is about.
    fn prove(&mut self, files: &[Placed], verdict: &Verdict) {
        let Some(label) = label(verdict) else { return };
        for file in files {
            let Some(after) = file.change.after.as_deref() else { continue };
            let document = self.documents.get(&file.key).filter(|document| document.text == after);
            let Some(version) = document.map(|document| document.version) else { continue };
            let before = file.change.before.as_deref().unwrap_or_default();
            let first = text::diff(before, after).iter().next().map_or(0, |edit| edit.span.start);
            let line = before[..first].matches('\n').count() as u32;
            let proof = Proof { version, line, label: label.clone(), reason: verdict.reason.clone() };
            self.proofs.insert(file.key.clone(), proof);
        }
    }
}

/// What a verdict comes to, in a few words; `None` when nothing was shown.
fn label(verdict: &Verdict) -> Option<String> {
    let passed = verdict.after.as_ref().and_then(|after| after.tests).map_or(0, |tests| tests.passed);
    let tests = if passed == 1 { "1 test".into() } else { format!("{passed} tests") };
    match verdict.level {
        Level::Proven | Level::Passing if passed > 0 => Some(format!("{} ✓ {tests}", verdict.level.name())),
        Level::Proven | Level::Passing | Level::Runs => Some(format!("{} ✓", verdict.level.name())),
        Level::Unverified | Level::Failing => None,
    }
}

/// The hints in a range of a document.
pub(super) fn hints(session: &Session, key: &str, range: Range) -> Vec<InlayHint> {
    let proof = session.proofs.get(key).zip(session.documents.get(key));
    let Some((proof, document)) = proof.filter(|(proof, document)| proof.version == document.version) else {
        return Vec::new();
    };
    let Some(line) = document.text.get_line(proof.line as usize).map(|line| line.to_string()) else {
        return Vec::new();
    };
    let end =
        Lines::of(&line).position(&line, line.trim_end_matches(['\r', '\n']).len(), session.editor.encoding);
    let place = Position::new(proof.line, position(end).character);
    let hint = InlayHint {
        position: place,
        label: InlayHintLabel::String(proof.label.clone()),
        kind: None,
        text_edits: None,
        tooltip: Some(InlayHintTooltip::String(proof.reason.clone())),
        padding_left: Some(true),
        padding_right: None,
        data: None,
    };
    let inside = range.start <= place && place.line <= range.end.line;
    if inside { vec![hint] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::patch::FileChange;
    use crate::config::Settings;
    use crate::lsp::uri::of_file;
    use crate::sandbox::Status;
    use crate::verdict::{Observed, Tests};
    use std::path::Path;
    use tower_lsp::lsp_types::TextDocumentContentChangeEvent;

    fn verdict(level: Level, passed: u32) -> Verdict {
        let tests = Some(Tests { run: passed, passed, ..Tests::default() });
        let after = Some(Observed { status: Status::Ok, tests });
        Verdict { level, after, ..Verdict::unverified("because", Settings::default().sandbox_limits()) }
    }

    #[test]
    fn labels() {
        assert_eq!(label(&verdict(Level::Proven, 42)).as_deref(), Some("proven ✓ 42 tests"));
        assert_eq!(label(&verdict(Level::Passing, 1)).as_deref(), Some("passing ✓ 1 test"));
        assert_eq!(label(&verdict(Level::Runs, 0)).as_deref(), Some("runs ✓"));
        assert_eq!(label(&verdict(Level::Failing, 3)), None);
        assert_eq!(label(&verdict(Level::Unverified, 0)), None);
    }

    #[test]
    fn a_proof_stands_beside_its_change_until_the_next_one() {
        let (before, after) = ("a\n💡 = 1\n", "a\n💡 = 2\n");
        let mut session = Session::default();
        session.open("file:///w/a.py".into(), 7, "python".into(), after);
        let place = |path: &str| Placed {
            key: format!("/w/{path}"),
            uri: of_file(Path::new("/w/a.py")).expect("a path"),
            version: Some(6),
            change: FileChange { path: path.into(), before: Some(before.into()), after: Some(after.into()) },
        };
        session.prove(&[place("a.py"), place("unopened.py")], &verdict(Level::Proven, 2));
        let at = |line| Range::new(Position::new(line, 0), Position::new(line, 1));
        let all = Range::new(Position::new(0, 0), Position::new(9, 0));
        let found = hints(&session, "/w/a.py", all);
        assert_eq!((found.len(), found[0].position), (1, Position::new(1, 6)));
        assert!(hints(&session, "/w/a.py", at(0)).is_empty(), "another part of the text");
        assert!(hints(&session, "/w/unopened.py", all).is_empty());
        let change =
            TextDocumentContentChangeEvent { range: Some(at(0)), range_length: None, text: "b".into() };
        session.change("/w/a.py", 8, vec![change]);
        assert!(hints(&session, "/w/a.py", all).is_empty(), "the text is another now");
    }

    #[test]
    fn what_the_buffer_does_not_show_is_not_proven() {
        let mut session = Session::default();
        session.open("file:///w/a.py".into(), 7, "python".into(), "typed meanwhile");
        let change = FileChange { path: "a.py".into(), before: None, after: Some("new".into()) };
        let uri = of_file(Path::new("/w/a.py")).expect("a path");
        session.prove(
            &[Placed { key: "/w/a.py".into(), uri, version: None, change }],
            &verdict(Level::Proven, 2),
        );
        assert!(session.proofs.is_empty());
    }
}
