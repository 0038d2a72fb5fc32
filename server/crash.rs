//! What is left of a panic: a file on this machine that the user may read and pass on. Nothing is sent anywhere.

use crate::config;
use crate::model::redact::redact;
use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Reports that are kept; the oldest go first.
const REPORTS: usize = 10;

/// Has every panic of this process leave a report, beside what it says on standard error.
pub fn install() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        // Whoever cannot write has no place to complain of it.
        if let Some(folder) = folder()
            && let Ok(path) = write(&folder, &told(panic))
        {
            let _ = writeln!(io::stderr().lock(), "a report of this is {}", path.display());
        }
    }));
}

fn folder() -> Option<PathBuf> {
    Some(config::base_directory("XDG_STATE_HOME", ".local/state")?.join("opendevagent/crashes"))
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("something that is no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
    let (version, system) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    let backtrace = Backtrace::force_capture();
    redact(&format!(
        "opendevagent {version} on {system}, thread {thread}\n{place}\n{message}\n\n{backtrace}\n"
    ))
}

/// Writes a report that only the user can read.
fn write(folder: &Path, text: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut reports: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    reports.sort();
    for old in reports.iter().take((reports.len() + 1).saturating_sub(REPORTS)) {
        std::fs::remove_file(old)?;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let path = folder.join(format!("{at}-{}.txt", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}
