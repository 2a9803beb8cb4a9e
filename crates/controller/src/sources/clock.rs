//! Time, as the sources need it: what the clock on the wall shows, and what never goes back.

use std::time::{Duration, Instant, SystemTime};
use unship_rollback::signal::Millis;

/// Both clocks.
pub trait Clock: Send + Sync {
    /// The wall's: samples are stamped with it. It may be set.
    fn now(&self) -> Millis;

    /// Time since some moment that stays the same. It goes on evenly.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    begun: Instant,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock { begun: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        // A clock before 1970 is a clock that was never set.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn steady(&self) -> Duration {
        self.begun.elapsed()
    }
}
