//! Lines of the user's files in a run's output: tracebacks, compiler errors, failing tests.

use super::{Observation, ROOT, Runner, State, detect, report};
use crate::event::{Finding, Frame, Severity};
use crate::workspace::Snapshot;
use std::collections::BTreeSet;

const MAX_FINDINGS: usize = 50;
const MAX_FRAMES: usize = 20;
/// Longer lines are no frames.
const MAX_LINE: usize = 2000;
/// Of an output that is read for frames; errors stand at its end.
pub(super) const MAX_OUTPUT: usize = 256 << 10;

/// A place that an output names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: String,
    line: u32,
    column: u32,
    /// What follows it on the line.
    rest: String,
}

pub(super) fn findings(seen: &Observation, snapshot: &Snapshot) -> Vec<Finding> {
    let reader = Reader { snapshot, directory: &seen.directory };
    let mut found = Vec::new();
    for (name, test) in
        seen.tests.iter().filter(|(_, test)| test.state == State::Failed && !test.detail.is_empty())
    {
        let package = name.rsplit_once('.').map_or(name.as_str(), |(package, _)| package);
        let hint = if seen.runner == Runner::Go { package } else { "" };
        let message = if test.message.is_empty() { "the test failed" } else { &test.message };
        let short = name.rsplit("::").next().unwrap_or(name);
        found.extend(reader.test(
            &test.detail,
            hint,
            &format!("{short}: {message}"),
            innermost_last(seen.runner),
        ));
    }
    for site in seen.record.assert_sites.iter().filter_map(|sites| sites.last()) {
        let place = Place { path: site.0.clone(), line: site.1, column: 1, rest: String::new() };
        found.extend(
            reader.exists(&place).then(|| finding(&place, "console.assert failed".into(), Vec::new())),
        );
    }
    if !seen.passes() && found.is_empty() {
        for text in [&seen.stderr, &seen.stdout] {
            found.extend(reader.output(text));
        }
    }
    let mut known = BTreeSet::new();
    found.retain(|finding| known.insert((finding.path.clone(), finding.line, finding.message.clone())));
    found.truncate(MAX_FINDINGS);
    found
}

/// Python prints the innermost frame last, everyone else first. Go's tests name one place at a time.
fn innermost_last(runner: Runner) -> bool {
    matches!(runner, Runner::Pytest | Runner::Unittest | Runner::Go | Runner::Command)
}

fn finding(place: &Place, message: String, related: Vec<Frame>) -> Finding {
    Finding {
        path: place.path.clone(),
        line: place.line,
        column: place.column,
        severity: Severity::Error,
        category: "check".into(),
        message,
        related,
    }
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    directory: &'a str,
}

impl Reader<'_> {
    /// The finding of a failing test: at the innermost frame in a test file, which is the assertion, else at the
    /// innermost in any file; all others are related.
    fn test(&self, detail: &str, package: &str, message: &str, innermost_last: bool) -> Option<Finding> {
        let mut places: Vec<Place> = detail.lines().filter_map(|line| self.place(line, package)).collect();
        if innermost_last {
            places.reverse();
        }
        places.dedup_by(|a, b| (&a.path, a.line) == (&b.path, b.line));
        let syntax = message.contains("SyntaxError") || detail.contains("SyntaxError");
        let at = if syntax {
            0
        } else {
            places.iter().position(|place| detect::is_test(&place.path)).unwrap_or(0)
        };
        let place = places.get(at)?.clone();
        places.remove(at);
        Some(finding(&place, message.trim_end().into(), frames(&places)))
    }

    /// The findings of an output without a report: one for each traceback, one for each compiler error.
    fn output(&self, text: &str) -> Vec<Finding> {
        let lines: Vec<&str> = text.lines().collect();
        let mut found = Vec::new();
        let mut stack: Vec<Place> = Vec::new();
        let mut python = false;
        let mut headline = "";
        // Rust says why it panicked on the line after the place, and warns in the form of its errors.
        let (mut panicked, mut warning) = (false, false);
        for line in lines {
            let trimmed = line.trim_start();
            warning = !trimmed.is_empty() && (warning || line.starts_with("warning"));
            // PHP names the place again at the end.
            if warning || trimmed.starts_with("thrown in ") {
                continue;
            }
            if std::mem::replace(&mut panicked, line.contains(" panicked at ")) && !panicked {
                headline = line;
                Self::close(&mut stack, &mut python, headline, &mut found);
                continue;
            }
            let frame = ["File \"", "at ", "#"].iter().any(|start| trimmed.starts_with(start));
            python |= trimmed.starts_with("File \"");
            if let Some((said, _)) = line.split_once(" in /").filter(|(said, _)| said.contains("Uncaught ")) {
                headline = said;
            }
            if let Some(place) = self.place(line, "") {
                // A Go frame ends in an offset.
                if frame || place.rest.is_empty() || place.rest.starts_with("+0x") {
                    stack.push(place);
                } else {
                    let message = place.rest.clone();
                    found.push(finding(&place, message, Vec::new()));
                }
                continue;
            }
            if frame {
                continue;
            }
            if !line.starts_with(' ') && is_error(line) {
                headline = line;
                if python {
                    Self::close(&mut stack, &mut python, headline, &mut found);
                }
            } else if trimmed.is_empty() && !stack.is_empty() && !headline.is_empty() && !python {
                Self::close(&mut stack, &mut python, headline, &mut found);
            }
        }
        Self::close(&mut stack, &mut python, headline, &mut found);
        found
    }

    fn close(stack: &mut Vec<Place>, python: &mut bool, message: &str, found: &mut Vec<Finding>) {
        let mut places = std::mem::take(stack);
        if std::mem::take(python) {
            places.reverse();
        }
        places.dedup_by(|a, b| (&a.path, a.line) == (&b.path, b.line));
        if let Some((place, rest)) = places.split_first() {
            let message = if message.is_empty() { "the program failed here" } else { message };
            found.push(finding(place, message.into(), frames(rest)));
        }
    }

    /// The place that a line of output names, if it is one of a file in the snapshot.
    fn place(&self, line: &str, package: &str) -> Option<Place> {
        if line.len() > MAX_LINE {
            return None;
        }
        let (path, number, column, rest) = python_frame(line).or_else(|| located(line))?;
        let path = self.resolve(path, package)?;
        let place = Place { path, line: number, column: column.max(1), rest: rest.into() };
        self.exists(&place).then_some(place)
    }

    fn exists(&self, place: &Place) -> bool {
        let text = self.snapshot.text(&place.path);
        place.line > 0 && text.is_ok_and(|text| place.line as usize <= text.lines().count().max(1))
    }

    /// The workspace path that an output's path means.
    fn resolve(&self, path: &str, package: &str) -> Option<String> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        if let Some(path) = path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/')) {
            return self.snapshot.contains(path).then(|| path.to_owned());
        }
        let path = path.trim_start_matches("./");
        if path.is_empty() || path.starts_with('/') {
            return None;
        }
        let below = format!("{}/{path}", self.directory);
        if self.snapshot.contains(below.trim_start_matches('/')) && package.is_empty() {
            return Some(below.trim_start_matches('/').into());
        }
        // Go names a test's file without its folder; the package ends in that folder.
        let end = format!("/{path}");
        let fits = |known: &&str| *known == path || known.ends_with(&end);
        let folder = |known: &str| known.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let mut known: Vec<&str> = self.snapshot.paths().filter(fits).collect();
        known.sort_by_key(|known| {
            let folder = folder(known);
            std::cmp::Reverse(if package.ends_with(&folder) { folder.len() + 1 } else { 0 })
        });
        match known[..] {
            [only] => Some(only.to_owned()),
            [first, ..] if !package.is_empty() => Some(first.to_owned()),
            _ => None,
        }
    }
}

