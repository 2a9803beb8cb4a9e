//! The evaluator: samples in, transitions out. The same code live, observe-only, in rule tests and in a backtest.
//!
//! Samples are kept until the *watermark* (the newest time that the clock showed, less the allowed lateness) has passed them,
//! and are then taken in the order of their times. So it does not matter in which order they came, nor how often anybody
//! asked: everything is decided at the time of a sample, or at the time when the newest one became too old.

use super::{
    Answer, Evidence, Inhibition, Phase, Settings, Silence, Stats, Transition, TransitionKind, TriggerRule,
    lifecycle::{Life, Moment, PhaseChange},
    logic::{self, Asked, Tally},
    slot::{Around, Atom, Slot, Standing},
    state::{State, Waiting, Watched},
};
use crate::signal::{Millis, Sample, Series};
use std::{
    collections::{BTreeMap, BinaryHeap, HashMap},
    ops::Range,
};

/// A series that an evaluator knows. It is that evaluator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesKey(u32);

/// What [`Evaluator::series`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Some rule speaks of it.
    Watched(SeriesKey),
    /// No rule does; its samples need not come.
    Unwatched,
    /// There is no room for it. The rules that speak of it do not say `ok` any more.
    Full,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// It waits for the watermark.
    Taken,
    /// It came later than is allowed, and is left out.
    Late,
    /// Too many wait already: [`Evaluator::advance`] first. It is left out.
    Full,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A slot may have become stale.
    Slot(u32),
    /// There could have been data for this rule by now.
    Rule(u32),
    /// The points of a slot that went stale have left its window.
    Sweep(u32),
}

/// Evaluates rules; see the module.
#[derive(Debug, Clone)]
pub struct Evaluator {
    pub(super) rules: Vec<TriggerRule>,
    pub(super) settings: Settings,
    pub(super) atoms: Vec<Atom>,
    /// By rule: the first atom of `when`, of `clear`, and of the next rule.
    pub(super) bounds: Vec<(usize, usize, usize)>,
    /// Which atoms a metric goes to, and as what.
    pub(super) by_metric: HashMap<String, Vec<(u32, u8)>>,
    pub(super) state: State,
    keys: HashMap<Series, u32>,
    /// The slots of ratios by atom and labels.
    ratios: HashMap<(u32, BTreeMap<String, String>), u32>,
    tallies: Vec<Tally>,
    /// The smallest staleness of a rule.
    stale_after_min: i64,
    /// When slots become stale, at the earliest: negated, so that the first is on top.
    pub(super) timers: BinaryHeap<(i64, Due)>,
    /// Rules to be decided at this instant, and slots of ratios to be judged.
    dirty: Vec<u32>,
    late_slots: Vec<u32>,
    scratch: Vec<f64>,
}

impl Evaluator {
    /// An evaluator of `rules`. A transition names a rule by its index here.
    pub fn new(rules: Vec<TriggerRule>, settings: Settings) -> Evaluator {
        let lives = |r: &TriggerRule| Life::new(r.when.sustained, r.clear.as_ref().map_or(0, |c| c.sustained));
        let state = State {
            now: i64::MIN,
            watermark: i64::MIN,
            instant: None,
            watching_since: settings.since.0,
            series: Vec::new(),
            slots: Vec::new(),
            waiting: Vec::new(),
            lives: rules.iter().map(lives).collect(),
            refused: BTreeMap::new(),
            points: 0,
            silences: Vec::new(),
            inhibitions: Vec::new(),
            stats: Stats::default(),
        };
        Evaluator::with_state(rules, settings, state)
    }

