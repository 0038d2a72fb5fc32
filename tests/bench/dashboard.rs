//! How long the dashboard takes to open with 10,000 tasks in history, beside a static file from the same server in the
//! same rounds. `cargo bench --bench dashboard`
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it takes what it needs of what tests and benchmarks share")]

#[path = "../dashboard/sample.rs"]
mod sample;
mod support;

use opendevagent::config::Loaded;
use opendevagent::dashboard::{Dashboard, Desk, Times};
use opendevagent::journal::Files;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Sample, line, load, ratio, times};

const TASKS: usize = 10_000;
const ROUNDS: usize = 50;
/// What a person does not wait for.
const GOAL_MS: f64 = 200.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let began = Instant::now();
    let tasks = sample::fill(&Files::new(path.clone()), TASKS, now).await;
    println!(
        "{TASKS} tasks written in {:.1} s; load {}; median / 95th percentile",
        began.elapsed().as_secs_f64(),
        load()
    );
    let first = cold(&path).await;
    let (dashboard, host, secret) = open(&path).await;
    fetch(&host, &format!("/{secret}/"));
    let pages = [
        ("a static file", "icon.svg".to_owned()),
        ("the first page", String::new()),
        ("a search that finds little", "?q=parser".to_owned()),
        ("a search that finds nothing", "?q=nothing+like+this".to_owned()),
        ("a page in the middle", format!("?before={}", sample::id(TASKS / 2))),
        ("a long task", format!("task/{}", tasks[0])),
    ];
    let mut samples: Vec<Sample> = pages.iter().map(|_| Sample::default()).collect();
    for _ in 0..ROUNDS {
        for ((_, page), sample) in pages.iter().zip(&mut samples) {
            sample.push_time(fetch(&host, &format!("/{secret}/{page}")));
        }
    }
    line("opened for the first time, ticket and all", format!("{first:.1} ms"), "");
    for ((what, _), sample) in pages.iter().zip(&samples) {
        times(what, sample, "");
    }
    ratio("opened for the first time, of 200 ms", first / GOAL_MS, 1.0);
    ratio("the first page, of 200 ms", samples[1].percentile(95) / GOAL_MS, 1.0);
    dashboard.close();
}

/// A new listener on a store that nobody has read yet: until its first page is there.
async fn cold(path: &Path) -> f64 {
    let began = Instant::now();
    let (dashboard, host, secret) = open(path).await;
    fetch(&host, &format!("/{secret}/"));
    let took = began.elapsed();
    dashboard.close();
    took.as_secs_f64() * 1000.0
}

async fn open(path: &Path) -> (Dashboard, String, String) {
    let desk = Desk {
        store: Arc::new(Files::new(path.to_owned())),
        loaded: Box::new(Loaded::default),
        offers: Box::new(|_| Vec::new()),
        act: Arc::new(|_, _| Box::pin(async {})),
    };
    let dashboard = Dashboard::open(desk, Times::default()).await.expect("a free port");
    let link = dashboard.link();
    let (host, path) = link.trim_start_matches("http://").split_once('/').expect("an address has a path");
    let host = host.to_owned();
    let answer = ask(&host, &format!("/{path}"));
    let secret = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("the link is good");
    (dashboard, host, secret.trim_end_matches('/').to_owned())
}

fn fetch(host: &str, path: &str) -> Duration {
    let began = Instant::now();
    let answer = ask(host, path);
    let took = began.elapsed();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    took
}

fn ask(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
