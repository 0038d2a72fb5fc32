//! Where a task's events go: progress, log lines, diagnostics, the client's own view. All are pushed into the outbox, so
//! a slow client holds up nobody but itself.

use super::Server;
use super::outbox::{Notice, is_piece};
use super::session::{Entry, Session};
use crate::agent::patch::Writing;
use crate::doctor;
use crate::event::{Event, Kind, Phase, Stage, lines};
use crate::sandbox::Status;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tower_lsp::lsp_types::{
    MessageType, ProgressToken, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressEnd,
    WorkDoneProgressReport,
};

/// Progress is reported at most this often while an agent speaks.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

impl Server {
    /// Records an event of a task and passes it on. Does not block.
    pub(super) fn emit(&self, task: &str, kind: Kind) {
        if is_piece(&kind) && self.outbox.is_crowded() {
            return;
        }
        let (mut session, found) = match &kind {
            Kind::Found { path, findings } => self.place_findings(task, path, findings),
            _ => (self.session(), None),
        };
        if let Some(dashboard) = &session.dashboard {
            dashboard.hear(task, &kind);
        }
        let (events, pull) = (session.editor.events, session.editor.pull_diagnostics);
        let Some(entry) = session.tasks.get_mut(task) else { return };
        if let Some(line) = lines::line(&kind) {
            entry.write(&line);
            self.outbox.push(Notice::Log(MessageType::INFO, line));
        }
        if let Some(progress) = entry.follow(&kind) {
            self.outbox.push(progress);
        }
        let mut changed = session.learn(task, &kind);
        if let Some((key, published)) = found {
            session.findings.insert(key.clone(), published);
            changed.push(key);
        }
        for key in &changed {
            self.publish(&session, key);
        }
        let for_clients = events && !matches!(kind, Kind::Judged { .. });
        if for_clients && let Some(entry) = session.tasks.get_mut(task) {
            self.tell(entry, kind);
        }
        drop(session);
        if pull && !changed.is_empty() {
            self.refresh_diagnostics();
        }
    }

    /// Passes an event on to a client that follows tasks. Events have consecutive numbers.
    fn tell(&self, entry: &mut Entry, kind: Kind) {
        let task = &entry.task.id;
        if let Kind::Said { agent, text } = &kind
            && self.outbox.join(task, *agent, text)
        {
            return;
        }
        let event = Event { task: task.clone(), seq: entry.seq, at: milliseconds(), kind };
        entry.seq += u64::from(self.outbox.push(Notice::Event(event)));
    }

    /// Shows a task's progress under `token`, unless it is over already.
    pub(super) fn begin_progress(&self, task: &str, token: ProgressToken) {
        let mut session = self.session();
        let Some(entry) = session.tasks.get_mut(task).filter(|entry| entry.is_running()) else { return };
        entry.progress = Some(token.clone());
        let begin = WorkDoneProgressBegin {
            title: format!("OpenDevAgent: {}", entry.task.title()),
            cancellable: Some(true),
            message: Some(phase_name(entry.phase).into()),
            percentage: Some(entry.phase.percent()),
        };
        self.outbox.push(Notice::Progress(token, WorkDoneProgress::Begin(begin)));
    }

    /// Tells a client that wants to know whether we are at work.
    pub(super) fn tell_status(&self) {
        let session = self.session();
        if !session.editor.status {
            return;
        }
        let running: Vec<String> = session.running().map(|entry| entry.task.title()).collect();
        let problem = session.problem.as_ref().map(|problem| (problem.to_string(), problem.about()));
        let problem = problem.or_else(|| Some((session.away.clone()?, "store")));
        let status = match (running.as_slice(), problem) {
            ([], None) => json!({"state": "ready", "message": "ready"}),
            ([], Some((problem, about))) => {
                let (message, remedy) = doctor::remedy(&problem);
                json!({"state": "problem", "message": message, "remedy": remedy, "about": about})
            }
            (running, _) => json!({"state": "busy", "message": running.join(", ")}),
        };
        self.outbox.push(Notice::Status(status));
    }
}

impl Entry {
    pub(super) fn is_running(&self) -> bool {
        self.phase.percent() < 100
    }

    /// Follows the phase; the progress to report, if any.
    fn follow(&mut self, kind: &Kind) -> Option<Notice> {
        if let Kind::Usage { usage } = kind {
            self.cost_usd = usage.cost_usd;
        }
        let message = match kind {
            Kind::Phase { phase, attempt, .. } => {
                self.phase = *phase;
                self.answer = Writing::default();
                match attempt {
                    0 | 1 => phase_name(*phase).into(),
                    again => format!("{}, attempt {again}", phase_name(*phase)),
                }
            }
            Kind::Said { agent, text } => {
                self.said += text.chars().count();
                self.answer.push(text);
                if self.reported.is_some_and(|last| last.elapsed() < BETWEEN_REPORTS) {
                    return None;
                }
                let (phase, agent, said) = (phase_name(self.phase), agent.name(), self.said);
                match self.answer.told() {
                    Some(told) => format!("{phase}: the {agent} is {told} ({said} characters)"),
                    None => format!("{phase}: the {agent} has written {said} characters"),
                }
            }
            Kind::Waiting { agent, seconds } => lines::waiting(*agent, *seconds),
            Kind::Ended { phase, message, .. } => {
                self.phase = *phase;
                let end = WorkDoneProgressEnd { message: Some(message.clone()) };
                return Some(Notice::Progress(self.progress.take()?, WorkDoneProgress::End(end)));
            }
            _ => return None,
        };
        self.reported = Some(Instant::now());
        // Repair goes back to testing; what a user sees only grows.
        self.percent = self.percent.max(self.phase.percent());
        let report = WorkDoneProgressReport {
            cancellable: Some(true),
            message: Some(message),
            percentage: Some(self.percent),
        };
        Some(Notice::Progress(self.progress.clone()?, WorkDoneProgress::Report(report)))
    }
}

impl Session {
    /// Takes over what an event says about documents; the keys of those whose diagnostics changed.
    fn learn(&mut self, task: &str, kind: &Kind) -> Vec<String> {
        let Some(entry) = self.tasks.get(task) else { return Vec::new() };
        match kind {
            Kind::Ran { stage: Stage::Before, status, .. } => {
                if *status == Status::Ok {
                    self.failing.remove(&entry.key);
                } else {
                    self.failing.insert(entry.key.clone());
                }
                Vec::new()
            }
            Kind::Ended { phase: Phase::Complete | Phase::Failed, .. } => {
                // What older tasks found about the same document is out of date now.
                let about: Vec<String> = self
                    .tasks
                    .values()
                    .filter(|other| other.key == entry.key && other.task.id != task)
                    .map(|other| other.task.id.clone())
                    .collect();
                about.iter().flat_map(|older| self.clear(older)).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Planning => "planning",
        Phase::Coding => "coding",
        Phase::Testing => "testing",
        Phase::Debugging => "debugging",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
        Phase::Cancelled => "cancelled",
    }
}

/// Milliseconds since the Unix epoch.
fn milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
