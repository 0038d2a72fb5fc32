//! The program: flags in, exit code out. Everything else is in the library.

use opendevagent::cli::{self, Cli};
use opendevagent::crash;
use std::process::ExitCode;

fn main() -> ExitCode {
    crash::install();
    opendevagent::wiring::guard_environment();
    let cli = Cli::of_process();
    // There are a few descriptors, so 1,024 events at once are never there.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_io_events_per_tick(64)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::complain(&format!("the async runtime could not be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(cli));
    // A blocking read of standard input cannot be cancelled; nothing else is left by now.
    runtime.shutdown_background();
    ExitCode::from(code)
}
