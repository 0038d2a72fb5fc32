//! What every benchmark needs: samples with their median, and lines that line up.
//!
//! Every benchmark is a program of its own and takes what it needs of this.

use std::fmt::Display;
use std::time::Duration;

/// Measured values in one unit.
#[derive(Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a time, in milliseconds.
    pub fn push_time(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1000.0);
    }

    /// The value that so many percent of all do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// One line: what, how much, and what it should be.
pub fn line(what: &str, value: impl Display, target: &str) {
    println!("{what:<44} {value:>16}   {target}");
}

/// Median and 95th percentile of times, in milliseconds.
pub fn times(what: &str, sample: &Sample, target: &str) {
    line(what, format!("{:.1} / {:.1} ms", sample.median(), sample.percentile(95)), target);
}

/// A quotient with its limit.
pub fn ratio(what: &str, value: f64, most: f64) {
    let verdict = if value <= most { "holds" } else { "MISSED" };
    line(what, format!("{value:.3}"), &format!("at most {most}: {verdict}"));
}

/// How busy the machine is: the load average of the last minute, where the system tells.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}
