//! The store of a team: tasks in files as ever, and in a Redis besides, where the servers of other machines see them.
//!
//! The files come first: a task is written there whatever becomes of the Redis, and how far the Redis has its lines is
//! known by the place in its file that they reach. Lines travel from one such place to the next, in one script that
//! takes them only if nothing stands there yet; so when a Redis comes back, even with nothing in it, each line gets
//! there, and none twice. Which tasks have lines that it lacks is kept as a name in `outbox/`, which it had lately in
//! `sent/`: what a Redis has forgotten of the last week is sent again.
//!
//! ```text
//! {opendevagent}:rows            each task's row, by its id
//! {opendevagent}:reach           how far its lines are there, in bytes of its file
//! {opendevagent}:changes         stream: the tasks that have changed; the last 10,000
//! {opendevagent}:task:ID         stream: its lines; the last 5,000
//! {opendevagent}:said:ID         stream: what others wish of it; the last 100, for a week
//! {opendevagent}:servers, words  who is there: by when it is given up, and what it says of itself
//! ```
//!
//! What comes from the Redis was written by others: lines and rows have limits, must name what they are said to be, and
//! lose the characters that steer a terminal. Where the team has a key, rows, lines and wishes are signed, each for its
//! task, and what is not is passed over. A line that is held back, or an old row put in the place of a new one, is not
//! found out.

mod mirror;
mod scripts;

use super::files::{Files, is_id, make_folder, now};
use super::{Query, Record, Row, Store, StoreError, this_server};
use crate::link::{Link, LinkError};
use futures_util::future::BoxFuture;
use mirror::Mirror;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How often a process says that it is there, and looks whether the Redis lacks something.
const BEAT: Duration = Duration::from_secs(3);
/// Bytes of a task's file that travel at once, also where the network is slow.
const BATCH: u64 = 128 << 10;
/// Tasks that are looked at in one go, the newest first.
const OUTBOX: usize = 1000;
/// What a Redis has had for so long is its own to forget.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Tasks in files and in a Redis.
pub struct TeamStore {
    files: Files,
    link: Arc<Link>,
    /// How far the Redis has each task's lines, as it last said.
    reach: Mutex<HashMap<String, u64>>,
    /// The tasks of others.
    mirror: tokio::sync::Mutex<Mirror>,
    /// What others are told of this process.
    words: Mutex<Value>,
    /// The heart beats.
    awake: AtomicBool,
    /// The connection behind which was looked for what the Redis has forgotten.
    reviewed: AtomicUsize,
    this: Weak<TeamStore>,
}

impl From<LinkError> for StoreError {
    fn from(LinkError { why, remedy }: LinkError) -> Self {
        Self::Unavailable { why, remedy }
    }
}

