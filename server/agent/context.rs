//! What a model gets to see of the workspace, within a token budget. Pure.
//!
//! Only files of the snapshot can be chosen, so ignored and secret files cannot be shown. Secrets inside the others
//! are hidden by `mask`.

use crate::agent::mask::Masks;
use crate::agent::task::{Target, Task};
use crate::model::price::CHARACTERS_PER_TOKEN;
use crate::workspace::Snapshot;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Further files longer than this are not shown unless a failure points at them.
const SIDE_FILE_BYTES: usize = 40_000;
/// Files that are considered, best first.
const CANDIDATES: usize = 500;
/// Paths listed so that the model knows what exists.
const LISTED_PATHS: usize = 200;

/// Files that tell how people work here.
const RULE_FILES: &[&str] = &["AGENTS.md", "CONTRIBUTING.md"];
/// Never worth a model's attention.
const NOISE: &[&str] = &["lock", "lockb", "svg", "min.js", "map", "csv", "jsonl", "snap", "sum"];

/// What was chosen, ready to be put into a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    pub excerpts: Vec<Excerpt>,
    /// Paths that exist beside them.
    pub listing: Vec<String>,
}

/// A file, or the lines of it around the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub path: String,
    pub text: String,
    /// First line shown and how many the file has, when it is not shown whole.
    pub part: Option<(usize, usize)>,
}

/// Chooses files: the target, the files a failure points at, then by how near they are to the target.
pub fn gather(snapshot: &Snapshot, task: &Task, pointed_at: &[String], max_tokens: u32) -> Context {
    let mut left = max_tokens as usize * CHARACTERS_PER_TOKEN;
    let mut context = Context::default();
    let target = task.target.as_ref();
    for (path, score) in ranked(snapshot, target, pointed_at).into_iter().take(CANDIDATES) {
        let wanted = score >= POINTED_AT;
        if !wanted && snapshot.size(path).is_none_or(|size| size > left.min(SIDE_FILE_BYTES) as u64) {
            continue;
        }
        let Ok(text) = snapshot.text(path) else { continue };
        let excerpt = if text.len() <= left {
            Excerpt { path: path.into(), text: text.to_string(), part: None }
        } else if wanted && left > 1_000 {
            let line = target.filter(|target| target.path == path).and_then(|target| target.lines);
            window(path, &text, line.map_or(1, |(first, _)| first as usize), left)
        } else {
            continue;
        };
        left -= excerpt.text.len().min(left);
        context.excerpts.push(excerpt);
    }
    let shown: BTreeSet<_> = context.excerpts.iter().map(|excerpt| excerpt.path.as_str()).collect();
    let mut listing: Vec<_> = snapshot.paths().filter(|path| !shown.contains(path)).collect();
    listing.sort_unstable();
    context.listing = listing.into_iter().take(LISTED_PATHS).map(Into::into).collect();
    context
}

const TARGET: u32 = 1000;
const POINTED_AT: u32 = 500;

