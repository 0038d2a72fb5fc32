//! LSP's words in ours: documents' names, positions, the arguments of commands.

use crate::agent::task::Given;
use crate::text::Position;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tower_lsp::jsonrpc::Error;
use tower_lsp::lsp_types::{self, Diagnostic, Range};
use url::Url;

/// Instructions and other words of the user may have this many bytes.
const MAX_WORDS: usize = 64 << 10;

/// What a document is known by: its absolute path, or its URI where it is no file.
pub(super) fn key(uri: &str) -> String {
    path(uri).and_then(|path| path.to_str().map(Into::into)).unwrap_or_else(|| uri.to_owned())
}

/// The absolute path of a `file:` URI.
pub(super) fn path(uri: &str) -> Option<PathBuf> {
    Url::parse(uri).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

pub(super) fn position(position: lsp_types::Position) -> Position {
    Position { line: position.line, column: position.character }
}

/// First and last line of a range, from 1. A range that ends before a line's first character leaves it out.
pub(super) fn lines(range: Range) -> (u32, u32) {
    let (start, end) = (range.start.min(range.end), range.start.max(range.end));
    let last = if end.character == 0 && end.line > start.line { end.line - 1 } else { end.line };
    (start.line.saturating_add(1), last.saturating_add(1))
}

pub(super) fn given(diagnostic: &Diagnostic) -> Given {
    Given {
        line: diagnostic.range.start.line.saturating_add(1),
        message: diagnostic.message.clone(),
        source: diagnostic.source.clone(),
    }
}

/// The folder that holds a file: the innermost of the workspace's. The file's own where the workspace has none, or is
/// known by another name. `None` for a file outside: what lies around it was not opened to us.
pub(super) fn root(folders: &[PathBuf], file: &Path) -> Option<PathBuf> {
    let own = || {
        let own = file.parent()?;
        let real = || own.canonicalize().ok();
        let holds = |folder: &PathBuf| Some(real()?.starts_with(folder.canonicalize().ok()?));
        let inside = folders.is_empty() || folders.iter().any(|folder| holds(folder) == Some(true));
        inside.then(|| own.to_owned())
    };
    innermost(folders, file).or_else(own)
}

/// The innermost of the workspace's folders that holds a file, by its name alone.
pub(super) fn innermost(folders: &[PathBuf], file: &Path) -> Option<PathBuf> {
    let holding = folders.iter().filter(|folder| file.starts_with(folder));
    holding.max_by_key(|folder| folder.components().count()).cloned()
}

/// The argument of the seven commands that start a task.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    pub(super) uri: String,
    pub(super) range: Option<Range>,
    pub(super) diagnostics: Option<Vec<Diagnostic>>,
    pub(super) instruction: Option<String>,
    pub(super) language: Option<String>,
    pub(super) framework: Option<String>,
    pub(super) check: Option<String>,
    /// US dollars the task may cost, instead of `budget.usdPerTask`.
    pub(super) budget: Option<f64>,
    /// Of `generate`: the task whose plan to follow, and which step of it, from 1; without one all that are left.
    pub(super) plan: Option<String>,
    pub(super) step: Option<usize>,
}

impl Arguments {
    /// Reads the argument list of a command; the error says what is wrong with it.
    pub(super) fn read(command: &str, arguments: Vec<Value>) -> Result<Self, Error> {
        let arguments: Self = only(command, arguments)?;
        if path(&arguments.uri).is_none() {
            let uri = &arguments.uri;
            return Err(wrong(command, format!("`uri` must name a saved file (`file:///…`), it is {uri:?}")));
        }
        for (name, words) in [
            ("instruction", &arguments.instruction),
            ("language", &arguments.language),
            ("framework", &arguments.framework),
            ("check", &arguments.check),
        ] {
            if words.as_ref().is_some_and(|words| words.len() > MAX_WORDS) {
                return Err(wrong(command, format!("`{name}` is longer than {MAX_WORDS} bytes")));
            }
        }
        if let Some(dollars) = arguments.budget
            && !(dollars.is_finite() && dollars > 0.0)
        {
            return Err(wrong(command, format!("`budget` must be a sum of US dollars, it is {dollars}")));
        }
        if let Some(Range { start, end }) = arguments.range
            && start > end
        {
            return Err(wrong(command, "`range` ends before it starts"));
        }
        Ok(arguments)
    }
}

