//! The daemon's clock: the machine's, or, on a rehearsal site, one that is told the time.

use crate::sources;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use unship_rollback::signal::Millis;

/// Milliseconds since the epoch.
pub trait WatchClock: Send + Sync {
    /// Now.
    fn now_ms(&self) -> u64;
    /// Sets it; `false` where it cannot be set.
    fn set(&self, _now_ms: u64) -> bool {
        false
    }
}

/// A time as `YYYY-MM-DD hh:mm:ss`, in UTC.
pub fn calendar(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| format!("{} ms", at.0), |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// This machine's.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

impl WatchClock for MachineClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A stand-in for rehearsals and tests: it stands still until it is set.
#[derive(Debug, Default)]
pub struct DrivenClock(AtomicU64);

impl DrivenClock {
    /// It shows `now_ms`.
    pub fn new(now_ms: u64) -> DrivenClock {
        DrivenClock(AtomicU64::new(now_ms))
    }
}

impl WatchClock for DrivenClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn set(&self, now_ms: u64) -> bool {
        self.0.store(now_ms, Ordering::SeqCst);
        true
    }
}

/// The daemon's clock as the sources need it: their moments go by the machine's steady clock, whatever is set.
pub struct SourceClock {
    clock: Arc<dyn WatchClock>,
    begun: Instant,
}

impl SourceClock {
    /// It shows what `clock` shows.
    pub fn new(clock: Arc<dyn WatchClock>) -> SourceClock {
        SourceClock { clock, begun: Instant::now() }
    }
}

impl sources::Clock for SourceClock {
    fn now(&self) -> Millis {
        Millis(i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX))
    }

    fn steady(&self) -> Duration {
        self.begun.elapsed()
    }
}
