//! PID 1 of every sandbox container: reads one job, runs its program, reports what it did, ends.
//!
//! The image compiles this file and its modules alone, so they use nothing but the standard library. The engine's
//! flags are the boundary that holds; the runner adds what they cannot: files without the archive endpoints, output
//! in frames the program cannot forge, exit code told from signal, and an end that does not wait for stray children.
//!
//! All integers on the wire are little endian. Strings and lists are a `u32` length and their items.
//!
//! ```text
//! job      version:u8 wall_ms:u64 output_cap:u64 argv:[bytes] env:[bytes] collect:[bytes] stdin:bytes
//!          files:[path:bytes mode:u8 content:bytes]   0 plain  1 executable  2 removed
//! frame    kind:u8 payload:bytes     1 started  2 stdout  3 stderr  4 artefact (its path)  5 content (a chunk of
//!                                    the last artefact)  6 record
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
    mod collect;
    mod job;
    mod meter;
    mod program;
    mod report;
    mod sys;

    use job::Job;
    use program::Program;
    use report::{Ended, RECORD, Record, STARTED, Wire};
    use std::fs::File;
    use std::io;
    use std::os::fd::FromRawFd;
    use std::path::Path;
    use std::time::Instant;

    pub(crate) fn main() {
        sys::hide();
        // SAFETY: 0 and 1 are ours alone; nothing else in this process uses them.
        let (mut input, output) = unsafe { (File::from_raw_fd(0), File::from_raw_fd(1)) };
        let mut wire = Wire(output);
        let record = match Job::receive(&mut input) {
            Ok(job) => run(&job, &input, &mut wire),
            // The server went away while it wrote, or before: nobody is left to be told.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return,
            Err(error) => Ok(Record::refused(&error.to_string())),
        };
        if let Ok(record) = record {
            // A server that went away cannot be told that it did.
            let _ = wire.frame(RECORD, record.to_string().as_bytes());
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
        let (code, signal) = if ended == Ended::Exit { program.exit() } else { (None, None) };
        let record = Record {
            ended,
            truncated,
            code,
            signal,
            oom_kills: meter::oom_kills().saturating_sub(oom_before),
            wall_ms: wall.as_millis() as u64,
            cpu_ms: meter::cpu_us().saturating_sub(cpu_before) / 1000,
            peak_bytes: meter::peak_bytes(),
            error: String::new(),
        };
        // With a survivor about, the tree could change under our feet.
        if alone {
            collect::collect(&job.collect, wire)?;
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
}
