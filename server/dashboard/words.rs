//! Numbers and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// e.g. `412 ms`, `3.2 s`, `4 min 5 s`, `2 h 3 min`.
pub(super) fn duration(ms: u64) -> String {
    match (ms, ms / 1000) {
        (0..1000, _) => format!("{ms} ms"),
        (_, 0..60) => format!("{:.1} s", (ms / 100) as f64 / 10.0),
        (_, seconds @ 60..3600) if seconds % 60 == 0 => format!("{} min", seconds / 60),
        (_, seconds @ 60..3600) => format!("{} min {} s", seconds / 60, seconds % 60),
        (_, seconds) => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// e.g. `just now`, `5 min ago`.
pub(super) fn ago(at: u64, now: u64) -> String {
    match now.saturating_sub(at) / 1000 {
        0..10 => "just now".into(),
        seconds @ 10..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// e.g. `$0.0123`; what is below a hundredth of a cent is not nothing.
pub(super) fn dollars(usd: f64) -> String {
    match usd {
        usd if usd <= 0.0 => "$0".into(),
        usd if usd < 0.0001 => "<$0.0001".into(),
        usd if usd < 1.0 => format!("${usd:.4}"),
        usd => format!("${usd:.2}"),
    }
}

/// e.g. `9.4 MiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit < UNITS.len() - 1 {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// e.g. `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// e.g. `2026-11-24T20:22:12Z`, for machines; the page shows it in the reader's own time.
pub(super) fn instant(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Year, month and day of a day after 1970-01-01. The year begins in March here, so that a leap day is its last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        let told = [
            duration(0),
            duration(300_000),
            duration(999),
            duration(3290),
            duration(245_000),
            duration(7_380_000),
        ];
        assert_eq!(told, ["0 ms", "5 min", "999 ms", "3.2 s", "4 min 5 s", "2 h 3 min"]);
        assert_eq!(
            [ago(5000, 4000), ago(0, 61_000), ago(0, 200_000_000)],
            ["just now", "1 min ago", "2 d ago"]
        );
        assert_eq!(
            [dollars(0.0), dollars(0.000_01), dollars(0.5), dollars(2.0)],
            ["$0", "<$0.0001", "$0.5000", "$2.00"]
        );
        assert_eq!(
            [bytes(12), bytes(1 << 20), count(12_345_678), count(12)],
            ["12 B", "1.0 MiB", "12,345,678", "12"]
        );
    }

    #[test]
    fn days_of_every_kind() {
        let at = |day: u64| instant(day * 86_400_000 + 3_723_000);
        assert_eq!(at(0), "1970-01-01T01:02:03Z");
        assert_eq!(at(11_016), "2000-02-29T01:02:03Z");
        assert_eq!(at(20_514), "2026-03-02T01:02:03Z");
    }
}
