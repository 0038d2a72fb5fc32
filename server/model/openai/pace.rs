//! Requests per minute: a minute's worth may come at once, then one per gap (GCRA).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Pace {
    gap: Duration,
    /// When the next request would come if all came evenly.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { gap: MINUTE / per_minute.max(1), due: Mutex::new(None) }
    }

    /// Takes the next place, and tells how long to wait for it.
    pub(super) fn reserve(&self, now: Instant) -> Duration {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = due.map_or(now, |due| due.max(now));
        *due = Some(mine + self.gap);
        mine.saturating_duration_since(now + MINUTE.saturating_sub(self.gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_comes_evenly() {
        let pace = Pace::new(3);
        let now = Instant::now();
        let waits: Vec<_> = (0..5).map(|_| pace.reserve(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 20, 40]);
        assert_eq!(pace.reserve(now + 10 * MINUTE).as_secs(), 0);
    }
}
