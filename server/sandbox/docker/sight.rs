//! Which jobs see their workspace itself, and which get its files sent: whether the engine can is tried once.

use super::engine::{Scheme, scheme};
use super::overlay::{self, View};
use super::{Docker, EngineInfo, Job, Surroundings, discovery};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Sight {
    /// Why this engine cannot have views, once that is known.
    known: Mutex<Option<Result<(), String>>>,
    /// The last view of each workspace.
    views: Arc<Mutex<HashMap<PathBuf, Arc<View>>>>,
}

impl Sight {
    fn known(&self) -> MutexGuard<'_, Option<Result<(), String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that the engine cannot have views.
    pub(super) fn refuse(&self, why: String) {
        *self.known() = Some(Err(why));
    }

    /// Gives all views up; each goes with its last container.
    pub(super) fn close(&self) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Docker {
    /// How workspaces come to programs, for people.
    pub(super) async fn sees(&self) -> Result<(), String> {
        if let Some(known) = &*self.sight.known() {
            return known.clone();
        }
        // What an engine that does not answer can do is not known yet.
        let engine = self.ping().await.map_err(|error| error.to_string())?;
        let found = self.shares_files(&engine);
        self.sight.known().insert(found).clone()
    }

    /// Whether the engine has the same files as we do.
    fn shares_files(&self, engine: &EngineInfo) -> Result<(), String> {
        let host = self.options.host.clone().or_else(|| discovery::find(&Surroundings::real()));
        let local = cfg!(target_os = "linux")
            && host
                .as_deref()
                .and_then(|host| scheme(host).ok())
                .is_some_and(|scheme: Scheme<'_>| scheme.is_socket());
        if !local || engine.rootless || engine.os.contains("Docker Desktop") {
            return Err("the engine does not run as root on this machine".into());
        }
        Ok(())
    }

    /// The view a job's workspace is seen through, where there can be one and it is worth a container of its own.
    pub(super) async fn view(&self, job: &Job) -> Option<Arc<View>> {
        let limit = self.options.streamed;
        let wanted =
            |workspace: &_| limit < usize::MAX && !crate::workspace::Snapshot::is_small(workspace, limit);
        let workspace = job.workspace.clone().filter(wanted)?;
        self.sees().await.ok()?;
        let (views, owner) = (self.sight.views.clone(), self.owner.clone());
        let making = tokio::task::spawn_blocking(move || {
            let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
            let last = views.get(&workspace.root).cloned();
            let view = View::of(&workspace, &owner, last).ok();
            match &view {
                Some(view) => views.insert(workspace.root, view.clone()),
                None => views.remove(&workspace.root),
            };
            view
        });
        making.await.ok().flatten()
    }

    /// Removes what views have left on this machine: of this process, or of dead ones.
    pub(super) async fn tidy(&self, own: bool) {
        let owner = self.owner.clone();
        let tidying = move || if own { overlay::close(&owner) } else { overlay::sweep() };
        let _ = tokio::task::spawn_blocking(tidying).await;
    }
}
