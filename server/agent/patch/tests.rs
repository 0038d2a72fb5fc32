//! What is taken, where it lands, and what is refused.

mod forms;

use super::*;

/// A block with markers for `path`.
fn block(path: &str, search: &str, replace: &str) -> String {
    format!("{path}\n```\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n")
}

/// Applies `reply` to files given as (path, text).
fn run(files: &[(&str, &str)], reply: &str) -> Result<Vec<FileChange>, Refusal> {
    let original = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| Original { text: (*text).to_owned() })
    };
    apply(&parse(reply)?, &original)
}

/// What became of each file: (path, text), `None` for a deletion.
fn after(files: &[(&str, &str)], reply: &str) -> Vec<(String, Option<String>)> {
    let changes = run(files, reply).unwrap_or_else(|refusal| panic!("{refusal}\nin:\n{reply}"));
    changes.into_iter().map(|change| (change.path, change.after)).collect()
}

/// One SEARCH/REPLACE block on one file gives `expect`.
#[track_caller]
fn edits(before: &str, search: &str, replace: &str, expect: &str) {
    let seen = after(&[("f", before)], &block("`f`", search, replace));
    assert_eq!(seen, [("f".into(), Some(expect.into()))], "{before:?}: {search:?} -> {replace:?}");
}

/// One SEARCH/REPLACE block on one file is refused with a message that holds `expect`.
#[track_caller]
fn refuses(before: &str, search: &str, replace: &str, expect: &str) {
    reply_refused(&[("f", before)], &block("`f`", search, replace), expect);
}

#[track_caller]
fn reply_refused(files: &[(&str, &str)], reply: &str, expect: &str) {
    let refusal = run(files, reply).expect_err(reply).to_string();
    assert!(refusal.contains(expect), "{refusal}\nshould say: {expect}");
}

#[test]
fn the_ladder() {
    // Exact, at the start, in the middle, at the end.
    edits("a\nb\nc\n", "a\n", "A\n", "A\nb\nc\n");
    edits("a\nb\nc\n", "b\n", "", "a\nc\n");
    edits("a\nb\nc\n", "c\n", "c\nd\n", "a\nb\nc\nd\n");
    edits("a\nb\nc\n", "a\nb\nc\n", "", "");
    // The exact rung decides, although a looser one would find two.
    edits("x\n x\n", "x\n", "y\n", "y\n x\n");
    // Line endings: those of the file win.
    edits("a\r\nb\r\n", "b\n", "c\nd\n", "a\r\nc\r\nd\r\n");
    edits("a\nb\n", "b\r\n", "c\r\n", "a\nc\n");
    edits("a\rb\r", "b\n", "c\nd\n", "a\rc\rd\r");
    edits("a\r\nb\nc\r\nd\n", "b\nc\n", "B\nC\n", "a\r\nB\nC\r\nd\n");
    edits("a\r\nb\nc\r\n", "a\nb\n", "a\nb\nnew\n", "a\r\nb\nnew\nc\r\n");
    // Trailing blanks: untouched lines keep theirs.
    edits("a  \nb\t\nc\n", "a\nb\nc\n", "a\nB\nc\n", "a  \nB\nc\n");
    // Indentation: added, removed, tabs for spaces, spaces for tabs.
    edits("  if x:\n    y\n", "if x:\n  y\n", "if x:\n  z\n  w\n", "  if x:\n    z\n    w\n");
    edits("if x:\n  y\n", "  if x:\n    y\n", "  if x:\n\n    z\n", "if x:\n\n  z\n");
    edits(
        "\tif x {\n\t\ty\n",
        "    if x {\n        y\n",
        "    if x {\n            z\n",
        "\tif x {\n\t\t\tz\n",
    );
    edits("    if x {\n        y\n", "\tif x {\n\t\ty\n", "\tif x {\n\t\tz\n", "    if x {\n        z\n");
    edits("\t\tif x {\n\t\t\ty\n", "if x {\n    y\n", "if x {\n    z\n", "\t\tif x {\n\t\t\tz\n");
    // Blank lines: those the block left out stay, those the file lacks are not made.
    edits("a\n\n\nb\nc\n", "a\n\nb\n", "a\n\nB\n", "a\n\n\nB\nc\n");
    edits("a\nb\nc\n", "a\n\nb\n", "a\n\nB\n", "a\nB\nc\n");
    edits("  a\n\n  b\n", "a\nb\n", "a\nB\n", "  a\n\n  B\n");
}

