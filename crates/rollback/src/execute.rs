//! Executing a plan, going on with a run, taking one back: ask the state machine what comes next, do it, write it down.

use crate::{
    Clock, Durability, Effects, Event, Faults, FoundEffect, JournalFailure, JournalStore, Next, NoFaults, Permission,
    Plan, Record, RunId, RunState, StepRunner, UndoError, UndoItem, UnitEnd,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
    faults: Arc<dyn Faults>,
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

/// Who does what the machine asks for.
pub struct Crew<'a> {
    /// Runs steps and checks. Taking a run back needs none.
    pub runner: Option<&'a mut dyn StepRunner>,
    /// Probes and takes back.
    pub effects: &'a mut dyn Effects,
    /// What a rehearsal injects.
    pub faults: Arc<dyn Faults>,
    /// Whether a person asked to stop: the run then turns back.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Who is behind it, for the journal.
    pub by: &'a str,
}

/// Effects taken back between two flushes: the records of more would not fit into what the journal holds back, and a
/// record must not reach the disk before what it speaks of.
const UNSETTLED_MAX: usize = 256;

impl Recorder {
    /// A recorder for one run, new (`state` is then the default) or read back.
    pub fn new(
        run: RunId,
        state: RunState,
        journal: Box<dyn JournalStore>,
        clock: Box<dyn Clock>,
        watcher: Watcher,
    ) -> Recorder {
        let faults = Arc::new(NoFaults);
        let inner = Inner { journal, clock, watcher, faults, run, state, failure: None };
        Recorder(Arc::new(Mutex::new(inner)))
    }

    /// Lets `faults` know of every record.
    pub fn inject(&self, faults: Arc<dyn Faults>) {
        self.lock().faults = faults;
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
                inner.faults.recorded();
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

    fn with<T>(&self, look: impl FnOnce(&RunState) -> T) -> T {
        look(&self.lock().state)
    }
}

/// Executes `plan` to its end. `permission` is what people approved of before.
///
/// # Errors
/// [`JournalFailure`] when the journal cannot be written: the run stops there, in flight.
pub fn execute(
    plan: &Plan,
    permission: Option<&Permission>,
    recorder: &Recorder,
    mut crew: Crew<'_>,
) -> Result<Report, JournalFailure> {
    recorder.record(
        Event::RunStarted {
            story: plan.story.clone(),
            digest: plan.digest(),
            by: crew.by.to_owned(),
            plan: Box::new(plan.clone()),
            permission: permission.cloned(),
        },
        Durability::Flushed,
    )?;
    crew.drive(recorder)
}

/// Goes on with a run that was cut off. A unit that was in hand is put back to its beginning and runs again; a run that
/// was on its way back goes on that way.
///
/// # Errors
/// As [`execute`].
pub fn resume(recorder: &Recorder, mut crew: Crew<'_>) -> Result<Report, JournalFailure> {
    // A failed step turns back by itself; everything else is looked at first.
    if !matches!(recorder.next(), Next::TurnBack(_) | Next::End { .. }) || recorder.with(RunState::is_undoing) {
        let found = if recorder.with(RunState::is_undoing) { Vec::new() } else { crew.found(recorder) };
        recorder.record(Event::RunResumed { by: crew.by.to_owned(), found }, Durability::Flushed)?;
    }
    crew.drive(recorder)
}

/// Takes a run back: one that was cut off, or one that ended. `forced` are the effects (`step/n`) that are to be taken
/// back although somebody changed them since.
///
/// # Errors
/// As [`execute`].
pub fn undo(
    recorder: &Recorder,
    reason: &str,
    forced: Vec<String>,
    mut crew: Crew<'_>,
) -> Result<Report, JournalFailure> {
    if recorder.with(RunState::is_undoing) {
        recorder.record(Event::RunResumed { by: crew.by.to_owned(), found: Vec::new() }, Durability::Flushed)?;
    } else {
        crew.turn_back(recorder, reason.to_owned(), forced)?;
    }
    crew.drive(recorder)
}

/// What somebody changed since the run, of the things that it made: `(step/n, what)`, newest first. What a later effect of
/// the run changed once more is judged by that one; it is looked at again when its turn to be taken back comes.
pub fn changed_since(state: &RunState, effects: &mut dyn Effects) -> Vec<(String, String)> {
    let Some(plan) = state.plan() else { return Vec::new() };
    let mut made: Vec<_> = state.applied().iter().filter(|a| a.standing != crate::Standing::Undone).collect();
    made.sort_by_key(|a| (a.index, a.n));
    let (mut changed, mut later, mut things) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for applied in made.into_iter().rev() {
        let names = applied.effect.names();
        let (applied, number) = (applied.clone(), plan.number(applied.index, applied.n));
        let item = UndoItem { applied, number, foreign: Vec::new(), is_careful: true, is_forced: false };
        let is_first = effects.thing(&item).is_none_or(|thing| things.insert(thing));
        if is_first && !names.iter().any(|name| overlaps(&later, name)) {
            changed.extend(effects.changed_since(&item).map(|what| (item.applied.name(), what)));
        }
        later.extend(names);
    }
    changed
}

/// Whether `name`, something above or something below it is in `names`.
fn overlaps(names: &BTreeSet<&str>, name: &str) -> bool {
    let above = name.match_indices('/').any(|(at, _)| names.contains(&name[..at]));
    let below = format!("{name}/");
    let below = names.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below));
    names.contains(name) || above || below
}

