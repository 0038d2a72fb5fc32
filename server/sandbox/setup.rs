//! What a workspace needs installed before its checks can run without a network: found by its files, purely.
//!
//! [`ROWS`] says by which files a kind of dependency is known and which command installs it. The command runs once,
//! after the user agreed, on copies of those files alone, and what it leaves in [`ROOM`] becomes an image.

mod devcontainer;
mod manifest;
mod registries;

use super::JobFile;
use crate::text;
use crate::workspace::Snapshot;
use std::fmt::Write as _;

pub use devcontainer::{Base, Built};
pub use registries::environment;

/// Where dependencies are installed: outside of `/work`, which the workspace covers. Only the setup may write there.
pub const ROOM: &str = "/deps";

/// What would be installed, where it comes from, and on what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// The row of `languages.toml` whose image it starts from, without `base`.
    pub language: Option<String>,
    /// What the workspace's `devcontainer.json` names instead.
    pub base: Option<Base>,
    /// For `sh`, in `/work`; empty when the base alone is wanted.
    pub command: String,
    /// All that the command sees.
    pub files: Vec<JobFile>,
    /// What the image tells programs about the place of the dependencies.
    pub env: Vec<(String, String)>,
    /// The files that name the dependencies, for people.
    pub sources: Vec<String>,
    /// The folder it is for, for people.
    pub workspace: String,
}

/// A kind of dependency.
struct Row {
    /// Rows of `languages.toml` that use it.
    languages: &'static [&'static str],
    /// Whether a file, by its name and text, names dependencies.
    names: fn(&str, &str) -> bool,
    /// Whether the command reads the file at this path.
    reads: fn(&str) -> bool,
    /// What the command sees of such a file.
    shape: fn(&str, &[u8]) -> Vec<u8>,
    command: &'static str,
    env: &'static [(&'static str, &'static str)],
}

const ROWS: &[Row] = &[
    Row {
        languages: &["python"],
        names: manifest::names_python,
        reads: manifest::reads_python,
        shape: manifest::shape_python,
        command: "python3 -m pip install --user --break-system-packages --no-warn-script-location {-r}",
        env: &[("PYTHONUSERBASE", "/deps/python")],
    },
    Row {
        languages: &["javascript", "typescript"],
        names: |name, text| name == "package.json" && manifest::has_node_dependencies(text),
        reads: |path| matches!(base_name(path), "package.json" | "package-lock.json" | "npm-shrinkwrap.json"),
        shape: manifest::shape_node,
        // Links to the project's own packages lead to where the project will be.
        command: "mkdir -p /deps/node && cp -R . /deps/node && cd /deps/node \
                  && if [ -e package-lock.json ] || [ -e npm-shrinkwrap.json ]; then npm ci; else npm install; fi \
                  && find node_modules -maxdepth 2 -type l ! -path '*/.bin/*' | while read -r link; do \
                  to=$(readlink -f \"$link\") && ln -sfn \"/work{directory}${to#/deps/node}\" \"$link\"; done",
        env: &[],
    },
    Row {
        languages: &["go"],
        names: |name, text| name == "go.mod" && text.contains("require"),
        reads: |path| matches!(base_name(path), "go.mod" | "go.sum" | "go.work" | "go.work.sum"),
        shape: manifest::as_it_is,
        command: "go mod download",
        env: &[("GOMODCACHE", "/deps/go")],
    },
    Row {
        languages: &["rust"],
        names: |name, text| name == "Cargo.lock" && text.contains("\nsource = "),
        reads: |path| matches!(base_name(path), "Cargo.toml" | "Cargo.lock"),
        shape: manifest::as_it_is,
        // Cargo reads no manifest without a target.
        command: "find . -name Cargo.toml -exec sh -c 'cd \"${1%/*}\" && mkdir -p src && : > src/lib.rs' . {} \\; \
                  && cargo fetch --locked",
        env: &[("CARGO_HOME", "/deps/cargo"), ("CARGO_NET_OFFLINE", "true")],
    },
    Row {
        languages: &["java"],
        names: |name, text| name == "pom.xml" && text.contains("<project"),
        reads: |path| base_name(path) == "pom.xml",
        shape: manifest::as_it_is,
        command: "mvn -q -B -Dmaven.repo.local=/deps/maven dependency:go-offline",
        env: &[("MAVEN_ARGS", "-o -Dmaven.repo.local=/deps/maven")],
    },
];

/// Whether a file is one that names dependencies.
pub fn names_dependencies(path: &str) -> bool {
    ROWS.iter().any(|row| (row.reads)(path))
}

