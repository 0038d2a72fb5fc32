//! What the server asks of the operating system: whether the editor still lives, and to take freed memory back.

/// Ends when the process is gone. Never, where there is no such process or the system cannot watch one: the editor
/// may be on another machine, and then only the end of the input counts.
#[cfg(target_os = "linux")]
pub(super) async fn process_end(process: u32) {
    use std::os::fd::{FromRawFd, OwnedFd};
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: plain integers go in; what comes back is a descriptor of our own, which the reactor then owns.
    let watched = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0);
        (fd >= 0)
            .then(|| AsyncFd::register_with_interest(OwnedFd::from_raw_fd(fd as i32), Interest::READABLE))
    };
    match watched {
        Some(Ok(watched)) if watched.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) async fn process_end(_process: u32) {
    std::future::pending().await
}

/// Gives freed memory back to the system. glibc keeps what lies below the top of its heaps; other allocators need no
/// telling.
pub(super) fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has large blocks go straight back when they are freed. glibc otherwise raises its own limit for that with each such
/// block, and keeps what one flood of output took for the next.
pub(super) fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes plain integers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}
