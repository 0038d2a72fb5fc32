//! The verdict: runs of one check on different texts, compared (CONTRACT §5).
//!
//! [`RULES`] is read from the top; the first rule that says something decides. The rules that take trust away
//! stand above those that give it.

use super::cheat::{self, Concern, Kind};
use super::constant::{Constants, constants};
use super::missing;
use super::{Check, Observation, Record, Runner, Site, State, TestResult, ending};
use crate::agent::patch::FileChange;
use crate::sandbox::{Limits, Status, language, setup};
use crate::verdict::{Level, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What is known about a proposal.
pub struct Evidence<'a> {
    pub check: &'a Check,
    /// The text before any edit.
    pub before: &'a Observation,
    /// The text before with the proposal's own tests: shows which of them fail without its code.
    pub bare: Option<&'a Observation>,
    /// The proposal with every protected file ([`Check::protects`]) as it was before.
    pub after: &'a Observation,
    /// The proposal as it is, where it touches protected files.
    pub own: Option<&'a Observation>,
    /// A second run of `own`, or of `after` where there is no `own`.
    pub again: Option<&'a Observation>,
    pub changes: &'a [FileChange],
    /// The lines of the original tests.
    pub tests: &'a [String],
    /// Proposals that were checked.
    pub rounds: u32,
    pub limits: Limits,
}

/// Compares the runs.
pub fn judge(e: &Evidence) -> Verdict {
    let facts = Facts::of(e);
    let decided = RULES.iter().find_map(|rule| rule(e, &facts));
    let (level, mut reason) = decided.unwrap_or_else(|| (Level::Runs, runs(e).into()));
    if let (Level::Passing | Level::Proven, Some((path, line))) = (level, &facts.constants.at) {
        let _ = write!(reason, "; {path}:{line} returns what a test expects of it, look at that");
    }
    let agrees = e.again.is_some() && facts.flaky.is_empty() && e.again.is_some_and(Observation::passes);
    Verdict {
        level,
        reason,
        check: Some(e.check.command.clone()),
        check_source: Some(e.check.source),
        before: Some(e.before.observed.clone()),
        after: Some(facts.last.observed.clone()),
        fail_to_pass: facts.fixed,
        pass_to_fail: facts.broken,
        changed_lines_executed: changed_lines_executed(e, facts.last),
        rounds: e.rounds,
        stable_runs: 1 + u32::from(agrees),
        sandbox: e.limits.clone(),
    }
}

type Rule = fn(&Evidence, &Facts) -> Option<(Level, String)>;

const RULES: &[Rule] = &[
    not_run,
    dependency_missing,
    stopped_at_a_limit,
    ended_early,
    fails,
    original_tests_fail,
    tests_are_gone,
    not_counted,
    could_be_faked,
    equal_to_others,
    disagrees,
    only_constants,
    proven,
    passing,
];

/// What the rules look at.
struct Facts<'a> {
    /// The run that shows the proposal as it would be applied.
    last: &'a Observation,
    fixed: Vec<String>,
    broken: Vec<String>,
    /// Tests known before that no longer run.
    gone: Vec<String>,
    /// Tests on which the second run disagrees.
    flaky: Vec<String>,
    concerns: Vec<Concern>,
    constants: Constants,
}

