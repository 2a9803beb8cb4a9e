//! A person's wish to stop, and how a running step learns of it: while it computes at the next tick, while it waits
//! within [`LOOK`].

use super::limits::Budget;
use crate::gate::Stop;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How often a waiting step looks whether it should end.
const LOOK: Duration = Duration::from_millis(20);

/// Ends every step of an [`Engine`](super::Engine), the running one and those to come, with [`Stop::Interrupted`]. A call
/// of the gate that has begun is finished first. Cheap to clone; may be set in a signal handler.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Steps may run again: to take the run back, say.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.0.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

/// What ends a step that waits: the wall limit, or a person.
#[derive(Clone)]
pub(super) struct Watch {
    deadline: Instant,
    wall: Stop,
    interrupt: Interrupt,
}

impl Watch {
    pub(super) fn new(budget: &Budget) -> Watch {
        Watch { deadline: budget.deadline().into(), wall: budget.wall_stop(), interrupt: budget.interrupt().clone() }
    }

    /// Awaits `call`, but not beyond the end.
    pub(super) async fn over<T>(&self, call: impl Future<Output = T>) -> Result<T, Stop> {
        let (mut call, mut end) = (pin!(call), pin!(self.end()));
        poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => end.as_mut().poll(context).map(Err),
        })
        .await
    }

    async fn end(&self) -> Stop {
        loop {
            if let Err(stop) = self.interrupt.check() {
                return stop;
            }
            let now = Instant::now();
            if now >= self.deadline {
                return self.wall.clone();
            }
            sleep_until(self.deadline.min(now + LOOK)).await;
        }
    }
}
