//! Where edit blocks land: blocks derived from every bug and its repair in `HumanEvalPack`, as they are and as a
//! model may spoil them.
//!
//! `cargo bench --bench patches` reads the data from `OPENDEVAGENT_DATA` or from beside the project. An edit is
//! right when it gives exactly the repaired file, wrong when it gives another one; it fails where one is wrong.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it measures no times")]

mod support;

use opendevagent::agent::patch::{Original, Refusal, apply, parse};
use serde_json::Value;
use similar::{Algorithm, capture_diff_slices, group_diff_ops};
use std::path::PathBuf;
use std::process::ExitCode;
use support::line;

/// Of the blocks that nobody spoiled and that have three lines of context, so many percent land.
const TARGET: f64 = 99.0;

/// A bug and its repair.
struct Pair {
    path: &'static str,
    before: String,
    after: String,
}

/// One SEARCH/REPLACE block: lines without their endings. `head` and `tail` stand in both parts.
#[derive(Clone)]
struct Block {
    head: Vec<String>,
    old: Vec<String>,
    new: Vec<String>,
    tail: Vec<String>,
}

/// How a model spoils a block.
type Spoil = fn(&mut Block);

#[derive(Default)]
struct Count {
    right: usize,
    /// Right but for where blank lines stand, which the last rung of the ladder forgives.
    blank: usize,
    refused: usize,
    wrong: usize,
}

fn main() -> ExitCode {
    let pairs = pairs();
    if pairs.is_empty() {
        println!("there is no HumanEvalPack; name its folder by OPENDEVAGENT_DATA");
        return ExitCode::SUCCESS;
    }
    let spoils: [(&str, Spoil); 8] = [
        ("as they are", |_| ()),
        ("dedented", dedent),
        ("indented by two more", |block| block.each(|line| line.insert_str(0, "  "))),
        ("tabs for spaces", tabs),
        ("trailing blanks in SEARCH", trailing),
        ("first line dropped", |block| drop(block.head.drain(..block.head.len().min(1)))),
        ("a context line dropped", |block| drop(block.head.pop().or_else(|| block.tail.pop()))),
        ("a context line doubled", |block| block.head.extend(block.head.last().cloned())),
    ];
    println!("{} pairs; right, right but for blank lines, refused, wrong\n", pairs.len());
    let (mut wrong, mut landed) = (0, 0.0);
    for context in [0, 1, 3] {
        for crlf in [false, true] {
            for (name, spoil) in spoils {
                let mut count = Count::default();
                for pair in &pairs {
                    count.add(pair, context, crlf, spoil);
                }
                wrong += count.wrong;
                if context == 3 && !crlf && name == spoils[0].0 {
                    landed = count.right as f64 * 100.0 / pairs.len() as f64;
                }
                let ends = if crlf { ", file with CRLF" } else { "" };
                let Count { right, blank, refused, wrong } = count;
                line(
                    &format!("context {context}, {name}{ends}"),
                    format!("{right} {blank} {refused} {wrong}"),
                    "",
                );
            }
        }
    }
    println!();
    line("wrong, of all", wrong, "0");
    line("right, context 3, as they are", format!("{landed:.1} %"), "at least 99 %");
    if wrong == 0 && landed >= TARGET { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn pairs() -> Vec<Pair> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("OPENDEVAGENT_DATA").map_or_else(beside, PathBuf::from);
    let files = [("humanevalpack-python.jsonl", "a.py"), ("humanevalpack-js.jsonl", "a.js")];
    let pairs = files.into_iter().flat_map(|(file, path)| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let pair = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("each line is a JSON object");
            let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
            let prompt = field("prompt");
            let [before, after] =
                ["buggy_solution", "canonical_solution"].map(|name| prompt.clone() + &field(name));
            Pair { path, before, after }
        };
        text.lines().map(pair).collect::<Vec<_>>()
    });
    pairs.filter(|pair| pair.before != pair.after).collect()
}

