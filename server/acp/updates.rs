//! Events and reports as what the client shows: a plan of phases, tool calls for runs, thoughts, messages.

use crate::agent::task::Report;
use crate::event::{Action, Kind, Measured, Phase, Stage, lines};
use crate::sandbox::Status;
use agent_client_protocol::v1::schema::{
    Content, ContentBlock, ContentChunk, Plan, PlanEntry, PlanEntryPriority, PlanEntryStatus, SessionUpdate,
    TextContent, ToolCall, ToolCallContent, ToolCallStatus, ToolKind,
};
use std::fmt::Write;

pub(super) fn message(text: &str) -> SessionUpdate {
    SessionUpdate::AgentMessageChunk(chunk(text))
}

pub(super) fn thought(text: &str) -> SessionUpdate {
    SessionUpdate::AgentThoughtChunk(chunk(text))
}

fn chunk(text: &str) -> ContentChunk {
    ContentChunk::new(ContentBlock::Text(TextContent::new(text)))
}

/// The phases of a task on their way.
pub(super) struct Progress {
    steps: &'static [(Phase, &'static str)],
    /// How many of them have begun.
    begun: usize,
    runs: usize,
}

const PLANNING: (Phase, &str) = (Phase::Planning, "Plan");
const CODING: (Phase, &str) = (Phase::Coding, "Write");
const TESTING: (Phase, &str) = (Phase::Testing, "Check in the sandbox");
const DEBUGGING: (Phase, &str) = (Phase::Debugging, "Find the cause");

impl Progress {
    pub(super) fn new(action: Action) -> Self {
        let steps: &[_] = match action {
            Action::Plan => &[PLANNING],
            Action::Generate | Action::Tests => &[PLANNING, CODING, TESTING],
            Action::Fix => &[TESTING, DEBUGGING],
            Action::Review | Action::Explain => &[DEBUGGING],
            Action::Run => &[TESTING],
        };
        Self { steps, begun: 0, runs: 0 }
    }

    /// What the client hears of an event.
    pub(super) fn of(&mut self, kind: &Kind) -> Vec<SessionUpdate> {
        let mut updates = Vec::new();
        match kind {
            Kind::Phase { phase, .. } => updates.extend(self.plan(*phase)),
            Kind::Said { text, .. } => return vec![thought(text)],
            Kind::Ran { stage, status, measured, .. } => {
                updates.push(self.run(*stage, *status, measured, kind));
                return updates;
            }
            // The summary says the rest.
            Kind::Ended { phase, .. } => {
                updates.extend(self.plan(*phase));
                return updates;
            }
            _ => {}
        }
        updates.extend(lines::line(kind).map(|line| thought(&format!("\n{line}\n"))));
        updates
    }

    /// The plan once more, when a phase of it begins or all is done.
    fn plan(&mut self, phase: Phase) -> Option<SessionUpdate> {
        self.begun = match self.steps.iter().position(|(step, _)| *step == phase) {
            Some(at) => at + 1,
            None if phase == Phase::Complete => self.steps.len() + 1,
            None => return None,
        };
        let entry = |(at, (_, name)): (usize, &(Phase, &'static str))| {
            let status = match at + 1 {
                past if past < self.begun => PlanEntryStatus::Completed,
                now if now == self.begun => PlanEntryStatus::InProgress,
                _ => PlanEntryStatus::Pending,
            };
            PlanEntry::new(*name, PlanEntryPriority::Medium, status)
        };
        Some(SessionUpdate::Plan(Plan::new(self.steps.iter().enumerate().map(entry).collect())))
    }

    /// A run is told when it has ended, with the end of what it printed.
    fn run(&mut self, stage: Stage, status: Status, measured: &Measured, kind: &Kind) -> SessionUpdate {
        self.runs += 1;
        let when = match stage {
            Stage::Before => "before the edit",
            Stage::After => "after the edit",
        };
        let mut text = lines::line(kind).unwrap_or_default();
        if !measured.output.is_empty() {
            let _ = write!(text, "\n```\n{}\n```", measured.output.trim_end());
        }
        let content = ToolCallContent::Content(Content::new(text));
        let ended = if status == Status::Ok { ToolCallStatus::Completed } else { ToolCallStatus::Failed };
        let call = ToolCall::new(format!("run-{}", self.runs), format!("{} ({when})", measured.command))
            .kind(ToolKind::Execute)
            .status(ended)
            .content(vec![content]);
        SessionUpdate::ToolCall(call)
    }
}

/// How a task ended, in Markdown.
pub(super) fn summary(report: &Report) -> String {
    let mut text = String::new();
    if let Some(words) = report.text.as_ref().filter(|_| report.edits.is_empty()) {
        let _ = writeln!(text, "{words}\n");
    }
    for finding in &report.findings {
        let _ = writeln!(text, "- `{}:{}` {}", finding.path, finding.line, finding.message);
    }
    if !report.findings.is_empty() {
        text.push('\n');
    }
    text.push_str(&report.summary());
    let usage = &report.usage.total;
    let _ =
        write!(text, "\n\n{} calls, {} tokens", usage.calls, usage.prompt_tokens + usage.completion_tokens);
    if usage.cost_usd > 0.0 {
        let _ = write!(text, ", ${:.4}", usage.cost_usd);
    }
    text
}
