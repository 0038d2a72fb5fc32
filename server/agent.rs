//! The agent: the only loop that performs effects. What to do next is decided in `pipeline`, purely.
//!
//! Waiting ends early in one place, [`within`]: dropping the loop closes the model's connection and kills the
//! container, because that is what dropping their futures does.

pub mod check;
pub mod context;
pub mod patch;
pub mod pipeline;
mod report;
pub mod role;
pub mod task;

use crate::event::{Action, Kind, Note, Phase, Stage};
use crate::model::{Agent, Call, Finish, Heard, Message, Model, ModelError, Reply};
use crate::sandbox::{JobFile, Sandbox, SandboxError};
use crate::workspace::{Documents, Snapshot};
use crate::{text, verdict};
use check::{Check, Observation};
use patch::FileChange;
use pipeline::{Ask, End, Run, Seen, Step, Why};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use task::{Plan, Report, Spent, Stop, Task};
use tokio_util::sync::CancellationToken;

/// The outside world, and the user's choices.
pub struct Ports {
    pub model: Arc<dyn Model>,
    pub sandbox: Arc<dyn Sandbox>,
    pub options: Options,
}

/// What the settings say about tasks.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub agents: BTreeMap<Agent, AgentOptions>,
    pub usd_per_task: f64,
    pub tokens_per_task: u64,
    pub time_per_task: Duration,
    pub repair_rounds: u32,
    /// Tokens of workspace text in one call.
    pub context_tokens: u32,
    pub exclude: Vec<String>,
    /// The workspace's check, and those by language.
    pub check: Option<String>,
    pub language_checks: BTreeMap<String, String>,
}

/// One agent's model.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    pub model: String,
    pub temperature: f32,
    pub fallbacks: Vec<String>,
}

/// Where events go. Must not block.
pub type Emit = Arc<dyn Fn(Kind) + Send + Sync>;

/// Tokens an answer may have.
const ANSWER_TOKENS: u32 = 8_192;
/// What a failing check shows to a model at most, in bytes.
const EXCERPT_BYTES: usize = 6_000;

/// Runs a task to its end. Always gives a report; `cancel` ends it at once.
pub async fn run(
    ports: Arc<Ports>,
    task: Task,
    documents: Documents,
    cancel: CancellationToken,
    emit: Emit,
) -> Report {
    emit(Kind::Started { action: task.action, title: task.title() });
    let mut work = Work::new(&ports, &task, &emit);
    let ended = within(&cancel, ports.options.time_per_task, work.drive(documents)).await;
    let report = work.report(ended);
    let mut by_path = BTreeMap::<&str, Vec<_>>::new();
    for finding in &report.findings {
        by_path.entry(&finding.path).or_default().push(finding.clone());
    }
    for (path, findings) in by_path {
        emit(Kind::Found { path: path.into(), findings });
    }
    let message = report.summary();
    emit(Kind::Ended { phase: report.phase, verdict: report.verdict.clone().map(Box::new), message });
    report
}

/// The only place where waiting ends early.
async fn within<T>(
    cancel: &CancellationToken,
    limit: Duration,
    future: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        result = tokio::time::timeout(limit, future) => result.unwrap_or_else(|_| Err(Stop::Budget(format!(
            "the task took longer than {} s; raise `budget.secondsPerTask` or ask for less", limit.as_secs()
        )))),
    }
}

/// A proposal that was checked.
struct Attempt {
    changes: Vec<FileChange>,
    verdict: verdict::Verdict,
    /// The run that decided.
    shown: Observation,
}

/// Everything one task gathers on its way.
struct Work<'a> {
    ports: &'a Ports,
    task: &'a Task,
    emit: &'a Emit,
    run: Run,
    began: Instant,
    /// Random per task: fences workspace text in prompts.
    nonce: String,
    snapshot: Option<Snapshot>,
    check: Option<Check>,
    /// Why nothing can be run.
    unchecked: Option<String>,
    before: Option<Observation>,
    plan: Option<Plan>,
    text: Option<String>,
    findings: Vec<crate::event::Finding>,
    pending: Vec<FileChange>,
    attempts: Vec<Attempt>,
    /// Attempts before this one are not shown to the model any more.
    fresh_from: usize,
    spent: Spent,
    model_time: Duration,
    program_time: Duration,
}

