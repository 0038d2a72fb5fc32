//! A unified diff in the colours of its language.

use crate::syntax::colour::{Colour, colours};
use maud::{Markup, html};
use std::ops::Range;

/// Lines of one diff that are drawn; nobody reads more in a browser.
const LINES: usize = 2000;

struct File<'d> {
    path: String,
    /// What becomes of it as a whole: `new`, `deleted`.
    note: &'static str,
    hunks: Vec<Hunk<'d>>,
}

struct Hunk<'d> {
    /// The line numbers that the next old and new line have.
    old: usize,
    new: usize,
    lines: Vec<&'d str>,
}

/// The pieces of one line that have a colour.
type Painted = Vec<(Range<usize>, Colour)>;

pub(super) fn diff(text: &str) -> Markup {
    let mut rest = LINES;
    let files = files(text);
    html! {
        @for File { path, note, hunks } in &files {
            section.file {
                p.path { (path) @if !note.is_empty() { " " span.tag { (note) } } }
                div.code tabindex="0" role="region" aria-label=(format!("Changes of {path}")) {
                    pre.diff {
                        @for (index, hunk) in hunks.iter().enumerate() {
                            @if index > 0 { span.gap { "⋯\n" } }
                            (draw(path, hunk, &mut rest))
                        }
                    }
                }
            }
        }
        @if rest == 0 { p.hint { "Further lines are not shown." } }
    }
}

/// Files with their hunks. What stands before the first file is none.
fn files(text: &str) -> Vec<File<'_>> {
    let mut files: Vec<File<'_>> = Vec::new();
    let mut lines = text.split_inclusive('\n').peekable();
    // Lines of a hunk that are still to come: a removed `-- x` looks like the head of a file.
    let (mut old_left, mut new_left) = (0, 0);
    while let Some(line) = lines.next() {
        if old_left > 0 || new_left > 0 || line.starts_with('\\') {
            old_left -= usize::from(old_left > 0 && !line.starts_with(['+', '\\']));
            new_left -= usize::from(new_left > 0 && !line.starts_with(['-', '\\']));
            if let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) {
                hunk.lines.push(line);
            }
        } else if let Some(old) = line.strip_prefix("--- ") {
            let new = lines.next_if(|next| next.starts_with("+++ ")).map_or("/dev/null", |next| &next[4..]);
            let (path, note) = named(old.trim_end(), new.trim_end());
            files.push(File { path, note, hunks: Vec::new() });
        } else if let (Some([old, old_count, new, new_count]), Some(file)) = (place(line), files.last_mut()) {
            (old_left, new_left) = (old_count, new_count);
            file.hunks.push(Hunk { old, new, lines: Vec::new() });
        }
    }
    files
}

fn named(old: &str, new: &str) -> (String, &'static str) {
    let path = |name: &str| name.get(2..).unwrap_or(name).to_owned();
    match (old, new) {
        ("/dev/null", new) => (path(new), "new"),
        (old, "/dev/null") => (path(old), "deleted"),
        (_, new) => (path(new), ""),
    }
}

/// `@@ -1,3 +1,4 @@`: first line and number of lines, old and new.
fn place(line: &str) -> Option<[usize; 4]> {
    let (old, new) = line.strip_prefix("@@ -")?.split(" @@").next()?.split_once(" +")?;
    let pair = |text: &str| -> Option<(usize, usize)> {
        let (first, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((first.parse().ok()?, count.parse().ok()?))
    };
    let ((old, old_count), (new, new_count)) = (pair(old)?, pair(new)?);
    Some([old, old_count, new, new_count])
}

/// A line as it is drawn: its kind, its number, its text.
struct Drawn<'d> {
    class: &'static str,
    number: Option<usize>,
    text: &'d str,
    painted: Painted,
}

fn draw(path: &str, hunk: &Hunk<'_>, rest: &mut usize) -> Markup {
    let lines = lines(path, hunk, *rest);
    *rest -= lines.len();
    html! {
        @for line in &lines {
            span class=(line.class) {
                span.n aria-hidden="true" { @if let Some(number) = line.number { (number) } }
                (line.text.get(..1).unwrap_or(" "))
                (pieces(line.text.get(1..).unwrap_or(line.text), &line.painted))
            }
        }
    }
}

