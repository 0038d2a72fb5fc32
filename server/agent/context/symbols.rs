//! What the target's names mean and who uses them: excerpts of definitions and callers elsewhere.

use super::excerpt::Excerpt;
use super::rank::Ranked;
use crate::agent::task::Target;
use crate::syntax::{Language, Role};
use crate::workspace::{Index, Snapshot};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Definitions and callers at most; of one name only the best few.
const MOST_DEFINITIONS: usize = 16;
const MOST_CALLERS: usize = 8;
const OF_ONE_NAME: usize = 2;
/// Lines of a definition that are shown, and those around a call.
const DEFINITION_LINES: usize = 40;
const CALL_LINES: usize = 8;
/// Files in which callers are looked for.
const CALLING_FILES: usize = 30;

/// Definitions of what the target uses, then callers of what it defines.
pub(super) fn excerpts(snapshot: &Snapshot, target: &Target, index: &Index, ranked: &Ranked) -> Vec<Excerpt> {
    let Ok(text) = snapshot.text(&target.path) else { return Vec::new() };
    let Some(tree) = Language::of(&target.path).and_then(|language| language.parse(&text)) else {
        return Vec::new();
    };
    let tags = tree.tags();
    let around = target.lines.and_then(|(first, _)| tree.definition_at(first as usize));
    let (first, last) = match (target.lines, &around) {
        (Some((first, last)), Some(around)) => {
            (around.first.min(first as usize), around.last.max(last as usize))
        }
        (Some((first, last)), None) => (first as usize, last as usize),
        (None, _) => (1, usize::MAX),
    };
    let inside = tags.iter().filter(|tag| (first..=last).contains(&tag.first));
    let (mut used, mut defined) = (BTreeSet::new(), BTreeSet::new());
    for tag in inside {
        if tag.role == Role::Reference {
            used.insert(tag.name)
        } else {
            defined.insert(tag.name)
        };
    }
    defined.extend(around.map(|tag| tag.name));
    used.retain(|name| !defined.contains(name));
    let mut found = definitions(snapshot, &used, index, ranked);
    let callers = callers(snapshot, &target.path, (first, last), &defined, index);
    found.extend(callers);
    found
}

fn definitions(snapshot: &Snapshot, used: &BTreeSet<&str>, index: &Index, ranked: &Ranked) -> Vec<Excerpt> {
    let names: HashMap<&str, &Arc<_>> =
        index.files.iter().map(|(path, names)| (path.as_str(), names)).collect();
    let mut shown = HashMap::<&str, usize>::new();
    let mut found = Vec::new();
    for (path, name) in ranked.definitions.iter().filter(|(_, name)| used.contains(name)) {
        let Some(names) = names.get(path) else { continue };
        for definition in names.definitions.iter().filter(|one| &*one.name == *name) {
            let count = shown.entry(name).or_default();
            if *count == OF_ONE_NAME {
                break;
            }
            let Ok(text) = snapshot.text(path) else { continue };
            let (first, last) = (definition.first as usize, definition.last as usize);
            let last = last.min(first + DEFINITION_LINES - 1);
            found.push(Excerpt::lines(path, &text, first, last, format!("definition of {}", plain(name))));
            *count += 1;
        }
        if found.len() >= MOST_DEFINITIONS {
            break;
        }
    }
    found
}

/// Places outside the target's lines that refer to what those define.
fn callers(
    snapshot: &Snapshot,
    target: &str,
    lines: (usize, usize),
    defined: &BTreeSet<&str>,
    index: &Index,
) -> Vec<Excerpt> {
    let calling = index.files.iter().filter(|(_, names)| defined.iter().any(|name| names.refers_to(name)));
    let mut found = Vec::new();
    for (path, _) in calling.take(CALLING_FILES) {
        let Ok(text) = snapshot.text(path) else { continue };
        let Some(tree) = Language::of(path).and_then(|language| language.parse(&text)) else { continue };
        let tags = tree.tags();
        let outside = |line: usize| path != target || !(lines.0..=lines.1).contains(&line);
        let calls = tags
            .iter()
            .filter(|tag| tag.role == Role::Reference && defined.contains(tag.name) && outside(tag.first));
        for call in calls.take(OF_ONE_NAME) {
            let (first, last) = (call.first.saturating_sub(CALL_LINES).max(1), call.last + CALL_LINES);
            let around = tree.definition_at(call.first);
            let (from, to) = around.map_or((1, usize::MAX), |around| (around.first, around.last));
            let why = format!("calls {}", plain(call.name));
            found.push(Excerpt::lines(path, &text, first.max(from), last.min(to), why));
            if found.len() == MOST_CALLERS {
                return found;
            }
        }
    }
    found
}

/// A name that may stand in an attribute: some languages let any text be one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || "_$-.".contains(*c)).take(80).collect()
}
