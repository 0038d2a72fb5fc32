//! What a run lacked that neither the workspace nor the proposal could have brought: packages and programs.
//!
//! Nobody's fault, so nothing is judged by it. What the workspace's own files should provide is no such thing: a
//! relative import, a module that an edit removed.

use super::{Missing, Observation, State, report};
use crate::sandbox::setup::Setup;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longer lines are no messages of an interpreter.
const MAX_LINE: usize = 2000;
const MAX_OUTPUT: usize = 256 << 10;
const MAX_NAME: usize = 200;

/// What the workspace brings itself, and what is known about the rest.
#[derive(Clone, Debug, Default)]
pub struct Provided {
    /// Names of folders and, without their endings, of files.
    files: BTreeSet<String>,
    /// Names under which the workspace's packages know each other.
    packages: BTreeSet<String>,
    /// The files that name the dependencies, with all they say in lower case; empty when there are none.
    sources: Vec<String>,
    declared: String,
    /// Those dependencies are in the image.
    installed: bool,
}

/// Who says that something is missing, which decides what could be the workspace's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Python,
    Node,
    Go,
    Java,
    Rust,
    Ruby,
    Php,
    C,
}

/// What stands before and after the name of a package that is not there. An empty end is the line's; an empty start
/// takes the word before the end.
const MESSAGES: &[(Kind, &str, &str)] = &[
    (Kind::Python, "ModuleNotFoundError: No module named '", "'"),
    (Kind::Python, "python3: No module named ", ""),
    (Kind::Python, "python: No module named ", ""),
    (Kind::Node, "Cannot find module '", "'"),
    (Kind::Node, "Cannot find package '", "'"),
    (Kind::Go, "no required module provides package ", ";"),
    (Kind::Go, "cannot find module providing package ", ":"),
    (Kind::Go, "missing go.sum entry for module providing package ", " "),
    (Kind::Go, "", ": module lookup disabled by GOPROXY=off"),
    (Kind::Java, "error: package ", " does not exist"),
    (Kind::Java, "offline mode and the artifact ", " has not been downloaded"),
    (Kind::Rust, "no matching package named `", "`"),
    (Kind::Rust, "failed to download `", "`"),
    (Kind::Rust, "can't find crate for `", "`"),
    (Kind::Ruby, "cannot load such file -- ", " (LoadError)"),
    (Kind::Ruby, "Could not find ", " in locally installed gems"),
    (Kind::Ruby, "Could not find gem '", "'"),
    (Kind::Php, "Class \"", "\" not found"),
    (Kind::Php, "Failed opening required '/work/", "'"),
    (Kind::C, "fatal error: ", ": No such file or directory"),
    (Kind::C, "fatal error: '", "' file not found"),
    (Kind::C, "ld: cannot find -l", ":"),
];

impl Kind {
    /// The name of what is missing in a line that says so; none when the workspace should have it. `next` is the
    /// line that follows.
    fn outside<'a>(self, name: &'a str, after: &str, next: &str, own: &Provided) -> Option<&'a str> {
        let file = |name: &str| own.files.contains(name);
        let first = |mark: char| name.split(mark).next().unwrap_or(name);
        let outside = match self {
            // `os.pathh` is a mistake in the program.
            Self::Python => !after.contains("is not a package") && !file(first('.')),
            Self::Node => {
                let package = match name.split('/').collect::<Vec<_>>()[..] {
                    [scope, package, ..] if scope.starts_with('@') => format!("{scope}/{package}"),
                    [package, ..] => package.to_owned(),
                    [] => String::new(),
                };
                !name.starts_with(['.', '/', '#']) && !name.contains(':') && !own.packages.contains(&package)
            }
            Self::Go => {
                let inside = |package: &String| {
                    name == package
                        || name.strip_prefix(package.as_str()).is_some_and(|rest| rest.starts_with('/'))
                };
                name.contains('.') && !name.contains(char::is_whitespace) && !own.packages.iter().any(inside)
            }
            Self::Java => {
                let mut parts = name.split('.').take(2);
                !name.starts_with("java.") && !parts.all(file)
            }
            Self::Rust => !own.packages.contains(first(' ')) && !file(first(' ')),
            Self::Ruby => !name.starts_with(['.', '/']) && !file(first('/')),
            // A class without a namespace is the program's own; `vendor/` is Composer's.
            Self::Php if name.contains('\\') => !own.packages.contains(first('\\')) && !file(first('\\')),
            Self::Php => name.starts_with("vendor/"),
            Self::C => !next.contains("#include \"") && !file(first('/').split('.').next().unwrap_or(name)),
        };
        outside.then_some(name)
    }

    /// The file in which a project of this kind names its dependencies.
    fn manifest(self) -> &'static str {
        match self {
            Self::Python => "requirements.txt",
            Self::Node => "package.json",
            Self::Go => "go.mod",
            Self::Java => "pom.xml",
            Self::Rust => "Cargo.toml",
            Self::Ruby | Self::Php | Self::C => "",
        }
    }
}

