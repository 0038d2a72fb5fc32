//! One completion at the cursor, by the Coder: what is asked, and how the answer is read. Nothing is awaited here.
//!
//! The rules of tasks hold: what is ignored, excluded or secret is not sent, secrets in the text are masked, and only an
//! answer that ended properly is taken.

use super::budget::{self, Tally};
use super::mask::Masks;
use super::{Options, environment, role};
use crate::model::{Agent, Call, Finish, Heard, Model, Reply, Usage, price};
use crate::workspace::{Documents, Snapshot};
use std::path::Path;

/// Bytes of text around the cursor that are sent.
const BEFORE: usize = 6 << 10;
const BEHIND: usize = 2 << 10;
/// Tokens of an answer: more is no completion.
const ANSWER_TOKENS: u32 = 256;

/// A question on its way.
pub struct Completion {
    tally: Tally,
    masks: Masks,
    /// The file, relative to the folder.
    pub path: String,
    /// Marks what comes from the file, as in tasks.
    pub nonce: String,
    /// The line of the cursor, up to it and from it on.
    line: (String, String),
}

impl Completion {
    /// What to ask about byte `at` of a file below `root`; `None` where nothing may or can be asked. `spent` counts
    /// against the budget of a task. Blocks on the disk.
    pub fn new(
        (root, path, at): (&Path, &str, usize),
        documents: &Documents,
        (options, model): (&Options, &dyn Model),
        spent: &Usage,
    ) -> Option<Self> {
        let snapshot = Snapshot::take(root, documents, &options.exclude).ok()?;
        let text = snapshot.text(path).ok()?;
        let (before, behind) = (text.get(..at)?, text.get(at..)?);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut masks = Masks::new(&nonce);
        masks.learn(environment(root));
        let first = before.rsplit('\n').next().unwrap_or_default().to_owned();
        let last = behind.lines().next().unwrap_or_default().to_owned();
        let (before, behind) = (masks.hide_file(path, 1, before), masks.hide_file(path, 1, behind));
        if format!("{before}{behind}") != masks.hide_file(path, 1, &text) {
            // The cursor is in the middle of a secret.
            return None;
        }
        let before = &before[before.len() - last_bytes(&before, BEFORE)..];
        let messages = role::complete(path, before, &behind[..first_bytes(&behind, BEHIND)], &nonce);
        let prompt = messages.iter().map(|message| price::tokens(&message.content)).sum();
        let agent = options.agents.get(&Agent::Coder).cloned().unwrap_or_default();
        let price = model.price(&agent.model);
        let prices: Vec<_> = price.into_iter().collect();
        let granted =
            budget::answer_tokens(options.tokens_per_task, options.usd_per_task, spent, prompt, &prices)
                .ok()?;
        let call = Call {
            agent: Agent::Coder,
            model: agent.model,
            // Who types on does not wait for a second try.
            fallbacks: Vec::new(),
            temperature: agent.temperature,
            max_tokens: granted.min(ANSWER_TOKENS),
            messages,
            schema: None,
            stable: 0,
            session: nonce.clone(),
        };
        Some(Self { tally: Tally::of(call, price), masks, path: path.to_owned(), nonce, line: (first, last) })
    }

    pub fn call(&self) -> &Call {
        &self.tally.call
    }

    /// Takes note of what is heard while the answer comes.
    pub fn hear(&self, heard: &Heard<'_>) {
        self.tally.hear(heard);
    }

    /// What it cost: as told, else an estimate of what had arrived.
    pub fn spent(&self, told: Option<Usage>) -> Usage {
        self.tally.spent(told)
    }

    /// The text to insert; `None` when there is none that can be taken.
    pub fn read(&self, reply: &Reply) -> Option<String> {
        if reply.finish != Finish::Stop {
            return None;
        }
        let text = self.masks.restore(&fenced(&reply.text)?).ok()?;
        let (before, behind) = (&self.line.0, self.line.1.trim_end());
        // Some models repeat the line that they complete.
        let text = text.strip_prefix(before.as_str()).filter(|_| !before.trim().is_empty()).unwrap_or(&text);
        let text = text.strip_suffix(behind).filter(|_| !behind.is_empty()).unwrap_or(text);
        (!text.trim().is_empty()).then(|| text.to_owned())
    }
}

/// How many bytes of whole lines there are among the last `most`; of a longer line, of whole characters.
fn last_bytes(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let start = (text.len() - most..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.len() - text[start..].find('\n').map_or(start, |newline| start + newline + 1)
}

/// The same of the first.
fn first_bytes(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].rfind('\n').map_or(end, |newline| newline + 1)
}

