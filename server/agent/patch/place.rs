//! Finds where the SEARCH text of a block stands in a file.

use crate::text::{Eol, lines, split_end};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// How many hits a refusal lists.
const LISTED: usize = 10;
/// How many lines a "did you mean" shows.
const SHOWN: usize = 20;
/// How many characters of a line a "did you mean" shows.
const WIDTH: usize = 200;
/// How wide a tab may be where spaces in one text stand for tabs in the other.
const TAB_WIDTHS: [usize; 3] = [4, 2, 8];
/// The longest indentation that is shifted: it is written once per REPLACE line.
const DEEPEST: usize = 1_000;
const BOM: char = '\u{feff}';

/// A file cut into lines. What the lines do not hold (the byte order mark, how the last line ends) is kept.
pub(super) struct File<'a> {
    pub(super) bom: bool,
    pub(super) eol: Eol,
    pub(super) lines: Vec<Line<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    /// Empty on a last line without a line ending.
    pub(super) end: &'a str,
}

/// Where a SEARCH text stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Lines of the file, counted from 0.
    pub(super) lines: Range<usize>,
    /// For each SEARCH line the file line that it names; `None` for a blank line the file does not have.
    pub(super) names: Vec<Option<usize>>,
    pub(super) shift: Shift,
}

/// How the indentation of the file differs from that of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// The file has this before every line of the block.
    Add(String),
    /// The block has this before every line of the file.
    Remove(String),
    /// One side indents with tabs: the file's column is the block's plus `by`, written with tabs or without.
    Columns { width: usize, by: isize, tabs: bool },
}

/// Why a SEARCH text has no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// Found more than once: the numbers of the first lines, counted from 1.
    Many(Vec<usize>),
    Nowhere,
}

/// Lines of a file that resemble a SEARCH text; shown to the model, never edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closest {
    /// Counted from 1, both included.
    pub first: usize,
    pub last: usize,
    pub text: String,
}

impl<'a> File<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let content = text.strip_prefix(BOM);
        Self { bom: content.is_some(), eol: Eol::of(text), lines: cut(content.unwrap_or(text)) }
    }

    /// The place of `search`, by the first rung of the ladder that has a hit: exact, line endings, trailing
    /// blanks, one uniform indent shift, blank lines. Each rung also forgives what the rungs before it do.
    /// Where one line alone reads `anchor`, only what follows it counts.
    pub(super) fn place(&self, search: &[Line<'_>], anchor: Option<&str>) -> Result<Place, Miss> {
        let from = anchor.and_then(|anchor| self.only(anchor)).unwrap_or(0);
        let rungs = [exact, contents, trimmed, shifted, unspaced];
        let places = rungs.iter().map(|rung| rung(&self.lines[from..], search)).find(|hits| !hits.is_empty());
        match places.unwrap_or_default().as_mut_slice() {
            [] => Err(Miss::Nowhere),
            [place] => Ok(place.moved(from)),
            places => Err(Miss::Many(places.iter().map(|place| from + place.lines.start + 1).collect())),
        }
    }

    /// The index of the line that reads `anchor` but for blanks around it, if there is just one.
    fn only(&self, anchor: &str) -> Option<usize> {
        let mut found = self.lines.iter().enumerate().filter(|(_, line)| line.text.trim() == anchor.trim());
        found.next().filter(|_| found.next().is_none()).map(|(at, _)| at)
    }

    /// The place that is the whole file.
    pub(super) fn whole(&self) -> Place {
        Place::at(0, self.lines.len())
    }

    /// The region that shares most with `search`, for the message of a refusal. Linear in both.
    pub(super) fn closest(&self, search: &[Line<'_>]) -> Option<Closest> {
        let wanted: HashSet<_> = search.iter().map(|line| line.text.trim()).collect();
        let known: HashSet<_> = search.iter().flat_map(|line| words(line.text)).collect();
        let score = |line: &Line<'_>| {
            let (all, shared) = words(line.text)
                .fold((0, 0), |(all, shared), word| (all + 1, shared + usize::from(known.contains(word))));
            if all > 0 && wanted.contains(line.text.trim()) { 100 } else { 60 * shared / all.max(1) }
        };
        let scores: Vec<usize> = self.lines.iter().map(score).collect();
        let width = search.len().clamp(1, SHOWN).min(scores.len());
        let mut sum: usize = scores.iter().take(width).sum();
        let (mut best, mut first) = (sum, 0);
        for start in 1..=scores.len() - width {
            sum = sum + scores[start + width - 1] - scores[start - 1];
            if sum > best {
                (best, first) = (sum, start);
            }
        }
        let shown = &self.lines[first..first + width];
        (best >= 30 * width.max(1)).then(|| Closest {
            first: first + 1,
            last: first + width,
            text: shown.iter().map(Line::shown).collect::<Vec<_>>().join("\n"),
        })
    }
}

