//! The way back to the server: frames, and the record that ends them.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};

pub(super) const STARTED: u8 = 1;
pub(super) const STDOUT: u8 = 2;
pub(super) const STDERR: u8 = 3;
pub(super) const ARTEFACT: u8 = 4;
pub(super) const CONTENT: u8 = 5;
pub(super) const RECORD: u8 = 6;

/// What carries the frames.
pub(super) struct Wire(pub(super) File);

impl Wire {
    pub(super) fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(5 + payload.len());
        bytes.push(kind);
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(payload);
        self.0.write_all(&bytes)
    }
}

/// What ended the run. The record spells it the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Ended {
    #[default]
    Exit,
    Timeout,
    Output,
    /// Could not be started.
    Refused,
}

#[derive(Default)]
pub(super) struct Record {
    pub(super) ended: Ended,
    /// Output beyond the cap was dropped.
    pub(super) truncated: bool,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) oom_kills: u64,
    pub(super) wall_ms: u64,
    pub(super) cpu_ms: u64,
    pub(super) peak_bytes: u64,
    pub(super) error: String,
}

impl Record {
    pub(super) fn refused(error: &str) -> Record {
        Record { ended: Ended::Refused, error: error.replace('\n', " "), ..Record::default() }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ended {:?}\ntruncated {}", self.ended, self.truncated)?;
        for (key, value) in [("code", self.code), ("signal", self.signal)] {
            value.map_or(Ok(()), |value| writeln!(f, "{key} {value}"))?;
        }
        writeln!(f, "oom_kills {}\nwall_ms {}", self.oom_kills, self.wall_ms)?;
        writeln!(f, "cpu_ms {}\npeak_bytes {}", self.cpu_ms, self.peak_bytes)?;
        if self.error.is_empty() { Ok(()) } else { writeln!(f, "error {}", self.error) }
    }
}
