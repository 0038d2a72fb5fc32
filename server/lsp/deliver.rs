//! What a finished task brings to the user, and what they say to it (CONTRACT §3).

use super::session::{Offer, document_key};
use super::to_proto;
use super::{MessageType, Server, host};
use crate::agent::patch::FileChange;
use crate::agent::task::{Report, State, Stop, Task};
use crate::config::quiet::is_within;
use crate::event::{Action, Phase};
use crate::journal::{Decision, Journal};
use crate::text;
use crate::verdict::Level;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tower_lsp::lsp_types::{MessageActionItem, ShowMessageRequestParams, request};

/// `opendevagent/review`.
enum Review {}

impl request::Request for Review {
    type Params = Value;
    type Result = Value;
    const METHOD: &'static str = "opendevagent/review";
}

impl Server {
    /// Tells the user how a task ended, by what the client can do.
    pub(super) async fn deliver(&self, id: &str) {
        let Some((task, report)) = self.ended(id) else { return };
        let level = report.level();
        let wanted = self.session().tasks.get_mut(id).and_then(|entry| entry.wanted.take());
        if report.stop.is_some() && !report.proposal.changes.is_empty() {
            self.withdraw(id, task, &report, wanted.is_some()).await;
            return;
        }
        if wanted.is_some_and(|seen| report.is_as_good(seen)) {
            if self.session().editor.apply_edit {
                self.apply(id).await;
            } else {
                let again =
                    format!("{}: the edits fit your text as it is now; apply them once more", task.title());
                self.show(MessageType::INFO, again);
            }
            return;
        }
        // From here on the user decides anew.
        self.session().tasks.get_mut(id).into_iter().for_each(|entry| entry.moves = 0);
        if report.proposal.changes.is_empty() {
            // The plan behind a proposal is shown on request alone.
            if report.action == Action::Plan && self.show_plan(id, false).await {
                return;
            }
            if report.text.is_some() {
                self.show_text(id, &format!("{}.md", report.action.name()), false).await;
            }
            self.tell_end(&task, &report);
            return;
        }
        let editor = self.session().editor.clone();
        if level == Some(Level::Failing) {
            if editor.ends || self.is_quiet(&task) {
                return;
            }
            self.warn(format!("{}: {}", task.title(), report.summary()));
        } else if editor.review {
            self.ask_for_review(id, &task, &report).await;
        } else if editor.message_request && !self.is_quiet(&task) {
            self.ask_by_message(id, &task, &report).await;
        }
    }

    /// The edits of a task that was stopped: they do not fit any more, or it is not known whether they do.
    async fn withdraw(&self, id: &str, task: Task, report: &Report, wanted: bool) {
        let Some(Stop::Stale(why)) = &report.stop else { return self.tell_end(&task, report) };
        self.decided(id, Decision::Stale);
        self.step_is(id, State::Open);
        // Who asked for it is told at any hour.
        if !self.session().editor.ends && (wanted || !self.is_quiet(&task)) {
            self.offer_again(id, task, why).await;
        }
    }

    /// A task without edits: the user hears of it when something went wrong or nothing else was shown.
    fn tell_end(&self, task: &Task, report: &Report) {
        match (report.phase, &report.stop) {
            (_, Some(Stop::Cancelled)) => {}
            _ if self.session().editor.ends || self.is_quiet(task) => {}
            (Phase::Failed, _) => self.show(MessageType::ERROR, report.summary()),
            _ if report.text.is_none() => self.show(MessageType::INFO, report.summary()),
            _ => {}
        }
    }

    /// Whether the user wants no message of an end now. What a result is delivered by (a document, a review, the code
    /// action) is none.
    pub(super) fn is_quiet(&self, task: &Task) -> bool {
        let known = self.session().workshops.get(&task.root).map(|workshop| workshop.quiet_hours());
        let hours = known.unwrap_or_else(|| self.load(Some(&task.root)).settings.notify.quiet_hours);
        hours.is_some_and(|hours| is_within(&hours, host::minute_of_day()) == Some(true))
    }

