//! The embedded store: a folder with a file of lines for each task.
//!
//! ```text
//! opendevagent/journal/            0700, everything in it 0600
//!   tasks/ID.jsonl                 grows only; written by the server that runs the task
//!   index                          a row for each task; can always be made anew
//!   lock                           held shared to add a row, alone to write the index anew
//!   damaged/                       what could not be read
//! ```

use super::index::{Index, Unread, append, open, says_nothing};
use super::line::line;
use super::{Query, Record, Row, Store, StoreError};
use crate::sandbox::owner::Owner;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kinds of lines that change a task's row in the list.
const ROW_CHANGES: &[&str] = &["begun", "ended", "report", "interrupted", "decided"];
/// Bytes of one task's file that are read at most.
const MOST_BYTES: u64 = 64 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Tasks in files, shared by all servers of this machine. Clones are the same store.
#[derive(Clone)]
pub struct Files(Arc<Shared>);

/// Lines of a task, the place in its file behind them, and its row where they may have changed it.
pub(super) type Piece = (Vec<Value>, u64, Option<Row>);

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    index: Index,
    /// The folder was looked through since this process began.
    looked: bool,
    news: Vec<String>,
    /// Tasks that were ended for servers that are gone.
    buried: Vec<String>,
}

impl Files {
    /// Touches nothing yet.
    pub fn new(folder: PathBuf) -> Self {
        let state = State {
            index: Index::at(folder.join("index")),
            looked: false,
            news: Vec::new(),
            buried: Vec::new(),
        };
        Self(Arc::new(Shared { folder, state: Mutex::new(state) }))
    }

    /// Whether a task is kept here.
    pub(super) fn has(&self, task: &str) -> bool {
        is_id(task) && !self.0.folder.as_os_str().is_empty() && self.0.file(task).exists()
    }

    /// The tasks that were ended here for servers that are gone, since last asked.
    pub(super) fn buried(&self) -> Vec<String> {
        std::mem::take(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner).buried)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Bytes of a task's file.
    pub(super) fn length(&self, task: &str) -> u64 {
        fs::metadata(self.0.file(task)).map_or(0, |data| data.len())
    }

    /// The lines of a task from a place in its file on, at most about `most` bytes; the place behind them; its row.
    pub(super) fn piece(
        &self,
        task: &str,
        from: u64,
        most: u64,
    ) -> BoxFuture<'static, Result<Piece, StoreError>> {
        let task = task.to_owned();
        self.blocking(move |shared| {
            let piece = || {
                let (lines, next) = shared.lines(&task, from, most)?;
                // A line that is longer than all that was wanted.
                let (lines, next) =
                    if next == from { shared.lines(&task, from, MOST_BYTES)? } else { (lines, next) };
                let changed = lines.iter().any(|line| !is_aside(line));
                Ok((lines, next, if changed { Some(shared.record(&task)?.row) } else { None }))
            };
            piece().map_err(|error| shared.failed(&error))
        })
    }

    /// Does `work` where it may wait for the disk.
    pub(super) fn blocking_on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        self.blocking(move |shared| {
            let placed = !shared.folder.as_os_str().is_empty();
            let done = if placed { work() } else { Err(io::ErrorKind::NotFound.into()) };
            done.map_err(|error| shared.failed(&error))
        })
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&shared)).await;
            done.unwrap_or_else(|error| Err(unavailable(&format!("the journal broke off, a bug: {error}"))))
        })
    }
}

