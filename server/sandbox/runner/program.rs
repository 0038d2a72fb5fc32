//! The program: started as a process without rights over us, fed, listened to, and ended with all its kin.

use super::job::{Job, WORK};
use super::report::{Ended, STDERR, STDOUT, Wire};
use super::sys;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const CHUNK: usize = 64 * 1024;
/// Killing all takes at most this long; the server's own deadline comes after it.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

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
                    wire.frame(self.kind, &buffer[..passed])?;
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

pub(super) struct Program<'a> {
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
    pub(super) fn start(job: &'a Job) -> io::Result<Program<'a>> {
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
    pub(super) fn supervise(
        &mut self,
        deadline: Instant,
        input: &File,
        wire: &mut Wire,
    ) -> io::Result<Ended> {
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
    pub(super) fn pump(&mut self, wire: &mut Wire) -> io::Result<bool> {
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

    /// Exit code and signal, once it ended.
    pub(super) fn exit(&self) -> (Option<i32>, Option<i32>) {
        (self.status.and_then(|status| status.code()), self.status.and_then(|status| status.signal()))
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
    pub(super) fn kill_all(&mut self) -> bool {
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
