//! Comments that stand for code a model left out.

use super::Refusal;
use crate::text::lines;
use std::collections::HashSet;

/// Refuses a text with a comment that stands for code left out, unless the comment was there before.
pub(super) fn check(path: &str, before: &str, after: &str) -> Result<(), Refusal> {
    let known: HashSet<_> = lines(before).map(str::trim).collect();
    let prose = [".md", ".mdx", ".markdown", ".rst", ".txt"].iter().any(|ending| path.ends_with(ending));
    let mut new = lines(after).map(str::trim).filter(|line| !known.contains(line));
    let placeholder = new.find(|line| is_placeholder(line, prose));
    placeholder.map_or(Ok(()), |text| {
        Err(Refusal::Placeholder { path: path.to_owned(), text: text.chars().take(120).collect() })
    })
}

/// A comment such as `// ... rest of the code`, `# existing code unchanged` or `<!-- ... same as before -->`. In
/// `prose`, where comment signs are headings and bullets, only with dots.
fn is_placeholder(line: &str, prose: bool) -> bool {
    const LEADERS: [&str; 9] = ["{/*", "<!--", "//", "/*", "--", "#", "*", ";", "%"];
    const LEFT_OUT: [&str; 8] =
        ["rest", "remainder", "existing", "unchanged", "remaining", "previous", "same", "omitted"];
    const CODE: [&str; 14] = [
        "code",
        "file",
        "function",
        "functions",
        "class",
        "method",
        "methods",
        "implementation",
        "logic",
        "imports",
        "tests",
        "body",
        "module",
        "content",
    ];
    const STAYS: [&str; 8] = ["unchanged", "same", "here", "before", "above", "omitted", "stays", "remains"];
    let Some(body) = LEADERS.iter().find_map(|leader| line.strip_prefix(leader)) else { return false };
    let body = body.trim_start_matches(['/', '#', '*', '-', ';', '%']).trim().to_lowercase();
    let bare = body.trim_end_matches(['/', '*', '-', '>', '}', ' ', ')', ']']).trim_start_matches(['(', '[']);
    let words: Vec<_> = bare.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let any = |of: &[&str]| words.iter().any(|word| of.contains(word));
    let rest = ["rest of", "the rest of", "remainder of"].iter().any(|rest| bare.starts_with(rest));
    let subject = words.get(..2).is_some_and(|two| LEFT_OUT.contains(&two[0]) && CODE.contains(&two[1]));
    let leads = ["...", "…"].iter().any(|dots| bare.starts_with(dots));
    let trails = ["...", "…"].iter().any(|dots| bare.ends_with(dots));
    let elided = leads || trails && (rest || subject || words.len() < 3);
    let told = !prose && any(&CODE) && (rest || subject && any(&STAYS));
    words.len() <= 12 && any(&LEFT_OUT) && (elided || told)
}
