//! Reads the edits in a model's answer and makes new file texts of them, or refuses with what to send instead.
//!
//! Every block is located in the original text, on whole lines; nothing is applied by likeness, and one
//! refused block refuses the answer (CONTRACT §6).

mod elision;
mod markers;
mod parse;
mod path;
mod place;
mod refusal;
mod rewrite;
#[cfg(test)]
mod tests;

pub use parse::{Block, Replace, Writing, parse};
pub use path::{check_path, needs_confirmation};
pub use place::Closest;
pub use refusal::Refusal;

use crate::syntax;
use crate::text::lines;
use place::{File, Line, Miss, cut};
use rewrite::{Change, Clash};
use std::collections::{BTreeMap, BTreeSet};

/// A whole-file answer may not drop more than half of a file longer than this many lines.
const LONG_FILE: usize = 40;

/// A file as it was before the edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    pub text: String,
}

/// What happens to one file. `None` is a file that does not exist. A move is a deletion and a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// The texts after all `blocks`, sorted by path and without unchanged files, or the first refusal. `original`
/// answers for paths that have passed [`check_path`]; links and excluded files are its to refuse.
pub fn apply(
    blocks: &[Block],
    original: &dyn Fn(&str) -> Option<Original>,
) -> Result<Vec<FileChange>, Refusal> {
    let mut changes = BTreeMap::new();
    for (path, draft) in drafts(blocks)? {
        let before = original(path).map(|file| file.text);
        if before.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Refusal::Binary { path: path.to_owned() });
        }
        if let Some(to) = draft.moved.filter(|to| original(to).is_some()) {
            return Err(Refusal::Taken { path: to.to_owned() });
        }
        let after = draft.after(path, before.as_deref())?;
        if let Some(to) = draft.moved {
            changes.insert(to, (None, after));
            changes.insert(path, (before, None));
        } else if before != after {
            changes.insert(path, (before, after));
        }
    }
    if changes.is_empty() && !blocks.is_empty() {
        return Err(Refusal::NoChange);
    }
    let change = |(path, (before, after)): (&str, _)| FileChange { path: path.to_owned(), before, after };
    Ok(changes.into_iter().map(change).collect())
}

/// What an answer wants of one file.
#[derive(Default)]
struct Draft<'b> {
    hunks: Vec<&'b Replace>,
    whole: Option<&'b str>,
    deleted: bool,
    moved: Option<&'b str>,
}

/// The blocks by the file that they are about. A block on the new name of a moved file is about that file.
fn drafts(blocks: &[Block]) -> Result<BTreeMap<&str, Draft<'_>>, Refusal> {
    let moves = blocks.iter().filter_map(|block| match block {
        Block::Move { from, to } => Some((to.as_str(), from.as_str())),
        _ => None,
    });
    let (mut sources, mut targets) = (BTreeMap::new(), BTreeSet::new());
    for (to, from) in moves {
        targets.insert(to);
        if sources.insert(to, from).is_some() {
            return Err(Refusal::Conflict { path: to.to_owned() });
        }
    }
    let mut drafts: BTreeMap<&str, Draft<'_>> = BTreeMap::new();
    for block in blocks {
        let path = match block {
            Block::Move { from, .. } => from.as_str(),
            _ => sources.get(block.path()).copied().unwrap_or(block.path()),
        };
        let draft = drafts.entry(path).or_default();
        let clash = match block {
            Block::Replace(hunk) => {
                draft.hunks.push(hunk);
                false
            }
            Block::Whole { text, .. } => draft.whole.replace(text).is_some(),
            Block::Delete { .. } => std::mem::replace(&mut draft.deleted, true),
            Block::Move { to, .. } => draft.moved.replace(to).is_some(),
        };
        let writes = draft.whole.is_some() || !draft.hunks.is_empty();
        let mixed = draft.whole.is_some() && !draft.hunks.is_empty();
        if clash || mixed || draft.deleted && (writes || draft.moved.is_some()) {
            return Err(Refusal::Conflict { path: path.to_owned() });
        }
    }
    match drafts.keys().find(|path| targets.contains(*path)) {
        Some(path) => Err(Refusal::Conflict { path: (*path).to_owned() }),
        None => Ok(drafts),
    }
}

