//! What one source may give: so many samples a second, so many series, and times that can be. What is beyond is refused by
//! its rule and counted, and no other source notices.

use super::sink::Full;
use serde::Serialize;
use std::{collections::HashMap, time::Duration};
use unship_rollback::signal::{Millis, Sample, Series};

/// Samples a second that a source may give for long.
pub const SAMPLES_PER_SECOND: u32 = 1_000;
/// Samples that it may give at once.
pub const SAMPLES_AT_ONCE: u32 = 10_000;
/// Series of a source that are alive at a time.
pub const SERIES_MAX: usize = 10_000;
/// A series that gave no sample for so long makes room for another.
const SERIES_FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Between two times that room is looked for.
const ROOM_SOUGHT_EVERY: Duration = Duration::from_secs(60);
/// How far ahead of the clock a sample's time may be: clocks of two machines differ.
pub const AHEAD_MAX_MS: i64 = 60_000;
/// How far behind.
pub const BEHIND_MAX_MS: i64 = 3_600_000;

/// Why a sample, or what should be one, is refused. As a label of a metric and in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It is no JSON, or not the JSON that is wanted.
    Json,
    /// It is not UTF-8.
    Utf8,
    /// Its line is too long.
    Length,
    /// No feed asks for it.
    Feed,
    /// Its names or labels cannot be a series'.
    Names,
    /// Its time is ahead of the clock.
    Future,
    /// Its time is long past.
    Old,
    /// The source gave too many samples for now.
    Rate,
    /// The source has too many series.
    Series,
    /// The daemon takes no more for now.
    Full,
}

impl Refusal {
    /// All of them, for counting.
    pub const ALL: [Refusal; 10] = [
        Refusal::Json,
        Refusal::Utf8,
        Refusal::Length,
        Refusal::Feed,
        Refusal::Names,
        Refusal::Future,
        Refusal::Old,
        Refusal::Rate,
        Refusal::Series,
        Refusal::Full,
    ];

    /// As it stands in a report and as the label `rule` of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Json => "json",
            Refusal::Utf8 => "utf8",
            Refusal::Length => "length",
            Refusal::Feed => "feed",
            Refusal::Names => "names",
            Refusal::Future => "future",
            Refusal::Old => "old",
            Refusal::Rate => "rate",
            Refusal::Series => "series",
            Refusal::Full => "full",
        }
    }

    /// Whether the same would be taken later.
    pub fn passes(self) -> bool {
        matches!(self, Refusal::Rate | Refusal::Series | Refusal::Full)
    }

    /// What it says of a sample.
    pub fn says(self) -> String {
        match self {
            Refusal::Json => "it is not the JSON that is wanted".to_owned(),
            Refusal::Utf8 => "it is not UTF-8".to_owned(),
            Refusal::Length => "the line is too long".to_owned(),
            Refusal::Feed => "no feed of policies/site.toml asks for it".to_owned(),
            Refusal::Names => "its names cannot be a series'".to_owned(),
            Refusal::Future => format!("its time is more than {} s ahead of the clock", AHEAD_MAX_MS / 1000),
            Refusal::Old => format!("its time is more than {} s past", BEHIND_MAX_MS / 1000),
            Refusal::Rate => {
                format!("the source gave more than {SAMPLES_PER_SECOND} samples a second ({SAMPLES_AT_ONCE} at once)")
            }
            Refusal::Series => format!("the source has more than {SERIES_MAX} series"),
            Refusal::Full => Full.to_string(),
        }
    }
}

/// What one source used up.
#[derive(Debug)]
pub(super) struct Budget {
    /// Samples that it may give now.
    left: f64,
    refilled: Duration,
    /// Series → when it gave its newest sample.
    series: HashMap<Series, Duration>,
    room_sought: Duration,
}

impl Budget {
    pub fn new(steady: Duration) -> Budget {
        Budget { left: f64::from(SAMPLES_AT_ONCE), refilled: steady, series: HashMap::new(), room_sought: steady }
    }

