//! What is asked of the Redis: each question one script, which happens whole or not at all.

use super::super::Row;
use super::super::line::{hide, tame};
use crate::link::{Link, LinkError, Seal, key, key_of};
use redis::Script;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;

/// Lines of one task that are kept.
const LINES: usize = 5000;
/// The kind of what is said of a task in the list of all.
const ROW: &str = "row";
/// Changes that are kept: who was away for more reads all rows.
const CHANGES: usize = 10_000;
/// Tasks that are kept, and that are read at most.
const TASKS: usize = 10_000;
/// Bytes of a line and of a row; what is longer is not read.
const LONGEST_LINE: usize = 1 << 20;
const LONGEST_ROW: usize = 16 << 10;
/// Characters of a text in a row.
const LONGEST_WORDS: usize = 500;
/// Bytes of lines in one answer.
const PAGE: usize = 2 << 20;
/// Pages of one task that are read.
pub(super) const PAGES: usize = 32;
/// What others say of one task.
const SAID: usize = 100;
const SAID_SECONDS: u64 = 7 * 86_400;
/// Silent for so long, a server is not there any more.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
const SERVERS: usize = 1000;
const LONGEST_NAME: usize = 2048;
const DAY: Duration = Duration::from_secs(86_400);

static PUSH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("push.lua")));
static REACH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reach.lua")));
static CHANGED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("changes.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lines.lua")));
static SAY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("say.lua")));
static THERE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));
static PRUNE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("prune.lua")));

/// Arguments as a script gets them.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$($arg.to_string().into_bytes()),*] };
}

/// Adds the lines between two places of a task's file. How far its lines reach now.
pub(super) async fn push(
    link: &Link,
    task: &str,
    (from, to): (u64, u64),
    row: Option<&Row>,
    lines: &[Value],
) -> Result<u64, LinkError> {
    let keys = [key("rows"), key("reach"), key("changes"), key_of("task", task)];
    let row = row.map(|row| stamped(link, ROW, task, short(row)));
    let mut args = args![task, from, to, row.unwrap_or_default(), LINES, CHANGES].to_vec();
    for line in lines {
        let text = stamped(link, "task", task, line.to_string());
        let cut = || json!({"at": line["at"], "kind": "noted", "level": "info", "text": format!("(a line of {} bytes is kept where it ran)", text.len())});
        let fits = text.len() <= LONGEST_LINE;
        args.push(if fits { text } else { stamped(link, "task", task, cut().to_string()) }.into_bytes());
    }
    link.run(&PUSH, &keys, &args).await.map(|reach: String| number(&reach))
}

/// How far the Redis has the lines of each of these tasks.
pub(super) async fn reach(link: &Link, tasks: &[String]) -> Result<Vec<u64>, LinkError> {
    let args: Vec<Vec<u8>> = tasks.iter().map(|task| task.clone().into_bytes()).collect();
    let reach: Vec<String> = link.run(&REACH, &[key("reach")], &args).await?;
    Ok(reach.iter().map(|reach| number(reach)).collect())
}

/// A float where it is large; what is none is none of ours.
fn number(text: &str) -> u64 {
    text.parse::<f64>().map_or(0, |number| number as u64)
}

/// A row whose texts are short: it is sent to all, each time that it changes.
fn short(row: &Row) -> String {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    for (_, field) in value.as_object_mut().into_iter().flatten() {
        if let Value::String(text) = field
            && text.len() > LONGEST_WORDS
        {
            *text = text.chars().take(LONGEST_WORDS).collect();
        }
    }
    hide(&mut value);
    value.to_string()
}

/// What has changed.
pub(super) struct Changes {
    /// These are all rows that there are.
    pub(super) all: bool,
    pub(super) last: String,
    /// `None`: it is gone, or nothing that can be read.
    pub(super) rows: Vec<(String, Option<Row>)>,
    /// Tasks whose rows the team has not signed, among those of `rows`.
    pub(super) strangers: Vec<String>,
}

