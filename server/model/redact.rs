//! Hides keys and strips what could steer a terminal, before anything foreign is shown, logged or kept. Pure, but
//! for the keys in use, which are remembered so that they are known whatever they look like.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// What stands for a hidden key.
const HIDDEN: &str = "***";
/// A secret shorter than this is not searched for: it would hide ordinary words.
const SHORTEST_SECRET: usize = 6;

/// A password in a URL that is shorter is most often an example.
const SHORTEST_PASSWORD: usize = 8;

/// Keys in use that are remembered at most, each in all its forms.
const MOST_IN_USE: usize = 16;

/// The keys in use, each as the forms it could come back in.
static IN_USE: RwLock<Vec<Vec<SecretString>>> = RwLock::new(Vec::new());

/// Hides `secret` from now on, in everything that is shown: as it is, URL-encoded, in base64 and in hexadecimal.
pub fn remember(secret: &SecretString) {
    let secret = secret.expose_secret();
    let mut in_use = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
    let is_known = in_use.iter().any(|forms| forms[0].expose_secret() == secret);
    if secret.len() < SHORTEST_SECRET || is_known {
        return;
    }
    if in_use.len() == MOST_IN_USE {
        in_use.remove(0);
    }
    in_use.push(forms(secret).into_iter().map(SecretString::from).collect());
}

/// `text` without the keys in use, in whatever form; what only looks like a key stays.
pub fn without_keys_in_use(text: &str) -> Cow<'_, str> {
    let in_use = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
    let mut text = Cow::Borrowed(text);
    for form in in_use.iter().flatten().map(ExposeSecret::expose_secret) {
        if text.contains(form) {
            text = Cow::Owned(text.replace(form, HIDDEN));
        }
    }
    text
}

/// The secret itself comes first.
fn forms(secret: &str) -> Vec<String> {
    use base64::engine::{
        Engine,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    };
    let mut forms = vec![secret.to_owned()];
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    forms.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    forms.push(forms[2].to_uppercase());
    // What stands in front shifts base64 by up to two bytes; characters that hold foreign bits are left out.
    for front in 0..3_usize {
        let bytes = [&[0; 2][..front], secret.as_bytes()].concat();
        let own = (front * 8).div_ceil(6)..bytes.len() * 8 / 6;
        forms.extend(
            [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
                .map(|text| text[own.clone()].to_owned()),
        );
    }
    forms.dedup();
    forms
}

/// Redacts a text that comes in pieces: only whole words are let go.
#[derive(Default)]
pub struct Pieces(String);

/// A word that is longer is let go in parts, all but this many bytes of it.
const LONGEST_WORD: usize = 1024;

impl Pieces {
    /// What can be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        self.0.push_str(piece);
        let mut end = self.0.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        if self.0.len() - end > 2 * LONGEST_WORD {
            self.0 = redact(&self.0);
            end = self.0.len().saturating_sub(LONGEST_WORD);
        }
        while !self.0.is_char_boundary(end) {
            end += 1;
        }
        let rest = self.0.split_off(end);
        redact(&std::mem::replace(&mut self.0, rest))
    }

    /// What was held back.
    pub fn rest(&mut self) -> String {
        redact(&std::mem::take(&mut self.0))
    }
}

/// Where something stands that looks like a key, or a key in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte of what is to be hidden, and the first after it.
    pub start: usize,
    pub end: usize,
    /// For people, e.g. `GitHub token`.
    pub kind: &'static str,
}

/// `text` with everything hidden that looks like a key, and the keys in use. Linear in its length.
pub fn redact(text: &str) -> String {
    replace(text, &find(text))
}

/// `text` with what was found in it hidden.
pub fn replace(text: &str, all: &[Found]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for found in all {
        out.push_str(&text[end..found.start]);
        out.push_str(HIDDEN);
        end = found.end;
    }
    out.push_str(&text[end..]);
    out
}

/// `text` without any of `secrets`.
pub fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
}

