//! The images that were made for workspaces: which there are, and which nobody needs any more.

use super::derived::{FROM, KIND, SOURCES, WORKSPACE};
use super::{CALL, Docker, SLOW_CALL, SandboxError, within};
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// One of our images.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Made {
    pub name: String,
    /// `runnable`, `prepared` or `devcontainer`.
    pub kind: String,
    /// The image it was made from.
    pub from: String,
    /// The folder whose dependencies it holds, and the files that name them; empty for the other kinds.
    pub workspace: String,
    pub sources: String,
    /// Seconds after 1970.
    pub created: u64,
    pub size_mib: u64,
}

impl Docker {
    /// All of them, the newest first.
    pub async fn images(&self) -> Result<Vec<Made>, SandboxError> {
        let client = self.client().await?;
        let filters = HashMap::from([("label", vec![KIND])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = within(CALL, "listing images", client.list_images(Some(options))).await?;
        let mut made: Vec<Made> = found
            .into_iter()
            .filter_map(|image| {
                let label = |name: &str| image.labels.get(name).cloned().unwrap_or_default();
                Some(Made {
                    name: image.repo_tags.first().cloned()?,
                    kind: label(KIND),
                    from: label(FROM),
                    workspace: label(WORKSPACE),
                    sources: label(SOURCES),
                    created: image.created.try_into().unwrap_or_default(),
                    size_mib: image.size.try_into().unwrap_or(0_u64) >> 20,
                })
            })
            .collect();
        made.sort_by_key(|image| std::cmp::Reverse(image.created));
        Ok(made)
    }

    /// Removes those that are older than `age`, or that a newer one stands for; answers how many. One in use stays.
    pub async fn prune_images(&self, age: Duration) -> Result<usize, SandboxError> {
        let client = self.client().await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let made = self.images().await?;
        let mut removed = 0;
        for image in unneeded(&made, now.saturating_sub(age).as_secs()) {
            let call = client.remove_image(&image.name, None::<RemoveImageOptions>, None);
            removed += usize::from(matches!(timeout(SLOW_CALL, call).await, Ok(Ok(_))));
        }
        Ok(removed)
    }
}

/// Those made before `oldest`, and those whose workspace has a newer one of the same sources and origin. What is made
/// from others comes first, so that those can go too.
fn unneeded(made: &[Made], oldest: u64) -> Vec<&Made> {
    let same =
        |a: &Made, b: &Made| (&a.workspace, &a.sources, &a.from) == (&b.workspace, &b.sources, &b.from);
    let superseded = |image: &Made| {
        image.kind == "prepared"
            && made.iter().any(|newer| same(newer, image) && newer.created > image.created)
    };
    made.iter().filter(|image| image.created < oldest || superseded(image)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_superseded_images_are_not_needed() {
        let image = |name: &str, kind: &str, workspace: &str, created| Made {
            name: name.into(),
            kind: kind.into(),
            from: "base".into(),
            workspace: workspace.into(),
            sources: "requirements.txt".into(),
            created,
            size_mib: 1,
        };
        let made = [
            image("new", "prepared", "/a", 30),
            image("other", "prepared", "/b", 20),
            image("old", "prepared", "/a", 20),
            image("base", "runnable", "", 20),
            image("ancient", "runnable", "", 1),
        ];
        let names: Vec<_> = unneeded(&made, 10).iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["old", "ancient"]);
    }
}
