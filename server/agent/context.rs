//! What a model gets to see of the workspace, within a token budget.
//!
//! Only files of the snapshot can be chosen, so ignored and secret files cannot be shown, nor named by the map. Secrets
//! inside the others are hidden by `mask`. The parts are served in a fixed order, each with a share of the room; what
//! one leaves is there for the next:
//!
//! ```text
//! target → files a failure or the plan points at → definitions and callers → rules → open buffers → near files → map
//! ```

mod excerpt;
mod map;
mod near;
mod rank;
mod symbols;
#[cfg(test)]
mod tests;

pub use excerpt::Excerpt;
pub use map::Outline;

use crate::agent::mask::Masks;
use crate::agent::task::{Target, Task};
use crate::model::price::CHARACTERS_PER_TOKEN;
use crate::workspace::{Index, Snapshot};
use rank::{Focus, Ranked};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Shares of the room, in percent. A file that the task is about is shown whole when it leaves something for others,
/// else the lines around the place.
const WHOLE: usize = 85;
const WINDOW: usize = 60;
const SYMBOLS: usize = 20;
const RULES: usize = 10;
const OPEN: usize = 25;
const MAP: usize = 15;
/// Without a target the map is what leads to the place.
const MAP_ALONE: usize = 30;
const LISTING: usize = 5;

/// Further files longer than this are not shown.
const SIDE_FILE_BYTES: usize = 40_000;
/// Files that are considered, best first.
const CANDIDATES: usize = 500;
/// Files that a failure or a plan points at.
const POINTED_AT: usize = 10;
/// Paths listed so that the model knows what exists.
const LISTED_PATHS: usize = 200;
/// Less room than this shows nothing useful of a file.
const LEAST: usize = 1_000;
/// How long files are read for the map, for one task.
const READING: Duration = Duration::from_millis(1_500);

/// What was chosen, ready to be put into a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    pub excerpts: Vec<Excerpt>,
    pub map: Vec<Outline>,
    /// Paths that exist beside them, and how many more there are.
    pub listing: Vec<String>,
    pub unlisted: usize,
}

/// What is known of a task beside its words.
#[derive(Clone, Debug, Default)]
pub struct Clues {
    /// Files and lines that a failure points at.
    pub places: Vec<(String, u32)>,
    /// What the check has printed.
    pub output: String,
}

/// Names of the workspace's files, read once for a task.
pub type Names = Arc<OnceLock<Index>>;

/// Chooses what is shown. Blocks on the disk.
pub fn gather(snapshot: &Snapshot, task: &Task, clues: &Clues, names: &Names, max_tokens: u32) -> Context {
    let target = task.target.as_ref();
    let near = near::ranked(snapshot, target.map(|target| target.path.as_str()));
    let order: Vec<&str> = near.iter().map(|(path, _)| *path).collect();
    let index = names.get_or_init(|| snapshot.names(&order, READING));
    let words = words(task, clues);
    let places = places(task, clues);
    let ranked = rank::rank(&index.files, &focus(snapshot, target, &places, &words));
    let room = max_tokens as usize * CHARACTERS_PER_TOKEN;
    let mut choice = Choice { snapshot, context: Context::default(), room, left: room };
    if let Some(Target { path, lines }) = target {
        choice.place(path, lines.map_or(1, |(first, _)| first));
    }
    for (path, line) in &places {
        choice.place(path, *line);
    }
    if let Some(target) = target {
        choice.symbols(symbols::excerpts(snapshot, target, index, &ranked));
    }
    let target = target.map(|target| target.path.as_str());
    choice.files(near::rules(snapshot, target).iter().map(String::as_str), RULES, true);
    let open = order.iter().copied().filter(|path| snapshot.version(path).is_some());
    choice.files(open, OPEN, false);
    choice.near(near, &ranked, if target.is_some() { MAP } else { MAP_ALONE });
    choice.map(index, &ranked);
    choice.list(&order)
}

/// Words that may be names.
fn words(task: &Task, clues: &Clues) -> String {
    let diagnostics = task.diagnostics.iter().map(|given| given.message.as_str());
    let said = task.instruction.as_deref().into_iter().chain(task.plan.as_deref()).chain(diagnostics);
    said.chain([clues.output.as_str()]).collect::<Vec<_>>().join("\n")
}

