//! The audit log: one line for each decision with an effect outside, in a file that only grows.
//!
//! Each line holds the SHA-256 of the line before it, so no line can be changed, moved or taken out without breaking
//! what follows; the last one's stands in a file of its own, which shows lines taken from the end. Who may write both
//! files can write both anew: note the last hash elsewhere to guard against that.

use super::files::{is_missing, make_folder, now};
use super::index::{append, create, open};
use super::{hide, this_server};
use crate::text::sha256;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// What the first line follows.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// A line that is longer is not one of ours.
const LONGEST: u64 = 1 << 20;

/// A decision with an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Text was sent to a model.
    ModelCalled,
    /// A program was given to the sandbox.
    ContainerRun,
    /// The sandbox did not run it.
    ContainerRefused,
    /// The user agreed to an installation.
    ConsentGiven,
    /// Packages were fetched and their code run, with a network.
    DependenciesInstalled,
    EditApplied,
    /// The editor gave a key, or had it forgotten; the key itself stands nowhere.
    KeySet,
    KeyForgotten,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::ModelCalled => "model_called",
            Self::ContainerRun => "container_run",
            Self::ContainerRefused => "container_refused",
            Self::ConsentGiven => "consent_given",
            Self::DependenciesInstalled => "dependencies_installed",
            Self::EditApplied => "edit_applied",
            Self::KeySet => "key_set",
            Self::KeyForgotten => "key_forgotten",
        }
    }
}

/// The log of a folder. Clones write the same file; so may other processes.
#[derive(Clone, Debug)]
pub struct Audit {
    folder: PathBuf,
}

/// What a look through the log has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub lines: u64,
    /// SHA-256 of the last line.
    pub last: String,
    /// What is wrong, the earliest first; at most 100.
    pub problems: Vec<String>,
}

/// The last line that was written.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    seq: u64,
    sha256: String,
}

impl Audit {
    /// Touches nothing yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Writes a line; it is on the disk when this answers.
    pub async fn add(&self, deed: Deed, task: Option<&str>, fields: Value) -> Result<(), String> {
        let mut line = json!({"at": now(), "server": this_server(), "task": task, "deed": deed.name()});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        hide(&mut line);
        let audit = self.clone();
        let written = tokio::task::spawn_blocking(move || audit.write(line)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| format!("the audit log {} cannot be written: {error}", self.path().display()))
    }

    fn write(&self, mut line: Value) -> io::Result<()> {
        if self.folder.as_os_str().is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no home folder"));
        }
        make_folder(&self.folder)?;
        let lock = open(&self.folder.join("audit.lock"), OpenOptions::new().create(true).append(true))?;
        match lock.lock() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        let last = self.last_line()?;
        let seq = last.as_ref().and_then(|last| serde_json::from_slice::<Value>(last).ok()?["seq"].as_u64());
        // Where lines were taken from the end, the numbers tell of it for ever.
        let seq = seq.max(self.head().map(|head| head.seq)).map_or(0, |seq| seq + 1);
        line["seq"] = json!(seq);
        line["prev"] = json!(last.map_or_else(|| BEGINNING.to_owned(), |last| sha256(&last)));
        let text = line.to_string();
        append(&self.path(), format!("{text}\n").as_bytes(), true)?;
        let draft = self.folder.join("audit.head.tmp");
        let head = Head { seq, sha256: sha256(text.as_bytes()) };
        create(&draft)?.write_all(&serde_json::to_vec(&head)?)?;
        fs::rename(draft, self.folder.join("audit.head"))
    }

    fn head(&self) -> Option<Head> {
        serde_json::from_slice(&fs::read(self.folder.join("audit.head")).ok()?).ok()
    }

    fn last_line(&self) -> io::Result<Option<Vec<u8>>> {
        let mut file = match open(&self.path(), OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
        file.read_to_end(&mut end)?;
        let line = end.strip_suffix(b"\n").unwrap_or(&end);
        let begin = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Ok((length > 0).then(|| line[begin..].to_vec()))
    }

    /// All lines.
    pub fn text(&self) -> io::Result<String> {
        io::read_to_string(open(&self.path(), OpenOptions::new().read(true))?)
    }

    /// Looks through all lines.
    pub fn verify(&self) -> io::Result<Verified> {
        let mut found = Verified { last: BEGINNING.into(), ..Verified::default() };
        let head = self.head();
        let mut at_head = None;
        let file = match open(&self.path(), OpenOptions::new().read(true)) {
            Ok(file) => Some(file),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(error),
        };
        for line in file.into_iter().flat_map(|file| BufReader::new(file).split(b'\n')) {
            let line = line?;
            found.lines += 1;
            if let Some(problem) = found.problem(&line)
                && found.problems.len() < 100
            {
                found.problems.push(format!("line {}: {problem}", found.lines));
            }
            found.last = sha256(&line);
            if head.as_ref().is_some_and(|head| head.sha256 == found.last) {
                at_head = Some(found.lines);
            }
        }
        match (&head, at_head) {
            (Some(head), None) => found.problems.push(format!(
                "the line {} that was written last, {}, is not there: lines were taken from the end or changed",
                head.seq + 1,
                head.sha256
            )),
            (None, _) if found.lines > 0 => {
                found.problems.push("audit.head, which names the last line, is gone".into());
            }
            _ => {}
        }
        Ok(found)
    }
}