/// What the first fenced block of an answer holds, without its last line break.
fn fenced(answer: &str) -> Option<String> {
    let mut lines = answer.lines().skip_while(|line| !line.trim_start().starts_with("```"));
    let fence = lines.next()?.trim_start();
    let ticks = &fence[..fence.len() - fence.trim_start_matches('`').len()];
    let mut inside = Vec::new();
    for line in lines {
        if line.trim() == ticks {
            return Some(inside.join("\n"));
        }
        inside.push(line);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unasked;

    const KEY: &str = "sk-or-v1-5c0ffee5c0ffee5c0ffee5c0ffee5c0f";

    fn ask(files: &[(&str, &str)], path: &str, at: usize, spent: &Usage) -> Option<Completion> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        let options = Options {
            tokens_per_task: 10_000,
            usd_per_task: 0.5,
            exclude: vec!["hidden.py".into()],
            ..Options::default()
        };
        Completion::new((folder.path(), path, at), &Documents::default(), (&options, &Unasked), spent)
    }

    fn asked(files: &[(&str, &str)], path: &str, at: usize) -> Option<String> {
        let completion = ask(files, path, at, &Usage::default())?;
        Some(completion.call().messages[1].content.replace(&completion.nonce, "N"))
    }

    #[test]
    fn the_text_around_the_cursor_is_sent_and_nothing_that_is_closed() {
        let text = "def f():\n    re\n";
        assert_eq!(
            asked(&[("a.py", text)], "a.py", 15).as_deref(),
            Some("<data-N file=\"a.py\">\ndef f():\n    re<hole-N>\n\n</data-N>\n")
        );
        for (closed, at) in [(".env", 0), ("hidden.py", 0), ("gone.py", 0), ("a.py", 99)] {
            let files = [(".env", "A=1\n"), ("hidden.py", text), ("a.py", text)];
            assert_eq!(asked(&files, closed, at), None, "{closed}");
        }
        assert_eq!(asked(&[(".gitignore", "a.py\n"), ("a.py", text)], "a.py", 0), None);
        let long = format!("{}x\ny\n{}", "é\n".repeat(5_000), "é\n".repeat(5_000));
        let sent = asked(&[("a.py", &long)], "a.py", 15_001).expect("a question");
        assert!(sent.len() < BEFORE + BEHIND + 100 && sent.contains("é\nx<hole-N>\ny\né\n"));
    }

    #[test]
    fn secrets_are_masked_and_put_back() {
        let text = format!("key = \"{KEY}\"\nuse(");
        let files: [(&str, &str); 1] = [("a.py", &text)];
        let completion = ask(&files, "a.py", text.len(), &Usage::default()).expect("a question");
        let sent = format!("{:?}", completion.call().messages);
        assert!(!sent.contains("c0ffee") && sent.contains(&format!("<masked-{}-1>", completion.nonce)));
        let answer = format!("```\n\"<masked-{}-1>\")\n```", completion.nonce);
        // The beginning says whose key it is, and stays.
        let secret = KEY.trim_start_matches("sk-or-v1-");
        assert_eq!(read(&completion, &answer).as_deref(), Some(&*format!("\"{secret}\")")));
        assert_eq!(read(&completion, &answer.replace("-1>", "-2>")), None);
        assert!(ask(&files, "a.py", 20, &Usage::default()).is_none(), "the cursor is in the key");
    }

    #[test]
    fn the_budget_is_kept() {
        let files = [("a.py", "x = \n")];
        let spent = |prompt_tokens, cost_usd| Usage { prompt_tokens, cost_usd, ..Usage::default() };
        assert_eq!(
            ask(&files, "a.py", 4, &spent(0, 0.0)).map(|one| one.call().max_tokens),
            Some(ANSWER_TOKENS)
        );
        assert!(ask(&files, "a.py", 4, &spent(9_900, 0.0)).is_none());
        assert!(ask(&files, "a.py", 4, &spent(0, 0.5)).is_none());
    }

    fn read(completion: &Completion, text: &str) -> Option<String> {
        let usage = Usage::default();
        completion.read(&Reply { text: text.into(), finish: Finish::Stop, model: String::new(), usage })
    }

    #[test]
    fn answers() {
        let completion =
            ask(&[("a.py", "  return (1)\n")], "a.py", 10, &Usage::default()).expect("a question");
        for (answer, expect) in [
            ("```\n2 + \n```\n", Some("2 + ")),
            ("Here:\n```python\n2 +\n3 +\n```\nMore.", Some("2 +\n3 +")),
            ("````\n```\n````", Some("```")),
            ("```\n  return (2 + \n```", Some("2 + ")),
            ("```\n2 + 1)\n```", Some("2 + ")),
            ("```\n1)\n```", None),
            ("```\n```", None),
            ("```\n  \n```", None),
            ("2 + ", None),
            ("```\n2 + ", None),
        ] {
            assert_eq!(read(&completion, answer).as_deref(), expect, "{answer:?}");
        }
        let cut = Reply {
            text: "```\n2\n```".into(),
            finish: Finish::Length,
            model: String::new(),
            usage: Usage::default(),
        };
        assert_eq!(completion.read(&cut), None);
    }
}
