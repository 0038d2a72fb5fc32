//! What a model wrote, as it meant it: headings, lists and code of Markdown. Everything else of it stays text, and no
//! link becomes one.

use maud::{Markup, html};

pub(super) fn prose(text: &str) -> Markup {
    let mut lines = text.lines().peekable();
    html! {
        @while let Some(line) = lines.next() {
            @let line = line.trim_end();
            @if let Some(language) = fence(line) {
                @let code = collect(&mut lines, |line| fence(line).is_none(), true);
                div.code tabindex="0" role="region" aria-label=(format!("{language} code")) { pre { (code.join("\n")) } }
            } @else if let Some(heading) = heading(line) {
                h3 { (inline(heading)) }
            } @else if item(line).is_some() {
                @let more = collect(&mut lines, |line| item(line).is_some() || line.starts_with("  "), false);
                ul {
                    @for entry in std::iter::once(line.to_owned()).chain(more) {
                        li { (inline(item(&entry).unwrap_or(entry.trim()))) }
                    }
                }
            } @else if !line.is_empty() {
                @let more = collect(&mut lines, is_plain, false);
                p { (inline(&std::iter::once(line.to_owned()).chain(more).collect::<Vec<_>>().join("\n"))) }
            }
        }
    }
}

/// The lines as long as they belong together; and the one that ends them, where it `closes` only.
fn collect<'t>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
    belongs: impl Fn(&str) -> bool,
    closes: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(line) = lines.next_if(|line| belongs(line)) {
        found.push(line.to_owned());
    }
    if closes {
        lines.next();
    }
    found
}

fn fence(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("```").map(str::trim)
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
}

fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let number = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let numbered = (number.len() < line.len()).then(|| number.strip_prefix(". ")).flatten();
    numbered.or_else(|| line.strip_prefix("- ")).or_else(|| line.strip_prefix("* "))
}

fn is_plain(line: &str) -> bool {
    !line.trim().is_empty() && fence(line).is_none() && heading(line).is_none() && item(line).is_none()
}

/// `code` and **strong** words.
fn inline(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else {
                @for (index, part) in part.split("**").enumerate() {
                    @if index % 2 == 1 { strong { (part) } } @else { (part) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_means_and_nothing_more() {
        let check = |text: &str, expect: &str| assert_eq!(prose(text).into_string(), expect, "{text}");
        check("## A `b`\ntwo\nlines\n\nnext", "<h3>A <code>b</code></h3><p>two\nlines</p><p>next</p>");
        check("- a\n  more\n2. **b**", "<ul><li>a</li><li>more</li><li><strong>b</strong></li></ul>");
        check(
            "<script>x</script> [a](javascript:b)",
            "<p>&lt;script&gt;x&lt;/script&gt; [a](javascript:b)</p>",
        );
        let code = prose("```py\n<a>\n\n# b\n```\nend").into_string();
        assert!(code.ends_with("<pre>&lt;a&gt;\n\n# b</pre></div><p>end</p>"), "{code}");
        assert!(prose("```never closed\nx").into_string().contains("<pre>x</pre>"));
    }
}
