//! The workspace as a copy-on-write file system: the program sees the real files and writes to memory.
//!
//! ```text
//! /dev/shm/opendevagent-UID/OWNER/     gone with its owner, or swept by the next start
//!   hide-…      whiteouts over secrets; with a root's workspace, folders that the program may write to
//!   scratch-…   up, work: what one container wrote, charged to its memory
//! mount       lowerdir = hide:workspace, upperdir = scratch/up
//! ```
//!
//! Needs an engine on this machine that runs as root. Whoever cannot have it is told why, and streams.

use crate::sandbox::owner::Owner;
use crate::workspace::Snapshot;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who runs the program where the workspace belongs to root.
const NOBODY: u32 = 10001;
/// Files looked at to know whether the program may read what is there.
const SAMPLE: usize = 64;

/// A workspace made ready to be mounted, by any number of containers at once.
#[derive(Debug)]
pub(super) struct View {
    root: PathBuf,
    home: PathBuf,
    hide: PathBuf,
    /// What it was made of; another needs another view.
    key: String,
    pub(super) user: (u32, u32),
}

impl PartialEq for View {
    fn eq(&self, other: &View) -> bool {
        self.hide == other.hide
    }
}

impl Eq for View {}

impl std::hash::Hash for View {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.hide.hash(state);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        clear(&self.hide);
    }
}

/// What one container writes. Gone when dropped, which must come after the container.
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        clear(&self.0);
    }
}

impl View {
    /// The last view when it still fits, or a new one. Blocks on the disk. Fails with the reason.
    pub(super) fn of(
        workspace: &Snapshot,
        owner: &Owner,
        last: Option<Arc<View>>,
    ) -> Result<Arc<View>, String> {
        let explain = |error: io::Error| format!("the view cannot be made: {error}");
        // What became secret after the task began counts, too.
        let workspace = workspace.relisted().map_err(explain)?;
        if !workspace.is_complete() {
            return Err("the workspace has more folders than can be searched for secrets".into());
        }
        let path = workspace.root.to_str().filter(|path| !path.contains([':', ',', '\\', '"', '\n']));
        path.ok_or("the workspace's path has a character that a mount cannot have")?;
        let metadata = workspace.root.metadata().map_err(explain)?;
        let (uid, gid) = owner_of(&metadata);
        let user = if uid == 0 { (NOBODY, NOBODY) } else { (uid, gid) };
        let mut hidden: Vec<_> = workspace.hidden().collect();
        hidden.sort_unstable();
        let mut folders: Vec<_> = workspace.folders().filter(|_| uid == 0).collect();
        folders.sort_unstable();
        let key = crate::text::sha256(format!("{path:?}{user:?}{hidden:?}{folders:?}").as_bytes());
        if let Some(last) = last.filter(|last| last.key == key && last.hide.exists()) {
            return Ok(last);
        }
        if uid == 0 && !readable(&workspace) {
            return Err("the workspace belongs to root and others may not read it".into());
        }
        let home = home(owner).map_err(explain)?;
        let hide = home.join(format!("hide-{}", uuid::Uuid::new_v4().simple()));
        let view = View { root: workspace.root.clone(), home, hide, key, user };
        view.fill(&hidden, &folders).map_err(explain)?;
        Ok(Arc::new(view))
    }

