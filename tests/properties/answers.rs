//! What is read out of a model's answer, however it is written.

use super::{check, text};
use opendevagent::agent::patch::{self, Block, FileChange, Original};
use opendevagent::text::{lines, unified};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Lines that answers are made of, some of them also those of the file.
const LINES: [&str; 34] = [
    "<<<<<<< SEARCH",
    "<<<<<<< SEARCH",
    "=======",
    "=======",
    ">>>>>>> REPLACE",
    ">>>>>>> REPLACE",
    "<<<<< SEARCH",
    "<<<<<<< HEAD",
    ">>>>>>> main",
    "```",
    "```text",
    "````",
    "```diff",
    "```json",
    "a.txt",
    "`a.txt`",
    "b.txt",
    "../a.txt",
    "*** Begin Patch",
    "*** End Patch",
    "*** Update File: a.txt",
    "*** Add File: c.txt",
    "*** Delete File: a.txt",
    "*** Move File: a.txt -> c.txt",
    "--- a/a.txt",
    "+++ b/a.txt",
    "@@ -1,2 +1,2 @@",
    "@@",
    "+one",
    "-one",
    " two",
    "one",
    "  two",
    "",
];
const FILE_LINES: [&str; 6] = ["one", "two", "  two", "three", "", "\tfour 😀"];

fn file() -> impl Strategy<Value = String> {
    let line = (prop::sample::select(&FILE_LINES[..]), prop::sample::select(&["\n", "\n", "\r\n"][..]));
    (prop::collection::vec(line, 0..12), any::<bool>()).prop_map(|(lines, ended)| {
        let text: String = lines.iter().flat_map(|(line, end)| [*line, *end]).collect();
        if ended { text } else { text.trim_end_matches(['\r', '\n']).to_owned() }
    })
}

fn apply(blocks: &[Block], files: &[(&str, &str)]) -> Result<Vec<FileChange>, patch::Refusal> {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    patch::apply(blocks, &|path| files.get(path).map(|text| Original { text: (*text).to_owned() }))
}

/// How often each line stands in a text, apart from blanks around it.
fn counted<'t>(texts: impl Iterator<Item = &'t str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in texts.flat_map(lines) {
        *counts.entry(line.trim().to_owned()).or_default() += 1;
    }
    counts
}

/// The lines of `one` that `other` has fewer of.
fn beyond(one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>) -> Vec<String> {
    let more = |(line, count): (&String, &usize)| {
        (*count > other.get(line).copied().unwrap_or(0)).then(|| line.clone())
    };
    one.iter().filter_map(more).collect()
}

/// Whatever the answer: no panic; what goes was searched for, what comes was written there.
#[test]
fn an_answer_takes_nothing_that_it_does_not_name() {
    let line = prop_oneof![
        9 => prop::sample::select(&LINES[..]).prop_map(str::to_owned),
        3 => prop::sample::select(&FILE_LINES[..]).prop_map(str::to_owned),
        1 => text(6),
    ];
    let soup = prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n") + "\n");
    let part = || prop::collection::vec(prop::sample::select(&FILE_LINES[..]), 0..5);
    let block = (prop::sample::select(&["a.txt", "b.txt"][..]), part(), part()).prop_map(
        |(path, search, replace)| {
            let lines = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let (search, replace) = (lines(search), lines(replace));
            format!("{path}\n```\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n")
        },
    );
    let blocks = prop::collection::vec(block, 1..4).prop_map(|blocks| blocks.concat());
    let answer = prop_oneof![soup, blocks];
    check(6_000, &(answer, file(), file()), |(answer, a, b)| {
        let Ok(blocks) = patch::parse(&answer) else { return };
        let Ok(changes) = apply(&blocks, &[("a.txt", &a), ("b.txt", &b)]) else { return };
        let named: Vec<_> = blocks.iter().flat_map(Block::paths).collect();
        for change in &changes {
            assert!(named.contains(&change.path.as_str()), "{} is not in the answer", change.path);
            let own = blocks.iter().filter(|block| block.path() == change.path);
            let hunks: Option<Vec<_>> = own
                .map(|block| match block {
                    Block::Replace(hunk) => Some(hunk),
                    _ => None,
                })
                .collect();
            let (Some(hunks), Some(before), Some(after)) = (hunks, &change.before, &change.after) else {
                continue;
            };
            let (old, new) = (counted([before.as_str()].into_iter()), counted([after.as_str()].into_iter()));
            let searched = counted(hunks.iter().flat_map(|hunk| hunk.splits()).map(|(search, _)| search));
            let written = counted(hunks.iter().flat_map(|hunk| hunk.splits()).map(|(_, replace)| replace));
            let (gone, come) = (beyond(&old, &new), beyond(&new, &old));
            // A file of blank lines is empty, and a blank line is nothing when it becomes the
            // last one of a file whose last line has no ending.
            let gone: Vec<_> = gone
                .iter()
                .filter(|line| !line.is_empty() || before.ends_with('\n') && !before.trim().is_empty())
                .collect();
            assert!(gone.iter().all(|line| searched.contains_key(*line)), "{gone:?} went unasked: {after:?}");
            assert!(come.iter().all(|line| written.contains_key(line)), "{come:?} came unasked: {after:?}");
        }
    });
}