/// The argument of the commands about a task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    task: String,
}

/// Reads `{task}`.
pub(super) fn task(command: &str, arguments: Vec<Value>) -> Result<String, Error> {
    only::<About>(command, arguments).map(|about| about.task)
}

/// Reads `{task?}`; the object itself may be missing.
pub(super) fn maybe_task(command: &str, arguments: Vec<Value>) -> Result<Option<String>, Error> {
    match arguments.as_slice() {
        [] | [Value::Null] => Ok(None),
        [Value::Object(object)] if object.is_empty() => Ok(None),
        _ => task(command, arguments).map(Some),
    }
}

fn only<T: serde::de::DeserializeOwned>(command: &str, mut arguments: Vec<Value>) -> Result<T, Error> {
    match (arguments.pop(), arguments.len()) {
        (Some(object @ Value::Object(_)), 0) => {
            serde_json::from_value(object).map_err(|error| wrong(command, error))
        }
        (Some(_), 0) => Err(wrong(command, "the argument must be an object")),
        (Some(_), more) => Err(wrong(command, format!("takes one argument, {} were given", more + 1))),
        (None, _) => Err(wrong(command, "takes one argument, none was given")),
    }
}

pub(super) fn wrong(command: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid_params(format!("opendevagent.{command}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys() {
        assert_eq!(key("file:///a/b%20c.py"), "/a/b c.py");
        assert_eq!(key("file:///a/../b.py"), "/b.py");
        assert_eq!(key("untitled:Untitled-1"), "untitled:Untitled-1");
        assert_eq!(key("not a uri"), "not a uri");
    }

    #[test]
    fn the_innermost_folder_holds_the_file() {
        let folders = ["/w", "/w/in"].map(PathBuf::from);
        let check =
            |file: &str, expect: &str| assert_eq!(root(&folders, Path::new(file)), Some(expect.into()));
        check("/w/a.py", "/w");
        check("/w/in/deep/a.py", "/w/in");
        check("/w/in", "/w/in");
        assert_eq!(root(&folders, Path::new("/w2/a.py")), None);
        assert_eq!(root(&[], Path::new("/w2/a.py")), Some("/w2".into()));
    }

    #[test]
    fn lines_of_ranges() {
        let at = lsp_types::Position::new;
        assert_eq!(lines(Range::new(at(2, 4), at(2, 4))), (3, 3));
        assert_eq!(lines(Range::new(at(2, 0), at(4, 0))), (3, 4));
        assert_eq!(lines(Range::new(at(u32::MAX, 0), at(u32::MAX, u32::MAX))), (u32::MAX, u32::MAX));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let check = |arguments: Value, expect: &str| {
            let Value::Array(arguments) = arguments else { panic!("{arguments}") };
            let error = Arguments::read("fix", arguments).expect_err(expect);
            assert_eq!(error.code.code(), -32602);
            assert!(error.message.contains(expect), "{} does not contain {expect}", error.message);
        };
        let uri = "file:///a.py";
        check(json!([]), "none was given");
        check(json!([1]), "must be an object");
        check(json!([{"uri": uri}, {"uri": uri}]), "2 were given");
        check(json!([{}]), "missing field `uri`");
        check(json!([{"uri": uri, "ragne": 1}]), "unknown field `ragne`");
        check(json!([{"uri": 3}]), "expected a string");
        check(json!([{"uri": "untitled:1"}]), "saved file");
        check(json!([{"uri": uri, "budget": 0}]), "US dollars");
        check(json!([{"uri": uri, "budget": "1"}]), "expected f64");
        check(
            json!([{"uri": uri, "range": {"start": {"line": 2, "character": 0}, "end": {"line": 1, "character": 0}}}]),
            "ends before",
        );
        check(
            json!([{"uri": uri, "range": {"start": {"line": -1, "character": 0}, "end": {"line": 1, "character": 0}}}]),
            "invalid value",
        );
    }
}
