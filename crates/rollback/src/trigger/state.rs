//! What an evaluator is set up with, what it carries on from one moment to the next, and what can be seen of it.

use super::{Answer, Evaluator, Inhibition, Phase, Silence, evaluator::Due, lifecycle::Life, slot::Slot};
use crate::signal::{Millis, Series};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Limits and times of an evaluator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// When it began to watch. A counter that appears well after this began then; one that was there already has a past.
    pub since: Millis,
    /// How much later than others a sample may come, in milliseconds.
    pub lateness_ms: i64,
    /// How long after `since` a counter's first sample still says nothing, in milliseconds.
    pub settling_ms: i64,
    /// Series that are kept.
    pub series_max: usize,
    /// Points in all windows together.
    pub points_max: usize,
    /// Samples that wait for the watermark.
    pub waiting_max: usize,
}

impl Settings {
    /// The defaults, watching from `since` on: 10 s late, 60 s to settle, 100,000 series, 4,000,000 points.
    pub fn since(since: Millis) -> Settings {
        Settings {
            since,
            lateness_ms: 10_000,
            settling_ms: 60_000,
            series_max: 100_000,
            points_max: 4_000_000,
            waiting_max: 1_000_000,
        }
    }
}

/// What an evaluator has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Samples that were taken into account.
    pub samples: u64,
    /// Samples that came too late.
    pub late: u64,
    /// Samples of a series and a time that were there already.
    pub duplicates: u64,
    /// Those of them with another value; the greatest counts.
    pub conflicts: u64,
    /// Samples from the time of a run.
    pub inhibited: u64,
    /// Samples that there was no room for.
    pub refused: u64,
    /// Lookups of series that there was no room for.
    pub series_refused: u64,
    /// How often the clock was set back.
    pub clock_set_back: u64,
}

/// What one trigger says, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RuleState {
    /// What its rule says.
    pub answer: Answer,
    /// Where it stands.
    pub phase: Phase,
    /// Since when what has to be sustained has been so, while it is not yet long enough.
    pub pending_since: Option<Millis>,
}

/// What a term says of one series: for `explain` and for charts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermState {
    /// Which series.
    pub series: Series,
    /// The term's index within its rule; those of `clear` follow those of `when`.
    pub term: usize,
    /// What was compared last.
    pub value: f64,
    /// The baseline that it is compared with, if it is, and if it is known.
    pub baseline: Option<f64>,
    /// Since when it has been pending.
    pub pending_since: Option<Millis>,
}

/// A sample that waits: time, series, value as bits.
pub(super) type Waiting = (i64, u32, u64);

/// Everything that goes on from one moment to the next, and from one process to the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub now: i64,
    pub watermark: i64,
    /// The instant that was decided last.
    pub instant: Option<i64>,
    /// Since when it has watched without a gap.
    pub watching_since: i64,
    pub series: Vec<Watched>,
    pub slots: Vec<Slot>,
    pub waiting: Vec<Waiting>,
    pub lives: Vec<Life>,
    /// By atom.
    pub refused: BTreeMap<u32, u64>,
    pub points: usize,
    pub silences: Vec<Silence>,
    pub inhibitions: Vec<Inhibition>,
    pub stats: Stats,
}

/// A series, and the slots that its samples go to (as numerator: 0, as denominator: 1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watched {
    pub series: Series,
    pub slots: Box<[(u32, u8)]>,
    /// Samples in between were left out.
    pub was_interrupted: bool,
}

impl Evaluator {
    /// What a trigger says, and where it stands, as of the watermark.
    pub fn state(&self, rule: usize) -> Option<RuleState> {
        let life = self.state.lives.get(rule)?;
        let of_slots = self.slots_of(rule).filter(|s| s.is_pending()).filter_map(|s| s.pending);
        let since = of_slots.chain(life.when_held.iter().flatten().map(|h| h.since)).min();
        let pending_since = since.filter(|_| life.is_pending).map(Millis);
        Some(RuleState { answer: life.answer, phase: life.phase, pending_since })
    }

    fn slots_of(&self, rule: usize) -> impl Iterator<Item = &Slot> {
        let of_when = self.bounds.get(rule).map_or(0..0, |(when, clear, _)| *when..*clear);
        self.state.slots.iter().filter(move |s| of_when.contains(&(s.atom as usize)))
    }

    /// What the terms of a trigger say, series by series: values and baselines.
    pub fn terms(&self, rule: usize) -> Vec<TermState> {
        let Some((when, _, end)) = self.bounds.get(rule).copied() else { return Vec::new() };
        let slots = self.state.slots.iter().filter(|s| (when..end).contains(&(s.atom as usize)));
        let told = slots.map(|slot| TermState {
            series: self.state.series[slot.series as usize].series.clone(),
            term: slot.atom as usize - when,
            value: slot.value(),
            baseline: slot.baseline(&self.atoms[slot.atom as usize]),
            pending_since: slot.pending.map(Millis),
        });
        told.collect()
    }

    /// What it was set up with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.state.stats
    }

    /// Bytes that series, slots, windows and waiting samples take, names and hash tables of them apart.
    pub fn bytes(&self) -> usize {
        let slots: usize = self.state.slots.iter().map(|s| s.size().1).sum();
        let series: usize = self.state.series.iter().map(|s| size_of::<Watched>() + size_of_val(&*s.slots)).sum();
        let timers = self.timers.capacity() * size_of::<(i64, Due)>();
        slots + series + timers + self.state.waiting.capacity() * size_of::<Waiting>()
    }
}
