//! The server's end of the runner's protocol (see `runner.rs`): a job out, frames and a record in.

use super::{Job, Outcome, Status};
use std::time::Duration;

const VERSION: u8 = 2;
const STARTED: u8 = 1;
const STDOUT: u8 = 2;
const STDERR: u8 = 3;
const ARTEFACT: u8 = 4;
const CONTENT: u8 = 5;
const RECORD: u8 = 6;

/// The runner sends no frame above this.
const FRAME_MAX: usize = 128 * 1024;
/// The runner sends no more of artefacts than this, paths and content.
const ARTEFACTS_MAX: usize = 64 << 20;

/// The bytes of a job.
/// Instead of a file's mode: it is removed.
const GONE: u8 = 2;

pub(super) fn encode(job: &Job, wall: Duration, output_cap: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend((wall.as_millis() as u64).to_le_bytes());
    bytes.extend(output_cap.to_le_bytes());
    let env: Vec<String> = job.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for list in [&job.argv, &env, &job.collect] {
        put_u32(&mut bytes, list.len());
        for item in list {
            put(&mut bytes, item.as_bytes());
        }
    }
    put(&mut bytes, &job.stdin);
    put_u32(&mut bytes, job.removed.len() + job.files.len());
    for path in &job.removed {
        put(&mut bytes, path.as_bytes());
        bytes.push(GONE);
        put(&mut bytes, &[]);
    }
    for file in &job.files {
        put(&mut bytes, file.path.as_bytes());
        bytes.push(file.executable.into());
        put(&mut bytes, &file.bytes);
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, item: &[u8]) {
    put_u32(bytes, item.len());
    bytes.extend_from_slice(item);
}

/// Sizes are bounded by the scratch space long before 4 GiB; a larger one is refused by the runner as cut off.
fn put_u32(bytes: &mut Vec<u8>, size: usize) {
    bytes.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
}

/// What arrived so far.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) started: bool,
    pub(super) record: Option<Record>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    artefacts: Vec<(String, Vec<u8>)>,
    artefacts_size: usize,
    output_cap: usize,
    /// Bytes of an unfinished frame.
    rest: Vec<u8>,
}

/// The runner did not keep to the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl Reply {
    /// For a job that may write so many bytes to each stream.
    pub(super) fn new(output_cap: u64) -> Reply {
        Reply { output_cap: output_cap as usize, ..Reply::default() }
    }

    /// Takes the next bytes, cut anywhere.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Garbled> {
        self.rest.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while let Some((head, body)) = rest[at..].split_at_checked(5) {
            let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if length > FRAME_MAX {
                return Err(Garbled);
            }
            let Some(payload) = body.get(..length) else { break };
            self.frame(head[0], payload)?;
            at += 5 + length;
        }
        rest.drain(..at);
        self.rest = rest;
        Ok(())
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), Garbled> {
        match kind {
            STARTED => self.started = true,
            STDOUT => append(&mut self.stdout, payload, self.output_cap),
            STDERR => append(&mut self.stderr, payload, self.output_cap),
            ARTEFACT | CONTENT => {
                self.artefacts_size += payload.len();
                if self.artefacts_size > ARTEFACTS_MAX {
                    return Err(Garbled);
                }
                if kind == ARTEFACT {
                    self.artefacts.push((String::from_utf8_lossy(payload).into_owned(), Vec::new()));
                } else {
                    self.artefacts.last_mut().ok_or(Garbled)?.1.extend_from_slice(payload);
                }
            }
            RECORD => self.record = Some(Record::parse(std::str::from_utf8(payload).map_err(|_| Garbled)?)?),
            _ => return Err(Garbled),
        }
        Ok(())
    }

    /// The outcome, given how the run ended. The caller adds the names of language, runtime and image.
    pub(super) fn outcome(self, record: Record) -> Outcome {
        Outcome {
            status: record.status(),
            exit_code: record.code,
            signal: record.signal,
            stdout: text(self.stdout),
            stderr: text(self.stderr),
            truncated: record.truncated,
            oom: record.oom_kills > 0,
            duration_ms: record.wall_ms,
            cpu_ms: record.cpu_ms,
            peak_memory_bytes: record.peak_bytes,
            language: None,
            runtime: String::new(),
            image: String::new(),
            left_out: Vec::new(),
            error: record.error,
            artifacts: self.artefacts,
        }
    }
}

/// Without a copy where it is UTF-8, as almost all output is.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn append(stream: &mut Vec<u8>, bytes: &[u8], cap: usize) {
    let room = cap.saturating_sub(stream.len()).min(bytes.len());
    stream.extend_from_slice(&bytes[..room]);
}

/// What ended a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    #[default]
    Exit,
    Timeout,
    Output,
    Refused,
}