impl<'a> Facts<'a> {
    fn of(e: &Evidence<'a>) -> Self {
        let last = e.own.unwrap_or(e.after);
        let passed = |tests: &BTreeMap<String, TestResult>, name: &str| {
            tests.get(name).is_some_and(|test| test.state == State::Passed)
        };
        let fixed = last.tests.iter().filter(|(_, test)| test.state == State::Passed).map(|(name, _)| name);
        let fixed = fixed.filter(|name| match e.own {
            // Where the original tests have it, they decide; else what the new tests say of the old text.
            Some(_) if passed(&e.after.tests, name) => failed_in(e.before, name),
            Some(_) => e.bare.is_some_and(|bare| failed_in(bare, name)) && !passed(&e.before.tests, name),
            None => failed_in(e.before, name),
        });
        let fixed = fixed.cloned().collect();
        let ran = |test: &TestResult| test.state != State::Skipped;
        let known = || e.before.tests.iter().filter(|(_, test)| ran(test));
        let broken = known().filter(|(name, test)| {
            let fails =
                |seen: &Observation| seen.tests.get(*name).is_some_and(|test| test.state == State::Failed);
            test.state == State::Passed && (fails(last) || fails(e.after))
        });
        let broken = broken.map(|(name, _)| name.clone()).collect();
        let gone = known().filter(|(name, test)| {
            [last, e.after]
                .iter()
                .any(|seen| !(seen.tests.get(*name).is_some_and(ran) || test.whole && has_part(seen, name)))
        });
        let gone = gone.map(|(name, _)| name.clone()).collect();
        let flaky = e.again.map(|again| disagreement(last, again)).unwrap_or_default();
        let concerns = cheat::concerns(e.check, e.changes);
        let constants = constants(e.check, e.changes, e.tests);
        Self { last, fixed, broken, gone, flaky, concerns, constants }
    }
}

/// Whether a run shows that a test that passes elsewhere does not pass on its text: it failed, or its file could
/// not be loaded, or the run ended before it had any result.
fn failed_in(seen: &Observation, name: &str) -> bool {
    if seen.observed.status == Status::Error {
        return false;
    }
    match seen.tests.get(name) {
        Some(test) => test.state == State::Failed,
        None if seen.tests.is_empty() => !seen.passes() && seen.exit_code != Some(NO_TESTS),
        None => seen
            .tests
            .iter()
            .any(|(whole, test)| test.whole && test.state == State::Failed && is_part(name, whole)),
    }
}

/// pytest's exit code when it found no test.
const NO_TESTS: i32 = 5;

/// Whether a test belongs to a file or package.
fn is_part(name: &str, whole: &str) -> bool {
    name.strip_prefix(whole).is_some_and(|rest| ["::", " > ", "."].iter().any(|mark| rest.starts_with(mark)))
}

fn has_part(seen: &Observation, whole: &str) -> bool {
    seen.tests.iter().any(|(name, test)| test.state != State::Skipped && is_part(name, whole))
}

/// The tests on which two runs differ.
fn disagreement(one: &Observation, two: &Observation) -> Vec<String> {
    let state = |seen: &Observation, name: &String| seen.tests.get(name).map(|test| test.state);
    let names = one.tests.keys().chain(two.tests.keys().filter(|name| !one.tests.contains_key(*name)));
    names.filter(|name| state(one, name) != state(two, name)).cloned().collect()
}

fn not_run(_: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let error = || facts.last.error.clone().unwrap_or_else(|| ending(Status::Error, None));
    (facts.last.observed.status == Status::Error).then(|| (Level::Unverified, error()))
}

/// Something is not installed that the proposal did not bring up: nobody's fault, and nothing is shown.
fn dependency_missing(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let missing = facts.last.missing.as_ref()?;
    let before = e.before.missing.as_ref().is_some_and(|before| before.name == missing.name);
    let added = |change: &FileChange| {
        let (before, after) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
        cheat::added(before, after).iter().any(|(_, line)| line.contains(&missing.name))
    };
    let introduced = e.changes.iter().any(added);
    // What the workspace, or the proposal itself, asks to be installed may be used.
    let declared = e.check.provided.declares(&missing.name)
        || e.changes.iter().any(|change| {
            setup::names_dependencies(&change.path)
                && missing::declares(change.after.as_deref().unwrap_or(""), &missing.name)
        });
    (before || !introduced || declared).then(|| (Level::Unverified, missing.message.clone()))
}

fn stopped_at_a_limit(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let seen = [facts.last, e.after]
        .into_iter()
        .find(|seen| matches!(seen.observed.status, Status::Timeout | Status::Oom | Status::OutputLimit))?;
    let mut reason = ending(seen.observed.status, seen.exit_code);
    if seen.observed.status == Status::Timeout {
        let _ = write!(reason, " after {} s", seen.duration_ms / 1000);
    }
    Some((Level::Failing, reason))
}

