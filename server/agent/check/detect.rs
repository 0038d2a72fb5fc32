//! Which command decides: the user's, the workspace's, a test runner found by its files, or the file itself.

use super::runner::{Row, Runner, rows, shell_line};
use super::{Check, Provided, ROOT};
use crate::sandbox::language;
use crate::verdict::CheckSource;
use crate::workspace::Snapshot;
use std::sync::Arc;

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
    "cargo.toml",
    "cargo.lock",
    "build.rs",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "cmakelists.txt",
    "gemfile",
    "rakefile",
    ".rspec",
    "spec_helper.rb",
    "test_helper.rb",
    "composer.json",
    "phpunit.xml",
    "phpunit.xml.dist",
    "makefile",
    "gnumakefile",
    "cmakepresets.json",
    "cmakeuserpresets.json",
    "ctestcustom.cmake",
    "phpunit.dist.xml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "nextest.toml",
    "go.env",
    "gradle.properties",
    "settings.gradle",
    "settings.gradle.kts",
    "junit-platform.properties",
    ".rspec-local",
    ".npmrc",
    ".babelrc",
    ".babelrc.json",
    ".swcrc",
    "entry_points.txt",
    "assert.h",
    "cassert",
    "minitest.rb",
    "rspec.rb",
    "assertionerror.java",
    "justfile",
    "taskfile.yml",
    ".opendevagent.toml",
];
const CONFIG_STARTS: &[&str] =
    &["jest.config.", "vitest.config.", "vite.config.", ".mocharc.", "babel.config.", "karma.conf."];
/// Folders of build settings, and those that stand in the place of what tests are written with.
const CONFIG_FOLDERS: &[&str] = &[
    ".cargo/",
    ".mvn/",
    "__mocks__/",
    "node_modules/",
    "meta-inf/services/",
    "unittest/",
    "pytest/",
    "_pytest/",
    "pluggy/",
    "minitest/",
    "rspec/",
    "test/unit/",
    "org/junit/",
    "junit/framework/",
    "org/opentest4j/",
    "phpunit/",
    "gtest/",
    "gmock/",
    "catch2/",
    "doctest/",
];
const TEST_FOLDERS: &[&str] =
    &["test", "tests", "__tests__", "spec", "testdata", "fixtures", "__snapshots__", "golden"];

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
    let fits = |row: &&Row| language.is_none_or(|name| row.languages.iter().any(|known| known == name));
    let detected = rows().iter().filter(fits).find_map(|row| detected(snapshot, row, target));
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
    // What is not there yet may become a program.
    let text = target.and_then(|path| snapshot.text(path).ok());
    let row = target.and_then(language::by_path);
    let build = target.zip(row).zip(text).and_then(|((path, row), text)| row.build(path, &text));
    match (target, row) {
        (Some(path), Some(row)) => Ok(Check {
            command: format!("{} {path}", if build.is_some() { "build" } else { "run" }),
            source: CheckSource::Run,
            argv: build.unwrap_or_else(|| row.run(path, &[])),
            language: Some(row.name.clone()),
            runner: Runner::File,
            directory: String::new(),
            limit: None,
            target: Some(path.into()),
            provided: provided(snapshot, target),
            named: Arc::default(),
            started: Arc::default(),
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
        argv: vec!["sh".into(), "-c".into(), shell_line(command, script.as_deref())],
        language: None,
        runner,
        directory: String::new(),
        limit: None,
        target: target.map(Into::into),
        provided: provided(snapshot, target),
        named: Arc::default(),
        started: Arc::default(),
    }
}

/// The runner's check, in the nearest project above the target, if that has its tests.
fn detected(snapshot: &Snapshot, row: &Row, target: Option<&str>) -> Option<Check> {
    let directory = project(snapshot, row, target);
    let script = test_script(snapshot, directory).filter(|script| Runner::of(script, None) == row.name);
    if script.is_none() && !(has_tests(snapshot, row, directory) && has_manifest(snapshot, row, directory)) {
        return None;
    }
    // The sandbox has no npm, so the script itself is run.
    let (command, line) = match &script {
        Some(script) => {
            let path = r#"PATH="$PWD/node_modules/.bin:$PATH"; "#;
            ("npm test", format!("{path}{}", shell_line(script, None)))
        }
        None => (row.command.as_str(), row.line.clone()),
    };
    let (command, line) = if directory.is_empty() {
        (command.to_owned(), line)
    } else {
        (format!("cd {directory} && {command}"), format!("cd \"$0\" && {{ {line}\n}}"))
    };
    let argv = ["sh".into(), "-c".into(), line, format!("{ROOT}/{directory}")];
    Some(Check {
        command,
        source: CheckSource::Detected,
        argv: argv.into(),
        language: row.languages.first().cloned(),
        runner: row.name,
        directory: directory.into(),
        limit: None,
        target: target.map(Into::into),
        provided: provided(snapshot, target),
        named: Arc::default(),
        started: Arc::default(),
    })
}

/// Whether files below the folder fit the runner's patterns. What others wrote is not looked at.
fn has_tests(snapshot: &Snapshot, row: &Row, directory: &str) -> bool {
    let fits = |path: &str| row.tests.iter().any(|pattern| fast_glob::glob_match(pattern, path));
    let foreign = |path: &str| path.split('/').any(|part| part == "node_modules" || part == "vendor");
    let below = |path: &str| match directory {
        "" => true,
        folder => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
    };
    snapshot.paths().any(|path| below(path) && !foreign(path) && fits(path))
}

/// Whether the folder has what makes it a project of the runner's.
fn has_manifest(snapshot: &Snapshot, row: &Row, directory: &str) -> bool {
    let speaks = |name: &String| {
        snapshot.text(&join(directory, name)).is_ok_and(|text| {
            row.mentions.is_empty() || row.mentions.iter().any(|mention| text.contains(mention.as_str()))
        })
    };
    row.manifests.is_empty() || row.manifests.iter().any(speaks)
}

/// The nearest folder above the target that is a project of its own; the root when there is none.
fn project<'a>(snapshot: &Snapshot, row: &Row, target: Option<&'a str>) -> &'a str {
    let mut folder = target.unwrap_or_default();
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        if row.roots.iter().any(|name| snapshot.contains(&join(folder, name))) {
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

/// `scripts.test` of the folder's `package.json`.
pub(super) fn test_script(snapshot: &Snapshot, folder: &str) -> Option<String> {
    let manifest = snapshot.text(&join(folder, "package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    manifest.get("scripts")?.get("test")?.as_str().map(Into::into)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

/// Whether a file holds tests or their data, in any language.
pub(in crate::agent) fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    folder.split('/').any(|part| TEST_FOLDERS.contains(&part))
        || ["test_", "test-", "test."].iter().any(|start| name.starts_with(start))
        || ["_test", "-test", ".test", ".spec", "_spec", "tests"].iter().any(|end| stem.ends_with(end))
        || [".bats", "test.java", "test.php"].iter().any(|end| name.ends_with(end))
}

/// Whether a file configures the runner or the build.
pub(super) fn is_config(path: &str) -> bool {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    let below = |folder: &&str| path.strip_prefix(*folder).is_some() || path.contains(&format!("/{folder}"));
    CONFIGS.contains(&name)
        || CONFIG_FOLDERS.iter().any(below)
        || CONFIG_STARTS.iter().any(|start| name.starts_with(start))
        || [".pth", ".mk", ".cmake", ".golden", ".expected", ".snap", ".approved"]
            .iter()
            .any(|end| name.ends_with(end))
}
