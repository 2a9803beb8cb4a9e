//! Time, as the sources need it: what the clock on the wall shows, and what never goes back.

use std::time::Duration;
use unship_rollback::signal::Millis;

/// Both clocks.
pub trait Clock: Send + Sync {
    /// The wall's: samples are stamped with it. It may be set.
    fn now(&self) -> Millis;

    /// Time since some moment that stays the same. It goes on evenly.
    fn steady(&self) -> Duration;
}
