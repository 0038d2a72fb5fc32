//! Patches that models send unasked: V4A (`*** Begin Patch`) and unified diffs. Their hunks become SEARCH/REPLACE
//! blocks; line numbers are not trusted.

use super::name::bare;
use super::{Block, Numbered, Parser, Replace, malformed};
use crate::agent::patch::{Refusal, check_path};

impl Parser<'_> {
    /// Reads a V4A patch after its first line.
    pub(super) fn v4a(&mut self) -> Result<(), Refusal> {
        let opened = self.at;
        let mut lines: Vec<Numbered<'_>> = Vec::new();
        loop {
            match self.next() {
                Some(line) if line.trim_end() == "*** End Patch" => break,
                Some(line) => lines.push((self.at, line)),
                None => {
                    let (what, end) = ("patch", "*** End Patch");
                    return Err(Refusal::Unterminated { line: opened, what, end });
                }
            }
        }
        let mut rest = &lines[..];
        while let [(at, line), after @ ..] = rest {
            let line = line.trim_end();
            rest = after;
            if let Some(path) = line.strip_prefix("*** Add File: ") {
                let path = check_path(bare(path))?;
                let (text, left) = added(rest)?;
                rest = left;
                self.push(Block::Replace(Replace::new(&path, *at, "", &text)))?;
            } else if let Some(path) = line.strip_prefix("*** Update File: ") {
                let path = check_path(bare(path))?;
                if let [(_, line), after @ ..] = rest
                    && let Some(to) = line.trim_end().strip_prefix("*** Move to: ")
                {
                    rest = after;
                    self.push(Block::Move { from: path.clone(), to: check_path(bare(to))? })?;
                }
                rest = self.hunks(&path, rest)?;
            } else if !line.is_empty() && !self.directive(line)? {
                return malformed(*at, "a patch line that belongs to no file");
            }
        }
        Ok(())
    }

    /// Reads the files of a unified diff; `path` is the file of hunks before the first file header. Without
    /// either it is an illustration.
    pub(super) fn unified(&mut self, path: Option<&str>, lines: &[Numbered<'_>]) -> Result<(), Refusal> {
        const EXTENDED: [&str; 7] =
            ["diff ", "index ", "new file ", "deleted file ", "old mode ", "new mode ", "similarity index "];
        let begins = |lines: &[Numbered<'_>]| header(lines).is_some() || renamed(lines).is_some();
        let file = |lines: &[Numbered<'_>]| (0..lines.len()).find(|&at| begins(&lines[at..]));
        if path.is_none() && file(lines).is_none() {
            return Ok(());
        }
        let mut rest = lines;
        let mut path = path.map(check_path).transpose()?;
        while let [(at, line), after @ ..] = rest {
            if let Some((old, new)) = header(rest) {
                rest = &rest[2..];
                match (side(old, "a/"), side(new, "b/")) {
                    (Some(old), None) => {
                        self.push(Block::Delete { path: check_path(old)? })?;
                        rest = &rest[file(rest).unwrap_or(rest.len())..];
                    }
                    (None, Some(new)) => {
                        let new = check_path(new)?;
                        let hunk = rest.iter().take_while(|(_, line)| line.starts_with("@@")).count();
                        let (text, left) = added(&rest[hunk..])?;
                        rest = left;
                        self.push(Block::Replace(Replace::new(&new, *at, "", &text)))?;
                    }
                    (_, new) => path = new.map(check_path).transpose()?,
                }
            } else if let Some((from, to)) = renamed(rest) {
                rest = &rest[2..];
                self.push(Block::Move { from: check_path(bare(from))?, to: check_path(bare(to))? })?;
            } else if let (Some(path), true) =
                (&path, line.starts_with([' ', '+', '-']) || line.starts_with("@@"))
            {
                rest = self.hunks(path, rest)?;
            } else if line.trim().is_empty() || EXTENDED.iter().any(|known| line.starts_with(known)) {
                rest = after;
            } else {
                return malformed(*at, "a line of a diff that is not understood; send SEARCH/REPLACE blocks");
            }
        }
        Ok(())
    }

    /// Reads the hunks of one file, up to a line that belongs to none.
    fn hunks<'l>(&mut self, path: &str, lines: &'l [Numbered<'l>]) -> Result<&'l [Numbered<'l>], Refusal> {
        let mut rest = lines;
        let (mut search, mut replace, mut anchor) = (String::new(), String::new(), None);
        let mut begun = lines.first().map_or(self.at, |(at, _)| *at);
        loop {
            let ends = rest.first().is_none_or(|(_, line)| !is_hunk_line(line)) || header(rest).is_some();
            if (ends || rest[0].1.starts_with("@@")) && !(search.is_empty() && replace.is_empty()) {
                let mut hunk = Replace::new(path, begun, &search, &replace);
                hunk.anchor = anchor.take();
                self.push(Block::Replace(hunk))?;
                (search, replace) = (String::new(), String::new());
            }
            if ends {
                return Ok(rest);
            }
            let (at, line) = rest[0];
            rest = &rest[1..];
            match line.split_at_checked(1).unwrap_or(("", "")) {
                ("@", context) => (begun, anchor) = (at, anchor_in(context).or(anchor)),
                ("-", text) => search.push_str(text),
                ("+", text) => replace.push_str(text),
                (" ", text) => {
                    search.push_str(text);
                    replace.push_str(text);
                }
                ("\\" | "*", _) => {}
                // Blank context whose leading space was lost; at the end of a hunk it is only spacing.
                _ if rest.first().is_some_and(|(_, line)| line.starts_with([' ', '+', '-', '\n', '\r'])) => {
                    search.push_str(line);
                    replace.push_str(line);
                }
                _ => {}
            }
        }
    }
}

/// The `+` lines that begin `lines`, without the sign, and what follows them.
fn added<'l>(lines: &'l [Numbered<'l>]) -> Result<(String, &'l [Numbered<'l>]), Refusal> {
    let count = lines.iter().take_while(|(_, line)| line.starts_with('+')).count();
    let (text, rest) = lines.split_at(count);
    match rest.first() {
        Some((at, line)) if line.starts_with([' ', '-']) && header(rest).is_none() => {
            malformed(*at, "every line of a new file in a patch begins with `+`")
        }
        _ => Ok((text.iter().map(|(_, line)| &line[1..]).collect(), rest)),
    }
}

/// The two names of a unified diff's file header, if `lines` begin with one.
pub(super) fn header<'l>(lines: &[Numbered<'l>]) -> Option<(&'l str, &'l str)> {
    let [(_, old), (_, new), ..] = lines else { return None };
    Some((old.strip_prefix("--- ")?, new.strip_prefix("+++ ")?))
}

/// The old and the new name, if `lines` begin with git's lines for a renamed file.
fn renamed<'l>(lines: &[Numbered<'l>]) -> Option<(&'l str, &'l str)> {
    let [(_, from), (_, to), ..] = lines else { return None };
    Some((from.strip_prefix("rename from ")?, to.strip_prefix("rename to ")?))
}

/// The path of one side of a file header; `None` for `/dev/null`.
fn side<'l>(name: &'l str, prefix: &str) -> Option<&'l str> {
    let name = bare(name.split('\t').next().unwrap_or(name));
    (name != "/dev/null").then(|| name.strip_prefix(prefix).unwrap_or(name))
}

fn is_hunk_line(line: &str) -> bool {
    line.starts_with([' ', '+', '-', '\\'])
        || line.starts_with("@@")
        || line.trim().is_empty()
        || line.starts_with("*** End of File")
}

/// The line that `@@ line` names. Line ranges as in `@@ -1,3 +1,4 @@` are not trusted.
fn anchor_in(context: &str) -> Option<String> {
    let anchor = context.trim_start_matches('@').trim();
    (!anchor.is_empty() && !anchor.starts_with('-')).then(|| anchor.to_owned())
}
