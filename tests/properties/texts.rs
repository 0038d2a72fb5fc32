//! Positions, diffs, rebased edits, and documents under change.

use super::{PIECES, boundary, check, text};
use crate::fuzz::{document, place};
use opendevagent::text::{
    Edit, Edits, Encoding, Lines, Position, Span, diff, lines, rebase, rope_change, rope_offset,
};
use opendevagent::workspace::Documents;
use proptest::prelude::*;
use ropey::Rope;

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// Whether `at` lies inside a line ending, where no position can point.
fn inside_an_ending(text: &str, at: usize) -> bool {
    text[..at].ends_with('\r') && text[at..].starts_with('\n')
}

#[test]
fn every_place_has_a_position_that_leads_back() {
    check(400, &text(60), |text| {
        let (index, rope) = (Lines::of(&text), Rope::from_str(&text));
        assert_eq!(index.count(), rope.len_lines(), "both count the same lines");
        let places = (0..=text.len()).filter(|&at| text.is_char_boundary(at) && !inside_an_ending(&text, at));
        for at in places {
            for encoding in ENCODINGS {
                let position = index.position(&text, at, encoding);
                assert_eq!(index.offset(&text, position, encoding), at, "{encoding:?} {position:?}");
                assert_eq!(rope.char_to_byte(rope_offset(&rope, position, encoding)), at, "{encoding:?}");
            }
        }
    });
}

#[test]
fn a_position_outside_the_text_is_moved_into_it() {
    let wild = prop_oneof![0..70_u32, Just(u32::MAX)];
    check(600, &(text(40), wild.clone(), wild), |(text, line, column)| {
        let (index, rope) = (Lines::of(&text), Rope::from_str(&text));
        for encoding in ENCODINGS {
            let position = Position { line, column };
            let at = index.offset(&text, position, encoding);
            assert!(text.is_char_boundary(at) && !inside_an_ending(&text, at), "{at} is a place");
            assert_eq!(rope.char_to_byte(rope_offset(&rope, position, encoding)), at, "{encoding:?}");
            if (line as usize) < index.count() {
                let found = index.position(&text, at, encoding);
                assert_eq!(found.line, line, "it stays in its line");
                assert!(found.column <= column, "and goes back, never on");
            }
        }
    });
}

/// How many whole lines two texts share at their beginning.
fn shared<'t>(one: impl Iterator<Item = &'t str>, other: impl Iterator<Item = &'t str>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

#[test]
fn a_diff_leads_to_the_other_text_and_touches_nothing_else() {
    let pair = prop_oneof![
        (text(40), text(40)),
        (text(60), any::<prop::sample::Index>(), text(4)).prop_map(|(before, at, new)| {
            let from = boundary(&before, at.index(before.len() + 1));
            let to = boundary(&before, from + new.len());
            let after = [&before[..from], &new, &before[to..]].concat();
            (before, after)
        }),
    ];
    check(1_000, &pair, |(before, after)| {
        let edits = diff(&before, &after);
        assert_eq!(edits.apply(&before), after);
        assert_eq!(Edits::new(edits.iter().cloned().collect(), &before), Ok(edits.clone()));
        for edit in &edits {
            let gone = &before[edit.span.start..edit.span.end];
            assert!(!inside_an_ending(&before, edit.span.start) && !inside_an_ending(&before, edit.span.end));
            let first = gone.chars().next().filter(|first| *first != '\r');
            let last = gone.chars().next_back().filter(|last| *last != '\n');
            assert!(first.is_none() || first != edit.text.chars().next(), "{edit:?} begins with what stays");
            assert!(last.is_none() || last != edit.text.chars().next_back(), "{edit:?} ends with what stays");
        }
        let (old, new): (Vec<_>, Vec<_>) = (lines(&before).collect(), lines(&after).collect());
        let head = shared(old.iter().copied(), new.iter().copied());
        let tail = shared(old.iter().rev().copied(), new.iter().rev().copied());
        let tail = tail.min(old.len() - head).min(new.len() - head);
        let count = |text: &str| lines(text).count();
        let touched: usize =
            edits.iter().map(|edit| count(&before[edit.span.start..edit.span.end]) + count(&edit.text)).sum();
        let apart = old.len() + new.len() - 2 * (head + tail);
        assert!(touched <= apart, "{touched} lines for {apart} that differ");
    });
}

