//! Which paths are closed: secret ones, excluded ones, ignored ones.

use gix_glob::Pattern;
use gix_glob::pattern::Case;
use gix_glob::wildmatch::Mode;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Never read, sent, mounted or edited, whatever the settings say. Syntax of `.gitignore`, in any case: where file names
/// have none, `.ENV` is `.env`.
pub const SECRETS: &[&str] = &[
    ".git/",
    ".env",
    ".env.*",
    "!.env.example",
    "!.env.sample",
    "!.env.template",
    "*.pem",
    // The public certificate authorities, which packages bring along.
    "!cacert.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "id_rsa*",
    "id_ed25519*",
    "id_ecdsa*",
    "id_dsa*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".htpasswd",
    ".aws/",
    ".ssh/",
    ".gnupg/",
    ".docker/config.json",
    "credentials.json",
    "service-account*.json",
    "*.tfstate",
    "secrets.y*ml",
    ".opendevagent/",
];

/// Files of a folder that hold rules for what is below it; later ones win.
pub(super) const RULE_FILES: [&str; 4] = [".git/info/exclude", ".gitignore", ".ignore", OWN_RULES];
const OWN_RULES: &str = ".opendevagentignore";

/// How far a path is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Access {
    /// For models and programs.
    Open,
    /// Ignored by version control: not for models, and of programs only for those that see the real folder, where
    /// a folder of dependencies is needed.
    Ignored,
    /// Secret or excluded: for nobody.
    Hidden,
}

/// The rules that hold in one folder. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Secrets and `context.exclude`, relative to the root.
    secret: Arc<List>,
    /// From the root down; the deepest that says anything decides.
    hidden: Vec<Arc<List>>,
    ignored: Vec<Arc<List>>,
}

/// Patterns that are relative to one folder; the last that fits a path decides.
#[derive(Debug)]
struct List {
    folder: PathBuf,
    patterns: Vec<Pattern>,
    case: Case,
}

impl Rules {
    pub(super) fn new(root: &Path, exclude: &[String]) -> Rules {
        let lines = SECRETS.iter().copied().chain(exclude.iter().map(String::as_str));
        let patterns = lines.flat_map(|line| patterns(line.as_bytes())).collect();
        let secret = List { folder: root.to_owned(), patterns, case: Case::Fold };
        Rules { secret: Arc::new(secret), hidden: Vec::new(), ignored: Vec::new() }
    }

    /// With what the rule files of `folder`, an absolute path, say on top.
    #[must_use]
    pub(super) fn below(&self, folder: &Path) -> Rules {
        let mut rules = self.clone();
        let (mut hidden, mut ignored) = (Vec::new(), Vec::new());
        for name in RULE_FILES {
            let list = if name == OWN_RULES { &mut hidden } else { &mut ignored };
            list.extend(patterns(&lines(&folder.join(name))));
        }
        for (patterns, chain) in [(hidden, &mut rules.hidden), (ignored, &mut rules.ignored)] {
            if !patterns.is_empty() {
                let case = Case::Sensitive;
                chain.push(Arc::new(List { folder: folder.to_owned(), patterns, case }));
            }
        }
        rules
    }

    /// What an entry is by itself, given that its folder is open.
    pub(super) fn access(&self, path: &Path, directory: bool) -> Access {
        let closed = |chain: &[Arc<List>]| {
            chain.iter().rev().find_map(|list| list.closes(path, directory)).unwrap_or(false)
        };
        if self.secret.closes(path, directory) == Some(true) || closed(&self.hidden) {
            Access::Hidden
        } else if closed(&self.ignored) {
            Access::Ignored
        } else {
            Access::Open
        }
    }
}

impl List {
    /// Whether the path is closed, or opened again; `None` where no pattern fits it.
    fn closes(&self, path: &Path, directory: bool) -> Option<bool> {
        let path = slashed(path.strip_prefix(&self.folder).ok()?);
        let name = path.iter().rposition(|byte| *byte == b'/').map(|at| at + 1);
        let fits = |pattern: &&Pattern| {
            let (path, directory) = (path.as_ref().into(), Some(directory));
            pattern.matches_repo_relative_path(path, name, directory, self.case, Mode::NO_MATCH_SLASH_LITERAL)
        };
        self.patterns.iter().rev().find(fits).map(|pattern| !pattern.is_negative())
    }
}

/// What a file of rules says, or one that a link names; nothing when it is no file, or cannot be read.
fn lines(path: &Path) -> Vec<u8> {
    let file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if file { std::fs::read(path).unwrap_or_default() } else { Vec::new() }
}

/// The patterns of lines as `.gitignore` has them.
fn patterns(lines: &[u8]) -> impl Iterator<Item = Pattern> {
    gix_ignore::parse(lines, false).map(|(pattern, ..)| pattern)
}

/// A relative path as patterns have it.
fn slashed(path: &Path) -> Cow<'_, [u8]> {
    if cfg!(windows) {
        Cow::Owned(path.to_string_lossy().replace('\\', "/").into_bytes())
    } else {
        Cow::Borrowed(path.as_os_str().as_encoded_bytes())
    }
}
