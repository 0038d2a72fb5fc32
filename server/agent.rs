//! The agent: the only loop that performs effects. What to do next is decided in `pipeline`, purely.
//!
//! Waiting ends early in one place, [`within`]: dropping the loop closes the model's connection and kills the
//! container, because that is what dropping their futures does.

mod ask;
mod attempt;
mod blind;
mod budget;
mod carry;
pub mod check;
pub mod complete;
pub mod context;
pub mod dependencies;
mod mask;
mod observe;
pub mod patch;
pub mod pipeline;
pub mod plan;
mod report;
pub mod role;
mod room;
pub mod task;

use crate::event::discreet::Discreet;
use crate::event::{Action, Kind, Note, Phase};
use crate::model::redact::redact;
use crate::model::{Agent, Model, Window};
use crate::sandbox::Sandbox;
use crate::sandbox::setup::Setup;
use crate::text;
use crate::verdict::CheckSource;
use crate::workspace::{Buffers, Documents, Snapshot};
use attempt::Attempt;
use check::{Check, Observation};
use mask::Masks;
use patch::FileChange;
use pipeline::{Ask, End, Run, Seen, Step, Why};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use task::{Asked, Plan, Report, Spent, Stop, Task};
use tokio_util::sync::CancellationToken;

/// The outside world, and the user's choices.
pub struct Ports {
    pub model: Arc<dyn Model>,
    pub sandbox: Arc<dyn Sandbox>,
    /// Asks the user before anything is installed.
    pub consent: dependencies::Consent,
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
    /// The user's command that installs a project's dependencies; `off`: none.
    pub setup: Option<String>,
}

/// One agent's model.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    pub model: String,
    pub temperature: f32,
    pub fallbacks: Vec<String>,
}

impl AgentOptions {
    /// The agent with another model in front of its own: its first fallback, else `architect`.
    fn another(mut self, architect: &str) -> Self {
        let at = self.fallbacks.iter().position(|name| *name != self.model);
        let other = at.map_or_else(|| architect.to_owned(), |at| self.fallbacks.remove(at));
        if other != self.model {
            let first = std::mem::replace(&mut self.model, other);
            self.fallbacks.insert(0, first);
        }
        self
    }
}

/// Where events go. Must not block.
pub type Emit = Arc<dyn Fn(Kind) + Send + Sync>;

/// Files whose values are hidden wherever else they stand.
const ENV_FILES: [&str; 2] = [".env", ".env.local"];
const ENV_BYTES: u64 = 64 << 10;
/// What a failing check shows to a model at most, in bytes.
const EXCERPT_BYTES: usize = 6_000;

/// The values in a workspace's `.env` files that may be secret.
pub fn environment(root: &Path) -> Vec<String> {
    let values = |name: &str| {
        let path = root.join(name);
        // Most workspaces have none; what is no small file has no values to learn.
        let is_small = std::fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= ENV_BYTES);
        let text = if is_small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        mask::values(&String::from_utf8_lossy(&text))
    };
    ENV_FILES.into_iter().flat_map(values).collect()
}

/// Hides in all that is known of a task what a model is not shown either: `secrets` of its workspace, and what its texts
/// call one.
pub fn veil(value: &mut serde_json::Value, secrets: &[String]) {
    crate::model::redact::each_text(value, &|text| *text = mask::veil(text, secrets));
}

/// Runs a task to its end. Always gives a report; `cancel` ends it at once.
pub async fn run(
    ports: Arc<Ports>,
    task: Task,
    buffers: Buffers,
    cancel: CancellationToken,
    emit: Emit,
) -> Report {
    let emit = discreet(emit);
    emit(Kind::Started { action: task.action, title: task.title() });
    let mut work = Work::new(&ports, &task, &emit, buffers.now);
    let ended = within(&cancel, ports.options.time_per_task, work.drive(buffers.then)).await;
    let mut report = work.report(ended);
    report.hide_keys();
    let mut by_path = BTreeMap::<&str, Vec<_>>::new();
    for finding in &report.findings {
        by_path.entry(&finding.path).or_default().push(finding.clone());
    }
    for (path, findings) in by_path {
        emit(Kind::Found { path: path.into(), findings });
    }
    emit(report.ended());
    report
}

/// Passes events on without what looks like a key.
fn discreet(emit: Emit) -> Emit {
    let discreet = Mutex::new(Discreet::default());
    Arc::new(move |kind| {
        let kinds = discreet.lock().unwrap_or_else(PoisonError::into_inner).pass(kind);
        kinds.for_each(|kind| emit(kind));
    })
}

