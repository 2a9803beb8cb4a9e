//! What wakes the daemon's loop: anything that other threads have for it.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// A bell that is not lost when nobody waits yet.
#[derive(Debug, Default)]
pub struct Wake {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake {
    /// Rings it.
    pub fn wake(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Waits until it is rung, or `longest` is over; either way it is silent then.
    pub fn wait(&self, longest: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(rung, longest, |rung| !*rung);
        match waited {
            Ok((mut rung, _)) => *rung = false,
            Err(poisoned) => *poisoned.into_inner().0 = false,
        }
    }
}
