//! What one step may use up of the engine: memory, tables, instances, handles and computing time.

use super::interrupt::Interrupt;
use crate::gate::Stop;
use std::time::{Duration, Instant};
use unship_policy::meaning::Limits;
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// Core instances of one step; a large componentized program has about ten.
const INSTANCES_MAX: usize = 100;
/// Linear memories of one step.
const MEMORIES_MAX: usize = 100;
/// Tables of one step.
const TABLES_MAX: usize = 100;

/// Counts what a step uses. The engine asks before every growth.
pub(super) struct Budget {
    memory_bytes_left: usize,
    table_elements_left: usize,
    /// This thread's computing time when the step began.
    cpu_before: Duration,
    deadline: Instant,
    interrupt: Interrupt,
    limits: Limits,
}

impl Budget {
    pub(super) fn new(limits: &Limits, interrupt: &Interrupt) -> Budget {
        Budget {
            memory_bytes_left: limits.memory_bytes_max,
            table_elements_left: limits.table_elements_max,
            cpu_before: thread_cpu(),
            // A wall limit beyond what the clock can hold is a century: as good as none.
            deadline: Instant::now().checked_add(limits.wall).unwrap_or_else(far_future),
            interrupt: interrupt.clone(),
            limits: limits.clone(),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// A tick went by while the guest was computing, or waiting and is computing again. What counts is the computing time
    /// of the step's thread, which a guest that sleeps in short naps does not use up. The guest yields, so that its
    /// time-outs are looked at.
    pub(super) fn tick(&mut self) -> Result<UpdateDeadline, Stop> {
        self.interrupt.check()?;
        if Instant::now() >= self.deadline {
            return Err(self.wall_stop());
        }
        if thread_cpu().saturating_sub(self.cpu_before) > self.limits.cpu {
            return Err(Stop::Limit { limit: "cpu", allowed: seconds(self.limits.cpu) });
        }
        Ok(UpdateDeadline::Yield(1))
    }

    pub(super) fn wall_stop(&self) -> Stop {
        Stop::Limit { limit: "wall", allowed: seconds(self.limits.wall) }
    }

    pub(super) fn handles_stop(&self) -> Stop {
        Stop::Limit { limit: "handles", allowed: format!("{} open at a time", self.limits.handles_max) }
    }
}

/// Growth is counted over all memories and tables of the store together; an error, rather than a failed `memory.grow`,
/// makes the end of the step say why.
impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        match self.memory_bytes_left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => self.memory_bytes_left = left,
            None => {
                let allowed = format!("{} bytes over all memories", self.limits.memory_bytes_max);
                return Err(Stop::Limit { limit: "memory", allowed }.into());
            }
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        match self.table_elements_left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => self.table_elements_left = left,
            None => {
                let allowed = format!("{} elements over all tables", self.limits.table_elements_max);
                return Err(Stop::Limit { limit: "tables", allowed }.into());
            }
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(100 * 365 * 24 * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_memories() {
        let mut budget = Budget::new(&Limits { memory_bytes_max: 100, ..Limits::default() }, &Interrupt::default());
        assert!(budget.memory_growing(0, 60, None).is_ok());
        assert!(budget.memory_growing(0, 40, None).is_ok());
        let stop = budget.memory_growing(60, 61, None).unwrap_err();
        assert!(matches!(stop.downcast_ref(), Some(Stop::Limit { limit: "memory", .. })));
    }

    #[test]
    fn computing_time_runs_out_and_sleeping_does_not_use_it_up() {
        let allowed = Duration::from_millis(50);
        let mut budget = Budget::new(&Limits { cpu: allowed, ..Limits::default() }, &Interrupt::default());
        let started = Instant::now();
        while started.elapsed() < 2 * allowed {
            std::thread::park_timeout(allowed);
        }
        assert!(budget.tick().is_ok());
        let stop = loop {
            if let Err(stop) = budget.tick() {
                break stop;
            }
        };
        assert!(matches!(stop, Stop::Limit { limit: "cpu", .. }));
    }
}
