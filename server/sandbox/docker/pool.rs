//! Containers started ahead, so that a job finds one that waits for it. One use each.
//!
//! ```text
//! take ── the oldest of its kind, waiting or on its way (none: the caller starts one)
//! refill ── starts what is missing to `warm` of a kind, once a job has used one
//! retire ── gives all up
//! ```
//!
//! Nothing is there before the first job, and what no job asked for for a while is given up again. To give a
//! container up is to drop it.

use super::container::{Spec, Starting};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

pub(super) struct Pool {
    /// Containers of each kind.
    warm: usize,
    /// How long they are kept without a job for them.
    idle: Duration,
    stocks: Mutex<Stocks>,
}

#[derive(Default)]
struct Stocks {
    of: HashMap<Spec, Stock>,
    /// A task waits to clear the stocks that nobody uses.
    watched: bool,
    retired: bool,
}

struct Stock {
    containers: VecDeque<Starting>,
    /// When a job last asked.
    used: Instant,
}

impl Pool {
    pub(super) fn new(warm: usize, idle: Duration) -> Arc<Pool> {
        Arc::new(Pool { warm, idle, stocks: Mutex::default() })
    }

    fn stocks(&self) -> MutexGuard<'_, Stocks> {
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, spec: &Spec) -> Option<Starting> {
        let mut stocks = self.stocks();
        let stock = stocks.of.get_mut(spec)?;
        stock.used = Instant::now();
        stock.containers.pop_front()
    }

    /// Calls `start` for every container that is missing, until it gives none.
    pub(super) fn refill(self: &Arc<Self>, spec: &Spec, mut start: impl FnMut() -> Option<Starting>) {
        let mut stocks = self.stocks();
        if self.warm == 0 || stocks.retired {
            return;
        }
        if !std::mem::replace(&mut stocks.watched, true) {
            tokio::spawn(clear(Arc::downgrade(self), Instant::now() + self.idle));
        }
        let empty = || Stock { containers: VecDeque::new(), used: Instant::now() };
        let stock = stocks.of.entry(spec.clone()).or_insert_with(empty);
        while stock.containers.len() < self.warm {
            let Some(starting) = start() else { break };
            stock.containers.push_back(starting);
        }
    }

    /// Gives one up, of the kind that was not asked for the longest.
    pub(super) fn make_room(&self) {
        let mut stocks = self.stocks();
        let stocked = stocks.of.values_mut().filter(|stock| !stock.containers.is_empty());
        let given_up = stocked.min_by_key(|stock| stock.used).and_then(|stock| stock.containers.pop_front());
        drop((stocks, given_up));
    }

    /// Gives all up, for good. The caller sees to it that they go.
    pub(super) fn retire(&self) -> Vec<Starting> {
        let mut stocks = self.stocks();
        stocks.retired = true;
        stocks.of.drain().flat_map(|(_, stock)| stock.containers).collect()
    }

    /// Clears the stocks that nobody uses; gives the time to look again, if any is left.
    fn clear(&self) -> Option<Instant> {
        let mut stocks = self.stocks();
        let now = Instant::now();
        let unused = stocks.of.extract_if(|_, stock| stock.used + self.idle <= now);
        let unused: Vec<_> = unused.collect();
        let next = stocks.of.values().map(|stock| stock.used + self.idle).min();
        stocks.watched = next.is_some();
        drop((stocks, unused));
        next
    }
}

/// Ends when the pool is gone or empty.
async fn clear(pool: Weak<Pool>, first: Instant) {
    let mut next = Some(first);
    while let Some(time) = next {
        sleep_until(time).await;
        next = pool.upgrade().and_then(|pool| pool.clear());
    }
}
