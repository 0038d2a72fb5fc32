//! How many calls may be on their way, wait, and start per minute. Shared by all tasks of a server.

use crate::model::ModelError;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// Calls that may wait for their turn. More are refused: they would only pile up.
const MOST_WAITING: usize = 64;

pub(super) struct Pace {
    /// On their way.
    slots: Semaphore,
    /// On their way or waiting.
    queue: Semaphore,
    per_minute: DefaultDirectRateLimiter,
}

/// A place in the queue and one among those on their way, given back when dropped.
pub(super) struct Place<'a> {
    _queued: SemaphorePermit<'a>,
    _slot: SemaphorePermit<'a>,
}

impl Pace {
    pub(super) fn new(per_minute: u32, concurrent: usize) -> Self {
        let concurrent = concurrent.clamp(1, Semaphore::MAX_PERMITS - MOST_WAITING);
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self {
            slots: Semaphore::new(concurrent),
            queue: Semaphore::new(concurrent + MOST_WAITING),
            per_minute: RateLimiter::direct(Quota::per_minute(per_minute)),
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

    /// Waits until a request may start: a minute's worth may start at once, then one per gap. A waiter that is
    /// dropped takes no place.
    pub(super) async fn start(&self) {
        while let Err(early) = self.per_minute.check() {
            sleep(early.wait_time_from(DefaultClock::default().now())).await;
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
        let pace = Pace::new(3, 1);
        for _ in 0..3 {
            assert!(pace.per_minute.check().is_ok());
        }
        assert!(pace.per_minute.check().is_err());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_places_come_back() {
        let pace = Pace::new(3, 2);
        let held = [pace.enter().await.unwrap(), pace.enter().await.unwrap()];
        let mut waiting = Box::pin(join_all((0..MOST_WAITING).map(|_| pace.enter())));
        assert!(waiting.as_mut().now_or_never().is_none());
        let error = pace.enter().await.err().unwrap().to_string();
        assert!(error.contains("64 calls wait") && error.contains("limits.concurrentCalls"), "{error}");
        drop((waiting, held));
        assert!(pace.enter().await.is_ok());
    }
}