impl<'a> Work<'a> {
    fn new(ports: &'a Ports, task: &'a Task, emit: &'a Emit) -> Self {
        let wish = task.instruction.is_some() || !task.diagnostics.is_empty();
        Self {
            ports,
            task,
            emit,
            run: Run::new(task.action, ports.options.repair_rounds, wish),
            began: Instant::now(),
            nonce: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
            snapshot: None,
            check: None,
            unchecked: None,
            before: None,
            plan: None,
            text: None,
            findings: Vec::new(),
            pending: Vec::new(),
            attempts: Vec::new(),
            fresh_from: 0,
            spent: Spent::default(),
            model_time: Duration::ZERO,
            program_time: Duration::ZERO,
        }
    }

    async fn drive(&mut self, documents: Documents) -> Result<End, Stop> {
        self.open(documents).await?;
        let mut seen = Seen::Began;
        loop {
            seen = match self.run.step(seen) {
                Step::End(end) => return Ok(end),
                Step::Plan(wrong) => self.plan(wrong.as_deref()).await?,
                Step::Answer(agent) => self.answer(agent).await?,
                Step::Observe => self.observe().await,
                Step::Propose(ask) => self.propose(&ask).await?,
                Step::Judge => self.judge().await,
            };
        }
    }

    /// Takes the snapshot and chooses the check.
    async fn open(&mut self, documents: Documents) -> Result<(), Stop> {
        let (root, exclude) = (self.task.root.clone(), self.ports.options.exclude.clone());
        let snapshot = tokio::task::spawn_blocking(move || Snapshot::take(&root, &documents, &exclude))
            .await
            .map_err(|error| Stop::Usage(format!("the workspace could not be read: {error}")))?
            .map_err(|error| Stop::Usage(format!("{} cannot be read: {error}", self.task.root.display())))?;
        if !snapshot.left_out.is_empty() {
            let many = snapshot.left_out.len();
            self.note(
                Note::Warning,
                format!("{many} large files are left out of the sandbox, e.g. {}", snapshot.left_out[0]),
            );
        }
        let options = &self.ports.options;
        let target = self.task.target.as_ref().map(|target| target.path.as_str());
        if let Some(path) = target {
            let creates = matches!(self.task.action, Action::Plan | Action::Generate);
            match snapshot.text(path) {
                Err(crate::workspace::TextError::Missing(_)) if creates => {}
                Err(error) => return Err(Stop::Usage(error.to_string())),
                Ok(_) => {}
            }
        }
        let language =
            target.and_then(crate::sandbox::language::by_path).map(|language| language.name.as_str());
        let workspace =
            language.and_then(|name| options.language_checks.get(name)).or(options.check.as_ref());
        let chosen = if self.task.action == Action::Run {
            check::run_file(&snapshot, target)
        } else {
            check::choose(&snapshot, self.task.check.as_deref(), workspace.map(String::as_str), target)
        };
        match chosen {
            Ok(check) => self.check = Some(check),
            Err(why) => self.unchecked = Some(why),
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().expect("open() came first and set it")
    }

    async fn plan(&mut self, wrong: Option<&str>) -> Result<Seen, Stop> {
        self.phase(Phase::Planning);
        let reply = self
            .ask(Agent::Architect, |brief| brief.plan(wrong), Some(("plan", role::plan_schema())))
            .await?;
        match role::read_plan(&reply.text) {
            Ok(plan) => {
                self.note(
                    Note::Info,
                    format!("✓ Plan created: {} components identified", plan.components.len()),
                );
                self.text = Some(role::plan_markdown(&plan));
                self.plan = Some(plan);
                Ok(Seen::Planned)
            }
            Err(why) => Ok(Seen::NoPlan(why)),
        }
    }

    async fn answer(&mut self, agent: Agent) -> Result<Seen, Stop> {
        self.phase(Phase::Planning);
        let reply = self.ask(agent, |brief| brief.answer(), None).await?;
        if self.task.action == Action::Review {
            self.findings = role::read_findings(&reply.text, self.snapshot());
        }
        self.text = Some(role::prose(&reply.text));
        Ok(Seen::Answered)
    }

    /// Runs the check on the text before any edit.
    async fn observe(&mut self) -> Seen {
        self.phase(Phase::Testing);
        let Some(check) = self.check.clone() else { return Seen::Unchecked };
        match self.execute(&check, &[], Stage::Before).await {
            Ok(before) => {
                self.unchecked =
                    before.missing.as_ref().map(|missing| missing.message.clone()).or(before.error.clone());
                let passes = before.passes();
                self.before = Some(before);
                if self.unchecked.is_some() { Seen::Unchecked } else { Seen::Observed { passes } }
            }
            Err(error) => self.cannot_check(&error),
        }
    }

    fn cannot_check(&mut self, error: &SandboxError) -> Seen {
        self.note(Note::Warning, format!("nothing can be verified: {error}"));
        self.unchecked = Some(error.to_string());
        Seen::Unchecked
    }

    async fn propose(&mut self, ask: &Ask) -> Result<Seen, Stop> {
        let coder = ask.agent == Agent::Coder;
        self.phase(if coder { Phase::Coding } else { Phase::Debugging });
        match &ask.why {
            Why::Fresh => self.fresh_from = self.attempts.len(),
            Why::Refused(why) => self.note(Note::Warning, format!("the answer could not be applied: {why}")),
            Why::First | Why::Repair => {}
        }
        let shown: Vec<_> = self.attempts[self.fresh_from..]
            .iter()
            .map(|attempt| (report::diff(&attempt.changes), attempt.shown.excerpt(EXCERPT_BYTES)))
            .collect();
        let failures: Vec<_> = shown.iter().map(|(diff, output)| role::Failure { diff, output }).collect();
        let reply = self.ask(ask.agent, |brief| brief.propose(ask, &failures), None).await?;
        let changes = match self.read_edits(&reply) {
            Ok(changes) => changes,
            Err(why) => return Ok(Seen::Refused(why)),
        };
        if coder {
            self.note(Note::Info, format!("✓ Code generated: {} files created", changes.len()));
        }
        if self.task.action != Action::Review {
            self.findings = role::read_findings(&reply.text, self.snapshot());
        }
        let image = changes.iter().fold(String::new(), |image, change| {
            text::sha256(format!("{image}\0{}\0{:?}", change.path, change.after).as_bytes())
        });
        self.pending = changes;
        Ok(Seen::Proposed { image })
    }

    /// An answer's edits against the snapshot, or why there are none.
    fn read_edits(&self, reply: &Reply) -> Result<Vec<FileChange>, String> {
        match reply.finish {
            Finish::Stop => {}
            Finish::Length => return Err("it was cut off at the length limit; answer more briefly".into()),
            _ => return Err("it did not end properly".into()),
        }
        let blocks = patch::parse(&reply.text).map_err(|refusal| refusal.to_string())?;
        if blocks.is_empty() {
            return Err("it contains no edit block".into());
        }
        let snapshot = self.snapshot();
        for path in blocks.iter().flat_map(patch::Block::paths) {
            let path = patch::check_path(path).map_err(|refusal| refusal.to_string())?;
            snapshot.may_edit(&path).map_err(|error| error.to_string())?;
            match snapshot.text(&path) {
                Ok(_) | Err(crate::workspace::TextError::Missing(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let original =
            |path: &str| snapshot.text(path).ok().map(|text| patch::Original { text: text.to_owned() });
        patch::apply(&blocks, &original).map_err(|refusal| refusal.to_string())
    }

    /// Runs the check on the proposal, as often as the verdict needs.
    async fn judge(&mut self) -> Seen {
        self.phase(Phase::Testing);
        let (Some(check), Some(before)) = (self.check.clone(), self.before.clone()) else {
            return Seen::Unchecked;
        };
        let changes = std::mem::take(&mut self.pending);
        match self.evidence(&check, &before, &changes).await {
            Ok((verdict, shown)) => {
                let level = verdict.level;
                if let Some(missing) = shown.missing.as_ref().filter(|_| level == verdict::Level::Unverified)
                {
                    self.note(Note::Warning, missing.message.clone());
                }
                self.attempts.push(Attempt { changes, verdict, shown });
                Seen::Judged(level)
            }
            Err(error) => {
                self.pending = changes;
                self.cannot_check(&error)
            }
        }
    }

    /// The proposal is judged by tests and runner settings it did not write: what it changed of them is put back
    /// first. Only then is it run as a whole.
    async fn evidence(
        &mut self,
        check: &Check,
        before: &Observation,
        changes: &[FileChange],
    ) -> Result<(verdict::Verdict, Observation), SandboxError> {
        let (protected, free): (Vec<_>, Vec<_>) =
            changes.iter().cloned().partition(|change| check.protects(&change.path));
        let after =
            if free.is_empty() { before.clone() } else { self.execute(check, &free, Stage::After).await? };
        let stands = after.passes() || free.is_empty() || !before.passes();
        let own = match protected.is_empty() {
            false if stands => Some(self.execute(check, changes, Stage::After).await?),
            _ => None,
        };
        let added: Vec<_> = protected.into_iter().filter(|change| change.before.is_none()).collect();
        let bare = match own.as_ref().is_some_and(Observation::passes) && !added.is_empty() {
            true => Some(self.execute(check, &added, Stage::Before).await?),
            false => None,
        };
        let decisive = own.as_ref().unwrap_or(&after);
        let again = match decisive.passes() {
            true if own.is_some() => Some(self.execute(check, changes, Stage::After).await?),
            true => Some(self.execute(check, &free, Stage::After).await?),
            false => None,
        };
        let verdict = check::judge(&check::Evidence {
            check,
            before,
            bare: bare.as_ref(),
            after: &after,
            own: own.as_ref(),
            again: again.as_ref(),
            changes,
            rounds: self.run.attempt(),
            limits: self.ports.sandbox.limits(),
        });
        let shown = if after.passes() || free.is_empty() { own.unwrap_or(after) } else { after };
        Ok((verdict, shown))
    }

    /// Runs the check on the snapshot with `changes` on top.
    async fn execute(
        &mut self,
        check: &Check,
        changes: &[FileChange],
        stage: Stage,
    ) -> Result<Observation, SandboxError> {
        let job = check.job(&self.task.id, self.files(changes));
        let outcome = self.ports.sandbox.run(job).await?;
        self.program_time += Duration::from_millis(outcome.duration_ms);
        let observation = check.observe(&outcome);
        (self.emit)(Kind::Ran {
            stage,
            status: outcome.status,
            exit_code: outcome.exit_code,
            tests: observation.observed.tests,
        });
        Ok(observation)
    }

    fn files(&self, changes: &[FileChange]) -> Vec<JobFile> {
        let snapshot = self.snapshot();
        let mut files: BTreeMap<&str, JobFile> = snapshot
            .files()
            .iter()
            .map(|(path, file)| {
                (
                    path.as_str(),
                    JobFile { path: path.clone(), bytes: file.bytes.clone(), executable: file.executable },
                )
            })
            .collect();
        for change in changes {
            match &change.after {
                None => {
                    files.remove(change.path.as_str());
                }
                Some(text) => {
                    let executable = files.get(change.path.as_str()).is_some_and(|file| file.executable);
                    let bytes = text.as_bytes().into();
                    files.insert(&change.path, JobFile { path: change.path.clone(), bytes, executable });
                }
            }
        }
        files.into_values().collect()
    }

    /// Asks an agent, within the budget.
    async fn ask(
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
        let context =
            context::gather(self.snapshot(), self.task, &pointed_at, self.ports.options.context_tokens);
        if !context.masked.is_empty() {
            self.note(
                Note::Warning,
                format!("something like a key was masked in {}", context.masked.join(", ")),
            );
        }
        let plan = match &self.task.plan {
            Some(plan) => Some(plan.as_str()),
            None => self.text.as_deref().filter(|_| self.plan.is_some()),
        };
        prompt(&role::Brief {
            task: self.task,
            files: &context.render(&self.nonce),
            plan,
            before: before.map(|before| before.excerpt(EXCERPT_BYTES)).as_deref(),
            nonce: &self.nonce,
        })
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

    fn phase(&self, phase: Phase) {
        (self.emit)(Kind::Phase { phase, percent: phase.percent(), attempt: self.run.attempt() });
    }

    fn note(&self, level: Note, text: String) {
        (self.emit)(Kind::Noted { level, text });
    }
}
