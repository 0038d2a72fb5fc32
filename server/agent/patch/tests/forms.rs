//! The forms that edits come in, and answers that only look like edits.

use super::*;

const GCD: &str = "def gcd(a, b):\n    while b:\n        a, b = b, a / b\n    return a\n";
const FIXED: &str = "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a\n";
const MARKED: &str =
    "<<<<<<< SEARCH\n        a, b = b, a / b\n=======\n        a, b = b, a % b\n>>>>>>> REPLACE\n";

#[test]
fn the_forms_a_block_comes_in() {
    let wide =
        MARKED.replace("<<<<<<<", "<<<<<<<<<").replace("=======", "=====").replace(">>>>>>>", ">>>>>> ");
    for reply in [
        format!("src/gcd.py\n```python\n{MARKED}```\n"),
        format!("Prose first.\n\n**`src/gcd.py`**:\n\n~~~~\n{MARKED}~~~~\nAnd after."),
        format!("### File: src/gcd.py\n````py\n{MARKED}````"),
        format!("**File:** `src/gcd.py`\n{MARKED}"),
        format!("1. `src/gcd.py` (fixed):\n{MARKED}"),
        format!("src/gcd.py\n\nHere is what changes:\n```\n{MARKED}```"),
        format!("```python src/gcd.py\n{MARKED}```"),
        format!("```python:src/gcd.py\n{MARKED}```"),
        format!("```py title=\"src/gcd.py\"\n{MARKED}```"),
        format!("```\nsrc/gcd.py\n{MARKED}```"),
        format!("./src\\gcd.py\n{MARKED}"),
        format!("src/gcd.py\n{wide}"),
        format!("src/gcd.py\n```\n{MARKED}```\n").replace('\n', "\r\n"),
        format!("src/gcd.py\n```\n{}```\n", MARKED.replace("SEARCH\n", "SEARCH  \n")),
        format!("src/gcd.py\n```\n{}```\n", MARKED.replace("SEARCH\n", "SEARCH>\n")),
        format!("In `src/gcd.py`, change the loop:\n\n```python\n{MARKED}```\n"),
        format!("<think>\nsrc/gcd.py\n```\nwrong\n```\n</think>\n\nsrc/gcd.py\n```\n{MARKED}```\n"),
        format!("\n<think>short</think>src/gcd.py\n```\n{MARKED}```\n"),
        "*** Begin Patch\n*** Update File: src/gcd.py\n@@ def gcd(a, b):\n     while b:\n-        a, b = b, a / b\n\
         +        a, b = b, a % b\n     return a\n*** End Patch"
            .into(),
        "```diff\n--- a/src/gcd.py\n+++ b/src/gcd.py\n@@ -1,9 +7,3 @@ def gcd\n     while b:\n-        a, b = b, a / b\n\
         +        a, b = b, a % b\n```"
            .into(),
        "src/gcd.py\n```diff\n@@\n-        a, b = b, a / b\n+        a, b = b, a % b\n```".into(),
        format!("src/gcd.py\n```python\n{FIXED}```\n"),
    ] {
        let seen = after(&[("src/gcd.py", GCD)], &reply);
        assert_eq!(seen, [("src/gcd.py".into(), Some(FIXED.into()))], "{reply}");
    }
}

#[test]
fn several_blocks_files_and_moves() {
    let files = [("a.py", "one\ntwo\nthree\n"), ("b.py", "x\n"), ("c.py", "c\n"), ("d.py", "d\n")];
    let reply = "a.py
```
<<<<<<< SEARCH
three
=======
3
>>>>>>> REPLACE
<<<<<<< SEARCH
one
=======
1
>>>>>>> REPLACE

b.py
<<<<<<< SEARCH
x
=======
y
>>>>>>> REPLACE
```
Run it like this:
```
python a.py
```
*** Delete File: c.py
*** Move File: d.py -> sub/e.py
sub/e.py
<<<<<<< SEARCH
d
=======
e
>>>>>>> REPLACE
";
    let expect = [
        ("a.py", Some("1\ntwo\n3\n")),
        ("b.py", Some("y\n")),
        ("c.py", None),
        ("d.py", None),
        ("sub/e.py", Some("e\n")),
    ];
    let expect = expect.map(|(path, text)| (path.to_owned(), text.map(str::to_owned)));
    assert_eq!(after(&files, reply), expect);
    let paths: Vec<_> = parse(reply).iter().flatten().flat_map(Block::paths).map(str::to_owned).collect();
    assert_eq!(paths, ["a.py", "a.py", "b.py", "c.py", "d.py", "sub/e.py", "sub/e.py"]);
}

