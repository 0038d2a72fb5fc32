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
    let store = wiring::store(&loaded.settings);
    let desk = Desk {
        store,
        loaded: Box::new(move || loaded.clone()),
        offers: Box::new(|_| Vec::new()),
        act: Arc::new(|_, _| Box::pin(async {})),
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
