//! Which command decides about a proposal, what it showed, and the verdict.
//!
//! A check is run on several texts: the one before the edit, the one after it, the one after it with the
//! original tests. Each run becomes an [`Observation`], from the exit status, the runner's machine-readable
//! report and the notes of two small hooks (`harness/`), never from what a program says about itself.
//! [`judge`] compares them. All of it is pure.

mod affected;
mod apart;
mod beside;
mod cheat;
mod constant;
mod detect;
mod judge;
mod missing;
mod record;
mod report;
mod runner;
#[cfg(test)]
mod tests;
mod trace;

pub(super) use report::{head, tail};

pub use apart::Apart;
pub(super) use detect::is_test;
pub use detect::{choose, run_file};
pub use judge::{Evidence, judge};
pub use missing::Provided;
pub use record::{Record, Site};
pub use report::{State, TestResult};
pub use runner::Runner;

use crate::event::Finding;
use crate::sandbox::{Job, JobFile, Outcome, Status, language};
use crate::verdict::{CheckSource, Observed, Tests};
use crate::workspace::Snapshot;
use runner::Format;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use trace::MAX_OUTPUT;

/// The working directory of every job.
const ROOT: &str = "/work";
/// What is laid out beside the project.
const HOOKS: &[(&str, &str)] = &[
    ("sitecustomize.py", include_str!("check/harness/sitecustomize.py")),
    ("opendevagent_watch.rb", include_str!("check/harness/opendevagent_watch.rb")),
    ("watch.cjs", include_str!("check/harness/watch.cjs")),
    ("watch.bash", include_str!("check/harness/watch.bash")),
    ("reporter.mjs", include_str!("check/harness/reporter.mjs")),
    ("typescript.sh", include_str!("check/harness/typescript.sh")),
    ("cargo.sh", include_str!("check/harness/cargo.sh")),
    ("ctest.sh", include_str!("check/harness/ctest.sh")),
    ("junit.sh", include_str!("check/harness/junit.sh")),
    ("phpunit.sh", include_str!("check/harness/phpunit.sh")),
    ("minitest/opendevagent_plugin.rb", include_str!("check/harness/opendevagent_plugin.rb")),
];
/// Ends of the names of what the hooks and the runners write.
const RECORD: &str = "-record.jsonl";
const PYTEST: &str = "-pytest.xml";
const NODE: &str = "-node.jsonl";
const CARGO: &str = "-cargo.jsonl";
const RSPEC: &str = "-rspec.json";
/// Results of runners that write no report of their own.
const LINES: &str = "-lines.jsonl";
const REPORT: &str = "-report";

/// So much of the tests is read for the values that they expect.
const MAX_TEST_FILES: usize = 200;
const MAX_TEST_BYTES: u64 = 64 << 10;

/// The command that decides about a proposal.
#[derive(Clone, Debug)]
pub struct Check {
    /// For people and for the verdict.
    pub command: String,
    pub source: CheckSource,
    /// Program and arguments, as the sandbox gets them.
    pub argv: Vec<String>,
    /// Name of the row of `languages.toml`; `None` where a user's command may need any of them.
    pub language: Option<String>,
    pub runner: Runner,
    /// Where it runs, relative to the workspace; empty for its root.
    pub directory: String,
    /// How long it may take, where that is less than the sandbox grants.
    limit: Option<Duration>,
    /// The file the task is about: it is the one to be edited, so the command's naming it protects nothing.
    target: Option<String>,
    /// What the workspace brings itself or asks for.
    pub provided: Arc<Provided>,
    /// Files of a proposal, no tests themselves, that tests name.
    named: Arc<BTreeSet<String>>,
    /// Files of a proposal that the command starts by way of others.
    started: Arc<BTreeSet<String>>,
}

/// A package or program that the sandbox does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub name: String,
    /// What is missing and what to do.
    pub message: String,
}

/// What one run of a check showed.
#[derive(Clone, Debug)]
pub struct Observation {
    pub observed: Observed,
    pub exit_code: Option<i32>,
    /// By name, from the runner's report. A command that cannot be counted is one test with its own name.
    pub tests: BTreeMap<String, TestResult>,
    /// The runner wrote its report.
    pub reported: bool,
    pub record: Box<Record>,
    pub stdout: String,
    pub stderr: String,
    pub missing: Option<Missing>,
    /// Why nothing could be run, with [`Status::Error`] alone.
    pub error: Option<String>,
    pub duration_ms: u64,
    runner: Runner,
    directory: String,
}

