//! Secrets of the workspace never reach a model: each is replaced by a placeholder of its own, and put back where an
//! edit holds the placeholder. Pure.
//!
//! The placeholder holds the task's nonce, which nobody who writes a file can know; one that stands for no secret
//! refuses the answer, so that no mask is ever written into a file.

use crate::model::Message;
use crate::model::redact::{self, Found, is_mixed};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Values of `.env` files shorter than this would hide ordinary words.
const SHORTEST_VALUE: usize = 8;
/// A name with one of these in it is that of a secret.
const SECRET_NAMES: &[&str] =
    &["password", "passwd", "secret", "token", "api_key", "apikey", "access_key", "private_key"];

/// The secrets of one task.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    nonce: String,
    /// Number 1 is the first.
    secrets: Vec<String>,
    /// Where secrets were found: path, line and kind, never the value.
    places: BTreeSet<(String, usize, &'static str)>,
    /// What of that was told.
    told: bool,
}

impl Masks {
    pub fn new(nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), ..Self::default() }
    }

    /// Takes over what is known to be secret.
    pub fn learn(&mut self, secrets: Vec<String>) {
        for secret in secrets {
            self.number(&secret);
        }
    }

    /// `text` of a file from line `first` on (from 1), without its secrets.
    pub fn hide_file(&mut self, path: &str, first: usize, text: &str) -> String {
        let found = find(text, &self.secrets);
        for one in &found {
            let line = first + text[..one.start].matches('\n').count();
            self.told &= !self.places.insert((path.to_owned(), line, one.kind));
        }
        self.replace(text, &found)
    }

    /// `text` of no file, e.g. a program's output, without secrets known and unknown.
    pub fn hide(&mut self, text: &str) -> String {
        let mut known: Vec<_> = self.secrets.iter().map(String::as_str).enumerate().collect();
        known.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.len()));
        let mut hidden = text.to_owned();
        for (index, secret) in known {
            if hidden.contains(secret) {
                hidden = hidden.replace(secret, &placeholder(&self.nonce, index + 1));
            }
        }
        let mut found = redact::find(&hidden);
        redact::merge(&mut found);
        self.replace(&hidden, &found)
    }

    /// Hides in everything that is about to be sent.
    pub fn hide_in(&mut self, messages: &mut [Message]) {
        for message in messages {
            message.content = self.hide(&message.content);
        }
    }

    /// `text` of an edit with its secrets back.
    ///
    /// # Errors
    /// A sentence for the model, when it holds a placeholder that stands for nothing.
    pub fn restore(&self, text: &str) -> Result<String, String> {
        let mut restored = text.to_owned();
        for (index, secret) in self.secrets.iter().enumerate() {
            restored = restored.replace(&placeholder(&self.nonce, index + 1), secret);
        }
        let mark = format!("masked-{}", self.nonce);
        match restored.lines().find(|line| line.contains(&mark)) {
            Some(line) => Err(format!(
                "`{}` holds a placeholder that stands for no secret; copy placeholders exactly, invent none",
                line.trim()
            )),
            None => Ok(restored),
        }
    }

    /// What to tell the user, once for every new place.
    pub fn news(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.told, true) || self.places.is_empty() {
            return None;
        }
        let mut text = String::from("hidden from the models:");
        for (index, (path, line, kind)) in self.places.iter().take(20).enumerate() {
            let _ = write!(text, "{} {path}:{line} ({kind})", if index == 0 { "" } else { "," });
        }
        if self.places.len() > 20 {
            let _ = write!(text, " and {} more", self.places.len() - 20);
        }
        Some(text)
    }

    fn replace(&mut self, text: &str, found: &[Found]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for one in found {
            out.push_str(&text[end..one.start]);
            let number = self.number(&text[one.start..one.end]);
            out.push_str(&placeholder(&self.nonce, number));
            end = one.end;
        }
        out.push_str(&text[end..]);
        out
    }

    /// The number of a secret, a new one if it is new.
    fn number(&mut self, secret: &str) -> usize {
        match self.secrets.iter().position(|known| known == secret) {
            Some(index) => index + 1,
            None => {
                self.secrets.push(secret.to_owned());
                self.secrets.len()
            }
        }
    }
}

/// Where secrets stand in the text of a file: what looks like one, what is called one, and those that are known.
fn find(text: &str, known: &[String]) -> Vec<Found> {
    let mut found = redact::find(text);
    found.extend(assigned(text));
    for secret in known {
        let kind = "value known to be secret";
        let hits = text.match_indices(secret.as_str());
        found.extend(hits.map(|(at, _)| Found { start: at, end: at + secret.len(), kind }));
    }
    redact::merge(&mut found);
    found
}

