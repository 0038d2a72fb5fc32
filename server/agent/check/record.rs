//! What the hooks noted: how the processes of a run ended, failed `console.assert`s, executed lines.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// More than this is not read.
const MAX_BYTES: usize = 16 << 20;
const MAX_LINES: usize = 10_000;

/// A line of a workspace file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Site(pub String, pub u32);

/// The notes of all processes that were not started by another noted one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// At least one process was watched.
    pub watched: bool,
    /// A process never came to its end: `os._exit`, `process.reallyExit`, a signal.
    pub cut_short: bool,
    /// The stacks, outermost first, from which `sys.exit` or `process.exit` ended a process.
    pub exits: Vec<Vec<Site>>,
    /// Calls of `console.assert`.
    pub asserted: u32,
    pub failed_asserts: u32,
    /// Where they failed, outermost frame first.
    pub assert_sites: Vec<Vec<Site>>,
    /// Lines of workspace files where a Python assertion failed, whether or not it was caught.
    pub raised: Vec<Site>,
    /// Where a comparison said that values of different types are equal.
    pub equals: Vec<Site>,
    /// The program replaced what tests assert with, or catches the errors that nothing else catches.
    pub replaced: bool,
    /// By workspace path; `None` where the language's hook cannot tell.
    pub executed: Option<BTreeMap<String, BTreeSet<u32>>>,
    /// Lines that could have run and did not, of the files in which every line is known to be one, the other, or none
    /// that runs.
    pub missed: BTreeMap<String, BTreeSet<u32>>,
}

#[derive(Deserialize)]
struct Line {
    start: Option<u64>,
    end: Option<u64>,
    #[serde(default)]
    nested: bool,
    #[serde(default)]
    left: Vec<Site>,
    #[serde(default)]
    asserted: u32,
    #[serde(default)]
    raised: Vec<Site>,
    #[serde(default)]
    equals: Vec<Site>,
    #[serde(default)]
    asserts: Vec<Vec<Site>>,
    #[serde(default)]
    replaced: bool,
    executed: Option<BTreeMap<String, BTreeSet<u32>>>,
    #[serde(default)]
    missed: BTreeMap<String, BTreeSet<u32>>,
}

impl Record {
    /// Reads the hooks' lines. Lines that are none of theirs are passed over.
    pub fn read(bytes: &[u8]) -> Self {
        let mut record = Self::default();
        let mut running = BTreeSet::new();
        let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
        for line in bytes.split(|&byte| byte == b'\n').take(MAX_LINES) {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            if let Some(lines) = line.executed {
                let all = record.executed.get_or_insert_default();
                for (path, numbers) in lines {
                    all.entry(path).or_default().extend(numbers);
                }
            }
            for (path, numbers) in line.missed {
                record.missed.entry(path).or_default().extend(numbers);
            }
            // How a program ends that the check itself has started is for the check to look at.
            if line.nested {
                continue;
            }
            if let Some(pid) = line.start {
                record.watched = true;
                running.insert(pid);
            }
            if line.end.is_some_and(|pid| running.remove(&pid)) {
                record.asserted = record.asserted.saturating_add(line.asserted);
                record.raised.extend(line.raised);
                record.equals.extend(line.equals);
                record.failed_asserts += line.asserts.len() as u32;
                record.assert_sites.extend(line.asserts);
                record.replaced |= line.replaced;
                if !line.left.is_empty() {
                    record.exits.push(line.left);
                }
            }
        }
        record.cut_short = !running.is_empty();
        record
    }

    /// Reads the profile of `go test -coverprofile`: lines `PACKAGE/FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT`.
    /// `inside` gives the workspace path of a file.
    pub fn read_go_coverage(&mut self, bytes: &[u8], inside: impl Fn(&str) -> Option<String>) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        for line in text.lines() {
            let Some((path, from, to, ran)) = go_block(line) else { continue };
            let Some(path) = inside(path).filter(|_| to >= from && to - from < MAX_LINES as u32) else {
                continue;
            };
            let missed = self.missed.entry(path.clone()).or_default();
            let executed = self.executed.get_or_insert_default().entry(path).or_default();
            if ran { executed.extend(from..=to) } else { missed.extend(from..=to) }
        }
    }
}

/// File, first and last line, and whether the block ran.
fn go_block(line: &str) -> Option<(&str, u32, u32, bool)> {
    let (path, rest) = line.rsplit_once(':')?;
    let (place, counts) = rest.split_once(' ')?;
    let (from, to) = place.split_once(',')?;
    let number = |place: &str| place.split('.').next()?.parse().ok();
    Some((path, number(from)?, number(to)?, counts.rsplit(' ').next()? != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_go_tells_what_ran_and_what_did_not() {
        // Written by Go 1.24.
        let profile = "mode: set\nexample.org/m/gcd.go:3.28,4.12 1 1\nexample.org/m/gcd.go:4.12,6.3 1 0\n\
                       example.org/m/gcd.go:7.2,7.20 1 1\nother/x.go:1.1,2.2 1 1\nnothing:1\n";
        let mut record = Record::default();
        record.read_go_coverage(profile.as_bytes(), |path| Some(path.strip_prefix("example.org/m/")?.into()));
        let lines = |map: &BTreeMap<String, BTreeSet<u32>>| map["gcd.go"].iter().copied().collect::<Vec<_>>();
        assert_eq!(lines(record.executed.as_ref().unwrap()), [3, 4, 7]);
        assert_eq!(lines(&record.missed), [4, 5, 6]);
        assert_eq!(record.missed.len(), 1);
    }

    fn check(text: &str, expect: &str) {
        let record = Record::read(text.as_bytes());
        let seen = format!(
            "watched {} cut {} exits {} asserts {} replaced {}",
            record.watched,
            record.cut_short,
            record.exits.len(),
            record.failed_asserts,
            record.replaced
        );
        assert_eq!(seen, expect, "{text}");
    }

    #[test]
    fn the_ends_of_processes_are_read() {
        let quiet = "watched true cut false exits 0 asserts 0 replaced false";
        check("", "watched false cut false exits 0 asserts 0 replaced false");
        check("{\"start\":1}\n{\"end\":1}\n", quiet);
        check("{\"start\":1}\n", "watched true cut true exits 0 asserts 0 replaced false");
        check("{\"start\":1}\n{\"start\":2,\"nested\":true}\n{\"end\":1}\n", quiet);
        check(
            "{\"start\":1}\n{\"end\":1,\"left\":[[\"a.py\",3]],\"asserts\":[[[\"t.js\",1]]],\"replaced\":true}\n",
            "watched true cut false exits 1 asserts 1 replaced true",
        );
    }

    #[test]
    fn junk_is_passed_over() {
        check(
            "\u{0}\n[1]\n{\"start\":-1}\n{\"end\":7}\nnull\n{\"start\":1,",
            "watched false cut false exits 0 asserts 0 replaced false",
        );
    }
}
