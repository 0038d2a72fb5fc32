//! Which files and definitions matter most for a task: personalised `PageRank` over who refers to whom. Pure.
//!
//! The graph and its weights are those of aider's repository map: a file points at every file that defines a name it
//! uses, the more the oftener it uses it. As a name weighs the same for all who define it, the edges are not made:
//! what a file gives goes to the name first and from there to its definers, so that one step costs by references.

use crate::workspace::Names;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How much of a file's rank goes along its references; the rest goes back to where the task is.
const DAMPING: f64 = 0.85;
const MOST_STEPS: usize = 40;
const CLOSE_ENOUGH: f64 = 1e-5;

/// Weights of a name.
const MENTIONED: f64 = 10.0;
const TELLING: f64 = 10.0;
const TELLING_LENGTH: usize = 8;
const PRIVATE: f64 = 0.1;
const AMBIGUOUS: f64 = 0.1;
const AMBIGUOUS_DEFINERS: usize = 5;
/// A reference in a file that the task is about counts as so many.
const IN_FOCUS: f64 = 50.0;
/// What a definition that nobody uses gets of its own file.
const UNUSED: f64 = 0.1;

/// What a task is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Focus<'a> {
    /// The target, open buffers, files that a failure points at.
    pub(super) files: BTreeSet<&'a str>,
    /// Words of the instruction, the diagnostics and the failing output.
    pub(super) words: BTreeSet<&'a str>,
}

/// The order of what there is, best first.
#[derive(Debug, Default)]
pub(super) struct Ranked<'a> {
    /// By path; sums up to 1.
    pub(super) files: HashMap<&'a str, f64>,
    /// Path and name.
    pub(super) definitions: Vec<(&'a str, &'a str)>,
}

/// A name that is defined somewhere.
struct Name<'a> {
    text: &'a str,
    definers: Vec<usize>,
    /// File and weight of its references; those without any are referred to by their definers.
    uses: Vec<(usize, f64)>,
}

pub(super) fn rank<'a>(files: &'a [(String, Arc<Names>)], focus: &Focus) -> Ranked<'a> {
    let names = graph(files, focus);
    let home = home(files, &names, focus);
    let mut given = vec![0.0; files.len()];
    for name in &names {
        for (file, weight) in &name.uses {
            given[*file] += weight * name.definers.len() as f64;
        }
    }
    let flow = |ranks: &[f64], name: &Name| -> f64 {
        name.uses.iter().map(|(file, weight)| ranks[*file] * weight / given[*file]).sum()
    };
    let mut ranks = home.clone();
    for _ in 0..MOST_STEPS {
        // Who points at nobody starts over, as do all now and then.
        let idle: f64 =
            ranks.iter().zip(&given).filter(|(_, given)| **given == 0.0).map(|(rank, _)| rank).sum();
        let mut next: Vec<f64> = home.iter().map(|home| home * (1.0 - DAMPING + DAMPING * idle)).collect();
        for name in &names {
            let flow = DAMPING * flow(&ranks, name);
            name.definers.iter().for_each(|file| next[*file] += flow);
        }
        let moved: f64 = next.iter().zip(&ranks).map(|(new, old)| (new - old).abs()).sum();
        ranks = next;
        if moved < CLOSE_ENOUGH {
            break;
        }
    }
    let mut definitions: Vec<(f64, &str, &str)> = Vec::new();
    for name in &names {
        let flow = flow(&ranks, name);
        let mentioned = if focus.words.contains(name.text) { MENTIONED } else { 1.0 };
        // Nobody who matters may use what stands in a file that does.
        let own =
            |file: usize| UNUSED * mentioned * ranks[file] / files[file].1.definitions.len().max(1) as f64;
        definitions
            .extend(name.definers.iter().map(|file| (flow + own(*file), files[*file].0.as_str(), name.text)));
    }
    definitions.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    Ranked {
        files: files.iter().zip(ranks).map(|((path, _), rank)| (path.as_str(), rank)).collect(),
        definitions: definitions.into_iter().map(|(_, path, name)| (path, name)).collect(),
    }
}

fn graph<'a>(files: &'a [(String, Arc<Names>)], focus: &Focus) -> Vec<Name<'a>> {
    let mut names = Vec::<Name>::new();
    let mut by_text = HashMap::<&str, usize>::new();
    for (file, (_, found)) in files.iter().enumerate() {
        for definition in &found.definitions {
            let text = &*definition.name;
            let at = *by_text.entry(text).or_insert_with(|| {
                names.push(Name { text, definers: Vec::new(), uses: Vec::new() });
                names.len() - 1
            });
            // Several definitions of one file stand together.
            if names[at].definers.last() != Some(&file) {
                names[at].definers.push(file);
            }
        }
    }
    for (file, (path, found)) in files.iter().enumerate() {
        let here = if focus.files.contains(path.as_str()) { IN_FOCUS } else { 1.0 };
        for (text, count) in &found.references {
            if let Some(at) = by_text.get(&**text) {
                names[*at].uses.push((file, here * f64::from(*count).sqrt()));
            }
        }
    }
    for name in &mut names {
        let weight = weight(name, focus);
        name.uses.iter_mut().for_each(|(_, own)| *own *= weight);
        if name.uses.is_empty() {
            let each = weight * UNUSED / name.definers.len() as f64;
            name.uses = name.definers.iter().map(|file| (*file, each)).collect();
        }
    }
    names
}

