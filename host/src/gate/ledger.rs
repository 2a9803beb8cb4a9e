//! What the gate writes down. One code path for all three uses: planning collects effects, a run matches each against
//! the plan and journals it, `exec` keeps everything in memory.

use super::Stop;
use crate::tree::trash::{TrashDir, TrashHome, TrashSlot};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    sync::Arc,
};
use unship_policy::{Denial, meaning::Limits};
use unship_rollback::{DirectoryChange, Durability, Effect, Event, Faults, Image, Line, PlannedEffect, Recorder};

/// Before-images of one run. Implemented over the store; the host only says what it is about to change.
pub trait Images: Send {
    /// The run's trash for the file system of `home`, made if need be. `is_here`: that is the file system of `.unship/`.
    ///
    /// # Errors
    /// A sentence: why nothing can be kept there.
    fn trash(&mut self, home: &TrashHome, is_here: bool) -> Result<TrashDir, String>;

    /// The same, where it was made already.
    ///
    /// # Errors
    /// A sentence: why it cannot be opened.
    fn trash_if_there(&mut self, home: &TrashHome, is_here: bool) -> Result<Option<TrashDir>, String>;

    /// Brings the ranges of effect `effect` back into `file` and forgets them; `false` where none were kept.
    ///
    /// # Errors
    /// A sentence: why the file is not what it was.
    fn restore(&mut self, effect: u64, file: &File) -> Result<bool, String>;

    /// An image of the ranges of `file` that are about to be overwritten.
    ///
    /// # Errors
    /// A sentence: why nothing can be kept.
    fn ranges(&mut self, effect: u64, file: &File) -> Result<Box<dyn RangeImage>, String>;

    /// Makes everything that was moved into the trash durable there.
    ///
    /// # Errors
    /// A sentence: what could not be flushed.
    fn flush(&mut self) -> Result<(), String>;
}

/// The before-image of one file that is changed in place.
pub trait RangeImage: Send {
    /// Saves what lies in `offset..offset + len`, durably, before it is overwritten or cut off.
    ///
    /// # Errors
    /// A sentence: why it cannot be kept.
    fn save_before_write(&mut self, file: &File, offset: u64, len: u64) -> Result<(), String>;
    /// How the journal calls it.
    fn at(&self) -> String;
}

/// Which effect of the step: its position in the plan, or in the order seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub usize);

enum Mode {
    Plan { run: String },
    Run(Box<RunMode>),
    Exec { events: Vec<Event> },
}

struct RunMode {
    run: String,
    recorder: Recorder,
    planned: Vec<PlannedEffect>,
    used: Vec<bool>,
    /// Those that an earlier attempt may have made, so that they need not be made again.
    made_before: Vec<usize>,
    images: Box<dyn Images>,
    /// Number, within the run, of the step's first effect.
    first: u64,
    faults: Arc<dyn Faults>,
}

/// What a step runs against, beside the world: the plan, the journal, the before-images.
pub struct RunUse {
    /// The way into the journal.
    pub recorder: Recorder,
    /// The step's effects in the plan.
    pub planned: Vec<PlannedEffect>,
    /// Those that an attempt which was cut off may have made: they need not be made again.
    pub made_before: Vec<usize>,
    /// Number, within the run, of the first of them.
    pub first: u64,
    /// Where before-images go.
    pub images: Box<dyn Images>,
    /// What a rehearsal injects.
    pub faults: Arc<dyn Faults>,
}

struct Entry {
    number: Number,
    effect: Effect,
    image: Option<Image>,
    notes: Vec<String>,
    /// Its content is known only when the last writer closes; then it is journalled, at the latest when the step ends.
    pending: bool,
}

/// See the module.
pub(super) struct Ledger {
    mode: Mode,
    unit: String,
    limits: Limits,
    entries: Vec<Entry>,
    accesses: BTreeMap<(&'static str, String), u64>,
    denied: Vec<Denial>,
    output_bytes: usize,
    written_bytes: u64,
    last_lines: VecDeque<Line>,
}

/// What came of the step, for the plan or for a person.
#[derive(Debug, Default)]
pub struct Written {
    /// The effects in order, with the run's id made symbolic when planning.
    pub effects: Vec<PlannedEffect>,
    /// Every denied call.
    pub denied: Vec<Denial>,
    /// The last lines that the step printed or logged, for a person who wants to know why it failed.
    pub last_lines: Vec<Line>,
    /// `exec` only: what would stand in a journal.
    pub events: Vec<Event>,
}

/// Lines that are remembered for an error's text.
const LAST_LINES_MAX: usize = 10;

/// Places that are counted one by one in the summary of reads; the rest is counted together.
const PLACES_MAX: usize = 10_000;

impl Ledger {
    fn new(mode: Mode, unit: &str, limits: Limits) -> Ledger {
        Ledger {
            mode,
            unit: unit.to_owned(),
            limits,
            entries: Vec::new(),
            accesses: BTreeMap::new(),
            denied: Vec::new(),
            output_bytes: 0,
            written_bytes: 0,
            last_lines: VecDeque::new(),
        }
    }

