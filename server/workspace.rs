//! The user's files: open buffers over files on disk, and a frozen copy of both for one task.
//!
//! This is the one choke point for what leaves the workspace. A file that is ignored, secret, a link or
//! outside never enters a [`Snapshot`], so no model can see it. Programs may see ignored folders and links, which
//! checks need, but nothing that is [`Snapshot::hidden`].

mod listing;
mod names;
mod rules;

use listing::Listing;
use ropey::Rope;
use rules::Access;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use names::{Index, Names};
pub use rules::SECRETS;

/// A file that a model may read or edit is at most this many bytes.
pub const MAX_TEXT_BYTES: u64 = 2 << 20;

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

/// The open buffers, as they were when a task began and as they are now.
#[derive(Clone)]
pub struct Buffers {
    pub then: Documents,
    pub now: Arc<dyn Fn() -> Documents + Send + Sync>,
}

impl From<Documents> for Buffers {
    /// Buffers that stay as they are.
    fn from(then: Documents) -> Self {
        let now = then.clone();
        Self { then, now: Arc::new(move || now.clone()) }
    }
}

/// A text that stands for a file: an open buffer's, or a proposal's.
#[derive(Clone, Debug)]
struct Top {
    text: Arc<str>,
    /// The buffer's version; `None` when the file was not open.
    version: Option<i32>,
}

/// The workspace as it was when a task began: buffers over files. What is in a file is read when it is asked for;
/// one that changed meanwhile is [`TextError::Changed`], so that nothing is decided from two states at once.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub root: PathBuf,
    exclude: Arc<[String]>,
    began: SystemTime,
    listing: Arc<Listing>,
    /// What stands over the files; `None`: the file is gone.
    top: BTreeMap<String, Option<Top>>,
    /// What was read, so that it stays the same to the end.
    read: Arc<Mutex<Texts>>,
}

type Texts = HashMap<String, Result<Arc<str>, TextError>>;

/// A file as a program is to find it.
#[derive(Clone, Debug)]
pub struct File {
    pub path: String,
    /// `None`: it is gone.
    pub bytes: Option<Arc<[u8]>>,
    pub executable: bool,
}

/// All files of a workspace that fit into the limits they were asked for with.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub files: Vec<File>,
    /// Those that did not fit: path and size.
    pub left_out: Vec<String>,
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
    #[error("{0} is a symbolic link, or behind one; name the file it points to")]
    Link(String),
    #[error("{0} is a folder, a pipe or a device; name a file")]
    NotFile(String),
    #[error("{0} changed on disk after the task began; start the task again")]
    Changed(String),
}