/// `text` with a mark in the place of each character that steers a terminal or turns the order of what is read: control
/// characters but for tabs and the ends of lines, bidirectional overrides.
pub fn unsteering(text: &str) -> Cow<'_, str> {
    let steers = |(at, c): &(usize, char)| match c {
        '\n' | '\t' => false,
        '\r' => !text[at + 1..].starts_with('\n'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    };
    if !text.char_indices().any(|place| steers(&place)) {
        return text.into();
    }
    text.char_indices().map(|place| if steers(&place) { '\u{fffd}' } else { place.1 }).collect()
}

/// Does `act` to every text in `value`.
pub fn each_text(value: &mut Value, act: &dyn Fn(&mut String)) {
    match value {
        Value::String(text) => act(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, act)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_text(field, act)),
        _ => {}
    }
}

/// All that [`redact`] hides, in order and without overlaps.
pub fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let in_use = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
    for form in in_use.iter().flatten().map(ExposeSecret::expose_secret) {
        let kind = "the API key in use";
        found.extend(text.match_indices(form).map(|(at, _)| Found { start: at, end: at + form.len(), kind }));
    }
    drop(in_use);
    let (mut at, mut before) = (0, ' ');
    while let Some(char) = text[at..].chars().next() {
        if let Some(key) = key_at(&text[at..], before) {
            found.push(Found { start: at + key.shown, end: at + key.len, kind: key.kind });
            at += key.len;
            before = '*';
        } else {
            at += char.len_utf8();
            before = char;
        }
    }
    merge(&mut found);
    found
}

/// Puts in order, and makes one of those that overlap.
pub fn merge(found: &mut Vec<Found>) {
    found.sort_by_key(|one| (one.start, std::cmp::Reverse(one.end)));
    found.dedup_by(|next, one| {
        let overlaps = next.start < one.end;
        if overlaps {
            one.end = one.end.max(next.end);
        }
        overlaps
    });
}

/// What `text` may show people: one line without control characters, escape sequences and bidirectional
/// overrides, without keys (`secret` is the one in use), of at most `max` characters.
pub fn excerpt(text: &str, secret: Option<&str>, max: usize) -> String {
    let plain = plain(text);
    let hidden = match secret {
        Some(secret) if secret.len() >= SHORTEST_SECRET => Cow::Owned(plain.replace(secret, HIDDEN)),
        _ => Cow::Borrowed(&*plain),
    };
    let mut out = redact(&hidden);
    if let Some((at, _)) = out.char_indices().nth(max) {
        out.truncate(at);
        out.push('…');
    }
    out
}

/// `text` as one line: blanks joined, control characters and escape sequences gone.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_escape(&mut chars),
            _ if char.is_whitespace() => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            _ if char.is_control() || is_invisible(char) => {}
            _ => out.push(char),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Passes over what follows ESC: a CSI or OSC sequence, or one character (ECMA-48).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next_if(char::is_ascii) {
        Some('[') => {
            while chars.next_if(|char| matches!(char, ' '..='?')).is_some() {}
            chars.next_if(|char| matches!(char, '@'..='~'));
        }
        Some(']') => while chars.next_if(|char| !char.is_control()).is_some() {},
        _ => {}
    }
}

/// Characters that reorder or hide text: bidirectional controls, zero-width ones, the byte order mark.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A key at the start of a text: `shown` bytes of it tell its kind, `len` bytes are the whole.
struct Key {
    shown: usize,
    len: usize,
    kind: &'static str,
}

