//! Points in time as the API writes them (RFC 3339), to put objects in order of age.

use std::fmt;

/// A point in time, in UTC. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// Nanoseconds after that second, below 1 000 000 000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Reads the date-time of RFC 3339 section 5.6. `None` when the text is none, or of a day that never was. A leap
    /// second counts as the second after it.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let (date, rest) = text.split_once(['T', 't', ' '])?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let clock = rest.get(..8)?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        let (nanoseconds, zone) = fraction(rest.get(8..)?)?;
        let possible = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
        possible.then_some(Timestamp { seconds, nanoseconds })
    }
}

/// As RFC 3339 writes it in UTC, of the years 0000 to 9999; a time beyond them, which only an offset can say, is told as the
/// nearest of them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (days_since_1970(0, 1, 1) * 86_400, days_since_1970(10_000, 1, 1) * 86_400 - 1);
        let seconds = self.seconds.clamp(first, last);
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds > 0 {
            write!(f, ".{:09}", self.nanoseconds)?;
        }
        f.write_str("Z")
    }
}

/// Year, month and day: the other way round of [`days_since_1970`].
fn date(days: i64) -> (i64, i64, i64) {
    // A guess that is right or one too late, as no year is longer than 366 days and the mean is 365.2425.
    let mut year = 1970 + days * 10_000 / 3_652_425 + 1;
    while days_since_1970(year, 1, 1) > days {
        year -= 1;
    }
    let month = (2..=12).take_while(|month| days_since_1970(year, *month, 1) <= days).last().unwrap_or(1);
    (year, month, days - days_since_1970(year, month, 1) + 1)
}

/// Three numbers of exactly so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut values = [0; 3];
    for (value, digits) in values.iter_mut().zip(digits) {
        *value = number(parts.next()?, digits)?;
    }
    parts.next().is_none().then_some(values)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let good = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// The nanoseconds of a fraction, if there is one, and what follows it. Digits beyond the ninth are cut.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, zone) = rest.split_at(end);
    let nine = format!("{:0<9}", digits.get(..9).unwrap_or(digits));
    (end > 0).then(|| Some((nine.parse().ok()?, zone)))?
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        Timestamp::parse(text).map(|time| time.seconds)
    }

    #[test]
    fn times_are_read_as_date_tells_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T14:12:47Z", 1_795_356_767),
            ("2026-11-22T15:12:47+01:00", 1_795_356_767),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        let precise = Timestamp::parse("2026-11-22T14:12:47.5Z").expect("has a fraction");
        assert_eq!(precise.nanoseconds, 500_000_000);
        assert!(precise > Timestamp::parse("2026-11-22T14:12:47Z").expect("is a time"));
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.000000001Z",
            "1972-02-29T00:00:00Z",
            "2000-12-31T23:59:59Z",
            "2026-11-22T14:12:47.500000000Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(Timestamp::parse(text).expect("is a time").to_string(), text);
        }
        let beyond = Timestamp::parse("9999-12-31T23:59:59-01:00").expect("is a time");
        assert_eq!(beyond.to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T00:00:00",
            "2026-11-22T00:00:00.Z",
            "2026-11-22T00:00:00+1:00",
            "2026-11-2äT00:00:00Z",
            "2026-11-22T00:00:0äZ",
            "+026-11-22T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