/// Ended with exit 0 by `os._exit`, `process.exit` and the like, out of the changed code.
fn ended_early(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    if e.check.runner == Runner::File {
        return None;
    }
    let runs = [Some(facts.last), Some(e.after), e.again];
    runs.into_iter().flatten().filter(|seen| seen.observed.status == Status::Ok).find_map(|seen| {
        if seen.record.cut_short && !e.before.record.cut_short {
            let reason = "the process was ended early with exit 0, before the check was through".to_owned();
            return Some((Level::Failing, reason));
        }
        let site = left_by_change(&seen.record, e.changes, facts)?;
        Some((Level::Failing, format!("the check was left early with exit 0 at {site}")))
    })
}

/// The line of a changed file that ended a process, when it did so on behalf of another file, or is new.
fn left_by_change(record: &Record, changes: &[FileChange], facts: &Facts) -> Option<String> {
    let touched = |path: &str| changes.iter().any(|change| change.path == path);
    record.exits.iter().find_map(|stack| {
        let last = stack.last()?;
        let borrowed = stack.iter().skip(1).any(|site| touched(&site.0) && site.0 != stack[0].0);
        let new = facts.concerns.iter().any(|concern| {
            concern.kind == Kind::Exit && concern.path == last.0 && concern.line == last.1 && stack.len() > 1
        });
        (borrowed || new).then(|| format!("{}:{}", last.0, last.1))
    })
}

fn fails(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let last = facts.last;
    if last.passes() {
        return None;
    }
    let failed: Vec<&String> =
        last.tests.iter().filter(|(_, test)| test.state == State::Failed).map(|(name, _)| name).collect();
    let reason = match (last.observed.status, last.failure()) {
        (Status::Ok, Some(failure)) => failure,
        (status, _) if failed.is_empty() || e.check.runner == Runner::Command && !last.reported => {
            ending(status, last.exit_code)
        }
        _ if !facts.broken.is_empty() => {
            format!("{} passed before and {} now", list(&facts.broken), verb(&facts.broken, "fails", "fail"))
        }
        _ => {
            let old = failed
                .iter()
                .all(|name| e.before.tests.get(*name).is_some_and(|test| test.state == State::Failed));
            let as_before = if old { ", as before the edit" } else { "" };
            format!("{} {}{as_before}", list(&failed), verb(&failed, "fails", "fail"))
        }
    };
    let missing = last.missing.as_ref().map(|missing| format!(": {}", missing.message)).unwrap_or_default();
    Some((Level::Failing, format!("{reason}{missing}")))
}

/// Green only with the proposal's own changes to tests or configuration.
fn original_tests_fail(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    e.own?;
    // Nothing to hold against it where there was no test before.
    let had_tests = e.before.tests.values().any(|test| !test.whole || e.check.runner == Runner::Command);
    let ran = !e.after.tests.is_empty();
    if e.after.passes() || !had_tests && !ran {
        return None;
    }
    let judging = e.check.apart(e.changes).judging;
    let changed: Vec<&String> = judging.iter().map(|change| &change.path).collect();
    let only_new = judging.iter().all(|change| change.before.is_none());
    // A test that was there and runs is not for the edit's own files to save.
    let fails_alone = e.after.tests.values().any(|test| test.state == State::Failed && !test.whole);
    if only_new
        && !fails_alone
        && facts.broken.is_empty()
        && facts.gone.is_empty()
        && facts.fixed.iter().any(|name| !e.after.tests.contains_key(name))
    {
        return None;
    }
    let reason = format!("the check passes only with the edit's own changes to {}", list(&changed));
    // It may be what the code is given, or what the tests expect of it: a person sees which.
    if judging.iter().all(|change| e.check.judges_beside(&change.path)) {
        let them = verb(&changed.into_iter().cloned().collect::<Vec<_>>(), "it", "them");
        return Some((Level::Unverified, format!("{reason}, which may be what judges; look at {them}")));
    }
    Some((Level::Failing, reason))
}

fn tests_are_gone(_: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let gone = &facts.gone;
    let was = verb(gone, "was a test", "were tests");
    let runs = verb(gone, "does", "do");
    (!gone.is_empty())
        .then(|| (Level::Failing, format!("{} {was} before and {runs} not run any more", list(gone))))
}

