//! Asks the agents, within the budget, and reads the edits in their answers.

use super::budget::{self, Tally};
use super::mask::Masks;
use super::task::{Asked, Stop};
use super::{AgentOptions, EXCERPT_BYTES, Work, context, patch, role, with_panics};
use crate::event::{Finding, Kind, Note};
use crate::model::{Agent, Call, Finish, Heard, Message, Reply, Usage, price};
use crate::workspace::{Snapshot, TextError};
use patch::FileChange;
use std::borrow::Cow;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a silent model is told of.
const BETWEEN_WAITS: Duration = Duration::from_secs(1);

impl Work<'_> {
    /// Asks an agent, within the budget.
    pub(super) async fn ask(
        &mut self,
        agent: Agent,
        prompt: impl FnOnce(&role::Brief) -> Vec<Message>,
        schema: Option<(&'static str, serde_json::Value)>,
    ) -> Result<Reply, Stop> {
        let options = self.options(agent);
        let room = self.room(&options.model).await;
        let (messages, stable) = self.brief(prompt, room.files).await;
        let prompt = messages.iter().map(|message| price::tokens(&message.content)).sum();
        let models = std::iter::once(&options.model).chain(&options.fallbacks);
        let prices: Vec<_> = models.filter_map(|model| self.ports.model.price(model)).collect();
        let limit = &self.ports.options;
        let usd = self.task.usd.unwrap_or(limit.usd_per_task);
        let max_tokens =
            budget::answer_tokens(limit.tokens_per_task, usd, &self.spent.total, prompt, &prices)
                .map_err(Stop::Budget)?;
        let price = self.ports.model.price(&options.model);
        let call = Call {
            agent,
            model: options.model,
            fallbacks: options.fallbacks,
            temperature: options.temperature,
            max_tokens: max_tokens.min(room.answer),
            messages,
            schema,
            stable,
            session: self.task.id.clone(),
        };
        let tally = Arc::new(Tally::of(call, price));
        let Call { model, messages, .. } = &tally.call;
        self.asked = Some(Asked { agent, model: model.clone(), messages: messages.clone() });
        self.underway = Some(tally.clone());
        let asked = Instant::now();
        let reply = self.listen(&tally).await;
        self.model_time += asked.elapsed();
        if let Ok(reply) = &reply {
            self.notice_cut(&tally.call.messages, reply);
        }
        self.settle(reply.as_ref().ok().map(|reply| reply.usage));
        (self.emit)(Kind::Usage { usage: self.spent.total });
        reply
    }

    /// The agent's model, or the next one after a fresh start.
    fn options(&self, agent: Agent) -> AgentOptions {
        let of = |agent| self.ports.options.agents.get(&agent).cloned().unwrap_or_default();
        if self.afresh { of(agent).another(&of(Agent::Architect).model) } else { of(agent) }
    }

    /// Waits for the answer, tells what is heard of it, and ends it when it is longer than was granted.
    async fn listen(&self, tally: &Arc<Tally>) -> Result<Reply, Stop> {
        let agent = tally.call.agent;
        let mut ear = {
            let (emit, tally) = (self.emit.clone(), tally.clone());
            move |heard: Heard<'_>| {
                tally.hear(&heard);
                if let Some(kind) = told(agent, heard) {
                    emit(kind);
                }
            }
        };
        let mut answer = pin!(self.ports.model.complete(&tally.call, &mut ear));
        let mut ticks = tokio::time::interval(BETWEEN_WAITS);
        loop {
            tokio::select! {
                biased;
                reply = &mut answer => {
                    return reply.map_err(Stop::from);
                }
                () = tally.over.notified() => return Err(Stop::Budget(format!(
                    "the {} wrote more than the {} tokens that were left for it; raise `budget.tokensPerTask` or \
                     `budget.usdPerTask`, or choose a model that keeps to max_tokens",
                    agent.name(), tally.call.max_tokens
                ))),
                _ = ticks.tick() => {
                    let seconds = tally.silence().as_secs_f64().round() as u64;
                    if seconds > 0 {
                        (self.emit)(Kind::Waiting { agent, seconds });
                    }
                }
            }
        }
    }

    /// Adds what the call under way has cost: as told, else estimated.
    pub(super) fn settle(&mut self, told: Option<Usage>) {
        if let Some(tally) = self.underway.take() {
            self.spent.add(tally.call.agent, tally.spent(told));
        }
    }

    /// The messages, and how much of the last one stays the same in the next call.
    async fn brief(
        &mut self,
        prompt: impl FnOnce(&role::Brief) -> Vec<Message>,
        files: u32,
    ) -> (Vec<Message>, usize) {
        let before = self.before.as_ref().filter(|before| !before.passes());
        let before = before.map(|before| (before.excerpt(EXCERPT_BYTES), before.findings(self.snapshot())));
        let plan = match &self.task.plan {
            Some(plan) => Some(plan.clone()),
            None => self.text.clone().filter(|_| self.plan.is_some()),
        };
        let output = before.as_ref().map_or("", |(output, _)| output);
        let beside = role::said(self.task, plan.as_deref()) + price::tokens(output);
        let findings = before.as_ref().map_or(&[][..], |(_, findings)| findings);
        let mut context = self.context(output, findings, files.saturating_sub(beside as u32)).await;
        let nonce = &self.task.nonce;
        let mut masks = self.masks();
        context.hide(&mut masks);
        if let Some(news) = masks.news() {
            self.note(Note::Warning, news);
        }
        let files = context.render(nonce);
        let mut messages = prompt(&role::Brief {
            task: self.task,
            files: &files,
            plan: plan.as_deref(),
            before: before.as_ref().map(|(output, _)| output.as_str()),
            nonce,
        });
        masks.hide_in(&mut messages);
        // The files may hold a secret that was not known yet when they were chosen: they may have grown or shrunk.
        let files = masks.hide(&files);
        let stable =
            messages.last().filter(|last| last.content.starts_with(&files)).map_or(0, |_| files.len());
        (messages, stable)
    }

    /// Chooses what is shown of the workspace, beside the threads that wait for networks.
    async fn context(&self, output: &str, findings: &[Finding], tokens: u32) -> context::Context {
        let place = |path: &str, line| (path.to_owned(), line);
        let places = findings.iter().flat_map(|finding| {
            let frames = finding.related.iter().map(move |frame| place(&frame.path, frame.line));
            std::iter::once(place(&finding.path, finding.line)).chain(frames)
        });
        let clues = context::Clues { places: places.collect(), output: output.to_owned() };
        let (snapshot, task, names) = (self.snapshot().clone(), self.task.clone(), self.names.clone());
        let is_first = self.names.get().is_none();
        let gathered =
            tokio::task::spawn_blocking(move || context::gather(&snapshot, &task, &clues, &names, tokens));
        let context = with_panics(gathered.await).unwrap_or_default();
        if let Some(index) = self.names.get().filter(|index| is_first && index.unread > 0) {
            let (read, all) = (index.files.len(), index.files.len() + index.unread);
            self.note(
                Note::Info,
                format!(
                    "the repository map knows {read} of {all} files so far; the next task goes on from there"
                ),
            );
        }
        context
    }

    /// An answer's edits against the snapshot, or why there are none. Large answers and files take their time, so
    /// beside the threads that wait for networks.
    pub(super) async fn read_edits(&self, reply: &Reply) -> Result<Vec<FileChange>, String> {
        match reply.finish {
            Finish::Stop => {}
            Finish::Length => return Err("it was cut off at the length limit; answer more briefly".into()),
            _ => return Err("it did not end properly".into()),
        }
        let (text, masks, snapshot) = (reply.text.clone(), self.masks().clone(), self.snapshot().clone());
        let read = tokio::task::spawn_blocking(move || edits(&text, &masks, &snapshot)).await;
        with_panics(read).unwrap_or_else(|| Err("the server is about to end".into()))
    }
}