    fn fill(&self, hidden: &[&Path], folders: &[&str]) -> io::Result<()> {
        fs::create_dir(&self.hide)?;
        self.give(&self.hide)?;
        let parents = hidden.iter().filter_map(|path| path.parent());
        for folder in folders.iter().map(Path::new).chain(parents) {
            let mut path = self.hide.clone();
            for part in folder {
                path.push(part);
                match fs::create_dir(&path) {
                    Ok(()) => self.give(&path)?,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
        }
        hidden.iter().try_for_each(|path| whiteout(&self.hide.join(path)))
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        open_to_all(path)?;
        give(path, self.user)
    }

    /// A place for one container to write to, and the mount's options.
    pub(super) fn scratch(&self) -> io::Result<(Scratch, HashMap<String, String>)> {
        let path = self.home.join(format!("scratch-{}", uuid::Uuid::new_v4().simple()));
        let (up, work) = (path.join("up"), path.join("work"));
        fs::create_dir_all(&up)?;
        let scratch = Scratch(path);
        fs::create_dir(&work)?;
        self.give(&up)?;
        let options = format!(
            "lowerdir={}:{},upperdir={},workdir={},nosuid,nodev",
            self.hide.display(),
            self.root.display(),
            up.display(),
            work.display()
        );
        let all = [("type", "overlay"), ("device", "overlay"), ("o", &options)];
        Ok((scratch, all.map(|(key, value)| (key.to_owned(), value.to_owned())).into()))
    }
}

/// Whether others may read a sample of the files.
fn readable(workspace: &Snapshot) -> bool {
    let step = workspace.paths().count() / SAMPLE + 1;
    let mut sample = workspace.paths().step_by(step).filter_map(|path| {
        let metadata = workspace.root.join(path).symlink_metadata().ok()?;
        Some(others_read(&metadata))
    });
    sample.all(|readable| readable)
}

/// Removes what dead owners left.
pub(super) fn sweep() {
    for entry in base().and_then(|base| fs::read_dir(base).ok()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.replace('%', "/").replace('=', ":").parse::<Owner>().ok());
        if owner.is_some_and(|owner| owner.is_dead()) {
            clear(&entry.path());
        }
    }
}

/// Removes all that an owner has.
pub(super) fn close(owner: &Owner) {
    if let Some(base) = base() {
        clear(&base.join(folder_name(owner)));
    }
}

/// Without what a path or a mount's options cannot have in a name; a machine's name has neither of these.
fn folder_name(owner: &Owner) -> String {
    owner.to_string().replace('/', "%").replace(':', "=")
}

fn home(owner: &Owner) -> io::Result<PathBuf> {
    let base = base().ok_or(io::ErrorKind::Unsupported)?;
    private(&base)?;
    let home = base.join(folder_name(owner));
    private(&home)?;
    Ok(home)
}

/// Removes a tree of any depth that a stranger made: never follows a link, holds one folder open at a time.
fn clear(tree: &Path) {
    let Some(parent) = tree.parent() else { return };
    let mut waiting = vec![tree.to_owned()];
    let mut emptied = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = fs::remove_file(&path);
                continue;
            }
            let _ = open_to_all(&path);
            // Brought up to where its path is short.
            let moved = parent.join(format!("gone-{}", uuid::Uuid::new_v4().simple()));
            waiting.push(if fs::rename(&path, &moved).is_ok() { moved } else { path });
        }
        emptied.push(folder);
    }
    for folder in emptied.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(target_os = "linux")]
fn base() -> Option<PathBuf> {
    let user = owner_of(&fs::metadata("/proc/self").ok()?).0;
    let memory = Path::new("/dev/shm");
    memory.is_dir().then(|| memory.join(format!("opendevagent-{user}")))
}

#[cfg(not(target_os = "linux"))]
fn base() -> Option<PathBuf> {
    None
}

/// Makes a folder that is ours alone, or finds it so.
#[cfg(unix)]
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = path.symlink_metadata()?;
    let ours = found.is_dir()
        && found.mode().trailing_zeros() >= 6
        && found.uid() == fs::metadata("/proc/self")?.uid();
    if ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(unix)]
fn owner_of(metadata: &fs::Metadata) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    (metadata.uid(), metadata.gid())
}

#[cfg(unix)]
fn others_read(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o004 != 0
}

#[cfg(unix)]
fn open_to_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// To the one who runs the program. Only root can give; anybody else has it already, or cannot have a view.
#[cfg(unix)]
fn give(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if path.metadata()?.uid() == uid { Ok(()) } else { std::os::unix::fs::chown(path, Some(uid), Some(gid)) }
}

#[cfg(target_os = "linux")]
fn whiteout(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
}

#[cfg(not(target_os = "linux"))]
fn whiteout(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{Path, fs, io};

    pub(super) fn private(_path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn owner_of(_metadata: &fs::Metadata) -> (u32, u32) {
        (0, 0)
    }

    pub(super) fn others_read(_metadata: &fs::Metadata) -> bool {
        false
    }

    pub(super) fn open_to_all(_path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn give(_path: &Path, _user: (u32, u32)) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
#[cfg(not(unix))]
use elsewhere::{give, open_to_all, others_read, owner_of, private};
