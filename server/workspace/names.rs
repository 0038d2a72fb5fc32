//! Which names the files of a workspace define and refer to, kept per workspace; only what changed is read again.
//!
//! A text is known by its hash where it is a buffer's, else by its file's size and time. Reading ends at a limit of
//! time and goes on with the next question, so that a large workspace holds up nobody.

use super::{Snapshot, Top, as_text, listing};
use crate::syntax::{Language, Role};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Longer files are generated more often than written.
const MOST_BYTES: u64 = 128 << 10;
/// Names of a file that are kept, of each kind.
const MOST_NAMES: usize = 2_000;
/// Definitions of one name in a file: a variable that is set again and again is none each time.
const OF_ONE_NAME: usize = 3;
/// Files whose names are kept for a workspace, and workspaces.
const MOST_FILES: usize = 20_000;
const KEPT: usize = 4;
/// Fewer files than this are not worth a thread, and more threads than this would slow the editor down.
const SHARE: usize = 32;
const MOST_THREADS: usize = 4;
/// A file that changed less than this before it was read may change again without its time telling.
const SETTLED: Duration = Duration::from_secs(2);

/// The names in one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub definitions: Vec<Definition>,
    /// Each name with how often it stands there.
    pub references: Vec<(Box<str>, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: Box<str>,
    /// Its lines, from 1, both included.
    pub first: u32,
    pub last: u32,
}

/// What was asked for, as far as there was time.
#[derive(Debug, Default)]
pub struct Index {
    pub files: Vec<(String, Arc<Names>)>,
    /// Files that were not reached.
    pub unread: usize,
}

/// What a text is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Buffer(u64),
    File(u64, SystemTime),
}

type Known = HashMap<String, (Key, Arc<Names>)>;
static KNOWN: Mutex<Vec<(PathBuf, Arc<Known>)>> = Mutex::new(Vec::new());

impl Snapshot {
    /// The names in those of `paths` whose language is known, in that order. Blocks on the disk, for about `limit`
    /// at most.
    pub fn names(&self, paths: &[&str], limit: Duration) -> Index {
        let began = Instant::now();
        let open = |path: &&str| Language::of(path).is_some() && self.contains(path);
        let paths: Vec<&str> = paths.iter().copied().filter(open).collect();
        let considered = &paths[..paths.len().min(MOST_FILES)];
        let known = known(&self.root);
        let found = share(considered, |path| {
            let key = self.key(path);
            match (key, known.get(path)) {
                (Some(key), Some((then, names))) if key == *then => Some((Some(key), Arc::clone(names))),
                _ if began.elapsed() > limit => None,
                _ => Some((key, Arc::new(self.read_names(path)))),
            }
        });
        let (mut index, mut fresh) = (Index::default(), Known::new());
        index.unread = paths.len() - considered.len();
        for (path, found) in considered.iter().zip(found) {
            match found {
                Some((key, names)) => {
                    if let Some(key) = key {
                        fresh.insert((*path).to_owned(), (key, Arc::clone(&names)));
                    }
                    index.files.push(((*path).to_owned(), names));
                }
                None => index.unread += 1,
            }
        }
        self.keep(&known, fresh);
        index
    }

    /// Keeps what was read, and what is known of files that were not asked for, as far as there is room.
    fn keep(&self, known: &Known, mut fresh: Known) {
        for (path, entry) in known {
            if fresh.len() < MOST_FILES && !fresh.contains_key(path) && self.contains(path) {
                fresh.insert(path.clone(), entry.clone());
            }
        }
        let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(root, _)| *root != self.root);
        all.truncate(KEPT - 1);
        all.insert(0, (self.root.clone(), Arc::new(fresh)));
    }

    /// `None` for what may change without its key telling.
    fn key(&self, path: &str) -> Option<Key> {
        if let Some(Some(Top { text, .. })) = self.top.get(path) {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            return Some(Key::Buffer(hasher.finish()));
        }
        let metadata = self.root.join(path).symlink_metadata().ok()?;
        let changed = listing::changed(&metadata)?;
        (changed < SystemTime::now() - SETTLED).then_some(Key::File(metadata.len(), changed))
    }

    fn read_names(&self, path: &str) -> Names {
        let text = match self.top.get(path) {
            Some(Some(top)) if top.text.len() as u64 <= MOST_BYTES => Some(Arc::clone(&top.text)),
            Some(_) => None,
            // Not kept in the snapshot, as `text` would: this may be every file that there is.
            None => self
                .load(path, MOST_BYTES)
                .ok()
                .filter(|loaded| !loaded.newer)
                .and_then(|loaded| as_text(path, loaded.bytes).ok()),
        };
        text.map_or_else(Names::default, |text| Names::of(path, &text))
    }
}

