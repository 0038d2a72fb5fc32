//! What files there are, kept per workspace and brought up to date by the folders' times alone.
//!
//! ```text
//! read ── every folder in parallel, level by level ── Listing ── kept
//! again ── stat of every folder and rule file; only what changed is read ── Listing ── kept
//! ```
//!
//! A refresh costs by folders, not by files: a new, renamed or removed file changes its folder's time. What is
//! *in* a file is not known here.

use super::rules::{Access, RULE_FILES, Rules};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A listing has at most this many folders and files; what is beyond is not there for anybody.
const MAX_FOLDERS: usize = 200_000;
const MAX_FILES: usize = 1_000_000;
/// A folder that changed less than this before it was read may change again without its time telling.
const SETTLED: Duration = Duration::from_secs(2);
/// A listing that was begun this lately is as good as a new one, which would take about as long to read.
const FRESH: Duration = Duration::from_millis(20);
/// Workspaces whose listings are kept.
const KEPT: usize = 4;
/// Fewer folders than this are not worth a thread.
const SHARE: usize = 32;

/// The files of a workspace.
#[derive(Debug)]
pub(super) struct Listing {
    /// By path relative to the root, which is `""`.
    folders: BTreeMap<Arc<str>, Arc<Folder>>,
    pub(super) files: usize,
    /// False when it ends at a limit: what is beyond was not looked at.
    pub(super) complete: bool,
    begun: Instant,
}

#[derive(Debug)]
struct Folder {
    access: Access,
    rules: Rules,
    seen: Seen,
    /// Paths of open files, sorted.
    files: Vec<Box<str>>,
    /// Paths of what nobody may see, and of what is no file, folder or link.
    hidden: Vec<PathBuf>,
    /// Paths of subfolders that are looked into.
    folders: Vec<(Arc<str>, Access)>,
}

/// When a folder and its rule files changed; `None` when it is too fresh to rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Option<[Option<SystemTime>; 1 + RULE_FILES.len()]>);

impl Seen {
    /// A rule file that was not there last time is there only if the folder's time changed; `.git` is a folder of
    /// its own, whose rule file is looked for in the root alone.
    fn look(folder: &Path, visit: &Visit, last: Option<&Seen>) -> Seen {
        let time = |path: &Path| changed(&path.metadata().ok()?);
        let mut times = [time(folder), None, None, None, None];
        let same = last.and_then(|last| last.0.as_ref()).filter(|last| last[0] == times[0]);
        let rule_files = if visit.access == Access::Open { &RULE_FILES[..] } else { &[] };
        for (index, name) in (1..).zip(rule_files) {
            if visit.path.is_empty() || same.is_none_or(|last| last[index].is_some()) {
                times[index] = time(&folder.join(name));
            }
        }
        let settled = SystemTime::now() - SETTLED;
        Seen(Some(times).filter(|times| times.iter().flatten().all(|time| *time < settled)))
    }
}

/// When a file was last written, replaced or given other rights.
pub(super) fn changed(metadata: &Metadata) -> Option<SystemTime> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(u64::try_from(metadata.ctime()).ok()?, nanoseconds))
    }
    #[cfg(not(unix))]
    metadata.modified().ok()
}

/// A folder to look at.
struct Visit {
    path: Arc<str>,
    access: Access,
    /// The rules of the folder above, and whether they are other than last time.
    above: Rules,
    anew: bool,
}

type Kept = (PathBuf, Vec<String>, Arc<Listing>);
static LISTINGS: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// The listing of `root`, a canonical path. Blocks on the disk.
///
/// # Errors
/// When `root` is no folder that can be read.
pub(super) fn of(root: &Path, exclude: &[String]) -> std::io::Result<Arc<Listing>> {
    std::fs::read_dir(root)?;
    let kept = || LISTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_same = |(of, with, _): &Kept| of == root && with == exclude;
    let last = kept().iter().find(|kept| is_same(kept)).map(|(.., listing)| Arc::clone(listing));
    let listing = Arc::new(Listing::read(root, exclude, last.as_deref()));
    let mut all = kept();
    all.retain(|kept| !is_same(kept));
    all.truncate(KEPT - 1);
    all.insert(0, (root.to_owned(), exclude.to_owned(), Arc::clone(&listing)));
    Ok(listing)
}