/// A file of lines that are all different, some of which are replaced.
#[derive(Debug, Clone)]
struct Case {
    lines: Vec<String>,
    ends: Vec<&'static str>,
    /// Lines to be replaced, by how many new ones.
    edits: Vec<(usize, usize)>,
    bom: bool,
    ended: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let ends = prop::collection::vec(prop::sample::select(&["\n", "\n", "\n", "\r\n"][..]), 3..40);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize), 1..4);
    (ends, edits, any::<bool>(), any::<bool>()).prop_map(|(ends, edits, bom, ended)| {
        let lines: Vec<_> =
            (0..ends.len()).map(|nth| format!("{}line {nth} 😀\u{2028}", "  ".repeat(nth % 3))).collect();
        let mut edits: Vec<_> = edits.iter().map(|(at, new)| (at.index(lines.len()), *new)).collect();
        edits.sort_unstable();
        // So far apart that one block's context is not what another replaces.
        edits.dedup_by(|next, last| next.0 - last.0 < 4);
        Case { lines, ends, edits, bom, ended }
    })
}

impl Case {
    fn file(&self, lines: impl Fn(usize) -> Vec<String>) -> String {
        let mut text = String::from(if self.bom { "\u{feff}" } else { "" });
        for (at, end) in self.ends.iter().enumerate() {
            for line in lines(at) {
                text += &line;
                text += end;
            }
        }
        if self.ended { text } else { text.trim_end_matches(['\r', '\n']).to_owned() }
    }

    fn before(&self) -> String {
        self.file(|at| vec![self.lines[at].clone()])
    }

    fn written(&self, at: usize) -> Vec<String> {
        match self.edits.iter().find(|(line, _)| *line == at) {
            Some((_, count)) => (0..*count).map(|nth| format!("new {at} {nth}")).collect(),
            None => vec![self.lines[at].clone()],
        }
    }

    fn answer(&self) -> String {
        let block = |&(at, _): &(usize, usize)| {
            let (from, to) = (at.saturating_sub(1), (at + 2).min(self.lines.len()));
            let search: String = (from..to).map(|at| self.lines[at].clone() + "\n").collect();
            let replace: String =
                (from..to).flat_map(|at| self.written(at)).map(|line| line + "\n").collect();
            format!("a.txt\n```\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n")
        };
        self.edits.iter().map(block).collect()
    }
}

/// What stands outside the blocks stays byte for byte: line endings, byte order mark, missing last line ending.
#[test]
fn blocks_change_their_lines_and_no_byte_beside_them() {
    check(1_500, &case(), |case| {
        let (before, answer) = (case.before(), case.answer());
        let blocks = patch::parse(&answer).expect("it is well written");
        let changes = apply(&blocks, &[("a.txt", &before)]).expect("every block has one place");
        let after = changes[0].after.as_deref().expect("the file stays");
        let ends: BTreeMap<_, _> =
            lines(&before).map(|line| (line.trim_end_matches(['\r', '\n']), line)).collect();
        let content = |line: &str| line.trim_end_matches(['\r', '\n']).to_owned();
        let seen: Vec<_> = lines(after).map(content).collect();
        let expect: Vec<_> = lines(&case.file(|at| case.written(at))).map(content).collect();
        assert_eq!(seen, expect);
        let last = lines(after).count().saturating_sub(1);
        for (nth, line) in lines(after).enumerate() {
            let old = ends.get(content(line).as_str()).filter(|old| nth < last && old.ends_with('\n'));
            assert!(old.is_none_or(|old| *old == line), "{line:?} was {old:?}");
        }
    });
}

/// One block that fits nowhere is enough to refuse all.
#[test]
fn all_files_or_none() {
    check(300, &(case(), any::<bool>()), |(case, first)| {
        let bad = "b.txt\n```\n<<<<<<< SEARCH\nnowhere\n=======\nhere\n>>>>>>> REPLACE\n```\n";
        let answer = if first { bad.to_owned() + &case.answer() } else { case.answer() + bad };
        let blocks = patch::parse(&answer).expect("it is well written");
        let refused = apply(&blocks, &[("a.txt", &case.before()), ("b.txt", "b\n")]);
        assert!(matches!(refused, Err(patch::Refusal::NotFound { .. })), "{refused:?}");
    });
}

/// A unified diff is read back as what it was made of, or refused, never as anything else.
#[test]
fn a_unified_diff_is_read_back() {
    let line =
        || prop::sample::select(&["one", "two", "three", "  four", "", "--- five", "+++ six", "😀"][..]);
    let text = || prop::collection::vec(line(), 1..20).prop_map(|lines| lines.join("\n") + "\n");
    let read = std::cell::Cell::new(0);
    check(1_500, &(text(), text()), |(before, after)| {
        let answer = format!("````diff\n{}````\n", unified("a.txt", Some(&before), Some(&after)));
        let changes = patch::parse(&answer).and_then(|blocks| apply(&blocks, &[("a.txt", &before)]));
        if let Ok(changes) = changes
            && let [change] = &changes[..]
        {
            assert_eq!(change.after.as_deref(), Some(after.as_str()));
            read.set(read.get() + 1);
        }
    });
    assert!(read.get() > 500, "only {} were read at all", read.get());
}
