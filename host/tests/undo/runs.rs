//! Runs through the real drivers, the real gate, the real effects and the store's own before-images; only the guest and the
//! journal are stand-ins, and a "kill" drops all that is in memory.

use crate::{
    images::StoreImages,
    steps::{Step, Told, play},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use unship_host::{
    effects::SiteEffects,
    gate::{Gate, Ground, Pinned, RunUse, Use, World},
};
use unship_policy::{Definitions, Digest, Grant, OnFail, meaning::Limits};
use unship_rollback::{
    Clock, Crew, Durability, Faults, JournalFailure, JournalStore, Plan, PlannedUnit, Record, Recorder, Report, RunId,
    RunState, StepRunner, UnitEnd, UnitRole, execute, resume, undo,
};
use unship_store::SiteStore;

pub const RUN: &str = "r20260101t000000z-00c0ffee";

/// What [`Grant::whole_folders`] calls its step.
pub const UNIT: &str = "exec";

pub fn run_id() -> RunId {
    RunId::new(RUN).expect("an id")
}

pub fn definitions() -> Definitions {
    let folders = [("site".to_owned(), ".".to_owned())].into();
    Definitions { folders, ..Definitions::default() }
}

fn pinned() -> Pinned {
    Pinned { clock: SystemTime::UNIX_EPOCH, seed: 0 }
}

/// Where a journal's file would be: what reached it, and what waits for the next flush. A stand-in.
#[derive(Default, Clone)]
pub struct Tape(Arc<Mutex<(Vec<String>, Vec<String>)>>);

impl Tape {
    fn lock(&self) -> MutexGuard<'_, (Vec<String>, Vec<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process is gone. Of what waited the first `kept` records made it: none after a loss of power or a kill, some
    /// where the journal had too many to hold back.
    pub fn lose(&self, kept: usize) {
        let (file, waiting) = &mut *self.lock();
        file.extend(waiting.drain(..).take(kept));
    }

    pub fn state(&self) -> RunState {
        let mut state = RunState::default();
        for line in &self.lock().0 {
            let record: Record = serde_json::from_str(line).expect("a record");
            state.advance(&record).unwrap_or_else(|e| panic!("{e}: {line}\nafter {:#?}", self.lock().0));
        }
        state
    }
}

impl JournalStore for Tape {
    fn append(&mut self, records: &[Record], durability: Durability) -> Result<(), JournalFailure> {
        let (file, waiting) = &mut *self.lock();
        waiting.extend(records.iter().map(|record| serde_json::to_string(record).expect("JSON")));
        if durability == Durability::Flushed {
            file.append(waiting);
        }
        Ok(())
    }
}

/// A clock that goes backwards.
pub struct Backwards(pub AtomicU64);

impl Clock for Backwards {
    fn now_ms(&self) -> u64 {
        self.0.fetch_sub(1000, Ordering::Relaxed)
    }
}

pub fn clock() -> Box<dyn Clock> {
    Box::new(Backwards(AtomicU64::new(1_800_000_000_000)))
}

/// The process was killed.
#[derive(Debug)]
pub struct Killed;

/// Kills at the boundary or record with the number that is left; 0: never.
pub struct Killer {
    left: AtomicU64,
}

impl Killer {
    pub fn at(number: u64) -> Arc<Killer> {
        Arc::new(Killer { left: AtomicU64::new(number) })
    }

    fn point(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                // Without the panic hook's message.
                resume_unwind(Box::new(Killed));
            }
        }
    }
}

impl Faults for Killer {
    fn recorded(&self) {
        self.point();
    }

    fn boundary(&self) {
        self.point();
    }
}

/// A site with a tree and a store, and what is to be done to it.
pub struct Site {
    pub root: PathBuf,
    pub steps: Vec<Step>,
    /// What the guest was told when planning, step by step.
    pub told: Vec<Told>,
    pub definitions: Definitions,
    pub grant: Grant,
}

impl Site {
    pub fn store(&self) -> SiteStore {
        SiteStore::open(&self.root).expect("the store")
    }

    pub fn images(&self) -> StoreImages {
        StoreImages::open(&self.store(), &run_id(), u64::MAX).expect("images")
    }

    pub fn effects(&self, images: &StoreImages, faults: Arc<dyn Faults>) -> SiteEffects {
        SiteEffects::open(&self.root, self.definitions.clone(), RUN, Box::new(images.clone()), faults).expect("effects")
    }

    /// Everything in the site, for who needs no name.
    pub fn whole() -> Grant {
        Grant::whole_folders([("site".to_owned(), false)])
    }