impl Snapshot {
    /// The tree below `root` with `documents` on top. Blocks on the disk.
    ///
    /// # Errors
    /// When `root` is no directory that can be read.
    pub fn take(root: &Path, documents: &Documents, exclude: &[String]) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let began = SystemTime::now();
        let listing = listing::of(&root, exclude)?;
        let mut top = BTreeMap::new();
        for (key, document) in documents.iter() {
            // Below a linked folder the editor's path is not the one the root resolves to. What is a link itself
            // may show any file on this machine.
            let key = Path::new(key);
            let resolved = || {
                key.parent()?.canonicalize().ok().zip(key.file_name()).map(|(folder, name)| folder.join(name))
            };
            let path = relative(&root, key).filter(|path| !is_linked(&root, path));
            let path = path.or_else(|| relative(&root, &resolved()?).filter(|path| !is_linked(&root, path)));
            let Some(path) = path else { continue };
            if listing.access(&root, &path) == Access::Open {
                let text = document.text.to_string().into();
                top.insert(path, Some(Top { text, version: Some(document.version) }));
            }
        }
        Ok(Self { root, exclude: exclude.into(), began, listing, top, read: Arc::default() })
    }

    /// The same with the files that are there now.
    ///
    /// # Errors
    /// When the root is no directory that can be read any more.
    pub fn relisted(&self) -> std::io::Result<Self> {
        if self.listing.is_fresh() {
            return Ok(self.clone());
        }
        Ok(Self { listing: listing::of(&self.root, &self.exclude)?, ..self.clone() })
    }

    /// The same with some texts in place of others; `None` removes a file.
    #[must_use]
    pub fn with<'a>(&self, texts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut snapshot = self.clone();
        for (path, text) in texts {
            let version = self.version(path);
            let top = text.map(|text| Top { text: text.into(), version });
            snapshot.top.insert(path.to_owned(), top);
        }
        snapshot
    }

    /// All files, relative to the root, with `/` between the parts, folder by folder.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let below = self.listing.paths().filter(|path| !self.top.contains_key(*path));
        let above = self.top.iter().filter(|(_, top)| top.is_some());
        above.map(|(path, _)| path.as_str()).chain(below)
    }

    pub fn contains(&self, path: &str) -> bool {
        self.top.get(path).map_or_else(|| self.listing.contains(path), Option::is_some)
    }

    /// The version of the buffer that stands over a file; `None` when it is not open.
    pub fn version(&self, path: &str) -> Option<i32> {
        self.top.get(path)?.as_ref()?.version
    }

    /// Bytes of a file, without reading it.
    pub fn size(&self, path: &str) -> Option<u64> {
        match self.top.get(path) {
            Some(top) => top.as_ref().map(|top| top.text.len() as u64),
            None => Some(self.root.join(path).symlink_metadata().ok()?.len()),
        }
    }

    /// The text of a file, for a model to read or edit. Blocks on the disk the first time.
    pub fn text(&self, path: &str) -> Result<Arc<str>, TextError> {
        if let Some(Some(top)) = self.top.get(path) {
            return as_text(path, top.text.as_bytes().to_vec());
        }
        if !self.contains(path) {
            return Err(self.why_missing(path));
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.entry(path.to_owned()).or_insert_with(|| self.read_text(path)).clone()
    }

    fn read_text(&self, path: &str) -> Result<Arc<str>, TextError> {
        self.may_read(path)?;
        match self.load(path, MAX_TEXT_BYTES) {
            Ok(loaded) if !loaded.newer => as_text(path, loaded.bytes),
            Err(Some(bytes)) => Err(TextError::TooLarge { path: path.into(), bytes }),
            _ => Err(TextError::Changed(path.into())),
        }
    }

    /// A file of the listing. Fails with its size when that is over the limit, and with `None` when it is gone.
    fn load(&self, path: &str, limit: u64) -> Result<Loaded, Option<u64>> {
        let full = self.root.join(path);
        let before = full.symlink_metadata().ok().filter(std::fs::Metadata::is_file).ok_or(None)?;
        if before.len() > limit {
            return Err(Some(before.len()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
        let file = std::fs::File::open(&full).map_err(|_| None)?;
        file.take(limit).read_to_end(&mut bytes).map_err(|_| None)?;
        let after = full.symlink_metadata().map_err(|_| None)?;
        let newer = self.is_newer(&before) || self.is_newer(&after);
        Ok(Loaded { bytes, executable: is_executable(&after), newer })
    }

    /// Whether a file changed after the task began. A time yet to come is another clock's and says nothing.
    fn is_newer(&self, metadata: &std::fs::Metadata) -> bool {
        let changed = listing::changed(metadata);
        changed.is_some_and(|changed| changed > self.began && changed <= SystemTime::now())
    }

    fn why_missing(&self, path: &str) -> TextError {
        match self.root.join(path).symlink_metadata() {
            _ if self.top.contains_key(path) => TextError::Missing(path.into()),
            Ok(_) if is_linked(&self.root, path) => TextError::Link(path.into()),
            Ok(metadata) if !metadata.is_file() => TextError::NotFile(path.into()),
            _ if self.listing.access(&self.root, path) != Access::Open => TextError::Excluded(path.into()),
            Ok(metadata) if metadata.is_file() && self.is_newer(&metadata) => TextError::Changed(path.into()),
            Ok(_) => TextError::Excluded(path.into()),
            Err(_) => TextError::Missing(path.into()),
        }
    }

    /// Whether `path` (relative, already normalised) may be edited: inside the root after resolving links, and not
    /// closed by the rules. What is on disk must be text also where a buffer stands over it: a check sees the buffer
    /// as UTF-8, which would then be another program than the one that is saved.
    pub fn may_edit(&self, path: &str) -> Result<(), TextError> {
        self.may_read(path)?;
        match read_file(&self.root.join(path)) {
            Ok(Some(bytes)) => as_text(path, bytes).map(drop),
            Ok(None) => Ok(()),
            Err(_) => Err(TextError::NotFile(path.into())),
        }
    }

    fn may_read(&self, path: &str) -> Result<(), TextError> {
        if self.listing.access(&self.root, path) != Access::Open {
            return Err(TextError::Excluded(path.into()));
        }
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(TextError::Outside(path.into()));
        }
        if is_linked(&self.root, path) { Err(TextError::Link(path.into())) } else { Ok(()) }
    }

    /// Paths below the root that a program must not see when it sees the root itself.
    pub fn hidden(&self) -> impl Iterator<Item = &Path> {
        self.listing.hidden()
    }

    /// Folders below the root that a program may write to: the open ones and the first ignored ones.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.listing.folders()
    }

    /// False when the workspace has more than could be listed: secrets may lie beyond.
    pub fn is_complete(&self) -> bool {
        self.listing.complete
    }

    /// Whether all that a program may need is among at most so many files.
    pub fn is_small(&self, files: usize) -> bool {
        self.listing.files <= files && !self.listing.has_ignored_folders()
    }

    /// What differs from the files on disk: buffers and proposals.
    pub fn on_top(&self) -> Vec<File> {
        let file = |(path, top): (&String, &Option<Top>)| File {
            path: path.clone(),
            bytes: top.as_ref().map(|top| top.text.as_bytes().into()),
            executable: self.root.join(path).symlink_metadata().is_ok_and(|found| is_executable(&found)),
        };
        self.top.iter().map(file).collect()
    }

    /// All files, read from disk where nothing stands over them: so many, and so many bytes in all. Blocks on
    /// the disk.
    pub fn all(&self, max_files: usize, max_bytes: u64) -> Files {
        let mut files = self.on_top();
        files.retain(|file| file.bytes.is_some());
        let size = |file: &File| file.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let mut left = max_bytes.saturating_sub(files.iter().map(size).sum());
        let mut left_out = Vec::new();
        for path in self.listing.paths().filter(|path| !self.top.contains_key(*path)) {
            let room = if files.len() < max_files { left } else { 0 };
            match self.load(path, room) {
                Ok(Loaded { bytes, executable, .. }) => {
                    left -= bytes.len() as u64;
                    files.push(File { path: path.into(), bytes: Some(bytes.into()), executable });
                }
                Err(Some(size)) => left_out.push(format!("{path} ({size} bytes)")),
                Err(None) => {}
            }
        }
        Files { files, left_out }
    }
}

/// A file as it was read.
struct Loaded {
    bytes: Vec<u8>,
    executable: bool,
    /// It changed after the task began.
    newer: bool,
}

/// Whether a path below `root` is a link or leads through one.
fn is_linked(root: &Path, path: &str) -> bool {
    let mut full = root.to_owned();
    Path::new(path).components().any(|part| {
        full.push(part);
        full.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
    })
}

/// What is in a file; `None`: there is none. Blocks on the disk, but not on a pipe.
///
/// # Errors
/// When it cannot be read, or is a link, a folder, a pipe or a device.
pub fn read_file(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => std::fs::read(path).map(Some),
        Ok(_) => Err(std::io::Error::new(InvalidInput, "it is a link, a folder, a pipe or a device")),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether its owner has made a file read-only. An edit replaces the file, which its mode alone would not keep us from.
pub fn is_read_only(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().readonly())
}

fn as_text(path: &str, bytes: Vec<u8>) -> Result<Arc<str>, TextError> {
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(TextError::TooLarge { path: path.into(), bytes: bytes.len() as u64 });
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(TextError::NotUtf8(path.into()));
    }
    if bytes.contains(&0) {
        return Err(TextError::Binary(path.into()));
    }
    String::from_utf8(bytes).map(Into::into).map_err(|_| TextError::NotUtf8(path.into()))
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

#[cfg(test)]
mod tests;