fn edits(answer: &str, masks: &Masks, snapshot: &Snapshot) -> Result<Vec<FileChange>, String> {
    let blocks = patch::parse(&with_marked_paths(answer, snapshot)).map_err(|refusal| refusal.to_string())?;
    let restored = blocks.into_iter().map(|block| block.with_texts(&|text| masks.restore(text)));
    let blocks = restored.collect::<Result<Vec<_>, _>>()?;
    if blocks.is_empty() {
        return Err("it contains no edit block".into());
    }
    for path in blocks.iter().flat_map(patch::Block::paths) {
        let path = patch::check_path(path).map_err(|refusal| refusal.to_string())?;
        snapshot.may_edit(&path).map_err(|error| error.to_string())?;
        match snapshot.text(&path) {
            Ok(_) | Err(TextError::Missing(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let original =
        |path: &str| snapshot.text(path).ok().map(|text| patch::Original { text: text.to_string() });
    patch::apply(&blocks, &original).map_err(|refusal| refusal.to_string())
}

/// `answer` with backticks around each line above a block that is the path of a file with blanks in it: only who knows
/// the files can tell it from a sentence.
fn with_marked_paths<'a>(answer: &'a str, snapshot: &Snapshot) -> Cow<'a, str> {
    let spaced: HashSet<&str> = snapshot.paths().filter(|path| path.contains(' ')).collect();
    if spaced.is_empty() {
        return answer.into();
    }
    let mut lines = answer.lines().peekable();
    let mut out = String::with_capacity(answer.len() + 2);
    while let Some(line) = lines.next() {
        let above = lines
            .peek()
            .is_some_and(|next| ["```", "~~~", "<<<<<<<"].iter().any(|mark| next.starts_with(mark)));
        match line.trim() {
            path if above && spaced.contains(path) => out.extend(["`", path, "`\n"]),
            _ => out.extend([line, "\n"]),
        }
    }
    out.into()
}

/// What users are told of what is heard.
fn told(agent: Agent, heard: Heard<'_>) -> Option<Kind> {
    let warning = |text| Some(Kind::Noted { level: Note::Warning, text });
    match heard {
        Heard::Text(text) => Some(Kind::Said { agent, text: text.into() }),
        Heard::Retry { why, after } => warning(format!(
            "the {}'s model {why}; trying again in {:.1} s",
            agent.name(),
            after.as_secs_f64()
        )),
        Heard::Fallback { from, to, why } => warning(format!("{from} failed ({why}); asking {to} instead")),
        Heard::Unlisted { model, server, meant } => {
            let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
            warning(format!("{server} does not list a model {model}{meant}"))
        }
        Heard::StoodIn { asked, by } => warning(format!("{by} answered in place of {asked}")),
        Heard::Lost(_) => None,
    }
}
