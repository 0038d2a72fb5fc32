//! Asks the agents, within the budget, and reads the edits in their answers.

use super::task::Stop;
use super::{EXCERPT_BYTES, Work, context, patch, role};
use crate::event::{Kind, Note};
use crate::model::{Agent, Call, Finish, Heard, Message, ModelError, Reply};
use crate::workspace::TextError;
use patch::FileChange;
use std::time::Instant;

/// Tokens an answer may have.
const ANSWER_TOKENS: u32 = 8_192;

impl Work<'_> {
    /// Asks an agent, within the budget.
    pub(super) async fn ask(
        &mut self,
        agent: Agent,
        prompt: impl FnOnce(&role::Brief) -> Vec<Message>,
        schema: Option<(&'static str, serde_json::Value)>,
    ) -> Result<Reply, Stop> {
        let options = self.ports.options.agents.get(&agent).cloned().unwrap_or_default();
        let messages = self.brief(prompt);
        self.afford(&messages)?;
        let call = Call {
            agent,
            model: options.model,
            fallbacks: options.fallbacks,
            temperature: options.temperature,
            max_tokens: ANSWER_TOKENS,
            messages,
            schema,
            session: self.task.id.clone(),
        };
        let emit = self.emit.clone();
        let mut heard = move |heard: Heard<'_>| {
            emit(match heard {
                Heard::Text(text) => Kind::Said { agent, text: text.into() },
                Heard::Retry { why, after } => Kind::Noted {
                    level: Note::Warning,
                    text: format!("{why}; trying again in {:.1} s", after.as_secs_f64()),
                },
                Heard::Fallback { from, to, why } => Kind::Noted {
                    level: Note::Warning,
                    text: format!("{from} failed ({why}); asking {to} instead"),
                },
            });
        };
        let asked = Instant::now();
        let reply = self.ports.model.complete(&call, &mut heard).await;
        self.model_time += asked.elapsed();
        let reply = reply.map_err(|error: ModelError| Stop::Model(error.to_string()))?;
        self.spent.add(agent, reply.usage);
        (self.emit)(Kind::Usage { usage: self.spent.total });
        Ok(reply)
    }

    fn brief(&self, prompt: impl FnOnce(&role::Brief) -> Vec<Message>) -> Vec<Message> {
        let before = self.before.as_ref().filter(|before| !before.passes());
        let pointed_at: Vec<String> = before
            .map(|before| before.findings(self.snapshot()))
            .unwrap_or_default()
            .iter()
            .flat_map(|finding| {
                std::iter::once(finding.path.clone())
                    .chain(finding.related.iter().map(|frame| frame.path.clone()))
            })
            .collect();
        let mut context =
            context::gather(self.snapshot(), self.task, &pointed_at, self.ports.options.context_tokens);
        let nonce = &self.task.nonce;
        let mut masks = self.masks();
        context.hide(&mut masks);
        if let Some(news) = masks.news() {
            self.note(Note::Warning, news);
        }
        let plan = match &self.task.plan {
            Some(plan) => Some(plan.as_str()),
            None => self.text.as_deref().filter(|_| self.plan.is_some()),
        };
        let mut messages = prompt(&role::Brief {
            task: self.task,
            files: &context.render(nonce),
            plan,
            before: before.map(|before| before.excerpt(EXCERPT_BYTES)).as_deref(),
            nonce,
        });
        masks.hide_in(&mut messages);
        messages
    }

    /// Refuses a call that the budget does not cover.
    fn afford(&self, messages: &[Message]) -> Result<(), Stop> {
        let options = &self.ports.options;
        let spent = &self.spent.total;
        let used = spent.prompt_tokens + spent.completion_tokens;
        let prompt: u64 = messages.iter().map(|message| context::tokens(&message.content)).sum();
        if spent.cost_usd >= options.usd_per_task {
            return Err(Stop::Budget(format!(
                "the task has cost ${:.4}, its budget is ${:.2}; raise `budget.usdPerTask` to go on",
                spent.cost_usd, options.usd_per_task
            )));
        }
        if used + prompt > options.tokens_per_task {
            return Err(Stop::Budget(format!(
                "the next call needs about {prompt} tokens, {used} of {} are used; raise `budget.tokensPerTask` to go on",
                options.tokens_per_task
            )));
        }
        Ok(())
    }

    /// An answer's edits against the snapshot, or why there are none.
    pub(super) fn read_edits(&self, reply: &Reply) -> Result<Vec<FileChange>, String> {
        match reply.finish {
            Finish::Stop => {}
            Finish::Length => return Err("it was cut off at the length limit; answer more briefly".into()),
            _ => return Err("it did not end properly".into()),
        }
        let masks = self.masks();
        let blocks = patch::parse(&reply.text).map_err(|refusal| refusal.to_string())?;
        let restored = blocks.into_iter().map(|block| block.with_texts(&|text| masks.restore(text)));
        let blocks = restored.collect::<Result<Vec<_>, _>>()?;
        if blocks.is_empty() {
            return Err("it contains no edit block".into());
        }
        let snapshot = self.snapshot();
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
}
