//! Why an answer is not applied, said so that a model can answer better and a person understands it.

use super::Closest;

/// Why an answer was refused. Nothing of it has been taken. `line` counts the lines of the answer from 1,
/// other line numbers are those of the file, from 1 as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the {what} that begins at line {line} of the answer does not end; send it again in full, ended by `{end}`"
    )]
    Unterminated { line: usize, what: &'static str, end: &'static str },
    #[error("line {line} of the answer: {why}")]
    Malformed { line: usize, why: &'static str },
    #[error(
        "the block at line {line} of the answer names no file; put the file's path on the line before it"
    )]
    NoPath { line: usize },
    #[error("the path `{path}` {why}; name a file by its path relative to the workspace")]
    Path { path: String, why: &'static str },
    #[error("the answer holds more than {most} blocks; send the edits in smaller steps")]
    TooMany { most: usize },
    #[error("{path} does not exist; to create it, send its text with an empty SEARCH part")]
    Missing { path: String },
    #[error(
        "{path} exists and has content, and the block at line {line} of the answer has an empty SEARCH part; \
         put the lines to be changed there, with about three lines of context"
    )]
    Exists { path: String, line: usize },
    #[error("{path} exists, so nothing can be moved there; choose another path or delete it first")]
    Taken { path: String },
    #[error(
        "{path}: the SEARCH part of the block at line {line} of the answer is not in the file; copy the lines \
         exactly as the file has them, without line numbers or omissions{}",
        meant(.closest.as_ref())
    )]
    NotFound { path: String, line: usize, closest: Option<Closest> },
    #[error(
        "{path}: the SEARCH part of the block at line {line} of the answer fits {} places (lines {}); add five \
         lines of context so that it fits only the one meant",
        many(.hits), list(.hits)
    )]
    Ambiguous { path: String, line: usize, hits: Vec<usize> },
    #[error(
        "{path}: the block at line {line} of the answer has several `=======` lines and can be read in more than \
         one way; choose SEARCH lines without `=======`, or send the whole file"
    )]
    Dividers { path: String, line: usize },
    #[error(
        "{path}: the block at line {line} of the answer is already in the file (line {at}); leave it out and send \
         only what is still to be changed"
    )]
    AlreadyApplied { path: String, line: usize, at: usize },
    #[error(
        "{path}: the blocks at lines {first} and {second} of the answer change the same lines; send one block \
         that makes both changes"
    )]
    Overlap { path: String, first: usize, second: usize },
    #[error(
        "{path}: in the block at line {line} of the answer a REPLACE line is indented less than its SEARCH lines \
         allow; indent both parts exactly as the file does"
    )]
    Indent { path: String, line: usize },
    #[error(
        "{path}: the answer asks for things that exclude each other (edit, whole file, delete, move); send one of them"
    )]
    Conflict { path: String },
    #[error(
        "{path}: `{text}` stands for code that was left out; send that code, or only the lines that change"
    )]
    Placeholder { path: String, text: String },
    #[error(
        "{path}: the whole-file answer has {after} lines where the file has {before}; send SEARCH/REPLACE blocks \
         for the lines that change"
    )]
    Shrinks { path: String, before: usize, after: usize },
    #[error(
        "{path}: after the edit line {line} is a syntax error that was not there before (`{text}`); send an edit \
         that leaves the file well-formed"
    )]
    Syntax { path: String, line: usize, text: String },
    #[error(
        "{path}: line {line} of the new text (`{text}`) looks like a marker and is not in the file; an edit block is \
         written with `<<<<<<< SEARCH`, `=======` and `>>>>>>> REPLACE`, and in its fence nothing but the path stands \
         before it"
    )]
    Marker { path: String, line: usize, text: String },
    #[error("{path} is binary (it holds NUL bytes); only text files can be edited")]
    Binary { path: String },
    #[error("the answer changes nothing: SEARCH and REPLACE are the same; send the changed lines")]
    NoChange,
}

fn meant(closest: Option<&Closest>) -> String {
    closest.map_or_else(String::new, |Closest { first, last, text }| {
        let lines = if first == last { format!("line {first}") } else { format!("lines {first}–{last}") };
        format!("; did you mean {lines}:\n{text}")
    })
}

/// How many hits there are; the search stops at ten.
fn many(hits: &[usize]) -> String {
    if hits.len() < 10 { hits.len().to_string() } else { "ten or more".into() }
}

fn list(hits: &[usize]) -> String {
    hits.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
