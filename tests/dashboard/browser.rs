//! The page in a real Chromium: what people see and what hostile pages may not.

use super::{Site, now, sample};
use crate::support::{project, skipped};
use opendevagent::dashboard::{Times, Wish};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn people_see_it_and_other_pages_do_not() {
    let packages = project().join("tests/dashboard/node_modules");
    if !packages.is_dir() {
        return skipped("run `npm ci` in tests/dashboard, and have Chromium");
    }
    // The second link is opened last, and the machine may be slow.
    let site = Site::open(120, Times { ticket: Duration::from_secs(3600), ..Times::default() }).await;
    let pictures = project().join("target/dashboard");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut browser = Command::new("node")
        .arg(project().join("tests/dashboard/browser.mjs"))
        .args([site.dashboard.link(), site.dashboard.link()])
        .arg(&pictures)
        .args(&site.tasks)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("node can be started");
    let mut said = String::new();
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == "waiting for the end of the running task" {
            site.store.append(&site.tasks[2], sample::end(now()), true).await.unwrap();
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert!(browser.wait().await.unwrap().success(), "{said}");
    assert!(said.ends_with("dashboard: all seen\n"), "{said}");
    assert_eq!(
        *site.wishes.lock().unwrap(),
        [(Wish::Discard, site.tasks[0].clone())],
        "one click, and nobody else's"
    );
}
