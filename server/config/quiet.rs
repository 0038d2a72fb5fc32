//! Hours in which nobody is told that a task has ended, e.g. `22:00-07:00`.

/// Whether a minute of the day lies within such hours; `None` where they are none. From a time to itself is the whole day.
pub fn is_within(hours: &str, minute: u32) -> Option<bool> {
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    Some(if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to })
}

fn minutes(time: &str) -> Option<u32> {
    let (hour, minute) = time.trim().split_once(':')?;
    let number = |text: &str| -> Option<u32> {
        let is_number = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_hold_midnight() {
        let check =
            |hours: &str, time: &str, expect| assert_eq!(is_within(hours, minutes(time).unwrap()), expect);
        for (time, expect) in
            [("21:59", false), ("22:00", true), ("00:00", true), ("06:59", true), ("07:00", false)]
        {
            check("22:00-07:00", time, Some(expect));
            check(" 7:00 - 22:00 ", time, Some(!expect));
            check("00:00-00:00", time, Some(true));
        }
        for hours in
            ["", "-", "22-07", "22:00", "24:00-07:00", "22:60-07:00", "a:b-c:d", "+2:00-3:00", "022:00-7:00"]
        {
            check(hours, "00:00", None);
        }
    }
}