impl Verified {
    /// What is wrong with the next line.
    fn problem(&self, line: &[u8]) -> Option<String> {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            return Some("it cannot be read: changed, or torn by a crash".into());
        };
        if value["prev"] != self.last.as_str() {
            return Some(
                "it does not follow the line before it: one of them was changed, moved or taken out".into(),
            );
        }
        let seq = self.lines - 1;
        (value["seq"] != seq).then(|| format!("its number is {}, not {seq}", value["seq"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of five lines.
    fn log(folder: &std::path::Path) -> Audit {
        let audit = Audit::new(folder.join("state"));
        for number in 0..5 {
            audit.write(json!({"deed": "key_set", "number": number})).unwrap();
        }
        audit
    }

    #[test]
    fn an_untouched_log_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Audit::new(folder.path().join("none")).verify().unwrap().problems, Vec::<String>::new());
        let verified = log(folder.path()).verify().unwrap();
        assert_eq!((verified.lines, verified.problems), (5, vec![]));
    }

    #[test]
    fn processes_that_write_at_once_make_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        let write = |_| {
            let folder = folder.path().to_owned();
            std::thread::spawn(move || log(&folder))
        };
        for thread in (0..4).map(write).collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        let verified = Audit::new(folder.path().join("state")).verify().unwrap();
        assert_eq!((verified.lines, verified.problems), (20, vec![]));
    }

    #[test]
    fn any_change_is_found() {
        type Change = fn(Vec<&str>) -> String;
        let changes: [(&str, Change); 7] = [
            ("a word", |lines| lines.join("\n").replace("\"number\":2", "\"number\":7")),
            ("a line less", |lines| [&lines[..2], &lines[3..]].concat().join("\n")),
            ("none at the end", |lines| lines[..4].join("\n")),
            ("none at the beginning", |lines| lines[1..].join("\n")),
            ("another order", |lines| [lines[0], lines[2], lines[1], lines[3], lines[4]].join("\n")),
            ("twice", |lines| [lines[0], lines[0], lines[1], lines[2], lines[3], lines[4]].join("\n")),
            ("nothing", |_| String::new()),
        ];
        for (what, change) in changes {
            let folder = tempfile::tempdir().unwrap();
            let audit = log(folder.path());
            let text = fs::read_to_string(audit.path()).unwrap();
            let text = change(text.lines().collect());
            fs::write(audit.path(), if text.is_empty() { text } else { text + "\n" }).unwrap();
            assert!(!audit.verify().unwrap().problems.is_empty(), "{what}");
            audit.write(json!({"deed": "key_set"})).unwrap();
            assert!(!audit.verify().unwrap().problems.is_empty(), "{what}, and then one more");
        }
    }
}
