//! `opendevagent plan|generate|fix|tests|review|explain`.

use super::replay::{self, Watcher};
use super::{TaskArgs, apply, complain, interrupted, print, print_json, setup, usage};
use crate::agent::dependencies::Consent;
use crate::agent::task::{Plan, Report, Stop, Target, Task};
use crate::agent::{self, Emit, Ports, plan};
use crate::config::Loaded;
use crate::event::{Action, Kind, lines};
use crate::journal::{Decision, Journal, Record, resumed};
use crate::model::replay::{Recorder, Replay, Transcript};
use crate::model::{Model, ModelError, Unasked, price};
use crate::verdict::Level;
use crate::wiring;
use crate::workspace::{Buffers, Documents, MAX_TEXT_BYTES, read_file};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

pub(super) async fn run(action: Action, args: TaskArgs, overrides: &Value) -> u8 {
    let root = args.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
    let loaded = super::load(overrides, Some(&root));
    let mut task = Task::new(action, root.clone());
    let (ports, watcher) = match prepare(&mut task, &args, &loaded) {
        Ok(ready) => ready,
        Err(stop) => {
            complain(&format!("opendevagent: {stop}"));
            let code = stop.exit_code();
            if args.json {
                print_json(&Report::stopped(&task, stop));
            }
            return code;
        }
    };
    ports.sandbox.sweep().await;
    // What is replayed is kept already, and what asks no model is no task.
    let is_task = args.replay.is_none() && !args.show_context;
    let journal = is_task.then(|| Arc::new(wiring::journal(&loaded.settings)));
    let report = watch(ports, task, watcher, journal.as_ref()).await;
    if args.show_context {
        return show_context(&report, args.json);
    }
    finish(&root, report, journal.as_ref(), args.apply, args.json).await
}

/// Goes on where a task of the journal broke off.
pub(super) async fn resume(record: &Record, apply: bool, json: bool, overrides: &Value) -> u8 {
    let row = &record.row;
    let Some(task) = resumed(record) else {
        let why = match row {
            _ if row.remote => "is of another machine",
            _ if row.is_running() => "runs",
            _ => "did not break off",
        };
        return usage(&format!(
            "{} {why}; `opendevagent tasks list --phase failed` shows what did",
            row.title
        ));
    };
    let root = task.root.clone();
    if !root.is_dir() {
        return usage(&format!("the task's workspace {} is gone", root.display()));
    }
    let loaded = super::load(overrides, Some(&root));
    let keys = Arc::new(wiring::Keys::new(&loaded.settings, None));
    let model = match wiring::model(&loaded.settings, keys) {
        Ok(model) => Arc::new(model),
        Err(error) => return usage(&error.to_string()),
    };
    if record.is_asking() {
        complain(
            "Warning: one call was on its way when it broke off; it is made again, and may be billed twice",
        );
    }
    let ports = Arc::new(wiring::ports(&loaded, model, setup::consent()));
    ports.sandbox.sweep().await;
    let journal = Arc::new(wiring::journal(&loaded.settings));
    let report = watch(ports, task, Watcher::None, Some(&journal)).await;
    finish(&root, report, Some(&journal), apply, json).await
}

/// Writes the proposal if wished, and shows what came of the task.
async fn finish(
    root: &Path,
    mut report: Report,
    journal: Option<&Arc<Journal>>,
    apply: bool,
    json: bool,
) -> u8 {
    if apply && write(root, &mut report) {
        decided(journal, &report).await;
    }
    if json {
        print_json(&report);
    } else {
        show(&report, apply);
    }
    report.exit_code()
}

/// Completes the task from the command line, and connects what it needs.
fn prepare(task: &mut Task, args: &TaskArgs, loaded: &Loaded) -> Result<(Arc<Ports>, Watcher), Stop> {
    task.root = absolute(&task.root)?;
    task.target =
        args.target.as_deref().map(|text| target(text, &task.root, args.workspace.is_some())).transpose()?;
    task.instruction.clone_from(&args.instruction);
    task.check.clone_from(&args.check);
    if let (Some(path), Some(step)) = (&args.plan, args.step) {
        follow(task, path, step)?;
    }
    if task.target.is_none() && task.instruction.is_none() && task.action != Action::Fix {
        return Err(Stop::Usage(format!("say what to {}: a FILE, or -m TEXT", task.action.name())));
    }
    if args.show_context {
        // Nothing is installed for it either.
        let refuse: Consent = Arc::new(|_| Box::pin(std::future::ready(false)));
        return Ok((Arc::new(wiring::ports(loaded, Arc::new(Unasked), refuse)), Watcher::None));
    }
    let (model, watcher) = model(task, args, loaded)?;
    Ok((Arc::new(wiring::ports(loaded, model, setup::consent())), watcher))
}

