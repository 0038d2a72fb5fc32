//! A workspace from a fixture, and the real program run in it as a user would, with a home of its own.

use crate::model_server::ModelServer;
use opendevagent::sandbox::Limits;
use opendevagent::sandbox::docker::DockerOptions;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The key every test uses; no output may hold it.
pub const KEY: &str = "sk-or-v1-5c0ffee5c0ffee5c0ffee5c0ffee5c0f";
/// A program that takes longer is hanging.
const HANGS: Duration = Duration::from_secs(300);

/// Whether tests may use the Docker engine; says so when not.
pub fn docker() -> bool {
    let wanted = std::env::var("OPENDEVAGENT_DOCKER_TESTS").is_ok_and(|value| value == "1");
    if !wanted {
        skipped("needs OPENDEVAGENT_DOCKER_TESTS=1");
    }
    wanted
}

/// The engine of this machine with these limits, and nothing else out of the ordinary; no container is kept ready.
pub fn engine_options(limits: Limits) -> DockerOptions {
    DockerOptions {
        host: None,
        limits,
        runtime: "runc".into(),
        images: BTreeMap::new(),
        streamed: 256,
        warm: 0,
        idle: Duration::from_secs(600),
        setup_network: "bridge".into(),
    }
}

/// Says that a test did nothing; `tests/run` counts these lines.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("skipped: {test}: {why}");
}

/// A folder of files, and beside it the home of the user who works on them.
pub struct Workspace {
    folder: TempDir,
    /// Where `$0` stood in the fixture: path, line and column, both from 1.
    pub cursor: Option<(String, usize, usize)>,
    environment: BTreeMap<String, String>,
}

impl Workspace {
    /// Lays out a fixture: `//- /path` begins a file, `$0` marks the cursor and is removed.
    pub fn new(fixture: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let mut workspace = Self { folder, cursor: None, environment: BTreeMap::new() };
        std::fs::create_dir_all(workspace.root()).expect("a new folder can be made");
        for (path, text) in parse(fixture) {
            let at = text.find("$0");
            let text = text.replacen("$0", "", 1);
            if let Some(at) = at {
                let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let line = text[..at].matches('\n').count() + 1;
                workspace.cursor = Some((path.clone(), line, text[line_start..at].chars().count() + 1));
            }
            workspace.write(&path, text);
        }
        workspace
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// The user's home, where programs keep their own files.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Adds or replaces a file.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the root")).expect("a folder can be made");
        std::fs::write(path, bytes).expect("a file can be written");
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Every file below the root, by relative path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.root())
    }

    /// Sets an environment variable for every program run here.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Asks this server, with [`KEY`].
    pub fn model(self, server: &ModelServer) -> Self {
        self.set("OPENDEVAGENT_MODEL_BASE_URL", server.url()).set("OPENROUTER_API_KEY", KEY)
    }

    /// Without a sandbox.
    pub fn no_sandbox(self) -> Self {
        self.set("OPENDEVAGENT_SANDBOX_HOST", "off")
    }

    /// The program, started in the workspace with an environment that holds nothing of the machine's user.
    pub fn command(&self, program: &str) -> Command {
        let home = self.home();
        std::fs::create_dir_all(&home).expect("a folder can be made");
        let mut command = Command::new(program);
        command.current_dir(self.root()).env_clear();
        for kept in ["PATH", "DOCKER_HOST", "TMPDIR"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.env("HOME", &home).env("LANG", "C.UTF-8").envs(&self.environment);
        command
    }

    /// Runs `opendevagent` with empty standard input.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with_input(args, "")
    }

    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut running = self.start(args);
        let mut stdin = running.child.stdin.take().expect("it is piped");
        // A program that does not read may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        running.wait()
    }

    /// Starts `opendevagent` and lets it run.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_opendevagent"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program can be started");
        Running { child, args: args.join(" ") }
    }
}

