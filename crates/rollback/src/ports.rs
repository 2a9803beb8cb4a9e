//! The ports through which the world comes in.

use crate::{PlannedUnit, Record};

/// Whether a record must be on disk before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Yes, and with it every earlier record.
    Flushed,
    /// With the next flush.
    Lazy,
}

/// The journal could not be written. The run stops: nothing may change that is not written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalFailure(pub String);

/// Where records go.
pub trait JournalStore: Send {
    /// Appends `records` in order.
    ///
    /// # Errors
    /// [`JournalFailure`]; afterwards every further append fails too.
    fn append(&mut self, records: &[Record], durability: Durability) -> Result<(), JournalFailure>;
}

/// The host's clock.
pub trait Clock: Send {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> u64;
}

/// How one step or check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitEnd {
    /// Well.
    Succeeded,
    /// It says no, for this reason.
    Failed(String),
    /// It could not say: a limit, a trap, an effect outside the plan.
    Broken(String),
}

/// Runs one step or check in its sandbox. Effects, denials and lines go to the [`crate::Recorder`] that the runner was made with.
pub trait StepRunner {
    /// Runs it to its end.
    fn run(&mut self, unit: &PlannedUnit) -> UnitEnd;
}
