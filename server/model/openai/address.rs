//! Addresses that a key and code may be sent to. Pure.

use super::MOST_EXCERPT;
use crate::model::{ModelError, redact};
use url::{Host, Url};

/// Reads `model.baseUrl`.
///
/// # Errors
/// On an address that no key may be sent to.
pub(super) fn base(text: &str) -> Result<Url, ModelError> {
    let wrong = |why: &str| {
        let shown = redact::excerpt(text, None, MOST_EXCERPT);
        ModelError::Refused(format!("model.baseUrl {shown:?} {why}"))
    };
    let base = Url::parse(text.trim()).map_err(|error| {
        wrong(&format!("is no address ({error}); write it like https://openrouter.ai/api/v1"))
    })?;
    if !base.username().is_empty() || base.password().is_some() {
        return Err(ModelError::Refused(
            "model.baseUrl holds a user or password; take it out and set OPENROUTER_API_KEY or model.keyCommand"
                .into(),
        ));
    }
    match base.scheme() {
        "https" => {}
        "http" if on_loopback(&base) => {}
        "http" => return Err(wrong("would send key and code in clear over the network; use https")),
        _ => return Err(wrong("is neither https nor http")),
    }
    if base.host_str().is_none() {
        return Err(wrong("names no host"));
    }
    Ok(base)
}

/// Whether `base_url` is on this machine, where a key is not needed and plain http is allowed.
pub fn is_loopback(base_url: &str) -> bool {
    Url::parse(base_url.trim()).is_ok_and(|url| on_loopback(&url))
}

pub(super) fn on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}