#[test]
fn bytes_outside_the_edit_stay() {
    edits("\u{feff}a\nb\n", "a\n", "A\n", "\u{feff}A\nb\n");
    edits("\u{feff}a\nb\n", "\u{feff}a\n", "\u{feff}A\n", "\u{feff}A\nb\n");
    edits("a\nb", "b\n", "c\n", "a\nc");
    edits("a\nb", "a\n", "A\n", "A\nb");
    edits("a\nb", "b\n", "b\nc\n", "a\nb\nc");
    edits("a\nb", "b\n", "", "a");
    edits("a\r\nb", "b\n", "b\nc\n", "a\r\nb\r\nc");
    edits("x\u{2028}y\u{85}\u{c}\nb\n", "b\n", "c\n", "x\u{2028}y\u{85}\u{c}\nc\n");
    edits("x\u{2028}y\nb\n", "x\u{2028}y\n", "z\n", "z\nb\n");
    edits("😀 e\u{301}\n👩\u{200d}🚀\t \nb\n", "b\n", "c\n", "😀 e\u{301}\n👩\u{200d}🚀\t \nc\n");
    edits("a\n\r\n\rb\n", "b\n", "c\n", "a\n\r\n\rc\n");
}

#[test]
fn ambiguity_is_refused_on_every_rung() {
    refuses("x\nb\nx\n", "x\n", "y\n", "fits 2 places (lines 1, 3)");
    refuses("x\nx\nx\n", "x\nx\n", "y\n", "fits 2 places (lines 1, 2)");
    refuses("x\nx\nx\n", "x\n", "y\n", "(lines 1, 2, 3)");
    refuses("x\nb\nx", "x\n", "y\n", "(lines 1, 3)");
    refuses("x\r\nb\r\nx\r\n", "x\n", "y\n", "(lines 1, 3)");
    refuses("x \nb\nx  \n", "x\n", "y\n", "(lines 1, 3)");
    refuses("  x\nb\n    x\n", "x\n", "y\n", "(lines 1, 3)");
    refuses("a\n\nx\na\n\n\nx\n", "a\nx\n", "y\n", "(lines 1, 4)");
    refuses(&"x\n".repeat(50), "x\n", "y\n", "fits ten or more places (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)");
}

#[test]
fn what_is_not_there_is_refused() {
    let file = "def a():\n    return 1\n\ndef compute(total):\n    value = total * 2\n    return value\n";
    refuses(
        file,
        "def compute(total):\n    value = total * 3\n    return value\n",
        "pass\n",
        "did you mean lines 4–6:\ndef compute(total):\n    value = total * 2\n    return value",
    );
    refuses(file, "nothing like it\n", "pass\n", "is not in the file; copy");
    refuses(file, "    return 1\n        x\n", "pass\n", "is not in the file");
    refuses("", "a\n", "b\n", "is not in the file");
    refuses("b = 2\n", "b = 1\n", "b = 2\n", "already in the file (line 1)");
    refuses("a\n", "a\n", "a\n", "changes nothing");
    refuses("a\n", "", "b\n", "has an empty SEARCH part");
    refuses("a\n\0\n", "a\n", "b\n", "binary");
    refuses("a\n", "a\n", "b\0\n", "binary");
    refuses("a\n", "  a\n", " b\n", "indented less");
    reply_refused(&[], &block("src/a.py", "a\n", "b\n"), "src/a.py does not exist");
}