/// What work beside the threads that wait for networks gave, its panic included; `None`: the program is about to end.
fn with_panics<T>(done: Result<T, tokio::task::JoinError>) -> Option<T> {
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => Some(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
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

/// Everything one task gathers on its way.
struct Work<'a> {
    ports: &'a Ports,
    task: &'a Task,
    emit: &'a Emit,
    /// The buffers as they are now.
    now: Arc<dyn Fn() -> Documents + Send + Sync>,
    run: Run,
    began: Instant,
    masks: Mutex<Masks>,
    /// What the server on this machine said last.
    window: Option<Window>,
    snapshot: Option<Snapshot>,
    /// What is in its files, read when first asked.
    names: context::Names,
    check: Option<Check>,
    /// Why nothing can be run.
    unchecked: Option<String>,
    /// The sandbox failed, so no check can.
    no_sandbox: bool,
    before: Option<Observation>,
    /// What the workspace needs installed, and the image that has it.
    setup: Option<Setup>,
    image: Option<String>,
    plan: Option<Plan>,
    text: Option<String>,
    findings: Vec<crate::event::Finding>,
    pending: Vec<FileChange>,
    /// Tests written without sight of a proposal, and their run without one.
    blind: Option<blind::Tests>,
    attempts: Vec<Attempt>,
    /// Attempts before this one are not shown to the model any more.
    fresh_from: usize,
    /// Attempts before this one were for another text.
    stands_from: usize,
    /// The edits as they were last held against the texts, and whether those had changed.
    carried: Vec<FileChange>,
    moved: bool,
    /// Another model than each agent's first is asked.
    afresh: bool,
    spent: Spent,
    /// The last question.
    asked: Option<Asked>,
    /// The call that is not settled yet.
    underway: Option<Arc<budget::Tally>>,
    model_time: Duration,
    program_time: Duration,
}

impl<'a> Work<'a> {
    fn new(
        ports: &'a Ports,
        task: &'a Task,
        emit: &'a Emit,
        now: Arc<dyn Fn() -> Documents + Send + Sync>,
    ) -> Self {
        let given = task.given.as_deref();
        let proposed = given.into_iter().flat_map(|given| &given.proposal.changes);
        let pending: Vec<_> = proposed.map(|change| change.file.clone()).collect();
        let wish = task.instruction.is_some() || !task.diagnostics.is_empty();
        Self {
            ports,
            task,
            emit,
            now,
            run: Run::new(task.action, ports.options.repair_rounds, wish)
                .following(task.plan.is_some())
                .after(given.map_or(0, |given| given.rounds)),
            began: Instant::now(),
            masks: Mutex::new(Masks::new(&task.nonce)),
            window: None,
            snapshot: None,
            names: context::Names::default(),
            check: None,
            unchecked: None,
            no_sandbox: false,
            before: None,
            setup: None,
            image: None,
            plan: None,
            text: None,
            findings: Vec::new(),
            blind: None,
            attempts: Vec::new(),
            fresh_from: 0,
            stands_from: 0,
            carried: pending.clone(),
            pending,
            moved: false,
            afresh: false,
            spent: Spent::default(),
            asked: None,
            underway: None,
            model_time: Duration::ZERO,
            program_time: Duration::ZERO,
        }
    }

    async fn drive(&mut self, documents: Documents) -> Result<End, Stop> {
        self.open(documents).await?;
        let mut seen = Seen::Began;
        if self.task.given.is_some() {
            let given = self.pending.clone();
            self.choose_generated(&given);
            seen = self.compare().await?;
        }
        loop {
            seen = match self.run.step(seen) {
                Step::End(end) => return Ok(end),
                Step::Plan(wrong) => self.plan(wrong.as_deref()).await?,
                Step::Answer(agent) => self.answer(agent).await?,
                Step::Observe => self.observe().await,
                Step::Propose(ask) => self.propose(&ask).await?,
                Step::Test => self.test().await?,
                Step::Judge => self.judge().await,
                Step::Compare => self.compare().await?,
            };
        }
    }

    /// Takes the snapshot and chooses the check.
    async fn open(&mut self, documents: Documents) -> Result<(), Stop> {
        self.masks().learn(environment(&self.task.root));
        let snapshot = self.take(documents).await?;
        let options = &self.ports.options;
        let target = self.task.target.as_ref().map(|target| target.path.as_str());
        // What was proposed already is held against the texts itself.
        if let Some(path) = target.filter(|_| self.task.given.is_none()) {
            let creates = matches!(self.task.action, Action::Plan | Action::Generate);
            match snapshot.text(path) {
                Err(crate::workspace::TextError::Missing(_)) if creates => {}
                Err(error) => return Err(Stop::Usage(error.to_string())),
                Ok(_) => {}
            }
            if matches!(self.task.action, Action::Fix | Action::Generate | Action::Tests) {
                snapshot.may_edit(path).map_err(|error| Stop::Usage(error.to_string()))?;
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
        self.look_for_dependencies().await;
        Ok(())
    }

    fn masks(&self) -> MutexGuard<'_, Masks> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().expect("open() came first and set it")
    }

    /// The snapshot with `changes` on top.
    fn with(&self, changes: &[FileChange]) -> Snapshot {
        self.snapshot().with(changes.iter().map(|change| (change.path.as_str(), change.after.as_deref())))
    }

    async fn plan(&mut self, wrong: Option<&str>) -> Result<Seen, Stop> {
        self.phase(Phase::Planning);
        let reply = self
            .ask(Agent::Architect, |brief| brief.plan(wrong), Some(("plan", role::plan_schema())))
            .await?;
        match role::read_plan(&redact(&reply.text)) {
            Ok(plan) => {
                self.note(
                    Note::Info,
                    format!("✓ Plan created: {} components identified", plan.components.len()),
                );
                self.text = Some(plan::markdown(&plan));
                self.plan = Some(plan);
                Ok(Seen::Planned)
            }
            Err(why) => Ok(Seen::NoPlan(why)),
        }
    }

    async fn answer(&mut self, agent: Agent) -> Result<Seen, Stop> {
        self.phase(Phase::Planning);
        let reply = self.ask(agent, |brief: &role::Brief| brief.answer(), None).await?;
        if self.task.action == Action::Review {
            self.findings = role::read_findings(&reply.text, self.snapshot());
        }
        self.text = Some(role::prose(&redact(&reply.text)));
        Ok(Seen::Answered)
    }

    async fn propose(&mut self, ask: &Ask) -> Result<Seen, Stop> {
        let coder = ask.agent == Agent::Coder;
        self.phase(if coder { Phase::Coding } else { Phase::Debugging });
        match &ask.why {
            Why::Fresh => self.fresh_from = self.attempts.len(),
            Why::Refused(why) => self.note(Note::Warning, format!("the answer could not be applied: {why}")),
            Why::First | Why::Repair => {}
        }
        self.afresh = ask.afresh;
        let shown: Vec<_> = self.attempts[self.fresh_from..]
            .iter()
            .map(|attempt| (report::diff(&attempt.changes), attempt.lesson(&self.with(&attempt.changes))))
            .collect();
        let failures: Vec<_> = shown.iter().map(|(diff, output)| role::Failure { diff, output }).collect();
        let reply = self.ask(ask.agent, |brief| brief.propose(ask, &failures), None).await?;
        let changes = match self.read_edits(&reply).await {
            Ok(changes) => changes,
            Err(why) => return Ok(Seen::Refused(self.masks().hide(&why))),
        };
        if coder {
            self.note(Note::Info, format!("✓ Code generated: {} files created", changes.len()));
        }
        self.findings = role::read_findings(&reply.text, self.snapshot());
        if self.before.is_none() {
            self.choose_generated(&changes);
            self.look_for_dependencies().await;
        }
        let image = changes.iter().fold(String::new(), |image, change| {
            text::sha256(format!("{image}\0{}\0{:?}", change.path, change.after).as_bytes())
        });
        let tested = self.is_tested(&changes);
        self.pending = changes;
        Ok(Seen::Proposed { image, tested })
    }

    /// Where the project has no tests, the proposal's own decide, if it brings any.
    fn choose_generated(&mut self, changes: &[FileChange]) {
        let has_tests = self.check.as_ref().is_some_and(|check| check.source != CheckSource::Run);
        let brings =
            matches!(self.task.action, Action::Generate | Action::Tests) || self.task.given.is_some();
        if has_tests || !brings {
            return;
        }
        let proposed = self.with(changes);
        let target = self.task.target.as_ref().map(|target| target.path.as_str());
        let target = target.or(changes.first().map(|change| change.path.as_str()));
        if let Ok(mut check) = check::choose(&proposed, None, None, target) {
            if check.source == CheckSource::Detected {
                check.source = CheckSource::Generated;
            }
            self.check = Some(check);
            self.unchecked = None;
        }
    }

    fn phase(&self, phase: Phase) {
        (self.emit)(Kind::Phase { phase, percent: phase.percent(), attempt: self.run.attempt() });
    }

    fn note(&self, level: Note, text: String) {
        (self.emit)(Kind::Noted { level, text });
    }
}
