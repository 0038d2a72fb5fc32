//! `devcontainer.json`: the image that a workspace names for its work, or the Dockerfile that builds it.
//!
//! Nothing else of it is used. Features and commands are not run: the base is held to the sandbox's own policy.

use crate::workspace::Snapshot;
use serde_json::Value;

pub(super) const PLACES: &[&str] = &[".devcontainer/devcontainer.json", ".devcontainer.json"];
/// A build gets no more bytes of the workspace's text files than this.
const CONTEXT_MAX: u64 = 16 << 20;

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Pulled by this name.
    Image(String),
    Built(Built),
}

/// A build, as the engine wants it.
#[derive(Clone, PartialEq)]
pub struct Built {
    /// Relative to the workspace.
    pub dockerfile: String,
    /// The Dockerfile relative to the context.
    pub inside: String,
    pub text: String,
    pub args: Vec<(String, String)>,
    pub target: Option<String>,
    /// Files of the context, by path in it.
    pub context: Vec<(String, std::sync::Arc<[u8]>)>,
}

/// All but the context, which changes with every edit: what a key is made of.
impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\0{}\0{:?}\0{:?}", self.dockerfile, self.text, self.args, self.target)
    }
}

/// The base that the workspace names, with the file that names it.
pub(super) fn find(snapshot: &Snapshot) -> Option<(String, Base)> {
    let (place, found) = PLACES.iter().find_map(|place| Some((*place, snapshot.text(place).ok()?)))?;
    let value: Value = serde_json::from_str(&plain(&found)).ok()?;
    let text =
        |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(image) = value.get("image").and_then(text) {
        return is_image(&image).then(|| (place.to_owned(), Base::Image(image)));
    }
    let build = value.get("build").cloned().unwrap_or_default();
    let dockerfile = build.get("dockerfile").or_else(|| value.get("dockerFile")).and_then(text)?;
    let context = build.get("context").or_else(|| value.get("context")).and_then(text);
    let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
    let context = join(folder, context.as_deref().unwrap_or("."))?;
    let dockerfile = join(folder, &dockerfile)?;
    let below = if context.is_empty() { String::new() } else { format!("{context}/") };
    let inside = dockerfile.strip_prefix(&below)?.to_owned();
    let source = snapshot.text(&dockerfile).ok()?.to_string();
    let mut room = CONTEXT_MAX;
    let context = snapshot.paths().filter_map(|path| {
        let inside = path.strip_prefix(&below)?.to_owned();
        room = room.checked_sub(snapshot.size(path)?)?;
        Some((inside, snapshot.text(path).ok()?.as_bytes().into()))
    });
    let args = build.get("args").and_then(Value::as_object).into_iter().flatten();
    Some((
        place.to_owned(),
        Base::Built(Built {
            inside,
            text: source,
            args: args.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            target: build.get("target").and_then(text),
            context: context.collect(),
            dockerfile,
        }),
    ))
}

/// Whether a text can be nothing but the name of an image.
fn is_image(text: &str) -> bool {
    text.len() < 256
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "./:-_@".contains(c))
}

/// A path relative to `folder`, without `.` and `..`; none when it leaves the workspace.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// JSON with comments and trailing commas as plain JSON.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = string_end(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else {
            if matches!(c, '}' | ']') {
                let kept = out.trim_end().strip_suffix(',').map(str::len);
                out.truncate(kept.unwrap_or(out.len()));
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Where the string literal at the start of a text ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_passed_over() {
        let check = |text: &str, expect: Value| {
            assert_eq!(serde_json::from_str::<Value>(&plain(text)).ok(), Some(expect), "{text}");
        };
        check(
            "{\"a\": \"// no /* comment\", // one\n \"b\": [1, 2, ], /* two\n */ }",
            serde_json::json!({"a": "// no /* comment", "b": [1, 2]}),
        );
        check(r#"{"a": "\"},]", }"#, serde_json::json!({"a": "\"},]"}));
        assert!(serde_json::from_str::<Value>(&plain("{\"a\": \"")).is_err());
    }

    #[test]
    fn paths_stay_in_the_workspace_and_images_are_names() {
        assert_eq!(join(".devcontainer", "../Dockerfile").as_deref(), Some("Dockerfile"));
        assert_eq!(join(".devcontainer", "..").as_deref(), Some(""));
        assert_eq!(join(".devcontainer", "../../etc"), None);
        assert_eq!(join("", "/etc/passwd"), None);
        assert!(is_image("mcr.microsoft.com/devcontainers/python:1-3.12-bookworm"));
        assert!(!is_image("-v") && !is_image("${localEnv:IMAGE}") && !is_image("a b"));
    }
}