#[test]
fn blocks_may_share_unchanged_lines() {
    let file = "1\n2\n3\n4\n5\n6\n7\n";
    let two = |first: (&str, &str), second: (&str, &str)| {
        block("`f`", first.0, first.1) + &block("`f`", second.0, second.1)
    };
    let lands = |first, second, expect: &str| {
        for reply in [two(first, second), two(second, first)] {
            assert_eq!(after(&[("f", file)], &reply), [("f".into(), Some(expect.into()))], "{reply}");
        }
    };
    lands(("1\n2\n3\n4\n", "1\nB\n3\n4\n"), ("3\n4\n5\n6\n", "3\n4\n5\nF\n"), "1\nB\n3\n4\n5\nF\n7\n");
    lands(("1\n2\n3\n", "1\nnew\n2\n3\n"), ("2\n3\n4\n", "2\n3\n"), "1\nnew\n2\n3\n5\n6\n7\n");
    lands(("2\n", "B\n"), ("3\n", "C\n"), "1\nB\nC\n4\n5\n6\n7\n");
    let clash = |first, second| {
        for reply in [two(first, second), two(second, first)] {
            reply_refused(&[("f", file)], &reply, "change the same lines");
        }
    };
    // One changes what the other keeps, or wants beside what it keeps.
    clash(("1\n2\n3\n", "1\nB\n3\n"), ("2\n3\n4\n", "2\n3\nD\n"));
    clash(("1\n2\n3\n4\n", "1\n2\nnew\n3\n4\n"), ("2\n3\n4\n5\n", "2\n3\n4\nE\n"));
    clash(("2\n", "B\n"), ("2\n3\n", "C\n"));
    clash(("2\n", "2\nx\n"), ("3\n", "y\n3\n"));
    clash(("2\n3\n", "2\nx\n3\n"), ("2\n3\n", "2\ny\n3\n"));
}

#[test]
fn edits_that_break_the_syntax_are_refused() {
    let file = "def f(x):\n    return (x)\n";
    let reply = |to: &str| block("a.py", "    return (x)\n", to);
    reply_refused(
        &[("a.py", file)],
        &reply("    return (x\n"),
        "line 2 is a syntax error that was not there",
    );
    reply_refused(&[("a.py", file)], "a.py\n```\ndef f(:\n```\n", "after the edit line 1 is a syntax error");
    reply_refused(&[], "b.js\n```\nlet x = 1;\nlet y = {;\n```\n", "(`let y = {;`)");
    let broken = "x = )\n".to_owned() + file;
    let still = after(&[("a.py", &broken)], &reply("    return x\n"));
    assert_eq!(
        still,
        [("a.py".into(), Some("x = )\ndef f(x):\n    return x\n".into()))],
        "it was broken before"
    );
    assert!(run(&[("a.txt", file)], &block("a.txt", "    return (x)\n", "    return (x\n")).is_ok());
}

#[test]
fn creation() {
    let new = |files: &[(&str, &str)], text: &str| {
        assert_eq!(after(files, &block("n/f.txt", "", text)), [("n/f.txt".into(), Some(text.to_owned()))]);
    };
    new(&[], "a\nb\n");
    new(&[], "");
    new(&[], "title\n=======\ntext\n");
    new(&[("n/f.txt", "")], "a\n");
    new(&[("n/f.txt", "\n")], "a\n");
    let whole = "n/f.txt\n```\na\n```\n";
    assert_eq!(after(&[], whole), [("n/f.txt".into(), Some("a\n".into()))]);
    reply_refused(&[], &[block("f.txt", "", "a\n"), block("f.txt", "", "b\n")].concat(), "does not exist");
}

