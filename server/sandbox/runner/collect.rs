//! Brings wanted files back: regular ones, reached through no link.
//!
//! No other process runs any more, so what is looked at stays what it is. But all of it was made by the program:
//! names that are no text, links, pipes without a writer, files larger than any disk, a million of them, folders
//! without end. So everything is counted, and what is over a bound is left out.

use super::job::place;
use super::report::{ARTEFACT, CONTENT, Wire};
use super::sys::{O_NOFOLLOW, O_NONBLOCK};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An artefact above this is left out, as are those above the sum.
const FILE_MAX: u64 = 8 << 20;
const SUM_MAX: u64 = 32 << 20;
const FILES_MAX: usize = 4096;
/// Directory entries looked at.
const LOOKS_MAX: usize = 1 << 17;
/// Folders below the root.
const DEPTH_MAX: usize = 32;
const CHUNK: usize = 64 * 1024;

/// Each wanted path is a file's, or a pattern: `*` stands for any part of a name, `**` for any folders, and `/` at
/// the end for all files below. An error means that the server is gone.
pub(super) fn collect(wanted: &[OsString], wire: &mut Wire) -> io::Result<()> {
    let mut collector =
        Collector { wire, bytes: SUM_MAX, looks: LOOKS_MAX, sent: HashSet::new(), buffer: Vec::new() };
    for pattern in wanted {
        let mut pattern = pattern.clone();
        if pattern.as_bytes().ends_with(b"/") {
            pattern.push("**");
        }
        if let Some(pattern) = place(&pattern) {
            let parts: Vec<&OsStr> = pattern.iter().skip(1).collect();
            collector.walk(Path::new("/"), &parts)?;
        }
    }
    Ok(())
}

/// What may still be done.
struct Collector<'a> {
    wire: &'a mut Wire,
    bytes: u64,
    looks: usize,
    sent: HashSet<PathBuf>,
    buffer: Vec<u8>,
}

impl Collector<'_> {
    fn walk(&mut self, folder: &Path, pattern: &[&OsStr]) -> io::Result<()> {
        let Some((part, rest)) = pattern.split_first() else { return Ok(()) };
        match part.as_bytes() {
            b"**" => {
                let any = [OsStr::new("*")];
                self.walk(folder, if rest.is_empty() { &any } else { rest })?;
                for name in self.names(folder) {
                    self.enter(folder.join(name), pattern)?;
                }
            }
            name if !name.contains(&b'*') => self.enter(folder.join(part), rest)?,
            glob => {
                for name in self.names(folder) {
                    if matches(glob, name.as_bytes()) {
                        self.enter(folder.join(name), rest)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes on with what is left of the pattern. Nothing left: this is a wanted file.
    fn enter(&mut self, path: PathBuf, rest: &[&OsStr]) -> io::Result<()> {
        let kind = path.symlink_metadata().map(|found| found.file_type());
        match kind {
            Ok(kind) if rest.is_empty() && kind.is_file() => self.send(path),
            Ok(kind) if !rest.is_empty() && kind.is_dir() => self.walk(&path, rest),
            _ => Ok(()),
        }
    }

    /// In order, so that the same tree gives the same files.
    fn names(&mut self, folder: &Path) -> Vec<OsString> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) if folder.components().count() <= DEPTH_MAX => entries,
            _ => return Vec::new(),
        };
        let mut names: Vec<_> =
            entries.take(self.looks).filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        self.looks -= names.len();
        names.sort_unstable();
        names
    }

    fn send(&mut self, path: PathBuf) -> io::Result<()> {
        let Some((mut file, size)) = open(&path) else { return Ok(()) };
        if size > self.bytes.min(FILE_MAX) || self.sent.len() >= FILES_MAX || self.sent.contains(&path) {
            return Ok(());
        }
        self.bytes -= size;
        self.wire.frame(ARTEFACT, path.as_os_str().as_bytes())?;
        self.sent.insert(path);
        self.buffer.resize(CHUNK, 0);
        while let Ok(read @ 1..) = file.read(&mut self.buffer) {
            self.wire.frame(CONTENT, &self.buffer[..read])?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Option<(File, u64)> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_NOFOLLOW).open(path).ok()?;
    let found = file.metadata().ok().filter(fs::Metadata::is_file)?;
    Some((file, found.len()))
}

/// Whether a name fits: what stands between the stars comes in order, the first at the start, the last at the end.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let mut parts = glob.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts.filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
