//! Plans as documents: a lens on each step, and what became of it, in the document and in the plan's own file beside
//! it, so that both outlive the server.
//!
//! Steps are done one by one because each builds on the texts that the one before has left: "Generate all" goes on
//! when the edits of a step were applied.

use super::capabilities::command;
use super::from_proto::{self, Arguments, wrong};
use super::show::write_private;
use super::{Server, newer, uri};
use crate::agent::plan;
use crate::agent::task::{Plan, Report, State};
use crate::event::{Action, Phase};
use crate::verdict::Level;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::lsp_types::{CodeLens, Command, Position, ProgressToken, Range};

/// Plans that are remembered.
pub(super) const REMEMBERED: usize = 64;
/// The document and the file of a task's plan are named after the task.
pub(super) const DOCUMENT: &str = "plan.md";
const FILE: &str = "plan.json";
/// A plan's file that is longer is none of ours.
const MOST_BYTES: u64 = 1 << 20;

/// A plan and how far it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The document or folder that it was made for.
    uri: String,
    plan: Plan,
    /// The last task of each step.
    #[serde(skip)]
    tasks: Vec<Option<String>>,
    /// Steps follow each other until one fails.
    #[serde(skip)]
    all: bool,
}

impl Progress {
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    fn new(uri: String, plan: Plan) -> Self {
        Self { tasks: vec![None; plan.steps.len()], uri, plan, all: false }
    }

    /// The first step that is not done, from 0.
    fn next(&self) -> Option<usize> {
        self.plan.steps.iter().position(|step| step.state != State::Done)
    }
}

impl Server {
    /// Shows the plan of a `plan` task as a document, as [`Server::show_text`] does; false when it has none.
    pub(super) async fn show_plan(&self, id: &str, asked: bool) -> bool {
        {
            let mut session = self.session();
            let made = session.tasks.get(id).filter(|entry| entry.is(Action::Plan)).and_then(|entry| {
                let path = entry.task.target.as_ref().map(|target| entry.task.root.join(&target.path));
                let uri = uri::of_file(path.as_ref().unwrap_or(&entry.task.root))?;
                Some(Progress::new(uri.as_str().to_owned(), entry.report.as_ref()?.plan.clone()?))
            });
            let Some(made) = made else { return false };
            session.plans.entry(id.to_owned()).or_insert(made);
            while session.plans.len() > REMEMBERED {
                session.plans.pop_first();
            }
        }
        self.write_plan(id);
        self.show_text(id, DOCUMENT, asked).await.is_some()
    }

    /// Writes a plan as it is now, document and file.
    fn write_plan(&self, id: &str) -> Option<()> {
        // Whoever writes last has read last.
        static WRITING: Mutex<()> = Mutex::new(());
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = self.session().plans.get(id).cloned()?;
        let text = plan::markdown(&progress.plan);
        let (folder, data) = (self.directory()?, serde_json::to_string(&progress).ok()?);
        for (name, content) in [(FILE, &data), (DOCUMENT, &text)] {
            let path = folder.join(format!("{id}-{name}"));
            if let Err(error) = write_private(&path, content) {
                self.warn(format!("{} could not be written: {error}", path.display()));
            }
        }
        Some(())
    }

    /// The lenses of a plan's document; `None` for any other.
    pub(super) async fn plan_lenses(&self, uri: &str) -> Option<Vec<CodeLens>> {
        let id = self.planned(uri)?;
        if !self.session().plans.contains_key(&id) {
            let path = self.directory()?.join(format!("{id}-{FILE}"));
            let progress = tokio::task::spawn_blocking(move || read(&path)).await.ok()??;
            self.session().plans.entry(id.clone()).or_insert(progress);
        }
        let session = self.session();
        let progress = session.plans.get(&id)?;
        let open = session.documents.get(&from_proto::key(uri)).map(|document| document.text.to_string());
        let steps = plan::steps(&open.unwrap_or_else(|| plan::markdown(&progress.plan)));
        let known = steps.into_iter().filter(|(_, number)| (1..=progress.plan.steps.len()).contains(number));
        let mut lenses: Vec<_> = known.map(|(line, number)| progress.lens(&id, line, number)).collect();
        if progress.next().is_some() && !lenses.is_empty() {
            lenses.insert(0, lens(0, "Generate all", "generate", json!({"uri": progress.uri, "plan": id})));
        }
        Some(lenses)
    }

    /// The task whose plan is in this document.
    fn planned(&self, uri: &str) -> Option<String> {
        if let Some((id, DOCUMENT)) = newer::text_of(uri) {
            return Some(id.to_owned());
        }
        let path = from_proto::path(uri)?;
        let id = path.file_name()?.to_str()?.strip_suffix(DOCUMENT)?.strip_suffix('-')?;
        let ours =
            id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && path.parent()? == self.directory()?;
        ours.then(|| id.to_owned())
    }

