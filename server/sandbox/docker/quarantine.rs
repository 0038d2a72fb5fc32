//! Containers the engine could not remove, e.g. because their start hangs in a bad runtime. Nobody waits for
//! them; each new container is a reason to try again, and too many are a reason to make no more.

use super::containers::remove;
use super::{CONTAINERS, SandboxError, fault};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Quarantine(Mutex<Ward>);

#[derive(Default)]
struct Ward {
    ids: BTreeSet<String>,
    trying: bool,
}

impl Quarantine {
    fn ward(&self) -> MutexGuard<'_, Ward> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, id: String) {
        self.ward().ids.insert(id);
    }

    /// Fails when no more containers should be made. Begins to remove those that are here.
    pub(super) fn admit(self: &Arc<Self>, client: &bollard::Docker) -> Result<(), SandboxError> {
        let mut ward = self.ward();
        let stuck = ward.ids.len();
        if stuck > 0 && !std::mem::replace(&mut ward.trying, true) {
            tokio::spawn(self.clone().release(client.clone(), ward.ids.clone()));
        }
        if stuck < CONTAINERS { Ok(()) } else { Err(fault::stuck(stuck)) }
    }

    async fn release(self: Arc<Self>, client: bollard::Docker, ids: BTreeSet<String>) {
        for id in ids {
            if remove(&client, &id).await {
                self.ward().ids.remove(&id);
            }
        }
        self.ward().trying = false;
    }
}
