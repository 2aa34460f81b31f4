//! What a node's daemon says of itself while it is fed: its histograms, its memory, its log.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// Upper bounds in seconds with how many were at most that long, of a histogram of the daemon.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    /// Reads `NAME_bucket{le="..."} N` lines.
    pub(super) fn parse(metrics: &str, name: &str) -> Self {
        let bucket = |line: &str| {
            let (bound, rest) = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?.split_once('"')?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, rest.rsplit_once(' ')?.1.parse().ok()?))
        };
        Self(metrics.lines().filter_map(bucket).collect())
    }

    /// What was counted since an earlier look.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| earlier.0.iter().find(|one| one.0 == bound).map_or(0, |one| one.1);
        Self(self.0.iter().map(|(bound, count)| (*bound, count.saturating_sub(before(*bound)))).collect())
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// Milliseconds that this part of all took at most: the upper bound of the bucket it falls in.
    pub(super) fn quantile_millis(&self, part: f64) -> Option<f64> {
        let rank = (self.count() as f64 * part).ceil().max(1.0);
        let found = self.0.iter().find(|(_, count)| *count as f64 >= rank)?;
        (self.count() > 0).then_some(found.0 * 1000.0)
    }
}

/// How long changes took until they were in force. Milliseconds, each the upper bound of a bucket of the daemon's histogram.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delay {
    pub(super) changes: u64,
    pub(super) p50_millis: Option<f64>,
    pub(super) p99_millis: Option<f64>,
    pub(super) max_millis: Option<f64>,
}

impl Delay {
    pub(super) fn of(histogram: &Histogram) -> Self {
        let at = |part| histogram.quantile_millis(part);
        Self { changes: histogram.count(), p50_millis: at(0.5), p99_millis: at(0.99), max_millis: at(1.0) }
    }

    /// For a table.
    pub(super) fn cell(&self) -> String {
        let millis = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let Self { changes, p50_millis, p99_millis, max_millis } = *self;
        format!("<= {} / {} / {} ms ({changes})", millis(p50_millis), millis(p99_millis), millis(max_millis))
    }
}

/// The daemon's memory in MiB less what it shares with the kernel and its successor: packet memory and connection table.
pub(super) fn own_memory_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the daemon ended?"))?;
    own_memory(&status).with_context(|| format!("{path} has no VmRSS and RssShmem"))
}

fn own_memory(status: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    Some((kib("VmRSS")? - kib("RssShmem")?) / 1024.0)
}

/// Seconds between the last lines of a log that say these two things, by the times they begin with.
pub(super) fn seconds_between(log: &str, first: &str, then: &str) -> Option<f64> {
    let at = |text: &str| log.lines().rev().find(|line| line.contains(text)).and_then(second_of_day);
    let seconds = at(then)? - at(first)?;
    // Around midnight the second begins anew.
    Some(if seconds < 0.0 { seconds + 86_400.0 } else { seconds })
}

/// The time of day in a line that begins like `2026-11-22T18:06:38.123456Z`, perhaps in colour.
fn second_of_day(line: &str) -> Option<f64> {
    let (_, time) = line.split_once('T')?;
    let (time, _) = time.split_once('Z')?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(hours * 3600.0 + minutes * 60.0 + seconds)
}

/// The time now as objects have it (RFC 3339, UTC, microseconds).
pub(crate) fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

/// The date of a day counted from 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_and_compared() {
        let text = "x_bucket{le=\"0.001\"} 5\nx_bucket{le=\"0.01\"} 9\nx_bucket{le=\"+Inf\"} 10\nx_sum 3\ny_bucket{le=\"1\"} 7\n";
        let read = Histogram::parse(text, "x");
        assert_eq!((read.count(), read.quantile_millis(0.5), read.quantile_millis(0.9)), (10, Some(1.0), Some(10.0)));
        assert_eq!(read.since(&read).quantile_millis(0.5), None);
        let earlier =
            Histogram::parse("x_bucket{le=\"0.001\"} 5\nx_bucket{le=\"0.01\"} 5\nx_bucket{le=\"+Inf\"} 5\n", "x");
        assert_eq!(read.since(&earlier).quantile_millis(0.5), Some(10.0));
        assert_eq!(Histogram::parse("", "x").quantile_millis(0.5), None);
    }

    #[test]
    fn what_is_shared_is_not_the_daemon_s_own() {
        assert_eq!(own_memory("VmRSS:\t  4096 kB\nRssShmem:\t 1024 kB\n"), Some(3.0));
        assert_eq!(own_memory("VmRSS:\t  4096 kB\n"), None);
    }

    #[test]
    fn times_of_a_log_are_compared_also_over_midnight() {
        let log = "2026-11-22T23:59:59.500000Z  INFO known\n2026-11-23T00:00:00.250000Z  INFO in force\n";
        assert_eq!(seconds_between(log, "known", "in force"), Some(0.75));
        assert_eq!(seconds_between(log, "known", "gone"), None);
    }

    #[test]
    fn days_have_their_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_779), (2026, 11, 22));
        assert_eq!(now().len(), "2026-11-22T18:06:38.123456Z".len());
    }
}
