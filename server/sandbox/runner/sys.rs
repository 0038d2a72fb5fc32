//! The system calls that the standard library does not offer. Constants are those of x86-64 and arm64.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const PR_SET_DUMPABLE: i32 = 4;
pub(super) const SIGKILL: i32 = 9;
pub(super) const WNOHANG: i32 = 1;
pub(super) const O_NONBLOCK: i32 = 0o4000;
pub(super) const O_NOFOLLOW: i32 = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };
pub(super) const POLLIN: i16 = 1;
pub(super) const POLLOUT: i16 = 4;
const O_CLOEXEC: i32 = 0o2_000_000;
const F_SETFL: i32 = 4;
const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
static SIGCHLD_MASK: [u64; 16] = [1 << 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SYS_CLOSE_RANGE: i64 = 436;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

unsafe extern "C" {
    fn prctl(option: i32, ...) -> i32;
    pub(super) fn kill(pid: i32, signal: i32) -> i32;
    pub(super) fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn fcntl(fd: i32, command: i32, ...) -> i32;
    fn poll(polls: *mut Poll, count: u64, timeout_ms: i32) -> i32;
    fn setsid() -> i32;
    fn signalfd(fd: i32, mask: *const [u64; 16], flags: i32) -> i32;
    fn sigprocmask(how: i32, mask: *const [u64; 16], old: *mut [u64; 16]) -> i32;
    fn syscall(number: i64, ...) -> i64;
}

/// From now on no process of the same user may trace this one, write its memory or open its descriptors.
pub(super) fn hide() {
    // SAFETY: plain integers.
    unsafe { prctl(PR_SET_DUMPABLE, 0) };
}

#[repr(C)]
pub(super) struct Poll {
    fd: RawFd,
    events: i16,
    seen: i16,
}

impl Poll {
    pub(super) fn new(fd: RawFd, events: i16) -> Poll {
        Poll { fd, events, seen: 0 }
    }

    /// Something to read, an error or the other end closed.
    pub(super) fn ready(&self) -> bool {
        self.seen != 0
    }
}

pub(super) fn wait(polls: &mut [Poll], limit: Duration) -> io::Result<()> {
    let timeout = i32::try_from(limit.as_millis() + 1).unwrap_or(i32::MAX);
    // SAFETY: the slice lives and its length is given.
    match unsafe { poll(polls.as_mut_ptr(), polls.len() as u64, timeout) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// A descriptor that becomes readable when a child ends.
pub(super) fn child_signals() -> io::Result<File> {
    // SAFETY: the masks live; the new descriptor is ours.
    unsafe {
        sigprocmask(SIG_BLOCK, &raw const SIGCHLD_MASK, std::ptr::null_mut());
        match signalfd(-1, &raw const SIGCHLD_MASK, O_NONBLOCK | O_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}

pub(super) fn nonblocking(fd: OwnedFd) -> File {
    // SAFETY: the descriptor lives.
    unsafe { fcntl(fd.as_raw_fd(), F_SETFL, O_NONBLOCK) };
    File::from(fd)
}

/// Between fork and exec: a session of its own, first in line for the out-of-memory killer, and nothing
/// open but the three pipes. The adjustment is refused to a process that cannot be dumped.
pub(super) fn become_program() -> io::Result<()> {
    // SAFETY: plain integers, and a mask that lives.
    unsafe {
        setsid();
        prctl(PR_SET_DUMPABLE, 1);
        sigprocmask(SIG_UNBLOCK, &raw const SIGCHLD_MASK, std::ptr::null_mut());
        syscall(SYS_CLOSE_RANGE, 3u32, u32::MAX, CLOSE_RANGE_CLOEXEC);
    }
    // Some engines refuse it; then the killer chooses by size, which is the program all the same.
    std::fs::write("/proc/self/oom_score_adj", "1000").or(Ok(()))
}
