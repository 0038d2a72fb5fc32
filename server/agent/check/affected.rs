//! The part of a suite that a change can affect: for a first look where the whole takes long.

use super::{Check, Observation, Runner, State, is_test};
use crate::verdict::CheckSource;
use crate::workspace::Snapshot;
use std::collections::BTreeSet;
use std::time::Duration;

/// A part that takes longer is no quick look.
const LIMIT: Duration = Duration::from_secs(60);
/// A longer list of files is no part.
const MOST: usize = 50;

/// How a runner is started on some files.
const STARTS: &[(Runner, &[&str])] =
    &[(Runner::Pytest, &["python3", "-m", "pytest", "-q"]), (Runner::Node, &["node", "--test"])];

impl Check {
    /// The tests that name one of the changed files, or failed before; `None` where the command is the user's own,
    /// the runner cannot be given files, or these are all tests there are.
    pub fn affected(
        &self,
        snapshot: &Snapshot,
        changed: &[&str],
        before: Option<&Observation>,
    ) -> Option<Self> {
        let (_, start) = STARTS.iter().find(|(runner, _)| *runner == self.runner)?;
        if self.source != CheckSource::Detected || !self.directory.is_empty() {
            return None;
        }
        let stems: BTreeSet<&str> = changed.iter().filter_map(|path| stem(path)).collect();
        let failed = before.into_iter().flat_map(|seen| &seen.tests);
        let failed: Vec<&String> =
            failed.filter(|(_, test)| test.state == State::Failed).map(|(name, _)| name).collect();
        let all: Vec<&str> = snapshot.paths().filter(|path| is_test(path)).collect();
        let uses = |path: &&&str| {
            failed.iter().any(|name| name.starts_with(**path))
                || changed.contains(*path)
                || snapshot.text(path).is_ok_and(|text| words(&text).any(|word| stems.contains(word)))
        };
        let some: Vec<&str> = all.iter().filter(uses).copied().collect();
        if some.is_empty() || some.len() == all.len() || some.len() > MOST {
            return None;
        }
        let argv: Vec<String> = start.iter().chain(&some).map(|&word| word.to_owned()).collect();
        Some(Self { command: argv.join(" "), argv, limit: Some(LIMIT), ..self.clone() })
    }
}

/// What an import calls the file: its name, or its folder's where the name says nothing.
fn stem(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.split('.').next()?;
    let plain = matches!(stem, "__init__" | "index" | "mod");
    Some(if plain { folder.rsplit('/').next()? } else { stem }).filter(|stem| !stem.is_empty())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
}

#[cfg(test)]
mod tests {
    use crate::agent::check::choose;
    use crate::agent::check::tests::snapshot;

    #[test]
    fn tests_that_name_a_changed_file_are_a_part() {
        let files = [
            ("pkg/gcd.py", ""),
            ("pkg/__init__.py", ""),
            ("tests/test_gcd.py", "from pkg.gcd import gcd\n"),
            ("tests/test_other.py", "import other\n"),
        ];
        let snapshot = snapshot(&files);
        let check = choose(&snapshot, None, None, Some("pkg/gcd.py")).unwrap();
        let part = |changed: &str| {
            check
                .affected(&snapshot, &[changed], None)
                .map(|part| part.argv.last().cloned().unwrap_or_default())
        };
        assert_eq!(part("pkg/gcd.py").as_deref(), Some("tests/test_gcd.py"));
        assert_eq!(part("pkg/__init__.py").as_deref(), Some("tests/test_gcd.py"));
        assert_eq!(part("other.py").as_deref(), Some("tests/test_other.py"));
        assert_eq!(part("unknown.py"), None);
        let own = choose(&snapshot, Some("pytest"), None, Some("pkg/gcd.py")).unwrap();
        assert!(
            own.affected(&snapshot, &["pkg/gcd.py"], None).is_none(),
            "the user's command stays as it is"
        );
    }
}