fn frames(places: &[Place]) -> Vec<Frame> {
    let frame =
        |place: &Place| Frame { path: place.path.clone(), line: place.line, message: "called here".into() };
    places.iter().take(MAX_FRAMES).map(frame).collect()
}

fn is_error(line: &str) -> bool {
    let head = line.split([':', ' ']).next().unwrap_or_default();
    ["Error", "Exception", "Exit", "Interrupt", "Warning"].iter().any(|end| head.ends_with(end))
        || ["panic:", "error:", "error[", "✘ [ERROR] "].iter().any(|start| line.starts_with(start))
        || line.starts_with("Uncaught")
        || line.starts_with("Exception in thread")
}

type Located<'a> = (&'a str, u32, u32, &'a str);

/// `File "PATH", line N, in NAME`.
fn python_frame(line: &str) -> Option<Located<'_>> {
    let (_, rest) = line.split_once("File \"")?;
    let (path, rest) = rest.split_once("\", line ")?;
    let (number, rest) = number(rest)?;
    Some((path, number, 1, rest.split_once("in ").map_or("", |(_, name)| name)))
}

/// `PATH:LINE`, `PATH:LINE:COLUMN`, `PATH(LINE,COLUMN)`, `PATH: line LINE` or `in PATH on line LINE`, wherever it stands.
fn located(line: &str) -> Option<Located<'_>> {
    // PHP, which puts the message first.
    if let Some((before, rest)) = line.rsplit_once(" on line ")
        && let Some((said, path)) = before.rsplit_once(" in ")
        && let Some((number, _)) = number(rest)
    {
        return Some((path, number, 1, said.trim()));
    }
    // Bash, and Bats: `(in test file PATH, line LINE)`.
    if let Some((path, rest)) = line.split_once(": line ").or_else(|| line.split_once(", line "))
        && let Some((number, rest)) = number(rest)
    {
        let path = path.rsplit(" file ").next().unwrap_or(path);
        return Some((path.trim(), number, 1, message(rest)));
    }
    line.match_indices([':', '(']).find_map(|(at, mark)| {
        let (line_number, rest) = number(&line[at + 1..])?;
        let start =
            line[..at].rfind(|c: char| c.is_whitespace() || "(\"'[".contains(c)).map_or(0, |blank| blank + 1);
        let path = &line[start..at];
        let dotted = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        if !dotted {
            return None;
        }
        let separator = if mark == "(" { ',' } else { ':' };
        let (column, rest) = rest.strip_prefix(separator).and_then(number).unwrap_or((1, rest));
        Some((path, line_number, column, message(rest)))
    })
}

/// What a compiler says after the place.
fn message(rest: &str) -> &str {
    let rest = rest.trim_start_matches([')', ':', ' ']);
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    rest.strip_prefix("error: ").unwrap_or(rest).trim()
}

/// A number at the start of a text and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The message without what differs from run to run: times and addresses. Other numbers tell failures apart.
pub(super) fn shape(message: &str) -> String {
    let message = report::head(message, 300);
    let mut out = String::new();
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        let address =
            rest.strip_prefix("0x").map(|hex| hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(if c.is_ascii_digit() { digits } else { c.len_utf8() });
        let (shown, after) = match address {
            Some(after) => ("#", after),
            None if c.is_ascii_digit() && is_time(after) => ("#", after),
            None => (number, after),
        };
        out.push_str(shown);
        rest = after;
    }
    out
}

/// What follows a number makes it a time.
fn is_time(after: &str) -> bool {
    let after = after.strip_prefix(' ').unwrap_or(after);
    let unit = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
    ["ns", "us", "µs", "ms", "s", "sec", "second", "seconds", "min", "minutes"].contains(&&after[..unit])
}