#[test]
fn whole_files_keep_what_lines_do_not_say() {
    let whole = |before: &str, text: &str, expect: &str| {
        let seen = after(&[("a.txt", before)], &format!("a.txt\n```\n{text}```\n"));
        assert_eq!(seen, [("a.txt".into(), Some(expect.into()))], "{before:?}");
    };
    whole("\u{feff}a\r\nb\r\nc", "a\nB\nc\nd\n", "\u{feff}a\r\nB\r\nc\r\nd");
    whole("a\r\nb\nc\r\n", "a\nb\nC\n", "a\r\nb\nC\r\n");
    let half = "line\n".repeat(20);
    reply_refused(
        &[("a.txt", &(half.repeat(2) + "line\n"))],
        &format!("a.txt\n```\n{half}```"),
        "has 20 lines",
    );
    let long = "line\n".repeat(41);
    reply_refused(&[("a.txt", &long)], "a.txt\n```\nline\n```", "has 1 lines where the file has 41");
    reply_refused(&[("a.txt", "a\n")], "a.txt\n```\n```", "has 0 lines where the file has 1");
    reply_refused(&[("a.txt", "a\n")], "a.txt\n```\na\n```", "changes nothing");
}

#[test]
fn blocks_are_located_in_the_original() {
    let file = [("f.py", "a\nb\nc\n")];
    let both = |one: (&str, &str), two: (&str, &str)| {
        [block("f.py", one.0, one.1), block("f.py", two.0, two.1)].concat()
    };
    let becomes = |reply: &str, expect: &str| {
        assert_eq!(after(&file, reply), [("f.py".into(), Some(expect.into()))], "{reply}");
    };
    becomes(&both(("a\n", "b\nb\n"), ("b\n", "x\n")), "b\nb\nx\nc\n");
    becomes(&both(("c\n", "C\n"), ("a\nb\n", "A\nb\n")), "A\nb\nC\n");
    becomes(&both(("c\n", "c\n"), ("a\n", "A\n")), "A\nb\nc\n");
    reply_refused(
        &file,
        &both(("a\nb\n", "x\n"), ("b\nc\n", "y\n")),
        "blocks at lines 3 and 12 of the answer change",
    );
    reply_refused(
        &file,
        &both(("b\n", "x\n"), ("b\n", "x\n")),
        "blocks at lines 3 and 11 of the answer change",
    );
    reply_refused(&file, &both(("a\n", "A\n"), ("z\n", "y\n")), "line 11 of the answer is not in the file");
}

#[test]
fn placeholders_are_refused() {
    for line in [
        "// ... rest of code",
        "    # ... existing code ...",
        "# ... (rest of the file remains the same)",
        "/* ... unchanged ... */",
        "<!-- ... same as before -->",
        "// rest of the implementation",
        "# existing code unchanged",
        "-- … remaining methods",
        "{/* ... existing imports ... */}",
        "// Rest of the function stays the same",
        "// unchanged...",
        "# remaining methods ...",
    ] {
        refuses("a\n", "a\n", &format!("{line}\n"), "stands for code that was left out");
        edits(&format!("a\n{line}\n"), "a\n", "b\n", &format!("b\n{line}\n"));
    }
    for line in [
        "...",
        "    ...",
        "# keep the existing entries",
        "// the same holds for b",
        "# rest",
        "print('...')",
        "# previous value",
        "// existing users keep their id",
        "# the rest of the list is sorted",
        "# loading ...",
        "x = 1  # ... same",
        "// restore the previous state...",
        "# TODO: handle the remaining cases ...",
    ] {
        edits("a\n", "a\n", &format!("{line}\n"), &format!("{line}\n"));
    }
}