impl Draft<'_> {
    /// The text after this draft; `None` where the file is deleted.
    fn after(&self, path: &str, before: Option<&str>) -> Result<Option<String>, Refusal> {
        let created = match self.hunks[..] {
            [hunk] => hunk.created(),
            _ => None,
        };
        let empty = before.is_none_or(|text| text.trim_start_matches('\u{feff}').trim().is_empty());
        let after = match (before, self.whole.or(created)) {
            (None, None) => return Err(Refusal::Missing { path: path.to_owned() }),
            (None, Some(text)) => cut(text).iter().fold(String::new(), |all, line| all + line.text + "\n"),
            (Some(_), _) if self.deleted => return Ok(None),
            (Some(before), Some(text)) if empty || self.whole.is_some() => whole(path, before, text)?,
            (Some(before), _) => edited(path, before, &self.hunks)?,
        };
        if after.contains('\0') {
            return Err(Refusal::Binary { path: path.to_owned() });
        }
        markers::check(path, before.unwrap_or_default(), &after, self.whole.is_some())?;
        elision::check(path, before.unwrap_or_default(), &after)?;
        if let Some(line) = syntax::new_error(path, before.unwrap_or_default(), &after) {
            let text = lines(&after).nth(line - 1).unwrap_or_default().trim().chars().take(120).collect();
            return Err(Refusal::Syntax { path: path.to_owned(), line, text });
        }
        Ok(Some(after))
    }
}

/// The file with all its lines replaced by those of `text`.
fn whole(path: &str, before: &str, text: &str) -> Result<String, Refusal> {
    let file = File::of(before);
    let (search, replace) = (file.lines.clone(), cut(text));
    let (old, new) = (search.len(), replace.len());
    let emptied = new == 0 && !before.trim().is_empty();
    if emptied || old > LONG_FILE && 2 * new < old {
        return Err(Refusal::Shrinks { path: path.to_owned(), before: old, after: new });
    }
    let change = Change { place: file.whole(), search, replace };
    Ok(file.rewrite(&[change]).expect("one change that is not shifted clashes with nothing"))
}

/// The file with every hunk applied.
fn edited(path: &str, before: &str, hunks: &[&Replace]) -> Result<String, Refusal> {
    let file = File::of(before);
    let mut found = Vec::new();
    for hunk in hunks {
        if let Some(change) = locate(path, &file, hunk)? {
            found.push((hunk.line, change));
        }
    }
    let (in_reply, changes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    file.rewrite(&changes).map_err(|clash| match clash {
        Clash::Shallow(at) => Refusal::Indent { path: path.to_owned(), line: in_reply[at] },
        Clash::Overlap(one, other) => Refusal::Overlap {
            path: path.to_owned(),
            first: in_reply[one].min(in_reply[other]),
            second: in_reply[one].max(in_reply[other]),
        },
    })
}

/// Where a hunk stands in the original. `None`: it changes nothing, so its place does not matter.
fn locate<'h>(path: &str, file: &File<'_>, hunk: &'h Replace) -> Result<Option<Change<'h>>, Refusal> {
    let path = || path.to_owned();
    let line = hunk.line;
    let mut splits: Vec<(Vec<Line<'h>>, Vec<Line<'h>>)> =
        hunk.splits().map(|(search, replace)| (cut(search), cut(replace))).collect();
    let places: Vec<_> =
        splits.iter().map(|(search, _)| file.place(search, hunk.anchor.as_deref())).collect();
    // More than one divider line: the block is clear when one way to read it fits the file.
    let fits: Vec<_> = (0..splits.len()).filter(|&at| places[at] != Err(Miss::Nowhere)).collect();
    let at = match fits[..] {
        [at] => at,
        [] => 0,
        _ => return Err(Refusal::Dividers { path: path(), line }),
    };
    let (search, replace) = splits.swap_remove(at);
    if search.is_empty() {
        return Err(Refusal::Exists { path: path(), line });
    }
    if search.iter().map(|line| line.text).eq(replace.iter().map(|line| line.text)) {
        return Ok(None);
    }
    match places.into_iter().nth(at).unwrap_or(Err(Miss::Nowhere)) {
        Ok(place) => Ok(Some(Change { place, search, replace })),
        Err(Miss::Many(hits)) => Err(Refusal::Ambiguous { path: path(), line, hits }),
        Err(Miss::Nowhere) => Err(match file.place(&replace, None) {
            Ok(place) if replace.iter().any(|line| line.text.contains(char::is_alphanumeric)) => {
                Refusal::AlreadyApplied { path: path(), line, at: place.lines.start + 1 }
            }
            _ => Refusal::NotFound { path: path(), line, closest: file.closest(&search) },
        }),
    }
}