#[test]
fn a_second_block_without_a_path_is_for_the_same_file() {
    let reply = "f\n".replace('f', "`f`")
        + "```\n<<<<<<< SEARCH\na\n=======\n1\n>>>>>>> REPLACE\n```\nand also\n\n```\n<<<<<<< SEARCH\nb\n=======\n2\n>>>>>>> REPLACE\n```";
    assert_eq!(after(&[("f", "a\nb\n")], &reply), [("f".into(), Some("1\n2\n".into()))]);
}

#[test]
fn a_fence_left_open_does_not_misdirect_the_next_block() {
    let files = [("a.py", "x\n"), ("b.py", "x\n")];
    for (fence, prose) in [("```", ""), ("```python", ""), ("```", "\n"), ("```python", "\n")] {
        let reply = format!(
            "a.py\n```\n<<<<<<< SEARCH\nx\n=======\n1\n>>>>>>> REPLACE\n{prose}b.py\n{fence}\n<<<<<<< SEARCH\nx\n\
            =======\n2\n>>>>>>> REPLACE\n```\n"
        );
        let expect = [("a.py".into(), Some("1\n".into())), ("b.py".into(), Some("2\n".into()))];
        assert_eq!(after(&files, &reply), expect, "{reply}");
    }
}

#[test]
fn what_is_not_an_edit() {
    for reply in [
        "",
        "All tests pass now.",
        "Run:\n```sh\npython src/a.py\n```\n",
        "```python\ndef f(): ...\n```",
        "An unclosed illustration:\n```python\nx",
        "```json\n{\"issues\":[],\"improvements\":[],\"security\":[],\"best_practices\":[]}\n```",
        "src/a.py\n```json\n{\"issues\":[],\"improvements\":[],\"security\":[],\"best_practices\":[]}\n```",
        "```diff\n-old\n+new\n```",
        "https://example.com/a.py\n```python\nx\n```",
        "```application/json\n{}\n```",
        "tests/test_a.py:\n```console\n1 failed\n```",
    ] {
        assert_eq!(parse(reply), Ok(vec![]), "{reply}");
    }
}

#[test]
fn text_that_looks_like_markers() {
    // In REPLACE one reading fits the file; in SEARCH both do.
    edits("Title\n", "Title\n", "Title\n=======\nText\n", "Title\n=======\nText\n");
    edits("Title\n-----\n", "Title\n-----\n", "Head\n=====\n", "Head\n=====\n");
    refuses(
        "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n",
        "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n",
        "a\n",
        "several",
    );
    edits("<<<<<<< HEAD\na\n", "<<<<<<< HEAD\n", "", "a\n");
    edits("x\n```py\ny\n```\n", "```py\ny\n```\n", "```py\nz\n```\n", "x\n```py\nz\n```\n");
    let nested = "a.md\n```markdown\n# T\n```sh\nls\n```\nend\n```\n";
    assert_eq!(after(&[], nested), [("a.md".into(), Some("# T\n```sh\nls\n```\nend\n".into()))]);
    let four = "a.md\n````\n```\nls\n```\n````\n";
    assert_eq!(after(&[], four), [("a.md".into(), Some("```\nls\n```\n".into()))]);
    reply_refused(&[], "a.md\n```\n# T\n```\nls\n```\nend\n```\n", "four backticks");
    reply_refused(&[], &format!("a.md\n```\n# T\nWrite:\n{MARKED}```"), "line 3 of the new text");
}

/// A page about git, or our own test data: the marker lines may stay or go, and no other may come.
#[test]
fn files_that_hold_markers_already() {
    let page = |intro: &str, ours: &str| {
        format!("# Conflicts\n{intro}\n\n<<<<<<< HEAD\n{ours}\n=======\ntheirs\n>>>>>>> main\n\nEnd.\n")
    };
    let before = page("Old.", "ours");
    let files = [("a.md", before.as_str())];
    let whole = |text: &str| format!("a.md\n````markdown\n{text}````\n");
    let seen = |reply: &str| after(&files, reply).remove(0).1.expect("it stays");
    // Beside them, by either form; and within.
    assert_eq!(seen(&block("a.md", "Old.\n", "New.\n")), page("New.", "ours"));
    assert_eq!(seen(&whole(&page("Old.", "mine"))), page("Old.", "mine"));
    assert_eq!(seen(&block("a.md", "ours\n", "mine\n")), page("Old.", "mine"));
    // They may go, together or alone.
    assert_eq!(seen(&whole("# Conflicts\nNone.\n")), "# Conflicts\nNone.\n");
    edits("<<<<<<< HEAD\na\n", "<<<<<<< HEAD\n", "", "a\n");
    // None may come, not even one that is there already, and they keep their order.
    let refused = |reply: &str| reply_refused(&files, reply, "looks like a marker and is not in the file");
    refused(&block("a.md", "End.\n", "<<<<<<< HEAD\nEnd.\n"));
    refused(&whole(&(before.clone() + ">>>>>>> main\n")));
    refused(&whole(&before.replace("<<<<<<< HEAD", ">>>>>>> main")));
    refused(&whole(&page("Old.", "ours").replace(" main", " other")));
    // A block with other words than ours is no file, even where the file has the same ones.
    refused(&whole("<<<<<<< HEAD\nours\n=======\nmine\n>>>>>>> main\n"));
    refused(&whole("Here it is:\n<<<<<<< HEAD\nours\n=======\nmine\n>>>>>>> main\n"));
}

