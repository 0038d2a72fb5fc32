//! What waits to be sent to the client. Pushing never blocks, and what waits is bounded whatever the client does: one
//! that reads nothing costs some megabytes and loses what it could not have read, in this order.
//!
//! | notice | while some wait | crowded | full |
//! |---|---|---|---|
//! | piece of an answer | joined to the one before | left out | left out |
//! | log line | kept | left out | left out |
//! | message, other event | kept | kept | left out |
//! | the end of a task | kept | kept | kept |
//! | diagnostics, progress, status | the latest of each document, task, server | same | same |
//!
//! What was left out is counted and said when there is room again. Left out events take no number.

use super::Server;
use crate::event::{Event, Kind};
use crate::model::Agent;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tower_lsp::Client;
use tower_lsp::lsp_types::{
    LogMessageParams, MessageType, ProgressParams, ProgressParamsValue, ProgressToken, ShowMessageParams,
    WorkDoneProgress, notification,
};

/// From so many notices or bytes on, what a client can do without is left out.
const CROWDED: Load = Load { notices: 1_000, bytes: 1 << 20 };
/// From so many on, everything that nothing later stands for.
const FULL: Load = Load { notices: 4_000, bytes: 8 << 20 };
/// What a notice weighs beside its text.
const ENVELOPE: usize = 200;

/// A notification to the client.
#[derive(Debug)]
pub(super) enum Notice {
    Log(MessageType, String),
    Show(MessageType, String),
    Progress(ProgressToken, WorkDoneProgress),
    /// Of a document: its key, and the URI that the client knows. What they are is looked up when it is sent.
    Diagnostics(String, String),
    Event(Event),
    Status(Value),
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    notices: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Notice, usize)>,
    bytes: usize,
    left_out: usize,
}

/// What waits to be sent.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

impl Outbox {
    /// Takes a notice, or leaves it out: then false.
    pub(super) fn push(&self, notice: Notice) -> bool {
        let taken = self.queue().take(notice);
        self.filled.notify_one();
        taken
    }

    /// Joins a piece of an answer to the one that waits as the last event of its task. False when there is none.
    pub(super) fn join(&self, task: &str, agent: Agent, piece: &str) -> bool {
        self.queue().join(task, agent, piece)
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.queue().is_over(CROWDED)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is pushed, for ever.
    pub(super) async fn drain(&self, server: &Server) {
        loop {
            let next = self.queue().next();
            match next {
                Some(notice) => notice.send(server).await,
                None => self.filled.notified().await,
            }
        }
    }
}

impl Queue {
    fn take(&mut self, notice: Notice) -> bool {
        let weight = ENVELOPE + notice.weight();
        let reach = if notice.is_lasting() { usize::MAX } else { 1 };
        let mut recent = self.waiting.iter_mut().rev().take(reach);
        if let Some(place) = recent.find(|(waiting, _)| notice.replaces(waiting)) {
            self.bytes = self.bytes + weight - place.1;
            *place = (notice, weight);
            return true;
        }
        let limit = match &notice {
            Notice::Log(..) => CROWDED,
            Notice::Event(event) if is_piece(&event.kind) => CROWDED,
            _ => FULL,
        };
        if !notice.is_lasting() && self.is_over(limit) {
            self.left_out += 1;
            return false;
        }
        self.bytes += weight;
        self.waiting.push_back((notice, weight));
        true
    }

    fn join(&mut self, task: &str, agent: Agent, piece: &str) -> bool {
        if self.is_over(CROWDED) {
            return false;
        }
        let last = self.waiting.iter_mut().rev().find_map(|(notice, weight)| match notice {
            Notice::Event(event) if event.task == task => Some((event, weight)),
            _ => None,
        });
        let Some((Event { kind: Kind::Said { agent: speaker, text }, .. }, weight)) = last else {
            return false;
        };
        if *speaker != agent {
            return false;
        }
        text.push_str(piece);
        *weight += piece.len();
        self.bytes += piece.len();
        true
    }