impl Store for Files {
    fn append<'a>(
        &'a self,
        task: &'a str,
        lines: Vec<Value>,
        durable: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let task = task.to_owned();
        self.blocking(move |shared| {
            shared.append(&task, &lines, durable).map_err(|error| shared.failed(&error))
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        let query = query.clone();
        self.blocking(move |shared| shared.list(&query).map_err(|error| shared.failed(&error)))
    }

    fn task<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Record, StoreError>> {
        let id = id.to_owned();
        self.blocking(move |shared| {
            let row = shared.find(&id)?;
            shared.known(row).map_err(|error| shared.failed(&error))
        })
    }

    fn since<'a>(
        &'a self,
        task: &'a str,
        cursor: &'a str,
    ) -> BoxFuture<'a, Result<(Vec<Value>, String), StoreError>> {
        let (task, from) = (task.to_owned(), cursor.parse().unwrap_or(0));
        self.blocking(move |shared| {
            let (lines, next) =
                shared.lines(&task, from, MOST_BYTES).map_err(|error| shared.failed(&error))?;
            Ok((lines, next.to_string()))
        })
    }

    fn news(&self) -> BoxFuture<'_, Vec<String>> {
        let news = self.blocking(|shared| {
            // A journal that cannot be opened is told of by whoever writes to it.
            let state = shared.opened();
            Ok(state.map(|mut state| std::mem::take(&mut state.news)).unwrap_or_default())
        });
        Box::pin(async move { news.await.unwrap_or_default() })
    }

    fn prune(&self, days: u32, mib: u64) -> BoxFuture<'_, Result<usize, StoreError>> {
        self.blocking(move |shared| shared.prune(days, mib).map_err(|error| shared.failed(&error)))
    }

    fn describe(&self) -> String {
        self.0.folder.display().to_string()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, StoreError>> {
        self.blocking(|shared| {
            let folder = shared.folder.display();
            if !shared.folder.exists() {
                return Ok(format!("no task is kept in {folder} yet"));
            }
            let count = shared.list(&Query::default()).map_err(|error| shared.failed(&error))?.len();
            Ok(format!("{count} tasks in {folder}"))
        })
    }
}

impl Shared {
    /// The state, brought up to date with what other servers have written.
    fn opened(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.folder.as_os_str().is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        make_folder(&self.folder.join("tasks"))?;
        match state.index.refresh() {
            Ok(()) => {}
            Err(Unread::Failed(error)) => return Err(error),
            Err(Unread::Damaged) => self.rebuild(&mut state)?,
        }
        if !state.looked {
            self.adopt(&mut state)?;
            state.looked = true;
        }
        self.bury(&mut state)?;
        Ok(state)
    }

    fn file(&self, task: &str) -> PathBuf {
        self.folder.join("tasks").join(format!("{task}.jsonl"))
    }

    /// Kept until the file is dropped; taken after the state, never before it. Where a file system knows no locks, rows
    /// may be lost until the next look.
    fn lock(&self, alone: bool) -> io::Result<File> {
        let file = open(&self.folder.join("lock"), OpenOptions::new().create(true).append(true))?;
        let locked = if alone { file.lock() } else { file.lock_shared() };
        match locked {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            _ => Ok(file),
        }
    }

    /// The lock for nobody else, with the state brought up to date under it. An index that is damaged is made anew by
    /// whoever opens the journal next.
    fn alone(&self, state: &mut State) -> io::Result<File> {
        let lock = self.lock(true)?;
        match state.index.refresh() {
            Err(Unread::Failed(error)) => Err(error),
            Ok(()) | Err(Unread::Damaged) => Ok(lock),
        }
    }

