//! What counts as an error, and what names are found, in every language that has a grammar.

use super::*;

fn read<'t>(path: &str, text: &'t str) -> Tree<'t> {
    let language = Language::of(path).unwrap_or_else(|| panic!("{path} has no grammar"));
    language.parse(text).unwrap_or_else(|| panic!("{path} was not read"))
}

/// A file without errors, one line that is wrong in place of its second, and its tags as
/// `name:d/r:kind:first-last`.
#[track_caller]
fn check(path: &str, text: &str, wrong: &str, tags: &str) {
    assert_eq!(read(path, text).errors(), [0; 0], "{path}: {text}");
    let seen = read(path, text).tags();
    let seen: Vec<_> = seen
        .iter()
        .map(|tag| {
            let role = if tag.role == Role::Definition { "d" } else { "r" };
            format!("{}:{role}:{}:{}-{}", tag.name, tag.kind, tag.first, tag.last)
        })
        .collect();
    assert_eq!(seen.join(" "), tags, "{path}");
    let mut lines: Vec<_> = text.lines().collect();
    lines[1] = wrong;
    let broken = lines.join("\n");
    assert!(new_error(path, text, &broken).is_some(), "{path}: {broken}");
    assert_eq!(new_error(path, &broken, &broken), None, "{path}: it was there before");
    assert_eq!(new_error(path, &broken, text), None, "{path}: it is repaired");
}

#[test]
fn every_grammar_knows_errors_and_names() {
    check(
        "a/b.PY",
        "def f(x):\n    return g(x)\n\nclass C:\n    def m(self): pass\n",
        "    return g(x",
        "f:d:function:1-2 g:r:call:2-2 C:d:class:4-5 m:d:function:5-5",
    );
    check(
        "b.mjs",
        "const f = (x) => {\n  return g(x);\n};\nclass C { m() { this.f(); } }\n",
        "  return g(x",
        "f:d:function:1-3 g:r:call:2-2 C:d:class:4-4 m:d:method:4-4 f:r:call:4-4",
    );
    check(
        "b.ts",
        "interface I { x: number }\nfunction f(i: I): string { return g(i); }\n",
        "function f(i: I: string { return g(i); }",
        "I:d:interface:1-1 f:d:function:2-2 I:r:type:2-2 g:r:call:2-2",
    );
    check(
        "B.java",
        "class B {\n  int f() { return g(); }\n}\n",
        "  int f() { return g( }",
        "B:d:class:1-3 f:d:method:2-2 g:r:call:2-2",
    );
    check(
        "b.go",
        "package p\nfunc f() int { return g() }\n",
        "func f() int { return g( }",
        "f:d:function:2-2 int:r:type:2-2 g:r:call:2-2",
    );
    for path in ["b.txt", "py", ".py/x", ""] {
        assert!(Language::of(path).is_none(), "{path}");
    }
}

#[test]
fn names_stand_in_many_places() {
    check(
        "b.js",
        "const o = {\n  key: () => 1,\n  n: 2 };\nmodule.exports.f = function g() {};\nnew a.B().c\n  .d(e);\nlet x = 3;\n",
        "  key: () => 1",
        "key:d:function:2-2 f:d:function:4-4 g:d:function:4-4 B:r:class:5-5 d:r:call:6-6",
    );
    check(
        "b.py",
        "LIMIT = 3\ndef f(x: C = a.b.c()): y = x\n",
        "def f(x: C = a.b.c(): y = x",
        "LIMIT:d:constant:1-1 f:d:function:2-2 c:r:call:2-2",
    );
    check(
        "b.ts",
        "enum E { A }\ntype T = E;\nabstract class C extends D { abstract m(): T }\n",
        "type T = ;",
        "E:d:enum:1-1 T:d:type:2-2 C:d:class:3-3 m:d:method:3-3 T:r:type:3-3",
    );
    check(
        "B.java",
        "class B extends C implements I, J {\n  R r = new R(); record R() {} enum E { A } }\n",
        "  R r = new R(; record R() {} enum E { A } }",
        "B:d:class:1-2 C:r:class:1-1 I:r:implementation:1-1 J:r:implementation:1-1 R:r:class:2-2 R:d:record:2-2 \
         E:d:enum:2-2",
    );
    check(
        "b.go",
        "package p\nfunc (t *T) M() { fmt.Println(t) }\ntype T struct { u U }\n",
        "func (t *T) M() { fmt.Println(t }",
        "T:r:type:2-2 M:d:method:2-2 Println:r:call:2-2 T:d:type:3-3 U:r:type:3-3",
    );
}

#[test]
fn the_first_new_error_is_named() {
    let check = |before, after, line| assert_eq!(new_error("a.py", before, after), line, "{after}");
    check("", "x = 1\ny = (\n", Some(2));
    check("a = )\ndef f(): pass\n", "a = )\ndef f(): pass\n\ndef g(:\n    pass\n", Some(4));
    check("def f(): pass\n\na = )\n", "def f(: pass\n\ndef g(): pass\n\na = )\n", Some(1));
    check("a = )\nb = ]\n", "a = )\nb = 1\n", None);
    check("\u{feff}x = 1\r\n", "\u{feff}x = 1\r\ny = )\r\n", Some(2));
    assert_eq!(new_error("a.txt", "", "x = ("), None);
}

#[test]
fn the_definition_around_a_line() {
    let tree = read("a.py", "class C:\n    def m(self):\n        x = 1\n\n    y = 2\n\nz = 3\n");
    let name = |line| tree.definition_at(line).map(|tag| tag.name);
    assert_eq!([name(3), name(5), name(7)], [Some("m"), Some("C"), Some("z")]);
}

#[test]
fn hostile_texts_are_bounded() {
    for text in ["(".repeat(2_000), "x = (1, \n".repeat(1_000), "{[".repeat(1_000)] {
        for language in &LANGUAGES {
            let tree = language.parse(&text);
            assert!(tree.is_none_or(|tree| !tree.errors().is_empty() && tree.tags().len() < 2_000));
        }
    }
    assert!(LANGUAGES[0].parse(&"x\n".repeat(MOST_BYTES)).is_none(), "too long");
}

#[test]
fn bodies_are_emptied_but_for_those_that_were_there() {
    let cases = [
        (
            "a.py",
            "def old():\n    return 1\n",
            "def old():\n    return 1\n\nclass A:\n    def f(self):\n        def inner():\n            return 2\n        return inner\n",
            "def old():\n    return 1\n\nclass A:\n    def f(self):\n        pass\n",
        ),
        (
            "a.js",
            "",
            "const f = (a) => { return a }\nfunction g() { return 1 }\n",
            "const f = (a) => {}\nfunction g() {}\n",
        ),
        ("a.ts", "", "class A { f(): number { return 1 } }\n", "class A { f(): number {} }\n"),
        (
            "a.go",
            "",
            "package a\n\nfunc F() int { return 1 }\n",
            "package a\n\nfunc F() int { panic(\"emptied\") }\n",
        ),
        (
            "A.java",
            "",
            "class A { int f() { return 1; } }\n",
            "class A { int f() { throw new RuntimeException(\"emptied\"); } }\n",
        ),
    ];
    for (path, before, after, expect) in cases {
        assert_eq!(emptied(path, before, after).as_deref(), Some(expect), "{path}");
    }
    assert_eq!(emptied("a.py", "", "x = 1\n"), None);
    assert_eq!(emptied("a.rb", "", "def f; 1; end\n"), None);
}