#[test]
fn paths() {
    let good = |path: &str, expect: &str| assert_eq!(check_path(path), Ok(expect.to_owned()));
    good("a", "a");
    good("./src//a.py", "src/a.py");
    good("src\\a b.py", "src/a b.py");
    good(".github/x..y", ".github/x..y");
    good(".gitignore", ".gitignore");
    for path in [
        "",
        " ",
        ".",
        "./",
        "/etc/passwd",
        "\\\\host\\share",
        "C:\\x",
        "c:x",
        "~/x",
        "..",
        "a/../../x",
        "a/..",
        "a\\..\\b",
        ".git/hooks/x",
        "a/.GIT/config",
        ".git.",
        ".git /x",
        ".git::$INDEX_ALLOCATION/x",
        "GIT~1/x",
        "a\0b",
        "a\nb",
        "a\u{202e}b",
        ".g\u{200c}it/config",
        "dir/",
    ] {
        assert!(check_path(path).is_err(), "{path:?}");
    }
    assert!(check_path(&"a/".repeat(600)).is_err());
}

#[test]
fn files_that_need_confirmation() {
    for path in [
        ".github/workflows/ci.yml",
        "sub/.vscode/tasks.json",
        ".husky/pre-commit",
        "Cargo.lock",
        "web/package-lock.json",
        "build.rs",
        "Makefile",
        "rules.mk",
        "go.sum",
        "crates/x/build.rs",
        ".opendevagent.toml",
        "package.json",
    ] {
        assert!(needs_confirmation(path), "{path}");
    }
    for path in
        ["src/main.rs", "src/hooks/useX.ts", "lock.py", "src/github/a.py", "docs/Makefile.md", "unlock"]
    {
        assert!(!needs_confirmation(path), "{path}");
    }
}

#[test]
fn large_texts_take_linear_time() {
    // One step of quadratic work here would be minutes.
    let same = "x\n".repeat(20_000);
    refuses(&same, &("x\n".repeat(5_000) + "y\n"), "z\n", "is not in the file");
    refuses(&same, &("    x\n".repeat(5_000) + "x\n"), "z\n", "is not in the file");
    let deep = " ".repeat(200_000) + "x\n";
    refuses(&deep, "x\n", &"y\n".repeat(20_000), "is not in the file");
    let line = "ab ".repeat(400_000) + "\n";
    edits(&line, &line, "short\n", "short\n");
    assert_eq!(parse(&"```\n\n*** x\n".repeat(50_000)), Ok(vec![]));
}

/// Blocks derived from random edits of random texts either give exactly the edited text or are refused.
#[test]
fn derived_blocks_land_or_are_refused() {
    let mut seed = 5_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut landed = 0;
    for round in 0..2_000 {
        let end = ["\n", "\r\n"][below(2)];
        let mut before: Vec<String> = (0..=below(40))
            .map(|_| {
                format!("{}{}", "  ".repeat(below(3)), ["a", "b()", "}", "", "return x", "é😀"][below(6)])
            })
            .collect();
        before.push("last".into());
        let (start, context) = (below(before.len()), below(4));
        let stop = start + below(before.len() - start + 1).min(3);
        let new: Vec<String> = (0..below(3)).map(|n| format!("new {n}")).collect();
        let edited = [&before[..start], &new, &before[stop..]].concat();
        let (low, high) = (start.saturating_sub(context), (stop + context).min(before.len()));
        let text = |lines: &[String]| lines.iter().fold(String::new(), |text, line| text + line + "\n");
        let replace = [&before[low..start], &new, &before[stop..high]].concat();
        let reply = block("f.x", &text(&before[low..high]), &text(&replace));
        let whole = |lines: &[String]| text(lines).replace('\n', end);
        match run(&[("f.x", &whole(&before))], &reply) {
            Ok(changes) => {
                assert_eq!(changes[0].after, Some(whole(&edited)), "round {round}: {before:?}\n{reply}");
                landed += 1;
            }
            Err(Refusal::Ambiguous { .. } | Refusal::NoChange | Refusal::Exists { .. }) => {}
            Err(refusal) => panic!("round {round}: {refusal}\n{reply}"),
        }
    }
    assert!(landed > 1_000, "{landed} landed");
}