/// A text, and some edits of it as lines that are replaced: where, how many, by what.
type Change = (prop::sample::Index, usize, String);

fn changed(old: &str, changes: &[Change]) -> String {
    let mut lines: Vec<_> = lines(old).map(str::to_owned).collect();
    for (at, count, new) in changes {
        let from = at.index(lines.len() + 1);
        let to = (from + count).min(lines.len());
        lines.splice(from..to, [new.clone()]);
    }
    lines.concat()
}

#[test]
fn a_rebased_edit_does_what_it_did_and_leaves_what_others_did() {
    let line = || prop::sample::select(&["one\n", "two\n", "😀 three\r\n", "\n", "four"][..]);
    let old = prop::collection::vec(line(), 0..30).prop_map(|lines| lines.concat());
    let change = || (any::<prop::sample::Index>(), 0..3_usize, line().prop_map(str::to_owned));
    let changes = || prop::collection::vec(change(), 1..3);
    check(2_000, &(old, changes(), changes()), |(old, mine, theirs)| {
        let (mine, theirs) = (changed(&old, &mine), changed(&old, &theirs));
        let (ours, others) = (diff(&old, &mine), diff(&old, &theirs));
        let Ok(rebased) = rebase(&ours, &old, &theirs) else {
            assert!(!others.is_empty(), "nothing else has changed");
            return;
        };
        assert_eq!(Edits::new(rebased.iter().cloned().collect(), &theirs), Ok(rebased.clone()));
        // Both sets of edits, made to the old text at once.
        let mut both: Vec<Edit> = ours.iter().chain(&others).cloned().collect();
        both.sort_by_key(|edit| edit.span);
        let both = Edits::new(both, &old).expect("what was rebased overlaps nothing");
        assert_eq!(rebased.apply(&theirs), both.apply(&old));
    });
}

#[test]
fn an_edit_of_lines_that_changed_is_not_rebased() {
    let line = || prop::sample::select(&["one\n", "two\n", "three\n"][..]);
    let old = prop::collection::vec(line(), 1..20).prop_map(|lines| lines.concat());
    check(600, &(old, any::<prop::sample::Index>()), |(old, at)| {
        let starts: Vec<_> =
            lines(&old).scan(0, |at, line| Some(std::mem::replace(at, *at + line.len()))).collect();
        let at = starts[at.index(starts.len())];
        let edit = |text: &str| Edit { span: Span { start: at, end: at + 1 }, text: text.to_owned() };
        let made = |text| Edits::new(vec![edit(text)], &old).expect("one edit inside the text");
        let theirs = made("X").apply(&old);
        assert!(rebase(&made("Y"), &old, &theirs).is_err());
    });
}

#[test]
fn documents_follow_ten_thousand_changes_as_a_list_of_characters_does() {
    let position = || {
        let line = prop_oneof![9 => 0..12_u32, 1 => 0..400_u32];
        let column = prop_oneof![9 => 0..14_u32, 1 => Just(u32::MAX)];
        (line, column).prop_map(|(line, column)| Position { line, column })
    };
    let piece =
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..5).prop_map(|pieces| pieces.concat());
    let range = prop_oneof![
        1 => Just(None),
        300 => (position(), position()).prop_map(Some),
    ];
    let changes = prop::collection::vec((range, piece), 1_000);
    for encoding in ENCODINGS {
        check(10, &changes, |changes| {
            let mut documents = Documents::default();
            documents.insert("a".into(), document(""));
            let mut naive: Vec<char> = Vec::new();
            for (range, new) in changes {
                let document = documents.get_mut("a").expect("it was opened");
                document.version += 1;
                rope_change(&mut document.text, range, &new, encoding);
                let (from, to) = range.map_or((0, naive.len()), |(start, end)| {
                    let ends = [place(&naive, start, encoding), place(&naive, end, encoding)];
                    (ends[0].min(ends[1]), ends[0].max(ends[1]))
                });
                naive.splice(from..to, new.chars());
                let document = documents.get("a").expect("it stays open");
                assert!(document.text.chars().eq(naive.iter().copied()), "after {range:?} {new:?}");
            }
        });
    }
}