/// The rows that have changed since `cursor`.
pub(super) async fn changes(link: &Link, cursor: &str) -> Result<Changes, LinkError> {
    let keys = [key("rows"), key("changes")];
    let args = args![cursor, TASKS * 2, LONGEST_ROW];
    let answer: Vec<Vec<u8>> = match cursor {
        "" => link.fetch(&CHANGED, &keys, &args).await?,
        _ => link.run(&CHANGED, &keys, &args).await?,
    };
    let mut answer = answer.into_iter();
    let mut text = || answer.next().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let all = text().as_deref() != Some("some");
    let last = text().unwrap_or_default();
    let (mut rows, mut strangers) = (Vec::new(), Vec::new());
    while let (Some(task), Some(row)) = (text(), text()) {
        let ours = is_ours(link, ROW, &task, row.as_bytes());
        if !ours && !row.is_empty() {
            strangers.push(task.clone());
        }
        let row = parse(row.as_bytes()).and_then(|row| serde_json::from_value::<Row>(row).ok());
        rows.push((task.clone(), row.filter(|row| ours && row.id == task)));
    }
    Ok(Changes { all, last, rows, strangers })
}

/// Lines of a task behind `cursor`, and the cursor for the next; `None` for one that cannot be read, or is not the
/// team's.
pub(super) async fn lines(
    link: &Link,
    kind: &str,
    task: &str,
    cursor: &str,
) -> Result<(Vec<Option<Value>>, String), LinkError> {
    let args = args![cursor, PAGE, LONGEST_LINE];
    let keys = [key_of(kind, task)];
    let answer: Vec<Vec<u8>> = match kind {
        "task" => link.fetch(&READ, &keys, &args).await?,
        _ => link.run(&READ, &keys, &args).await?,
    };
    let mut answer = answer.into_iter();
    let next = answer.next().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let lines = answer.map(|bytes| {
        let ours = is_ours(link, kind, task, &bytes);
        parse(&bytes).filter(|line| ours && line["kind"].is_string())
    });
    Ok((lines.collect(), next.unwrap_or_else(|| cursor.to_owned())))
}

/// Leaves a line for whoever runs a task; false when there is no such task.
pub(super) async fn say(link: &Link, task: &str, words: &Value) -> Result<bool, LinkError> {
    let args = args![task, stamped(link, "said", task, words.to_string()), SAID, SAID_SECONDS];
    link.run::<i64>(&SAY, &[key("rows"), key_of("said", task)], &args).await.map(|there| there == 1)
}

/// Says that `server` is there; who is, with their words.
pub(super) async fn beat(link: &Link, server: &str, words: &str) -> Result<Vec<(String, Value)>, LinkError> {
    let args = args![server, words, SILENCE.as_millis(), SERVERS, LONGEST_NAME];
    let answer: Vec<Vec<u8>> = link.run(&THERE, &[key("servers"), key("words")], &args).await?;
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = answer.chunks_exact(2);
    Ok(pairs.map(|pair| (name(&pair[0]), parse(&pair[1]).unwrap_or_default())).collect())
}

/// Lets go of what is too old or too much.
pub(super) async fn prune(link: &Link, days: u32, mib: u64) -> Result<usize, LinkError> {
    let keys = [key("rows"), key("reach"), key("changes")];
    let kept = DAY.as_millis() * u128::from(days);
    link.run(&PRUNE, &keys, &args![kept, mib << 20, TASKS, key_of("task", ""), key_of("said", ""), CHANGES])
        .await
}

/// What is said of a task, signed where the team has a key.
fn stamped(link: &Link, kind: &str, task: &str, object: String) -> String {
    match link.seal() {
        Some(seal) => seal.stamp(&format!("{kind} {task}"), &object),
        None => object,
    }
}

/// Whether something was said of this task by the team; where it has no key, by whom is not known.
fn is_ours(link: &Link, kind: &str, task: &str, object: &[u8]) -> bool {
    let is_stamped = |seal: &Seal| {
        let object = std::str::from_utf8(object);
        object.is_ok_and(|object| seal.is_stamped(&format!("{kind} {task}"), object))
    };
    link.seal().is_none_or(is_stamped)
}

/// What somebody wrote, made harmless.
fn parse(bytes: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("mac");
    }
    tame(&mut value);
    Some(value)
}
