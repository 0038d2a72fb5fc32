//! The user's files: open buffers over files on disk, and a frozen copy of both for one task.
//!
//! This is the one choke point for what leaves the workspace. A file that is ignored, secret, a link or
//! outside never enters a [`Snapshot`], so neither a model nor a container can see it.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ropey::Rope;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A file that a model may read or edit is at most this many bytes.
pub const MAX_TEXT_BYTES: u64 = 2 << 20;
/// A snapshot holds at most this many bytes and files, and no file larger than `MAX_FILE_BYTES`.
pub const MAX_TREE_BYTES: u64 = 64 << 20;
pub const MAX_TREE_FILES: usize = 20_000;
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Never read, sent, mounted or edited, whatever the settings say. Syntax of `.gitignore`.
pub const SECRETS: &[&str] = &[
    ".git/",
    ".env",
    ".env.*",
    "!.env.example",
    "!.env.sample",
    "!.env.template",
    "*.pem",
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

/// An open buffer.
#[derive(Clone, Debug)]
pub struct Document {
    /// As the client named it.
    pub uri: String,
    pub version: i32,
    pub language: String,
    pub text: Rope,
}

/// All open buffers by absolute path (or by URI where there is no path). Cloning is one reference count.
#[derive(Clone, Debug, Default)]
pub struct Documents(Arc<HashMap<String, Arc<Document>>>);

impl Documents {
    pub fn get(&self, key: &str) -> Option<&Arc<Document>> {
        self.0.get(key)
    }

    pub fn insert(&mut self, key: String, document: Document) {
        Arc::make_mut(&mut self.0).insert(key, Arc::new(document));
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Document> {
        Arc::make_mut(&mut self.0).get_mut(key).map(Arc::make_mut)
    }

    pub fn remove(&mut self, key: &str) -> Option<Arc<Document>> {
        Arc::make_mut(&mut self.0).remove(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Document>)> {
        self.0.iter().map(|(key, document)| (key.as_str(), document))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One file of a snapshot.
#[derive(Clone, Debug)]
pub struct File {
    pub bytes: Arc<[u8]>,
    /// The buffer's version; `None` when the file was not open.
    pub version: Option<i32>,
    pub executable: bool,
}

/// The workspace as it was when a task began: buffers over files. Nothing in it changes any more.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub root: PathBuf,
    files: Arc<BTreeMap<String, File>>,
    rules: Rules,
    /// Files left out for their size, with the reason, for the user to know.
    pub left_out: Arc<Vec<String>>,
}

/// Why a path has no text for a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("{0} does not exist in the workspace")]
    Missing(String),
    #[error(
        "{path} has {bytes} bytes; files over {MAX_TEXT_BYTES} bytes are not sent to a model: move the part in question to a file of its own"
    )]
    TooLarge { path: String, bytes: u64 },
    #[error("{0} is a binary file; only text can be edited")]
    Binary(String),
    #[error("{0} is not UTF-8; convert it to UTF-8 first")]
    NotUtf8(String),
    #[error(
        "{0} is secret, ignored or excluded (`context.exclude`, .gitignore, .opendevagentignore); it is neither read nor edited"
    )]
    Excluded(String),
    #[error("{0} is outside the workspace; only files below the workspace folder can be read or edited")]
    Outside(String),
    #[error("{0} is a symbolic link; name the file it points to")]
    Link(String),
}

/// Which paths are closed to models and containers.
#[derive(Clone, Debug)]
struct Rules {
    secret: Gitignore,
    ignored: Gitignore,
}

impl Rules {
    fn new(root: &Path, exclude: &[String]) -> Self {
        let build = |builder: GitignoreBuilder| builder.build().unwrap_or_else(|_| Gitignore::empty());
        let mut secret = GitignoreBuilder::new(root);
        for pattern in SECRETS.iter().copied().chain(exclude.iter().map(String::as_str)) {
            // A pattern that cannot be read is reported when settings are loaded.
            let _ = secret.add_line(None, pattern);
        }
        let mut ignored = GitignoreBuilder::new(root);
        for name in [".gitignore", ".opendevagentignore"] {
            let _ = ignored.add(root.join(name));
        }
        Self { secret: build(secret), ignored: build(ignored) }
    }

    fn closed(&self, path: &str) -> bool {
        [&self.secret, &self.ignored]
            .iter()
            .any(|rules| rules.matched_path_or_any_parents(path, false).is_ignore())
    }
}