/// The files and lines beside the target that the task is about.
fn places(task: &Task, clues: &Clues) -> Vec<(String, u32)> {
    let mut places: Vec<(String, u32)> = Vec::new();
    let planned = task.files.iter().map(|path| (path.clone(), 1));
    for (path, line) in planned.chain(clues.places.iter().cloned()) {
        let is_target = task.target.as_ref().is_some_and(|target| target.path == path);
        if !is_target && places.len() < POINTED_AT && places.iter().all(|(known, _)| *known != path) {
            places.push((path, line));
        }
    }
    places
}

fn focus<'a>(
    snapshot: &'a Snapshot,
    target: Option<&'a Target>,
    places: &'a [(String, u32)],
    words: &'a str,
) -> Focus<'a> {
    let open = snapshot.paths().filter(|path| snapshot.version(path).is_some());
    let files = target.map(|target| target.path.as_str()).into_iter();
    let files = files.chain(places.iter().map(|(path, _)| path.as_str())).chain(open).collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let words = words.split(|c| !is_name(c)).filter(|word| word.len() > 1).collect();
    Focus { files, words }
}

/// What was chosen so far.
struct Choice<'a> {
    snapshot: &'a Snapshot,
    context: Context,
    /// Bytes in all, and those that are left.
    room: usize,
    left: usize,
}

impl Choice<'_> {
    fn share(&self, percent: usize) -> usize {
        self.left.min(self.room * percent / 100)
    }

    /// A file that the task is about: whole, or the lines around one.
    fn place(&mut self, path: &str, line: u32) {
        if self.whole(path, self.left * WHOLE / 100).is_none() {
            let Ok(text) = self.snapshot.text(path) else { return };
            let room = self.left * WINDOW / 100;
            if room > LEAST {
                self.push(Excerpt::window(path, &text, line as usize, room));
            }
        }
    }

    /// Shows a file whole where it fits into `room`, in place of what is shown of it. The bytes it took.
    fn whole(&mut self, path: &str, room: usize) -> Option<usize> {
        let here = |excerpt: &Excerpt| excerpt.path == path;
        if self.context.excerpts.iter().any(|excerpt| here(excerpt) && excerpt.why.is_none()) {
            return Some(0);
        }
        let held: usize =
            self.context.excerpts.iter().filter(|excerpt| here(excerpt)).map(Excerpt::size).sum();
        let room = (room + held).checked_sub(excerpt::frame(path))?;
        if self.snapshot.size(path).is_none_or(|size| size > room as u64) {
            return None;
        }
        let text = self.snapshot.text(path).ok().filter(|text| text.len() <= room)?;
        self.context.excerpts.retain(|excerpt| !here(excerpt));
        self.left += held;
        self.push(Excerpt::whole(path, &text));
        Some((text.len() + excerpt::frame(path)).saturating_sub(held))
    }

    fn push(&mut self, excerpt: Excerpt) {
        self.left -= excerpt.size().min(self.left);
        self.context.excerpts.push(excerpt);
    }

    fn shows(&self, path: &str, first: usize, last: usize) -> bool {
        self.context.excerpts.iter().any(|excerpt| excerpt.shows(path, first, last))
    }

    fn symbols(&mut self, found: Vec<Excerpt>) {
        let mut room = self.share(SYMBOLS);
        for excerpt in found {
            let (first, last) = excerpt.range();
            if excerpt.size() <= room && !excerpt.text.is_empty() && !self.shows(&excerpt.path, first, last) {
                room -= excerpt.size();
                self.push(excerpt);
            }
        }
    }

    /// Files that share `percent` of the room; `cut` shows the beginning of one that does not fit.
    fn files<'p>(&mut self, paths: impl Iterator<Item = &'p str>, percent: usize, cut: bool) {
        let mut room = self.share(percent);
        for path in paths {
            if let Some(used) = self.whole(path, room) {
                room -= used.min(room);
            } else if let Some(text) = self.snapshot.text(path).ok().filter(|_| cut && room > LEAST) {
                self.push(Excerpt::window(path, &text, 1, room));
                room = 0;
            }
        }
    }

    /// Fills what the map leaves with whole files, the nearest first.
    fn near(&mut self, mut near: Vec<(&str, u32)>, ranked: &Ranked, map: usize) {
        let map = if ranked.definitions.is_empty() { 0 } else { self.share(map) };
        let reserved = map + self.share(LISTING);
        let rank = |path: &str| ranked.files.get(path).copied().unwrap_or_default();
        near.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| rank(b.0).total_cmp(&rank(a.0))));
        for (path, _) in near.into_iter().take(CANDIDATES) {
            self.whole(path, self.left.saturating_sub(reserved).min(SIDE_FILE_BYTES));
        }
        // Whole files come first, in the order in which they were served.
        self.context.excerpts.sort_by_key(|excerpt| excerpt.why.is_some());
    }

    fn map(&mut self, index: &Index, ranked: &Ranked) {
        let room = self.left.saturating_sub(self.share(LISTING));
        let map =
            map::outlines(self.snapshot, index, ranked, room, |path, line| self.shows(path, line, line));
        let size = |outline: &Outline| outline.lines.iter().map(|(_, text)| text.len()).sum::<usize>();
        self.left -= map.iter().map(size).sum::<usize>().min(self.left);
        self.context.map = map;
    }

    /// Names the nearest of the other files.
    fn list(mut self, order: &[&str]) -> Context {
        let shown: BTreeSet<&str> =
            self.context.excerpts.iter().map(|excerpt| excerpt.path.as_str()).collect();
        let shown: BTreeSet<&str> =
            shown.into_iter().chain(self.context.map.iter().map(|outline| outline.path.as_str())).collect();
        let others: Vec<&str> = order.iter().copied().filter(|path| !shown.contains(path)).collect();
        let mut listing = Vec::new();
        for path in others.iter().take(LISTED_PATHS) {
            if path.len() + 2 > self.left {
                break;
            }
            self.left -= path.len() + 2;
            listing.push((*path).to_owned());
        }
        listing.sort_unstable();
        self.context.unlisted = others.len() - listing.len();
        self.context.listing = listing;
        self.context
    }
}

