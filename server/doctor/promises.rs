//! The sandbox's promises, put to the proof on this machine: a small hostile job each tries to break them.
//!
//! Two containers, about a second and a half with an engine at rest. A promise that a job could not try (an image
//! without the tool, a job that did not get that far) counts as broken: what is not shown is not claimed.

use crate::sandbox::{Job, Limits, Outcome, Sandbox, SandboxError, Status};
use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

const TASK: &str = "doctor";

/// Those the first job reports itself. `time` and `output` show in how the jobs end.
const PROMISES: [&str; 10] = [
    "memory",
    "network",
    "scratch",
    "work",
    "root",
    "user",
    "privileges",
    "capabilities",
    "sockets",
    "processes",
];

/// What of the promises does not hold; empty: all were kept.
pub(super) async fn broken(sandbox: &dyn Sandbox) -> Result<Vec<&'static str>, SandboxError> {
    let limits = sandbox.limits();
    let shell = |script: String| Job {
        task: TASK.into(),
        argv: ["sh", "-c", &script].map(str::to_owned).into(),
        ..Job::default()
    };
    let sleeper = Job { timeout: Some(Duration::from_secs(1)), ..shell("trap '' TERM; sleep 30".into()) };
    let (tried, slept) = tokio::join!(sandbox.run(shell(script(&limits))), sandbox.run(sleeper));
    Ok(judge(&tried?, &slept?))
}

/// The limits, in words.
pub(super) fn named(limits: &Limits) -> String {
    format!(
        "{} CPUs, {} MiB memory and no swap, {} processes, {} MiB scratch twice, {} KiB of each output, {} s, network {}",
        limits.cpus,
        limits.memory_mib,
        limits.pids,
        limits.scratch_mib,
        limits.output_kib,
        limits.timeout.as_secs(),
        limits.network
    )
}

/// Each line it prints names a promise that was kept. The last one floods the output, which must end it.
fn script(limits: &Limits) -> String {
    let mut script = String::new();
    let mut kept = |promise: &str, test: &str| {
        let _ = writeln!(script, "if {test}; then echo {promise}; fi");
    };
    let bytes = (limits.memory_mib << 20) + (16 << 20);
    kept("memory", &format!("! head -c {bytes} /dev/zero 2>/dev/null | tail -c {bytes} >/dev/null 2>&1"));
    kept("network", "[ -r /proc/net/dev ] && ! grep : /proc/net/dev | grep -qv '^ *lo:'");
    for (promise, place) in [("scratch", "/tmp"), ("work", "/work")] {
        let fill = format!("head -c {} /dev/zero >{place}/fill", (limits.scratch_mib + 1) << 20);
        kept(promise, &format!("! ({fill}) 2>/dev/null; rm -f {place}/fill"));
    }
    kept("root", "! (: >/usr/opendevagent) 2>/dev/null");
    kept("user", "[ \"$(id -u)\" != 0 ]");
    kept("privileges", "grep -q '^NoNewPrivs:.1' /proc/self/status");
    kept("capabilities", "! grep '^Cap' /proc/self/status | grep -q ':.*[1-9a-f]'");
    // 40 is AF_VSOCK, the way to the hypervisor.
    kept("sockets", "perl -e 'exit(socket(my $s, 40, 1, 0) ? 1 : 0)'");
    // The last that needs more processes: from here on there may be none.
    let fork = format!("i=0; while [ $i -lt {} ]; do sleep 9 & i=$((i+1)); done", limits.pids + 16);
    kept("processes", &format!("! ({fork}) >/dev/null 2>&1"));
    script.push_str("exec yes");
    script
}

/// The promises that the two jobs did not see kept.
fn judge(tried: &Outcome, slept: &Outcome) -> Vec<&'static str> {
    let lines: HashSet<&str> = tried.stdout.lines().collect();
    let ends = [
        ("time", slept.status == Status::Timeout),
        ("output", tried.status == Status::OutputLimit && tried.truncated),
        ("memory", tried.oom),
    ];
    let unkept = ends.into_iter().filter(|(_, kept)| !kept).map(|(promise, _)| promise);
    let mut broken: Vec<_> = PROMISES.into_iter().filter(|promise| !lines.contains(promise)).collect();
    broken.extend(unkept);
    broken.sort_unstable();
    broken.dedup();
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: &str, stdout: &str, oom: bool) -> Outcome {
        let status = match status {
            "timeout" => Status::Timeout,
            "output_limit" => Status::OutputLimit,
            _ => Status::Ok,
        };
        Outcome {
            status,
            exit_code: None,
            signal: None,
            stdout: stdout.into(),
            stderr: String::new(),
            truncated: status == Status::OutputLimit,
            oom,
            duration_ms: 1,
            cpu_ms: 1,
            peak_memory_bytes: 1,
            language: None,
            runtime: "runc".into(),
            image: "x".into(),
            error: None,
            artifacts: Vec::new(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn what_was_not_seen_is_broken() {
        let all = PROMISES.join("\n") + "\ny\ny\n";
        let check = |tried: Outcome, slept: &str, expect: &[&str]| {
            assert_eq!(judge(&tried, &outcome(slept, "", false)), expect);
        };
        check(outcome("output_limit", &all, true), "timeout", &[]);
        check(outcome("ok", &all, true), "ok", &["output", "time"]);
        check(outcome("output_limit", &all, false), "timeout", &["memory"]);
        check(outcome("output_limit", &all.replace("network\n", ""), true), "timeout", &["network"]);
    }
}