impl Snapshot {
    /// Reads the tree below `root` with `documents` on top. Blocks on the disk.
    ///
    /// # Errors
    /// When `root` is no directory that can be read.
    pub fn take(root: &Path, documents: &Documents, exclude: &[String]) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let rules = Rules::new(&root, exclude);
        let mut files = BTreeMap::new();
        let mut left_out = Vec::new();
        let mut total = 0;
        let walk = ignore::WalkBuilder::new(&root)
            .hidden(false)
            .require_git(false)
            .git_global(false)
            .parents(false)
            .follow_links(false)
            .add_custom_ignore_filename(".opendevagentignore")
            .filter_entry({
                let (rules, root) = (rules.clone(), root.clone());
                move |entry| match relative(&root, entry.path()) {
                    Some(path) => {
                        let directory = entry.file_type().is_some_and(|kind| kind.is_dir());
                        !rules.secret.matched(&path, directory).is_ignore()
                    }
                    None => true,
                }
            })
            .build();
        for entry in walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
            let Some(path) = relative(&root, entry.path()) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.len() > MAX_FILE_BYTES
                || total + metadata.len() > MAX_TREE_BYTES
                || files.len() >= MAX_TREE_FILES
            {
                left_out.push(format!("{path} ({} bytes)", metadata.len()));
                continue;
            }
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            total += bytes.len() as u64;
            let executable = is_executable(&metadata);
            files.insert(path, File { bytes: bytes.into(), version: None, executable });
        }
        for (key, document) in documents.iter() {
            // Below a linked folder the editor's path is not the one the root resolves to.
            let key = Path::new(key);
            let resolved = || {
                key.parent()?.canonicalize().ok().zip(key.file_name()).map(|(folder, name)| folder.join(name))
            };
            let path = relative(&root, key).or_else(|| relative(&root, &resolved()?));
            let Some(path) = path else { continue };
            if !rules.closed(&path) {
                let executable = files.get(&path).is_some_and(|file| file.executable);
                let bytes: Vec<u8> = document.text.bytes().collect();
                files.insert(path, File { bytes: bytes.into(), version: Some(document.version), executable });
            }
        }
        Ok(Self { root, files: Arc::new(files), rules, left_out: Arc::new(left_out) })
    }

    /// The same with some texts in place of others; `None` removes a file.
    #[must_use]
    pub fn with<'a>(&self, texts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut files = (*self.files).clone();
        for (path, text) in texts {
            let old = files.remove(path);
            if let Some(text) = text {
                let executable = old.as_ref().is_some_and(|file| file.executable);
                let version = old.and_then(|file| file.version);
                files.insert(path.to_owned(), File { bytes: text.as_bytes().into(), version, executable });
            }
        }
        Self { files: Arc::new(files), ..self.clone() }
    }

    /// All files by path relative to the root, with `/` between the parts.
    pub fn files(&self) -> &BTreeMap<String, File> {
        &self.files
    }

    /// The text of a file, for a model to read or edit.
    pub fn text(&self, path: &str) -> Result<&str, TextError> {
        let Some(file) = self.files.get(path) else { return Err(self.why_missing(path)) };
        if file.bytes.len() as u64 > MAX_TEXT_BYTES {
            return Err(TextError::TooLarge { path: path.into(), bytes: file.bytes.len() as u64 });
        }
        match std::str::from_utf8(&file.bytes) {
            Ok(text) if text.contains('\0') => Err(TextError::Binary(path.into())),
            Ok(text) => Ok(text),
            Err(_) if file.bytes.contains(&0) => Err(TextError::Binary(path.into())),
            Err(_) => Err(TextError::NotUtf8(path.into())),
        }
    }

    fn why_missing(&self, path: &str) -> TextError {
        let full = self.root.join(path);
        match full.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => TextError::Link(path.into()),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                TextError::TooLarge { path: path.into(), bytes: metadata.len() }
            }
            Ok(_) => TextError::Excluded(path.into()),
            Err(_) if self.rules.closed(path) => TextError::Excluded(path.into()),
            Err(_) => TextError::Missing(path.into()),
        }
    }

    /// Whether an edit may write to `path` (relative, already normalised): inside the root after resolving
    /// links, and not closed by the rules.
    pub fn may_edit(&self, path: &str) -> Result<(), TextError> {
        if self.rules.closed(path) {
            return Err(TextError::Excluded(path.into()));
        }
        let mut full = self.root.clone();
        for part in Path::new(path).components() {
            let Component::Normal(part) = part else { return Err(TextError::Outside(path.into())) };
            full.push(part);
            if full.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(TextError::Link(path.into()));
            }
        }
        Ok(())
    }
}

/// `path` below `root`, with `/` between the parts; `None` when it is not below, or the root itself.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<_>> = path
        .strip_prefix(root)
        .ok()?
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &std::fs::Metadata) -> bool {
    false
}