    pub fn planning(unit: &str, run: &str, limits: Limits) -> Ledger {
        Ledger::new(Mode::Plan { run: run.to_owned() }, unit, limits)
    }

    pub fn running(unit: &str, run: &str, limits: Limits, how: RunUse) -> Ledger {
        let RunUse { recorder, planned, made_before, first, images, faults } = how;
        let used = vec![false; planned.len()];
        let mode = RunMode { run: run.to_owned(), recorder, planned, used, made_before, images, first, faults };
        Ledger::new(Mode::Run(Box::new(mode)), unit, limits)
    }

    pub fn in_memory(unit: &str, limits: Limits) -> Ledger {
        Ledger::new(Mode::Exec { events: Vec::new() }, unit, limits)
    }

    /// Whether what is removed must be kept.
    pub fn keeps_images(&self) -> bool {
        matches!(self.mode, Mode::Run(_))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn write(&mut self, event: Event) -> Result<(), Stop> {
        match &mut self.mode {
            Mode::Plan { .. } => Ok(()),
            Mode::Run(run) => run.recorder.record(event, Durability::Lazy).map_err(|e| Stop::Ledger(e.to_string())),
            Mode::Exec { events } => {
                // Bounded like everything that a guest can make grow.
                if events.len() < self.limits.effects_max + self.limits.denials_max + PLACES_MAX {
                    events.push(event);
                }
                Ok(())
            }
        }
    }

    /// Declares an effect before it is made: within the limit, and in the plan where there is one.
    pub fn intend(&mut self, effect: &Effect) -> Result<Number, Stop> {
        if self.entries.len() >= self.limits.effects_max {
            return Err(Stop::Limit { limit: "effects", allowed: format!("{} effects", self.limits.effects_max) });
        }
        let Mode::Run(run) = &mut self.mode else { return Ok(Number(self.entries.len())) };
        let symbolic = effect.clone().symbolic(&run.run);
        let position =
            run.planned.iter().zip(&run.used).position(|(planned, used)| !used && planned.effect.same_thing(&symbolic));
        let Some(position) = position else { return Err(Stop::Unplanned(effect.to_string())) };
        run.used[position] = true;
        Ok(Number(position))
    }

    /// The effect was not made after all (the system refused it).
    pub fn withdraw(&mut self, number: Number) {
        if let Mode::Run(run) = &mut self.mode {
            run.used[number.0] = false;
        }
    }

    /// The part of the trash that belongs to effect `number`; `None` when nothing is kept (planning, `exec`).
    pub fn slot(&mut self, number: Number, home: &TrashHome, is_here: bool) -> Result<Option<TrashSlot>, Stop> {
        match &mut self.mode {
            Mode::Run(run) => {
                let trash = run.images.trash(home, is_here).map_err(Stop::Ledger)?;
                Ok(Some(TrashSlot::new(trash, run.first + number.0 as u64, run.faults.clone())))
            }
            Mode::Plan { .. } | Mode::Exec { .. } => Ok(None),
        }
    }

    /// An image for a file that is about to be changed in place.
    pub fn ranges(&mut self, number: Number, file: &File) -> Result<Option<Box<dyn RangeImage>>, Stop> {
        match &mut self.mode {
            Mode::Run(run) => run.images.ranges(run.first + number.0 as u64, file).map(Some).map_err(Stop::Ledger),
            Mode::Plan { .. } | Mode::Exec { .. } => Ok(None),
        }
    }

    /// The effect was made.
    pub fn made(
        &mut self,
        number: Number,
        effect: Effect,
        image: Option<Image>,
        notes: Vec<String>,
    ) -> Result<(), Stop> {
        if let Mode::Run(run) = &self.mode {
            run.faults.boundary();
        }
        let pending =
            matches!(&effect, Effect::FileCreated { content: None, .. } | Effect::FileWritten { content: None, .. });
        if !pending {
            let event = Event::EffectApplied {
                unit: self.unit.clone(),
                n: number.0,
                effect: effect.clone(),
                image: image.clone(),
            };
            self.entries.push(Entry { number, effect, image, notes, pending });
            return self.write(event);
        }
        self.entries.push(Entry { number, effect, image, notes, pending });
        Ok(())
    }

    /// What the file of effect `number` holds now that nobody writes to it any more.
    pub fn settle(&mut self, number: Number, content: unship_rollback::Content) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.number == number)
            && let Effect::FileCreated { content: slot, .. } | Effect::FileWritten { content: slot, .. } =
                &mut entry.effect
        {
            *slot = Some(content);
        }
    }