/// What begins a key, how many key characters must follow, and what it is.
const PREFIXES: &[(&str, usize, &str)] = &[
    ("sk-or-v1-", 1, "OpenRouter key"),
    ("sk-", 8, "API key"),
    ("ghp_", 16, "GitHub token"),
    ("gho_", 16, "GitHub token"),
    ("ghu_", 16, "GitHub token"),
    ("ghs_", 16, "GitHub token"),
    ("ghr_", 16, "GitHub token"),
    ("github_pat_", 16, "GitHub token"),
    ("AKIA", 16, "AWS key"),
    ("ASIA", 16, "AWS key"),
    ("xoxa-", 8, "Slack token"),
    ("xoxb-", 8, "Slack token"),
    ("xoxe-", 8, "Slack token"),
    ("xoxp-", 8, "Slack token"),
    ("xoxr-", 8, "Slack token"),
    ("xoxs-", 8, "Slack token"),
    ("AIza", 30, "Google key"),
    ("sk_live_", 16, "Stripe key"),
    ("sk_test_", 16, "Stripe key"),
    ("rk_live_", 16, "Stripe key"),
    ("whsec_", 16, "webhook secret"),
    ("glpat-", 16, "GitLab token"),
    ("npm_", 30, "npm token"),
    ("pypi-", 50, "PyPI token"),
    ("hf_", 30, "Hugging Face token"),
    ("gsk_", 30, "Groq key"),
];

/// The key that `text` begins with; `before` is the character in front of it.
fn key_at(text: &str, before: char) -> Option<Key> {
    if let Some(rest) = text.strip_prefix("-----BEGIN ") {
        return pem(text, rest);
    }
    if let Some(rest) = text.strip_prefix("://") {
        return password(rest);
    }
    if before.is_alphanumeric() {
        return None;
    }
    if text.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("bearer ")) {
        let len = run(&text[7..], |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        return (len >= 8).then_some(Key { shown: 7, len: 7 + len, kind: "bearer token" });
    }
    if text.starts_with("eyJ") {
        return web_token(text);
    }
    PREFIXES.iter().find_map(|&(prefix, least, kind)| {
        let rest = text.strip_prefix(prefix)?;
        let len = run(rest, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (len >= least).then_some(Key { shown: prefix.len(), len: prefix.len() + len, kind })
    })
}

/// The password of a URL, behind `://`, where it is no word.
fn password(rest: &str) -> Option<Key> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    let user = run(rest, belongs);
    let behind = rest[user..].strip_prefix(':')?;
    let len = run(behind, belongs);
    let shown = "://".len() + user + 1;
    let is_secret = behind[len..].starts_with('@') && len >= SHORTEST_PASSWORD && is_mixed(&behind[..len]);
    is_secret.then_some(Key { shown, len: shown + len, kind: "password in a URL" })
}