impl Names {
    /// The names in a text; none where its language is not known.
    pub fn of(path: &str, text: &str) -> Names {
        let mut names = Names::default();
        let Some(tree) = Language::of(path).and_then(|language| language.parse(text)) else { return names };
        let (mut defined, mut counts) = (HashMap::<&str, usize>::new(), HashMap::<&str, u32>::new());
        for tag in tree.tags() {
            match tag.role {
                Role::Definition if names.definitions.len() < MOST_NAMES => {
                    let same = defined.entry(tag.name).or_insert(0);
                    *same += 1;
                    if *same > OF_ONE_NAME {
                        continue;
                    }
                    let (first, last) = (tag.first as u32, tag.last as u32);
                    names.definitions.push(Definition { name: tag.name.into(), first, last });
                }
                Role::Definition => {}
                Role::Reference => *counts.entry(tag.name).or_default() += 1,
            }
        }
        let mut references: Vec<_> = counts.into_iter().map(|(name, count)| (name.into(), count)).collect();
        references.sort_unstable();
        references.truncate(MOST_NAMES);
        names.references = references;
        names
    }

    pub fn refers_to(&self, name: &str) -> bool {
        self.references.binary_search_by(|(known, _)| (**known).cmp(name)).is_ok()
    }
}

fn known(root: &std::path::Path) -> Arc<Known> {
    let all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|(of, _)| of == root).map(|(_, known)| Arc::clone(known)).unwrap_or_default()
}

/// `task` of every path, in the same order, by several threads where there are many. What comes first is begun
/// first.
fn share<T: Send>(paths: &[&str], task: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    if paths.len() < SHARE || threads < 2 {
        return paths.iter().map(|path| task(path)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { return done };
            done.push((at, task(path)));
        }
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("reading names does not panic")).collect()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Documents;

    const LONG: Duration = Duration::from_secs(60);

    fn files(folder: &std::path::Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn take(folder: &std::path::Path) -> Snapshot {
        Snapshot::take(folder, &Documents::default(), &["drafts/".into()]).unwrap()
    }

    fn defined(index: &Index) -> Vec<String> {
        let definitions = |(path, names): &(String, Arc<Names>)| -> Vec<String> {
            names
                .definitions
                .iter()
                .map(|one| format!("{path}:{}-{} {}", one.first, one.last, one.name))
                .collect()
        };
        index.files.iter().flat_map(definitions).collect()
    }

    #[test]
    fn names_are_read_anew_where_a_text_changed_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        files(
            folder.path(),
            &[("a.py", "def a():\n    b()\n    b()\n"), ("b.py", "def b(): pass\n"), ("c.md", "# c\n")],
        );
        std::thread::sleep(SETTLED + Duration::from_millis(100));
        let snapshot = take(folder.path());
        let first = snapshot.names(&["b.py", "a.py", "c.md"], LONG);
        assert_eq!(defined(&first), ["b.py:1-1 b", "a.py:1-3 a"]);
        assert_eq!(first.files[1].1.references, [("b".into(), 2)]);
        assert!(first.files[1].1.refers_to("b") && !first.files[1].1.refers_to("a"));
        let changed = snapshot.with([("a.py", Some("def new(): pass\n"))]);
        let second = changed.names(&["a.py", "b.py"], LONG);
        assert_eq!(defined(&second), ["a.py:1-1 new", "b.py:1-1 b"]);
        assert!(Arc::ptr_eq(&first.files[0].1, &second.files[1].1), "b.py was not read again");
        assert_eq!(defined(&snapshot.names(&["a.py"], LONG)), ["a.py:1-3 a"]);
    }

    #[test]
    fn what_there_is_no_time_for_is_read_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), &[("a.py", "def a(): pass\n"), ("b.py", "def b(): pass\n")]);
        let snapshot = take(folder.path());
        let none = snapshot.names(&["a.py", "b.py"], Duration::ZERO);
        assert_eq!((none.files.len(), none.unread), (0, 2));
        assert_eq!(snapshot.names(&["a.py", "b.py"], LONG).files.len(), 2);
    }

    #[test]
    fn closed_and_broken_files_have_no_names() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x = 1\n".repeat(30_000);
        files(
            folder.path(),
            &[
                (".gitignore", "out/\n"),
                ("out/a.py", "def ignored(): pass\n"),
                ("drafts/a.py", "def excluded(): pass\n"),
                ("long.py", &format!("def long(): pass\n{long}")),
                ("bad.py", "def f(:\n"),
            ],
        );
        std::fs::write(folder.path().join("binary.py"), b"def b(): pass\n\0").unwrap();
        let snapshot = take(folder.path());
        let all = ["out/a.py", "drafts/a.py", "long.py", "binary.py", "gone.py"];
        assert_eq!(defined(&snapshot.names(&all, LONG)), Vec::<String>::new());
    }
}