fn ranked<'a>(snapshot: &'a Snapshot, target: Option<&Target>, pointed_at: &[String]) -> Vec<(&'a str, u32)> {
    let target_text = target.and_then(|target| snapshot.text(&target.path).ok());
    let target_text = target_text.as_deref().unwrap_or_default();
    let words: BTreeSet<&str> =
        target_text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').collect();
    let mut ranked: Vec<_> = snapshot
        .paths()
        .filter(|path| !NOISE.iter().any(|end| path.ends_with(end)))
        .map(|path| {
            let mut score = 1;
            if let Some(target) = target {
                score += u32::from(path == target.path) * TARGET;
                score += u32::from(!stem(&target.path).is_empty() && path.contains(stem(&target.path))) * 300;
                score += u32::from(folder(path) == folder(&target.path)) * 50;
            }
            score += u32::from(pointed_at.iter().any(|pointed| pointed == path)) * POINTED_AT;
            score += u32::from(words.contains(stem(path))) * 200;
            score += u32::from(RULE_FILES.contains(&path)) * 250;
            score += u32::from(snapshot.version(path).is_some()) * 100;
            (path, score)
        })
        .collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ranked
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// As many whole lines around `line` (from 1) as fit into `room` bytes.
fn window(path: &str, text: &str, line: usize, room: usize) -> Excerpt {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let middle = line.clamp(1, lines.len().max(1)) - 1;
    let (mut first, mut end, mut used) = (middle, middle, 0);
    loop {
        let before = used;
        if end < lines.len() && used + lines[end].len() <= room {
            used += lines[end].len();
            end += 1;
        }
        if first > 0 && used + lines[first - 1].len() <= room {
            first -= 1;
            used += lines[first].len();
        }
        if used == before {
            break;
        }
    }
    Excerpt { path: path.into(), text: lines[first..end].concat(), part: Some((first + 1, lines.len())) }
}

impl Context {
    /// Hides the secrets in the files.
    pub fn hide(&mut self, masks: &mut Masks) {
        for Excerpt { path, text, part } in &mut self.excerpts {
            *text = masks.hide_file(path, part.map_or(1, |(first, _)| first), text);
        }
    }

    /// The chosen files, each fenced by the nonce so that nothing in it can pose as an instruction.
    pub fn render(&self, nonce: &str) -> String {
        let mut out = String::new();
        for Excerpt { path, text, part } in &self.excerpts {
            let part = part.map_or(String::new(), |(first, of)| {
                format!(" lines=\"{first}-{}\" of=\"{of}\"", first + text.lines().count().max(1) - 1)
            });
            let _ = write!(out, "<data-{nonce} file=\"{path}\"{part}>\n{text}");
            if !text.ends_with('\n') {
                out.push('\n');
            }
            let _ = writeln!(out, "</data-{nonce}>");
        }
        if !self.listing.is_empty() {
            let _ = writeln!(out, "Further files of the workspace: {}", self.listing.join(", "));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;
    use crate::workspace::Documents;

    fn context(files: &[(&str, &str)], target: Option<&str>, tokens: u32) -> Context {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let snapshot = Snapshot::take(directory.path(), &Documents::default(), &[]).unwrap();
        let mut task = Task::new(Action::Fix, directory.path().into());
        task.target = target.map(|path| Target { path: path.into(), lines: None });
        gather(&snapshot, &task, &[], tokens)
    }

    fn paths(context: &Context) -> Vec<&str> {
        context.excerpts.iter().map(|excerpt| excerpt.path.as_str()).collect()
    }

    #[test]
    fn the_target_comes_first_then_what_is_near() {
        let files = [
            ("a/zoo.py", "x"),
            ("src/gcd.py", "import num\n"),
            ("src/num.py", "n"),
            ("tests/test_gcd.py", "t"),
        ];
        let found = context(&files, Some("src/gcd.py"), 1000);
        assert_eq!(paths(&found), ["src/gcd.py", "tests/test_gcd.py", "src/num.py", "a/zoo.py"]);
    }

    #[test]
    fn secrets_and_ignored_files_are_never_shown() {
        let files = [
            (".env", "KEY=1"),
            (".gitignore", "out/\n"),
            ("out/x.py", "secret"),
            ("deep/.env.local", "KEY=2"),
            ("id_rsa", "k"),
            ("a.py", "a"),
        ];
        let found = context(&files, None, 1000);
        assert_eq!(paths(&found), [".gitignore", "a.py"]);
        assert!(found.listing.is_empty());
    }

    #[test]
    fn a_long_target_is_shown_around_its_line() {
        let text = (1..=5000).map(|n| format!("line {n}\n")).collect::<String>();
        let found = window("a.py", &text, 2500, 1200);
        assert!(found.text.contains("line 2500\n") && found.text.len() <= 1200);
        assert_eq!(found.part.unwrap().1, 5000);
    }
}