/// What every project of a workspace needs, by folder and language.
pub fn plans(snapshot: &Snapshot, command: Option<&str>) -> Vec<Setup> {
    let folder = |path: &'_ str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let listed = |path: &&str| names_dependencies(path) || devcontainer::PLACES.contains(path);
    let mut folders: Vec<String> = snapshot.paths().filter(listed).map(folder).collect();
    folders.push(String::new());
    folders.sort();
    folders.dedup();
    let mut plans: Vec<Setup> = Vec::new();
    for folder in &folders {
        for language in ROWS.iter().flat_map(|row| row.languages) {
            let found =
                plan_in(snapshot, folder, Some(language), command, devcontainer::find(snapshot).as_ref());
            plans.extend(found.filter(|found| !found.files.is_empty() || folder.is_empty()));
        }
    }
    plans
}

/// What the project in `directory` (relative, empty for the root) needs, or the root when nothing is named there.
/// `language` is the check's: `None` takes every kind. `command` is the user's own, instead of the detected ones;
/// `off` is none.
pub fn plan(
    snapshot: &Snapshot,
    directory: &str,
    language: Option<&str>,
    command: Option<&str>,
) -> Option<Setup> {
    let command = command.map(str::trim).filter(|command| !command.is_empty());
    if command == Some("off") {
        return None;
    }
    let base = devcontainer::find(snapshot);
    let own = plan_in(snapshot, directory, language, command, base.as_ref());
    if own.is_none() && !directory.is_empty() {
        return plan_in(snapshot, "", language, command, base.as_ref());
    }
    own
}

fn plan_in(
    snapshot: &Snapshot,
    directory: &str,
    language: Option<&str>,
    command: Option<&str>,
    base: Option<&(String, Base)>,
) -> Option<Setup> {
    let below = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let files: Vec<&str> = snapshot
        .paths()
        .filter_map(|path| path.strip_prefix(below.as_str()))
        .filter(|path| !path.split('/').any(|part| part == "node_modules"))
        .collect();
    let text = |path: &str| snapshot.text(&format!("{below}{path}")).ok();
    let mut setup = Setup {
        language: language.map(str::to_owned),
        workspace: snapshot.root.display().to_string(),
        ..Setup::default()
    };
    let mut commands = Vec::new();
    for row in ROWS.iter().filter(|row| language.is_none_or(|language| row.languages.contains(&language))) {
        let read: Vec<&str> = files.iter().copied().filter(|path| (row.reads)(path)).collect();
        let top = read.iter().copied().filter(|path| !path.contains('/'));
        let named: Vec<&str> =
            top.filter(|path| text(path).is_some_and(|text| (row.names)(path, &text))).collect();
        if named.is_empty() {
            continue;
        }
        setup.sources.extend(named.iter().map(|name| format!("{below}{name}")));
        setup.files.extend(read.iter().filter_map(|path| {
            let bytes = (row.shape)(base_name(path), text(path)?.as_bytes()).into();
            Some(JobFile { path: manifest::laid_out(path).to_owned(), bytes, executable: false })
        }));
        setup.env.extend(row.env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        commands.push(complete(row.command, &named, directory));
    }
    if let Some((source, base)) = base {
        setup.sources.insert(0, source.clone());
        setup.base = Some(base.clone());
    }
    setup.command = command.map_or_else(|| commands.join(" && "), str::to_owned);
    let nothing = setup.command.is_empty() && setup.base.is_none();
    (!nothing && (command.is_some() || !setup.sources.is_empty())).then_some(setup)
}

/// The command with the names of this project's files: `{-r}` is one option per requirements file.
fn complete(command: &str, named: &[&str], directory: &str) -> String {
    let requirements = named.iter().map(|name| format!("-r {}", manifest::laid_out(name)));
    let directory = if directory.is_empty() { String::new() } else { format!("/{directory}") };
    command.replace("{-r}", &requirements.collect::<Vec<_>>().join(" ")).replace("{directory}", &directory)
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Setup {
    /// Equal for two setups that would install the same on the image `base`.
    pub fn key(&self, base: &str) -> String {
        let mut all = format!("{base}\0{}\0{:?}\0{:?}", self.command, self.base, self.env);
        for file in &self.files {
            let _ = write!(all, "\0{}\0{}", file.path, text::sha256(&file.bytes));
        }
        text::sha256(all.as_bytes())[..12].to_owned()
    }

    /// What the user is asked to agree to.
    pub fn question(&self) -> String {
        let from = self.sources.join(", ");
        let base = match &self.base {
            Some(Base::Image(image)) => format!(" on the image {image}"),
            Some(Base::Built(built)) => format!(" on the image that {} builds", built.dockerfile),
            None => String::new(),
        };
        let command = if self.command.is_empty() { String::new() } else { format!(": {}", self.command) };
        let what =
            if from.is_empty() { "run the setup".to_owned() } else { format!("install what {from} names") };
        format!("{what}{base}, in a container with network access and nothing of this machine{command}")
    }
}

#[cfg(test)]
mod tests;
