//! The repository map: where the definitions stand that matter most, each by its first line. Pure but for the texts.

use super::rank::Ranked;
use crate::workspace::{Index, Snapshot};
use std::collections::HashMap;

/// Characters of a line that are shown.
const WIDTH: usize = 120;
const MOST_LINES: usize = 400;
/// What a line takes beside its text.
const FRAME: usize = 10;

/// The lines of one file, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub path: String,
    /// Each with its number, from 1.
    pub lines: Vec<(usize, String)>,
}

/// As many lines as fit into `room` bytes, the best files first. `is_shown` tells what the model sees already.
pub(super) fn outlines(
    snapshot: &Snapshot,
    index: &Index,
    ranked: &Ranked,
    room: usize,
    is_shown: impl Fn(&str, usize) -> bool,
) -> Vec<Outline> {
    let names: HashMap<&str, _> = index.files.iter().map(|(path, names)| (path.as_str(), names)).collect();
    let mut outlines = Vec::<Outline>::new();
    let mut at = HashMap::<&str, usize>::new();
    let (mut used, mut count) = (0, 0);
    for (path, name) in &ranked.definitions {
        let Some(names) = names.get(path) else { continue };
        for definition in names.definitions.iter().filter(|one| &*one.name == *name) {
            let line = definition.first as usize;
            if is_shown(path, line) {
                continue;
            }
            let Some(text) = snapshot.text(path).ok().and_then(|text| signature(&text, line)) else {
                continue;
            };
            let size = text.len() + FRAME + if at.contains_key(path) { 0 } else { path.len() + FRAME };
            if used + size > room || count == MOST_LINES {
                return sorted(outlines);
            }
            used += size;
            count += 1;
            let index = *at.entry(path).or_insert_with(|| {
                outlines.push(Outline { path: (*path).into(), lines: Vec::new() });
                outlines.len() - 1
            });
            outlines[index].lines.push((line, text));
        }
    }
    sorted(outlines)
}

fn signature(text: &str, line: usize) -> Option<String> {
    let line = text.split('\n').nth(line - 1)?.trim_end();
    (!line.trim().is_empty()).then(|| line.chars().take(WIDTH).collect())
}

fn sorted(mut outlines: Vec<Outline>) -> Vec<Outline> {
    for outline in &mut outlines {
        outline.lines.sort_unstable();
        outline.lines.dedup();
    }
    outlines
}
