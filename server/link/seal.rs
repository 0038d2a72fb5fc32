//! What a team says is signed with its key, so that nobody else's words count. A signature stands at the end of the JSON
//! object that it is of, and is of those very bytes.

use super::LinkError;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The environment variable that holds the team's key.
pub const KEY_ENV: &str = "OPENDEVAGENT_TEAM_KEY";
/// A shorter key could be guessed.
const KEY_BYTES: usize = 16;
/// How a signature begins and ends in the text of an object.
const BEFORE: &str = ",\"mac\":\"";
const AFTER: &str = "\"}";

/// The key of a team.
pub struct Seal(hmac::Key);

impl Seal {
    /// # Errors
    /// When the key is too short.
    pub fn new(key: &SecretString) -> Result<Self, LinkError> {
        let key = key.expose_secret().as_bytes();
        if key.len() < KEY_BYTES {
            return Err(no_key());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// `what` keeps a signature from being used for something else.
    pub fn sign(&self, what: &str, text: &str) -> String {
        let tag = hmac::sign(&self.0, signed(what, text).as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// In constant time.
    pub fn is_signed(&self, what: &str, text: &str, signature: &str) -> bool {
        let digits = signature
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        let tag: Option<Vec<u8>> = digits.collect();
        tag.is_some_and(|tag| hmac::verify(&self.0, signed(what, text).as_bytes(), &tag).is_ok())
    }

    /// A JSON object that is not empty, with its signature in it.
    pub fn stamp(&self, what: &str, object: &str) -> String {
        let open = object.strip_suffix('}').unwrap_or(object);
        format!("{open}{BEFORE}{}{AFTER}", self.sign(what, object))
    }

    /// Whether an object was stamped by the team.
    pub fn is_stamped(&self, what: &str, object: &str) -> bool {
        let parts = object.strip_suffix(AFTER).and_then(|text| text.rsplit_once(BEFORE));
        parts.is_some_and(|(open, signature)| self.is_signed(what, &format!("{open}}}"), signature))
    }
}

/// What is said where a team's key is needed and there is none.
pub fn no_key() -> LinkError {
    LinkError {
        why: format!("the team's key is missing or shorter than {KEY_BYTES} bytes"),
        remedy: format!("set {KEY_ENV} to the same secret on every machine of the team"),
    }
}

fn signed(what: &str, text: &str) -> String {
    format!("opendevagent {what}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_words_of_the_team_are_stamped() {
        let [ours, theirs] =
            ["0123456789abcdef", "fedcba9876543210"].map(|key| Seal::new(&key.into()).unwrap());
        let stamped = ours.stamp("row 1", "{\"a\":0.1,\"b\":\"\\\"}\"}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stamped).unwrap()["b"], "\"}");
        assert!(ours.is_stamped("row 1", &stamped));
        let changed = stamped.replace("0.1", "0.2");
        let longer = format!("{}{BEFORE}00{AFTER}", stamped.strip_suffix('}').unwrap());
        for (what, text) in [
            ("row 2", stamped.as_str()),
            ("row 1", &changed),
            ("row 1", &longer),
            ("row 1", "{\"a\":0.1}"),
            ("row 1", ",\"mac\":\"\"}"),
            ("row 1", ""),
        ] {
            assert!(!ours.is_stamped(what, text), "{what} {text}");
        }
        assert!(!theirs.is_stamped("row 1", &stamped));
    }
}