impl Check {
    /// The job that runs it on this workspace: with the report asked for through the environment, the hooks laid
    /// out, and what they write collected.
    pub fn job(&self, task: &str, workspace: Snapshot) -> Job {
        // The name is new for each job, so that no file of the workspace can stand in for a report.
        let base = format!("/tmp/{}", uuid::Uuid::new_v4().simple());
        let hooks = format!("{base}-hooks");
        let at = |end: &str| format!("{base}{end}");
        let mut python_path = hooks.clone();
        let sources =
            if self.directory.is_empty() { "src/".into() } else { format!("{}/src/", self.directory) };
        if workspace.paths().any(|path| path.starts_with(&sources)) {
            let _ = write!(python_path, ":{ROOT}/{}", sources.trim_end_matches('/'));
        }
        let files = HOOKS.iter().map(|(name, text)| JobFile {
            path: format!("{hooks}/{name}"),
            bytes: text.as_bytes().into(),
            executable: text.starts_with("#!"),
        });
        let files = files.collect();
        let mut node_options = format!("--require={hooks}/watch.cjs");
        if self.runner != Runner::Command {
            let _ = write!(
                node_options,
                " --test-reporter={hooks}/reporter.mjs --test-reporter-destination={} \
                 --test-reporter=spec --test-reporter-destination=stdout",
                at(NODE)
            );
        }
        let report = at(REPORT);
        let env = [
            ("OPENDEVAGENT_RECORD", at(RECORD)),
            ("OPENDEVAGENT_ROOT", ROOT.into()),
            ("OPENDEVAGENT_HOOKS", hooks.clone()),
            ("OPENDEVAGENT_REPORT", report.clone()),
            ("PYTHONPATH", python_path),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
            ("PYTHONUNBUFFERED", "1".into()),
            ("PYTEST_ADDOPTS", format!("--junitxml={} -o junit_family=xunit1", at(PYTEST))),
            ("NODE_OPTIONS", node_options),
            ("OPENDEVAGENT_CARGO", at(CARGO)),
            ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", format!("{hooks}/cargo.sh")),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", format!("{hooks}/cargo.sh")),
            ("SPEC_OPTS", format!("--format progress --format json --out {}", at(RSPEC))),
            ("OPENDEVAGENT_LINES", at(LINES)),
            ("BASH_ENV", format!("{hooks}/watch.bash")),
            ("RUBYLIB", hooks),
            ("RUBYOPT", "-ropendevagent_watch".into()),
            // Bats takes a folder, and the name in it from here.
            ("BATS_REPORT_FILENAME", report.trim_start_matches("/tmp/").to_owned()),
        ];
        Job {
            task: task.into(),
            language: self.language.clone(),
            workspace: Some(workspace),
            files,
            argv: self.argv.clone(),
            timeout: self.limit,
            env: env.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            collect: [RECORD, PYTEST, NODE, CARGO, RSPEC, LINES, REPORT].map(at).into(),
            ..Job::default()
        }
    }

    /// The results that the runners' reports hold, and the output for people.
    fn read(&self, outcome: &Outcome) -> (report::Report, String) {
        let mut report = report::Report::default();
        for (path, bytes) in &outcome.artifacts {
            let written_as = |end: &str| path.ends_with(end);
            match self.runner.row().and_then(|row| row.report) {
                _ if written_as(PYTEST) => report.read_junit(bytes),
                _ if written_as(NODE) || written_as(LINES) => report.read_lines(bytes),
                _ if written_as(CARGO) => report.read_libtest(bytes),
                _ if written_as(RSPEC) => report.read_rspec(bytes),
                Some(Format::JUnit) if written_as(REPORT) => report.read_junit(bytes),
                Some(Format::Jest) if written_as(REPORT) => report.read_jest(bytes),
                Some(Format::Mocha) if written_as(REPORT) => report.read_mocha(bytes),
                _ => {}
            }
        }
        let stdout = match self.runner {
            Runner::Go => report.read_go(&outcome.stdout, true),
            _ => tail(&outcome.stdout, MAX_OUTPUT).to_owned(),
        };
        (report, stdout)
    }

    /// Reads what the job's outcome shows.
    pub fn observe(&self, outcome: &Outcome) -> Observation {
        let record = outcome.artifacts.iter().find(|(path, _)| path.ends_with(RECORD));
        let mut record = record.map(|(_, bytes)| Record::read(bytes)).unwrap_or_default();
        if self.runner == Runner::Go
            && let Some((_, bytes)) = outcome.artifacts.iter().find(|(path, _)| path.ends_with(REPORT))
        {
            record.read_go_coverage(bytes, |path| self.provided.inside(path, &self.directory));
        }
        let (mut report, stdout) = self.read(outcome);
        // A file of plain `console.assert`s passes by its exit status, which they do not change.
        for main in record.assert_sites.iter().filter_map(|stack| stack.first()) {
            let name = main.0.strip_prefix(&self.directory).unwrap_or(&main.0).trim_start_matches('/');
            if let Some(test) = report.tests.get_mut(name).filter(|test| test.whole) {
                *test = TestResult::failed("console.assert failed", true);
            }
        }
        let counts = report.read.then(|| count(&report.tests));
        let mut observation = Observation {
            observed: Observed { status: outcome.status, tests: counts },
            exit_code: outcome.exit_code,
            reported: report.read,
            tests: report.tests,
            record: Box::new(record),
            stdout,
            stderr: tail(&outcome.stderr, MAX_OUTPUT).to_owned(),
            missing: None,
            error: outcome.error.clone(),
            duration_ms: outcome.duration_ms,
            runner: self.runner,
            directory: self.directory.clone(),
        };
        if self.runner == Runner::Command {
            let whole = observation.whole_command();
            observation.tests.insert(self.command.clone(), whole);
        }
        if outcome.status == Status::ExitNonzero {
            observation.missing = missing::missing(&observation, &self.provided);
        }
        observation
    }

    /// Whether `path` belongs to what judges a proposal rather than to what is judged: tests, the runner's
    /// configuration, files named in the command. Such files are judged from their original text.
    pub fn protects(&self, path: &str) -> bool {
        if self.target.as_deref() == Some(path) && !is_test(path) {
            return false;
        }
        is_test(path) || detect::is_config(path) || self.names(path) || self.judges_beside(path)
    }

    /// The lines of the tests and of files that the command names, of small files alone.
    pub fn tests_of(&self, snapshot: &Snapshot) -> Vec<String> {
        // What else a command runs is not known; it asserts wherever it does.
        let any = matches!(self.runner, Runner::Command | Runner::CTest);
        let whole = |path: &str| {
            is_test(path)
                || self.mentions(path)
                || any && self.target.as_deref() != Some(path) && language::by_path(path).is_some()
        };
        let small = |path: &&str| snapshot.size(path).is_some_and(|size| size <= MAX_TEST_BYTES);
        let judges = |path: &&str| whole(path) || path.strip_suffix(".rs").is_some();
        let paths = snapshot.paths().filter(judges).filter(small).take(MAX_TEST_FILES);
        let lines = paths.flat_map(|path| {
            let text = snapshot.text(path).map(|text| text.to_string()).unwrap_or_default();
            let tests = if whole(path) { &text[..] } else { &text[apart::inner_tests(path, &text)] };
            tests.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.collect()
    }

    /// Whether a user's command names the file.
    fn names(&self, path: &str) -> bool {
        let script = path.strip_suffix(".sh").is_some() || self.target.is_some();
        script && matches!(self.source, CheckSource::User | CheckSource::Workspace) && self.mentions(path)
    }

    /// Whether the command has the file's path as a word, or what a class or module in it is called by.
    fn mentions(&self, path: &str) -> bool {
        let apart = |c: char| c.is_whitespace() || "'\"`;&|()<>=:".contains(c);
        let module = path.rsplit_once('.').map(|(stem, _)| stem.replace('/', "."));
        self.command.split(apart).any(|word| {
            let word = word.strip_prefix("./").unwrap_or(word);
            word == path || module.as_deref() == Some(word)
        })
    }
}

impl Observation {
    /// Whether the check is green as far as this run alone can show; [`judge`] knows more.
    pub fn passes(&self) -> bool {
        self.observed.status == Status::Ok && self.missing.is_none() && self.failure().is_none()
    }

    /// Whether a test failed, or what holds tests could not be loaded.
    pub fn fails(&self) -> bool {
        self.missing.is_none() && self.tests.values().any(|test| test.state == State::Failed)
    }

    /// The tests that passed and are tests, not whole files or commands.
    pub fn counted(&self) -> usize {
        self.tests.values().filter(|test| test.state == State::Passed && !test.whole).count()
    }

    /// Why a run with exit status 0 is no success all the same.
    fn failure(&self) -> Option<String> {
        let failed = self.tests.values().filter(|test| test.state == State::Failed).count();
        if self.record.failed_asserts > 0 {
            Some(format!("{} console.assert failed", self.record.failed_asserts))
        } else if failed > 0 {
            Some(format!("the check ended with exit 0 although {failed} of its tests failed"))
        } else {
            None
        }
    }

    /// The command as one test of its own, by its exit status.
    fn whole_command(&self) -> TestResult {
        let failure = match self.observed.status {
            Status::Ok => self.failure(),
            status => Some(ending(status, self.exit_code)),
        };
        let state = if failure.is_none() { State::Passed } else { State::Failed };
        TestResult { state, message: failure.unwrap_or_default(), detail: String::new(), whole: true }
    }

    /// What a model needs to see of a failure: the failing tests with their messages, then the end of the
    /// output, in at most `max` bytes.
    pub fn excerpt(&self, max: usize) -> String {
        let mut out = format!("{}\n", ending(self.observed.status, self.exit_code));
        for problem in self.missing.iter().map(|missing| &missing.message).chain(&self.error) {
            let _ = writeln!(out, "{problem}");
        }
        if let Some(failure) = (self.observed.status == Status::Ok).then(|| self.failure()).flatten() {
            let _ = writeln!(out, "{failure}");
        }
        let failed = self.tests.iter().filter(|(_, test)| test.state == State::Failed);
        for (name, test) in failed {
            let text = if test.detail.is_empty() { &test.message } else { &test.detail };
            let _ = write!(out, "\nFAILED {name}\n{}\n", head(text, 2000));
            if out.len() > max / 2 {
                break;
            }
        }
        let out = head(&out, max).to_owned();
        let both = [("stderr", &self.stderr), ("stdout", &self.stdout)];
        both.iter().filter(|(_, text)| !text.trim().is_empty()).fold(out, |mut out, (name, text)| {
            let room = max.saturating_sub(out.len() + name.len() + 4);
            if room > 80 {
                let share = if *name == "stderr" { room.div_ceil(2) } else { room };
                let _ = write!(out, "\n{name}:\n{}", tail(text.trim_end(), share));
            }
            out
        })
    }

    /// Failing tests, compiler errors and tracebacks as lines of the user's files.
    pub fn findings(&self, snapshot: &Snapshot) -> Vec<Finding> {
        trace::findings(self, snapshot)
    }

    /// Equal for two runs that failed in the same way.
    pub fn signature(&self) -> String {
        let mut out = format!("{:?} {:?}", self.observed.status, self.exit_code);
        let failed =
            self.tests.iter().filter(|(_, test)| test.state == State::Failed && !test.message.is_empty());
        let mut any = false;
        for (name, test) in failed.filter(|(_, test)| !test.whole || self.reported) {
            any = true;
            let _ = write!(out, "\n{name}: {}", trace::shape(&test.message));
        }
        if !any {
            let last = [&self.stderr, &self.stdout].into_iter().flat_map(|text| text.lines().rev());
            let last = last.map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let _ = write!(out, "\n{}", trace::shape(last));
        }
        out
    }
}

fn count(tests: &BTreeMap<String, TestResult>) -> Tests {
    let mut counts = Tests::default();
    for test in tests.values() {
        match test.state {
            State::Passed => counts.passed += 1,
            State::Failed => counts.failed += 1,
            State::Skipped => counts.skipped += 1,
        }
    }
    counts.run = counts.passed + counts.failed;
    counts
}

/// How a run ended, in words.
fn ending(status: Status, exit_code: Option<i32>) -> String {
    match (status, exit_code) {
        (Status::Ok, _) => "the check ended with exit 0".into(),
        (Status::ExitNonzero, Some(code)) => format!("the check ended with exit {code}"),
        (Status::ExitNonzero | Status::Signal, _) => "the check was ended by a signal".into(),
        (Status::Timeout, _) => "the check timed out".into(),
        (Status::Oom, _) => "the check ran out of memory".into(),
        (Status::OutputLimit, _) => "the check wrote more than the output cap".into(),
        (Status::Error, _) => "the check could not be run".into(),
    }
}