#[test]
fn files_that_hold_our_own_markers() {
    let before = format!("A block:\n\n{MARKED}\nEnd.\n");
    let files = [("a.md", before.as_str())];
    let seen = |reply: &str| after(&files, reply).remove(0).1.expect("it stays");
    let ended = before.replace("End.", "Done.");
    assert_eq!(seen(&block("a.md", "End.\n", "Done.\n")), ended);
    assert_eq!(seen(&format!("a.md\n````\n{ended}````\n")), ended);
    // The same answer for a file that has none.
    reply_refused(&[("a.md", "End.\n")], &format!("a.md\n````\n{ended}````\n"), "looks like a marker");
    // What is read as a block stays one.
    let edit = format!("a.md\n```\n{}```\n", "<<<<<<< SEARCH\nEnd.\n=======\nDone.\n>>>>>>> REPLACE\n");
    assert_eq!(seen(&edit), ended);
    reply_refused(&files, &format!("a.md\n```\nHere:\n{MARKED}```\n"), "looks like a marker");
}

#[test]
fn broken_answers_are_refused_whole() {
    let good = block("b.py", "x\n", "y\n");
    let check = |reply: &str, expect| {
        reply_refused(&[("b.py", "x\n"), ("a.py", "a\n")], &(good.clone() + reply), expect);
    };
    check("a.py\n```\n  <<<<<<< SEARCH\n  a\n  =======\n  b\n  >>>>>>> REPLACE\n```", "indented marker");
    check("a.py\n```\n<<<<<<< ORIGINAL\na\n=======\nb\n>>>>>>> UPDATED\n```", "looks like a marker");
    check("a.py\n<<<<<<< ORIGINAL\na\n", "this is no marker");
    check(
        "a.py\n<<<<<<< SEARCH\na\n=======\nb\n",
        "edit block that begins at line 10 of the answer does not end",
    );
    check("a.py\n<<<<<<< SEARCH\na\n", "does not end");
    check("a.py\n<<<<<<< SEARCH\na\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE", "does not end");
    check("a.py\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE", "no `=======` line");
    check("a.py\n```\na\nb", "fenced file that begins at line 10");
    check(">>>>>>> REPLACE", "line 9 of the answer: a REPLACE marker without");
    check("*** Begin Patch\n*** Delete File: a.py\n", "patch that begins at line 9");
    check("*** Update File: a.py\n", "no `*** Begin Patch`");
    check("*** Begin Patch\n*** Update File: a.py\n a\nnonsense\n*** End Patch", "belongs to no file");
    check("*** Begin Patch\n*** Add File: c.py\n+a\n b\n*** End Patch", "begins with `+`");
    check("*** Move File: a.py\n", "OLD -> NEW");
    check("*** Move File: a.py -> b.py\n", "b.py exists");
    check("*** Move File: nope.py -> c.py\n", "nope.py does not exist");
    check("*** Delete File: nope.py\n", "nope.py does not exist");
    check("*** Delete File: b.py\n", "exclude each other");
    check("../a.py\n```\na\n```", "leaves the workspace");
    reply_refused(&[("a.py", "a\n"), ("b.py", "b\n")], "*** Move File: a.py -> b.py", "b.py exists");
    reply_refused(&[], MARKED, "names no file");
    reply_refused(&[], &block("a.py", "a\n", "b\n").repeat(501), "more than 500 blocks");
    reply_refused(&[], &block("a.py", "a\n", &"=======\n".repeat(20)), "several");
}

