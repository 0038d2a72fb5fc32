//! Which command decides: the user's, the workspace's, a test runner found by its files, or the file itself.

use super::runner::{Runner, shell_line};
use super::{Check, Provided, ROOT};
use crate::sandbox::language;
use crate::verdict::CheckSource;
use crate::workspace::Snapshot;
use std::sync::Arc;

/// A test runner that is found by the files it leaves in a project.
struct Convention {
    /// Rows of `languages.toml` whose files it tests.
    languages: &'static [&'static str],
    runner: Runner,
    command: &'static str,
    argv: &'static [&'static str],
    /// Files that make a folder a project of its own.
    roots: &'static [&'static str],
}

const CONVENTIONS: &[Convention] = &[
    Convention {
        languages: &["python"],
        runner: Runner::Pytest,
        command: "python -m pytest -q",
        argv: &["python3", "-m", "pytest", "-q"],
        roots: &["pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini"],
    },
    Convention {
        languages: &["javascript"],
        runner: Runner::Node,
        command: "node --test",
        argv: &["node", "--test"],
        roots: &["package.json"],
    },
    Convention {
        languages: &["go"],
        runner: Runner::Go,
        command: "go test ./...",
        argv: &["go", "test", "-json", "./..."],
        roots: &["go.mod"],
    },
];

/// Configuration of test runners and builds: what it says must not change while it decides.
const CONFIGS: &[&str] = &[
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
    "setup.cfg",
    "pyproject.toml",
    "noxfile.py",
    "setup.py",
    "sitecustomize.py",
    "usercustomize.py",
    ".coveragerc",
    "package.json",
    "tsconfig.json",
    "go.mod",
    "go.sum",
    "go.work",
    "pytest.py",
    "_pytest.py",
    "unittest.py",
    "pluggy.py",
    "makefile",
    "justfile",
    "taskfile.yml",
    ".opendevagent.toml",
];
const CONFIG_STARTS: &[&str] =
    &["jest.config.", "vitest.config.", ".mocharc.", "babel.config.", "karma.conf."];
const TEST_FOLDERS: &[&str] =
    &["test", "tests", "__tests__", "spec", "testdata", "fixtures", "__snapshots__"];

/// Chooses the check: user > workspace > detected > the `target` file run for itself. Blank commands count as
/// none.
///
/// # Errors
/// Why there is no check, for the reason of an `unverified` verdict.
pub fn choose(
    snapshot: &Snapshot,
    user: Option<&str>,
    workspace: Option<&str>,
    target: Option<&str>,
) -> Result<Check, String> {
    let given = [(user, CheckSource::User), (workspace, CheckSource::Workspace)];
    for (command, source) in given {
        if let Some(command) = command.map(str::trim).filter(|command| !command.is_empty()) {
            return Ok(named(snapshot, command, source, target));
        }
    }
    let language = target.and_then(language::by_path).map(|row| row.name.as_str());
    let fits = |convention: &&Convention| language.is_none_or(|name| convention.languages.contains(&name));
    let detected =
        CONVENTIONS.iter().filter(fits).find_map(|convention| detected(snapshot, convention, target));
    if let Some(check) = detected {
        return Ok(check);
    }
    run_file(snapshot, target)
}

/// The check that runs the `target` file for itself.
///
/// # Errors
/// When there is no file, or its language is not known.
pub fn run_file(snapshot: &Snapshot, target: Option<&str>) -> Result<Check, String> {
    match (target, target.and_then(language::by_path)) {
        (Some(path), Some(row)) => Ok(Check {
            command: format!("run {path}"),
            source: CheckSource::Run,
            argv: row.run(path, &[]),
            language: Some(row.name.clone()),
            runner: Runner::File,
            directory: String::new(),
            limit: None,
            target: Some(path.into()),
            provided: provided(snapshot, target),
        }),
        (Some(path), None) => Err(format!(
            "no test was found and the language of {path} is not known; name a check with --check or in .opendevagent.toml"
        )),
        (None, _) => Err("no test was found; name a check with --check or in .opendevagent.toml".into()),
    }
}

/// A command that the user or the workspace named.
fn named(snapshot: &Snapshot, command: &str, source: CheckSource, target: Option<&str>) -> Check {
    let script = test_script(snapshot, "");
    let runner = Runner::of(command, script.as_deref());
    Check {
        command: command.into(),
        source,
        argv: vec!["sh".into(), "-c".into(), shell_line(command, runner, script.as_deref())],
        language: None,
        runner,
        directory: String::new(),
        limit: None,
        target: target.map(Into::into),
        provided: provided(snapshot, target),
    }
}