    /// A read or look-up that changed nothing.
    pub fn accessed(&mut self, right: &'static str, place: String) {
        let place = if self.accesses.len() >= PLACES_MAX && !self.accesses.contains_key(&(right, place.clone())) {
            "(more places)".to_owned()
        } else {
            place
        };
        *self.accesses.entry((right, place)).or_insert(0) += 1;
    }

    /// A denied call: journalled each time, up to the limit.
    pub fn denied(&mut self, denial: Denial) -> Result<(), Stop> {
        if self.denied.len() >= self.limits.denials_max {
            return Err(Stop::Limit { limit: "denials", allowed: format!("{} denied calls", self.limits.denials_max) });
        }
        let event =
            Event::AccessDenied { unit: self.unit.clone(), what: denial.what.clone(), rule: denial.rule.clone() };
        self.denied.push(denial);
        self.write(event)
    }

    /// A line of the step. Counts against the output limit.
    pub fn line(&mut self, source: &str, text: &str) -> Result<(), Stop> {
        self.output_bytes = self.output_bytes.saturating_add(text.len().max(1));
        if self.output_bytes > self.limits.output_bytes_max {
            return Err(Stop::Limit { limit: "output", allowed: format!("{} bytes", self.limits.output_bytes_max) });
        }
        let line = Line { source: source.to_owned(), text: unship_rollback::neutralise(text.trim_end()) };
        if self.last_lines.len() == LAST_LINES_MAX {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line.clone());
        self.write(Event::LineLogged { unit: self.unit.clone(), line })
    }

    /// Bytes about to be written into files.
    pub fn writing(&mut self, bytes: u64) -> Result<(), Stop> {
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        if self.written_bytes > self.limits.written_bytes_max {
            return Err(Stop::Limit { limit: "written", allowed: format!("{} bytes", self.limits.written_bytes_max) });
        }
        Ok(())
    }

    /// Ends the step: journals what is still open and says whether the plan was kept to the letter (`complete`: the
    /// step itself ended well, so that nothing planned may be missing).
    pub fn finish(mut self, complete: bool, directories: Vec<DirectoryChange>) -> Result<Written, (Written, Stop)> {
        let mut first_error = None;
        if let Mode::Run(run) = &mut self.mode
            && let Err(why) = run.images.flush()
        {
            first_error = Some(Stop::Ledger(why));
        }
        let pending: Vec<Event> = self
            .entries
            .iter()
            .filter(|e| e.pending)
            .map(|e| Event::EffectApplied {
                unit: self.unit.clone(),
                n: e.number.0,
                effect: e.effect.clone(),
                image: e.image.clone(),
            })
            .collect();
        let summaries: Vec<Event> = std::mem::take(&mut self.accesses)
            .into_iter()
            .map(|((right, place), count)| Event::AccessSummed {
                unit: self.unit.clone(),
                right: right.to_owned(),
                place,
                count,
            })
            .collect();
        let unit = self.unit.clone();
        let changes = (!directories.is_empty()).then_some(Event::DirectoriesChanged { unit, directories });
        for event in pending.into_iter().chain(changes).chain(summaries) {
            if let Err(stop) = self.write(event) {
                first_error.get_or_insert(stop);
            }
        }
        if let Mode::Run(run) = &self.mode {
            let differs = self.entries.iter().find_map(|entry| {
                let planned = &run.planned[entry.number.0].effect;
                let made = entry.effect.clone().symbolic(&run.run);
                (made != *planned).then(|| format!("{made} (planned: {planned}; the contents differ)"))
            });
            let missing = run.planned.iter().enumerate();
            let missing =
                missing.filter(|(n, _)| complete && !run.used[*n] && !run.made_before.contains(n)).map(|(_, p)| p);
            let mut missing = missing.map(|planned| format!("the planned effect was not made: {}", planned.effect));
            if let Some(difference) = differs.or(missing.next()) {
                first_error.get_or_insert(Stop::Unplanned(difference));
            }
        }
        let run_id = match &self.mode {
            Mode::Plan { run } => Some(run.clone()),
            Mode::Run(_) | Mode::Exec { .. } => None,
        };
        let effects = self.entries.into_iter().map(|entry| PlannedEffect {
            effect: match &run_id {
                Some(run) => entry.effect.symbolic(run),
                None => entry.effect,
            },
            notes: entry.notes,
        });
        let events = match self.mode {
            Mode::Exec { events } => events,
            Mode::Plan { .. } | Mode::Run(_) => Vec::new(),
        };
        let last_lines = self.last_lines.into();
        let written = Written { effects: effects.collect(), denied: self.denied, last_lines, events };
        match first_error {
            None => Ok(written),
            Some(stop) => Err((written, stop)),
        }
    }
}