/// A JSON Web Token (RFC 7519): three parts, of which the first two are JSON objects.
fn web_token(text: &str) -> Option<Key> {
    let part = |from: usize| run(&text[from..], |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let head = part(0);
    let claims = head + 1 + text[head..].starts_with(".eyJ").then(|| part(head + 1))?;
    let len = claims + 1 + text[claims..].starts_with('.').then(|| part(claims + 1))?;
    (len >= 40).then_some(Key { shown: 3, len, kind: "web token" })
}

/// Letters and digits: hardly a word.
pub fn is_mixed(value: &str) -> bool {
    value.contains(|c: char| c.is_ascii_digit()) && value.contains(|c: char| c.is_ascii_alphabetic())
}

/// A PEM block with a private key, to its end line or else to the end of the text.
fn pem(text: &str, rest: &str) -> Option<Key> {
    let label = run(rest, |byte| byte == b' ' || byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !rest[..label].ends_with("PRIVATE KEY") || !rest[label..].starts_with("-----") {
        return None;
    }
    let shown = text.len() - rest.len() + label + 5;
    let end = text[shown..].find("-----END ").map(|at| shown + at + 9);
    let len = end.map_or(text.len(), |at| text[at..].find("-----").map_or(text.len(), |dash| at + dash + 5));
    Some(Key { shown, len, kind: "private key" })
}

/// How many bytes `text` begins with that `belongs` accepts (ASCII only).
fn run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_and_words_are_not() {
        let cases = [
            ("key sk-or-v1-0123456789abcdef.", "key sk-or-v1-***."),
            ("(sk-proj-abc_DEF-123)", "(sk-***)"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_***"),
            ("github_pat_11ABCDEFG0abcdefghijkl=", "github_pat_***="),
            ("id AKIAIOSFODNN7EXAMPLE", "id AKIA***"),
            ("xoxb-1234567890-abc", "xoxb-***"),
            ("AIzaSyA-0123456789_abcdefghijklmnopqrst", "AIza***"),
            ("authorization: bearer abc.def~123=", "authorization: bearer ***"),
            ("sk_live_0123456789abcdef", "sk_live_***"),
            ("postgres://app:hunter2hunter2@db:5432/x", "postgres://app:***@db:5432/x"),
            ("redis://:hunter2hunter2@db", "redis://:***@db"),
            (
                "http://user:password@host http://127.0.0.1:80800808/a@b",
                "http://user:password@host http://127.0.0.1:80800808/a@b",
            ),
            ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl;", "t=eyJ***;"),
            ("eyJhbGciOiJIUzI1NiJ9.x.y eyJ.é", "eyJhbGciOiJIUzI1NiJ9.x.y eyJ.é"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nrest",
                "-----BEGIN RSA PRIVATE KEY-----***\nrest",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----***"),
            ("-----BEGIN PUBLIC KEY-----\nMII", "-----BEGIN PUBLIC KEY-----\nMII"),
            (
                "risk-management-office, sk-1, AKIA, bearer of news",
                "risk-management-office, sk-1, AKIA, bearer of news",
            ),
            ("Straße → 🦀", "Straße → 🦀"),
        ];
        for (text, expect) in cases {
            assert_eq!(redact(text), expect);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_marked() {
        for (text, expect) in [
            ("a\tb\r\né\n", "a\tb\r\né\n"),
            ("a\u{1b}[2Kb\rc\u{9b}\u{202e}", "a\u{fffd}[2Kb\u{fffd}c\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(unsteering(text), expect);
        }
    }

    #[test]
    fn excerpts_are_one_harmless_line() {
        let cases = [
            ("  a\r\n\tb\0 ", "a b"),
            ("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{1b}", "red x"),
            ("\u{202e}abc\u{2066}\u{feff}", "abc"),
            ("no password1: swordfish", "no password1: ***"),
            ("sk-or\u{1b}[0m-v1-\u{200b}0123456789abcdef", "sk-or-v1-***"),
            ("0123456789012345678901234567890123456789", "012345678901234567890123456789…"),
        ];
        for (text, expect) in cases {
            assert_eq!(excerpt(text, Some("swordfish"), 30), expect);
        }
    }

    #[test]
    fn keys_in_use_are_known_in_every_form() {
        use base64::engine::{
            Engine,
            general_purpose::{STANDARD, URL_SAFE},
        };
        let key = "Zq~unusual/key+with&signs";
        remember(&SecretString::from(key));
        for front in ["", "a", "Bearer ", "user:", "xy"] {
            let sent = format!("{front}{key}!");
            for text in [sent.clone(), STANDARD.encode(&sent), URL_SAFE.encode(&sent)] {
                let hidden = redact(&format!("a {text} b"));
                assert!(hidden.contains("***") && hidden.len() < 30, "{front:?}: {hidden}");
            }
        }
        assert_eq!(redact("?key=Zq%7Eunusual%2Fkey%2Bwith%26signs"), "?key=***");
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(redact(&hex), "***");
        assert_eq!(without_keys_in_use("sk-or-v1-0123456789abcdef"), "sk-or-v1-0123456789abcdef");
    }

    #[test]
    fn no_key_slips_through_between_two_pieces() {
        let text = format!("é {}sk-or-v1-0123456789abcdef end", "x".repeat(5000) + "-");
        for size in [1, 7, 61, 3000] {
            let mut pieces = Pieces::default();
            let chars: Vec<char> = text.chars().collect();
            let mut shown: String =
                chars.chunks(size).map(|piece| pieces.push(&piece.iter().collect::<String>())).collect();
            shown.push_str(&pieces.rest());
            assert_eq!(shown, text.replace("0123456789abcdef", "***"), "{size}");
        }
    }

    #[test]
    fn long_texts_take_linear_time() {
        let text = "sk-".repeat(200_000) + &"-----BEGIN ".repeat(50_000);
        assert!(redact(&text).len() <= text.len() + HIDDEN.len());
    }
}