/// Makes the task one that does a step of the plan in a file.
fn follow(task: &mut Task, path: &Path, step: usize) -> Result<(), Stop> {
    let unusable = |why: String| Stop::Usage(format!("--plan {}: {why}", path.display()));
    if task.action != Action::Generate {
        return Err(unusable(format!("only `generate` follows a plan, not `{}`", task.action.name())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let mut report: Value = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    let plan = Plan::deserialize(report["plan"].take())
        .map_err(|error| unusable(format!("it holds no plan ({error}); make one with `plan --json`")))?;
    if !plan::assign(task, &plan, step) {
        return Err(unusable(format!("it has {} steps, not {step}", plan.steps.len())));
    }
    Ok(())
}

/// Prints the question that would have been asked first. Without one, why there is none.
fn show_context(report: &Report, json: bool) -> u8 {
    let asked = report.asked.as_ref();
    if json {
        let messages = asked.map_or(&[][..], |asked| &asked.messages);
        let tokens: u64 = messages.iter().map(|message| price::tokens(&message.content)).sum();
        print_json(&json!({
            "task": report.task,
            "action": report.action,
            "agent": asked.map(|asked| asked.agent),
            "model": asked.map(|asked| &asked.model),
            "messages": messages,
            "prompt_tokens": tokens,
            "error": asked.is_none().then(|| report.summary()),
        }));
    } else if let Some(asked) = asked {
        print(&asked.text());
    } else {
        complain(&format!("no model would be asked: {}", report.summary()));
    }
    if asked.is_some() { 0 } else { report.exit_code() }
}

/// The model: a recorded one, or the server, recorded if wished; and who else watches the task.
fn model(task: &mut Task, args: &TaskArgs, loaded: &Loaded) -> Result<(Arc<dyn Model>, Watcher), Stop> {
    let unusable = |error: ModelError| Stop::Usage(error.to_string());
    if let Some(path) = &args.replay {
        let replay = Replay::open(path).map_err(unusable)?;
        complain(&format!("Warning: {}", replay.describe()));
        if let Some(nonce) = replay.header()["task"]["nonce"].as_str() {
            nonce.clone_into(&mut task.nonce);
        }
        let watcher = Watcher::Compare(Mutex::new(replay.checks().to_vec().into()));
        return Ok((Arc::new(replay), watcher));
    }
    let keys = Arc::new(wiring::Keys::new(&loaded.settings, None));
    let server = wiring::model(&loaded.settings, keys).map_err(|error| Stop::Model(error.to_string()))?;
    let Some(path) = &args.record else { return Ok((Arc::new(server), Watcher::None)) };
    let secrets = agent::environment(&task.root);
    let transcript =
        Transcript::create(path, &replay::header(task, args, loaded), secrets).map_err(unusable)?;
    let transcript = Arc::new(transcript);
    let recorder = Recorder { model: server, transcript: transcript.clone() };
    Ok((Arc::new(recorder), Watcher::Record(transcript)))
}

/// Runs a task with its progress on standard error, until it ends or is interrupted.
pub(super) async fn watch(
    ports: Arc<Ports>,
    task: Task,
    watcher: Watcher,
    journal: Option<&Arc<Journal>>,
) -> Report {
    let emit: Emit = Arc::new(move |kind: Kind| {
        watcher.see(&kind);
        if let Some(line) = lines::line(&kind) {
            complain(&line);
        }
    });
    let cancel = CancellationToken::new();
    let watcher = tokio::spawn({
        let cancel = cancel.clone();
        async move {
            interrupted().await;
            cancel.cancel();
        }
    });
    let buffers = Buffers::from(Documents::default());
    let report = match journal {
        Some(journal) => {
            for news in journal.store.news().await {
                complain(&format!("Warning: {news}"));
            }
            let report = journal.run(&ports, task, buffers, cancel, emit).await;
            if let Some(telemetry) = &journal.telemetry {
                telemetry.flush().await;
            }
            report
        }
        None => agent::run(ports.clone(), task, buffers, cancel, emit).await,
    };
    watcher.abort();
    ports.sandbox.close().await;
    report
}

async fn decided(journal: Option<&Arc<Journal>>, report: &Report) {
    let Some(journal) = journal else { return };
    if let Err(why) = journal.decided(report, Decision::Applied).await {
        complain(&format!("Warning: that it was applied is not kept: {why}"));
    }
}

/// Writes the proposal, or says in the report why not. Whether it was written.
fn write(root: &Path, report: &mut Report) -> bool {
    if report.proposal.changes.is_empty() || report.stop.is_some() {
        return false;
    }
    if report.level() == Some(Level::Failing) {
        complain("Warning: nothing was written: the proposal fails its check");
        return false;
    }
    match apply::write(root, &report.proposal) {
        Ok(()) => {
            complain(&format!("{} files written", report.edits.len()));
            true
        }
        Err(stop) => {
            complain(&format!("opendevagent: {stop}"));
            report.error = Some(stop.to_string());
            report.stop = Some(stop);
            false
        }
    }
}

pub(super) fn show(report: &Report, applied: bool) {
    if let Some(text) = &report.text
        && report.edits.is_empty()
    {
        print(text);
    }
    for edit in &report.edits {
        if !applied || report.stop.is_some() {
            print(&edit.diff);
        }
    }
    for finding in &report.findings {
        complain(&format!("{}:{}:{}: {}", finding.path, finding.line, finding.column, finding.message));
    }
    // Said when it happened, too; what stands last on a screen is what a user reads.
    if let Some(error) = report.error.as_ref().filter(|_| !report.findings.is_empty()) {
        complain(&format!("opendevagent: {error}"));
    }
    if let Some(verdict) = report.verdict.as_ref().filter(|_| report.stop.is_none()) {
        let usage = &report.usage.total;
        complain(&format!(
            "Verdict: {} ({}); check: {}; {} rounds, {} calls, {} tokens, ${:.4}, {:.1} s",
            verdict.level.name(),
            verdict.reason,
            verdict.check.as_deref().unwrap_or("none"),
            report.rounds,
            usage.calls,
            usage.prompt_tokens + usage.completion_tokens,
            usage.cost_usd,
            report.duration_ms as f64 / 1000.0,
        ));
    }
}

fn absolute(root: &Path) -> Result<PathBuf, Stop> {
    root.canonicalize().map_err(|error| Stop::Usage(format!("{}: {error}", root.display())))
}

/// Reads `FILE[:LINE[:COL]]`; a relative FILE is looked for in the workspace that was named, else here.
fn target(text: &str, root: &Path, in_workspace: bool) -> Result<Target, Stop> {
    let (file, line) = split(text);
    let base = if in_workspace {
        root.to_owned()
    } else {
        std::env::current_dir().unwrap_or_else(|_| root.to_owned())
    };
    let given = Path::new(file);
    let candidates = [base.join(given), std::env::current_dir().unwrap_or_default().join(given)];
    let path = candidates.iter().find(|path| path.exists()).unwrap_or(&candidates[0]);
    let outside = || {
        Stop::Usage(format!(
            "{file} is not in the workspace {}; name its folder with --workspace",
            root.display()
        ))
    };
    // The folder is resolved, not the file: a link is refused later, by name.
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let full = match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => plain(path).ok_or_else(outside)?,
    };
    let relative = full.strip_prefix(root).map_err(|_| outside())?;
    let path = relative.to_str().filter(|path| !path.is_empty()).ok_or_else(outside)?.replace('\\', "/");
    match line {
        Some(line) if lacks(&full, line) => Err(Stop::Usage(format!("{file} has no line {line}"))),
        line => Ok(Target { path, lines: line.map(|line| (line, line)) }),
    }
}

/// Whether a file is too short for a line; the one behind the last line's end counts, as editors count it.
fn lacks(path: &Path, line: u32) -> bool {
    // What is no file, or none of a size that a task takes, is refused for that.
    let fits = path.metadata().is_ok_and(|data| data.len() <= MAX_TEXT_BYTES);
    let lines = |text: Vec<u8>| text.split(|byte| *byte == b'\n').count();
    fits && read_file(path).is_ok_and(|text| text.is_some_and(|text| line as usize > lines(text)))
}

/// A path whose folder does not exist yet, when it has no `..` to climb out with.
fn plain(path: &Path) -> Option<PathBuf> {
    let climbs = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    (!climbs)
        .then(|| path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect())
}

/// Splits trailing `:LINE` and `:LINE:COL` off; a name that exists as it stands is not split.
fn split(text: &str) -> (&str, Option<u32>) {
    if Path::new(text).exists() {
        return (text, None);
    }
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let Some((rest, last)) = text.rsplit_once(':') else { return (text, None) };
    let Some(last) = number(last) else { return (text, None) };
    match rest.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?))) {
        Some((file, line)) => (file, Some(line)),
        None => (rest, Some(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_split_off() {
        let check = |text, file, line| assert_eq!(split(text), (file, line), "{text}");
        check("a.py", "a.py", None);
        check("a.py:3", "a.py", Some(3));
        check("a.py:3:7", "a.py", Some(3));
        check("a.py:x", "a.py:x", None);
        check("C:\\a.py:3", "C:\\a.py", Some(3));
        check("a.py:0", "a.py:0", None);
    }

    #[test]
    fn a_target_is_relative_to_the_workspace_and_inside_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        std::fs::write(root.join("src/a.py"), "x = 1\n").unwrap();
        let path = |text: &str| target(text, &root, true).map(|target| target.path);
        assert_eq!(path("src/a.py:2").unwrap(), "src/a.py");
        assert_eq!(path("src/../src/new.py").unwrap(), "src/new.py");
        assert_eq!(path("fresh/new.py").unwrap(), "fresh/new.py");
        assert!(path("src/a.py:3").is_err());
        assert!(path("../x.py").is_err());
        assert!(path("fresh/../../x.py").is_err());
        assert!(path("/etc/passwd").is_err());
    }
}