    /// Plans the steps against an overlay.
    pub fn plan(&mut self, scratch: &Path) -> Result<Plan, String> {
        let ground = Ground::Planned { scratch, bytes_max: 1 << 30 };
        let mut world = Box::new(World::open(&self.root, self.definitions.clone(), RUN, ground).expect("a world"));
        let mut units = Vec::new();
        self.told.clear();
        for step in &self.steps {
            let mut gate = Gate::new(world, self.grant.clone(), Limits::default(), pinned(), Use::Plan);
            let mut told = Told::new();
            let played = play(&mut gate, step, &mut told, &|| ());
            let (back, written, finished) = gate.finish(played.is_ok());
            world = back;
            self.told.push(told);
            played.and(finished).map_err(|stop| format!("planning stopped: {stop}"))?;
            let (name, title, role) = (UNIT.to_owned(), UNIT.to_owned(), UnitRole::Step);
            units.push(PlannedUnit { name, title, role, effects: written.effects });
        }
        Ok(Plan {
            format: Plan::FORMAT,
            story: "1.3".to_owned(),
            variant: None,
            version: "1".to_owned(),
            title: "t".to_owned(),
            bundle: Digest::of(b"bundle"),
            resolved: Digest::of(b"resolved"),
            on_fail: OnFail::Undo,
            already: false,
            clock_ms: 0,
            units,
            weakens: Vec::new(),
            checklist: Vec::new(),
            trust: None,
        })
    }
}

/// Drives the gate as a guest would.
pub struct Guest<'a> {
    site: &'a Site,
    world: Option<Box<World>>,
    recorder: Recorder,
    images: StoreImages,
    faults: Arc<dyn Faults>,
    /// Why a step came to nothing, or told the guest something else than when it was planned.
    pub wrong: Option<String>,
}

impl StepRunner for Guest<'_> {
    fn run(&mut self, index: usize, unit: &PlannedUnit, made_before: &[usize]) -> UnitEnd {
        let Some(world) = self.world.take() else { return UnitEnd::Broken("no world".to_owned()) };
        let first = self.recorder.state().plan().map_or(0, |plan| plan.number(index, 0));
        let use_ = Use::Run(RunUse {
            recorder: self.recorder.clone(),
            planned: unit.effects.clone(),
            made_before: made_before.to_vec(),
            first,
            images: Box::new(self.images.clone()),
            faults: self.faults.clone(),
        });
        let mut gate = Gate::new(world, self.site.grant.clone(), Limits::default(), pinned(), use_);
        let mut told = Told::new();
        let faults = self.faults.clone();
        let played = play(&mut gate, &self.site.steps[index], &mut told, &|| faults.boundary());
        let (world, _, finished) = gate.finish(played.is_ok());
        self.world = Some(world);
        match played.and(finished) {
            Ok(()) if told != self.site.told[index] => {
                let (plan, run) = (&self.site.told[index], &told);
                let differs = plan.iter().zip(run).find(|(plan, run)| plan != run);
                let why = format!("the guest was told something else than when planning: {differs:?}");
                self.wrong.get_or_insert(why.clone());
                UnitEnd::Broken(why)
            }
            Ok(()) => UnitEnd::Succeeded,
            Err(stop) => {
                self.wrong.get_or_insert(format!("step {index}: {stop}"));
                UnitEnd::Broken(stop.to_string())
            }
        }
    }
}

/// What is asked of the drivers.
pub enum Way<'a> {
    Execute(&'a Plan),
    Resume,
    Undo(Vec<String>),
}

/// How an attempt ended.
pub enum End {
    Killed,
    Failed(JournalFailure),
    Ended { report: Box<Report>, wrong: Option<String> },
}

impl Site {
    /// One process: it reads back what survived, goes its way, and may be killed on it.
    pub fn attempt(&self, tape: &Tape, way: Way<'_>, killer: &Arc<Killer>) -> End {
        self.attempt_on(tape.state(), Box::new(tape.clone()), way, killer)
    }

    pub fn attempt_on(
        &self,
        state: RunState,
        journal: Box<dyn JournalStore>,
        way: Way<'_>,
        killer: &Arc<Killer>,
    ) -> End {
        let process = || {
            let faults: Arc<dyn Faults> = killer.clone();
            let recorder = Recorder::new(run_id(), state, journal, clock(), Box::new(|_| ()));
            recorder.inject(faults.clone());
            let images = self.images();
            let mut effects = self.effects(&images, faults.clone());
            let world =
                Box::new(World::open(&self.root, self.definitions.clone(), RUN, Ground::Live).expect("a world"));
            let mut guest = Guest {
                site: self,
                world: Some(world),
                recorder: recorder.clone(),
                images,
                faults: faults.clone(),
                wrong: None,
            };
            let crew =
                Crew { runner: Some(&mut guest), effects: &mut effects, faults, interrupted: &|| false, by: "a test" };
            let ended = match way {
                Way::Execute(plan) => execute(plan, None, &recorder, crew),
                Way::Resume => resume(&recorder, crew),
                Way::Undo(forced) => undo(&recorder, "the test wants it", forced, crew),
            };
            (ended, guest.wrong)
        };
        match catch_unwind(AssertUnwindSafe(process)) {
            Ok((Ok(report), wrong)) => End::Ended { report: Box::new(report), wrong },
            Ok((Err(failure), _)) => End::Failed(failure),
            Err(payload) if payload.is::<Killed>() => End::Killed,
            Err(payload) => resume_unwind(payload),
        }
    }
}
