//! How many calls may be on their way, wait, and start per minute. Shared by all tasks of a server; where a team counts
//! together, the calls per minute by all who use the same key.

use crate::link::{Limit, fingerprint};
use crate::model::ModelError;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Calls that may wait for their turn. More are refused: they would only pile up.
const MOST_WAITING: usize = 64;
/// Who waits for a place among the team's calls asks again after so long at most.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Pace {
    /// On their way.
    slots: Semaphore,
    /// On their way or waiting.
    queue: Semaphore,
    per_minute: DefaultDirectRateLimiter,
    together: Option<Together>,
}

/// The count of a team.
struct Together {
    limit: Limit,
    /// The server that is asked.
    server: String,
    per_minute: NonZeroU32,
    /// One of us asks at a time, the others stand in line.
    turn: Mutex<()>,
}

/// A place in the queue and one among those on their way, given back when dropped.
pub(super) struct Place<'a> {
    _queued: SemaphorePermit<'a>,
    _slot: SemaphorePermit<'a>,
}

impl Pace {
    /// `together`: who counts with others, and the server that is asked.
    pub(super) fn new(per_minute: u32, concurrent: usize, together: Option<(Limit, String)>) -> Self {
        let concurrent = concurrent.clamp(1, Semaphore::MAX_PERMITS - MOST_WAITING);
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self {
            slots: Semaphore::new(concurrent),
            queue: Semaphore::new(concurrent + MOST_WAITING),
            per_minute: RateLimiter::direct(Quota::per_minute(per_minute)),
            together: together.map(|(limit, server)| Together {
                limit,
                server,
                per_minute,
                turn: Mutex::default(),
            }),
        }
    }

    /// Waits for a place among the calls on their way.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) async fn enter(&self) -> Result<Place<'_>, ModelError> {
        let full = || {
            ModelError::RateLimited(format!(
                "{MOST_WAITING} calls wait for the model already; wait for running tasks, or raise \
                 limits.concurrentCalls and limits.requestsPerMinute"
            ))
        };
        let queued = self.queue.try_acquire().map_err(|_| full())?;
        let slot = self.slots.acquire().await.map_err(|_| full())?;
        Ok(Place { _queued: queued, _slot: slot })
    }

    /// Waits until a request with `key` may start: a minute's worth may start at once, then one per gap. A waiter that
    /// is dropped takes no place. Where a team cannot count together, this process counts on alone.
    pub(super) async fn start(&self, key: Option<&str>) {
        if let Some(together) = &self.together
            && together.start(key).await
        {
            // Should the team's count be gone soon, this call has taken its place here, too.
            let _ = self.per_minute.check();
            return;
        }
        while let Err(early) = self.per_minute.check() {
            sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}

impl Together {
    /// Waits until a request may start; false when nobody can say.
    async fn start(&self, key: Option<&str>) -> bool {
        let who = fingerprint(key, &self.server);
        let _turn = self.turn.lock().await;
        loop {
            match self.limit.take(&who, self.per_minute.get()).await {
                Ok(None) => return true,
                Ok(Some(wait)) => sleep(wait.min(AGAIN)).await,
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    #[test]
    fn a_burst_passes_and_the_rest_waits() {
        let pace = Pace::new(3, 1, None);
        for _ in 0..3 {
            assert!(pace.per_minute.check().is_ok());
        }
        assert!(pace.per_minute.check().is_err());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_places_come_back() {
        let pace = Pace::new(3, 2, None);
        let held = [pace.enter().await.unwrap(), pace.enter().await.unwrap()];
        let mut waiting = Box::pin(join_all((0..MOST_WAITING).map(|_| pace.enter())));
        assert!(waiting.as_mut().now_or_never().is_none());
        let error = pace.enter().await.err().unwrap().to_string();
        assert!(error.contains("64 calls wait") && error.contains("limits.concurrentCalls"), "{error}");
        drop((waiting, held));
        assert!(pace.enter().await.is_ok());
    }
}
