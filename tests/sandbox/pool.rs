//! Containers started ahead: used once, replaced, found dead, given up, and never in the way of a job.

use super::{docker_with, eventually, job};
use crate::support::docker_cli;
use opendevagent::sandbox::docker::Docker;
use opendevagent::sandbox::{Job, Sandbox, Status};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

async fn pooled(warm: usize, idle: Duration) -> Option<Docker> {
    docker_with(|options| (options.warm, options.idle) = (warm, idle)).await
}

/// The ids of a sandbox's containers in a state, or in any.
fn containers(label: &str, state: &[&str]) -> Vec<String> {
    let label = format!("label={label}");
    let words = [&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label], state].concat();
    String::from_utf8_lossy(&docker_cli(&words).stdout).lines().map(str::to_owned).collect()
}

/// Waits until the same so many containers, and no others, run for two looks; their ids.
async fn ready(label: &str, many: usize) -> Vec<String> {
    let mut before = Vec::new();
    let settled = || {
        let all = containers(label, &[]);
        let running = containers(label, &["--filter", "status=running"]);
        let settled = all.len() == many && running == all && before == all;
        before = all;
        settled
    };
    eventually(&format!("{many} containers that wait"), settled).await;
    before
}

/// Prints what holds the name of the container's writable layer.
fn whereami() -> Job {
    job(&["cat", "/proc/self/mountinfo"])
}

fn layer(id: &str) -> String {
    let found = docker_cli(&["inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", id]);
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

#[tokio::test]
async fn nothing_waits_before_the_first_job_and_each_container_serves_once() {
    let Some(docker) = pooled(1, LONG).await else { return };
    let label = docker.label();
    docker.ping().await.unwrap();
    assert_eq!(containers(&label, &[]), [""; 0]);
    docker.run(job(&["true"])).await.unwrap();
    for _ in 0..3 {
        let waiting = ready(&label, 1).await;
        let layer = layer(&waiting[0]);
        let outcome = docker.run(whereami()).await.unwrap();
        assert!(outcome.stdout.contains(&layer), "{layer} is not in {}", outcome.stdout);
        eventually("the used container to go", || !containers(&label, &[]).contains(&waiting[0])).await;
    }
    docker.shutdown().await;
    assert_eq!(containers(&label, &[]), [""; 0]);
}

#[tokio::test]
async fn one_that_died_while_it_waited_is_passed_over() {
    let Some(docker) = pooled(2, LONG).await else { return };
    let label = docker.label();
    docker.run(job(&["true"])).await.unwrap();
    let waiting = ready(&label, 2).await;
    docker_cli(&["kill", &waiting[0]]);
    docker_cli(&["rm", "--force", &waiting[1]]);
    let outcome = docker.run(job(&["echo", "here"])).await.unwrap();
    assert_eq!((outcome.status, &*outcome.stdout), (Status::Ok, "here\n"));
    ready(&label, 2).await;
    docker.shutdown().await;
}

#[tokio::test]
async fn one_that_is_on_its_way_is_used() {
    let Some(docker) = pooled(1, LONG).await else { return };
    for number in 0..5 {
        let outcome = docker.run(job(&["echo", &number.to_string()])).await.unwrap();
        assert_eq!(outcome.stdout, format!("{number}\n"));
    }
    ready(&docker.label(), 1).await;
    docker.shutdown().await;
}

#[tokio::test]
async fn what_nobody_asks_for_is_given_up() {
    let Some(docker) = pooled(2, Duration::from_secs(2)).await else { return };
    docker.run(job(&["true"])).await.unwrap();
    eventually("all to be given up", || containers(&docker.label(), &[]).is_empty()).await;
    // And comes back with the next job.
    docker.run(job(&["true"])).await.unwrap();
    eventually("new ones", || !containers(&docker.label(), &[]).is_empty()).await;
    docker.shutdown().await;
}

#[tokio::test]
async fn a_retired_or_dropped_sandbox_keeps_nothing_ready() {
    let Some(docker) = pooled(1, LONG).await else { return };
    docker.run(job(&["true"])).await.unwrap();
    docker.retire().await;
    assert_eq!(containers(&docker.label(), &[]), [""; 0]);
    assert_eq!(docker.run(job(&["true"])).await.unwrap().status, Status::Ok);
    eventually("none to be kept", || containers(&docker.label(), &[]).is_empty()).await;

    let Some(docker) = pooled(2, LONG).await else { return };
    let label = docker.label();
    docker.run(job(&["true"])).await.unwrap();
    drop(docker);
    eventually("none to be left", || containers(&label, &[]).is_empty()).await;
}

/// A second name for the image, gone when dropped.
struct OtherImage(String);

impl OtherImage {
    fn of(image: &str) -> Self {
        let name = format!("opendevagent/other:{}", std::process::id());
        docker_cli(&["tag", image, &name]);
        Self(name)
    }
}

impl Drop for OtherImage {
    fn drop(&mut self) {
        docker_cli(&["rmi", &self.0]);
    }
}

#[tokio::test]
async fn what_waits_makes_room_for_jobs_of_another_kind() {
    let Some(plain) = pooled(0, LONG).await else { return };
    let other = OtherImage::of(&plain.image(None));
    let change = |options: &mut opendevagent::sandbox::docker::DockerOptions| {
        options.warm = 7;
        options.images.insert("python".into(), other.0.clone());
    };
    let Some(docker) = docker_with(change).await else { return };
    let label = docker.label();
    docker.run(job(&["true"])).await.unwrap();
    ready(&label, 7).await;
    let python = || docker.run(Job { language: Some("python".into()), ..job(&["true"]) });
    let outcomes = futures_util::future::join_all((0..3).map(|_| python())).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().status == Status::Ok));
    assert!(containers(&label, &[]).len() <= 8);
    docker.shutdown().await;
    assert_eq!(containers(&label, &[]), [""; 0]);
}

#[tokio::test]
async fn thirty_two_at_once_share_eight_places() {
    let Some(docker) = pooled(1, LONG).await else { return };
    let label = docker.label();
    let jobs = (0..32).map(|number| docker.run(job(&["echo", &number.to_string()])));
    let most = std::cell::Cell::new(0);
    let watch = async {
        loop {
            most.set(most.get().max(containers(&label, &[]).len()));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let outcomes = tokio::select! {
        outcomes = futures_util::future::join_all(jobs) => outcomes,
        never = watch => never,
    };
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().stdout, format!("{number}\n"));
    }
    assert!((1..=8).contains(&most.get()), "{} containers", most.get());
    docker.shutdown().await;
    assert_eq!(containers(&label, &[]), [""; 0]);
}
