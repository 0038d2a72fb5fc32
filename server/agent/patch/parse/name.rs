//! Reads file names off the lines around a block.

/// A path without the quotes and marks around it.
pub(super) fn bare(path: &str) -> &str {
    path.trim().trim_matches(['`', '*', '"', '\'']).trim()
}

/// The path that a line consists of, but for list and heading signs, a label such as `File:`, quotes and stars.
pub(super) fn path_in(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches('#').trim().trim_end_matches(':');
    let line = line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")).map_or(line, |(line, _)| line);
    let item = line.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(". ");
    let line = line.strip_prefix("- ").or(item).unwrap_or(line).trim().trim_matches('*').trim();
    let label = line.split_once(':').filter(|(label, _)| {
        ["file", "path", "filename", "file path"].contains(&label.to_lowercase().trim_matches('*'))
    });
    let text = label.map_or(line, |(_, path)| path.trim_start_matches('*').trim()).trim_end_matches(':');
    let path = bare(text);
    let marked = label.is_some() || text.starts_with('`') && text.ends_with('`');
    is_path(path, marked).then(|| path.to_owned())
}

/// The only path that a sentence before a block has in backticks, as in "In `src/a.py`, change the loop:".
pub(super) fn path_said(line: &str) -> Option<String> {
    let line = line.trim_end().strip_suffix(':')?;
    let mut paths = line.split('`').skip(1).step_by(2).filter(|word| is_path(word, false));
    let path = paths.next()?;
    paths.next().is_none().then(|| path.to_owned())
}

/// The path in an info string: `python src/a.py`, `python:src/a.py`, `src/a.py`, `python title="src/a.py"`.
pub(super) fn path_in_info(info: &str) -> Option<String> {
    info.split_whitespace().find_map(|token| {
        let token = token.trim_matches(['{', '}']);
        let value = token.split_once('=').map_or(token, |(_, value)| value);
        let value =
            bare(value.split_once(':').filter(|(head, _)| head.len() > 1).map_or(value, |(_, path)| path));
        (value.contains('.') && is_path(value, false)).then(|| value.to_owned())
    })
}

/// Names of files that have no extension.
const BARE: &[&str] = &[
    "AUTHORS",
    "BUILD",
    "Brewfile",
    "CHANGELOG",
    "CODEOWNERS",
    "CONTRIBUTING",
    "COPYING",
    "Caddyfile",
    "Containerfile",
    "Dockerfile",
    "Fastfile",
    "GNUmakefile",
    "Gemfile",
    "Guardfile",
    "Jenkinsfile",
    "Justfile",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "OWNERS",
    "Pipfile",
    "Podfile",
    "Procfile",
    "README",
    "Rakefile",
    "SConscript",
    "SConstruct",
    "Snakefile",
    "Tiltfile",
    "VERSION",
    "Vagrantfile",
    "WORKSPACE",
    "configure",
    "gradlew",
    "justfile",
    "makefile",
    "mvnw",
];

/// Whether `text` reads like a path: a name with an extension, something with a directory, or a well-known name
/// without either. `marked` paths may hold spaces before an extension, or be any one word.
fn is_path(text: &str, marked: bool) -> bool {
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let named = extension.contains(char::is_alphabetic) && extension.chars().all(char::is_alphanumeric);
    let hidden = text.strip_prefix('.').is_some_and(|rest| {
        rest.starts_with(char::is_alphanumeric)
            && rest.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
    });
    let spelled = !text.contains(['`', '<', '>', '|', '(', ')', ',', ':', '\n']) && !name.is_empty();
    let spaced = text.contains(char::is_whitespace);
    spelled
        && (!spaced && (named || hidden || text.contains('/') || BARE.contains(&text))
            || marked && (named || !spaced))
}
