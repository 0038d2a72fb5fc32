//! Which test runner a command line starts.

use serde::Deserialize;
use std::sync::LazyLock;

/// Who runs the tests, which decides how they are counted. All but the last two have a row in `runners.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runner {
    Pytest,
    Unittest,
    Jest,
    Vitest,
    Mocha,
    Node,
    TypeScript,
    Go,
    Cargo,
    JUnit,
    CTest,
    RSpec,
    Minitest,
    PhpUnit,
    Bats,
    /// A command nobody can count: it is one test, by its exit status.
    Command,
    /// A program run for itself: no test at all.
    File,
}

/// A row of `runners.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: Runner,
    pub(super) languages: Vec<String>,
    starts: Vec<String>,
    #[serde(default)]
    options: String,
    #[serde(default)]
    clashes: Vec<String>,
    /// None: it reports under a name of its own, or on its output.
    pub(super) report: Option<Format>,
    pub(super) tests: Vec<String>,
    #[serde(default)]
    pub(super) manifests: Vec<String>,
    #[serde(default)]
    pub(super) mentions: Vec<String>,
    pub(super) roots: Vec<String>,
    pub(super) command: String,
    pub(super) line: String,
}

/// The form of a report that is named by `$OPENDEVAGENT_REPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    JUnit,
    /// Vitest's too.
    Jest,
    Mocha,
}

/// All rows, in the order of the file.
pub(super) fn rows() -> &'static [Row] {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        runner: Vec<Row>,
    }
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let table: Table = toml::from_str(include_str!("runners.toml")).expect("a test reads the same file");
        table.runner
    });
    &ROWS
}

impl Runner {
    /// Runners whose report must be there, else nothing was counted.
    pub fn counts(self) -> bool {
        !matches!(self, Self::Command | Self::File)
    }

    /// Runners to which a program that leaves with 0 can look like tests that passed: each test is a process of its
    /// own, or results are printed where the program prints.
    pub(super) fn can_be_left(self) -> bool {
        matches!(self, Self::CTest | Self::Bats | Self::Cargo)
    }

    pub(super) fn row(self) -> Option<&'static Row> {
        rows().iter().find(|row| row.name == self)
    }

    /// The runner a shell command starts. `script` is what `npm test` stands for.
    pub fn of(command: &str, script: Option<&str>) -> Self {
        if let Some((row, _)) = started(command) {
            return row.name;
        }
        let npm = simple_commands(command).iter().any(|words| {
            matches!(
                words[..],
                ["npm" | "yarn" | "pnpm", "test" | "t", ..] | ["npm" | "yarn" | "pnpm", "run", "test", ..]
            )
        });
        script.filter(|_| npm).map_or(Self::Command, |script| Self::of(script, None))
    }
}

/// The row of the runner that a command starts, unless the command has its own mind about reports, and where in the
/// command its options go.
fn started(command: &str) -> Option<(&'static Row, usize)> {
    let (row, at) = simple_commands(command).into_iter().find_map(|words| {
        let fits = |start: &String| place(&words, start);
        rows().iter().find_map(|row| Some((row, row.starts.iter().find_map(fits)?)))
    })?;
    let clash = row.clashes.iter().any(|option| command.contains(option.as_str()));
    (!clash).then(|| (row, at as usize - command.as_ptr() as usize))
}

/// Where the last of the words of `start` ends in memory, if the command begins with the first and has the others.
fn place(words: &[&str], start: &str) -> Option<*const u8> {
    let (program, arguments) = words.split_first()?;
    let mut start = start.split(' ');
    let first = start.next()?;
    if *program != first && !(first == "python" && program.starts_with(first)) {
        return None;
    }
    let mut rest = arguments;
    let mut last = program;
    for word in start {
        let at = rest.iter().position(|argument| *argument == word)?;
        last = &rest[at];
        rest = &rest[at + 1..];
    }
    Some(last.as_bytes().as_ptr_range().end)
}

/// The command as it is run: a runner that must be told to report is (for Go, `GOFLAGS` would reach `go vet` too,
/// which then always ends with 0), and `npm test` is the script it stands for, as the sandbox has no npm.
pub(super) fn shell_line(command: &str, script: Option<&str>) -> String {
    let mut line = command.to_owned();
    if let Some(script) = script {
        for name in ["npm run test", "npm test"] {
            let ends = |rest: &str| {
                rest.trim_start().is_empty() || rest.trim_start().starts_with(['&', '|', ';', ')', '\n'])
            };
            let places =
                line.match_indices(name).map(|(at, _)| at).filter(|at| ends(&line[at + name.len()..]));
            for at in places.collect::<Vec<_>>().into_iter().rev() {
                line.replace_range(at..at + name.len(), &format!("({script}\n)"));
            }
        }
    }
    match started(&line) {
        Some((row, at)) if !row.options.is_empty() && !line.contains(&row.options) => {
            // A word in quotes ends with them.
            let at = at + line[at..].chars().take_while(|c| "'\"".contains(*c)).count();
            line.insert_str(at, &format!(" {}", row.options));
            line
        }
        _ => line,
    }
}

