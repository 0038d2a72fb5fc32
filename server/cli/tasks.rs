//! `opendevagent tasks`: what was done before, here and by every server that shares the store.

use super::{complain, print, print_json, replay, task, usage};
use crate::agent;
use crate::config::Loaded;
use crate::event::{Action, Phase};
use crate::journal::audit::Verified;
use crate::journal::{Journal, Query, Record, Row, StoreError};
use crate::wiring;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Tasks in a list, unless another number is asked for.
const LISTED: usize = 50;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct TasksArgs {
    #[command(subcommand)]
    command: Option<TasksCommand>,
    /// Print the list as one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    /// The newest tasks, of all servers.
    List(ListArgs),
    /// What is known of one task.
    Show {
        /// Its id, or the beginning of it.
        id: String,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Run a task again with its recorded answers; no model is asked, nothing is written.
    Replay {
        /// Its id, or a file that --record has written.
        #[arg(value_name = "ID|FILE")]
        what: String,
        /// The workspace folder as it was then; default is the task's own, for a file the current one.
        #[arg(long, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Go on where a task broke off: what its models have answered is not asked again.
    Resume {
        /// Its id, or the beginning of it.
        id: String,
        /// Write the proposal to the files, all or none; without it the diff is printed.
        #[arg(long)]
        apply: bool,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Print all that is known of a task, keys masked, as one JSON document: serves as a bug report.
    Export {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Ask the server that runs a task to cancel it.
    Cancel {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// The audit log: one line for each call of a model, container, installation, consent and edit.
    Audit {
        /// Look through all lines; exit code 1 when one was changed, moved or taken out.
        #[arg(long)]
        verify: bool,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Default, Args)]
struct ListArgs {
    /// Words that all must stand in the title, the instruction, the workspace or the result.
    #[arg(value_name = "WORDS")]
    text: Vec<String>,
    /// Only this action.
    #[arg(long, value_parser = Action::ALL.map(Action::name))]
    action: Option<String>,
    /// Only this phase, or `running`.
    #[arg(long, value_parser = [&["running"], &Phase::ALL.map(Phase::name)[..]].concat())]
    phase: Option<String>,
    /// Only this workspace.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Only tasks older than this one.
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// At most so many; 0: all.
    #[arg(long, short = 'n', default_value_t = LISTED)]
    limit: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: TasksArgs, overrides: &Value, loaded: &Loaded) -> u8 {
    let journal = wiring::journal(&loaded.settings);
    let newest = || TasksCommand::List(ListArgs { limit: LISTED, json: args.json, ..ListArgs::default() });
    let done = match args.command.unwrap_or_else(newest) {
        TasksCommand::List(args) => list(&journal, args).await,
        TasksCommand::Show { id, json } => show(&journal, &id, json).await,
        TasksCommand::Export { id } => journal.store.task(&id).await.map(|record| export(&record)),
        TasksCommand::Cancel { id } => journal.ask_to_cancel(&id).await.map(|row| cancelled(&row)),
        TasksCommand::Audit { verify, json } => return audit(&journal, verify, json),
        TasksCommand::Resume { id, apply, json } => match journal.store.task(&id).await {
            Ok(record) => return task::resume(&record, apply, json, overrides).await,
            Err(error) => Err(error),
        },
        TasksCommand::Replay { what, workspace, json } => {
            let file = PathBuf::from(&what);
            if file.exists() {
                return replay::run(file, workspace, json, overrides).await;
            }
            match journal.store.task(&what).await {
                Ok(record) => Ok(replay::again(&record, workspace, json, overrides).await),
                Err(error) => Err(error),
            }
        }
    };
    for news in journal.store.news().await {
        complain(&format!("Warning: {news}"));
    }
    if let Some(problem) = journal.store.problem() {
        complain(&format!("Warning: {problem}. Tasks of other machines may be missing"));
    }
    done.unwrap_or_else(|error: StoreError| usage(&error.to_string()))
}

async fn list(journal: &Journal, args: ListArgs) -> Result<u8, StoreError> {
    let workspace = args.workspace.map(|folder| folder.canonicalize().unwrap_or(folder));
    let query = Query {
        text: args.text.join(" "),
        action: args.action,
        phase: args.phase,
        workspace: workspace.map(|folder| folder.to_string_lossy().into_owned()),
        before: args.before,
        limit: args.limit,
    };
    let rows = journal.store.list(&query).await?;
    if args.json {
        return Ok(print_json(&json!({ "tasks": rows })));
    }
    if rows.is_empty() {
        complain(&format!("no such task in {}", journal.store.describe()));
    }
    for row in &rows {
        print(&format!("{}\n", line(row)));
    }
    Ok(0)
}

/// E.g. `0199…  2026-11-24 20:12  complete   proven      $0.0020  fix gcd.py:4`.
fn line(row: &Row) -> String {
    let level = row.decision.as_deref().or(row.level.as_deref()).unwrap_or("-");
    let phase = if row.interrupted { "interrupted" } else { row.phase.as_str() };
    let (at, cost) = (date(row.begun), row.usage.cost_usd);
    let machine = row.machine().map(|machine| format!(" (on {machine})")).unwrap_or_default();
    format!("{}  {at}  {phase:<11} {level:<10} ${cost:.4}  {}{machine}", row.id, row.title)
}

/// Date and minute, UTC.
fn date(milliseconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(milliseconds);
    // `Tue, 24 Nov 2026 20:12:28 GMT`
    httpdate::fmt_http_date(time).chars().skip(5).take(17).collect()
}

async fn show(journal: &Journal, id: &str, json: bool) -> Result<u8, StoreError> {
    let record = journal.store.task(id).await?;
    if json {
        return Ok(print_json(&record));
    }
    print(&told(&record));
    Ok(0)
}

/// A record for others.
fn export(record: &Record) -> u8 {
    let mut value = json!(record);
    agent::veil(&mut value, &agent::environment(Path::new(&record.row.workspace)));
    print_json(&value)
}

/// A record for people.
fn told(record: &Record) -> String {
    let row = &record.row;
    let mut out = format!("{}\n{}\n", line(row), row.workspace);
    if let Some(words) = &row.instruction {
        let _ = writeln!(out, "Asked: {words}");
    }
    for check in &record.before {
        let _ = writeln!(out, "  before: {}", check["status"].as_str().unwrap_or_default());
    }
    for round in &record.rounds {
        let usage = &round.usage;
        let finish = round.finish.as_deref().unwrap_or("no answer");
        let _ = writeln!(
            out,
            "{}. {} {} {} ({} bytes, {} files): {finish}, {} tokens, ${:.4}",
            round.number,
            round.agent,
            if round.again { "remembered" } else { "asked" },
            round.model,
            round.prompt_bytes,
            round.files.len(),
            usage.prompt_tokens + usage.completion_tokens,
            usage.cost_usd
        );
        for check in &round.checks {
            let (stage, status) = (check["stage"].as_str(), check["status"].as_str());
            let _ = writeln!(out, "   {}: {}", stage.unwrap_or_default(), status.unwrap_or_default());
        }
        if let Some(verdict) = &round.verdict {
            let (level, reason) = (verdict["level"].as_str(), verdict["reason"].as_str());
            let _ = writeln!(out, "   {}: {}", level.unwrap_or_default(), reason.unwrap_or_default());
        }
    }
    let diffs = record.report.iter().flat_map(|report| report["edits"].as_array().into_iter().flatten());
    diffs.filter_map(|edit| edit["diff"].as_str()).for_each(|diff| out.push_str(diff));
    if !row.message.is_empty() {
        let _ = writeln!(out, "{}", row.message);
    }
    if let Some(loss) = record.loss() {
        let _ = writeln!(out, "{loss}");
    }
    out
}

fn cancelled(row: &Row) -> u8 {
    if row.is_running() {
        complain(&format!("{} is asked to end", row.title));
        return 0;
    }
    usage(&format!("{} has ended already", row.title))
}

fn audit(journal: &Journal, verify: bool, json: bool) -> u8 {
    let path = journal.audit.path();
    if !verify {
        return match journal.audit.text() {
            Ok(text) if json => print_json(&text.lines().map(read_line).collect::<Vec<_>>()),
            Ok(text) => {
                print(&text);
                0
            }
            Err(error) => usage(&format!("{}: {error}", path.display())),
        };
    }
    let Verified { lines, last, problems } = match journal.audit.verify() {
        Ok(verified) => verified,
        Err(error) => return usage(&format!("{}: {error}", path.display())),
    };
    let whole = problems.is_empty();
    if json {
        print_json(&json!({"ok": whole, "lines": lines, "last": last, "problems": problems}));
    } else if whole {
        print(&format!("{lines} lines, each follows the one before; the last is {last}\n"));
    } else {
        for problem in &problems {
            print(&format!("{}: {problem}\n", path.display()));
        }
    }
    u8::from(!whole)
}

fn read_line(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| json!({ "unreadable": line }))
}
