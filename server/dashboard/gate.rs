//! Who may look: whoever was handed a ticket by an editor or a shell of this user, and no other page of the browser.
//!
//! A ticket stands in the address that is opened. It is good once, for a minute, and is traded for the secret that
//! all further addresses begin with. The secret is in memory alone and ends with the listener. There is no cookie:
//! the browser would send one to every port of this machine.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tickets that may be out at once; the oldest is void when there are more.
const TICKETS: usize = 16;

pub(super) struct Gate {
    secret: String,
    life: Duration,
    tickets: Mutex<Vec<(String, Instant)>>,
}

impl Gate {
    pub(super) fn new(life: Duration) -> Self {
        Self { secret: random(), life, tickets: Mutex::default() }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// A new ticket.
    pub(super) fn ticket(&self) -> String {
        let ticket = random();
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() == TICKETS {
            tickets.remove(0);
        }
        tickets.push((ticket.clone(), Instant::now()));
        ticket
    }

    /// Takes a ticket; false when it was taken before, is too old or was never given.
    pub(super) fn admits(&self, ticket: &str) -> bool {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|(_, issued)| issued.elapsed() < self.life);
        let before = tickets.len();
        tickets.retain(|(known, _)| !same(known, ticket));
        tickets.len() < before
    }

    pub(super) fn knows(&self, secret: &str) -> bool {
        same(&self.secret, secret)
    }
}

/// 244 random bits, as 64 hexadecimal digits.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Compares in a time that tells nothing of where they differ.
fn same(known: &str, given: &str) -> bool {
    let differing = known.bytes().zip(given.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    known.len() == given.len() && differing == 0
}

/// Whether a request means this machine. A page of another site that has its name lead here (DNS rebinding) is told
/// by that name. The port is left open, for editors on other machines forward it under another.
pub(super) fn is_for_us(uri: &hyper::Uri, headers: &HeaderMap) -> bool {
    let Some(host) = only(headers, &HOST) else { return false };
    is_this_machine(host) && uri.authority().is_none_or(|authority| authority.as_str() == host)
}

fn is_this_machine(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    port.parse::<u16>().is_ok() && ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

/// Whether a request comes from our own page, or from no page at all where `page` is not demanded.
pub(super) fn is_from_us(headers: &HeaderMap, page: bool) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let Some(origin) = headers.get(ORIGIN) else { return !page };
    let own = only(headers, &HOST).map(|host| format!("http://{host}"));
    own.is_some_and(|own| origin == own.as_str()) && (!page || site.is_none_or(|site| site == "same-origin"))
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_not_for_ever() {
        let gate = Gate::new(Duration::from_secs(60));
        let ticket = gate.ticket();
        assert!(
            !gate.admits(&ticket[1..]) && !gate.admits("") && gate.admits(&ticket) && !gate.admits(&ticket)
        );
        let old = Gate::new(Duration::ZERO);
        assert!(!old.admits(&old.ticket()));
        assert!(gate.knows(gate.secret()) && !gate.knows(&ticket) && !gate.knows(""));
    }

    #[test]
    fn too_many_tickets_void_the_oldest() {
        let gate = Gate::new(Duration::from_secs(60));
        let tickets: Vec<_> = (0..=TICKETS).map(|_| gate.ticket()).collect();
        assert!(!gate.admits(&tickets[0]) && gate.admits(&tickets[1]) && gate.admits(&tickets[TICKETS]));
    }

    #[test]
    fn hosts_of_this_machine() {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost:4000", "[::1]:9", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example:80", "localhost:", "localhost:x", "127.1", ":80"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn origins() {
        let headers = |origin: Option<&str>, site: Option<&str>| {
            let pairs = [("host", Some("127.0.0.1:9")), ("origin", origin), ("sec-fetch-site", site)];
            let given = pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name.parse().ok()?, value?.parse().ok()?)));
            given.collect::<HeaderMap>()
        };
        let own = Some("http://127.0.0.1:9");
        assert!(
            is_from_us(&headers(own, Some("same-origin")), true) && is_from_us(&headers(None, None), false)
        );
        assert!(!is_from_us(&headers(None, None), true), "an action wants a page of ours");
        for foreign in ["null", "http://evil.example", "http://127.0.0.1:8", "https://127.0.0.1:9"] {
            assert!(!is_from_us(&headers(Some(foreign), None), true), "{foreign}");
            assert!(!is_from_us(&headers(Some(foreign), None), false), "{foreign}");
        }
        assert!(!is_from_us(&headers(own, Some("cross-site")), true));
    }
}