    /// Judges one sample, and takes it off the budget if it is well.
    pub fn admit(&mut self, series: &Series, sample: Sample, now: Millis, steady: Duration) -> Result<(), Refusal> {
        if sample.at.since(now) > AHEAD_MAX_MS {
            return Err(Refusal::Future);
        }
        if now.since(sample.at) > BEHIND_MAX_MS {
            return Err(Refusal::Old);
        }
        let gained = steady.saturating_sub(self.refilled).as_secs_f64() * f64::from(SAMPLES_PER_SECOND);
        self.left = (self.left + gained).min(f64::from(SAMPLES_AT_ONCE));
        self.refilled = self.refilled.max(steady);
        if self.left < 1.0 {
            return Err(Refusal::Rate);
        }
        if let Some(seen) = self.series.get_mut(series) {
            *seen = steady;
        } else if self.has_room(steady) {
            self.series.insert(series.clone(), steady);
        } else {
            return Err(Refusal::Series);
        }
        self.left -= 1.0;
        Ok(())
    }

    fn has_room(&mut self, steady: Duration) -> bool {
        if self.series.len() >= SERIES_MAX && steady.saturating_sub(self.room_sought) >= ROOM_SOUGHT_EVERY {
            self.room_sought = steady;
            self.series.retain(|_, seen| steady.saturating_sub(*seen) < SERIES_FORGOTTEN_AFTER);
        }
        self.series.len() < SERIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn one(n: usize) -> Series {
        Series::new("m", BTreeMap::from([("n".to_owned(), n.to_string())])).expect("a series")
    }

    fn at(ms: i64) -> Sample {
        Sample { at: NOW.plus(ms), value: 1.0 }
    }

    #[test]
    fn a_time_that_cannot_be_is_refused_to_the_millisecond() {
        let mut budget = Budget::new(Duration::ZERO);
        for (ms, expected) in [
            (AHEAD_MAX_MS, Ok(())),
            (AHEAD_MAX_MS + 1, Err(Refusal::Future)),
            (-BEHIND_MAX_MS, Ok(())),
            (-BEHIND_MAX_MS - 1, Err(Refusal::Old)),
        ] {
            assert_eq!(budget.admit(&one(0), at(ms), NOW, Duration::ZERO), expected, "{ms}");
        }
    }

    #[test]
    fn a_flood_is_cut_and_what_is_refused_uses_nothing_up() {
        let mut budget = Budget::new(Duration::ZERO);
        let taken = (0..20_000).filter(|_| budget.admit(&one(0), at(0), NOW, Duration::ZERO).is_ok()).count();
        assert_eq!(taken, SAMPLES_AT_ONCE as usize);
        assert_eq!(budget.admit(&one(0), at(0), NOW, Duration::ZERO), Err(Refusal::Rate));
        let second = Duration::from_secs(1);
        let taken = (0..20_000).filter(|_| budget.admit(&one(0), at(0), NOW, second).is_ok()).count();
        assert_eq!(taken, SAMPLES_PER_SECOND as usize);
        // A clock that stands still, or is asked in another order, gives nothing.
        assert_eq!(budget.admit(&one(0), at(0), NOW, Duration::ZERO), Err(Refusal::Rate));
    }

    #[test]
    fn series_are_counted_and_forgotten_ones_make_room() {
        let mut budget = Budget::new(Duration::ZERO);
        let mut steady = Duration::ZERO;
        let mut refused = 0;
        for n in 0..SERIES_MAX + 500 {
            steady += Duration::from_millis(1);
            refused += usize::from(budget.admit(&one(n), at(0), NOW, steady) == Err(Refusal::Series));
        }
        assert_eq!(refused, 500);
        assert_eq!(budget.admit(&one(0), at(0), NOW, steady), Ok(()), "known ones go on");
        let later = steady + Duration::from_secs(3580);
        assert_eq!(budget.admit(&one(0), at(0), NOW, later), Ok(()));
        assert_eq!(budget.admit(&one(usize::MAX), at(0), NOW, later), Err(Refusal::Series));
        let hour = steady + SERIES_FORGOTTEN_AFTER + ROOM_SOUGHT_EVERY;
        assert_eq!(budget.admit(&one(usize::MAX), at(0), NOW, hour), Ok(()));
        assert_eq!(budget.series.len(), 2, "the one that was alive, and the new one");
    }
}
