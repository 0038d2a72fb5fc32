//! The program: flags in, exit code out. Everything else is in the library.

use clap::Parser;
use opendevagent::cli::{self, Cli};
use opendevagent::crash;
use std::process::ExitCode;

fn main() -> ExitCode {
    crash::install();
    opendevagent::wiring::guard_environment();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
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
