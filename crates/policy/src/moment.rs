//! A moment that a person wrote into a file: in UTC, to the second.

use crate::FileError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr, time::Duration};
use toml::{
    Spanned,
    value::{Datetime, Offset},
};

const FORM: &str = "a moment is a date and a time in UTC, to the second, such as `2027-11-23T00:00:00Z`";

/// A moment in UTC; shown as RFC 3339 with `Z`. Has one way to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds since 1970, up to the year 9999.
    seconds: u64,
}

impl Moment {
    /// The moment that many milliseconds after the epoch, to the second; the last one there is where that is beyond 9999.
    pub fn from_ms(ms: u64) -> Moment {
        Moment { seconds: (ms / 1000).min(253_402_300_799) }
    }

    /// The moment that long after `now_ms` (milliseconds since the epoch), to the second.
    pub fn after(now_ms: u64, length: Duration) -> Moment {
        Moment::from_ms(now_ms.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Milliseconds since the epoch.
    pub fn ms(self) -> u64 {
        self.seconds * 1000
    }

    pub(crate) fn of_toml(written: &Spanned<Datetime>) -> Result<Moment, FileError> {
        Moment::of(written.get_ref()).ok_or_else(|| FileError::at(written.span(), FORM))
    }

    /// `None` for local times, other offsets, fractions, leap seconds and what lies before 1970.
    fn of(written: &Datetime) -> Option<Moment> {
        let (date, time) = (written.date?, written.time?);
        (written.offset? == Offset::Z).then_some(())?;
        if date.year < 1970 || time.nanosecond.unwrap_or(0) != 0 {
            return None;
        }
        let days = days_before(u64::from(date.year), u64::from(date.month)) + u64::from(date.day) - 1;
        let of_day = u64::from(time.hour) * 3600 + u64::from(time.minute) * 60 + u64::from(time.second.unwrap_or(0));
        Some(Moment { seconds: days * 86_400 + of_day })
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the first of a month. Gregorian; `year` is 1970 or later.
fn days_before(year: u64, month: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<u64>()
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Moment, &'static str> {
        let moment = text.parse::<Datetime>().ok().and_then(|written| Moment::of(&written)).ok_or(FORM)?;
        if moment.to_string() == text { Ok(moment) } else { Err(FORM) }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.seconds / 86_400, self.seconds % 86_400);
        let mut year = 1970 + days / 366;
        while days_before(year + 1, 1) <= days {
            year += 1;
        }
        let mut month = 1;
        while month < 12 && days_before(year, month + 1) <= days {
            month += 1;
        }
        let day = days - days_before(year, month) + 1;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_and_their_texts() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_425_193, "2026-11-23T09:13:13Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment { seconds }.to_string(), text);
            assert_eq!(text.parse(), Ok(Moment { seconds }));
        }
        assert_eq!(Moment::from_ms(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn other_ways_to_write_a_moment_are_none() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T09:13:13",
            "2026-11-23T09:13:13+00:00",
            "2026-11-23T09:13:13.5Z",
            "2026-11-23 09:13:13Z",
            "2026-11-23t09:13:13z",
            "2026-02-30T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T23:59:60Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_for_four_hundred_years_is_read_as_it_is_written() {
        for day in 0..146_097 {
            let moment = Moment { seconds: day * 86_400 + 43_200 };
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
