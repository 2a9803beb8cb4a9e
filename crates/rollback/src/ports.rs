//! The ports through which the world comes in.

use crate::{DirectoryTime, Effect, FoundEffect, PlannedUnit, Record, UndoItem};

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
    /// Runs the unit with this index to its end. The planned effects `made_before` were made by an earlier attempt that
    /// was cut off, and need not be made again.
    fn run(&mut self, index: usize, unit: &PlannedUnit, made_before: &[usize]) -> UnitEnd;
}

/// Why an effect was not taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoError {
    /// Nothing can take it back.
    Cannot(String),
    /// It should have worked, and may yet.
    Failed(String),
}

/// The world's side of effects: what became of them, and taking them back. Knows no guest.
pub trait Effects {
    /// Those of `left` whose time is another one now, so that somebody else changed something in them.
    fn changed_directories(&mut self, left: &[DirectoryTime]) -> Vec<String>;
    /// What became of the effect `number` of the run; `None` when it was not made.
    fn probe(&mut self, n: usize, number: u64, effect: &Effect) -> Option<FoundEffect>;
    /// What somebody changed since, of the thing that the effect is about; `None` when it is as the run left it.
    fn changed_since(&mut self, item: &UndoItem) -> Option<String>;
    /// Which thing the effect is about, as far as that can be told now: several names of one file are one thing.
    fn thing(&mut self, _item: &UndoItem) -> Option<(u64, u64)> {
        None
    }
    /// Takes the effect back, with the times of its directories. What somebody else put in its place since is kept, and
    /// the note says where. Taking back what is not there any more is no error, so that repeating it is harmless.
    ///
    /// # Errors
    /// [`UndoError`]; the thing is then as it was, or as it is described.
    fn undo(&mut self, item: &UndoItem) -> Result<Option<String>, UndoError>;
    /// Makes everything that was taken back so far durable. Only then may a record say so durably.
    ///
    /// # Errors
    /// What could not be flushed.
    fn settle(&mut self) -> Result<(), String>;
}

/// Faults that a rehearsal injects. Every method has the answer of a run without faults.
pub trait Faults: Send + Sync {
    /// A record was just taken.
    fn recorded(&self) {}
    /// The run stands at a boundary of an effect: just before, between two of its operations, or just after.
    fn boundary(&self) {}
    /// The step is to fail after it did its work.
    fn fails(&self, _unit: &str) -> bool {
        false
    }
    /// The step is to be cut off at its end once, and run again.
    fn repeats(&self, _unit: &str) -> bool {
        false
    }
    /// Taking back this effect (`step/n`) is to fail.
    fn undo_fails(&self, _effect: &str) -> bool {
        false
    }
}

/// No faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {}