/// The convention's check, in the nearest project above the target, if that has tests.
fn detected(snapshot: &Snapshot, convention: &Convention, target: Option<&str>) -> Option<Check> {
    let directory = project(snapshot, convention, target);
    let below = |path: &str| {
        directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
    };
    let has_tests = snapshot.paths().any(|path| below(path) && is_test_of(path, convention.runner));
    let script = (convention.runner == Runner::Node).then(|| test_script(snapshot, directory)).flatten();
    let script = script.filter(|script| Runner::of(script, None) == Runner::Node);
    if !has_tests && script.is_none()
        || convention.runner == Runner::Go && !has_manifest(snapshot, directory, "go.mod")
    {
        return None;
    }
    // The sandbox has no npm, so the script itself is run.
    let (command, argv) = match &script {
        Some(script) => ("npm test", &["sh", "-c", script][..]),
        None => (convention.command, convention.argv),
    };
    let argv = argv.iter().map(|&word| word.to_owned());
    let (command, argv) = if directory.is_empty() {
        (command.to_owned(), argv.collect())
    } else {
        let enter = ["sh", "-c", r#"cd "$0" && exec "$@""#].map(str::to_owned).into_iter();
        let folder = format!("{ROOT}/{directory}");
        (format!("cd {directory} && {command}"), enter.chain([folder]).chain(argv).collect())
    };
    Some(Check {
        command,
        source: CheckSource::Detected,
        argv,
        language: Some(convention.languages[0].into()),
        runner: convention.runner,
        directory: directory.into(),
        limit: None,
        target: target.map(Into::into),
        provided: provided(snapshot, target),
    })
}

/// The nearest folder above the target that is a project of its own; the root when there is none.
fn project<'a>(snapshot: &Snapshot, convention: &Convention, target: Option<&'a str>) -> &'a str {
    let mut folder = target.unwrap_or_default();
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        if convention.roots.iter().any(|name| has_manifest(snapshot, folder, name)) {
            return folder;
        }
    }
    ""
}

/// What an import of the workspace's own begins with. The target counts before it exists.
fn provided(snapshot: &Snapshot, target: Option<&str>) -> Arc<Provided> {
    let paths = snapshot.paths().chain(target);
    let parts = paths.flat_map(|path| path.split('/'));
    let files = parts.map(|part| part.split('.').next().unwrap_or(part).to_owned()).collect();
    let named = |path: &&str| MANIFESTS.contains(&path.rsplit('/').next().unwrap_or(path));
    let packages = snapshot
        .paths()
        .filter(named)
        .filter_map(|path| package_name(path.rsplit('/').next().unwrap_or(path), &snapshot.text(path).ok()?));
    Arc::new(Provided::by(files, packages.collect()))
}

/// Files that give a package its name.
const MANIFESTS: &[&str] = &["package.json", "go.mod", "Cargo.toml"];

/// What a manifest calls its own package.
fn package_name(file: &str, text: &str) -> Option<String> {
    match file {
        "package.json" => {
            let manifest: serde_json::Value = serde_json::from_str(text).ok()?;
            Some(manifest.get("name")?.as_str()?.to_owned())
        }
        "go.mod" => text.lines().find_map(|line| Some(line.strip_prefix("module ")?.trim().to_owned())),
        "Cargo.toml" => {
            let manifest: toml::Table = text.parse().ok()?;
            Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
        }
        _ => None,
    }
}

fn has_manifest(snapshot: &Snapshot, folder: &str, name: &str) -> bool {
    snapshot.contains(&join(folder, name))
}

/// `scripts.test` of the folder's `package.json`.
fn test_script(snapshot: &Snapshot, folder: &str) -> Option<String> {
    let manifest = snapshot.text(&join(folder, "package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    manifest.get("scripts")?.get("test")?.as_str().map(Into::into)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

/// Whether the runner would take the file for tests.
fn is_test_of(path: &str, runner: Runner) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if folder.split('/').any(|part| part == "node_modules") {
        return false;
    }
    match runner {
        Runner::Pytest => {
            name.strip_suffix(".py").is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
        }
        Runner::Node => [".js", ".mjs", ".cjs"].iter().any(|end| {
            name.strip_suffix(end).is_some_and(|stem| {
                let marked = [".", "-", "_"].iter().any(|mark| stem.ends_with(&format!("{mark}test")));
                marked
                    || stem == "test"
                    || stem.starts_with("test-")
                    || folder.split('/').any(|part| part == "test")
            })
        }),
        Runner::Go => name.ends_with("_test.go"),
        Runner::Command | Runner::File => false,
    }
}

/// Whether a file holds tests or their data, in any language.
pub(in crate::agent) fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    folder.split('/').any(|part| TEST_FOLDERS.contains(&part))
        || ["test_", "test-", "test."].iter().any(|start| name.starts_with(start))
        || ["_test", "-test", ".test", ".spec", "_spec", "tests"].iter().any(|end| stem.ends_with(end))
        || name.ends_with("test.java")
}

/// Whether a file configures the runner or the build.
pub(super) fn is_config(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    CONFIGS.contains(&name.as_str())
        || CONFIG_STARTS.iter().any(|start| name.starts_with(start))
        || name.strip_suffix(".pth").is_some()
}
