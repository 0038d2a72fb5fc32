//! One job as the server wrote it, and its files laid out.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const VERSION: u8 = 2;

/// Where the program lives and where relative paths begin.
pub(super) const WORK: &str = "/work";

#[derive(Debug, PartialEq)]
pub(super) struct Job {
    pub(super) wall: Duration,
    pub(super) output_cap: u64,
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<OsString>,
    pub(super) collect: Vec<OsString>,
    pub(super) stdin: Vec<u8>,
}

impl Job {
    /// Reads a job and lays out its files.
    pub(super) fn receive(input: &mut impl Read) -> io::Result<Job> {
        let job = Job::read(input)?;
        for _ in 0..read_u32(input)? {
            write_file(input)?;
        }
        Ok(job)
    }

    fn read(input: &mut impl Read) -> io::Result<Job> {
        let [version] = read_array(input)?;
        if version != VERSION {
            return Err(io::Error::other(
                "the image and the server differ in version; run `opendevagent sandbox build`",
            ));
        }
        Ok(Job {
            wall: Duration::from_millis(u64::from_le_bytes(read_array(input)?)),
            output_cap: u64::from_le_bytes(read_array(input)?),
            argv: read_list(input)?,
            env: read_list(input)?,
            collect: read_list(input)?,
            stdin: read_bytes(input)?,
        })
    }
}

fn read_array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_u32(input: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_le_bytes(read_array(input)?))
}

/// Grows as bytes arrive, so that a wrong length costs no memory.
fn read_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_u32(input)?;
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

fn read_list(input: &mut impl Read) -> io::Result<Vec<OsString>> {
    let count = read_u32(input)?;
    (0..count).map(|_| read_bytes(input).map(OsString::from_vec)).collect()
}

/// Instead of a file's mode: it is removed.
const GONE: u8 = 2;

/// What is there already is replaced, not written to: it may be another's, or a link.
fn write_file(input: &mut impl Read) -> io::Result<()> {
    let name = OsString::from_vec(read_bytes(input)?);
    let [mode] = read_array(input)?;
    let length = u64::from(read_u32(input)?);
    let explain = |error: io::Error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let remedy = if full { "; raise `sandbox.scratchMiB`" } else { "" };
        io::Error::other(format!("cannot write {}: {error}{remedy}", Path::new(&name).display()))
    };
    let path = place(&name).ok_or_else(|| explain(io::Error::other("outside of /work and /tmp")))?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(explain)?;
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ if mode == GONE => return Ok(()),
        _ => {}
    }
    let mode = if mode == 0 { 0o644 } else { 0o755 };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&path).map_err(explain)?;
    match io::copy(&mut input.take(length), &mut file).map_err(explain)? {
        written if written < length => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The absolute place of a file of a job: below `/work` or `/tmp`, without `..`.
pub(super) fn place(name: &OsStr) -> Option<PathBuf> {
    let path = Path::new(WORK).join(name);
    let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    let inside = path.starts_with(WORK) || path.starts_with("/tmp");
    let a_file = path.components().count() > 2 && !name.as_bytes().ends_with(b"/");
    (plain && inside && a_file && !name.as_bytes().contains(&0)).then_some(path)
}

#[cfg(test)]
mod tests;