    fn next(&mut self) -> Option<Notice> {
        if let Some((notice, weight)) = self.waiting.pop_front() {
            self.bytes -= weight;
            return Some(notice);
        }
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then(|| {
            let what = format!(
                "{left_out} messages were left out, for the editor did not read them; `opendevagent.showLog` has a task's own"
            );
            Notice::Log(MessageType::WARNING, what)
        })
    }

    fn is_over(&self, limit: Load) -> bool {
        self.waiting.len() >= limit.notices || self.bytes >= limit.bytes
    }
}

/// Whether a client can do without an event.
pub(super) fn is_piece(kind: &Kind) -> bool {
    matches!(kind, Kind::Said { .. } | Kind::Waiting { .. })
}

/// `opendevagent/event`.
enum EventNotification {}

impl notification::Notification for EventNotification {
    type Params = Value;
    const METHOD: &'static str = "opendevagent/event";
}

/// `opendevagent/status`.
enum StatusNotification {}

impl notification::Notification for StatusNotification {
    type Params = Value;
    const METHOD: &'static str = "opendevagent/status";
}

impl Notice {
    /// Bytes of the text in it, roughly.
    fn weight(&self) -> usize {
        match self {
            Self::Log(_, text)
            | Self::Show(_, text)
            | Self::Event(Event { kind: Kind::Said { text, .. } | Kind::Noted { text, .. }, .. }) => {
                text.len()
            }
            Self::Event(event) => serde_json::to_vec(event).map_or(0, |bytes| bytes.len()),
            Self::Progress(_, WorkDoneProgress::End(end)) => end.message.as_ref().map_or(0, String::len),
            Self::Progress(..) | Self::Status(_) => 0,
            Self::Diagnostics(key, uri) => key.len() + uri.len(),
        }
    }

    /// Whether the client's view is wrong until it comes.
    fn is_lasting(&self) -> bool {
        let ends = matches!(self, Self::Event(event) if matches!(event.kind, Kind::Ended { .. }));
        ends || matches!(self, Self::Progress(..) | Self::Diagnostics(..) | Self::Status(_))
    }

    /// Whether nobody needs to hear `older` any more.
    fn replaces(&self, older: &Self) -> bool {
        match (self, older) {
            (Self::Diagnostics(_, uri), Self::Diagnostics(_, older)) => uri == older,
            (Self::Status(_), Self::Status(_)) => true,
            (Self::Progress(token, _), Self::Progress(older, WorkDoneProgress::Report(_))) => token == older,
            (Self::Show(typ, text), Self::Show(older, waiting)) => typ == older && text == waiting,
            _ => false,
        }
    }

