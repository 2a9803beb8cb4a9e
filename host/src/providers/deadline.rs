//! One moment by which a call has ended, handed down through everything it does.

use std::time::{Duration, Instant};

/// The moment; copied freely, never moved back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The moment came before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of time while {doing}")]
pub struct TimedOut {
    /// What was being done, as it reads after "while".
    pub doing: &'static str,
}

impl Deadline {
    /// `time` from now. A time too long to reckon with ends in a year.
    pub fn after(time: Duration) -> Deadline {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Deadline(Instant::now() + time.min(YEAR))
    }

    /// The time left; zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// This deadline, or `time` from now if that is earlier.
    pub fn min(self, time: Duration) -> Deadline {
        Ord::min(self, Deadline::after(time))
    }

    /// # Errors
    /// [`TimedOut`] when the moment has come.
    pub fn check(&self, doing: &'static str) -> Result<(), TimedOut> {
        if self.remaining().is_zero() { Err(TimedOut { doing }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_moment_wins_and_the_longest_time_is_no_overflow() {
        let far = Deadline::after(Duration::MAX);
        assert!(far.remaining() > Duration::from_secs(1_000_000));
        assert!(far.min(Duration::from_secs(5)).remaining() <= Duration::from_secs(5));
        let past = far.min(Duration::ZERO);
        assert_eq!(past.min(Duration::MAX).check("waiting"), Err(TimedOut { doing: "waiting" }));
        assert_eq!(far.check("waiting"), Ok(()));
    }
}