impl TeamStore {
    /// Opens nothing yet.
    pub fn new(files: Files, link: Arc<Link>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            files,
            link,
            reach: Mutex::default(),
            mirror: tokio::sync::Mutex::default(),
            words: Mutex::new(json!({"editor": "shell", "since": now()})),
            awake: AtomicBool::new(false),
            reviewed: AtomicUsize::new(0),
            this: this.clone(),
        })
    }

    pub fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    fn reach(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, until it is dropped: says that it is there, and sends what the Redis lacks.
    fn wake(&self) {
        if tokio::runtime::Handle::try_current().is_err() || self.awake.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = self.this.clone();
        tokio::spawn(async move {
            while let Some(store) = this.upgrade() {
                store.catch_up().await;
                drop(store);
                tokio::time::sleep(BEAT).await;
            }
        });
    }

    /// Says that `server` is there (empty: nothing); who is, is known to the mirror then.
    async fn beat(&self, server: &str) -> Result<(), LinkError> {
        self.link.knock().await?;
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).to_string();
        let there = scripts::beat(&self.link, server, &words).await?;
        self.mirror.lock().await.there = Some(there);
        Ok(())
    }

    /// Says that this process is there, and sends what earlier times have left. Where the Redis is away, later.
    async fn catch_up(&self) {
        if self.beat(this_server()).await.is_err() || self.review().await.is_err() {
            return;
        }
        for task in self.files.buried() {
            let _ = self.remember(&task).await;
        }
        for (task, _) in self.marked("outbox").await {
            if self.send(&task).await.is_err() {
                return;
            }
        }
    }

    /// Behind a new connection: which of the tasks that were sent the Redis has forgotten.
    async fn review(&self) -> Result<(), StoreError> {
        let opened = self.link.opened();
        if self.reviewed.load(Ordering::Relaxed) == opened {
            return Ok(());
        }
        let mut lately = Vec::new();
        for (task, age) in self.marked("sent").await {
            if age < WEEK && self.files.has(&task) {
                lately.push(task);
            } else {
                let mark = self.mark("sent", &task);
                self.files.blocking_on_disk(|| fs::remove_file(mark)).await?;
            }
        }
        let reach = scripts::reach(&self.link, &lately).await?;
        for (task, reach) in lately.iter().zip(reach) {
            self.reach().insert(task.clone(), reach);
            if reach < self.files.length(task) {
                self.remember(task).await?;
            }
        }
        self.reviewed.store(opened, Ordering::Relaxed);
        Ok(())
    }

    fn mark(&self, folder: &str, task: &str) -> PathBuf {
        self.files.folder().join(folder).join(task)
    }

    /// The tasks named in a folder, the newest first, with how long they have been.
    async fn marked(&self, folder: &str) -> Vec<(String, Duration)> {
        let folder = self.files.folder().join(folder);
        let names = self.files.blocking_on_disk(move || {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let mut found: Vec<(String, Duration)> = entries
                .flatten()
                .map(|entry| {
                    let since = entry.metadata().and_then(|data| data.modified()).ok();
                    let age = since.and_then(|since| since.elapsed().ok()).unwrap_or_default();
                    (entry.file_name().to_string_lossy().into_owned(), age)
                })
                .filter(|(name, _)| is_id(name))
                .collect();
            found.sort_unstable_by(|a, b| b.0.cmp(&a.0));
            found.truncate(OUTBOX);
            Ok(found)
        });
        names.await.unwrap_or_default()
    }

    /// Remembers over the end of this process that the Redis lacks lines of a task.
    async fn remember(&self, task: &str) -> Result<(), StoreError> {
        let mark = self.mark("outbox", task);
        let marked = self.files.blocking_on_disk(move || {
            mark.parent().map_or(Ok(()), make_folder)?;
            super::index::open(&mark, OpenOptions::new().create(true).append(true)).map(drop)
        });
        marked.await
    }

    /// The Redis has all lines of a task. Where that cannot be written down, there is one look more than needed.
    async fn settle(&self, task: &str) {
        let (from, to) = (self.mark("outbox", task), self.mark("sent", task));
        let settled = move || {
            to.parent().map_or(Ok(()), make_folder)?;
            fs::rename(from, to)
        };
        let _ = self.files.blocking_on_disk(settled).await;
    }

    /// Sends the lines of a task that the Redis lacks.
    async fn send(&self, task: &str) -> Result<(), StoreError> {
        if !self.files.has(task) {
            // It was let go of before it could be sent.
            self.settle(task).await;
            return Ok(());
        }
        let known = self.reach().contains_key(task);
        if !known {
            let reach = scripts::reach(&self.link, &[task.to_owned()]).await?;
            self.reach().extend(reach.first().map(|reach| (task.to_owned(), *reach)));
        }
        let mut marked = true;
        loop {
            let from = self.reach().get(task).copied().unwrap_or(0);
            let (lines, to, row) = self.files.piece(task, from, BATCH).await?;
            if to == from {
                if !marked {
                    return Ok(());
                }
                // Another process may have added lines before the mark went; then they are found now.
                self.settle(task).await;
                marked = false;
                continue;
            }
            if !marked {
                self.remember(task).await?;
                marked = true;
            }
            let reach = scripts::push(&self.link, task, (from, to), row.as_ref(), &lines).await?;
            self.reach().insert(task.to_owned(), reach);
            if reach == from {
                let (why, remedy) =
                    (format!("the team's Redis does not take {task}"), "look at its log".into());
                return Err(StoreError::Unavailable { why, remedy });
            }
        }
    }

    /// The tasks of others as they are now; where the Redis is away, as they were.
    async fn others(&self) -> tokio::sync::MutexGuard<'_, Mirror> {
        let mut mirror = self.mirror.lock().await;
        let known = mirror.there.is_some();
        // What is away is told by `problem`.
        if mirror.refresh(&self.link, &self.files).await.is_ok()
            && !known
            && let Ok(there) = scripts::beat(&self.link, "", "").await
        {
            mirror.there = Some(there);
        }
        mirror
    }

    /// A task of another machine.
    async fn foreign(&self, id: &str) -> Result<Record, StoreError> {
        let row = self.others().await.find(id)?;
        let (mut record, mut cursor) = (Record { row: row.clone(), ..Record::default() }, String::new());
        for _ in 0..scripts::PAGES {
            let (lines, next) = scripts::lines(&self.link, "task", &row.id, &cursor).await?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                match line {
                    Some(line) if line["kind"] == "begun" && line["row"]["task"] != row.id.as_str() => {
                        record.damaged += 1;
                    }
                    Some(line) => record.take(line),
                    None => record.damaged += 1,
                }
            }
            cursor = next;
        }
        // The row knows what lines that are gone have said.
        record.row = row;
        Ok(record)
    }
}