    fn append(&self, task: &str, lines: &[Value], durable: bool) -> io::Result<()> {
        if !is_id(task) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{task:?} is no task's id")));
        }
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let changes = |line: &Value| line["kind"].as_str().is_some_and(|kind| ROW_CHANGES.contains(&kind));
        let file = self.file(task);
        if !lines.iter().any(changes) {
            return append(&file, &bytes, durable);
        }
        // Who looks for tasks without a row waits until this one has its own.
        let state = self.opened()?;
        let _lock = self.lock(false)?;
        append(&file, &bytes, durable)?;
        let row = self.record(task)?.row;
        if row.id == task { state.index.put(&row) } else { Ok(()) }
    }

    fn list(&self, query: &Query) -> io::Result<Vec<Row>> {
        let mut rows = {
            let state = self.opened()?;
            // What runs now shows where it stands below, so its phase says nothing yet.
            let stored = Query { phase: None, limit: 0, ..query.clone() };
            let limited = query.phase.is_none().then_some(query.limit);
            Query { limit: limited.unwrap_or(0), ..stored }.choose(state.index.rows.values())
        };
        for row in rows.iter_mut().filter(|row| row.is_running()) {
            if let Ok(record) = self.record(&row.id) {
                *row = record.row;
            }
        }
        Ok(query.choose(rows.iter().rev()))
    }

    fn record(&self, task: &str) -> io::Result<Record> {
        let mut bytes = Vec::new();
        let file = open(&self.file(task), OpenOptions::new().read(true))?;
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(Record::of(&bytes))
    }

    /// The record of a task that is listed. What its file does not say any more, its row does.
    fn known(&self, row: Row) -> io::Result<Record> {
        let mut record = match self.record(&row.id) {
            Err(error) if !says_nothing(&error) => return Err(error),
            read => read.unwrap_or_default(),
        };
        if record.row.id != row.id {
            record.damaged = record.damaged.max(1);
            record.row = row;
        }
        Ok(record)
    }

    /// Whole lines from a place on, and the place behind them.
    fn lines(&self, task: &str, from: u64, most: u64) -> io::Result<(Vec<Value>, u64)> {
        if !is_id(task) {
            return Ok((Vec::new(), from));
        }
        let mut file = open(&self.file(task), OpenOptions::new().read(true))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(most).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        Ok((lines.filter_map(|line| serde_json::from_slice(line).ok()).collect(), from + whole as u64))
    }

    /// The row of a task by the beginning of its id.
    fn find(&self, id: &str) -> Result<Row, StoreError> {
        let state = self.opened().map_err(|error| self.failed(&error))?;
        let unknown = || StoreError::Unknown(id.to_owned());
        if !is_id(id) {
            return Err(unknown());
        }
        if let Some(row) = state.index.rows.get(id) {
            return Ok(row.clone());
        }
        let behind = state.index.rows.range(id.to_owned()..);
        let begin: Vec<&Row> =
            behind.take_while(|(key, _)| key.starts_with(id)).map(|(_, row)| row).collect();
        match begin.as_slice() {
            [] => Err(unknown()),
            [only] => Ok((*only).clone()),
            many => Err(StoreError::Ambiguous { id: id.to_owned(), count: many.len() }),
        }
    }

    /// Makes the index of the tasks' files; what stands in its place is moved aside.
    fn rebuild(&self, state: &mut State) -> io::Result<()> {
        let _lock = self.lock(true)?;
        // Another server may have been faster.
        if state.index.refresh().is_ok() {
            return Ok(());
        }
        let path = self.folder.join("index");
        if path.exists() {
            let aside = self.aside(&path)?;
            state.news.push(format!(
                "the list of tasks was damaged and is made anew; the old one is {}",
                aside.display()
            ));
        }
        state.index.replace(BTreeMap::new())?;
        state.looked = false;
        Ok(())
    }

    /// Lists the tasks whose server ended between their first line and their row.
    fn adopt(&self, state: &mut State) -> io::Result<()> {
        let _lock = self.alone(state)?;
        let mut adopted = false;
        for entry in fs::read_dir(self.folder.join("tasks"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".jsonl").filter(|id| is_id(id)) else { continue };
            if state.index.rows.contains_key(id) {
                continue;
            }
            let record = match self.record(id) {
                // One file that may not be read keeps nobody from the others.
                Err(error) if !says_nothing(&error) => {
                    state.news.push(format!("a task could not be read: {}: {error}", entry.path().display()));
                    continue;
                }
                read => read.unwrap_or_default(),
            };
            if record.row.id == id {
                state.index.put(&record.row)?;
                adopted = true;
            } else {
                let aside = self.aside(&entry.path())?;
                state.news.push(format!("a task could not be read; its file is now {}", aside.display()));
            }
        }
        if adopted && let Err(Unread::Failed(error)) = state.index.refresh() {
            return Err(error);
        }
        Ok(())
    }

    /// Ends the tasks whose server is gone.
    fn bury(&self, state: &mut State) -> io::Result<()> {
        let is_dead = |row: &Row| row.server.parse().is_ok_and(|owner: Owner| owner.is_dead());
        let orphans = |state: &State| -> Vec<String> {
            let rows = state.index.rows.values().filter(|row| row.is_running() && is_dead(row));
            rows.map(|row| row.id.clone()).collect()
        };
        if orphans(state).is_empty() {
            return Ok(());
        }
        let _lock = self.alone(state)?;
        for id in orphans(state) {
            let mut record = self.record(&id).unwrap_or_default();
            if record.row.id != id {
                record.row = self.lost(state, &id)?;
            }
            if record.row.is_running() {
                let message = record.interruption();
                let line = line(now(), "interrupted", json!({"message": message}));
                append(&self.file(&id), format!("{line}\n").as_bytes(), true)?;
                record.take(line);
                state.news.push(format!("{} was {message}", record.row.title));
                state.buried.push(id.clone());
            }
            state.index.put(&record.row)?;
            state.index.rows.insert(id, record.row);
        }
        Ok(())
    }

    /// The row of a task whose file says nothing.
    fn lost(&self, state: &mut State, id: &str) -> io::Result<Row> {
        if self.file(id).exists() {
            let aside = self.aside(&self.file(id))?;
            state.news.push(format!("a task could not be read; its file is now {}", aside.display()));
        }
        let row = state.index.rows.get(id).cloned().unwrap_or_default();
        let message = "interrupted: its file is damaged".to_owned();
        Ok(Row { ended: Some(now()), interrupted: true, phase: "failed".into(), message, ..row })
    }

    /// Moves a file that cannot be read to where nobody looks for tasks.
    fn aside(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = self.folder.join("damaged");
        make_folder(&folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = folder.join(format!("{name}.{}", now()));
        fs::rename(path, &aside)?;
        Ok(aside)
    }

    fn prune(&self, days: u32, mib: u64) -> io::Result<usize> {
        let mut state = self.opened()?;
        let _lock = self.alone(&mut state)?;
        let oldest = now().saturating_sub((DAY * days).as_millis() as u64);
        let size = |id: &str| fs::metadata(self.file(id)).map_or(0, |data| data.len());
        let mut room = mib << 20;
        let mut rows = std::mem::take(&mut state.index.rows);
        let before = rows.len();
        let mut gone = Vec::new();
        for (id, row) in rows.iter().rev() {
            let bytes = size(id);
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            if row.ended.is_some_and(|ended| ended < oldest || !fits) {
                gone.push(id.clone());
            }
        }
        for id in &gone {
            match fs::remove_file(self.file(id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(rows.remove(id)),
            }
        }
        if rows.len() < before || state.index.is_wasteful() {
            state.index.replace(rows)?;
        } else {
            state.index.rows = rows;
        }
        Ok(gone.len())
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        if self.folder.as_os_str().is_empty() {
            return unavailable("there is no home folder to keep tasks in");
        }
        unavailable(&format!("the journal {}: {error}", self.folder.display()))
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable {
        why: why.to_owned(),
        remedy: "free space or make the folder writable; `store.url` may name another".into(),
    }
}

/// A line that no row shows anything of.
fn is_aside(line: &Value) -> bool {
    line["kind"].as_str().is_some_and(|kind| matches!(kind, "noted" | "asked" | "ran" | "found" | "wish"))
}

/// Letters, digits and hyphens: nothing that a path gives a meaning to.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A folder for its owner only.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
