//! The command line (CONTRACT §2): what it accepts, and how each command says what it has to say.
//!
//! Standard output carries results alone; progress and complaints go to standard error.

mod apply;
mod dashboard;
mod demo;
mod engine;
mod models;
mod program;
mod replay;
mod setup;
mod task;
mod tasks;
mod worker;

use crate::config::{self, Loaded};
use crate::event::Action;
use crate::model::redact;
use crate::{acp, doctor, lsp};
use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

/// Plans, writes and repairs code, and proves it in a sandbox before it reaches your files.
#[derive(Debug, Default, Parser)]
#[command(name = "opendevagent", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    common: Common,
}

/// Flags of every command.
#[derive(Debug, Default, Args)]
struct Common {
    /// Set any setting, e.g. `--set agents.coder.model=qwen/qwen3-coder`.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    settings: Vec<String>,
}

#[derive(Debug, Default, Args)]
struct Server {
    /// Serve one editor over TCP instead of standard input and output.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
    /// Serve over standard input and output; the default, accepted because editors pass it.
    #[arg(long)]
    stdio: bool,
    /// Speak the Agent Client Protocol instead of LSP.
    #[arg(long, conflicts_with = "listen")]
    acp: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Language server (what runs without a command).
    Lsp(Server),
    /// Plan a change; nothing is edited.
    Plan(TaskArgs),
    /// Write code from an instruction, a comment or a stub.
    Generate(TaskArgs),
    /// Find out why the check fails, and repair it.
    Fix(TaskArgs),
    /// Write tests.
    Tests(TaskArgs),
    /// Look for bugs; nothing is edited.
    Review(TaskArgs),
    /// Explain code; nothing is edited.
    Explain(TaskArgs),
    /// Run one file, or standard input, in the sandbox.
    Run(program::RunArgs),
    /// See the whole loop on a small sample; needs no key.
    Demo(demo::DemoArgs),
    /// Check model, key, Docker and image; tell what to do.
    Doctor(DoctorArgs),
    /// The sandbox's image and containers.
    #[command(subcommand)]
    Sandbox(engine::SandboxCommand),
    /// A page that shows tasks, on this machine alone; prints its address.
    Dashboard,
    /// Run the checks of a team on this machine, until interrupted.
    Worker(worker::WorkerArgs),
    /// Tasks of before, and what was done in them; the newest without a command.
    Tasks(tasks::TasksArgs),
    /// What the model server serves: ids, room and prices.
    Models(models::ModelsArgs),
    /// The settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What the tasks share.
#[derive(Debug, Args)]
struct TaskArgs {
    /// What it is about; lines and columns count from 1.
    #[arg(value_name = "FILE[:LINE[:COL]]")]
    target: Option<String>,
    /// What to do, in your own words.
    #[arg(short = 'm', long = "message", value_name = "TEXT")]
    instruction: Option<String>,
    /// The workspace folder; default is the current one.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// The command that decides, run in the sandbox; default is what the project is seen to use.
    #[arg(long, value_name = "CMD")]
    check: Option<String>,
    /// Write the proposal to the files, all or none; without it the diff is printed.
    #[arg(long)]
    apply: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Print what would be sent to a model first, and send nothing; `fix` runs its check, whose output is part of it.
    #[arg(long, conflicts_with_all = ["apply", "record", "replay"])]
    show_context: bool,
    /// Generate by a plan: a FILE that `plan --json` has printed.
    #[arg(long, value_name = "FILE", requires = "step")]
    plan: Option<PathBuf>,
    /// The step of the plan to do, from 1.
    #[arg(long, value_name = "N", requires = "plan")]
    step: Option<usize>,
    /// Write what the models said to FILE, keys masked.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Take the models' answers from a recorded FILE; no model is asked.
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replay: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Install and build what is missing, where that can be done from here.
    #[arg(long)]
    fix: bool,
    /// Ask nothing before doing so.
    #[arg(long, requires = "fix")]
    yes: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// JSON Schema of every setting.
    Schema,
    /// The settings in force, and where each came from.
    Show {
        /// The workspace folder; default is the current one.
        #[arg(long, value_name = "DIR")]
        workspace: Option<PathBuf>,
    },
}

impl Cli {
    /// The process's arguments; ends the process where they cannot be used. An editor's are none or `--stdio`: to set up
    /// all commands for those would take a third of a start.
    pub fn of_process() -> Self {
        if std::env::args_os().skip(1).all(|argument| argument == "--stdio") {
            Self::default()
        } else {
            Self::parse()
        }
    }
}

/// What a command does, to its exit code. Made apart from where it is waited for, so that the stack of a server that
/// waits holds nothing of what the other commands need.
#[inline(never)]
pub fn run(cli: Cli) -> Pin<Box<dyn Future<Output = u8>>> {
    match (settings(&cli.common.settings), cli.command) {
        (Err(why), _) => Box::pin(std::future::ready(usage(&why))),
        (Ok(overrides), None) => Box::pin(serve(cli.server, overrides)),
        (Ok(overrides), Some(command)) => Box::pin(async {
            let code = perform(command, overrides).await;
            // What could not be written is not done, whatever it was.
            if UNWRITTEN.load(Ordering::Relaxed) { code.max(1) } else { code }
        }),
    }
}

async fn perform(command: Command, overrides: Value) -> u8 {
    match command {
        Command::Lsp(server) => serve(server, overrides).await,
        Command::Plan(args) => task::run(Action::Plan, args, &overrides).await,
        Command::Generate(args) => task::run(Action::Generate, args, &overrides).await,
        Command::Fix(args) => task::run(Action::Fix, args, &overrides).await,
        Command::Tests(args) => task::run(Action::Tests, args, &overrides).await,
        Command::Review(args) => task::run(Action::Review, args, &overrides).await,
        Command::Explain(args) => task::run(Action::Explain, args, &overrides).await,
        Command::Run(args) => program::run(args, &load(&overrides, None)).await,
        Command::Demo(args) => demo::run(args, &load(&overrides, None)).await,
        Command::Doctor(args) => examine(args, &load(&overrides, Some(Path::new(".")))).await,
        Command::Sandbox(command) => engine::run(command, &load(&overrides, None)).await,
        Command::Dashboard => dashboard::run(&overrides).await,
        Command::Worker(args) => worker::run(args, &load(&overrides, None)).await,
        Command::Tasks(args) => Box::pin(tasks::run(args, &overrides, &load(&overrides, None))).await,
        Command::Models(args) => models::run(args, &load(&overrides, None)).await,
        Command::Config(ConfigCommand::Schema) => print_json(&config::schema()),
        Command::Config(ConfigCommand::Show { workspace }) => {
            show(&load(&overrides, Some(workspace.as_deref().unwrap_or(Path::new(".")))))
        }
    }
}

async fn serve(server: Server, overrides: Value) -> u8 {
    if server.acp {
        let ended = acp::serve(tokio::io::stdin(), tokio::io::stdout(), overrides).await;
        return ended.map_or_else(|error| broken_off(&error), |()| 0);
    }
    let Some(address) = server.listen else {
        return lsp::serve(tokio::io::stdin(), tokio::io::stdout(), overrides).await;
    };
    if !address.ip().is_loopback() {
        return usage(
            "--listen takes a loopback address, e.g. 127.0.0.1:9257: whoever connects may run tasks",
        );
    }
    let accepted = async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        complain(&format!("listening on {}", listener.local_addr()?));
        listener.accept().await
    };
    match accepted.await {
        Ok((stream, _)) => {
            let (read, write) = stream.into_split();
            lsp::serve(read, write, overrides).await
        }
        Err(error) => usage(&format!("{address}: {error}")),
    }
}

