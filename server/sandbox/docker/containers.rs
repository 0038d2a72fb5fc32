//! The containers that are there: finding ours by their labels, and removing them.

use super::{CALL, OWNER, SLOW_CALL, TASK};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions,
};
use futures_util::future::join_all;
use std::collections::HashMap;
use tokio::time::timeout;

/// True when the container is gone. One that another removes at the same time counts.
pub(super) async fn remove(client: &bollard::Docker, id: &str) -> bool {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match timeout(SLOW_CALL, client.remove_container(id, Some(options))).await {
        Ok(Ok(())) => true,
        Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code, .. })) => {
            matches!(status_code, 404 | 409)
        }
        _ => false,
    }
}

/// Removes the containers with a label (`key` or `key=value`) whose owner fits; answers how many.
pub(super) async fn remove_where(
    client: &bollard::Docker,
    label: &str,
    fits: impl Fn(&str) -> bool,
) -> usize {
    let Ok(Ok(found)) = timeout(CALL, listed(client, label)).await else { return 0 };
    let unwanted = found.into_iter().filter(|container| fits(&container.owner));
    let removed =
        join_all(unwanted.map(|container| async move { remove(client, &container.id).await })).await;
    removed.into_iter().filter(|done| *done).count()
}

/// Removes the volumes with a label whose owner fits: those that an engine that died did not remove with their
/// containers.
pub(super) async fn remove_volumes(client: &bollard::Docker, label: &str, fits: impl Fn(&str) -> bool) {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let Ok(Ok(found)) = timeout(CALL, client.list_volumes(Some(options))).await else { return };
    for volume in found.volumes.unwrap_or_default() {
        if volume.labels.get(label).is_some_and(|owner| fits(owner)) {
            let _ = timeout(CALL, client.remove_volume(&volume.name, None::<RemoveVolumeOptions>)).await;
        }
    }
}

/// One of our containers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed {
    pub id: String,
    pub owner: String,
    pub task: String,
    /// The engine's word for it: `running`, `exited`, …
    pub state: String,
}

pub(super) async fn listed(
    client: &bollard::Docker,
    label: &str,
) -> Result<Vec<Listed>, bollard::errors::Error> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let found = client.list_containers(Some(options)).await?;
    Ok(found
        .into_iter()
        .filter_map(|container| {
            let labels = container.labels.unwrap_or_default();
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            let state = container.state.map(|state| state.to_string()).unwrap_or_default();
            Some(Listed { id: container.id?, owner: label(OWNER), task: label(TASK), state })
        })
        .collect())
}