/// The simple commands of a shell command: words without assignments and without programs that start others.
fn simple_commands(command: &str) -> Vec<Vec<&str>> {
    command
        .split(['&', '|', ';', '\n', '(', ')', '{', '}'])
        .map(|part| {
            let words: Vec<&str> =
                part.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
            let start = program(&words);
            let mut words = words[start..].to_vec();
            if let Some(first) = words.first_mut() {
                *first = first.rsplit('/').next().unwrap_or_default();
            }
            words
        })
        .filter(|words| !words.is_empty())
        .collect()
}

/// Where the program stands that a list of words starts in the end.
fn program(words: &[&str]) -> usize {
    let mut at = 0;
    while let Some(&word) = words.get(at) {
        at += match (word, words.get(at + 1)) {
            ("env" | "exec" | "time" | "command" | "nice" | "npx" | "!" | "if" | "then" | "do", _) => 1,
            ("timeout", Some(_))
            | ("bundle", Some(&"exec"))
            | ("uv" | "poetry" | "pipenv" | "hatch" | "pdm" | "rye", Some(&"run")) => 2,
            _ if word.split_once('=').is_some_and(|(name, _)| is_name(name)) => 1,
            _ => break,
        };
    }
    at
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that a pattern is about: the first of each choice.
    fn example(pattern: &str) -> String {
        let mut path = pattern.replace("**", "a").replace('*', "x");
        while let Some((start, end)) = path.find(['{', '[']).zip(path.find(['}', ']'])) {
            let choices = &path[start + 1..end];
            let length = if path[start..].starts_with('{') { choices.find(',') } else { Some(1) };
            let choice = choices[..length.unwrap_or(choices.len())].to_owned();
            path.replace_range(start..=end, &choice);
        }
        path
    }

    #[test]
    fn every_row_can_be_used() {
        for row in rows() {
            assert!(row.name.counts() && row.name.row().is_some_and(|found| std::ptr::eq(found, row)));
            for language in &row.languages {
                assert!(crate::sandbox::language::by_name(language).is_some(), "{language}");
            }
            for pattern in &row.tests {
                let path = example(pattern);
                assert!(fast_glob::glob_match(pattern, &path), "{pattern} {path}");
            }
            assert!(!row.tests.is_empty() && !row.command.is_empty() && !row.line.is_empty());
            assert!(row.line.starts_with("sh ") || row.line.contains(&row.options), "{:?}", row.name);
        }
    }

    #[test]
    fn runners_are_recognised_inside_a_command() {
        let cases = [
            ("pytest", Runner::Pytest),
            ("cd sub && PYTHONPATH=src python3 -m pytest -q tests", Runner::Pytest),
            ("uv run pytest -x", Runner::Pytest),
            ("timeout 60 .venv/bin/pytest", Runner::Pytest),
            ("node --test", Runner::Node),
            ("npm test", Runner::Node),
            ("npm run test -- --bail", Runner::Node),
            ("(cd x; go test ./...)", Runner::Go),
            ("npx jest --ci", Runner::Jest),
            ("node_modules/.bin/vitest run", Runner::Vitest),
            ("bundle exec rspec", Runner::RSpec),
            ("cargo +stable test --all", Runner::Cargo),
            ("cargo build && ctest --test-dir build", Runner::CTest),
            ("vendor/bin/phpunit --log-junit x.xml", Runner::Command),
            ("cargo clippy", Runner::Command),
            ("node test.js", Runner::Command),
            ("python3 -W error -m unittest -v tests.test_a", Runner::Unittest),
            ("./manage.py test shop", Runner::Unittest),
            ("cargo nextest run --all", Runner::Cargo),
            ("make test", Runner::Command),
            ("echo pytest", Runner::Command),
            ("grep pytest requirements.txt && ./run.sh", Runner::Command),
            ("pytest --junitxml=mine.xml", Runner::Command),
            ("node --test --test-reporter=tap", Runner::Command),
            ("", Runner::Command),
        ];
        for (command, expect) in cases {
            assert_eq!(Runner::of(command, Some("node --test test/")), expect, "{command}");
        }
        assert_eq!(Runner::of("npm test", Some("mocha")), Runner::Mocha);
        assert_eq!(Runner::of("npm test", Some("ava")), Runner::Command);
        assert_eq!(Runner::of("npm test", None), Runner::Command);
    }

    #[test]
    fn what_the_sandbox_lacks_is_put_in_place() {
        let cases = [
            (
                "go vet ./... && go test ./...",
                "go vet ./... && go test -json -coverprofile=\"$OPENDEVAGENT_REPORT\" ./...",
            ),
            ("go test -json .", "go test -json ."),
            (
                "cd jest && npx 'jest' --ci",
                "cd jest && npx 'jest' --json --outputFile=\"$OPENDEVAGENT_REPORT\" --ci",
            ),
            ("bats test", "bats --report-formatter junit --output /tmp test"),
            ("npm test", "(node --test\n)"),
            ("cd . && npm run test; npm test && x", "cd . && (node --test\n); (node --test\n) && x"),
            ("npm test -- --bail", "npm test -- --bail"),
        ];
        for (command, expect) in cases {
            assert_eq!(shell_line(command, Some("node --test")), expect);
        }
        // A script that starts itself is put in once and no more.
        assert!(shell_line("npm test", Some("npm test")).len() < 100);
    }
}