fn lines<'d>(path: &str, hunk: &Hunk<'d>, most: usize) -> Vec<Drawn<'d>> {
    let mut old = paint(path, hunk, '+').into_iter().zip(hunk.old..);
    let mut new = paint(path, hunk, '-').into_iter().zip(hunk.new..);
    let drawn = hunk.lines.iter().take(most).map(|text| {
        let (class, place) = match text.as_bytes()[0] {
            b'-' => ("del", old.next()),
            b'+' => ("add", new.next()),
            b'\\' => ("note", None),
            _ => ("same", old.next().and(new.next())),
        };
        let (painted, number) =
            place.map_or((Painted::new(), None), |(painted, number)| (painted, Some(number)));
        Drawn { class, number, text, painted }
    });
    drawn.collect()
}

/// The colours of each line of one side of a hunk.
fn paint(path: &str, hunk: &Hunk<'_>, other: char) -> Vec<Painted> {
    let lines = hunk.lines.iter().filter(|line| !line.starts_with([other, '\\']));
    let lines: Vec<&str> = lines.map(|line| line.get(1..).unwrap_or_default()).collect();
    let text = lines.concat();
    let mut painted = vec![Painted::new(); lines.len()];
    let (mut index, mut start) = (0, 0);
    for (range, colour) in colours(path, &text) {
        while index < lines.len() && start + lines[index].len() <= range.start {
            start += lines[index].len();
            index += 1;
        }
        // A comment or a text may go on over lines.
        let (mut line, mut at) = (index, start);
        while line < lines.len() && at < range.end {
            let end = at + lines[line].len();
            painted[line].push((range.start.max(at) - at..range.end.min(end) - at, colour));
            at = end;
            line += 1;
        }
    }
    painted
}

fn pieces(line: &str, painted: &[(Range<usize>, Colour)]) -> Markup {
    let mut at = 0;
    let mut pieces = Vec::new();
    for (range, colour) in painted {
        if let (Some(before), Some(word)) = (line.get(at..range.start), line.get(range.clone())) {
            pieces.extend([(None, before), (Some(class(*colour)), word)]);
            at = range.end;
        }
    }
    pieces.push((None, line.get(at..).unwrap_or_default()));
    html! {
        @for (class, text) in pieces {
            @if let Some(class) = class { span class=(class) { (text) } } @else { (text) }
        }
    }
}

fn class(colour: Colour) -> &'static str {
    match colour {
        Colour::Comment => "c",
        Colour::Text => "s",
        Colour::Number => "m",
        Colour::Keyword => "k",
        Colour::Type => "t",
        Colour::Function => "f",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn every_line_is_there_once_and_nothing_of_it_is_markup() {
        let before = "def f():\n    return '<b>'\n-- not a file\nlast";
        let after = "def f():\n    # <script>\n    return \"\"\"a\n b\"\"\"\nlast\n";
        let drawn = diff(&text::unified("a<b>.py", Some(before), Some(after))).into_string();
        assert!(!drawn.contains("<b>") && !drawn.contains("<script>"), "{drawn}");
        assert!(drawn.contains(r#"<span class="c"># &lt;script&gt;</span>"#), "{drawn}");
        for class in ["del", "add", "same", "note"] {
            let lines = drawn.matches(&format!(r#"<span class="{class}"><span class="n""#)).count();
            let expect = if class == "del" {
                3
            } else if class == "add" {
                4
            } else {
                1
            };
            assert_eq!(lines, expect, "{class} {drawn}");
        }
        assert_eq!(drawn.matches("class=\"path\"").count(), 1, "{drawn}");
    }

    #[test]
    fn files_come_and_go() {
        let come = text::unified("new.py", None, Some("x = 1\n"));
        let go = text::unified("old.py", Some("x = 1\n"), None);
        let both = come + &go;
        let names: Vec<_> = files(&both).into_iter().map(|file| (file.path, file.note)).collect();
        assert_eq!(names, [("new.py".into(), "new"), ("old.py".into(), "deleted")]);
    }

    #[test]
    fn what_is_no_diff_draws_nothing_and_does_not_fall_over() {
        for text in
            ["", "@@ -1 +1 @@\n", "--- \n+++ \n@@ -1,9 +1,9 @@\n\n+é\n", "\\\n", "--- a/é\n@@ -x +1 @@\n"]
        {
            diff(text);
        }
    }
}
