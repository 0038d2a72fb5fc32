//! Tables for the corner cases, generated texts against naive references for the rest.

use super::*;
use ropey::Rope;

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// A deterministic generator (xorshift64*), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    /// A text rich in line endings, look-alikes of line endings, astral and combining characters.
    fn text(&mut self, pieces: usize) -> String {
        const PIECES: [&str; 16] = [
            "a",
            "b",
            "ab ",
            "\t",
            "\n",
            "\n",
            "\r\n",
            "\r",
            "\u{2028}",
            "\u{85}",
            "\u{b}\u{c}",
            "é",
            "e\u{301}",
            "😀",
            "👩\u{200d}🚀",
            "\u{feff}",
        ];
        (0..self.below(pieces + 1)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    /// A byte offset on a character boundary.
    fn offset(&mut self, text: &str) -> usize {
        boundary(text, self.below(text.len() + 1))
    }

    fn edited(&mut self, text: &str) -> String {
        let mut edited = text.to_owned();
        for _ in 0..self.below(5) {
            let (a, b) = (self.offset(&edited), self.offset(&edited));
            let (start, end) = (a.min(b), a.max(b));
            edited.replace_range(start..boundary(&edited, start + 9).min(end), &self.text(4));
        }
        edited
    }
}

#[test]
fn edits_are_sorted_disjoint_and_inside() {
    let edit = |start, end| Edit { span: Span { start, end }, text: "x".into() };
    let check = |edits: &[(usize, usize)], expect: Result<&str, EditsError>| {
        let made = Edits::new(edits.iter().map(|&(start, end)| edit(start, end)).collect(), "aé😀z");
        assert_eq!(made.map(|edits| edits.apply("aé😀z")), expect.map(str::to_owned), "{edits:?}");
    };
    check(&[], Ok("aé😀z"));
    check(&[(0, 1), (1, 3), (8, 8)], Ok("xx😀zx"));
    check(&[(0, 2)], Err(EditsError::Outside(Span { start: 0, end: 2 })));
    check(&[(8, 9)], Err(EditsError::Outside(Span { start: 8, end: 9 })));
    check(&[(1, 0)], Err(EditsError::Outside(Span { start: 1, end: 0 })));
    check(&[(0, 3), (1, 7)], Err(EditsError::Order(Span { start: 1, end: 7 })));
    check(&[(3, 7), (0, 1)], Err(EditsError::Order(Span { start: 0, end: 1 })));
    check(&[(1, 1), (1, 1)], Err(EditsError::Order(Span { start: 1, end: 1 })));
}

#[test]
fn diff_is_minimal() {
    let check = |before: &str, after: &str, expect: &[(usize, usize, &str)]| {
        let edits = diff(before, after);
        let seen: Vec<_> = edits.iter().map(|e| (e.span.start, e.span.end, e.text.as_str())).collect();
        assert_eq!(seen, expect, "{before:?} -> {after:?}");
        assert_eq!(edits.apply(before), after);
    };
    check("", "", &[]);
    check("a\nb\nc\n", "a\nb\nc\n", &[]);
    check("", "a\n", &[(0, 0, "a\n")]);
    check("a\nb = 1\nc\n", "a\nb = 2\nc\n", &[(6, 7, "2")]);
    check("a\nb\nc\nd\n", "A\nb\nc\nD\n", &[(0, 1, "A"), (6, 7, "D")]);
    check("a\nc\n", "a\nb\nc\n", &[(2, 2, "b\n")]);
    check("a", "a\n", &[(1, 1, "\n")]);
    check("a\n", "a\r\n", &[(1, 2, "\r\n")]);
    check("a\r\n", "a\r", &[(1, 3, "\r")]);
    check("a\r\n", "a\n", &[(1, 3, "\n")]);
    check("x\u{2028}y\n", "x\u{2028}z\n", &[(4, 5, "z")]);
    check("aé\n", "aè\n", &[(1, 3, "è")]);
    check("😀\n", "😁\n", &[(0, 4, "😁")]);
    check("aa\n", "aaa\n", &[(2, 2, "a")]);
}

#[test]
fn diff_leads_from_before_to_after() {
    let mut random = Random(7);
    for _ in 0..3_000 {
        let before = random.text(40);
        let after = if random.below(4) == 0 { random.text(40) } else { random.edited(&before) };
        let edits = diff(&before, &after);
        assert_eq!(edits.apply(&before), after, "{before:?}");
        for edit in &edits {
            for at in [edit.span.start, edit.span.end] {
                assert!(
                    !(before[..at].ends_with('\r') && before[at..].starts_with('\n')),
                    "{before:?} {edits:?}"
                );
            }
        }
        assert_eq!(Edits::new(edits.0.clone(), &before), Ok(edits));
    }
}

#[test]
fn diff_of_a_large_text_stays_small() {
    let numbered =
        |word: &str| (0..20_000).fold(String::new(), |text, line| text + &format!("{word} {line}\n"));
    let before = numbered("line");
    let after = before.replace("line 7\n", "line seven\n").replace("line 19999\n", "");
    assert_eq!(diff(&before, &after).len(), 2);
    let line = "ab😀".repeat(150_000);
    let edits = diff(&line, &format!("{line}!"));
    assert_eq!(edits.0, [Edit { span: Span { start: line.len(), end: line.len() }, text: "!".into() }]);
    let other = numbered("other");
    assert_eq!(diff(&before, &other).apply(&before), other);
}

#[test]
fn unified_diffs() {
    let check = |before, after, expect: &str| assert_eq!(unified("d/f", before, after), expect);
    check(Some("a\n"), Some("a\n"), "");
    check(None, Some("a\n"), "--- /dev/null\n+++ b/d/f\n@@ -0,0 +1 @@\n+a\n");
    check(Some("a\n"), None, "--- a/d/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
    check(None, Some(""), "--- /dev/null\n+++ b/d/f\n");
    check(
        Some("a"),
        Some("a\n"),
        "--- a/d/f\n+++ b/d/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n",
    );
    check(Some("a\rb\n"), Some("a\rc\n"), "--- a/d/f\n+++ b/d/f\n@@ -1 +1 @@\n-a\rb\n+a\rc\n");
    check(
        Some("1\n2\n3\n4\n5\n6\n7\n8\n9"),
        Some("1\n2\n3\n4\nfive\n6\n7\n8\n9"),
        "--- a/d/f\n+++ b/d/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
    );
}

#[test]
fn positions_at_the_edges() {
    let check = |text: &str, (line, column), encoding, offset, back: (u32, u32)| {
        let lines = Lines::of(text);
        assert_eq!(
            lines.offset(text, Position { line, column }, encoding),
            offset,
            "{text:?} {line}:{column}"
        );
        let back = Position { line: back.0, column: back.1 };
        assert_eq!(lines.position(text, offset, encoding), back, "{text:?} {offset}");
    };
    check("", (0, 0), Encoding::Utf16, 0, (0, 0));
    check("", (5, 5), Encoding::Utf16, 0, (0, 0));
    check("ab\r\ncd", (0, 9), Encoding::Utf16, 2, (0, 2));
    check("ab\r\ncd", (1, 1), Encoding::Utf16, 5, (1, 1));
    check("ab\rcd\n", (2, 0), Encoding::Utf16, 6, (2, 0));
    check("ab\n", (7, 0), Encoding::Utf16, 3, (1, 0));
    check("a\u{2028}b\u{85}c", (0, 4), Encoding::Utf16, 7, (0, 4));
    check("a😀b", (0, 2), Encoding::Utf16, 1, (0, 1));
    check("a😀b", (0, 3), Encoding::Utf16, 5, (0, 3));
    check("a😀b", (0, 4), Encoding::Utf8, 1, (0, 1));
    check("a😀b", (0, 2), Encoding::Utf32, 5, (0, 2));
    check("a", (0, u32::MAX), Encoding::Utf8, 1, (0, 1));
    let at = |text: &str, offset| Lines::of(text).position(text, offset, Encoding::Utf16);
    assert_eq!(at("a\r\nb", 2), Position { line: 0, column: 1 }, "between \\r and \\n");
    assert_eq!(at("😀", 2), Position { line: 0, column: 0 }, "inside a character");
    assert_eq!(at("a\nb", 99), Position { line: 1, column: 1 }, "past the end");
}

/// [`Lines::offset`], said as slowly and plainly as possible.
fn naive_offset(text: &str, position: Position, encoding: Encoding) -> usize {
    let (mut line, mut column, mut chars) = (0, 0, text.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        let ends = c == '\n' || c == '\r';
        if line == position.line && (ends || column + encoding_units(c, encoding) > position.column) {
            return at;
        }
        column += encoding_units(c, encoding);
        if c == '\r' && chars.peek().is_some_and(|&(_, c)| c == '\n') {
            chars.next();
        }
        if ends {
            (line, column) = (line + 1, 0);
        }
    }
    text.len()
}

fn encoding_units(c: char, encoding: Encoding) -> u32 {
    let units = match encoding {
        Encoding::Utf8 => c.to_string().len(),
        Encoding::Utf16 => c.encode_utf16(&mut [0; 2]).len(),
        Encoding::Utf32 => 1,
    };
    units as u32
}

#[test]
fn positions_agree_with_the_naive_reading() {
    let mut random = Random(11);
    for _ in 0..2_000 {
        let text = random.text(60);
        let (lines, rope) = (Lines::of(&text), Rope::from_str(&text));
        assert_eq!(lines.count(), rope.len_lines(), "{text:?}");
        for encoding in ENCODINGS {
            let position = Position { line: random.below(9) as u32, column: random.below(12) as u32 };
            let offset = lines.offset(&text, position, encoding);
            assert_eq!(offset, naive_offset(&text, position, encoding), "{text:?} {position:?} {encoding:?}");
            let chars = rope_offset(&rope, position, encoding);
            assert_eq!(rope.char_to_byte(chars), offset, "{text:?} {position:?} {encoding:?}");
            let at = lines.position(&text, offset, encoding);
            assert_eq!(lines.offset(&text, at, encoding), offset, "{text:?} {at:?} {encoding:?}");
        }
    }
}

#[test]
fn ropes_follow_incremental_changes() {
    let mut random = Random(13);
    for encoding in ENCODINGS {
        let mut text = random.text(4_000);
        let mut rope = Rope::from_str(&text);
        for step in 0..2_000 {
            let mut place = || Position { line: random.below(40) as u32, column: random.below(20) as u32 };
            let (a, b) = (place(), place());
            let mut inserted = random.text(12);
            if step % 500 == 499 {
                inserted = random.text(4_000);
                rope_change(&mut rope, None, &inserted, encoding);
                text.clone_from(&inserted);
            } else {
                rope_change(&mut rope, Some((a, b)), &inserted, encoding);
                let (a, b) = (naive_offset(&text, a, encoding), naive_offset(&text, b, encoding));
                text.replace_range(a.min(b)..a.max(b), &inserted);
            }
            assert_eq!(rope, text.as_str(), "step {step}");
        }
    }
}

#[test]
fn dominant_line_endings() {
    let check = |text, expect| assert_eq!(Eol::of(text), expect, "{text:?}");
    check("", Eol::Lf);
    check("a\r\nb\n", Eol::Lf);
    check("a\r\nb\r\nc\n", Eol::CrLf);
    check("a\rb\r", Eol::Cr);
}

#[test]
fn hashes_are_sha256() {
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn line_operations_have_no_gaps() {
    let mut random = Random(7);
    for _ in 0..3_000 {
        let (before, after) = (random.text(40), random.text(40));
        let (old, new): (Vec<_>, Vec<_>) = (lines(&before).collect(), lines(&after).collect());
        let end = line_ops(&old, &new).iter().fold((0, 0), |at, op| {
            assert_eq!((op.old_range().start, op.new_range().start), at, "{before:?} -> {after:?}");
            (op.old_range().end, op.new_range().end)
        });
        assert_eq!(end, (old.len(), new.len()));
    }
}

#[test]
fn edits_follow_changes_elsewhere() {
    let check = |old: &str, wanted: &str, new: &str, expect: Option<&str>| {
        let edits = diff(old, wanted);
        let seen = rebase(&edits, old, new).ok().map(|edits| edits.apply(new));
        assert_eq!(seen.as_deref(), expect, "{old:?} -> {wanted:?} on {new:?}");
    };
    check("a\nb\nc\nd\n", "a\nb\nc\nD\n", "A\nb\nc\nd\n", Some("A\nb\nc\nD\n"));
    check("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nd\nnew\n", Some("A\nb\nc\nd\nnew\n"));
    check("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nd\n", Some("A\nb\nc\nd\n"));
    check("a\nb\nc\n", "a\nB\nc\n", "é😀\r\na\nb\nc\n", Some("é😀\r\na\nB\nc\n"));
    check("a\nb\nc\n", "a\nB\nc\n", "a\nx\nc\n", None);
    check("a\nbb cc\nc\n", "a\nbb CC\nc\n", "a\nBB cc\nc\n", None);
    check("a\nc\n", "a\nb\nc\n", "a\nx\nc\n", None);
    check("a\nc\n", "a\nc\nb\n", "a\nc\nx\n", None);
    check("a\n", "new\na\n", "x\na\n", None);
    check("", "a\n", "b\n", None);
}

/// Two sets of edits, each far from the other, give the same text in either order.
#[test]
fn rebased_edits_give_what_both_asked_for() {
    let mut random = Random(17);
    let mut landed = 0;
    for round in 0..2_000 {
        let lines: Vec<String> =
            (0..20).map(|line| format!("{line} {}", random.text(6).replace(['\r', '\n'], "é"))).collect();
        let changed = |at: usize, word: &str| {
            let mut lines = lines.clone();
            lines[at] = word.to_owned();
            lines.join("\r\n")
        };
        let (one, other) = (random.below(20), random.below(20));
        let (old, mine, new) = (lines.join("\r\n"), changed(one, "mine"), changed(other, "yours"));
        match rebase(&diff(&old, &mine), &old, &new) {
            Ok(edits) => {
                let mut both = lines.clone();
                (both[one], both[other]) = ("mine".into(), "yours".into());
                assert_ne!(one, other, "round {round}");
                assert_eq!(edits.apply(&new), both.join("\r\n"), "round {round}");
                landed += 1;
            }
            Err(_) => assert!(one.abs_diff(other) < 2, "round {round}: {one} {other}"),
        }
    }
    assert!(landed > 1_000, "{landed} landed");
}