    /// `state` has been made for these rules.
    pub(super) fn with_state(rules: Vec<TriggerRule>, settings: Settings, state: State) -> Evaluator {
        let mut evaluator = Evaluator {
            settings,
            atoms: Vec::new(),
            bounds: Vec::new(),
            by_metric: HashMap::new(),
            keys: HashMap::new(),
            ratios: HashMap::new(),
            tallies: Vec::new(),
            stale_after_min: i64::MAX,
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            late_slots: Vec::new(),
            scratch: Vec::new(),
            rules,
            state,
        };
        evaluator.lay_out_atoms();
        for (index, watched) in evaluator.state.series.iter().enumerate() {
            evaluator.keys.insert(watched.series.clone(), as_u32(index));
            for (slot, _) in &watched.slots {
                let atom = evaluator.state.slots[*slot as usize].atom;
                evaluator.ratios.insert((atom, watched.series.labels().clone()), *slot);
            }
        }
        for (index, slot) in evaluator.state.slots.iter().enumerate() {
            evaluator.tallies[slot.atom as usize].change(slot.standing, slot.is_pending(), true);
            if let Some(at) = slot.stale_at(&evaluator.atoms[slot.atom as usize]).filter(|_| slot.is_timed) {
                evaluator.timers.push((-at, Due::Slot(as_u32(index))));
            } else if let Some(at) = slot.empty_at(&evaluator.atoms[slot.atom as usize]) {
                evaluator.timers.push((-at, Due::Sweep(as_u32(index))));
            }
        }
        for (index, rule) in evaluator.rules.iter().enumerate() {
            let warm = evaluator.settings.since.0.saturating_add(rule.conduct.stale_after_ms).saturating_add(1);
            evaluator.stale_after_min = evaluator.stale_after_min.min(rule.conduct.stale_after_ms);
            if warm > evaluator.state.watermark {
                evaluator.timers.push((-warm, Due::Rule(as_u32(index))));
            }
        }
        for (atom, refused) in &evaluator.state.refused {
            if let Some(tally) = evaluator.tallies.get_mut(*atom as usize) {
                tally.refused = *refused;
            }
        }
        evaluator
    }

    fn lay_out_atoms(&mut self) {
        for (index, rule) in self.rules.iter().enumerate() {
            let when = self.atoms.len();
            let clear = when + rule.when.terms.len();
            for term in rule.when.terms.iter().chain(rule.clear.iter().flat_map(|c| &c.terms)) {
                for (side, selector) in term.value.selectors().into_iter().enumerate() {
                    let sides = self.by_metric.entry(selector.metric.clone()).or_default();
                    sides.push((as_u32(self.atoms.len()), u8::from(side == 1)));
                }
                let atom = Atom { rule: as_u32(index), term: term.clone(), conduct: rule.conduct.clone() };
                self.atoms.push(atom);
            }
            self.bounds.push((when, clear, self.atoms.len()));
        }
        self.tallies = vec![Tally::default(); self.atoms.len()];
    }

    /// The rules, in the order in which transitions name them.
    pub fn rules(&self) -> &[TriggerRule] {
        &self.rules
    }

    /// The key of a series for [`Evaluator::observe`]; the first time it is made.
    pub fn series(&mut self, series: &Series) -> Lookup {
        if let Some(key) = self.keys.get(series) {
            return Lookup::Watched(SeriesKey(*key));
        }
        let Some(sides) = self.by_metric.get(series.metric()) else { return Lookup::Unwatched };
        let covers = |(atom, side): &&(u32, u8)| {
            let selectors = self.atoms[*atom as usize].term.value.selectors();
            selectors[usize::from(*side)].covers(series.labels())
        };
        let sides: Vec<(u32, u8)> = sides.iter().filter(covers).copied().collect();
        if sides.is_empty() {
            return Lookup::Unwatched;
        }
        if self.state.series.len() >= self.settings.series_max {
            self.state.stats.series_refused = self.state.stats.series_refused.saturating_add(1);
            for (atom, _) in sides {
                let refused = self.state.refused.entry(atom).or_default();
                *refused = refused.saturating_add(1);
                self.tallies[atom as usize].refused = *refused;
                // What is not seen any more shows at the rule's next sample.
                self.state.lives[self.atoms[atom as usize].rule as usize].is_watched = true;
            }
            return Lookup::Full;
        }
        let key = as_u32(self.state.series.len());
        let slots = sides.into_iter().map(|(atom, side)| (self.slot(atom, side, key, series), side)).collect();
        self.state.series.push(Watched { series: series.clone(), slots, was_interrupted: false });
        self.keys.insert(series.clone(), key);
        Lookup::Watched(SeriesKey(key))
    }

    /// The slot of an atom on a new series; a ratio has one for both of its series.
    pub(super) fn slot(&mut self, atom: u32, side: u8, key: u32, series: &Series) -> u32 {
        let term = &self.atoms[atom as usize].term;
        let is_ratio = term.value.selectors().len() == 2;
        if is_ratio && let Some(slot) = self.ratios.get(&(atom, series.labels().clone())) {
            if side == 0 {
                // It is shown by its numerator, whichever came first.
                self.state.slots[*slot as usize].series = key;
            }
            return *slot;
        }
        let slot = as_u32(self.state.slots.len());
        self.state.slots.push(Slot::new(atom, key, term));
        if is_ratio {
            self.ratios.insert((atom, series.labels().clone()), slot);
        }
        slot
    }

