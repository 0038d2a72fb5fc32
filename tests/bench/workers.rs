//! A team's workers on this machine: how many checks a minute one, two and three of them run, and whether any is lost
//! or answered twice while one is killed every five seconds. `cargo bench --bench workers`
//!
//! Needs Docker, the image for Python and redis-server. The workers are the real program, each with one place; the
//! jobs sleep a little, as checks that wait do, so more workers than processors can still help.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]
#![expect(dead_code, reason = "it takes what it needs of what every benchmark has")]

mod support;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use opendevagent::link::{KEY_ENV, Link};
use opendevagent::sandbox::team::{Remote, Team};
use opendevagent::sandbox::{Job, JobFile, Limits, Sandbox, Status};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{line, load};

const SECRET: &str = "one secret of the whole team";
const JOBS: usize = 200;
/// Jobs of one measurement of throughput.
const SOME: usize = 40;
/// Machines that order, each with as many orders at once as it may have.
const MACHINES: usize = 4;

fn main() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("load {}; {SOME} jobs each, a container for every job", load());
    let mut one = f64::NAN;
    for count in 1..=3 {
        let workers: Vec<Worker> = (0..count).map(|_| Worker::start(&redis)).collect();
        runtime.block_on(run(&redis, count, "warm-up"));
        let began = Instant::now();
        let answers = runtime.block_on(run(&redis, SOME, "throughput"));
        assert_eq!(answers.len(), SOME);
        let rate = SOME as f64 / began.elapsed().as_secs_f64() * 60.0;
        one = if count == 1 { rate } else { one };
        line(
            &format!("{count} workers"),
            format!("{rate:.0} a minute"),
            &format!("× {:.2} of one", rate / one),
        );
        drop(workers);
    }
    let done = Arc::new(AtomicBool::new(false));
    let reaper = std::thread::spawn({
        let (done, address) = (done.clone(), redis.address());
        move || kill_one_every_five_seconds(&address, &done)
    });
    let answers = runtime.block_on(run(&redis, JOBS, "killed"));
    done.store(true, Ordering::Relaxed);
    let deaths = reaper.join().expect("it ends");
    let distinct: BTreeSet<&String> = answers.iter().collect();
    line("jobs, workers killed meanwhile", format!("{JOBS}, {deaths}"), "");
    line(
        "answers, different ones",
        format!("{}, {}", answers.len(), distinct.len()),
        &format!("{JOBS}, {JOBS}"),
    );
    let _ = Command::new(env!("CARGO_BIN_EXE_opendevagent")).args(["sandbox", "prune"]).status();
    assert_eq!((answers.len(), distinct.len()), (JOBS, JOBS));
}

/// Orders so many jobs from several machines at once; what each printed.
async fn run(redis: &Redis, count: usize, name: &str) -> Vec<String> {
    let limits = Limits {
        cpus: 1.0,
        memory_mib: 512,
        network: "none",
        timeout: Duration::from_secs(60),
        pids: 128,
        output_kib: 64,
        scratch_mib: 64,
    };
    let machine = || {
        let link = Link::new(&redis.address(), None, false).sealed(Some(&SECRET.into()));
        let team = Team::new(Arc::new(link)).expect("a team");
        Remote::new(team, limits.clone())
    };
    let machines: Vec<Remote> = (0..MACHINES).map(|_| machine()).collect();
    let mut running = FuturesUnordered::new();
    for number in 0..count {
        let text = format!("sleep 0.3; echo {name} {number}");
        let file = JobFile { path: "job.sh".into(), bytes: text.into_bytes().into(), executable: false };
        let job = Job {
            task: format!("bench-{number}"),
            language: Some("bash".into()),
            files: vec![file],
            argv: ["bash", "job.sh"].map(Into::into).into(),
            ..Job::default()
        };
        running.push(machines[number % MACHINES].run(job));
    }
    let mut answers = Vec::new();
    while let Some(outcome) = running.next().await {
        let outcome = outcome.expect("an answer");
        assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
        answers.push(outcome.stdout);
    }
    answers
}

/// Three workers, one of which is killed every five seconds and replaced. How many were.
fn kill_one_every_five_seconds(address: &str, done: &AtomicBool) -> usize {
    let mut workers: Vec<Worker> = (0..3).map(|_| Worker::at(address)).collect();
    let mut killed = 0;
    while !done.load(Ordering::Relaxed) {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if !done.load(Ordering::Relaxed) {
            drop(workers.remove(0));
            workers.push(Worker::at(address));
            killed += 1;
        }
    }
    killed
}

/// A worker, killed when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(redis: &Redis) -> Self {
        Self::at(&redis.address())
    }

    fn at(address: &str) -> Self {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_opendevagent"));
        worker.args(["worker", "--store", address]).env(KEY_ENV, SECRET);
        worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(worker.spawn().expect("the worker starts"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        let child = server.stdout(Stdio::null()).spawn().expect("redis-server is installed");
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let redis = Self { child, port };
        // The first order would be refused while nobody listens yet; this says that somebody will.
        let alive = ["-p", &port.to_string(), "SET", "{opendevagent}:alive", "1", "EX", "60"];
        let _ = Command::new("redis-cli").args(alive).stdout(Stdio::null()).status();
        redis
    }

    fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
