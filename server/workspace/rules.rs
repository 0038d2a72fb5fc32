//! Which paths are closed: secret ones, excluded ones, ignored ones.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::Path;
use std::sync::Arc;

/// Never read, sent, mounted or edited, whatever the settings say. Syntax of `.gitignore`.
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
    secret: Arc<Gitignore>,
    /// From the root down; the deepest that says anything decides.
    hidden: Vec<Arc<Gitignore>>,
    ignored: Vec<Arc<Gitignore>>,
}

impl Rules {
    pub(super) fn new(root: &Path, exclude: &[String]) -> Rules {
        let mut secret = GitignoreBuilder::new(root);
        for pattern in SECRETS.iter().copied().chain(exclude.iter().map(String::as_str)) {
            // A pattern that cannot be read is reported when settings are loaded.
            let _ = secret.add_line(None, pattern);
        }
        Rules { secret: Arc::new(built(&secret)), hidden: Vec::new(), ignored: Vec::new() }
    }

    /// With what the rule files of `folder`, an absolute path, say on top.
    #[must_use]
    pub(super) fn below(&self, folder: &Path) -> Rules {
        let mut rules = self.clone();
        let (mut hidden, mut ignored) = (GitignoreBuilder::new(folder), GitignoreBuilder::new(folder));
        for name in RULE_FILES {
            let builder = if name == OWN_RULES { &mut hidden } else { &mut ignored };
            let _ = builder.add(folder.join(name));
        }
        for (builder, chain) in [(hidden, &mut rules.hidden), (ignored, &mut rules.ignored)] {
            let built = built(&builder);
            if !built.is_empty() {
                chain.push(Arc::new(built));
            }
        }
        rules
    }

    /// What an entry is by itself, given that its folder is open.
    pub(super) fn access(&self, path: &Path, directory: bool) -> Access {
        let closed = |chain: &[Arc<Gitignore>]| {
            let said = chain.iter().rev().map(|rules| rules.matched(path, directory));
            said.into_iter().find(|said| !said.is_none()).is_some_and(|said| said.is_ignore())
        };
        if self.secret.matched(path, directory).is_ignore() || closed(&self.hidden) {
            Access::Hidden
        } else if closed(&self.ignored) {
            Access::Ignored
        } else {
            Access::Open
        }
    }
}

fn built(builder: &GitignoreBuilder) -> Gitignore {
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}