impl Count {
    fn add(&mut self, pair: &Pair, context: usize, crlf: bool, spoil: Spoil) {
        let reply: String = blocks(pair, context)
            .into_iter()
            .map(|mut block| {
                spoil(&mut block);
                block.write(pair.path)
            })
            .collect();
        let text = |text: &str| if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        let before = text(&pair.before);
        match edited(&reply, &before) {
            Ok(Some(after)) if after == text(&pair.after) => self.right += 1,
            Ok(Some(after)) if full(&after).eq(full(&pair.after)) => self.blank += 1,
            Ok(_) => self.wrong += 1,
            Err(_) => self.refused += 1,
        }
    }
}

/// The lines that are not blank.
fn full(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn edited(reply: &str, before: &str) -> Result<Option<String>, Refusal> {
    let changes = apply(&parse(reply)?, &|_| Some(Original { text: before.to_owned() }))?;
    Ok(changes.into_iter().next().and_then(|change| change.after))
}

/// The blocks that lead from the bug to its repair, with so many lines of context.
fn blocks(pair: &Pair, context: usize) -> Vec<Block> {
    let (old, new): (Vec<_>, Vec<_>) = (pair.before.lines().collect(), pair.after.lines().collect());
    let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    let hunks = group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), context);
    let block = |hunk: Vec<similar::DiffOp>| {
        let (first, last) = (&hunk[0], &hunk[hunk.len() - 1]);
        let lines = |from: usize, to: usize, all: &[&str]| owned(&all[from..to]);
        let equal =
            |op: &similar::DiffOp| if op.tag() == similar::DiffTag::Equal { op.new_range().len() } else { 0 };
        let (above, below) = (equal(first), if hunk.len() > 1 { equal(last) } else { 0 });
        let (old_lines, new_lines) =
            (first.old_range().start..last.old_range().end, first.new_range().start..last.new_range().end);
        Block {
            head: lines(old_lines.start, old_lines.start + above, &old),
            old: lines(old_lines.start + above, old_lines.end - below, &old),
            new: lines(new_lines.start + above, new_lines.end - below, &new),
            tail: lines(old_lines.end - below, old_lines.end, &old),
        }
    };
    hunks.into_iter().map(block).collect()
}

impl Block {
    fn each(&mut self, change: impl Fn(&mut String)) {
        let all = [&mut self.head, &mut self.old, &mut self.new, &mut self.tail];
        all.into_iter().flatten().filter(|line| !line.is_empty()).for_each(change);
    }

    fn write(&self, path: &str) -> String {
        let text = |middle: &[String]| -> String {
            [&self.head, middle, &self.tail].concat().iter().map(|line| line.to_owned() + "\n").collect()
        };
        let (search, replace) = (text(&self.old), text(&self.new));
        format!("{path}\n```\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n")
    }
}

/// Lines that the file has are quoted with blanks at their ends.
fn trailing(block: &mut Block) {
    let quoted = [&mut block.head, &mut block.old, &mut block.tail];
    quoted.into_iter().flatten().for_each(|line| line.push_str("  "));
}

/// Takes away the indentation that all lines share.
fn dedent(block: &mut Block) {
    let indent = |line: &String| line.len() - line.trim_start_matches(' ').len();
    let all = [&block.head, &block.old, &block.new, &block.tail];
    let shared = all.into_iter().flatten().filter(|line| !line.trim().is_empty()).map(indent).min();
    block.each(|line| drop(line.drain(..shared.unwrap_or(0).min(indent(line)))));
}

/// Indents with tabs, each for four spaces, where any line that the file has is indented so far.
fn tabs(block: &mut Block) {
    let quoted = [&block.head, &block.old, &block.tail];
    if quoted.into_iter().flatten().any(|line| line.starts_with("    ")) {
        block.each(|line| {
            let text = line.trim_start_matches(' ').to_owned();
            let spaces = line.len() - text.len();
            *line = "\t".repeat(spaces / 4) + &" ".repeat(spaces % 4) + &text;
        });
    }
}
