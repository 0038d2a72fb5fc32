//! Tasks of other servers and of earlier runs on the same folders, from the journal that all of them share; and those
//! of a team's other machines.

use super::from_proto::wrong;
use super::plans::DOCUMENT;
use super::session::Entry;
use super::{Server, show, uri};
use crate::event::Phase;
use crate::journal::{self, Query, Record, Row, Store, is_this_server};
use crate::sandbox::owner::Owner;
use crate::wiring;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower_lsp::jsonrpc::Result;

/// Tasks that are listed beside this server's own, and how long those of earlier runs are.
const LISTED: usize = 64;
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);

impl Server {
    /// All tasks on the open folders and of the team's other machines, the newest first. Reads the disk.
    pub(super) async fn all_rows(&self) -> Vec<Value> {
        let mut rows = self.own_rows();
        let folders = self.session().folders.clone();
        if !folders.is_empty() {
            let query = Query { limit: LISTED * 4, ..Query::default() };
            // Without a journal there is nothing to add.
            let others = self.store().await.list(&query).await.unwrap_or_default();
            let here = |row: &Row| {
                row.remote || folders.iter().any(|folder| Path::new(&row.workspace).starts_with(folder))
            };
            let others = others.iter().filter(|row| !is_this_server(&row.server) && here(row));
            rows.extend(others.filter_map(told).take(LISTED));
            // Ids are ordered by age.
            rows.sort_by(|one, other| other["task"].as_str().cmp(&one["task"].as_str()));
        }
        rows
    }

    fn own_rows(&self) -> Vec<Value> {
        self.session().tasks.values().rev().map(Entry::row).collect()
    }

    /// What is known of any task: of this server's from memory, of others from the journal.
    pub(super) async fn any_record(&self, id: &str) -> Result<Value> {
        if self.session().tasks.contains_key(id) {
            return self.task_record(id);
        }
        let record = self.store().await.task(id).await.map_err(|error| wrong("task", error))?;
        Ok(retold(&record))
    }

    /// Shows a text of a task of another server.
    pub(super) async fn show_elsewhere(&self, command: &str, id: &str) -> Result<Value> {
        let name = match command {
            "showDiff" => show::DIFF,
            "showPlan" => DOCUMENT,
            _ => show::LOG,
        };
        self.store().await.task(id).await.map_err(|error| wrong(command, error))?;
        if self.text(id, name).await.is_none_or(|text| text.is_empty()) {
            return Err(wrong(command, format!("task {id} has nothing of that kind")));
        }
        let (server, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move { server.show_text(&id, name, true).await });
        Ok(Value::Null)
    }

    /// Runs a task of another server of this machine once more here, on the text as it is now; one that broke off goes on
    /// with what it was told. Its id.
    pub(super) async fn again_here(&self, id: &str) -> Result<String> {
        let record = self.store().await.task(id).await.map_err(|error| wrong("again", error))?;
        let root = PathBuf::from(&record.row.workspace);
        let again = || journal::again(&record.asked, root.clone()).filter(|_| !record.row.remote);
        let task = journal::resumed(&record).or_else(|| Some(again()?.anew()));
        let task = task.ok_or_else(|| wrong("again", format!("task {id} is not of this machine")))?;
        let key = task.target.as_ref().map_or_else(|| root.clone(), |target| root.join(&target.path));
        Ok(self.begin(task, key.to_string_lossy().into_owned(), None))
    }

    /// Has the server that runs a task cancel it.
    pub(super) async fn cancel_elsewhere(&self, id: &str) -> Result<Value> {
        let unknown = |error: &dyn std::fmt::Display| wrong("cancel", error);
        let journal = {
            let server = self.clone();
            let folder = self.session().folders.first().cloned();
            let made = tokio::task::spawn_blocking(move || {
                wiring::journal(&server.load(folder.as_deref()).settings)
            });
            made.await.map_err(|error| unknown(&error))?
        };
        journal.ask_to_cancel(id).await.map_err(|error| unknown(&error))?;
        Ok(Value::Null)
    }

    /// The journal's tasks, as the first folder that had a task knows them, else read anew.
    async fn store(&self) -> Arc<dyn Store> {
        let known =
            self.session().workshops.values().next().map(|workshop| workshop.connected.journal.store.clone());
        if let Some(known) = known {
            return known;
        }
        let (server, folder) = (self.clone(), self.session().folders.first().cloned());
        let made =
            tokio::task::spawn_blocking(move || wiring::store(&server.load(folder.as_deref()).settings));
        let store = made.await.expect("settings are read without a panic");
        // Whoever opens the journal first hears the news; they are told once.
        for news in store.news().await {
            self.warn(format!("OpenDevAgent: {news}"));
        }
        store
    }
}

/// A row of another server as ours are; `None` when it is of the past.
fn told(row: &Row) -> Option<Value> {
    let gone = is_gone(row);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let of_late = Duration::from_millis(row.begun) + LATELY > now;
    (!gone || of_late).then(|| shown(row, if gone { "earlier" } else { "other" }))
}

/// Its server has ended; of another machine that cannot be known, and a task that has ended is of the past.
fn is_gone(row: &Row) -> bool {
    row.remote && !row.is_running() || row.server.parse().is_ok_and(|owner: Owner| owner.is_dead())
}

fn shown(row: &Row, server: &str) -> Value {
    let file = row
        .file
        .as_ref()
        .map_or_else(|| PathBuf::from(&row.workspace), |file| Path::new(&row.workspace).join(file));
    let verdict = row.level.as_ref().map(|level| json!({"level": level, "reason": row.message}));
    let error = (row.phase == "failed").then_some(&row.message);
    json!({
        "task": row.id,
        "action": row.action,
        "title": row.title,
        "phase": row.phase,
        "percent": Phase::named(&row.phase).map(Phase::percent),
        "verdict": verdict,
        "offer": false,
        // `proposal` is missing: this server has none of it to apply or discard.
        "decision": row.decision,
        "uri": if row.remote { None } else { uri::of_file(&file) },
        "cost_usd": row.usage.cost_usd,
        "error": error,
        "server": server,
    })
}

/// A record of the journal, as `opendevagent/task` tells of our own tasks.
fn retold(record: &Record) -> Value {
    let gone = is_gone(&record.row);
    let server = match is_this_server(&record.row.server) {
        true => "this",
        false if gone => "earlier",
        false => "other",
    };
    let mut told = shown(&record.row, server);
    if let (Some(Value::Object(report)), Value::Object(told)) = (&record.report, &mut told) {
        told.extend(report.clone());
    }
    let line = |event: &Value| {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        match event["kind"].as_str()? {
            "noted" => text("text"),
            "ended" | "interrupted" => text("message"),
            "phase" => text("phase"),
            "ran" => Some(format!("{}: {}", text("stage")?, text("status")?)),
            "decided" => text("decision"),
            _ => None,
        }
    };
    told["log"] = record.events.iter().filter_map(line).collect();
    told["context"] = Value::Null;
    told
}
