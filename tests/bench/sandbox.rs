//! What a sandboxed run costs, beside `docker run` under the same limits and the bare interpreter.
//!
//! `cargo bench --bench sandbox [ROUNDS]` needs a Docker engine on this machine, the image of `opendevagent
//! sandbox build`, and root for the bare interpreter and the memory of containers. Rounds are interleaved, so
//! that all paths see the same machine; only the ratios mean something on another one.
#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(unreachable_pub, reason = "a benchmark exports nothing")]

mod support;
mod workspaces;

use opendevagent::config::Settings;
use opendevagent::sandbox::docker::{Docker, DockerOptions};
use opendevagent::sandbox::{Job, Limits, Sandbox, Status};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Sample, line, ratio, times};

const HELLO: [&str; 3] = ["python3", "-c", "print('hello')"];
const BURST: u32 = 20;
const POOL: usize = 4;

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(30);
    let cold = sandbox(0);
    let image = cold.image(None);
    if !cold.image_present(&image).await.expect("the engine answers") {
        println!("the image {image} is missing; run `opendevagent sandbox build`");
        return;
    }
    println!("{rounds} rounds, load average {}\n", support::load());
    latency(&cold, rounds).await;
    workspaces::workspaces(rounds).await;
    let pool = sandbox(POOL);
    burst(&pool, &image).await;
    idle(&pool).await;
    overrun(&pool).await;
    flood(&pool).await;
    pool.shutdown().await;
    println!("\nload average {}", support::load());
}

fn limits() -> Limits {
    Settings::default().sandbox_limits()
}

fn sandbox(warm: usize) -> Docker {
    let settings = Settings::default().sandbox;
    let idle = Duration::from_secs(600);
    Docker::connect(DockerOptions {
        host: None,
        limits: limits(),
        runtime: settings.runtime,
        images: settings.images,
        setup_network: settings.setup_network,
        streamed: 256,
        warm,
        idle,
    })
    .expect("the usual address is one")
}

fn job(argv: &[&str]) -> Job {
    Job { argv: argv.iter().map(|&word| word.to_owned()).collect(), ..Job::default() }
}

/// Runs to the result; how long that took.
async fn run(docker: &Docker, job: Job, expect: Status) -> Duration {
    let begin = Instant::now();
    let outcome = docker.run(job).await.expect("the sandbox works");
    let time = begin.elapsed();
    assert_eq!(outcome.status, expect, "{outcome:?}");
    time
}

