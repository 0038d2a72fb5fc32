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

/// Minutes since midnight where the user is; of universal time where the system is not asked.
pub(super) fn minute_of_day() -> u32 {
    #[cfg(unix)]
    // SAFETY: both pointers are to values of our own, which outlive the call; zeros are a valid `tm`.
    unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut local = std::mem::zeroed::<libc::tm>();
        if !libc::localtime_r(&raw const now, &raw mut local).is_null() {
            return (local.tm_hour * 60 + local.tm_min) as u32;
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| (since.as_secs() / 60 % 1440) as u32)
}

/// Gives back what is not in use: freed memory, and the pages of code and constants that only start-up or a past task
/// needed. The system reads those again from the program's file, most often from its cache, when they are touched.
pub(super) fn give_memory_back() {
    // glibc keeps what lies below the top of its heaps; other allocators need no telling.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the callback has the type that the loader calls, and takes no data.
    unsafe {
        libc::dl_iterate_phdr(Some(forget_constant_pages), std::ptr::null_mut());
    }
}

/// Drops the pages of one loaded object that were never written. Writable segments stay: what the loader relocated
/// in them is in no file.
#[cfg(target_os = "linux")]
unsafe extern "C" fn forget_constant_pages(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader gives a description that is valid during the call, with so many headers.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    // SAFETY: takes a plain integer.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for header in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0) {
        let first = (base + header.p_vaddr) as usize & !(page - 1);
        let end = (base + header.p_vaddr + header.p_memsz) as usize;
        // SAFETY: the range is a read-only mapping of a file, so its pages come back as they were. The vDSO, which is
        // none, refuses or gives the same pages again.
        unsafe {
            libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED);
        }
    }
    0
}

/// Has large blocks go straight back when they are freed: glibc otherwise raises its own limit for that with each such
/// block, and keeps what one flood of output took for the next. And has threads share two heaps: a heap for each thread
/// keeps pages of its own.
pub(super) fn keep_heaps_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes plain integers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