fn not_counted(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let lost = e.check.runner.counts() && !(facts.last.reported && e.after.reported);
    lost.then(|| (Level::Unverified, "the test runner wrote no report, so nothing was counted".into()))
}

/// The exit status or the report may come from the edit itself.
fn could_be_faked(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    if e.check.runner == Runner::File {
        return None;
    }
    let counted = facts.last.counted() > 0 && !e.check.runner.can_be_left();
    let always = |kind: Kind| matches!(kind, Kind::Machinery | Kind::Helper);
    let concern = facts.concerns.iter().find(|concern| always(concern.kind) || !counted);
    if let Some(Concern { kind, path, line, what }) = concern {
        let reason = match kind {
            Kind::Exit => format!("the edit adds `{what}` at {path}:{line}, which can end the check early"),
            Kind::Machinery => {
                format!("the edit adds `{what}` at {path}:{line}, which can change what the check reports")
            }
            Kind::Assertion => {
                format!("the edit changes {what} at {path}:{line}, in a file that is its own test")
            }
            Kind::Helper => format!("the edit changes {what} at {path}:{line}, in a file that a test names"),
        };
        return Some((Level::Unverified, format!("{reason}; look at it and run the check yourself")));
    }
    if !counted && let Some(reason) = lost_assertion(e, facts.last) {
        return Some((Level::Unverified, reason));
    }
    let replaced = facts.last.record.replaced && !e.before.record.replaced;
    replaced.then(|| {
        let reason = "the program replaces what its tests assert with or catches all errors, so failures cannot be seen";
        (Level::Unverified, reason.into())
    })
}

/// What a test compares with is equal to whatever it is compared with.
fn equal_to_others(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let new = |site: &&Site| {
        let change = e.changes.iter().find(|change| change.path == site.0 && !e.check.protects(&change.path));
        change.is_some_and(|change| {
            let (before, after) =
                (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
            cheat::added(before, after).iter().any(|(line, _)| *line == site.1)
        })
    };
    let Site(path, line) = facts.last.record.equals.iter().find(new)?;
    let reason = format!("the edit adds an equality at {path}:{line} that held between different types");
    Some((Level::Unverified, format!("{reason}; look at it and run the check yourself")))
}

/// Why a command's exit status may hide an assertion: fewer of them ran than before, or one failed and was caught.
fn lost_assertion(e: &Evidence, last: &Observation) -> Option<String> {
    if let Some(site) = unreached_assertion(e, last) {
        return Some(format!("the assertion at {site} ran before the edit and does not run now"));
    }
    let (was, now) = (e.before.record.asserted, last.record.asserted);
    if now < was {
        return Some(format!("console.assert ran {was} times before the edit and {now} times now"));
    }
    let own =
        |site: &&Site| e.check.mentions(&site.0) || e.changes.iter().any(|change| change.path == site.0);
    let Site(path, line) = last.record.raised.iter().find(own)?;
    Some(format!("the assertion at {path}:{line} failed and the failure was caught"))
}

/// An assertion of a changed Python file that was reached before the edit and no longer is.
fn unreached_assertion(e: &Evidence, last: &Observation) -> Option<String> {
    let (was, now) = (e.before.record.executed.as_ref()?, last.record.executed.as_ref()?);
    e.changes.iter().find_map(|change| {
        let asserts =
            |text: &Option<String>, lines: &BTreeMap<String, BTreeSet<u32>>| -> BTreeMap<String, usize> {
                let ran = lines.get(&change.path);
                let text = text.as_deref().unwrap_or_default();
                let numbered = text.lines().enumerate().filter(|(at, line)| {
                    line.trim_start().starts_with("assert")
                        && ran.is_some_and(|ran| ran.contains(&(*at as u32 + 1)))
                });
                numbered.map(|(at, line)| (line.trim().to_owned(), at + 1)).collect()
            };
        let after = asserts(&change.after, now);
        let gone = asserts(&change.before, was).into_iter().find(|(line, _)| !after.contains_key(line));
        gone.map(|(_, at)| format!("{}:{at}", change.path))
    })
}

fn disagrees(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let again = e.again?;
    if again.passes() && facts.flaky.is_empty() {
        return None;
    }
    let reason = if facts.flaky.is_empty() {
        format!("a second run disagrees: {}", ending(again.observed.status, again.exit_code))
    } else {
        format!("flaky: a second run disagrees on {}", list(&facts.flaky))
    };
    Some((Level::Failing, reason))
}

fn only_constants(_: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let (path, line) = facts.constants.at.as_ref().filter(|_| facts.constants.only)?;
    let reason = format!("all the edit does is to return what a test expects, at {path}:{line}");
    Some((Level::Unverified, reason))
}

fn proven(e: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    e.again?;
    if facts.fixed.is_empty() || e.check.runner == Runner::File {
        return None;
    }
    let others =
        facts.last.tests.values().filter(|test| test.state == State::Passed).count() - facts.fixed.len();
    let now = verb(&facts.fixed, "passes", "pass");
    let unchanged = match others {
        0 => String::new(),
        1 => "; 1 other unchanged".into(),
        _ => format!("; {others} others unchanged"),
    };
    Some((Level::Proven, format!("{} failed before and {now} now{unchanged}", list(&facts.fixed))))
}

fn passing(_: &Evidence, facts: &Facts) -> Option<(Level, String)> {
    let counted = facts.last.counted();
    let tests = if counted == 1 { "1 test passes".into() } else { format!("{counted} tests pass") };
    let why = if facts.fixed.is_empty() { "none of them failed before" } else { "there was no second run" };
    (counted > 0).then(|| (Level::Passing, format!("{tests}; {why}")))
}

/// Green, but no rule found a test that shows anything.
fn runs(e: &Evidence) -> &'static str {
    match e.check.runner {
        Runner::File => "the program ends with exit 0; no test was run",
        Runner::Command if e.before.passes() => {
            "the command ends with exit 0, as before the edit; no test was counted"
        }
        Runner::Command => "the command ends with exit 0; there was no second run",
        _ => "the check ends with exit 0; no test was run",
    }
}