/// Waits until that many containers wait for a job, and the engine has nothing else of ours to do.
async fn ready(docker: &Docker, many: usize) -> Vec<String> {
    let label = format!("label={}", docker.label());
    loop {
        let all = docker_cli(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        let running =
            docker_cli(&["ps", "-q", "--no-trunc", "--filter", &label, "--filter", "status=running"]);
        if all == running && running.lines().count() == many {
            return running.lines().map(str::to_owned).collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn docker_cli(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).stdin(Stdio::null()).output();
    checked(&output.expect("docker is installed"), args)
}

fn checked(output: &Output, args: &[&str]) -> String {
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `docker run` under the limits of the sandbox.
fn docker_run(image: &str) -> Duration {
    let limits = limits();
    let memory = format!("{}m", limits.memory_mib);
    let tmpfs = |path: &str| {
        let options = "rw,nosuid,nodev,exec,nr_inodes=32768,mode=0700,uid=10001,gid=10001";
        format!("--tmpfs={path}:{options},size={}m", limits.scratch_mib)
    };
    let begin = Instant::now();
    let said = docker_cli(&[
        "run",
        "--rm",
        "--network=none",
        &format!("--memory={memory}"),
        &format!("--memory-swap={memory}"),
        "--memory-swappiness=0",
        &format!("--cpus={}", limits.cpus),
        &format!("--pids-limit={}", limits.pids),
        "--read-only",
        &tmpfs("/work"),
        &tmpfs("/tmp"),
        "--shm-size=16m",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges:true",
        "--ipc=private",
        "--user=10001:10001",
        "--ulimit=nofile=1024",
        "--ulimit=core=0",
        "--log-driver=none",
        "--hostname=sandbox",
        "--entrypoint",
        HELLO[0],
        image,
        HELLO[1],
        HELLO[2],
    ]);
    let time = begin.elapsed();
    assert_eq!(said, "hello\n");
    time
}

/// The interpreter of the same image without a container around it: through the root of one that sleeps.
struct Bare(String);

impl Bare {
    fn new(image: &str) -> Self {
        let id = docker_cli(&["run", "-d", "--rm", "--network=none", "--entrypoint", "sleep", image, "3600"]);
        Self(id.trim().to_owned())
    }

    fn run(&self) -> Duration {
        let root = format!("/proc/{}/root", pid(&self.0));
        let begin = Instant::now();
        let output = Command::new("chroot")
            .arg(root)
            .args(HELLO)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .output();
        let time = begin.elapsed();
        assert_eq!(checked(&output.expect("chroot is there, and we are root"), &HELLO), "hello\n");
        time
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        docker_cli(&["kill", &self.0]);
    }
}

/// The process of a container's PID 1, on this machine.
fn pid(id: &str) -> u32 {
    docker_cli(&["inspect", "--format", "{{.State.Pid}}", id]).trim().parse().expect("it runs")
}

async fn latency(cold: &Docker, rounds: usize) {
    let image = cold.image(None);
    let (warm, bare) = (sandbox(1), Bare::new(&image));
    run(&warm, job(&HELLO), Status::Ok).await;
    let (mut engines, mut colds, mut warms, mut bares) =
        (Sample::default(), Sample::default(), Sample::default(), Sample::default());
    for _ in 0..rounds {
        ready(cold, 0).await;
        engines.push_time(docker_run(&image));
        colds.push_time(run(cold, job(&HELLO), Status::Ok).await);
        ready(cold, 0).await;
        ready(&warm, 1).await;
        warms.push_time(run(&warm, job(&HELLO), Status::Ok).await);
        ready(&warm, 1).await;
        bares.push_time(bare.run());
    }
    warm.shutdown().await;
    println!("{:<44} {:>16}", "hello from Python, request to result", "median / p95");
    times("docker run, same limits", &engines, "");
    times("ours, pool empty", &colds, "");
    times("ours, pool warm", &warms, "");
    times("bare interpreter of the same image", &bares, "");
    ratio("pool empty / docker run", colds.median() / engines.median(), 1.0);
    ratio("warm / docker run", warms.median() / engines.median(), 0.12);
    ratio("warm p95 / docker run median", warms.percentile(95) / engines.median(), 0.35);
    ratio("warm / bare interpreter", warms.median() / bares.median(), 2.0);
}

/// Runs back to back, faster than containers can be made.
async fn burst(pool: &Docker, image: &str) {
    run(pool, job(&HELLO), Status::Ok).await;
    ready(pool, POOL).await;
    let begin = Instant::now();
    for _ in 0..BURST {
        run(pool, job(&HELLO), Status::Ok).await;
    }
    let ours = begin.elapsed();
    let begin = Instant::now();
    ready(pool, POOL).await;
    let refilled = begin.elapsed();
    let theirs: Duration = (0..BURST).map(|_| docker_run(image)).sum();
    println!();
    line(&format!("{BURST} runs, pool of {POOL}"), format!("{:.2} s", ours.as_secs_f64()), "");
    line(&format!("{BURST} docker runs"), format!("{:.2} s", theirs.as_secs_f64()), "");
    line("pool full again after", format!("{:.2} s", refilled.as_secs_f64()), "");
    ratio("runs / docker runs", ours.as_secs_f64() / theirs.as_secs_f64(), 1.0);
}

/// What a waiting container holds: its runner, its shim and what the kernel counts for it.
async fn idle(pool: &Docker) {
    let containers = ready(pool, POOL).await;
    let mut held = Sample::default();
    for id in &containers {
        let runner = pid(id);
        let status = std::fs::read_to_string(format!("/proc/{runner}/status")).unwrap_or_default();
        let shim = field(&status, "PPid:");
        held.push((share(runner.into()) + share(shim)) / 1024.0);
    }
    println!();
    ratio("MiB of a waiting container (shim, runner)", held.median(), 5.0);
}

/// The process's share of its memory, in KiB.
fn share(pid: u64) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    field(&rollup, "Pss:") as f64
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let number =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no {name}; this needs Linux and root"))
}

async fn overrun(pool: &Docker) {
    let limit = Duration::from_secs(1);
    let mut late = Sample::default();
    for _ in 0..5 {
        ready(pool, POOL).await;
        let endless = Job { timeout: Some(limit), ..job(&["sleep", "60"]) };
        let time = run(pool, endless, Status::Timeout).await;
        late.push(time.saturating_sub(limit).as_secs_f64());
    }
    ratio("seconds from the time limit to the verdict", late.percentile(100), 0.3);
}

/// How far this process, which is the server here, grows while programs write without end for five seconds.
async fn flood(pool: &Docker) {
    let flood = || job(&["sh", "-c", "yes >&2 & exec yes"]);
    run(pool, flood(), Status::OutputLimit).await;
    // Begins a new high-water mark.
    std::fs::write("/proc/self/clear_refs", "5").expect("this is Linux");
    let status = || std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let before = field(&status(), "VmRSS:");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        run(pool, flood(), Status::OutputLimit).await;
    }
    let grown = field(&status(), "VmHWM:").saturating_sub(before);
    ratio("MiB grown during 5 s of output floods", grown as f64 / 1024.0, 8.0);
}
