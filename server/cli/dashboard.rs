//! `opendevagent dashboard`: the page without an editor. It shows; nothing can be applied from it.

use super::{complain, interrupted, load, print};
use crate::dashboard::{Dashboard, Desk, Times};
use crate::wiring;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

pub(super) async fn run(overrides: &Value) -> u8 {
    let here = Path::new(".");
    let loaded = load(overrides, Some(here));
    if !loaded.settings.dashboard.enabled {
        complain("opendevagent: the dashboard is switched off; set `dashboard.enabled`");
        return 2;
    }
    let journal = Arc::new(wiring::journal(&loaded.settings));
    let desk = Desk {
        store: journal.store.clone(),
        loaded: Box::new(move || loaded.clone()),
        offers: Box::new(|_| Vec::new()),
        // It runs no task, so there is nothing but to have others cancelled.
        act: Arc::new(move |_, id| {
            let journal = journal.clone();
            // What became of it is seen on the page.
            Box::pin(async move { drop(journal.ask_to_cancel(&id).await) })
        }),
    };
    let dashboard = match Dashboard::open(desk, Times::default()).await {
        Ok(dashboard) => dashboard,
        Err(error) => {
            complain(&format!("opendevagent: no free port for the dashboard: {error}"));
            return 1;
        }
    };
    print(&format!("{}\n", dashboard.link()));
    complain("Open it within a minute. Ctrl-C ends it; so do 15 minutes in which nobody looks.");
    tokio::select! {
        () = interrupted() => dashboard.close(),
        () = dashboard.closed() => {}
    }
    0
}
