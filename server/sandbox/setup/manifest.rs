//! The files that name dependencies: which they are, and what of them an installer needs to see.
//!
//! What is left out changes without the dependencies, so the installed image stays good: a project's own scripts,
//! and the project itself, which is checked from the workspace and never installed.

use serde_json::Value;

/// Installed together where they are present.
const REQUIREMENTS: &[&str] = &[
    "requirements.txt",
    "requirements-dev.txt",
    "requirements_dev.txt",
    "requirements-test.txt",
    "requirements-tests.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
];
/// Groups of `pyproject.toml` that tests need, in lower case.
const GROUPS: &[&str] = &["dev", "test", "tests", "testing"];

pub(super) fn as_it_is(_name: &str, bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

pub(super) fn names_python(name: &str, text: &str) -> bool {
    let requires =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    match name {
        "pyproject.toml" => requires(&pyproject(text)),
        _ => REQUIREMENTS.contains(&name) && requires(text),
    }
}

/// Requirements may include others and constraints, which people call so.
pub(super) fn reads_python(path: &str) -> bool {
    let listed = path.contains("requirements") || path.contains("constraints");
    path == "pyproject.toml" || listed && path.strip_suffix(".txt").is_some()
}

/// The name under which the installer finds a file: what is read of `pyproject.toml` is a list of requirements.
pub(super) fn laid_out(path: &str) -> &str {
    if path == "pyproject.toml" { "pyproject-requirements.txt" } else { path }
}

pub(super) fn shape_python(name: &str, bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    if name == "pyproject.toml" {
        return pyproject(&text).into_bytes();
    }
    let own = |line: &&str| {
        let line = line.trim_start();
        let line = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")).unwrap_or(line);
        let line = line.trim_start_matches(['=', ' ']);
        !(line.starts_with('.') || line.starts_with("file:"))
    };
    text.lines().filter(own).map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// The dependencies of a `pyproject.toml` (PEP 621, PEP 735) as requirements, one a line.
fn pyproject(text: &str) -> String {
    let Ok(table) = text.parse::<toml::Table>() else { return String::new() };
    let project = table.get("project");
    let of_project = |key: &str| project.and_then(|project| project.get(key));
    let wanted = |groups: Option<&toml::Value>| {
        let groups = groups.and_then(toml::Value::as_table).cloned().unwrap_or_default();
        groups
            .into_iter()
            .filter(|(name, _)| GROUPS.contains(&name.to_lowercase().as_str()))
            .map(|(_, list)| list)
    };
    let lists = of_project("dependencies").cloned().into_iter();
    let lists = lists
        .chain(wanted(of_project("optional-dependencies")))
        .chain(wanted(table.get("dependency-groups")));
    let mut out = String::new();
    for requirement in lists.flat_map(|list| list.as_array().cloned().unwrap_or_default()) {
        if let Some(requirement) = requirement.as_str() {
            out.push_str(&requirement.replace(['\n', '\r'], " "));
            out.push('\n');
        }
    }
    out
}

/// Parts of a `package.json` that decide what is installed.
const NODE_PARTS: &[&str] = &[
    "name",
    "version",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "overrides",
    "workspaces",
    "engines",
];

pub(super) fn has_node_dependencies(text: &str) -> bool {
    let Ok(package) = serde_json::from_str::<Value>(text) else { return false };
    let any = |part: &str| package.get(part).and_then(Value::as_object).is_some_and(|some| !some.is_empty());
    any("dependencies")
        || any("devDependencies")
        || any("optionalDependencies")
        || package.get("workspaces").is_some()
}

pub(super) fn shape_node(name: &str, bytes: &[u8]) -> Vec<u8> {
    let package = (name == "package.json").then(|| serde_json::from_slice::<Value>(bytes).ok()).flatten();
    match package {
        Some(Value::Object(mut package)) => {
            package.retain(|part, _| NODE_PARTS.contains(&part.as_str()));
            Value::Object(package).to_string().into_bytes()
        }
        _ => bytes.to_vec(),
    }
}
