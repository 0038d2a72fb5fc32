//! What the container used, read from its control group (version 2, then 1).

use std::fs;

pub(super) fn oom_kills() -> u64 {
    field("/sys/fs/cgroup/memory.events", "oom_kill")
        .or_else(|| field("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"))
        .unwrap_or(0)
}

pub(super) fn cpu_us() -> u64 {
    field("/sys/fs/cgroup/cpu.stat", "usage_usec")
        .or_else(|| Some(number("/sys/fs/cgroup/cpuacct/cpuacct.usage")? / 1000))
        .unwrap_or(0)
}

pub(super) fn peak_bytes() -> u64 {
    number("/sys/fs/cgroup/memory.peak")
        .or_else(|| number("/sys/fs/cgroup/memory/memory.max_usage_in_bytes"))
        .unwrap_or(0)
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