impl Listing {
    fn read(root: &Path, exclude: &[String], last: Option<&Listing>) -> Listing {
        let above = Rules::new(root, exclude);
        let mut level = vec![Visit { path: "".into(), access: Access::Open, above, anew: last.is_none() }];
        let mut listing =
            Listing { folders: BTreeMap::new(), files: 0, complete: true, begun: Instant::now() };
        while !level.is_empty() {
            let found = share(&level, |visit| visit_folder(root, visit, last));
            let mut next = Vec::new();
            for (visit, (folder, anew)) in level.into_iter().zip(found) {
                listing.files += folder.files.len();
                next.extend(folder.folders.iter().map(|(path, access)| Visit {
                    path: Arc::clone(path),
                    access: *access,
                    above: folder.rules.clone(),
                    anew,
                }));
                listing.folders.insert(visit.path, folder);
            }
            let free = MAX_FOLDERS - listing.folders.len().min(MAX_FOLDERS);
            if next.len() > free || listing.files > MAX_FILES {
                next.truncate(if listing.files > MAX_FILES { 0 } else { free });
                listing.complete = false;
            }
            level = next;
        }
        listing
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.begun.elapsed() < FRESH
    }

    /// Paths of the open files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.folders.values().flat_map(|folder| folder.files.iter().map(AsRef::as_ref))
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let files = self.folders.get(folder).map(|folder| &folder.files);
        files.is_some_and(|files| files.binary_search_by(|file| (**file).cmp(path)).is_ok())
    }

    /// Paths that a program must not see although they are in a folder that it sees.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Path> {
        self.folders.values().flat_map(|folder| folder.hidden.iter().map(PathBuf::as_path))
    }

    /// Paths of the folders that are open, and of the first ones that are ignored.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        let open = self.folders.values().filter(|folder| folder.access == Access::Open);
        open.flat_map(|folder| folder.folders.iter().map(|(path, _)| &**path))
    }

    /// Whether there are ignored folders, which a program may need all the same.
    pub(super) fn has_ignored_folders(&self) -> bool {
        self.folders.values().any(|folder| folder.access == Access::Ignored)
    }

    /// What the rules say about a file's path, whether the file exists or not.
    pub(super) fn access(&self, root: &Path, path: &str) -> Access {
        let mut rules = &self.folders[""].rules;
        let ends = path.match_indices('/').map(|(at, _)| (at, true)).chain([(path.len(), false)]);
        for (end, directory) in ends {
            match rules.access(&root.join(&path[..end]), directory) {
                Access::Open => {}
                closed => return closed,
            }
            if let Some(folder) = self.folders.get(&path[..end]) {
                rules = &folder.rules;
            }
        }
        Access::Open
    }
}

/// `task` of every visit, in the same order, by several threads where there are many.
fn share<T: Send>(visits: &[Visit], task: impl Fn(&Visit) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if visits.len() < SHARE || threads < 2 {
        return visits.iter().map(task).collect();
    }
    let task = &task;
    std::thread::scope(|scope| {
        let parts = visits.chunks(visits.len().div_ceil(threads));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(task).collect::<Vec<_>>())).collect();
        let done = parts.into_iter().flat_map(|part| part.join().expect("a visit does not panic"));
        done.collect()
    })
}

/// The folder as it is, and whether its rules are other than last time.
fn visit_folder(root: &Path, visit: &Visit, last: Option<&Listing>) -> (Arc<Folder>, bool) {
    let full = root.join(&*visit.path);
    let last = last.and_then(|last| last.folders.get(&visit.path));
    let seen = Seen::look(&full, visit, last.map(|last| &last.seen));
    if let Some(last) = last
        && !visit.anew
        && seen.0.is_some()
        && last.seen == seen
        && last.access == visit.access
    {
        return (Arc::clone(last), false);
    }
    let same_rules = |last: &Arc<Folder>| match (&last.seen.0, &seen.0) {
        (Some(last), Some(seen)) => last[1..] == seen[1..],
        _ => false,
    };
    let anew = visit.anew || !last.is_some_and(same_rules);
    (Arc::new(read_folder(&full, visit, seen)), anew)
}

fn read_folder(full: &Path, visit: &Visit, seen: Seen) -> Folder {
    let rules = if visit.access == Access::Open { visit.above.below(full) } else { visit.above.clone() };
    let (mut files, mut hidden, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    // A folder that cannot be read is empty to us; programs cannot read it either.
    for entry in std::fs::read_dir(full).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let access = rules.access(&entry.path(), kind.is_dir()).max(visit.access);
        let relative = Path::new(&*visit.path).join(entry.file_name());
        let name = relative.to_str();
        match (access, name) {
            _ if kind.is_symlink() && access != Access::Hidden => {}
            (Access::Open | Access::Ignored, Some(name)) if kind.is_dir() => {
                folders.push((name.into(), access))
            }
            (Access::Open, Some(name)) if kind.is_file() => files.push(name.into()),
            (Access::Ignored, _) if kind.is_file() && visit.access == Access::Ignored => {}
            // A name that is not UTF-8 has no place in a listing; pipes and sockets lead out of a container.
            _ => hidden.push(relative),
        }
    }
    files.sort_unstable();
    Folder { access: visit.access, rules, seen, files, hidden, folders }
}