    /// Takes a sample; it is decided upon when [`Evaluator::advance`] has passed its time.
    pub fn observe(&mut self, key: SeriesKey, sample: Sample) -> Observed {
        if sample.at.0 <= self.state.watermark {
            self.state.stats.late = self.state.stats.late.saturating_add(1);
            return Observed::Late;
        }
        if self.state.waiting.len() >= self.settings.waiting_max {
            self.state.stats.refused = self.state.stats.refused.saturating_add(1);
            return Observed::Full;
        }
        self.state.waiting.push((sample.at.0, key.0, sample.value.to_bits()));
        Observed::Taken
    }

    /// The clock shows `now`: decides everything up to the allowed lateness before it, in order.
    ///
    /// A clock that goes back by no more than the allowed lateness is waited for. One that goes back further has shown times
    /// that were not so: what was remembered of samples is dropped, every answer is unknown, and what fired stays fired.
    pub fn advance(&mut self, now: Millis) -> Vec<Transition> {
        let mut changes = Vec::new();
        if now.0 < self.state.now {
            if self.state.now.saturating_sub(now.0) > self.settings.lateness_ms {
                self.set_back(now, &mut changes);
            }
            return changes;
        }
        self.state.now = now.0;
        let watermark = now.0.saturating_sub(self.settings.lateness_ms);
        if watermark <= self.state.watermark {
            return changes;
        }
        let mut waiting = std::mem::take(&mut self.state.waiting);
        // Of the same series and time the greatest value comes last, whatever came first.
        waiting.sort_by(|a, b| {
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| f64::from_bits(a.2).total_cmp(&f64::from_bits(b.2)))
        });
        let due = waiting.partition_point(|(at, ..)| *at <= watermark);
        let mut rest = &waiting[..due];
        while let Some((at, ..)) = rest.first() {
            let (instant, later) = rest.split_at(rest.iter().position(|(other, ..)| other != at).unwrap_or(rest.len()));
            self.expire(at.saturating_sub(1), &mut changes);
            self.instant(*at, instant, &mut changes);
            rest = later;
        }
        self.expire(watermark, &mut changes);
        waiting.drain(..due);
        self.state.waiting = waiting;
        self.state.watermark = watermark;
        self.state.silences.retain(|s| s.until.0 > watermark);
        self.state.inhibitions.retain(|i| i.until.is_none_or(|until| until.0 > watermark));
        changes
    }

    /// Everything that happened at `at`.
    fn instant(&mut self, at: i64, samples: &[Waiting], changes: &mut Vec<Transition>) {
        if self.state.instant.is_some_and(|last| at.saturating_sub(last) > self.stale_after_min) {
            // Nobody watched: a counter that is there now may have a past.
            self.state.watching_since = at;
        }
        self.state.instant = Some(at);
        self.go_stale_until(at);
        let is_inhibited = self.state.inhibitions.iter().any(|i| i.covers(at));
        let mut samples = samples.iter().peekable();
        while let Some((_, key, bits)) = samples.next() {
            if let Some((_, next, other)) = samples.peek()
                && next == key
            {
                self.state.stats.duplicates += 1;
                self.state.stats.conflicts += u64::from(other != bits);
                continue;
            }
            if is_inhibited {
                self.state.stats.inhibited += 1;
                self.leave_out(*key);
            } else {
                self.state.stats.samples += 1;
                self.take(*key, at, f64::from_bits(*bits));
            }
        }
        let late = std::mem::take(&mut self.late_slots);
        for slot in &late {
            let around = self.around(self.state.slots[*slot as usize].atom, at, false);
            self.judge(*slot, at, &around);
        }
        self.late_slots = late;
        self.late_slots.clear();
        self.decide(Asked { at, is_sample: true }, changes);
    }

    /// A sample from the time of a run: what it would have gone on from is interrupted.
    fn leave_out(&mut self, key: u32) {
        let watched = &mut self.state.series[key as usize];
        watched.was_interrupted = true;
        for (slot, _) in &watched.slots {
            let rule = self.atoms[self.state.slots[*slot as usize].atom as usize].rule;
            self.state.lives[rule as usize].interrupt();
        }
    }

    fn around(&self, atom: u32, at: i64, was_interrupted: bool) -> Around {
        let rule = self.atoms[atom as usize].rule as usize;
        Around {
            is_watching: at > self.state.watching_since.saturating_add(self.settings.settling_ms),
            was_interrupted,
            points_left: self.settings.points_max.saturating_sub(self.state.points),
            is_quiet: self.state.lives[rule].is_quiet(),
        }
    }

    fn take(&mut self, key: u32, at: i64, value: f64) {
        let was_interrupted = std::mem::take(&mut self.state.series[key as usize].was_interrupted);
        for i in 0..self.state.series[key as usize].slots.len() {
            let (index, side) = self.state.series[key as usize].slots[i];
            let around = self.around(self.state.slots[index as usize].atom, at, was_interrupted);
            let slot = &mut self.state.slots[index as usize];
            let atom = &self.atoms[slot.atom as usize];
            let more = slot.take(atom, side, at, value, &around);
            self.state.points = self.state.points.saturating_add_signed(more);
            if atom.term.value.selectors_are_two() {
                // The other side may have a sample at the same time.
                if self.late_slots.last() != Some(&index) {
                    self.late_slots.push(index);
                }
            } else {
                self.judge(index, at, &around);
            }
        }
    }

    /// Decides what a slot says now, and which rule that may change.
    fn judge(&mut self, index: u32, at: i64, around: &Around) {
        let slot = &mut self.state.slots[index as usize];
        let atom = &self.atoms[slot.atom as usize];
        let before = (slot.standing, slot.is_pending());
        let more = slot.judge(atom, at, around, &mut self.scratch);
        self.state.points = self.state.points.saturating_add_signed(more);
        let after = (slot.standing, slot.is_pending());
        let life = &mut self.state.lives[atom.rule as usize];
        if !slot.is_timed
            && let Some(stale_at) = slot.stale_at(atom).filter(|stale_at| *stale_at > at)
        {
            slot.is_timed = true;
            self.timers.push((-stale_at, Due::Slot(index)));
        }
        if before != after {
            let tally = &mut self.tallies[slot.atom as usize];
            tally.change(before.0, before.1, false);
            tally.change(after.0, after.1, true);
        }
        if (before != after || life.is_watched) && self.dirty.last() != Some(&atom.rule) {
            self.dirty.push(atom.rule);
        }
    }

    /// Everything that becomes unknown up to `until`, each at its time.
    fn expire(&mut self, until: i64, changes: &mut Vec<Transition>) {
        while let Some((negated, _)) = self.timers.peek().filter(|(negated, _)| -negated <= until) {
            let at = -negated;
            self.go_stale_until(at);
            self.decide(Asked { at, is_sample: false }, changes);
        }
    }

    /// Marks what is too old at `at`.
    fn go_stale_until(&mut self, at: i64) {
        while let Some((_, due)) = self.timers.peek().copied().filter(|(negated, _)| -negated <= at) {
            self.timers.pop();
            let index = match due {
                Due::Slot(index) => index,
                Due::Rule(rule) => {
                    self.dirty.push(rule);
                    continue;
                }
                Due::Sweep(index) => {
                    let slot = &mut self.state.slots[index as usize];
                    let gone = slot.sweep(&self.atoms[slot.atom as usize], at);
                    self.state.points = self.state.points.saturating_sub(gone);
                    continue;
                }
            };
            let slot = &mut self.state.slots[index as usize];
            let atom = &self.atoms[slot.atom as usize];
            match slot.stale_at(atom) {
                Some(stale_at) if stale_at > at => self.timers.push((-stale_at, due)),
                _ => {
                    let tally = &mut self.tallies[slot.atom as usize];
                    tally.change(slot.standing, slot.is_pending(), false);
                    slot.go_stale();
                    tally.change(slot.standing, slot.is_pending(), true);
                    self.dirty.push(atom.rule);
                    if let Some(empty_at) = slot.empty_at(atom) {
                        self.timers.push((-empty_at, Due::Sweep(index)));
                    }
                }
            }
        }
    }

    /// Decides every rule that something changed for.
    fn decide(&mut self, asked: Asked, changes: &mut Vec<Transition>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for rule in dirty.drain(..) {
            self.decide_rule(rule as usize, asked, changes);
        }
        self.dirty = dirty;
    }

    fn decide_rule(&mut self, index: usize, asked: Asked, changes: &mut Vec<Transition>) {
        let at = asked.at;
        let rule = &self.rules[index];
        let (when_at, clear_at, end) = self.bounds[index];
        let silenced = self.silenced(&rule.name, at);
        let is_inhibited = self.state.inhibitions.iter().any(|i| i.covers(at));
        let life = &mut self.state.lives[index];
        let when = logic::answer(&rule.when.root, &self.tallies[when_at..clear_at], &mut life.when_held, asked);
        let clear = rule
            .clear
            .as_ref()
            .map(|c| logic::answer(&c.root, &self.tallies[clear_at..end], &mut life.clear_held, asked));
        let mut tell = |at: i64, kind| changes.push(Transition { rule: index, at: Millis(at), kind });
        if when != life.answer {
            tell(at, TransitionKind::Answered { from: life.answer, to: when });
            life.answer = when;
        }
        let is_pending = when != Answer::Breach
            && (self.tallies[when_at..clear_at].iter().any(|t| t.pending > 0)
                || life.when_held.iter().any(Option::is_some));
        if is_pending != life.is_pending {
            tell(at, if is_pending { TransitionKind::Pending } else { TransitionKind::NotPending });
            life.is_pending = is_pending;
        }
        let since = self.settings.since.0;
        let moment = Moment { at, when, clear, conduct: &rule.conduct, since, silenced, is_inhibited };
        if let Some(change) = life.step(&moment) {
            match change {
                PhaseChange::Fired => {
                    tell(at, TransitionKind::Fired(evidence(&self.state.slots, &self.state.series, when_at..clear_at)));
                }
                PhaseChange::Suppressed(why) => tell(at, TransitionKind::Suppressed(why)),
                PhaseChange::Cleared => tell(at, TransitionKind::Cleared),
            }
        }
        life.is_watched = life.when_held.iter().any(Option::is_some)
            || matches!(life.phase, Phase::Suppressed(_))
            || (life.phase == Phase::Armed && when == Answer::Breach)
            || (life.phase == Phase::Fired && life.clear_held.iter().any(Option::is_some));
    }

    fn silenced(&self, name: &str, at: i64) -> Option<Millis> {
        let covers = |s: &&Silence| s.from.0 <= at && at < s.until.0 && s.rule.as_ref().is_none_or(|r| r == name);
        self.state.silences.iter().filter(covers).map(|s| s.until).max()
    }

    fn set_back(&mut self, now: Millis, changes: &mut Vec<Transition>) {
        let from = Millis(self.state.now);
        self.state.stats.clock_set_back += 1;
        self.state.now = now.0;
        self.state.watermark = now.0.saturating_sub(self.settings.lateness_ms);
        self.state.instant = None;
        self.state.watching_since = now.0;
        self.state.waiting.clear();
        self.state.points = 0;
        self.timers.clear();
        for tally in &mut self.tallies {
            *tally = Tally::refusing(tally.refused);
        }
        for slot in &mut self.state.slots {
            slot.forget(&self.atoms[slot.atom as usize].term);
        }
        for index in 0..self.rules.len() {
            self.state.lives[index].interrupt();
            changes.push(Transition { rule: index, at: now, kind: TransitionKind::ClockSetBack { from } });
            self.decide_rule(index, Asked { at: now.0, is_sample: false }, changes);
        }
    }

    /// Lets the trigger with this index fire again.
    pub fn rearm(&mut self, rule: usize, at: Millis) -> Option<Transition> {
        let life = self.state.lives.get_mut(rule)?;
        if !matches!(life.phase, Phase::Fired | Phase::Latched) {
            return None;
        }
        life.phase = Phase::Armed;
        life.is_watched = true;
        Some(Transition { rule, at, kind: TransitionKind::Rearmed })
    }

    /// Adds a silence. It counts for what has not been decided yet.
    pub fn silence(&mut self, silence: Silence) {
        self.state.silences.push(silence);
    }

    /// A run began.
    pub fn run_began(&mut self, at: Millis) {
        self.state.inhibitions.push(Inhibition { from: at, until: None });
    }

    /// It ended; from `at` on, samples count again.
    pub fn run_ended(&mut self, at: Millis) {
        for inhibition in &mut self.state.inhibitions {
            inhibition.until.get_or_insert(at);
        }
    }
}

/// Of the series that breach a term of these, the first by name.
fn evidence(slots: &[Slot], series: &[Watched], atoms: Range<usize>) -> Option<Evidence> {
    let breaches = |s: &&Slot| s.standing == Standing::Breach && atoms.contains(&(s.atom as usize));
    let told = |s: &Slot| Evidence { series: series[s.series as usize].series.clone(), value: s.value() };
    slots.iter().filter(breaches).map(told).reduce(|a, b| if b.series < a.series { b } else { a })
}

/// An index; every table is bounded far below 2^32.
pub(super) fn as_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
