//! How near files are to a target by their names alone, for languages without a grammar, too. Pure.

use crate::workspace::Snapshot;
use std::collections::BTreeSet;

/// Files that tell how people work here; of those in folders the ones above the target count.
const RULE_FILES: &[&str] = &["AGENTS.md", "CONTRIBUTING.md", ".opendevagent.toml"];
/// Never worth a model's attention.
const NOISE: &[&str] = &["lock", "lockb", "svg", "min.js", "map", "csv", "jsonl", "snap", "sum"];

/// Every path that may be shown, the nearest first, each with a number that grows with nearness.
pub(super) fn ranked<'a>(snapshot: &'a Snapshot, target: Option<&str>) -> Vec<(&'a str, u32)> {
    let target_text = target.and_then(|path| snapshot.text(path).ok());
    let target_text = target_text.as_deref().unwrap_or_default();
    let words: BTreeSet<&str> =
        target_text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').collect();
    let mut ranked: Vec<_> = snapshot
        .paths()
        .filter(|path| !NOISE.iter().any(|end| path.ends_with(end)))
        .map(|path| {
            let mut score = 1;
            if let Some(target) = target {
                score += u32::from(path == target) * 1000;
                score += u32::from(!stem(target).is_empty() && path.contains(stem(target))) * 300;
                score += u32::from(folder(path) == folder(target)) * 50;
                score += alike(path, target) * 10;
            }
            score += u32::from(words.contains(stem(path))) * 200;
            score += u32::from(snapshot.version(path).is_some()) * 100;
            (path, score)
        })
        .collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ranked
}

/// The rule files that hold for a target, the innermost first.
pub(super) fn rules(snapshot: &Snapshot, target: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = target.map_or("", folder);
    loop {
        let paths =
            RULE_FILES.iter().map(|name| if at.is_empty() { (*name).into() } else { format!("{at}/{name}") });
        found.extend(paths.filter(|path: &String| snapshot.contains(path)));
        if at.is_empty() {
            return found;
        }
        at = folder(at);
    }
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Folders that two paths have in common, few of many.
fn alike(one: &str, other: &str) -> u32 {
    let same =
        folder(one).split('/').zip(folder(other).split('/')).take_while(|(a, b)| a == b && !a.is_empty());
    same.take(4).count() as u32
}
