//! `opendevagent sandbox setup`, and how the shell asks before anything is installed.

use super::{complain, engine, print};
use crate::agent::dependencies::{Consent, Wish};
use crate::config::Loaded;
use crate::sandbox::docker::Docker;
use crate::sandbox::setup;
use crate::sandbox::{Sandbox, SandboxError};
use crate::workspace::{Documents, Snapshot};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Asks at the terminal; without one the answer is no.
pub(super) fn consent() -> Consent {
    Arc::new(|wish: Wish| {
        Box::pin(async move {
            // A thread of its own: reading a line cannot be interrupted.
            tokio::task::spawn_blocking(move || engine::agreed(&wish.question, false)).await.unwrap_or(false)
        })
    })
}

/// Installs what the workspace's lock files name, for the checks of later tasks. Prints the images.
pub(super) async fn run(
    docker: &Docker,
    loaded: &Loaded,
    root: &Path,
    yes: bool,
) -> Result<u8, SandboxError> {
    let snapshot = match Snapshot::take(root, &Documents::default(), &loaded.settings.context.exclude) {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(super::usage(&format!("{}: {error}", root.display()))),
    };
    let setups = setup::plans(&snapshot, loaded.settings.sandbox.setup.as_deref());
    if setups.is_empty() {
        complain("This workspace names no dependencies: no lock file or manifest was found that lists any.");
        return Ok(0);
    }
    let (mut images, mut agreed, mut refused) = (BTreeSet::new(), BTreeSet::new(), false);
    for setup in setups {
        let wish = Wish::of(&setup);
        let image = match docker.prepared(&setup).await? {
            Some(image) => image,
            // The same for two languages, on two images: asked once.
            None if agreed.contains(&wish.key) || engine::agreed(&wish.question, yes) => {
                agreed.insert(wish.key);
                docker.prepare("setup", &setup, &complain).await?
            }
            None => {
                refused = true;
                continue;
            }
        };
        if images.insert(image.clone()) {
            print(&format!("{image}\n"));
        }
    }
    Ok(u8::from(refused))
}
