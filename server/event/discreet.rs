//! Nothing that is told of a task holds a key.

use super::{Finding, Kind};
use crate::model::Agent;
use crate::model::redact::{Pieces, redact};
use crate::verdict::Verdict;

/// Redacts the events of one task, in their order.
#[derive(Default)]
pub struct Discreet {
    /// Who speaks, and what is held back of it.
    speaking: Option<(Agent, Pieces)>,
}

impl Discreet {
    /// The events to tell instead of this one.
    pub fn pass(&mut self, kind: Kind) -> impl Iterator<Item = Kind> + use<> {
        let (held, now) = match kind {
            Kind::Said { agent, text } => {
                let held = self.speaking.take_if(|(before, _)| *before != agent).and_then(rest);
                let (_, pieces) = self.speaking.get_or_insert_with(|| (agent, Pieces::default()));
                let text = pieces.push(&text);
                (held, (!text.is_empty()).then_some(Kind::Said { agent, text }))
            }
            other => (self.speaking.take().and_then(rest), Some(hidden(other))),
        };
        held.into_iter().chain(now)
    }
}

fn rest((agent, mut pieces): (Agent, Pieces)) -> Option<Kind> {
    let text = pieces.rest();
    (!text.is_empty()).then_some(Kind::Said { agent, text })
}

fn hidden(kind: Kind) -> Kind {
    match kind {
        Kind::Started { action, title } => Kind::Started { action, title: redact(&title) },
        Kind::Noted { level, text } => Kind::Noted { level, text: redact(&text) },
        Kind::Found { path, mut findings } => {
            hide_in(&mut findings);
            Kind::Found { path, findings }
        }
        Kind::Ran { stage, status, exit_code, tests, mut measured } => {
            measured.command = redact(&measured.command);
            measured.output = redact(&measured.output);
            Kind::Ran { stage, status, exit_code, tests, measured }
        }
        Kind::Judged { mut verdict, diff } => {
            hide_in_verdict(&mut verdict);
            Kind::Judged { verdict, diff: redact(&diff) }
        }
        Kind::Ended { phase, mut verdict, message, stop, quiet } => {
            if let Some(verdict) = &mut verdict {
                hide_in_verdict(verdict);
            }
            Kind::Ended { phase, verdict, message: redact(&message), stop, quiet }
        }
        Kind::Said { .. } | Kind::Waiting { .. } | Kind::Phase { .. } | Kind::Usage { .. } => kind,
    }
}

/// Redacts what findings say.
pub fn hide_in(findings: &mut [Finding]) {
    for finding in findings {
        finding.message = redact(&finding.message);
        for frame in &mut finding.related {
            frame.message = redact(&frame.message);
        }
    }
}

/// Redacts the reason of a verdict.
pub fn hide_in_verdict(verdict: &mut Verdict) {
    verdict.reason = redact(&verdict.reason);
}
