//! What an interrupted task was told before: asked the very same once more, it is answered from the journal, and nothing
//! is paid for twice. What differs in one letter is asked anew, but for times, addresses and random names, which a
//! check prints otherwise each time that it runs.

use super::{Round, Store};
use crate::model::{Finish, Reply, Usage};
use crate::text::sha256;
use serde_json::json;
use std::sync::{Mutex, PoisonError};

/// Tasks that resumed one another, at most.
const LINKS: usize = 32;

/// The answers that are left.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Told>>);

struct Told {
    agent: String,
    question: String,
    reply: Reply,
}

impl Memory {
    /// The answers of a task of this machine, and of those that it resumed.
    pub(super) async fn of(store: &dyn Store, task: Option<&str>) -> Self {
        let (mut told, mut next) = (Vec::new(), task.map(str::to_owned));
        for _ in 0..LINKS {
            let Some(id) = next.take() else { break };
            // What cannot be read is asked anew.
            let Ok(record) = store.task(&id).await else { break };
            if record.row.remote {
                break;
            }
            told.splice(0..0, record.rounds.iter().filter_map(whole));
            next = record.asked["resumes"].as_str().map(str::to_owned);
        }
        Self(Mutex::new(told))
    }

    /// The answer to this [`question`], once.
    pub(super) fn take(&self, agent: &str, question: &str) -> Option<Reply> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = told.iter().position(|told| told.agent == agent && told.question == question)?;
        Some(told.remove(at).reply)
    }
}

/// The answer of a round, if it ended properly and stands there to the letter: keys are hidden in a journal, and what is
/// too long is cut. It costs nothing any more.
fn whole(round: &Round) -> Option<Told> {
    let text = round.reply.clone().filter(|_| !round.again)?;
    let stopped = round.finish.as_ref().is_some_and(|finish| json!(Finish::Stop) == *finish.as_str());
    let (agent, model, usage) = (round.agent.clone(), round.model.clone(), Usage::default());
    (stopped && sha256(text.as_bytes()) == round.reply_sha256).then(|| Told {
        agent,
        question: round.question.clone(),
        reply: Reply { text, finish: Finish::Stop, model, usage },
    })
}

/// The SHA-256 of a prompt without times, addresses and random names.
pub(super) fn question(prompt: &str) -> String {
    let mut still = String::with_capacity(prompt.len());
    for line in prompt.split_inclusive('\n') {
        let words = line.to_ascii_lowercase();
        let is_timed = words.contains("time") || words.contains("duration");
        let (mut rest, mut in_word) = (line, false);
        while let Some(first) = rest.chars().next() {
            let passing = if in_word { None } else { passing(rest, is_timed) };
            if passing.is_some() {
                still.push('#');
            } else {
                still.push(first);
            }
            in_word = first.is_alphanumeric() || matches!(first, '_' | '.');
            rest = &rest[passing.unwrap_or(first.len_utf8())..];
        }
    }
    sha256(still.as_bytes())
}

/// Bytes of what passes that `text` begins with: a number with a unit, one with a point where a line tells of times, a
/// number in hexadecimal, 128 random bits.
fn passing(text: &str, is_timed: bool) -> Option<usize> {
    const UNITS: &[&str] = &["s", "ms", "us", "µs", "μs", "ns", "sec", "secs", "seconds"];
    /// Hexadecimal digits of a random name.
    const RANDOM: usize = 32;
    let end = |text: &str, part: fn(char) -> bool| text.find(|c| !part(c)).unwrap_or(text.len());
    let number = end(text, |c| c.is_ascii_digit() || c == '.');
    if end(text, |c| c.is_ascii_hexdigit()) == RANDOM && end(text, char::is_alphanumeric) == RANDOM {
        return Some(RANDOM);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let behind = &text[number..];
    let gap = usize::from(behind.starts_with(' '));
    let word = &behind[gap..][..end(&behind[gap..], char::is_alphanumeric)];
    if UNITS.contains(&word) {
        return Some(number + gap + word.len());
    }
    let digits = word.strip_prefix('x').filter(|_| gap == 0 && &text[..number] == "0");
    if digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Some(number + word.len());
    }
    (is_timed && text[..number].trim_end_matches('.').contains('.')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_addresses_make_no_other_question() {
        for (one, other) in [
            ("1 failed in 0.03s", "1 failed in 12.5s"),
            ("--- FAIL: TestBelow (0.00s)\n", "--- FAIL: TestBelow (0.01s)\n"),
            ("took 3 ms, then", "took 217 ms, then"),
            ("duration_ms: 1.25\nnot ok 1", "duration_ms: 33.5\nnot ok 1"),
            ("/tmp/741c4236aa4f40a5bf7cb070b975c5ab-x.xml", "/tmp/90e2bd00afa44527b9877bd87fbf0bfd-x.xml"),
            ("<Gcd object at 0x7f00aa>", "<Gcd object at 0x7fbb01>"),
        ] {
            assert_eq!(question(one), question(other), "{one} {other}");
        }
        for (one, other) in [
            ("1 failed", "2 failed"),
            ("x = 0.5", "x = 0.7"),
            ("assert 3 == 4", "assert 3 == 5"),
            ("v1s", "v2s"),
            ("741c4236aa4f40a5bf7cb070b975c5abcd", "90e2bd00afa44527b9877bd87fbf0bfdcd"),
            ("at line 10 same", "at line 11 same"),
            ("a", "a\n"),
        ] {
            assert_ne!(question(one), question(other), "{one} {other}");
        }
    }

    fn round(reply: &str) -> Round {
        Round {
            agent: "coder".into(),
            model: "m".into(),
            question: "ab".into(),
            reply: Some(reply.into()),
            reply_sha256: sha256(reply.as_bytes()),
            finish: Some("stop".into()),
            usage: Usage { calls: 1, cost_usd: 0.5, ..Usage::default() },
            ..Round::default()
        }
    }

    #[test]
    fn an_answer_serves_once_and_only_whole() {
        let memory = Memory(Mutex::new(vec![whole(&round("one")).unwrap(), whole(&round("two")).unwrap()]));
        assert!(memory.take("debugger", "ab").is_none() && memory.take("coder", "ac").is_none());
        let first = memory.take("coder", "ab").unwrap();
        assert_eq!((first.text.as_str(), first.usage), ("one", Usage::default()));
        assert_eq!(memory.take("coder", "ab").unwrap().text, "two");
        assert!(memory.take("coder", "ab").is_none());
        for (what, partial) in [
            ("not ended", Round { finish: Some("length".into()), ..round("x") }),
            ("an error", Round { reply: None, ..round("x") }),
            ("a hidden key", Round { reply: Some("sk-***".into()), ..round("sk-1") }),
            ("of an older version", Round { reply_sha256: String::new(), ..round("x") }),
            ("of the task that was resumed", Round { again: true, ..round("x") }),
        ] {
            assert!(whole(&partial).is_none(), "{what}");
        }
    }
}