/// The runner's last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) ended: Ended,
    pub(super) truncated: bool,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) oom_kills: u64,
    pub(super) wall_ms: u64,
    pub(super) cpu_ms: u64,
    pub(super) peak_bytes: u64,
    pub(super) error: Option<String>,
}

impl Record {
    /// Unknown keys are passed over, so that a newer runner may say more.
    fn parse(text: &str) -> Result<Record, Garbled> {
        fn value<T: std::str::FromStr>(text: &str) -> Result<T, Garbled> {
            text.parse().map_err(|_| Garbled)
        }
        let mut record = Record::default();
        for line in text.lines() {
            let (key, text) = line.split_once(' ').ok_or(Garbled)?;
            match key {
                "ended" => {
                    record.ended = match text {
                        "Exit" => Ended::Exit,
                        "Timeout" => Ended::Timeout,
                        "Output" => Ended::Output,
                        "Refused" => Ended::Refused,
                        _ => return Err(Garbled),
                    }
                }
                "truncated" => record.truncated = value(text)?,
                "code" => record.code = Some(value(text)?),
                "signal" => record.signal = Some(value(text)?),
                "oom_kills" => record.oom_kills = value(text)?,
                "wall_ms" => record.wall_ms = value(text)?,
                "cpu_ms" => record.cpu_ms = value(text)?,
                "peak_bytes" => record.peak_bytes = value(text)?,
                "error" => record.error = Some(text.to_owned()),
                _ => {}
            }
        }
        Ok(record)
    }

    /// CONTRACT §2. Only SIGKILL together with a kill for memory is `oom`: a parent that outlives its child has
    /// its own end.
    fn status(&self) -> Status {
        match (self.ended, self.code, self.signal) {
            (Ended::Refused, ..) => Status::Error,
            (Ended::Timeout, ..) => Status::Timeout,
            (Ended::Output, ..) => Status::OutputLimit,
            (Ended::Exit, Some(0), _) => Status::Ok,
            (Ended::Exit, Some(_), _) => Status::ExitNonzero,
            (Ended::Exit, None, Some(9)) if self.oom_kills > 0 => Status::Oom,
            (Ended::Exit, None, _) => Status::Signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind][..], &(payload.len() as u32).to_le_bytes(), payload].concat()
    }

    #[test]
    fn frames_may_be_cut_anywhere() {
        let bytes = [
            frame(STARTED, b""),
            frame(STDOUT, b"out"),
            frame(STDERR, b"err\xff"),
            frame(STDOUT, b"put"),
            frame(ARTEFACT, b"/tmp/a"),
            frame(ARTEFACT, b"/tmp/\xff"),
            frame(CONTENT, b"x"),
            frame(CONTENT, b"y"),
            frame(RECORD, b"ended Exit\ncode 3\nnew thing\nwall_ms 5\n"),
        ]
        .concat();
        for size in 1..bytes.len() {
            let mut reply = Reply::new(5);
            for chunk in bytes.chunks(size) {
                reply.push(chunk).unwrap();
            }
            assert!(reply.started);
            let record = reply.record.clone().unwrap();
            let outcome = reply.outcome(record);
            assert_eq!((outcome.status, outcome.exit_code), (Status::ExitNonzero, Some(3)));
            assert_eq!((&*outcome.stdout, &*outcome.stderr), ("outpu", "err\u{fffd}"));
            assert_eq!(
                outcome.artifacts,
                [("/tmp/a".to_owned(), vec![]), ("/tmp/\u{fffd}".to_owned(), b"xy".to_vec())]
            );
        }
    }

    #[test]
    fn garbage_is_refused() {
        let check = |bytes: &[u8]| assert_eq!(Reply::new(5).push(bytes), Err(Garbled), "{bytes:?}");
        check(&frame(9, b""));
        check(&frame(CONTENT, b"1"));
        check(&frame(RECORD, b"ended never\n"));
        check(&frame(RECORD, b"code x\n"));
        check(&[STDOUT, 255, 255, 255, 255]);
    }

    #[test]
    fn every_end_has_its_status() {
        let check =
            |record: &str, expect| assert_eq!(Record::parse(record).unwrap().status(), expect, "{record}");
        check("ended Exit\ncode 0\noom_kills 1", Status::Ok);
        check("ended Exit\ncode 137\noom_kills 1", Status::ExitNonzero);
        check("ended Exit\nsignal 9\noom_kills 0", Status::Signal);
        check("ended Exit\nsignal 9\noom_kills 1", Status::Oom);
        check("ended Exit\nsignal 11\noom_kills 1", Status::Signal);
        check("ended Timeout\noom_kills 1", Status::Timeout);
        check("ended Output", Status::OutputLimit);
        check("ended Refused\nerror x", Status::Error);
    }
}