#[test]
fn v4a_and_unified_diffs() {
    let files = [
        ("a.py", "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 1\n    return x\n"),
        ("b.py", "b\n"),
    ];
    let patch = "*** Begin Patch\n*** Add File: n.py\n+one\n+\n+two\n*** Update File: a.py\n@@ def g():\n-    x = 1\n\
        +    x = 2\n     return x\n*** End of File\n*** Delete File: b.py\n*** End Patch\n";
    let expect = [
        ("a.py".to_owned(), Some(files[0].1.replace("def g():\n    x = 1", "def g():\n    x = 2"))),
        ("b.py".to_owned(), None),
        ("n.py".to_owned(), Some("one\n\ntwo\n".to_owned())),
    ];
    assert_eq!(after(&files, patch), expect);
    assert_eq!(after(&files, &format!("```\n{patch}```")), expect, "in a fence");
    assert_eq!(after(&files, &format!("a.py\n```\n{patch}```")), expect, "under a path");
    let diff = "```diff\ndiff --git a/a.py b/a.py\nindex 1..2 100644\n--- a/a.py\n+++ b/a.py\n@@ -5,3 +5,3 @@ def f():\n def g():\n\
        -    x = 1\n+    x = 2\n     return x\n--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n--- /dev/null\n+++ b/n.py\n\
        @@ -0,0 +1,3 @@\n+one\n+\n+two\n```\n";
    assert_eq!(after(&files, diff), expect, "as a unified diff");
    let bare =
        diff.replace("```diff\n", "```\n").replace("diff --git a/a.py b/a.py\nindex 1..2 100644\n", "");
    assert_eq!(after(&files, &bare), expect, "as a unified diff in a fence without a language");
    let moved = "*** Begin Patch\n*** Update File: b.py\n*** Move to: c.py\n@@\n-b\n+c\n*** End Patch";
    assert_eq!(after(&files, moved), [("b.py".into(), None), ("c.py".into(), Some("c\n".into()))]);
    reply_refused(&files, &patch.replace("@@ def g():", "@@"), "(lines 2, 6)");
}

#[test]
fn unified_diffs_rename() {
    let files = [("a.py", "x\ny\n"), ("b.py", "b\n")];
    let rename = "diff --git a/a.py b/c.py\nsimilarity index 90%\nrename from a.py\nrename to c.py\n";
    let moved = |text: &str| [("a.py".to_owned(), None), ("c.py".to_owned(), Some(text.to_owned()))];
    assert_eq!(after(&files, &format!("```diff\n{rename}```\n")), moved("x\ny\n"));
    let edited = format!("{rename}--- a/a.py\n+++ b/c.py\n@@ -1,2 +1,2 @@\n-x\n+z\n y\n");
    assert_eq!(after(&files, &format!("```diff\n{edited}```\n")), moved("z\ny\n"));
    let deleted = "--- a/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n";
    let seen = after(&files, &format!("```diff\n{deleted}{rename}```\n"));
    assert_eq!(seen.len(), 3, "a rename after a deletion is not lost: {seen:?}");
    reply_refused(&files, &format!("```diff\n{}```\n", rename.replace("c.py", "b.py")), "b.py exists");
    reply_refused(&files, &format!("```diff\n{}```\n", rename.replace("to c.py", "to ../c.py")), "leaves");
}

/// Answers put together at random are read or refused, and name only paths that were checked.
#[test]
fn any_answer_is_read_or_refused() {
    const PIECES: [&str; 30] = [
        "a.py\n",
        "`b.py`:\n",
        "../c.py\n",
        "```\n",
        "```python\n",
        "````\n",
        "~~~\n",
        "```diff\n",
        "<<<<<<< SEARCH\n",
        "<<<<< SEARCH\n",
        "=======\n",
        "=====\n",
        ">>>>>>> REPLACE\n",
        ">>>>>>> REPLACE",
        "*** Begin Patch\n",
        "*** End Patch\n",
        "*** Update File: a.py\n",
        "*** Add File: n.py\n",
        "*** Delete File: b.py\n",
        "*** Move File: a.py -> m.py\n",
        "*** Move to: o.py\n",
        "@@\n",
        "@@ é\n",
        "--- a/a.py\n",
        "+++ b/a.py\n",
        "+x\n",
        "-x\r\n",
        " é😀\n",
        "x\n",
        "\n",
    ];
    let files = [("a.py", "x\né😀\n"), ("b.py", "\u{feff}x\r\n\r\nx")];
    let mut seed = 3_u64;
    let mut applied = 0;
    for _ in 0..20_000 {
        let mut reply = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            reply.push_str(PIECES[(seed >> 33) as usize % PIECES.len()]);
        }
        for change in run(&files, &reply).unwrap_or_default() {
            assert_eq!(check_path(&change.path), Ok(change.path.clone()), "{reply}");
            assert_ne!(change.before, change.after, "{reply}");
            applied += 1;
        }
    }
    assert!(applied > 100, "{applied} applied");
}

#[test]
fn files_without_an_extension() {
    for path in ["GNUmakefile", "makefile", "Procfile", "VERSION", ".rspec-local", ".env.sample", "`cassert`"]
    {
        let name = path.trim_matches('`');
        let seen = after(&[], &format!("{path}\n```\nx\n```\n"));
        assert_eq!(seen, [(name.into(), Some("x\n".into()))], "{path}");
    }
    // Words and sentences over what is only shown.
    for line in
        ["Output", "Before:", "...", "**Example**", "In `src/gcd.py` this was:", "Change `a.py` and `b.py`:"]
    {
        assert_eq!(after(&[], &format!("{line}\n```\nx\n```\n")), [], "{line}");
    }
}