/// Whether in each changed file at least one changed line ran; `None` where nobody noted it.
fn changed_lines_executed(e: &Evidence, last: &Observation) -> Option<bool> {
    let executed = last.record.executed.as_ref()?;
    let mut known = None;
    for change in e.changes.iter().filter(|change| !e.check.protects(&change.path)) {
        let Some(language) = language::by_path(&change.path) else { continue };
        let ran = executed.get(&change.path);
        // What Python never loaded did not run; elsewhere it may have run under another name.
        if ran.is_none() && language.name != "python" {
            continue;
        }
        let (before, after) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
        let code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(&language.comment);
        let lines: Vec<u32> = cheat::added(before, after)
            .into_iter()
            .filter_map(|(number, line)| code(line).then_some(number))
            .collect();
        let hit = lines.iter().any(|number| ran.is_some_and(|ran| ran.contains(number)));
        // Where lines are told apart, those that cannot run say nothing.
        let missed = last.record.missed.get(&change.path);
        let tells = missed.is_none_or(|missed| lines.iter().any(|number| missed.contains(number)));
        if !lines.is_empty() && (hit || tells) {
            known = Some(known.unwrap_or(true) && hit);
        }
    }
    known
}

/// Up to three names, short.
fn list<T: AsRef<str>>(names: &[T]) -> String {
    let short = |name: &T| {
        let name = name.as_ref();
        let start = ["::", " > "].iter().filter_map(|mark| Some(name.rfind(mark)? + mark.len())).max();
        name[start.unwrap_or(0)..].to_owned()
    };
    let mut shown: Vec<String> = names.iter().take(3).map(short).collect();
    if names.len() > 3 {
        shown.push(format!("{} more", names.len() - 3));
    }
    match shown.pop() {
        Some(last) if shown.is_empty() => last,
        Some(last) => format!("{} and {last}", shown.join(", ")),
        None => String::new(),
    }
}

fn verb<'a, T>(names: &[T], one: &'a str, many: &'a str) -> &'a str {
    if names.len() == 1 { one } else { many }
}
