//! Which test runner a command line starts.

/// Who runs the tests, which decides how they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    Pytest,
    Node,
    Go,
    /// A command nobody can count: it is one test, by its exit status.
    Command,
    /// A program run for itself: no test at all.
    File,
}

impl Runner {
    /// Runners whose report must be there, else nothing was counted.
    pub fn counts(self) -> bool {
        matches!(self, Self::Pytest | Self::Node | Self::Go)
    }

    /// The runner a shell command starts. `script` is what `npm test` stands for.
    pub fn of(command: &str, script: Option<&str>) -> Self {
        // Options of their own for the report would collide with ours.
        if ["--test-reporter", "--junit", "no:junitxml"].iter().any(|option| command.contains(option)) {
            return Self::Command;
        }
        let found = simple_commands(command).into_iter().find_map(|words| match &words[..] {
            ["pytest" | "py.test", ..] => Some(Self::Pytest),
            [python, rest @ ..] if python.starts_with("python") => {
                rest.windows(2).any(|pair| pair == ["-m", "pytest"]).then_some(Self::Pytest)
            }
            ["node", rest @ ..] => rest.contains(&"--test").then_some(Self::Node),
            ["npm" | "yarn" | "pnpm", "test" | "t", ..] | ["npm" | "yarn" | "pnpm", "run", "test", ..] => {
                Some(script.map_or(Self::Command, |script| Self::of(script, None)))
            }
            ["go", "test", ..] => Some(Self::Go),
            _ => None,
        });
        found.unwrap_or(Self::Command)
    }
}

/// The command as it is run: `go test` reports in JSON (`GOFLAGS` would reach `go vet` too, which then always
/// ends with 0), and `npm test` is the script it stands for, as the sandbox has no npm.
pub(super) fn shell_line(command: &str, runner: Runner, script: Option<&str>) -> String {
    let mut line = command.to_owned();
    if runner == Runner::Go && !line.contains("-json") {
        line = line.replace("go test", "go test -json");
    }
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
    line
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
            ("timeout", Some(_)) | ("uv" | "poetry" | "pipenv" | "hatch" | "pdm" | "rye", Some(&"run")) => 2,
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
            ("node test.js", Runner::Command),
            ("python -m unittest", Runner::Command),
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
        assert_eq!(Runner::of("npm test", Some("mocha")), Runner::Command);
        assert_eq!(Runner::of("npm test", None), Runner::Command);
    }

    #[test]
    fn what_the_sandbox_lacks_is_put_in_place() {
        let cases = [
            ("go vet ./... && go test ./...", "go vet ./... && go test -json ./..."),
            ("go test -json .", "go test -json ."),
            ("npm test", "(node --test\n)"),
            ("cd . && npm run test; npm test && x", "cd . && (node --test\n); (node --test\n) && x"),
            ("npm test -- --bail", "npm test -- --bail"),
        ];
        for (command, expect) in cases {
            assert_eq!(shell_line(command, Runner::of(command, None), Some("node --test")), expect);
        }
        // A script that starts itself is put in once and no more.
        assert!(shell_line("npm test", Runner::Command, Some("npm test")).len() < 100);
    }
}
