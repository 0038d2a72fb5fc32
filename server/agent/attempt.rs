//! A proposal that was checked, and what is learnt from it.

use super::EXCERPT_BYTES;
use super::check::Observation;
use super::patch::FileChange;
use crate::text;
use crate::verdict::Verdict;
use crate::workspace::Snapshot;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Of a failure's places, so many are told with their lines.
const PLACES: usize = 12;

/// A proposal that was checked.
pub(super) struct Attempt {
    pub(super) changes: Vec<FileChange>,
    pub(super) verdict: Verdict,
    /// The verdict by the project's own tests, where the blind tests alone make it fail.
    pub(super) without: Option<Verdict>,
    /// The run that decided.
    pub(super) shown: Observation,
}

impl Attempt {
    /// The verdict it leaves with: tests that may be wrong themselves do not take away what the project's own show.
    pub(super) fn stands(&self) -> &Verdict {
        self.without.as_ref().unwrap_or(&self.verdict)
    }

    /// What the next question tells of it: why it failed, the user's lines that failed, what was printed.
    pub(super) fn lesson(&self, proposed: &Snapshot) -> String {
        let findings = self.shown.findings(proposed);
        let places = findings.iter().flat_map(|finding| {
            let related = finding.related.iter().map(|frame| (&frame.path, frame.line));
            std::iter::once((&finding.path, finding.line)).chain(related)
        });
        let mut out = format!("{}\n", self.verdict.reason);
        let mut told = BTreeSet::new();
        for (path, line) in places.filter(|place| told.insert(*place)).take(PLACES) {
            let text = proposed.text(path).ok();
            let code = text.as_deref().and_then(|text| text::lines(text).nth(line.max(1) as usize - 1));
            let _ = writeln!(out, "at {path}:{line}: {}", code.unwrap_or_default().trim());
        }
        out + "\n" + &self.shown.excerpt(EXCERPT_BYTES)
    }
}
