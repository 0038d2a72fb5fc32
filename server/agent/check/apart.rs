//! A proposal taken apart: what is judged, and what judges it.
//!
//! Test files and configuration judge. So do the test modules that Rust keeps inside the files they test.

use super::Check;
use crate::agent::patch::FileChange;
use std::ops::Range;

/// The two sides of a proposal.
pub struct Apart {
    /// Its changes with everything that judges as it was before.
    pub judged: Vec<FileChange>,
    /// Its changes to what judges, on the text before.
    pub judging: Vec<FileChange>,
}

impl Check {
    pub fn apart(&self, changes: &[FileChange]) -> Apart {
        let mut apart = Apart { judged: Vec::new(), judging: Vec::new() };
        for change in changes {
            if self.protects(&change.path) {
                apart.judging.push(change.clone());
                continue;
            }
            let (Some(before), Some(after)) = (&change.before, &change.after) else {
                apart.judged.push(change.clone());
                continue;
            };
            let tests = |text: &str| inner_tests(&change.path, text);
            let (old, new) = (tests(before), tests(after));
            if before[old.clone()] == after[new.clone()] {
                apart.judged.push(change.clone());
                continue;
            }
            let with = |text: &str, at: Range<usize>, other: &str| {
                let after = format!("{}{other}{}", &text[..at.start], &text[at.end..]);
                FileChange { after: Some(after), ..change.clone() }
            };
            let judged = with(after, new.clone(), &before[old.clone()]);
            apart.judging.push(with(before, old, &after[new]));
            if judged.after != judged.before {
                apart.judged.push(judged);
            }
        }
        apart
    }
}

/// Where the test module of a Rust file stands; its end where there is none.
pub(super) fn inner_tests(path: &str, text: &str) -> Range<usize> {
    let none = text.len()..text.len();
    if path.strip_suffix(".rs").is_none() {
        return none;
    }
    let starts = |mark: &str| {
        if text.starts_with(mark) { Some(0) } else { Some(text.find(&format!("\n{mark}"))? + 1) }
    };
    let Some(start) = starts("#[cfg(test)]") else { return none };
    let end = text[start..].find("\n}").map_or(text.len(), |at| (start + at + 3).min(text.len()));
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::check::choose;
    use crate::agent::check::tests::snapshot;

    #[test]
    fn a_test_module_stays_as_it_was() {
        let file = |code: &str, tests: &str| format!("fn f() -> i32 {{ {code} }}\n\n{tests}\n");
        let module = |test: &str| format!("#[cfg(test)]\nmod tests {{\n    {test}\n}}");
        let (old, new) = (module("assert_eq!(f(), 2);"), module("assert!(true);"));
        let before = file("1", &old);
        let check = choose(&snapshot(&[("a.rs", &before)]), Some("cargo test"), None, Some("a.rs")).unwrap();
        // (after, judged, judging)
        let cases = [
            (file("2", &old), Some(file("2", &old)), None),
            (file("1", &new), None, Some(file("1", &new))),
            (file("2", &new), Some(file("2", &old)), Some(file("1", &new))),
            (
                file("2", "fn g() {}"),
                Some(file("2", "fn g() {}") + &old + "\n"),
                Some(file("1", "").trim_end_matches('\n').to_owned() + "\n\n"),
            ),
        ];
        for (after, judged, judging) in cases {
            let change =
                FileChange { path: "a.rs".into(), before: Some(before.clone()), after: Some(after.clone()) };
            let apart = check.apart(&[change]);
            let text = |side: &[FileChange]| side.first().and_then(|change| change.after.clone());
            assert_eq!((text(&apart.judged), text(&apart.judging)), (judged, judging), "{after}");
        }
    }
}
