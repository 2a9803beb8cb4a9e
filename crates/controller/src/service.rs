//! What a service manager is told: ready, alive, reloading, stopping. Without one nobody is told.

use crate::daemon::Alive;
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Tells it; that it is alive as often as it wants to hear.
pub fn teller() -> Box<dyn FnMut(Alive)> {
    let every: Option<Duration> = sd_notify::watchdog_enabled().map(|within| within / 3);
    let mut told = Instant::now();
    Box::new(move |alive| {
        let said = match alive {
            Alive::Ready => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("watching")]),
            Alive::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Alive::Reloading => {
                NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
            }
            Alive::Turning => match every {
                Some(every) if told.elapsed() >= every => {
                    told = Instant::now();
                    sd_notify::notify(&[NotifyState::Watchdog])
                }
                _ => Ok(()),
            },
        };
        if let Err(e) = said {
            tracing::warn!(error = %e, "the service manager cannot be told");
        }
    })
}