    async fn send(self, server: &Server) {
        let client: &Client = &server.client;
        match self {
            Self::Log(typ, message) => {
                client.send_notification::<notification::LogMessage>(LogMessageParams { typ, message }).await;
            }
            Self::Show(typ, message) => {
                client
                    .send_notification::<notification::ShowMessage>(ShowMessageParams { typ, message })
                    .await;
            }
            Self::Progress(token, progress) => {
                let value = ProgressParamsValue::WorkDone(progress);
                client.send_notification::<notification::Progress>(ProgressParams { token, value }).await;
            }
            Self::Diagnostics(key, uri) => {
                if let Some(params) = server.published(&key, &uri) {
                    client.send_notification::<notification::PublishDiagnostics>(params).await;
                }
            }
            Self::Event(event) => match serde_json::to_value(&event) {
                Ok(event) => client.send_notification::<EventNotification>(event).await,
                Err(error) => debug_assert!(false, "an event has only string keys: {error}"),
            },
            Self::Status(status) => client.send_notification::<StatusNotification>(status).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Note, Phase};
    use tower_lsp::lsp_types::{WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport};

    fn said(text: &str) -> Kind {
        Kind::Said { agent: Agent::Coder, text: text.into() }
    }

    fn event(task: &str, kind: Kind) -> Notice {
        Notice::Event(Event { task: task.into(), seq: 0, at: 0, kind })
    }

    fn report(token: &str, percentage: u32) -> Notice {
        let report =
            WorkDoneProgressReport { percentage: Some(percentage), ..WorkDoneProgressReport::default() };
        Notice::Progress(ProgressToken::String(token.into()), WorkDoneProgress::Report(report))
    }

    /// What a queue gives, one line each.
    fn drained(queue: &mut Queue) -> Vec<String> {
        let line = |notice| match notice {
            Notice::Log(_, text) => format!("log {text}"),
            Notice::Show(_, text) => format!("show {text}"),
            Notice::Progress(_, WorkDoneProgress::Begin(_)) => "begin".into(),
            Notice::Progress(_, WorkDoneProgress::Report(report)) => {
                format!("{}%", report.percentage.unwrap())
            }
            Notice::Progress(_, WorkDoneProgress::End(_)) => "end".into(),
            Notice::Diagnostics(key, _) => format!("diagnostics {key}"),
            Notice::Event(Event { kind: Kind::Said { text, .. }, .. }) => format!("said {text}"),
            Notice::Event(Event { kind, .. }) => format!("event {kind:?}"),
            Notice::Status(status) => format!("status {status}"),
        };
        std::iter::from_fn(|| queue.next()).map(line).collect()
    }

    #[test]
    fn the_latest_of_a_kind_stands_for_all() {
        let mut queue = Queue::default();
        let token = || ProgressToken::String("t".into());
        queue.take(Notice::Progress(token(), WorkDoneProgress::Begin(WorkDoneProgressBegin::default())));
        for percentage in 0..5_000 {
            queue.take(report("t", percentage));
            queue.take(Notice::Diagnostics("a".into(), "file:///a".into()));
            queue.take(Notice::Status(percentage.into()));
        }
        queue.take(Notice::Show(MessageType::INFO, "same".into()));
        queue.take(Notice::Show(MessageType::INFO, "same".into()));
        queue.take(report("other", 7));
        queue.take(Notice::Progress(token(), WorkDoneProgress::End(WorkDoneProgressEnd::default())));
        let expect = ["begin", "end", "diagnostics a", "status 4999", "show same", "7%"];
        assert_eq!(drained(&mut queue), expect);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn pieces_of_an_answer_are_joined_in_their_place() {
        let mut queue = Queue::default();
        assert!(!queue.join("t", Agent::Coder, "a"), "nothing waits");
        queue.take(event("t", said("a")));
        queue.take(event("other", said("x")));
        assert!(queue.join("t", Agent::Coder, "b") && queue.join("other", Agent::Coder, "y"));
        assert!(!queue.join("t", Agent::Debugger, "c"), "another speaks");
        queue.take(event("t", Kind::Noted { level: Note::Info, text: "n".into() }));
        assert!(!queue.join("t", Agent::Coder, "c"), "something else was said since");
        assert_eq!(drained(&mut queue).len(), 3);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_client_that_reads_nothing_costs_little_and_hears_what_it_missed() {
        let mut queue = Queue::default();
        let line = "x".repeat(1_000);
        for number in 0..100_000 {
            queue.take(Notice::Log(MessageType::INFO, line.clone()));
            queue.take(event("t", said(&line)));
            queue.join("t", Agent::Coder, &line);
            queue.take(Notice::Show(MessageType::INFO, format!("{number}")));
            queue.take(event("t", Kind::Noted { level: Note::Info, text: line.clone() }));
        }
        queue.take(Notice::Diagnostics("a".into(), "file:///a".into()));
        let (message, stop) = (String::new(), None);
        let ended = Kind::Ended { phase: Phase::Failed, verdict: None, message, stop, quiet: false };
        assert!(queue.take(event("t", ended)), "a client that waits for it would wait for ever");
        assert!(
            queue.waiting.len() <= FULL.notices + 2 && queue.bytes < FULL.bytes + 2_000,
            "{}",
            queue.bytes
        );
        let left_out = queue.left_out;
        let lines = drained(&mut queue);
        assert!(lines[0].starts_with("log x") && lines.contains(&"diagnostics a".to_owned()));
        let last = lines.last().expect("a line");
        assert!(last.starts_with(&format!("log {left_out} messages were left out")), "{last}");
        assert!(left_out > 390_000, "{left_out}");
        assert!(queue.take(Notice::Log(MessageType::INFO, line)), "there is room again");
        assert_eq!(drained(&mut queue).len(), 1);
    }
}
