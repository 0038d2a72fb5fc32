//! The list of all tasks beside their files, so that a thousand are listed without opening a thousand files.
//!
//! It only repeats what the tasks' files say: lost or damaged, it is made anew. Its first line names its generation;
//! each further line is a row, which replaces the one before of the same task.

use super::Row;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEAD: &str = "opendevagent journal index 1 ";

/// The rows as read so far; reading on costs only what is new.
#[derive(Debug, Default)]
pub(super) struct Index {
    path: PathBuf,
    head: String,
    offset: u64,
    pub(super) rows: BTreeMap<String, Row>,
}

/// Why the index cannot be read.
pub(super) enum Unread {
    /// It is not there, or not ours: to be made anew.
    Damaged,
    Failed(io::Error),
}

impl Index {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// Reads what was added since.
    pub(super) fn refresh(&mut self) -> Result<(), Unread> {
        let mut file = match open(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if says_nothing(&error) => return Err(Unread::Damaged),
            Err(error) => return Err(Unread::Failed(error)),
        };
        let head = read_head(&mut file).map_err(Unread::Failed)?;
        if !head.starts_with(HEAD) || !head.ends_with('\n') {
            return Err(Unread::Damaged);
        }
        let length = file.metadata().map_err(Unread::Failed)?.len();
        if head != self.head || length < self.offset {
            self.rows.clear();
            self.offset = head.len() as u64;
            self.head = head;
        }
        let mut added = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).map_err(Unread::Failed)?;
        file.read_to_end(&mut added).map_err(Unread::Failed)?;
        // Another server may be in the middle of a line.
        let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in added[..whole].split(|byte| *byte == b'\n') {
            if let Ok(row) = serde_json::from_slice::<Row>(line) {
                self.rows.insert(row.id.clone(), row);
            }
        }
        self.offset += whole as u64;
        Ok(())
    }

    /// Adds a row. The caller holds the folder's lock, shared.
    pub(super) fn put(&self, row: &Row) -> io::Result<()> {
        append(&self.path, &line(row), false)
    }

    /// Writes the index anew with `rows`. The caller holds the folder's lock, alone.
    pub(super) fn replace(&mut self, rows: BTreeMap<String, Row>) -> io::Result<()> {
        let head = format!("{HEAD}{}\n", uuid::Uuid::new_v4().simple());
        let mut text = head.clone().into_bytes();
        text.extend(rows.values().flat_map(line));
        let draft = self.path.with_extension(format!("{}.tmp", std::process::id()));
        create(&draft)?.write_all(&text)?;
        std::fs::rename(&draft, &self.path)?;
        *self = Self { path: std::mem::take(&mut self.path), head, offset: text.len() as u64, rows };
        Ok(())
    }

    /// How often, on the average, a row was written: it grows until the index is written anew.
    pub(super) fn is_wasteful(&self) -> bool {
        let needed: usize = self.rows.values().map(|row| line(row).len()).sum();
        self.offset > 4 * (needed as u64 + (1 << 20))
    }
}

fn line(row: &Row) -> Vec<u8> {
    let mut line = serde_json::to_vec(row).unwrap_or_default();
    line.push(b'\n');
    line
}

fn read_head(file: &mut File) -> io::Result<String> {
    let mut head = Vec::new();
    file.take(128).read_to_end(&mut head)?;
    let end = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |at| at + 1);
    Ok(String::from_utf8_lossy(&head[..end]).into_owned())
}

/// A new file, for its owner only.
pub(super) fn create(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create(true).truncate(true))
}

/// Adds whole lines to a file in one piece, so that those of other processes stay whole too. A line that was torn by
/// a full disk or a power cut is ended first.
pub(super) fn append(path: &Path, lines: &[u8], durable: bool) -> io::Result<()> {
    let mut file = open(path, OpenOptions::new().read(true).append(true).create(true))?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == *b"\n" {
        file.write_all(lines)?;
    } else {
        file.write_all(&[b"\n", lines].concat())?;
    }
    if durable { file.sync_data() } else { Ok(()) }
}

/// Opens a file, for its owner only where it is new.
///
/// # Errors
/// `InvalidData` where something else stands in its place: a pipe would be waited for.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is no file", path.display())));
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Whether a file could not be opened because it is not there, or is none.
pub(super) fn says_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
}