fn broken_off(error: &impl std::fmt::Display) -> u8 {
    complain(&format!("opendevagent: the connection to the client broke off: {error}"));
    1
}

async fn examine(args: DoctorArgs, loaded: &Loaded) -> u8 {
    if args.fix {
        engine::prepare(loaded, None, args.yes).await;
    }
    let checks = doctor::examine(loaded, Some(Path::new(".")), None).await;
    if args.json {
        print_json(&json!({ "checks": checks }));
    } else {
        for check in &checks {
            print(&format!("{check}\n"));
        }
    }
    u8::from(checks.iter().any(|check| !check.ok))
}

fn show(loaded: &Loaded) -> u8 {
    let settings = serde_json::to_value(&loaded.settings).unwrap_or_default();
    print_json(&json!({
        "settings": settings,
        "origins": loaded.origins,
        "check": loaded.check,
        "language_checks": loaded.language_checks,
        "problems": loaded.problems,
    }))
}

/// The settings in force; what cannot be used is complained of.
fn load(overrides: &Value, workspace: Option<&Path>) -> Loaded {
    let loaded = config::load(&[], Some(overrides), workspace);
    for problem in &loaded.problems {
        complain(&format!("warning: {problem}"));
    }
    loaded
}

/// `KEY=VALUE` pairs as a layer of settings.
fn settings(pairs: &[String]) -> Result<Value, String> {
    let mut values = Map::new();
    for pair in pairs {
        let (key, text) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: expected KEY=VALUE"))?;
        values.insert(key.to_owned(), config::parse(key, text));
    }
    Ok(Value::Object(values))
}

/// Standard output took less than it was given, e.g. because the disk is full.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Writes to standard output; a reader that has gone away is no error of ours. A terminal is shown no characters that
/// would steer it: with them an edit could hide what it does. Others get the text as it is.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() { redact::unsteering(text) } else { text.into() };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) if !UNWRITTEN.swap(true, Ordering::Relaxed) => {
            complain(&format!("opendevagent: standard output cannot be written: {error}"));
        }
        _ => {}
    }
}

fn print_json(value: &impl serde::Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            print(&format!("{text}\n"));
            0
        }
        Err(error) => {
            complain(&error.to_string());
            1
        }
    }
}

/// Writes a line to standard error, without characters that would steer a terminal.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", redact::unsteering(text));
}

/// Complains in the way of a command line that cannot be used.
fn usage(why: &str) -> u8 {
    complain(&format!("opendevagent: {why}"));
    2
}

/// Ends with the process's wish to stop: Ctrl-C, a termination signal, or the end of its terminal.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
        let mut hangup = if outlives_terminal() { None } else { signal(SignalKind::hangup()).ok() };
        let closed = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = closed => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// Whether the end of its terminal is to be ignored, as `nohup` has it.
#[cfg(unix)]
fn outlives_terminal() -> bool {
    // SAFETY: asks for the action in force, which is written into a structure of our own; nothing is changed.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let asked = libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut action);
        asked == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_starts_what_no_argument_and_stdio_start() {
        let parsed =
            |arguments: &[&str]| format!("{:?}", Cli::try_parse_from(arguments).expect("it is valid"));
        let short = format!("{:?}", Cli::default());
        assert_eq!(parsed(&["opendevagent"]), short);
        assert_eq!(parsed(&["opendevagent", "--stdio"]), short.replace("stdio: false", "stdio: true"));
    }
}
