//! The list of what one server serves: kept in memory and in the cache folder, refreshed behind an answer at most once
//! a day. A server that has none is no fault.

use super::local::fetch;
use crate::model::list::{List, Listed};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A server is asked once in so long, whatever it answers.
const BETWEEN: Duration = Duration::from_secs(24 * 60 * 60);
/// How long its list may take: nobody waits for it.
const LIMIT: Duration = Duration::from_secs(30);
/// No list is so long that it is worth more.
const MOST_BYTES: u64 = 8 << 20;

/// The list of one server; a clone is the same one.
#[derive(Clone)]
pub(super) struct Listing(Arc<Inner>);

struct Inner {
    server: String,
    /// Where it is kept, if it is to be.
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    list: Option<Arc<List>>,
    /// The file was read.
    is_read: bool,
    asked: Option<Instant>,
    /// Ids that the list lacks, which was told.
    told: HashSet<String>,
}

impl Listing {
    /// `folder` holds the lists of all servers, one file each. Touches neither disk nor network.
    pub(super) fn new(server: &str, folder: Option<PathBuf>) -> Self {
        let name: String = server.split("://").last().unwrap_or(server).to_owned();
        let name: String =
            name.chars().map(|c| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '_' }).collect();
        let file = folder.map(|folder| folder.join(name.trim_matches('_').to_owned() + ".json"));
        Self(Arc::new(Inner { server: server.to_owned(), file, state: Mutex::default() }))
    }

    pub(super) fn server(&self) -> &str {
        &self.0.server
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The list, while it is not too old to say anything.
    pub(super) fn known(&self) -> Option<Arc<List>> {
        self.with(|state| {
            if !std::mem::replace(&mut state.is_read, true) {
                state.list = self.read().map(Arc::new);
            }
            state.list.clone()
        })
        .filter(|list| list.is_of_use(SystemTime::now()))
    }

    pub(super) fn fresh(&self) -> Option<Arc<List>> {
        self.known().filter(|list| list.is_fresh(SystemTime::now()))
    }

    /// What is known of `model`.
    pub(super) fn find(&self, model: &str) -> Option<Listed> {
        self.known()?.find(model).cloned()
    }

    /// Whether the list lacks `model` and nobody was told yet.
    pub(super) fn lacks(&self, model: &str) -> bool {
        self.fresh().is_some_and(|list| !list.knows(model))
            && self.with(|state| state.told.insert(model.to_owned()))
    }

    /// What may be meant by `model`.
    pub(super) fn nearest(&self, model: &str) -> Option<String> {
        self.known()?.nearest(model).map(str::to_owned)
    }

    /// Whether it is time to ask. Says so once.
    fn is_due(&self) -> bool {
        self.0.file.is_some()
            && self.fresh().is_none()
            && self.with(|state| {
                let is_due = state.asked.is_none_or(|asked| asked.elapsed() >= BETWEEN);
                if is_due {
                    state.asked = Some(Instant::now());
                }
                is_due
            })
    }

    /// Asks in the background, if it is time to. Nothing is said when that fails: nothing depends on it.
    pub(super) fn refresh(&self, request: impl FnOnce() -> Option<reqwest::RequestBuilder>) {
        if !self.is_due() {
            return;
        }
        let Some(request) = request() else { return };
        let listing = self.clone();
        tokio::spawn(async move {
            let answer = fetch(request, LIMIT).await;
            if let Some(list) = List::read(&listing.0.server, &answer, SystemTime::now()) {
                listing.take(list);
            }
        });
    }

    /// Takes over what the server has said, and keeps it where it can be kept.
    pub(super) fn take(&self, list: List) -> Arc<List> {
        let list = Arc::new(list);
        self.with(|state| {
            state.is_read = true;
            state.list = Some(list.clone());
        });
        // A cache that cannot be written costs a request tomorrow, nothing else.
        let _ = self.write(&list);
        list
    }

    fn read(&self) -> Option<List> {
        let file = self.0.file.as_ref()?;
        let size = std::fs::metadata(file).ok()?.len();
        let text = (size <= MOST_BYTES).then(|| std::fs::read(file).ok())??;
        let list: List = serde_json::from_slice(&text).ok()?;
        // Two addresses may share a file's name.
        (list.server == self.0.server).then_some(list)
    }

    /// Whole or not at all: other servers of this user read the file.
    fn write(&self, list: &List) -> io::Result<()> {
        let Some(file) = &self.0.file else { return Ok(()) };
        std::fs::create_dir_all(file.parent().unwrap_or(file))?;
        let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let written = std::fs::write(&temporary, serde_json::to_vec(list)?)
            .and_then(|()| std::fs::rename(&temporary, file));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(server: &str, age: u64) -> List {
        let now = SystemTime::now() - Duration::from_secs(age);
        List::read(server, &json!({"data": [{"id": "openai/gpt-4o"}]}), now).unwrap()
    }

    #[test]
    fn what_was_fetched_is_there_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let listing = |server: &str| Listing::new(server, Some(folder.path().join("models")));
        let server = "https://openrouter.ai/api/v1";
        assert_eq!(listing(server).known(), None);
        listing(server).take(list(server, 0));
        let names: Vec<_> = std::fs::read_dir(folder.path().join("models")).unwrap().flatten().collect();
        assert_eq!(
            names.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(),
            ["openrouter.ai_api_v1.json"]
        );
        assert!(listing(server).find("openai/gpt-4o:free").is_some());
        assert!(!listing(server).is_due(), "it is fresh");
        assert_eq!(listing("http://openrouter.ai/api/v1").known(), None, "another server's");
        std::fs::write(names[0].path(), "{").unwrap();
        assert_eq!(listing(server).known(), None, "half of a list is none");
    }

    #[test]
    fn a_server_is_asked_once_a_day_and_never_without_a_cache() {
        let folder = tempfile::tempdir().unwrap();
        let listing = Listing::new("s", Some(folder.path().into()));
        listing.take(list("s", 2 * 86_400));
        assert!(listing.known().is_some() && !listing.lacks("openai/gpt-4p"), "too old to complain");
        assert!(listing.is_due());
        assert!(!listing.is_due(), "it was just asked");
        assert!(!Listing::new("s", None).is_due());
    }

    #[test]
    fn a_missing_model_is_told_once() {
        let listing = Listing::new("s", None);
        listing.take(list("s", 0));
        assert!(!listing.lacks("openai/gpt-4o"));
        assert!(listing.lacks("openai/gpt-4p") && !listing.lacks("openai/gpt-4p"));
        assert_eq!(listing.nearest("openai/gpt-4p").as_deref(), Some("openai/gpt-4o"));
        assert_eq!(listing.nearest("x-ai/grok"), None);
    }
}