/// Files that no task may edit, and what the refusal says.
pub const ODD_FILES: [(&str, &str); 12] = [
    ("missing.py", "does not exist"),
    ("folder", "is a folder, a pipe or a device"),
    ("pipe.py", "is a folder, a pipe or a device"),
    ("inside.py", "is a symbolic link"),
    ("outside.py", "is a symbolic link"),
    ("device.py", "is a symbolic link"),
    ("dangling.py", "is a symbolic link"),
    ("linked/real.py", "is a symbolic link, or behind one"),
    ("latin1.py", "is not UTF-8"),
    ("utf16.py", "is not UTF-8"),
    ("binary.py", "is a binary file"),
    ("big.py", "files over 2097152 bytes"),
];

/// Lays out [`ODD_FILES`].
#[cfg(unix)]
pub fn odd_files(root: &Path) {
    use std::os::unix::fs::symlink;
    let write = |path: &str, bytes: &[u8]| std::fs::write(root.join(path), bytes).expect("it can be written");
    std::fs::create_dir_all(root.join("folder")).expect("a folder can be made");
    write("folder/real.py", b"x = 1\n");
    let made = Command::new("mkfifo").arg(root.join("pipe.py")).status();
    assert!(made.is_ok_and(|status| status.success()), "no pipe could be made");
    let links = [
        ("folder/real.py", "inside.py"),
        ("/etc/passwd", "outside.py"),
        ("/dev/zero", "device.py"),
        ("nowhere.py", "dangling.py"),
        ("folder", "linked"),
    ];
    for (to, from) in links {
        symlink(to, root.join(from)).expect("a link can be made");
    }
    write("latin1.py", b"# -*- coding: latin-1 -*-\nx = '\xe9'\n");
    write("utf16.py", b"\xff\xfex\0=\x001\0\n\0");
    write("binary.py", b"\x7fELF\0\0");
    write("big.py", "x = 1\n".repeat(400_000).as_bytes());
}

/// Every file below a folder, by relative path.
pub fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder can be read").flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("it is below the root");
                let bytes = std::fs::read(&path).unwrap_or_default();
                files.insert(relative.to_string_lossy().into_owned(), bytes);
            }
        }
    }
    files
}

/// The files of a fixture.
fn parse(fixture: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in fixture.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("//- /") {
            files.push((path.trim().to_owned(), String::new()));
        } else if let Some((_, text)) = files.last_mut() {
            text.push_str(line);
        }
    }
    files
}

/// A started `opendevagent`.
pub struct Running {
    child: Child,
    args: String,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, e.g. `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "the program could not be signalled");
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        self.child.stdin.take();
        let reader = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                // What was read before an error is shown all the same.
                let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = reader(self.child.stdout.take().map(|stream| Box::new(stream) as _));
        let stderr = reader(self.child.stderr.take().map(|stream| Box::new(stream) as _));
        let status = eventually("the program to end", HANGS, || self.child.try_wait().ok().flatten());
        let ended = Ended {
            args: self.args.clone(),
            code: status.code(),
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        };
        assert!(!format!("{ended:?}").contains(KEY), "the key was printed: {ended:?}");
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no program behind; one that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How `opendevagent` ended.
#[derive(Debug)]
pub struct Ended {
    pub args: String,
    /// `None` when a signal killed it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of `opendevagent {}`\n{self}", self.args);
        self
    }

    /// Checks that what was printed, anywhere, holds `words`.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(words), "`opendevagent {}` does not say {words:?}\n{self}", self.args);
        self
    }

    /// Standard output, which must be exactly one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document: {error}\n{self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The containers that the process with this id has made and that are still there.
pub fn containers_of(pid: u32) -> Vec<String> {
    let format = "{{.ID}} {{.Label \"opendevagent.owner\"}}";
    let all = docker_cli(&["ps", "--all", "--filter", "label=opendevagent.owner", "--format", format]);
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let ours = all.lines().filter(|line| line.contains(&format!("/{pid}/")));
    ours.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Runs Docker's own client.
pub fn docker_cli(args: &[&str]) -> Output {
    let output = Command::new("docker").args(args).output().expect("docker is installed");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