impl Crew<'_> {
    fn drive(&mut self, recorder: &Recorder) -> Result<Report, JournalFailure> {
        let (mut repeated, mut unsettled) = (false, 0);
        loop {
            let next = recorder.next();
            if unsettled > 0 && !matches!(next, Next::Undo(_)) {
                self.effects.settle().map_err(JournalFailure)?;
                unsettled = 0;
            }
            match next {
                Next::Unit(_) if (self.interrupted)() => {
                    self.turn_back(recorder, "a person stopped it".to_owned(), Vec::new())?;
                }
                Next::Unit(index) => self.run_unit(recorder, index, &mut repeated)?,
                Next::TurnBack(reason) => self.turn_back(recorder, reason, Vec::new())?,
                Next::Undo(item) => {
                    unsettled = unsettled % UNSETTLED_MAX + 1;
                    let durability = if unsettled == UNSETTLED_MAX { Durability::Flushed } else { Durability::Lazy };
                    self.take_back(recorder, &item, durability)?;
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

    fn run_unit(&mut self, recorder: &Recorder, index: usize, repeated: &mut bool) -> Result<(), JournalFailure> {
        let (unit, made_before) =
            recorder.with(|state| (state.plan().and_then(|p| p.units.get(index)).cloned(), state.made_before()));
        let Some(unit) = unit else { return Err(JournalFailure(format!("the plan has no unit {index}"))) };
        let name = unit.name.clone();
        recorder.record(Event::UnitStarted { unit: name.clone() }, Durability::Lazy)?;
        let end = match &mut self.runner {
            Some(runner) => runner.run(index, &unit, &made_before),
            None => UnitEnd::Broken("there is nobody to run it".to_owned()),
        };
        if end != UnitEnd::Succeeded && (self.interrupted)() {
            return self.turn_back(recorder, format!("a person stopped it in {name}"), Vec::new());
        }
        let end = match end {
            UnitEnd::Succeeded if self.faults.fails(&name) => UnitEnd::Failed("injected: it fails here".to_owned()),
            UnitEnd::Succeeded if self.faults.repeats(&name) && !*repeated => {
                *repeated = true;
                let found = self.found(recorder);
                let by = "injected: it is cut off here and runs again".to_owned();
                return recorder.record(Event::RunResumed { by, found }, Durability::Flushed);
            }
            end => end,
        };
        // Results are flushed per step; a check has none worth a flush of its own.
        let (what, durability) = match end {
            UnitEnd::Succeeded if unit.effects.is_empty() => (Event::UnitSucceeded { unit: name }, Durability::Lazy),
            UnitEnd::Succeeded => (Event::UnitSucceeded { unit: name }, Durability::Flushed),
            UnitEnd::Failed(reason) => (Event::UnitFailed { unit: name, reason, broken: false }, Durability::Flushed),
            UnitEnd::Broken(reason) => (Event::UnitFailed { unit: name, reason, broken: true }, Durability::Flushed),
        };
        recorder.record(what, durability)
    }

    /// What the unit in hand made without a record of it.
    fn found(&mut self, recorder: &Recorder) -> Vec<FoundEffect> {
        let state = recorder.state();
        let (Some(plan), Some(index), Some(run)) = (state.plan(), state.uncertain_unit(), state.run()) else {
            return Vec::new();
        };
        let planned = plan.units.get(index).map_or(&[][..], |unit| &unit.effects);
        let unrecorded = planned.iter().enumerate().filter(|(n, _)| !state.is_recorded(index, *n));
        unrecorded
            .filter_map(|(n, planned)| {
                let effect = planned.effect.clone().concrete(run.as_str());
                self.effects.probe(n, plan.number(index, n), &effect)
            })
            .collect()
    }

    fn turn_back(&mut self, recorder: &Recorder, reason: String, forced: Vec<String>) -> Result<(), JournalFailure> {
        let found = self.found(recorder);
        // A unit that was cut off changed directories without a record of how it left them, so the last one says nothing
        // of what somebody else did.
        let foreign = if found.is_empty() {
            let left = recorder.with(RunState::times_left);
            self.effects.changed_directories(&left)
        } else {
            Vec::new()
        };
        let event = Event::UndoStarted { by: self.by.to_owned(), reason, found, foreign, forced };
        recorder.record(event, Durability::Flushed)
    }

    fn take_back(
        &mut self,
        recorder: &Recorder,
        item: &UndoItem,
        durability: Durability,
    ) -> Result<(), JournalFailure> {
        let (unit, n) = (item.applied.unit.clone(), item.applied.n);
        let result = if self.faults.undo_fails(&item.applied.name()) {
            Err(UndoError::Failed("injected: it fails here".to_owned()))
        } else {
            self.effects.undo(item)
        };
        let what = match result {
            Ok(note) => Event::EffectUndone { unit, n, note },
            Err(UndoError::Cannot(reason)) => Event::EffectLeft { unit, n, reason },
            Err(UndoError::Failed(reason)) => Event::UndoFailed { unit, n, reason },
        };
        if durability == Durability::Flushed {
            self.effects.settle().map_err(JournalFailure)?;
        }
        // Repeating it is harmless, so that a flush of its own for each would buy nothing.
        recorder.record(what, durability)
    }
}