impl Provided {
    pub(super) fn by(files: BTreeSet<String>, packages: BTreeSet<String>) -> Self {
        Self { files, packages, ..Self::default() }
    }

    /// Takes note of what the workspace wants installed, and whether it is.
    pub fn supply(&mut self, setup: &Setup, installed: bool) {
        self.sources.clone_from(&setup.sources);
        self.installed = installed;
        let texts = setup.files.iter().map(|file| String::from_utf8_lossy(&file.bytes).to_lowercase());
        self.declared = texts.collect::<Vec<_>>().join("\n");
    }

    /// Whether the workspace asks for a package of this name: then a proposal may use it.
    pub(super) fn declares(&self, name: &str) -> bool {
        declares(&self.declared, name)
    }

    /// The workspace path of a file that is called by its package, of a project in this folder.
    pub(super) fn inside(&self, path: &str, directory: &str) -> Option<String> {
        let below = |package: &String| path.strip_prefix(package.as_str())?.strip_prefix('/');
        let rest = self.packages.iter().filter_map(below).min_by_key(|rest| rest.len())?;
        Some(if directory.is_empty() { rest.into() } else { format!("{directory}/{rest}") })
    }

    fn remedy(&self, kind: Option<Kind>) -> String {
        let manifest = kind.map_or("", Kind::manifest);
        match (&self.sources[..], kind) {
            (_, None) => "use an image that has it (`sandbox.images`) or a check that does without".into(),
            ([], _) if manifest.is_empty() => {
                "set `sandbox.setup` to a command that installs it in /deps, or use an image that has it (`sandbox.images`)".into()
            }
            ([], _) => format!("name it in {manifest}, then run `opendevagent sandbox setup`"),
            (sources, _) if self.installed => {
                format!("name it in {}, then run `opendevagent sandbox setup`", sources.join(" or "))
            }
            (sources, _) => {
                format!("run `opendevagent sandbox setup` to install what {} names", sources.join(" and "))
            }
        }
    }
}

/// Whether what names dependencies, in lower case, has this one, or one that ends in it: `yaml` is `pyyaml`.
pub(super) fn declares(text: &str, name: &str) -> bool {
    let name = name.to_lowercase().replace('_', "-");
    let top = name.split(['.', ':']).next().unwrap_or(&name);
    let apart = |c: char| !(c.is_alphanumeric() || "-_/@.".contains(c));
    text.to_lowercase()
        .replace('_', "-")
        .split(apart)
        .any(|word| word == name || word == top || top.len() > 2 && word.strip_suffix(top).is_some())
}

/// What the sandbox does not have, if that is why the check failed.
pub(super) fn missing(seen: &Observation, own: &Arc<Provided>) -> Option<Missing> {
    let details =
        seen.tests.values().filter(|test| test.state == State::Failed).map(|test| test.detail.as_str());
    let mut texts =
        details.chain([report::tail(&seen.stderr, MAX_OUTPUT), report::tail(&seen.stdout, MAX_OUTPUT)]);
    let package = texts.find_map(|text| {
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().enumerate().filter(|(_, line)| line.len() <= MAX_LINE).find_map(|(at, line)| {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            MESSAGES.iter().find_map(|(kind, before, end)| {
                let (name, after) = between(line, before, end)?;
                named("package", kind.outside(name.trim(), after, next, own)?, &own.remedy(Some(*kind)))
            })
        })
    });
    let program = || {
        let line = seen.stderr.lines().rev().find_map(|line| line.trim_end().strip_suffix("not found"))?;
        let line = line.trim_end().trim_end_matches(':');
        let line = line.strip_suffix("command").map_or(line, |line| line.trim_end().trim_end_matches(':'));
        named("program", line.rsplit(": ").next()?, &own.remedy(None))
    };
    package.or_else(|| (seen.exit_code == Some(127)).then(program).flatten())
}

/// The text between two marks of a line, and what follows it.
fn between<'a>(line: &'a str, before: &str, end: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = line.split_once(before)?;
    match end {
        "" => Some((rest, "")),
        _ if before.is_empty() => {
            let (head, after) = line.split_once(end)?;
            Some((head.split_whitespace().last()?, after))
        }
        _ => rest.split_once(end),
    }
}

fn named(what: &str, name: &str, remedy: &str) -> Option<Missing> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let message = format!("the {what} {name} is not installed in the sandbox; {remedy}");
    Some(Missing { name: name.into(), message })
}
