//! PID 1 of every sandbox container: reads one job, runs its program, reports what it did, ends.
//!
//! The image compiles this file alone, so it uses nothing but the standard library. The engine's flags are the
//! boundary that holds; the runner adds what they cannot: files without the archive endpoints, output in frames
//! the program cannot forge, exit code told from signal, and an end that does not wait for stray children.
//!
//! All integers on the wire are little endian. Strings and lists are a `u32` length and their items.
//!
//! ```text
//! job      version:u8 wall_ms:u64 output_cap:u64 argv:[bytes] env:[bytes] collect:[bytes] stdin:bytes
//!          files:[path:bytes executable:u8 content:bytes]
//! frame    kind:u8 payload:bytes     1 started  2 stdout  3 stderr  4 artefact (index:u32 chunk)  5 record
//! record   lines of `key value`      ended truncated code signal oom_kills wall_ms cpu_ms peak_bytes error
//! ```

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    runner::main();
}

#[cfg(target_os = "linux")]
mod runner {
    use std::ffi::{OsStr, OsString};
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::{Component, Path, PathBuf};
    use std::process::{Command, ExitStatus, Stdio};
    use std::time::{Duration, Instant};

    const VERSION: u8 = 1;
    const STARTED: u8 = 1;
    const STDOUT: u8 = 2;
    const STDERR: u8 = 3;
    const ARTEFACT: u8 = 4;
    const RECORD: u8 = 5;

    /// Where the program lives and where relative paths begin.
    const WORK: &str = "/work";
    const CHUNK: usize = 64 * 1024;
    /// An artefact above this is left out, as are those above the sum.
    const ARTEFACT_MAX: u64 = 8 << 20;
    const ARTEFACTS_MAX: u64 = 32 << 20;
    /// Killing all takes at most this long; the server's own deadline comes after it.
    const KILL_PATIENCE: Duration = Duration::from_secs(2);

    pub(crate) fn main() {
        // No process of the same user may trace us, write our memory or open our descriptors.
        // SAFETY: plain integers.
        unsafe { sys::prctl(sys::PR_SET_DUMPABLE, 0) };
        // SAFETY: 0 and 1 are ours alone; nothing else in this process uses them.
        let (mut input, output) = unsafe { (File::from_raw_fd(0), File::from_raw_fd(1)) };
        let mut wire = Wire(output);
        let record = match prepare(&mut input) {
            Ok(job) => run(&job, &input, &mut wire),
            // The server went away while it wrote, or before: nobody is left to be told.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return,
            Err(error) => Ok(Record::refused(&error.to_string())),
        };
        if let Ok(record) = record {
            // A server that went away cannot be told that it did.
            let _ = wire.frame(RECORD, &[record.to_string().as_bytes()]);
        }
    }

    fn prepare(input: &mut impl Read) -> io::Result<Job> {
        let job = Job::read(input)?;
        let files = read_u32(input)?;
        for _ in 0..files {
            write_file(input)?;
        }
        Ok(job)
    }

    #[derive(Debug, PartialEq)]
    struct Job {
        wall: Duration,
        output_cap: u64,
        argv: Vec<OsString>,
        env: Vec<OsString>,
        collect: Vec<OsString>,
        stdin: Vec<u8>,
    }

    impl Job {
        fn read(input: &mut impl Read) -> io::Result<Job> {
            let [version] = read_array(input)?;
            if version != VERSION {
                return Err(io::Error::other(
                    "the image and the server differ in version; run `opendevagent sandbox build`",
                ));
            }
            Ok(Job {
                wall: Duration::from_millis(u64::from_le_bytes(read_array(input)?)),
                output_cap: u64::from_le_bytes(read_array(input)?),
                argv: read_list(input)?,
                env: read_list(input)?,
                collect: read_list(input)?,
                stdin: read_bytes(input)?,
            })
        }
    }

    fn read_array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_u32(input: &mut impl Read) -> io::Result<u32> {
        Ok(u32::from_le_bytes(read_array(input)?))
    }