/// `text` for others, who are not to see a secret, and put none back.
pub(super) fn veil(text: &str, known: &[String]) -> String {
    redact::replace(text, &find(text, known))
}

/// The values of a `.env` file, which is shown to nobody itself, but for those that may be ordinary words.
pub(super) fn values(env: &str) -> Vec<String> {
    let value = |line: &str| {
        let (_, value) = line.trim_start().trim_start_matches("export ").split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (value.len() >= SHORTEST_VALUE && is_mixed(value)).then(|| value.to_owned())
    };
    env.lines().filter_map(value).collect()
}

fn placeholder(nonce: &str, number: usize) -> String {
    format!("<masked-{nonce}-{number}>")
}

/// Values that are given to names of secrets: `password = "hunter2hunter2"`, `DB_PASSWORD=hunter2hunter2`.
fn assigned(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((from, to)) = value_of_secret(line) {
            found.push(Found { start: start + from, end: start + to, kind: "value of a secret's name" });
        }
        start += line.len();
    }
    found
}

/// Where in a line the value of a secret stands.
fn value_of_secret(line: &str) -> Option<(usize, usize)> {
    let sign = line.find(['=', ':'])?;
    let name = line[..sign].trim_end().trim_end_matches(['"', '\'']);
    let begin = name.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').map_or(0, |at| at + 1);
    let name = name.get(begin..)?;
    let low = name.to_ascii_lowercase().replace('-', "_");
    if !SECRET_NAMES.iter().any(|word| low.ends_with(word)) {
        return None;
    }
    let from = line.len() - line[sign + 1..].trim_start().len();
    let (from, to) = match line[from..].chars().next()? {
        quote @ ('"' | '\'') => (from + 1, from + 1 + line[from + 1..].find(quote)?),
        // Code assigns expressions; files of settings write names in capitals.
        _ if low.to_ascii_uppercase() == name.replace('-', "_") => (from, line.trim_end().len()),
        _ => return None,
    };
    let value = line.get(from..to)?;
    let is_plain = !value.contains(|c: char| c.is_whitespace() || "$<>{}()[]".contains(c));
    (value.len() >= SHORTEST_VALUE && is_plain && is_mixed(value)).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-or-v1-0123456789abcdef";

    #[test]
    fn every_secret_has_a_placeholder_and_comes_back() {
        let mut masks = Masks::new("n0nce");
        masks.learn(values("# local\nexport DB='horse-battery-1'\nPORT=8080\nURL=localhost\n"));
        let text = format!(
            "a = '{KEY}'\nb = '{KEY}'\npassword = \"hunter22hunter\"\n\"api_key\": 'abcd1234',\nDB_TOKEN=zxcv1234 \n\
             horse-battery-1\ntoken = lexer.next1(a)\nsecret: str\n-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"
        );
        let hidden = masks.hide_file("a.py", 11, &text);
        assert_eq!(
            hidden,
            "a = 'sk-or-v1-<masked-n0nce-2>'\nb = 'sk-or-v1-<masked-n0nce-2>'\npassword = \"<masked-n0nce-3>\"\n\
             \"api_key\": '<masked-n0nce-4>',\nDB_TOKEN=<masked-n0nce-5> \n<masked-n0nce-1>\ntoken = lexer.next1(a)\nsecret: str\n\
             -----BEGIN PRIVATE KEY-----<masked-n0nce-6>\n"
        );
        assert_eq!(masks.restore(&hidden).unwrap(), text);
        let news = masks.news().unwrap();
        assert!(
            news.starts_with(
                "hidden from the models: a.py:11 (OpenRouter key), a.py:12 (OpenRouter key), a.py:13"
            ),
            "{news}"
        );
        assert!(!news.contains("hunter") && news.contains("a.py:19 (private key)"), "{news}");
        masks.hide_file("a.py", 11, &text);
        assert_eq!(masks.news(), None, "it is told once");
        assert_eq!(masks.hide("it said hunter22hunter"), "it said <masked-n0nce-3>");
        let wrong = masks.restore("x = '<masked-n0nce-77>'\n").unwrap_err();
        assert!(
            wrong.starts_with("`x = '<masked-n0nce-77>'` holds a placeholder that stands for no"),
            "{wrong}"
        );
    }
}
