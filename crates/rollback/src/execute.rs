//! Executing a plan: ask the state machine what comes next, do it, write it down.

use crate::{
    Clock, Durability, Event, JournalFailure, JournalStore, Next, Plan, Record, RunId, RunState, StepRunner, UnitEnd,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sees every record right after it was taken.
pub type Watcher = Box<dyn FnMut(&Record) + Send>;

/// The one way into the journal for a run: every record passes the state machine before it is written. Cheap to clone;
/// the gate holds one too.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Inner>>);

struct Inner {
    journal: Box<dyn JournalStore>,
    clock: Box<dyn Clock>,
    watcher: Watcher,
    run: RunId,
    state: RunState,
    failure: Option<JournalFailure>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The run as its records tell it.
    pub state: RunState,
}

impl Recorder {
    /// A recorder for one run.
    pub fn new(run: RunId, journal: Box<dyn JournalStore>, clock: Box<dyn Clock>, watcher: Watcher) -> Recorder {
        let inner = Inner { journal, clock, watcher, run, state: RunState::default(), failure: None };
        Recorder(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves the state as of the last whole record.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one event down.
    ///
    /// # Errors
    /// [`JournalFailure`] when it cannot follow the earlier ones or cannot be written; every later call then fails too.
    pub fn record(&self, what: Event, durability: Durability) -> Result<(), JournalFailure> {
        let mut inner = self.lock();
        if let Some(failure) = &inner.failure {
            return Err(failure.clone());
        }
        let record = Record { at_ms: inner.clock.now_ms(), run: inner.run.clone(), what };
        let written = match inner.state.advance(&record) {
            Ok(()) => inner.journal.append(std::slice::from_ref(&record), durability),
            Err(illegal) => Err(JournalFailure(illegal.to_string())),
        };
        match written {
            Ok(()) => {
                (inner.watcher)(&record);
                Ok(())
            }
            Err(failure) => {
                inner.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// What the run does next.
    pub fn next(&self) -> Next {
        self.lock().state.next()
    }

    /// The run so far.
    pub fn state(&self) -> RunState {
        self.lock().state.clone()
    }
}

/// Executes `plan` to its end.
///
/// # Errors
/// [`JournalFailure`] when the journal cannot be written: the run stops there, in flight.
pub fn execute(
    plan: &Plan,
    by: &str,
    runner: &mut dyn StepRunner,
    recorder: &Recorder,
) -> Result<Report, JournalFailure> {
    recorder.record(
        Event::RunStarted {
            story: plan.story.clone(),
            digest: plan.digest(),
            by: by.to_owned(),
            plan: Box::new(plan.clone()),
        },
        Durability::Flushed,
    )?;
    loop {
        match recorder.next() {
            Next::Unit(index) => {
                let unit = &plan.units[index];
                recorder.record(Event::UnitStarted { unit: unit.name.clone() }, Durability::Lazy)?;
                let end = runner.run(unit);
                let name = unit.name.clone();
                // Results are flushed per step; a check has none worth a flush of its own.
                let (what, durability) = match end {
                    UnitEnd::Succeeded if unit.effects.is_empty() => {
                        (Event::UnitSucceeded { unit: name }, Durability::Lazy)
                    }
                    UnitEnd::Succeeded => (Event::UnitSucceeded { unit: name }, Durability::Flushed),
                    UnitEnd::Failed(reason) => {
                        (Event::UnitFailed { unit: name, reason, broken: false }, Durability::Flushed)
                    }
                    UnitEnd::Broken(reason) => {
                        (Event::UnitFailed { unit: name, reason, broken: true }, Durability::Flushed)
                    }
                };
                recorder.record(what, durability)?;
            }
            Next::End { outcome, verdict, reason } => {
                recorder.record(Event::RunEnded { outcome, verdict, reason }, Durability::Flushed)?;
            }
            Next::Nothing => {
                return Ok(Report { state: recorder.state() });
            }
        }
    }
}
