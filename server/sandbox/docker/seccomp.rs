//! Which system calls a program may make, rendered to the profile the engine puts before it.
//!
//! An engine's own default serves containers of every kind; this one serves programs without capabilities. So it
//! knows no exceptions for privileged ones, and leaves out what compilers, interpreters and test runners do without
//! and what kernels were attacked through: tracing and reading other processes, `io_uring`, keyrings, BPF,
//! `userfaultfd`, performance counters, namespaces, mounts, file handles, clocks, and sockets of odd families.
//! Names that an architecture or an engine does not know are passed over.

use serde::Serialize;
use serde_json::{Value, json};

/// What is not named here is refused with `EPERM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seccomp {
    /// Names, some to a line.
    pub system_calls: &'static [&'static str],
    /// Name, address family, and protocol where not all are allowed.
    pub sockets: &'static [(&'static str, u64, Option<u64>)],
}

pub(super) const SECCOMP: Seccomp = Seccomp {
    system_calls: &[
        // Files and folders.
        "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2",
        "fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync flock fstat fstatfs",
        "fsync ftruncate futimesat getcwd getdents getdents64 ioctl lchown link linkat lseek lstat mkdir mkdirat",
        "mknod mknodat newfstatat open openat openat2 readahead readlink readlinkat rename renameat renameat2 rmdir",
        "stat statfs statx symlink symlinkat sync_file_range syncfs truncate umask unlink unlinkat utime utimensat",
        "utimes cachestat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch",
        "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr",
        "removexattr setxattr",
        // Reading, writing, waiting for either.
        "pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv sendfile splice tee vmsplice write",
        "writev epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll",
        "ppoll pselect6 select io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
        // Memory.
        "brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock",
        "munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages map_shadow_stack",
        // Processes and threads; `clone` and `prlimit64` have rules of their own.
        "execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list",
        "get_thread_area getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid",
        "getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill pause pidfd_open",
        "pidfd_send_signal prctl process_mrelease restart_syscall rseq rt_sigaction rt_sigpending",
        "rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max",
        "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler",
        "sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield",
        "set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority",
        "setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack signalfd signalfd4 tgkill tkill",
        "vfork wait4 waitid arch_prctl capget capset landlock_add_rule landlock_create_ruleset",
        "landlock_restrict_self seccomp",
        // Time.
        "alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create",
        "timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times",
        // Sockets, once they are made, and what System V and POSIX offer between processes.
        "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg",
        "sendmsg sendto setsockopt shutdown mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink",
        "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget",
        // The machine.
        "getrandom sysinfo uname",
    ],
    // Routing messages are how runtimes list the interfaces.
    sockets: &[("unix", 1, None), ("inet", 2, None), ("inet6", 10, None), ("netlink route", 16, Some(0))],
};

/// `CLONE_NEW…`: each makes a namespace.
const NAMESPACES: u64 = 0x7e02_0000;
const ENOSYS: u32 = 38;

impl Seccomp {
    /// The profile as text, the way the engine takes it.
    pub(super) fn profile(&self) -> String {
        let names: Vec<&str> = self.system_calls.iter().flat_map(|line| line.split(' ')).collect();
        let equal = |index: u64, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
        let allow = |names: &[&str], args: Vec<Value>| json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args });
        let unshared = json!({ "index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" });
        let mut rules = vec![
            allow(&names, vec![]),
            allow(&["clone"], vec![unshared]),
            // Its flags lie in memory, where no filter looks; without it libraries take `clone`.
            json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
            // The usual one, and the question which it is.
            allow(&["personality"], vec![equal(0, 0)]),
            allow(&["personality"], vec![equal(0, 0xffff_ffff)]),
            // One's own limits. Those of the runner are a program's of the same user, for all the kernel knows.
            allow(&["prlimit64"], vec![equal(0, 0)]),
            allow(&["socketpair"], vec![equal(0, 1)]),
        ];
        rules.extend(self.sockets.iter().map(|(_, family, protocol)| {
            let protocol = protocol.map(|protocol| equal(2, protocol));
            allow(&["socket"], [equal(0, *family)].into_iter().chain(protocol).collect())
        }));
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_call_is_named_once_and_none_that_opens_a_way_out() {
        let names: Vec<_> = SECCOMP.system_calls.iter().flat_map(|line| line.split(' ')).collect();
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        let refused = "add_key adjtimex bpf chroot clock_settime clone clone3 finit_module io_uring_enter \
                       io_uring_register io_uring_setup kcmp kexec_load keyctl modify_ldt mount move_mount \
                       name_to_handle_at open_by_handle_at perf_event_open personality pidfd_getfd pivot_root prlimit64 \
                       process_vm_readv process_vm_writev ptrace request_key setns settimeofday socket socketpair \
                       swapon sync syslog umount2 unshare userfaultfd";
        for name in refused.split_whitespace() {
            assert!(!unique.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_profile_is_what_an_engine_reads() {
        let profile: Value = serde_json::from_str(&SECCOMP.profile()).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().unwrap();
        let sockets: Vec<_> = rules.iter().filter(|rule| rule["names"][0] == "socket").collect();
        assert_eq!(sockets.len(), 4);
        assert_eq!(sockets[3]["args"][1], json!({ "index": 2, "value": 0, "op": "SCMP_CMP_EQ" }));
    }
}
