//! When each source looks next. Pure: time comes in.
//!
//! A source looks at its own moments, `first + n × every`, whatever delays a look: nothing drifts. The first moments are
//! spread, so that sources of one rhythm do not look in step. Moments that were missed are not made up for.

use std::time::Duration;

/// The moments of all sources, which are known by their place.
#[derive(Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    every: Duration,
    next: Duration,
}

impl Schedule {
    /// Begins at `now`. `spread` gives a number from 0 to 1 for each: the part of its rhythm after which it looks first.
    pub fn new(rhythms: &[Duration], now: Duration, mut spread: impl FnMut() -> f64) -> Schedule {
        let entry = |every: &Duration| Entry { every: *every, next: now + every.mul_f64(spread().clamp(0.0, 1.0)) };
        Schedule { entries: rhythms.iter().map(entry).collect() }
    }

    /// Those whose moment has come, each once; their next moment is after `now`.
    pub fn due(&mut self, now: Duration) -> Vec<usize> {
        let mut due = Vec::new();
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if entry.next <= now {
                due.push(place);
                let missed = (now - entry.next).as_nanos() / entry.every.as_nanos().max(1);
                let steps = u32::try_from(missed + 1).unwrap_or(u32::MAX);
                entry.next = entry.next.saturating_add(entry.every.saturating_mul(steps));
            }
        }
        due
    }

    /// The earliest moment of all.
    pub fn next(&self) -> Option<Duration> {
        self.entries.iter().map(|entry| entry.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn nothing_drifts_however_late_anybody_asks() {
        let mut schedule = Schedule::new(&[S(10)], S(100), || 0.5);
        let mut looks = Vec::new();
        // Asked late by up to 9 seconds, each time otherwise.
        for (n, late) in [0, 3, 9, 1, 7].into_iter().enumerate() {
            let moment = S(105 + 10 * n as u64);
            assert_eq!(schedule.next(), Some(moment));
            assert!(schedule.due(moment - Duration::from_nanos(1)).is_empty());
            looks.extend(schedule.due(moment + S(late)));
        }
        assert_eq!(looks, [0; 5]);
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let mut schedule = Schedule::new(&[S(10), S(60)], S(0), || 0.0);
        assert_eq!(schedule.due(S(0)), [0, 1]);
        assert_eq!(schedule.due(S(605)), [0, 1], "each once after ten minutes of nothing");
        assert_eq!(schedule.next(), Some(S(610)));
        assert_eq!(schedule.due(S(610)), [0]);
        assert_eq!(schedule.due(S(660)), [0, 1]);
    }

    #[test]
    fn sources_of_one_rhythm_are_spread_and_keep_their_distance() {
        let mut part = 0.0;
        let mut schedule = Schedule::new(&[S(15); 15], S(0), || {
            part += 1.0 / 15.0;
            part - 1.0 / 15.0
        });
        for second in 0..300 {
            let at = S(second) + Duration::from_millis(500);
            assert_eq!(schedule.due(at).len(), 1, "at {at:?}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let mut schedule = Schedule::new(&[S(1)], S(0), || 0.0);
        assert_eq!(schedule.due(Duration::MAX), [0]);
        assert!(schedule.next().is_some());
        assert_eq!(Schedule::new(&[], S(0), || 0.0).next(), None);
    }
}
