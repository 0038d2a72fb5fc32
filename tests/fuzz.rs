//! The fuzz targets on a fixed set of inputs: every seed as it is, and mutated. `tests/fuzz/run` looks further.

mod targets;

pub(crate) use targets::{document, place};

use crate::support::project;
use std::time::{Duration, Instant};

/// How long each target is kept busy; what is tried first is always the same.
const SPELL: Duration = Duration::from_secs(2);
const MOST: usize = 1_000;
/// Bytes that mean something to one reader or another.
const SIGNS: &[u8] = b"\n\r\0\xff<=>`{}[]\",:";

/// One input in place of another: bytes changed, removed, doubled, moved over from another.
fn mutate(input: &mut Vec<u8>, other: &[u8], dice: &mut fastrand::Rng) {
    for _ in 0..dice.usize(1..6) {
        let (from, to) = (dice.usize(..=input.len()), dice.usize(..=input.len()));
        let range = from.min(to)..from.max(to).min(from.min(to) + 40);
        match dice.u8(..5) {
            0 => range.for_each(|at| input[at] = dice.u8(..)),
            1 => drop(input.drain(range)),
            2 => input.extend_from_within(range),
            3 => drop(input.splice(from..from, [SIGNS[dice.usize(..SIGNS.len())]])),
            _ => {
                let (start, end) = (dice.usize(..=other.len()), dice.usize(..=other.len()));
                drop(input.splice(range, other[start.min(end)..end].iter().copied()));
            }
        }
    }
}

fn check(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).expect("it is a target");
    let mut seeds: Vec<_> = std::fs::read_dir(project().join("tests/fuzz/corpus").join(name))
        .expect("every target has seeds")
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    seeds.sort();
    let seeds: Vec<_> = seeds.iter().map(|path| std::fs::read(path).expect("a file can be read")).collect();
    assert!(!seeds.is_empty(), "{name} has seeds");
    for seed in &seeds {
        target(seed);
    }
    let mut dice = fastrand::Rng::with_seed(7);
    let began = Instant::now();
    for _ in 0..MOST {
        let (mut input, other) =
            (seeds[dice.usize(..seeds.len())].clone(), &seeds[dice.usize(..seeds.len())]);
        mutate(&mut input, other, &mut dice);
        target(&input);
        if began.elapsed() > SPELL {
            break;
        }
    }
}

#[test]
fn answers() {
    check("answers");
}

#[test]
fn documents() {
    check("documents");
}

#[test]
fn events() {
    check("events");
}

#[test]
fn messages() {
    check("messages");
}

#[test]
fn reports() {
    check("reports");
}
