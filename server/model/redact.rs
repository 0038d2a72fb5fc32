//! Hides keys and strips what could steer a terminal, before anything foreign is shown, logged or kept. Pure.

use std::borrow::Cow;

/// What stands for a hidden key.
const HIDDEN: &str = "***";
/// A secret shorter than this is not searched for: it would hide ordinary words.
const SHORTEST_SECRET: usize = 6;

/// `text` with everything hidden that looks like a key. Linear in its length.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(char) = rest.chars().next() {
        if let Some(key) = key_at(rest, before) {
            out.push_str(&rest[..key.shown]);
            out.push_str(HIDDEN);
            rest = &rest[key.len..];
            before = '*';
        } else {
            out.push(char);
            rest = &rest[char.len_utf8()..];
            before = char;
        }
    }
    out
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
}

/// What begins a key, and how many key characters must follow.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-or-v1-", 1),
    ("sk-", 8),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("AKIA", 16),
    ("ASIA", 16),
    ("xoxa-", 8),
    ("xoxb-", 8),
    ("xoxe-", 8),
    ("xoxp-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("AIza", 30),
];

/// The key that `text` begins with; `before` is the character in front of it.
fn key_at(text: &str, before: char) -> Option<Key> {
    if let Some(rest) = text.strip_prefix("-----BEGIN ") {
        return pem(text, rest);
    }
    if before.is_alphanumeric() {
        return None;
    }
    if text.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("bearer ")) {
        let len = run(&text[7..], |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        return (len >= 8).then_some(Key { shown: 7, len: 7 + len });
    }
    PREFIXES.iter().find_map(|&(prefix, least)| {
        let rest = text.strip_prefix(prefix)?;
        let len = run(rest, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (len >= least).then_some(Key { shown: prefix.len(), len: prefix.len() + len })
    })
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
    Some(Key { shown, len })
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
    fn long_texts_take_linear_time() {
        let text = "sk-".repeat(200_000) + &"-----BEGIN ".repeat(50_000);
        assert!(redact(&text).len() <= text.len() + HIDDEN.len());
    }
}
