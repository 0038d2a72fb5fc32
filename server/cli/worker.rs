//! `opendevagent worker`: runs the team's checks on this machine's Docker engine.

use super::{complain, interrupted};
use crate::config::Loaded;
use crate::sandbox::team;
use crate::sandbox::{Sandbox, SandboxError};
use crate::wiring;
use clap::Args;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// The team's Redis; default is `store.url`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Checks run at once.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u8,
}

pub(super) async fn run(args: WorkerArgs, loaded: &Loaded) -> u8 {
    match work(args, loaded).await {
        Ok(()) => 0,
        Err(error) => {
            complain(&format!("opendevagent: {error}"));
            4
        }
    }
}

async fn work(args: WorkerArgs, loaded: &Loaded) -> Result<(), SandboxError> {
    let url = args.store.or_else(|| loaded.settings.store.url.clone()).unwrap_or_default();
    let team = Arc::new(wiring::team(&loaded.settings, &url)?);
    let docker = Arc::new(wiring::docker(&loaded.settings)?);
    complain(&docker.probe().await?);
    docker.sweep().await;
    let stop = CancellationToken::new();
    let signal = tokio::spawn({
        let stop = stop.clone();
        async move {
            interrupted().await;
            stop.cancel();
        }
    });
    let places = usize::from(args.jobs.max(1));
    let served = team::serve(team, docker.clone(), places, stop, &complain).await;
    signal.abort();
    docker.close().await;
    served
}
