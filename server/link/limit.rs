//! How many requests a minute all who share a key may make, counted in one place.

use super::{Link, LinkError, key_of};
use redis::Script;
use ring::hmac;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts those that the last minute has seen. Time is the Redis's own: clocks of a team differ.
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limit.lua")));

/// The requests of a team, by the key that they are made with.
#[derive(Clone, Debug)]
pub struct Limit {
    link: Arc<Link>,
    /// This machine, so that servers on loopback are told apart.
    machine: String,
}

impl Limit {
    pub fn new(link: Arc<Link>, machine: String) -> Self {
        Self { link, machine }
    }

    /// This machine, where it tells one server from another.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// A place among the `per_minute` of `who`; else how long it takes at most until there is one.
    ///
    /// # Errors
    /// When the Redis cannot be asked.
    pub async fn take(&self, who: &str, per_minute: u32) -> Result<Option<Duration>, LinkError> {
        let args = [per_minute.to_string(), MINUTE.as_millis().to_string(), uuid::Uuid::new_v4().to_string()];
        let wait: u64 =
            self.link.run(&TAKE, &[key_of("requests", who)], &args.map(String::into_bytes)).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait).min(MINUTE)))
    }
}

/// Who makes requests of a server: the same for the same key everywhere, and nothing that the key could be told from.
pub fn fingerprint(key: Option<&str>, server: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.unwrap_or_default().as_bytes());
    let tag = hmac::sign(&key, format!("opendevagent requests\n{server}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_one_key_at_one_server() {
        let ours = fingerprint(Some("sk-1"), "https://a.example");
        assert_eq!(ours, fingerprint(Some("sk-1"), "https://a.example"));
        assert_ne!(ours, fingerprint(Some("sk-2"), "https://a.example"));
        assert_ne!(ours, fingerprint(Some("sk-1"), "https://b.example"));
        assert!(!ours.contains("sk-1"));
    }
}