impl Line<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The line for a message, long ones cut.
    fn shown(&self) -> String {
        self.text.chars().take(WIDTH).collect()
    }
}

impl Place {
    fn at(start: usize, len: usize) -> Self {
        let names = (start..start + len).map(Some).collect();
        Self { lines: start..start + len, names, shift: Shift::Add(String::new()) }
    }

    /// The place counted from `by` lines earlier.
    fn moved(&self, by: usize) -> Self {
        let names = self.names.iter().map(|name| name.map(|line| line + by)).collect();
        Self { lines: self.lines.start + by..self.lines.end + by, names, shift: self.shift.clone() }
    }
}

impl Shift {
    /// The shift that leads from the first to the second indentation of every pair (block, file).
    fn between(pairs: &[(&str, &str)]) -> Option<Self> {
        let &(first_block, first_file) = pairs.first()?;
        if pairs.iter().any(|(b, f)| b.len().max(f.len()) > DEEPEST) {
            return None;
        }
        if let Some(added) = first_file.strip_suffix(first_block)
            && pairs.iter().all(|(b, f)| f.strip_prefix(added) == Some(b))
        {
            return Some(Self::Add(added.to_owned()));
        }
        if let Some(removed) = first_block.strip_suffix(first_file)
            && pairs.iter().all(|(b, f)| b.strip_prefix(removed) == Some(f))
        {
            return Some(Self::Remove(removed.to_owned()));
        }
        let tabs = pairs.iter().any(|(_, f)| f.contains('\t'));
        let between = |b, f, width| column(f, width) as isize - column(b, width) as isize;
        let by = |width| between(first_block, first_file, width);
        let fits = |&width: &usize| pairs.iter().all(|&(b, f)| between(b, f, width) == by(width));
        let mut widths: Vec<_> = TAB_WIDTHS.into_iter().filter(fits).collect();
        widths.sort_by_key(|&width| by(width) != 0);
        widths.first().map(|&width| Self::Columns { width, by: by(width), tabs })
    }

    /// A line of the block as it stands in the file; `None` when it is indented less than the shift takes away.
    pub(super) fn apply(&self, line: &str) -> Option<String> {
        if line.trim().is_empty() {
            return Some(line.to_owned());
        }
        match self {
            Self::Add(added) => Some(format!("{added}{line}")),
            Self::Remove(removed) => line.strip_prefix(removed.as_str()).map(str::to_owned),
            Self::Columns { width, by, tabs } => {
                let old = indent(line);
                let column = column(old, *width).checked_add_signed(*by)?;
                let (tabs, spaces) = if *tabs { (column / width, column % width) } else { (0, column) };
                Some(format!("{}{}{}", "\t".repeat(tabs), " ".repeat(spaces), &line[old.len()..]))
            }
        }
    }
}

/// A text as lines. A byte order mark before it is no part of them.
pub(super) fn cut(text: &str) -> Vec<Line<'_>> {
    let split = lines(text.strip_prefix(BOM).unwrap_or(text)).map(split_end);
    split.map(|(text, end)| Line { text, end }).collect()
}

fn exact<'t>(file: &[Line<'t>], search: &[Line<'t>]) -> Vec<Place> {
    // A block cannot say that its last line has no ending, so a last line without one fits.
    let unended = search.last().map_or("", |line| line.end);
    same(file, search, |line| (line.text, if line.end.is_empty() { unended } else { line.end }))
}

fn contents<'t>(file: &[Line<'t>], search: &[Line<'t>]) -> Vec<Place> {
    same(file, search, |line| line.text)
}

fn trimmed<'t>(file: &[Line<'t>], search: &[Line<'t>]) -> Vec<Place> {
    same(file, search, |line| line.text.trim_end())
}

