//! How long a server asks to wait, in the forms that servers use. Pure.

use std::time::{Duration, SystemTime};

/// Headers that tell when a limit is lifted, OpenRouter's, OpenAI's and the draft standard's.
const RESETS: [&str; 4] =
    ["x-ratelimit-reset", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens", "ratelimit-reset"];
/// Numbers from here on are moments since the Unix epoch, in seconds and in milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e11;
/// What stands before a time in an error's words.
const LEADS: [&str; 4] = ["try again in ", "retry in ", "retry after ", "try again after "];

/// What the headers ask for outright: `Retry-After` (RFC 9110 section 10.2.3), or OpenAI's finer form of it.
pub(super) fn after(header: &impl Fn(&str) -> Option<String>, now: SystemTime) -> Option<Duration> {
    let millis = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
    let millis = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok());
    millis.or_else(|| wait(&header("retry-after")?, now))
}

/// When the headers say that the limit is lifted; the latest, where several are told.
pub(super) fn reset(header: &impl Fn(&str) -> Option<String>, now: SystemTime) -> Option<Duration> {
    RESETS.iter().filter_map(|name| wait(&header(name)?, now)).max()
}

/// What an error's words say, e.g. `Please try again in 1m2.5s.`
pub(super) fn in_words(said: &str) -> Option<Duration> {
    let low = said.to_ascii_lowercase();
    let (_, rest) = LEADS.iter().find_map(|lead| low.split_once(lead))?;
    duration(rest).map(|(duration, _)| duration)
}

/// A time to wait: seconds, a duration like `6m0s`, a date, or a moment since the epoch.
pub(super) fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date.duration_since(now).unwrap_or_default());
    }
    let until = |seconds: f64| {
        let then = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        Some(then.duration_since(now).unwrap_or_default())
    };
    match text.parse::<f64>() {
        Ok(millis) if millis >= EPOCH_MILLIS => until(millis / 1000.0),
        Ok(seconds) if seconds >= EPOCH_SECONDS => until(seconds),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => duration(text).filter(|(_, rest)| rest.is_empty()).map(|(duration, _)| duration),
    }
}

/// Numbers with units at the start of `text`, and what follows them; a bare number is seconds.
fn duration(text: &str) -> Option<(Duration, &str)> {
    let mut total = None::<Duration>;
    let mut rest = text;
    loop {
        let start = rest.trim_start();
        let digits = start.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(start.len());
        let Ok(number) = start[..digits].trim_end_matches('.').parse::<f64>() else { break };
        let after = start[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (scale, used) = match &after[..letters] {
            "ms" | "millisecond" | "milliseconds" => (0.001, letters),
            "s" | "sec" | "secs" | "second" | "seconds" => (1.0, letters),
            "m" | "min" | "mins" | "minute" | "minutes" => (60.0, letters),
            "h" | "hour" | "hours" => (3600.0, letters),
            "d" | "day" | "days" => (86_400.0, letters),
            _ if total.is_none() => (1.0, 0),
            _ => break,
        };
        let piece = Duration::try_from_secs_f64(number * scale).ok()?;
        total = Some(total.unwrap_or_default().saturating_add(piece));
        rest = &after[used..];
    }
    total.map(|total| (total, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_many_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_784_111_777);
        let cases = [
            ("7", Some(7_000)),
            (" 1.5 ", Some(1_500)),
            ("7s", Some(7_000)),
            ("250ms", Some(250)),
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("2 minutes", Some(120_000)),
            ("1784111787", Some(10_000)),
            ("1784111787000", Some(10_000)),
            ("1784111000", Some(0)),
            ("Wed, 15 Jul 2026 10:37:17 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("NaN", None),
            ("", None),
            ("7 apples", None),
        ];
        for (text, millis) in cases {
            assert_eq!(wait(text, now), millis.map(Duration::from_millis), "{text:?}");
        }
        let said = "Rate limit reached for gpt-4o. Please try again in 1m2.5s. Visit example.com";
        assert_eq!(in_words(said), Some(Duration::from_millis(62_500)));
        assert_eq!(in_words("Retry after 20 seconds"), Some(Duration::from_secs(20)));
        assert_eq!(in_words("try again later"), None);
    }

    #[test]
    fn the_plainest_header_wins() {
        let now = SystemTime::UNIX_EPOCH;
        let header = |name: &str| {
            let value = match name {
                "retry-after-ms" => "1250",
                "retry-after" => "9",
                "x-ratelimit-reset-requests" => "1s",
                "x-ratelimit-reset-tokens" => "6m0s",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(after(&header, now), Some(Duration::from_millis(1250)));
        assert_eq!(reset(&header, now), Some(Duration::from_secs(360)));
    }
}
