//! What an answer has come to while it is still being written. For people alone: nothing is applied by it.

use super::name::{path_in, path_in_info};
use super::{Fence, marker};

/// No path or marker is longer; of a longer line the rest is passed over.
const MAX_LINE: usize = 1 << 10;

/// Follows an answer as its pieces come. Each byte is looked at a fixed number of times.
#[derive(Debug, Default)]
pub struct Writing {
    /// The line that has not ended yet.
    line: String,
    in_edit: bool,
    /// The fence that is open: its sign and how many of them.
    fence: Option<(char, usize)>,
    /// A fence with a path has begun; what comes first tells whether it holds blocks or a whole file.
    undecided: bool,
    /// The path on the last line that named one.
    named: Option<String>,
    path: Option<String>,
    edits: usize,
}

impl Writing {
    pub fn push(&mut self, piece: &str) {
        let mut rest = piece;
        while let Some((head, tail)) = rest.split_once('\n') {
            self.keep(head);
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
            rest = tail;
        }
        self.keep(rest);
    }

    /// E.g. `writing src/a.py, 2 edits`; none before the first edit.
    pub fn told(&self) -> Option<String> {
        let path = self.path.as_ref().filter(|_| self.edits > 0)?;
        let edits = if self.edits == 1 { "edit" } else { "edits" };
        Some(format!("writing {path}, {} {edits}", self.edits))
    }

    fn keep(&mut self, part: &str) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        let end = (0..=room.min(part.len())).rev().find(|&at| part.is_char_boundary(at));
        self.line.push_str(&part[..end.unwrap_or(0)]);
    }

    fn end_line(&mut self, line: &str) {
        if self.in_edit {
            self.in_edit = marker(line, '>', "REPLACE").is_none();
        } else if let Some((_, name)) = marker(line, '<', "SEARCH") {
            self.in_edit = true;
            self.begin(path_in(name));
        } else if let Some(path) = v4a(line).or_else(|| self.fence.and(new_name(line))) {
            self.begin(Some(path.to_owned()));
        } else if let Some(fence) = Fence::open(line, 0) {
            self.fence(&fence);
        } else if self.fence.is_none() {
            self.named = path_in(line).or(self.named.take());
        } else if let Some(path) = path_in(line) {
            // The path of a block that follows in the same fence.
            self.named = Some(path);
        } else if self.undecided && !line.trim().is_empty() {
            self.begin(None);
        }
    }

    fn fence(&mut self, fence: &Fence<'_>) {
        match self.fence {
            Some((sign, count)) if sign == fence.sign && fence.count >= count && fence.info.is_empty() => {
                (self.fence, self.undecided) = (None, false);
                self.named = None;
            }
            Some(_) => {}
            None => {
                self.fence = Some((fence.sign, fence.count));
                self.named = path_in_info(fence.info).or(self.named.take());
                let is_diff = matches!(fence.info, "diff" | "patch");
                self.undecided = self.named.is_some() && !is_diff;
            }
        }
    }

    /// An edit has begun.
    fn begin(&mut self, path: Option<String>) {
        self.undecided = false;
        self.edits += 1;
        self.path = path.or(self.named.clone()).or(self.path.take());
    }
}

/// The file that a `***` line begins to change.
fn v4a(line: &str) -> Option<&str> {
    let rest = line.trim_end().strip_prefix("*** ")?;
    ["Update File: ", "Add File: ", "Delete File: "].iter().find_map(|verb| rest.strip_prefix(verb))
}

/// The file that a unified diff begins to change.
fn new_name(line: &str) -> Option<&str> {
    line.trim_end().strip_prefix("+++ b/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces.
    fn check(answer: &str, expect: Option<&str>) {
        for size in [1, 3, 7, answer.len().max(1)] {
            let mut progress = Writing::default();
            for piece in answer.as_bytes().chunks(size) {
                progress.push(std::str::from_utf8(piece).expect("the answers here are ASCII"));
            }
            assert_eq!(progress.told().as_deref(), expect, "{answer}");
        }
    }

    #[test]
    fn answers_as_they_come() {
        let block = "<<<<<<< SEARCH\none\n=======\ntwo\n>>>>>>> REPLACE\n";
        check("", None);
        check("I look at src/a.py first.\n", None);
        check("src/a.py\n```python\n", None);
        check("src/a.py\n```python\n<<<<<<< SEARCH\n", Some("writing src/a.py, 1 edit"));
        check(&format!("src/a.py\n```\n{block}{block}"), Some("writing src/a.py, 2 edits"));
        check(
            &format!("src/a.py\n```\n{block}```\n`b.py`\n```\n{block}```\n"),
            Some("writing b.py, 2 edits"),
        );
        check("```python src/new.py\nimport os\n", Some("writing src/new.py, 1 edit"));
        check(&format!("```\nsrc/a.py\n{block}```\n"), Some("writing src/a.py, 1 edit"));
        check("*** Begin Patch\n*** Update File: a.py\n@@\n-x\n", Some("writing a.py, 1 edit"));
        check("```diff\n--- a/a.py\n+++ b/a.py\n@@\n", Some("writing a.py, 1 edit"));
        check("```sh\nls\n```\nDone.\n", None);
        check(&"x".repeat(10_000), None);
    }
}