    /// `opendevagent.generate` with a plan: one step of it, or all from the first that is not done.
    pub(super) fn generate_by_plan(
        &self,
        arguments: Arguments,
        token: Option<ProgressToken>,
    ) -> Result<Value> {
        let id = arguments.plan.clone().unwrap_or_default();
        let step = arguments.step;
        let (mut task, _) = self.task(Action::Generate, arguments)?;
        let key = {
            let mut session = self.session();
            let Some(progress) = session.plans.get_mut(&id) else {
                return Err(wrong("generate", format!("there is no plan {id:?}; open its document first")));
            };
            let index = progress.choose(step)?;
            task.target = None;
            if !plan::assign(&mut task, &progress.plan, index + 1) {
                return Err(wrong("generate", format!("the plan has no step {}", index + 1)));
            }
            progress.all = step.is_none();
            progress.plan.steps[index].state = State::Running;
            progress.tasks[index] = Some(task.id.clone());
            let path = task.target.as_ref().map(|target| task.root.join(&target.path));
            path.as_ref().unwrap_or(&task.root).to_string_lossy().into_owned()
        };
        let task = self.begin(task, key, token);
        self.tell_plan(&id);
        Ok(json!({"task": task}))
    }

    /// Notes how the task of a step ended.
    pub(super) fn step_ended(&self, report: &Report) {
        let level = report.verdict.as_ref().map_or(Level::Unverified, |verdict| verdict.level);
        let state = match report.phase {
            Phase::Cancelled => State::Open,
            _ if report.stop.is_none() && level >= Level::Runs => State::Offered,
            _ => State::Failed,
        };
        self.step_is(&report.task, state);
    }

    /// Notes what became of the step that a task has done, and goes on with the next where all were asked for.
    pub(super) fn step_is(&self, task: &str, state: State) {
        let (id, uri) = {
            let mut session = self.session();
            let of =
                |progress: &Progress| progress.tasks.iter().position(|known| known.as_deref() == Some(task));
            let found =
                session.plans.iter_mut().find_map(|(id, progress)| Some((id, of(progress)?, progress)));
            let Some((id, index, progress)) = found else { return };
            progress.plan.steps[index].state = state;
            progress.all &= matches!(state, State::Offered | State::Done);
            let goes_on = progress.all && state == State::Done && progress.next().is_some();
            (id.clone(), goes_on.then(|| progress.uri.clone()))
        };
        let next = uri.map(|uri| Arguments { uri, plan: Some(id.clone()), ..Arguments::default() });
        if let Some(Err(error)) = next.map(|next| self.generate_by_plan(next, None)) {
            self.warn(error.message.into_owned());
        }
        self.tell_plan(&id);
    }

    /// Brings a plan's files and lenses up to date.
    fn tell_plan(&self, id: &str) {
        let (server, id) = (self.clone(), id.to_owned());
        self.refresh_content(&id, DOCUMENT);
        tokio::task::spawn_blocking(move || server.write_plan(&id));
        self.refresh_lenses();
    }
}

impl Progress {
    /// The step to do, from 0: this one, or the first that is not done.
    fn choose(&self, step: Option<usize>) -> std::result::Result<usize, Error> {
        let running = self.plan.steps.iter().position(|step| step.state == State::Running);
        if let Some(running) = running {
            return Err(wrong("generate", format!("step {} of the plan is running", running + 1)));
        }
        match step {
            Some(step) => step.checked_sub(1).ok_or_else(|| wrong("generate", "`step` counts from 1")),
            None => match self.next() {
                None => Err(wrong("generate", "all steps of the plan are done")),
                Some(next) if self.plan.steps[next].state == State::Offered => Err(wrong(
                    "generate",
                    format!("apply or discard the proposal of step {} first", next + 1),
                )),
                Some(next) => Ok(next),
            },
        }
    }

    fn lens(&self, id: &str, line: usize, number: usize) -> CodeLens {
        let about = self.tasks[number - 1].as_ref();
        let generate =
            |title| lens(line, title, "generate", json!({"uri": self.uri, "plan": id, "step": number}));
        match (self.plan.steps[number - 1].state, about) {
            (State::Running, Some(task)) => lens(line, "Running: cancel", "cancel", json!({"task": task})),
            (State::Offered, Some(task)) => lens(line, "Apply this step", "apply", json!({"task": task})),
            (State::Done, _) => generate("Done: generate this step again"),
            (State::Failed, _) => generate("Failed: generate this step again"),
            _ => generate("Generate this step"),
        }
    }
}

/// What was written of a plan. What ran then runs no more.
fn read(path: &Path) -> Option<Progress> {
    let small = path.metadata().is_ok_and(|metadata| metadata.len() <= MOST_BYTES);
    let text = small.then(|| std::fs::read_to_string(path).ok())??;
    let mut progress: Progress = serde_json::from_str(&text).ok()?;
    for step in &mut progress.plan.steps {
        if matches!(step.state, State::Running | State::Offered) {
            step.state = State::Open;
        }
    }
    progress.tasks = vec![None; progress.plan.steps.len()];
    Some(progress)
}

fn lens(line: usize, title: &str, name: &str, argument: Value) -> CodeLens {
    let at = Position::new(line as u32, 0);
    let command = Command::new(title.into(), command(name), Some(vec![argument]));
    CodeLens { range: Range::new(at, at), command: Some(command), data: None }
}