fn weight(name: &Name, focus: &Focus) -> f64 {
    let mut weight = 1.0;
    if focus.words.contains(name.text) {
        weight *= MENTIONED;
    }
    if name.text.len() >= TELLING_LENGTH && is_compound(name.text) {
        weight *= TELLING;
    }
    if name.text.starts_with('_') {
        weight *= PRIVATE;
    }
    if name.definers.len() > AMBIGUOUS_DEFINERS {
        weight *= AMBIGUOUS;
    }
    weight
}

/// `snake_case`, `kebab-case` or `camelCase`: several words say more than one.
fn is_compound(name: &str) -> bool {
    let has_letters = name.chars().any(char::is_alphabetic);
    let joined = has_letters && name.contains(['_', '-']);
    joined || (name.chars().any(char::is_uppercase) && name.chars().any(char::is_lowercase))
}

/// Where rank comes from: the files in focus, those that are mentioned by a part of their path and those that define
/// what is mentioned; without any, all files.
fn home(files: &[(String, Arc<Names>)], names: &[Name], focus: &Focus) -> Vec<f64> {
    let is_mentioned = |path: &str| {
        let stem = |part: &str| part.split_once('.').map_or(part.len(), |(stem, _)| stem.len());
        path.split('/').any(|part| focus.words.contains(part) || focus.words.contains(&part[..stem(part)]))
    };
    let share = |path: &str| {
        f64::from(u8::from(focus.files.contains(path))) + f64::from(u8::from(is_mentioned(path)))
    };
    let mut home: Vec<f64> = files.iter().map(|(path, _)| share(path)).collect();
    let mentioned = names
        .iter()
        .filter(|name| focus.words.contains(name.text) && name.definers.len() <= AMBIGUOUS_DEFINERS);
    for file in mentioned.flat_map(|name| &name.definers) {
        home[*file] += 1.0;
    }
    let sum: f64 = home.iter().sum();
    let even = 1.0 / files.len().max(1) as f64;
    for home in &mut home {
        *home = if sum > 0.0 { *home / sum } else { even };
    }
    home
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Vec<(String, Arc<Names>)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), Arc::new(Names::of(path, text)))).collect()
    }

    fn focus<'a>(files: &[&'a str], words: &[&'a str]) -> Focus<'a> {
        Focus { files: files.iter().copied().collect(), words: words.iter().copied().collect() }
    }

    fn best<'a>(files: &'a [(String, Arc<Names>)], about: &Focus) -> Vec<&'a str> {
        let ranked = rank(files, about);
        let sum: f64 = ranked.files.values().sum();
        assert!((sum - 1.0).abs() < 1e-6, "rank is neither made nor lost: {sum}");
        ranked.definitions.into_iter().map(|(_, name)| name).collect()
    }

    const SHOP: &[(&str, &str)] = &[
        ("cart.py", "def total_price(cart):\n    return apply_discount(sum(cart), find_customer())\n"),
        ("discount.py", "def apply_discount(price, who):\n    return round_money(price)\n"),
        ("money.py", "def round_money(amount):\n    return amount\n"),
        ("customers.py", "def find_customer():\n    return load()\n"),
        ("weather.py", "def forecast_rain():\n    return measure_wind()\n"),
        ("wind.py", "def measure_wind():\n    return 1\n"),
    ];

    #[test]
    fn what_the_target_uses_comes_before_what_that_uses_and_the_rest_last() {
        let files = files(SHOP);
        let order = best(&files, &focus(&["cart.py"], &[]));
        let at = |name: &str| order.iter().position(|known| *known == name).unwrap();
        assert!(at("apply_discount") < at("round_money"), "{order:?}");
        assert!(at("find_customer") < at("round_money"), "{order:?}");
        assert!(at("round_money") < at("measure_wind"), "{order:?}");
        let ranked = rank(&files, &focus(&["cart.py"], &[]));
        assert!(ranked.files["wind.py"] < 1e-6, "nothing leads from the target to the weather");
        assert!(ranked.files["discount.py"] > ranked.files["money.py"]);
    }

    #[test]
    fn words_of_the_task_draw_rank() {
        let files = files(SHOP);
        assert_eq!(best(&files, &focus(&["weather.py"], &[]))[0], "measure_wind");
        assert_eq!(best(&files, &focus(&[], &["wind", "measure_wind"]))[0], "measure_wind");
        assert!(!best(&files, &focus(&[], &[])).is_empty(), "no focus is every file alike");
    }

    #[test]
    fn names_weigh_as_published() {
        let name = |text, definers: usize| Name { text, definers: vec![0; definers], uses: Vec::new() };
        let about = focus(&[], &["load"]);
        let weights = [
            ("load", 1, 10.0),
            ("find_customer", 1, 10.0),
            ("_find_customer", 1, 1.0),
            ("get", 6, 0.1),
            ("get", 5, 1.0),
        ];
        for (text, definers, expect) in weights {
            let found = weight(&name(text, definers), &about);
            assert!((found - expect).abs() < 1e-9, "{text}: {found}");
        }
        assert!(
            is_compound("parseArgs") && is_compound("a_b") && !is_compound("parse") && !is_compound("PARSE")
        );
    }

    #[test]
    fn nothing_is_ranked_without_an_error() {
        assert!(rank(&[], &Focus::default()).definitions.is_empty());
        let lonely = files(&[("a.py", "print(1)\n")]);
        assert!(rank(&lonely, &Focus::default()).definitions.is_empty());
    }
}