impl Context {
    /// Hides the secrets in what is shown.
    pub fn hide(&mut self, masks: &mut Masks) {
        for Excerpt { path, text, part, .. } in &mut self.excerpts {
            *text = masks.hide_file(path, part.map_or(1, |(first, _)| first), text);
        }
        for Outline { path, lines } in &mut self.map {
            for (line, text) in lines {
                *text = masks.hide_file(path, *line, text);
            }
        }
    }

    /// What was chosen, each piece fenced by the nonce so that nothing in it can pose as an instruction.
    pub fn render(&self, nonce: &str) -> String {
        let mut out = String::new();
        for excerpt in &self.excerpts {
            let (first, last) = excerpt.range();
            let part = excerpt
                .part
                .map_or(String::new(), |(_, of)| format!(" lines=\"{first}-{last}\" of=\"{of}\""));
            let why = excerpt.why.as_ref().map_or(String::new(), |why| format!(" shown-for=\"{why}\""));
            let _ = write!(out, "<data-{nonce} file=\"{}\"{part}{why}>\n{}", excerpt.path, excerpt.text);
            if !excerpt.text.ends_with('\n') {
                out.push('\n');
            }
            let _ = writeln!(out, "</data-{nonce}>");
        }
        if !self.map.is_empty() {
            let _ =
                writeln!(out, "Elsewhere in the workspace, definitions by line number:\n<data-{nonce} map>");
            for Outline { path, lines } in &self.map {
                let _ = writeln!(out, "{path}");
                for (line, text) in lines {
                    let _ = writeln!(out, "{line:>5}: {text}");
                }
            }
            let _ = writeln!(out, "</data-{nonce}>");
        }
        if !self.listing.is_empty() {
            let more = if self.unlisted > 0 { format!(" and {} more", self.unlisted) } else { String::new() };
            let _ = writeln!(out, "Further files of the workspace: {}{more}", self.listing.join(", "));
        }
        out
    }
}