    /// Grows as bytes arrive, so that a wrong length costs no memory.
    fn read_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
        let length = read_u32(input)?;
        let mut bytes = Vec::new();
        input.take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }

    fn read_list(input: &mut impl Read) -> io::Result<Vec<OsString>> {
        let count = read_u32(input)?;
        (0..count).map(|_| read_bytes(input).map(OsString::from_vec)).collect()
    }

    fn write_file(input: &mut impl Read) -> io::Result<()> {
        let name = OsString::from_vec(read_bytes(input)?);
        let [executable] = read_array(input)?;
        let length = u64::from(read_u32(input)?);
        let explain = |error: io::Error| {
            let full = error.kind() == io::ErrorKind::StorageFull;
            let remedy = if full { "; raise `sandbox.scratchMiB`" } else { "" };
            io::Error::other(format!("cannot write {}: {error}{remedy}", Path::new(&name).display()))
        };
        let path = place(&name).ok_or_else(|| explain(io::Error::other("outside of /work and /tmp")))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(explain)?;
        }
        let mode = if executable == 0 { 0o644 } else { 0o755 };
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(mode).open(&path).map_err(explain)?;
        match io::copy(&mut input.take(length), &mut file).map_err(explain)? {
            written if written < length => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The absolute place of a file of a job: below `/work` or `/tmp`, without `..`.
    fn place(name: &OsStr) -> Option<PathBuf> {
        let path = Path::new(WORK).join(name);
        let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        let inside = path.starts_with(WORK) || path.starts_with("/tmp");
        let a_file = path.components().count() > 2 && !name.as_bytes().ends_with(b"/");
        (plain && inside && a_file && !name.as_bytes().contains(&0)).then_some(path)
    }

    /// The way back to the server.
    struct Wire(File);

    impl Wire {
        fn frame(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            let mut bytes = Vec::with_capacity(5 + length);
            bytes.push(kind);
            bytes.extend_from_slice(&(length as u32).to_le_bytes());
            for part in parts {
                bytes.extend_from_slice(part);
            }
            self.0.write_all(&bytes)
        }
    }

    /// What ended the run. The record spells it the same way.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    enum Ended {
        #[default]
        Exit,
        Timeout,
        Output,
        /// Could not be started.
        Refused,
    }

    #[derive(Default)]
    struct Record {
        ended: Ended,
        /// Output beyond the cap was dropped.
        truncated: bool,
        code: Option<i32>,
        signal: Option<i32>,
        oom_kills: u64,
        wall_ms: u64,
        cpu_ms: u64,
        peak_bytes: u64,
        error: String,
    }

    impl Record {
        fn refused(error: &str) -> Record {
            Record { ended: Ended::Refused, error: error.replace('\n', " "), ..Record::default() }
        }
    }

    impl std::fmt::Display for Record {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            writeln!(f, "ended {:?}\ntruncated {}", self.ended, self.truncated)?;
            for (key, value) in [("code", self.code), ("signal", self.signal)] {
                value.map_or(Ok(()), |value| writeln!(f, "{key} {value}"))?;
            }
            writeln!(f, "oom_kills {}\nwall_ms {}", self.oom_kills, self.wall_ms)?;
            writeln!(f, "cpu_ms {}\npeak_bytes {}", self.cpu_ms, self.peak_bytes)?;
            if self.error.is_empty() { Ok(()) } else { writeln!(f, "error {}", self.error) }
        }
    }

    /// An error means that the server is gone.
    fn run(job: &Job, input: &File, wire: &mut Wire) -> io::Result<Record> {
        let (oom_before, cpu_before) = (meter::oom_kills(), meter::cpu_us());
        let begin = Instant::now();
        let mut program = match Program::start(job) {
            Ok(program) => program,
            Err(error) => return Ok(Record::refused(&explain(job, &error))),
        };
        wire.frame(STARTED, &[])?;
        let supervised = program.supervise(begin + job.wall, input, wire);
        let wall = begin.elapsed();
        let alone = program.kill_all();
        let mut ended = supervised?;
        // What the program wrote before it ended still waits in the pipes; nobody is left to add to it.
        let truncated = !program.pump(wire)? || ended == Ended::Output;
        if truncated && ended == Ended::Exit {
            ended = Ended::Output;
        }
        let status = program.status.filter(|_| ended == Ended::Exit);
        let record = Record {
            ended,
            truncated,
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            oom_kills: meter::oom_kills().saturating_sub(oom_before),
            wall_ms: wall.as_millis() as u64,
            cpu_ms: meter::cpu_us().saturating_sub(cpu_before) / 1000,
            peak_bytes: meter::peak_bytes(),
            error: String::new(),
        };
        // With a survivor about, the tree could change under our feet.
        if alone {
            collect(&job.collect, wire)?;
        }
        Ok(record)
    }

    fn explain(job: &Job, error: &io::Error) -> String {
        let name = job.argv.first().map(|name| Path::new(name).display().to_string()).unwrap_or_default();
        match error.kind() {
            io::ErrorKind::NotFound => format!("`{name}`: command not found in the sandbox image"),
            io::ErrorKind::PermissionDenied => format!("`{name}` is not executable"),
            _ => format!("cannot start `{name}`: {error}"),
        }
    }

    /// One of the program's output streams.
    struct Stream {
        kind: u8,
        pipe: Option<File>,
        /// How much may still be passed on.
        left: u64,
    }

    impl Stream {
        /// Passes on what waits in the pipe. False when the cap is passed.
        fn pump(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> io::Result<bool> {
            while let Some(pipe) = &mut self.pipe {
                match pipe.read(buffer) {
                    Ok(0) => self.pipe = None,
                    Ok(read) => {
                        let passed = self.left.min(read as u64) as usize;
                        self.left -= passed as u64;
                        wire.frame(self.kind, &[&buffer[..passed]])?;
                        if passed < read {
                            self.pipe = None;
                            return Ok(false);
                        }
                        // A short read: nothing more waits, and a flood on one stream must not starve the rest.
                        if read < buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.pipe = None,
                }
            }
            Ok(true)
        }
    }

    struct Program<'a> {
        pid: i32,
        /// Readable when a child ended.
        children: File,
        /// Once the program ended.
        status: Option<ExitStatus>,
        streams: [Stream; 2],
        stdin: Option<File>,
        stdin_left: &'a [u8],
        buffer: Vec<u8>,
    }

    impl<'a> Program<'a> {
        fn start(job: &'a Job) -> io::Result<Program<'a>> {
            let children = sys::child_signals()?;
            let name = job.argv.first().ok_or(io::ErrorKind::NotFound)?;
            let mut command = Command::new(name);
            command.args(&job.argv[1..]).current_dir(WORK);
            for pair in &job.env {
                let bytes = pair.as_bytes();
                if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
                    command.env(OsStr::from_bytes(&bytes[..equals]), OsStr::from_bytes(&bytes[equals + 1..]));
                }
            }
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            // SAFETY: the hook makes system calls only.
            unsafe { command.pre_exec(sys::become_program) };
            let mut child = command.spawn()?;
            let stream = |kind, pipe: Option<OwnedFd>| Stream {
                kind,
                pipe: pipe.map(sys::nonblocking),
                left: job.output_cap,
            };
            Ok(Program {
                pid: child.id() as i32,
                children,
                status: None,
                streams: [
                    stream(STDOUT, child.stdout.take().map(OwnedFd::from)),
                    stream(STDERR, child.stderr.take().map(OwnedFd::from)),
                ],
                stdin: child.stdin.take().map(|pipe| sys::nonblocking(pipe.into())),
                stdin_left: &job.stdin,
                buffer: vec![0; CHUNK],
            })
        }

        /// Returns when the program ended or must end. An error means that the server is gone.
        fn supervise(&mut self, deadline: Instant, input: &File, wire: &mut Wire) -> io::Result<Ended> {
            loop {
                self.reap();
                if self.status.is_some() {
                    return Ok(Ended::Exit);
                }
                self.feed();
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Ended::Timeout);
                }
                let fd = |file: &Option<File>| file.as_ref().map_or(-1, AsRawFd::as_raw_fd);
                let mut polls = [
                    sys::Poll::new(input.as_raw_fd(), sys::POLLIN),
                    sys::Poll::new(self.children.as_raw_fd(), sys::POLLIN),
                    sys::Poll::new(fd(&self.streams[0].pipe), sys::POLLIN),
                    sys::Poll::new(fd(&self.streams[1].pipe), sys::POLLIN),
                    sys::Poll::new(fd(&self.stdin), sys::POLLOUT),
                ];
                sys::wait(&mut polls, left)?;
                if polls[0].ready() {
                    // The server has nothing to say after the job: it closed its end, or it is mad.
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if polls[1].ready() {
                    let _ = self.children.read(&mut self.buffer);
                }
                if !self.pump(wire)? {
                    return Ok(Ended::Output);
                }
            }
        }

        /// Passes on what waits in both pipes. False when one passed its cap.
        fn pump(&mut self, wire: &mut Wire) -> io::Result<bool> {
            let mut within = true;
            for stream in &mut self.streams {
                within &= stream.pump(wire, &mut self.buffer)?;
            }
            Ok(within)
        }

        fn feed(&mut self) {
            while let Some(pipe) = &mut self.stdin {
                match pipe.write(self.stdin_left) {
                    _ if self.stdin_left.is_empty() => self.stdin = None,
                    Ok(written) => self.stdin_left = &self.stdin_left[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The program closed its standard input, which is its right.
                    Err(_) => self.stdin = None,
                }
            }
        }

        /// Takes every ended child, orphans included. True when no child is left.
        fn reap(&mut self) -> bool {
            loop {
                let mut status = 0;
                // SAFETY: `status` lives.
                match unsafe { sys::waitpid(-1, &raw mut status, sys::WNOHANG) } {
                    0 => return false,
                    pid if pid == self.pid => self.status = Some(ExitStatus::from_raw(status)),
                    pid if pid < 0 => return true,
                    _ => {}
                }
            }
        }

        /// Ends every other process of the container. True when none is left.
        fn kill_all(&mut self) -> bool {
            let begin = Instant::now();
            while begin.elapsed() < KILL_PATIENCE {
                // SAFETY: plain integers. -1 is all but ourselves, because we are PID 1.
                unsafe { sys::kill(-1, sys::SIGKILL) };
                if self.reap() {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            false
        }
    }

    /// Sends the wanted files back: regular ones, reached through no link. No other process runs any more, so
    /// what is looked at stays what it is.
    fn collect(wanted: &[OsString], wire: &mut Wire) -> io::Result<()> {
        let mut left = ARTEFACTS_MAX;
        for (index, name) in (0u32..).zip(wanted) {
            let Some((mut file, size)) = open_artefact(name).filter(|(_, size)| *size <= left) else {
                continue;
            };
            left -= size;
            let mut buffer = vec![0; CHUNK];
            // An empty first chunk says that the file is there.
            wire.frame(ARTEFACT, &[&index.to_le_bytes()])?;
            while let Ok(read @ 1..) = file.read(&mut buffer) {
                wire.frame(ARTEFACT, &[&index.to_le_bytes(), &buffer[..read]])?;
            }
        }
        Ok(())
    }

    fn open_artefact(name: &OsStr) -> Option<(File, u64)> {
        let path = place(name)?;
        let mut parents = path.ancestors().skip(1);
        if !parents.all(|parent| parent.symlink_metadata().is_ok_and(|found| found.is_dir())) {
            return None;
        }
        let seen = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        let file = OpenOptions::new().read(true).custom_flags(sys::O_NONBLOCK).open(&path).ok()?;
        let opened = file.metadata().ok()?;
        let same = (seen.dev(), seen.ino()) == (opened.dev(), opened.ino());
        (same && opened.len() <= ARTEFACT_MAX).then_some((file, opened.len()))
    }

    /// What the container used, read from its control group (version 2, then 1).
    mod meter {
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
    }

    /// The system calls that the standard library does not offer. Constants are those of x86-64 and arm64.
    mod sys {
        use super::{File, FromRawFd, OwnedFd, RawFd};
        use std::io;
        use std::os::fd::AsRawFd;
        use std::time::Duration;

        pub(super) const PR_SET_DUMPABLE: i32 = 4;
        pub(super) const SIGKILL: i32 = 9;
        pub(super) const WNOHANG: i32 = 1;
        pub(super) const O_NONBLOCK: i32 = 0o4000;
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
            pub(super) fn prctl(option: i32, ...) -> i32;
            pub(super) fn kill(pid: i32, signal: i32) -> i32;
            pub(super) fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
            fn fcntl(fd: i32, command: i32, ...) -> i32;
            fn poll(polls: *mut Poll, count: u64, timeout_ms: i32) -> i32;
            fn setsid() -> i32;
            fn signalfd(fd: i32, mask: *const [u64; 16], flags: i32) -> i32;
            fn sigprocmask(how: i32, mask: *const [u64; 16], old: *mut [u64; 16]) -> i32;
            fn syscall(number: i64, ...) -> i64;
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
    }

    #[cfg(test)]
    mod tests;
}
