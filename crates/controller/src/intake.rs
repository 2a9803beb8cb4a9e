//! Where samples wait for the daemon: bounded, so that a flood harms only what floods.

use crate::{
    sources::{Alert, Full, Sink},
    wake::Wake,
};
use std::sync::{Arc, Mutex, PoisonError};
use unship_rollback::signal::{Sample, Series};

/// Samples that wait at most. Beyond it they are not taken, and their source is told.
pub const WAITING_MAX: usize = 200_000;

/// See the module.
pub struct Intake {
    waiting: Mutex<Vec<(Series, Sample)>>,
    wake: Arc<Wake>,
}

impl Intake {
    /// An empty one; whoever waits on `wake` is woken by what comes.
    pub fn new(wake: Arc<Wake>) -> Intake {
        Intake { waiting: Mutex::new(Vec::new()), wake }
    }

    /// All that waits, in the order in which it came.
    pub fn empty(&self) -> Vec<(Series, Sample)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Intake {
    fn sample(&self, series: Series, sample: Sample) -> Result<(), Full> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return Err(Full);
        }
        waiting.push((series, sample));
        if waiting.len() == 1 {
            self.wake.wake();
        }
        Ok(())
    }

    /// Its sample has come before it, and triggers are what decides.
    fn alert(&self, alert: Alert) {
        tracing::debug!(series = %alert.series, is_firing = alert.is_firing, "an alert");
    }

    fn trouble(&self, source: &str, what: &str) {
        tracing::warn!(source, what, "a source is in trouble");
    }

    fn well(&self, source: &str) {
        tracing::info!(source, "a source is well again");
    }
}
