//! One page for every editor: what runs, what was, what it proved and cost. A listener on loopback that exists from the
//! first time somebody asks for it until nobody has looked for a while.
//!
//! It shows and passes wishes on; it decides nothing. What it shows comes from the store, so tasks of other editors and
//! of earlier days are there too.

mod gate;
mod page;
mod route;
mod serve;
mod story;
mod words;

use crate::config::Loaded;
use crate::event::Kind;
use crate::journal::{Query, Row, Store, is_this_server};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a link is good.
const TICKET: Duration = Duration::from_secs(60);
/// How long the listener waits for somebody to look.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How often the store is looked at for what other programs do, while somebody looks.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of an unfinished answer that are shown, from its end.
const SAID: usize = 8 << 10;
/// Changes that come faster are told as one.
const BREATH: Duration = Duration::from_millis(200);

/// What a reader may want done with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Cancel,
    Apply,
    Discard,
}

impl Wish {
    pub const ALL: [Self; 3] = [Self::Cancel, Self::Apply, Self::Discard];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Apply => "apply",
            Self::Discard => "discard",
        }
    }
}

/// Does what is wished; ends when it is done, or under way.
pub type Act = Arc<dyn Fn(Wish, String) -> BoxFuture<'static, ()> + Send + Sync>;

pub type Offers = Box<dyn Fn(&str) -> Vec<Wish> + Send + Sync>;

/// What stands behind the page.
pub struct Desk {
    pub store: Arc<dyn Store>,
    /// The settings in force now.
    pub loaded: Box<dyn Fn() -> Loaded + Send + Sync>,
    /// What this program can do with a task now.
    pub offers: Offers,
    pub act: Act,
}

impl Desk {
    /// What can be done with a task now. Whoever runs it elsewhere can be asked to cancel it; a proposal is for the
    /// editor that has it to apply, before the eyes of who sits there.
    fn wishes(&self, row: &Row) -> Vec<Wish> {
        let own = (self.offers)(&row.id);
        let runs_elsewhere = row.is_running() && !row.interrupted && !is_this_server(&row.server);
        if own.is_empty() && runs_elsewhere { vec![Wish::Cancel] } else { own }
    }
}

/// For how long what is good.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub ticket: Duration,
    pub idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { ticket: TICKET, idle: IDLE }
    }
}

/// A listener that is open. Dropping the handle leaves it open; [`Dashboard::close`] ends it.
#[derive(Clone)]
pub struct Dashboard {
    address: SocketAddr,
    site: Arc<Site>,
}

struct Site {
    desk: Desk,
    gate: gate::Gate,
    idle: Duration,
    used: Mutex<Instant>,
    /// What is being written, by task: the store keeps whole answers only.
    said: Mutex<HashMap<String, Said>>,
    /// Wakes the streams.
    changed: Notify,
    end: CancellationToken,
}

impl Dashboard {
    /// Opens a listener on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(desk: Desk, times: Times) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let site = Arc::new(Site {
            desk,
            gate: gate::Gate::new(times.ticket),
            idle: times.idle,
            used: Mutex::new(Instant::now()),
            said: Mutex::default(),
            changed: Notify::new(),
            end: CancellationToken::new(),
        });
        tokio::spawn(serve::run(listener, Arc::clone(&site)));
        Ok(Self { address, site })
    }

    /// An address to open: good once, for a minute.
    pub fn link(&self) -> String {
        self.site.touch();
        format!("http://{}/?ticket={}", self.address, self.site.gate.ticket())
    }

    /// Hears of a task of this program at once; of others the store tells.
    pub fn hear(&self, task: &str, kind: &Kind) {
        if !self.is_open() {
            return;
        }
        let mut said = self.site.said.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Said { agent, text } => said.entry(task.to_owned()).or_default().add(agent.name(), text),
            Kind::Phase { .. } | Kind::Ended { .. } => drop(said.remove(task)),
            Kind::Waiting { .. } => return,
            _ => {}
        }
        self.site.changed.notify_waiters();
    }

    pub fn is_open(&self) -> bool {
        !self.site.end.is_cancelled()
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        self.site.end.cancelled().await;
    }

    pub fn close(&self) {
        self.site.end.cancel();
    }
}

/// The end of an answer that is being written.
#[derive(Clone, Debug, Default)]
struct Said {
    agent: &'static str,
    text: String,
}

impl Said {
    fn add(&mut self, agent: &'static str, piece: &str) {
        if self.agent != agent {
            *self = Self { agent, text: String::new() };
        }
        self.text.push_str(piece);
        if self.text.len() > 2 * SAID {
            let end = self.text.len();
            let from = (end - SAID..end).find(|at| self.text.is_char_boundary(*at)).unwrap_or(end);
            self.text.drain(..from);
        }
    }
}

impl Site {
    fn said(&self, task: &str) -> Option<Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).get(task).cloned()
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(self: &Arc<Self>) -> Watch {
        Watch { site: Arc::clone(self), seen: None }
    }
}

/// One reader's view of what changes.
struct Watch {
    site: Arc<Site>,
    /// The newest tasks as they were.
    seen: Option<Vec<Row>>,
}

impl Watch {
    /// Waits for a change; false at the end of the site.
    async fn changed(&mut self) -> bool {
        let query = Query { limit: page::list::ROWS, ..Query::default() };
        if self.seen.is_some() {
            tokio::time::sleep(BREATH).await;
        }
        loop {
            let told = self.site.changed.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            // What cannot be read does not change; the page says why.
            let rows = self.site.desk.store.list(&query).await.unwrap_or_default();
            let before = self.seen.replace(rows);
            if before.is_some() && before != self.seen {
                return true;
            }
            tokio::select! {
                () = told => return true,
                () = tokio::time::sleep(LOOK) => {}
                () = self.site.end.cancelled() => return false,
            }
        }
    }
}