fn shifted<'t>(file: &[Line<'t>], search: &[Line<'t>]) -> Vec<Place> {
    let all = |lines: &[Line<'_>]| (0..lines.len()).collect::<Vec<_>>();
    indented(file, search, &all(file), &all(search))
}

fn unspaced<'t>(file: &[Line<'t>], search: &[Line<'t>]) -> Vec<Place> {
    let full = |lines: &[Line<'_>]| (0..lines.len()).filter(|&at| !lines[at].is_blank()).collect::<Vec<_>>();
    indented(file, search, &full(file), &full(search))
}

/// The places whose lines have the same keys.
fn same<'t, K: PartialEq>(
    file: &[Line<'t>],
    search: &[Line<'t>],
    key: impl Fn(&Line<'t>) -> K,
) -> Vec<Place> {
    let keys = |lines: &[Line<'t>]| lines.iter().map(&key).collect::<Vec<_>>();
    let found = occurrences(&keys(file), &keys(search), LISTED);
    found.into_iter().map(|start| Place::at(start, search.len())).collect()
}

/// The places where the lines of `search` at `search_at` follow each other among those of `file` at `file_at`,
/// all indented by one shift. Linear: what is looked for are lines and the steps between their columns, which a
/// shift leaves alone, but for the first line, whose step leads to it from outside.
fn indented(file: &[Line<'_>], search: &[Line<'_>], file_at: &[usize], search_at: &[usize]) -> Vec<Place> {
    let Some(head) = search_at.iter().position(|&at| !search[at].is_blank()) else { return Vec::new() };
    let (above, below) = search_at.split_at(head + 1);
    let begins = |start: usize| {
        let found = &file_at[start..start + above.len()];
        above.iter().zip(found).rev().all(|(&s, &f)| search[s].text.trim() == file[f].text.trim())
    };
    let mut starts = BTreeSet::new();
    for width in TAB_WIDTHS {
        let hits = if below.is_empty() {
            (0..=file_at.len()).collect()
        } else {
            occurrences(
                &steps(file, file_at, width),
                &steps(search, search_at, width)[head + 1..],
                usize::MAX,
            )
        };
        starts
            .extend(hits.into_iter().filter_map(|hit| hit.checked_sub(above.len())).filter(|&at| begins(at)));
    }
    let place = |start: usize| placed(file, search, &file_at[start..start + search_at.len()], search_at);
    starts.into_iter().filter_map(place).take(LISTED).collect()
}

/// Each line without the blanks around it, and by how many columns it is indented more than the line before.
fn steps<'t>(lines: &[Line<'t>], at: &[usize], width: usize) -> Vec<(&'t str, isize)> {
    let mut last = 0;
    let step = |&at: &usize| {
        let line = lines[at];
        if line.is_blank() {
            return ("", 0);
        }
        let before = std::mem::replace(&mut last, column(indent(line.text), width) as isize);
        (line.text.trim(), last - before)
    };
    at.iter().map(step).collect()
}

/// The place where the SEARCH lines `search_at` stand at the file lines `found`.
fn placed(file: &[Line<'_>], search: &[Line<'_>], found: &[usize], search_at: &[usize]) -> Option<Place> {
    let full = search_at.iter().zip(found).filter(|&(&s, _)| !search[s].is_blank());
    let pairs: Vec<_> = full.map(|(&s, &f)| (indent(search[s].text), indent(file[f].text))).collect();
    let mut names = vec![None; search.len()];
    for (at, (&s, &f)) in search_at.iter().zip(found).enumerate() {
        let (next_s, next_f) = (search_at.get(at + 1).unwrap_or(&s), found.get(at + 1).unwrap_or(&f));
        // Blank lines that both have stand for each other.
        for step in 0..(next_s - s).min(next_f - f).max(1) {
            names[s + step] = Some(f + step);
        }
    }
    let lines = *found.first()?..found.last()? + 1;
    Some(Place { lines, names, shift: Shift::between(&pairs)? })
}

/// Where `needle` begins in `hay`, overlapping hits included, at most `limit` of them. Linear in both (Knuth,
/// Morris and Pratt). An empty needle is nowhere.
fn occurrences<K: PartialEq>(hay: &[K], needle: &[K], limit: usize) -> Vec<usize> {
    // borders[n]: how long the longest proper prefix of needle[..=n] is that also ends it.
    let mut borders = vec![0; needle.len()];
    let advance = |borders: &[usize], mut matched: usize, key: &K| {
        while matched > 0 && (matched == needle.len() || needle[matched] != *key) {
            matched = borders[matched - 1];
        }
        matched + usize::from(needle.get(matched) == Some(key))
    };
    for at in 1..needle.len() {
        borders[at] = advance(&borders, borders[at - 1], &needle[at]);
    }
    let mut matched = 0;
    let ends = hay.iter().enumerate().filter(|(_, key)| {
        matched = advance(&borders, matched, key);
        matched > 0 && matched == needle.len()
    });
    ends.take(limit).map(|(end, _)| end + 1 - needle.len()).collect()
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The column at which an indentation ends when tabs stand `width` apart.
fn column(indent: &str, width: usize) -> usize {
    indent.chars().fold(0, |column, c| if c == '\t' { (column / width + 1) * width } else { column + 1 })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