    async fn ask_for_review(&self, id: &str, task: &Task, report: &Report) {
        let answer = self.client.send_request::<Review>(self.proposal(task, report)).await;
        match answer.as_ref().ok().and_then(|answer| answer.get("decision")?.as_str()) {
            Some("apply") => self.apply(id).await,
            Some("discard") => self.discard(id),
            // Later, no answer, or one we do not know: the code action stands.
            _ => {}
        }
    }

    /// What a client needs to show a proposal.
    pub(super) fn proposal(&self, task: &Task, report: &Report) -> Value {
        let files: Vec<Value> = {
            let session = self.session();
            let file = |change: &FileChange| {
                let uri = to_proto::uri(&session.documents, &document_key(&task.root, &change.path))?;
                let (before, after) = (change.before.as_deref(), change.after.as_deref());
                let diff = text::unified(&change.path, before, after);
                Some(json!({"uri": uri, "before": before, "after": after, "diff": diff}))
            };
            report.proposal.changes.iter().filter_map(|change| file(&change.file)).collect()
        };
        json!({"task": task.id, "title": task.title(), "verdict": report.verdict, "files": files})
    }

    async fn ask_by_message(&self, id: &str, task: &Task, report: &Report) {
        let message = format!("{}: {}", task.title(), report.summary());
        match self.ask(MessageType::INFO, message, &["Apply", "Show diff", "Discard"]).await.as_deref() {
            Some("Apply") => self.apply(id).await,
            // The code action stands: asking again at once would cover the diff in Neovim.
            Some("Show diff") => drop(self.show_diff(id).await),
            Some("Discard") => self.discard(id),
            _ => {}
        }
    }

    /// `window/showMessageRequest`; the title that was chosen.
    pub(super) async fn ask(&self, typ: MessageType, message: String, titles: &[&str]) -> Option<String> {
        let item =
            |title: &&str| MessageActionItem { title: (*title).into(), properties: HashMap::default() };
        let actions = Some(titles.iter().map(item).collect());
        let params = ShowMessageRequestParams { typ, message, actions };
        let answer = self.client.send_request::<request::ShowMessageRequest>(params).await;
        answer.ok().flatten().map(|item| item.title)
    }

    pub(super) fn discard(&self, id: &str) {
        if self.move_offer(id, Offer::Standing, Offer::Discarded) {
            self.decided(id, Decision::Discarded);
        }
        self.clear_findings(self.session(), id);
        self.note(id, "Discarded".into());
        self.step_is(id, State::Open);
    }

    /// Has the journal write down what became of a proposal.
    pub(super) fn decided(&self, id: &str, decision: Decision) {
        if let Some((task, report)) = self.ended(id) {
            self.decide(&task, report, decision);
        }
    }

    pub(super) fn decide(&self, task: &Task, report: Arc<Report>, decision: Decision) {
        let Ok(workshop) = self.workshop(&task.root) else { return };
        let server = self.clone();
        self.work.spawn(async move {
            server.write_down(&workshop.connected.journal, &report, decision).await;
        });
    }

    pub(super) async fn write_down(&self, journal: &Journal, report: &Report, decision: Decision) {
        if let Err(why) = journal.decided(report, decision).await {
            self.note(&report.task, format!("not written down: {why}"));
        }
    }

    pub(super) async fn offer_again(&self, id: &str, task: Task, why: &str) {
        let message = format!("{}: nothing was applied, {why}", task.title());
        let (can_ask, key) = {
            let session = self.session();
            (session.editor.message_request, session.tasks.get(id).map(|entry| entry.key.clone()))
        };
        if !can_ask {
            self.warn(message);
            return;
        }
        let again = self.ask(MessageType::WARNING, message, &["Run again"]).await;
        if let (Some("Run again"), Some(key)) = (again.as_deref(), key) {
            self.begin(task.anew(), key, None);
        }
    }

    /// A task that has ended, with its report.
    pub(super) fn ended(&self, id: &str) -> Option<(Task, Arc<Report>)> {
        let session = self.session();
        let entry = session.tasks.get(id)?;
        Some((entry.task.clone(), entry.report.clone()?))
    }

    pub(super) fn move_offer(&self, id: &str, from: Offer, to: Offer) -> bool {
        let mut session = self.session();
        let entry = session.tasks.get_mut(id).filter(|entry| entry.offer == from);
        entry.map(|entry| entry.offer = to).is_some()
    }
}
