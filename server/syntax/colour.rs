//! What the words of a text are, for people who read it in colour. From the tree alone: a grammar names its leaves.

use super::Language;
use std::ops::Range;

/// What a piece of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Comment,
    Text,
    Number,
    Keyword,
    Type,
    /// The name of what is defined or called.
    Function,
}

/// The coloured pieces of a text, in order and apart from each other. None where no grammar knows the file. A part of a
/// file will do: what does not fit the grammar has the colours of its words.
pub fn colours(path: &str, text: &str) -> Vec<(Range<usize>, Colour)> {
    let Some(tree) = Language::of(path).and_then(|language| language.parse(text)) else { return Vec::new() };
    let mut found = Vec::new();
    let mut cursor = tree.parsed.walk();
    loop {
        let node = cursor.node();
        let colour = colour(&node, cursor.field_name());
        if let Some(colour) = colour {
            found.push((node.byte_range(), colour));
        }
        if colour.is_none() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

/// The colour of a node and all below it; none where those below decide.
fn colour(node: &tree_sitter::Node<'_>, field: Option<&str>) -> Option<Colour> {
    let kind = node.kind();
    if kind.ends_with("comment") {
        return Some(Colour::Comment);
    }
    // A template's own expressions are not told apart.
    if kind.contains("string") && node.is_named() || matches!(kind, "char_literal" | "rune_literal" | "regex")
    {
        return Some(Colour::Text);
    }
    if matches!(
        kind,
        "predefined_type" | "integral_type" | "floating_point_type" | "boolean_type" | "void_type"
    ) {
        return Some(Colour::Type);
    }
    if node.child_count() > 0 {
        return None;
    }
    let is_word = kind.starts_with(|letter: char| letter.is_ascii_alphabetic());
    match kind {
        "integer" | "float" | "number" | "int_literal" | "float_literal" | "imaginary_literal" => {
            Some(Colour::Number)
        }
        _ if kind.ends_with("integer_literal") || kind.ends_with("point_literal") => Some(Colour::Number),
        "true" | "false" | "none" | "null" | "nil" | "undefined" | "this" | "self" | "super" => {
            Some(Colour::Keyword)
        }
        "type_identifier" => Some(Colour::Type),
        _ if !node.is_named() && is_word => Some(Colour::Keyword),
        "identifier" | "field_identifier" | "property_identifier" if is_function(node, field) => {
            Some(Colour::Function)
        }
        _ => None,
    }
}

fn is_function(node: &tree_sitter::Node<'_>, field: Option<&str>) -> bool {
    let parent = node.parent().map_or("", |parent| parent.kind());
    let defines = ["function", "method", "constructor"].iter().any(|word| parent.contains(word));
    matches!(field, Some("name")) && (defines || parent == "method_invocation")
        || matches!(field, Some("function")) && parent.starts_with("call")
        || matches!(field, Some("name")) && parent.starts_with("class")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expect: &str) {
        let shown: Vec<_> = colours(path, text)
            .into_iter()
            .map(|(range, colour)| format!("{} {colour:?}", &text[range]))
            .collect();
        assert_eq!(shown.join("\n"), expect, "{path}");
    }

    #[test]
    fn words_of_each_language() {
        check(
            "a.py",
            "def gcd(a):  # why\n    return len('é') + 1",
            "def Keyword\ngcd Function\n# why Comment\nreturn Keyword\nlen Function\n'é' Text\n1 Number",
        );
        check(
            "a.ts",
            "const f: Foo = () => null; // x",
            "const Keyword\nFoo Type\nnull Keyword\n// x Comment",
        );
        check(
            "a.go",
            "func Max() int { return 1 }",
            "func Keyword\nMax Function\nint Type\nreturn Keyword\n1 Number",
        );
        check(
            "A.java",
            "class A { int f() { return 1; } }",
            "class Keyword\nA Function\nint Type\nf Function\nreturn Keyword\n1 Number",
        );
    }

    #[test]
    fn what_no_grammar_reads_has_no_colours() {
        check("a.txt", "def f", "");
        check("a.py", &"x = 1\n".repeat(100_000), "");
    }
}