impl Store for TeamStore {
    fn append<'a>(
        &'a self,
        task: &'a str,
        lines: Vec<Value>,
        durable: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.wake();
            let begins = lines.iter().any(|line| line["kind"] == "begun");
            if !begins && !self.files.has(task) {
                for line in &lines {
                    if !scripts::say(&self.link, task, line).await? {
                        return Err(StoreError::Unknown(task.to_owned()));
                    }
                }
                return Ok(());
            }
            let marked = self.remember(task).await;
            self.files.append(task, lines, durable).await?;
            marked?;
            // What cannot be sent now is sent later.
            let _ = self.send(task).await;
            Ok(())
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            self.wake();
            let ours = self.files.list(query).await?;
            let mut rows: BTreeMap<String, Row> =
                self.others().await.choose(query).into_iter().map(|row| (row.id.clone(), row)).collect();
            rows.extend(ours.into_iter().map(|row| (row.id.clone(), row)));
            Ok(query.choose(rows.values()))
        })
    }

    fn task<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Record, StoreError>> {
        Box::pin(async move {
            self.wake();
            match self.files.task(id).await {
                Err(StoreError::Unknown(_)) => self.foreign(id).await,
                Ok(record) if record.row.id != id => match self.others().await.count(id) {
                    0 => Ok(record),
                    others => Err(StoreError::Ambiguous { id: id.to_owned(), count: others + 1 }),
                },
                found => found,
            }
        })
    }

    fn since<'a>(
        &'a self,
        task: &'a str,
        cursor: &'a str,
    ) -> BoxFuture<'a, Result<(Vec<Value>, String), StoreError>> {
        Box::pin(async move {
            self.wake();
            if !self.files.has(task) {
                let (lines, next) = scripts::lines(&self.link, "task", task, cursor).await?;
                return Ok((lines.into_iter().flatten().collect(), next));
            }
            // Its own lines, and what others say of it.
            let (own, said) = cursor.split_once(' ').unwrap_or((cursor, ""));
            let (mut lines, own) = self.files.since(task, own).await?;
            let mut said = said.to_owned();
            if let Ok((others, next)) = scripts::lines(&self.link, "said", task, &said).await {
                lines.extend(others.into_iter().flatten().filter(|line| line["kind"] == "wish"));
                said = next;
            }
            Ok((lines, format!("{own} {said}")))
        })
    }

    fn news(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            // Whoever looks once and ends has no heart that beats on.
            self.catch_up().await;
            self.files.news().await
        })
    }

    fn prune(&self, days: u32, mib: u64) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            // What is away is shortened by the next to come.
            let _ = scripts::prune(&self.link, days, mib).await;
            self.files.prune(days, mib).await
        })
    }

    fn describe(&self) -> String {
        format!("{} and {}", self.link.describe(), self.files.describe())
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        Box::pin(async move {
            let waiting = self.marked("outbox").await.len();
            let told = async {
                let version = self.link.version().await?;
                self.beat("").await?;
                let strangers = match self.others().await.strangers.len() {
                    0 => String::new(),
                    count => format!("; {count} tasks are not signed with the team's key and not shown"),
                };
                let there = self.there().await.join(", ");
                Ok(format!("{} {version}, there: {there}{strangers}", self.link.describe()))
            };
            let told: Result<String, LinkError> = told.await;
            let told = told.map_err(|LinkError { why, remedy }| StoreError::Unavailable {
                why: format!("{why}. Tasks go on in {}; {waiting} wait to be sent", self.files.describe()),
                remedy,
            })?;
            let here = self.files.probe().await?;
            Ok(format!("{told}; {here}, {waiting} to be sent"))
        })
    }

    fn there(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move { self.mirror.lock().await.told() })
    }

    fn problem(&self) -> Option<StoreError> {
        self.link.problem().map(StoreError::from)
    }

    fn attend(&self, editor: &str) -> bool {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words["editor"] = json!(editor);
        drop(words);
        self.wake();
        true
    }
}

#[cfg(test)]
mod tests;
