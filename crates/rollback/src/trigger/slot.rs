//! One term on one series: what it remembers, and what it answers.
//!
//! Everything is decided at a sample. Between samples nothing becomes true or false, but it can become unknown: when the
//! newest sample grows older than the staleness.

use super::{
    Conduct, Term, Threshold, Value,
    window::{Learner, Window, count},
};
use serde::{Deserialize, Serialize};

/// A term as the evaluator runs it.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    /// Whose it is.
    pub rule: u32,
    pub term: Term,
    pub conduct: Conduct,
}

/// What a term says of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Nothing yet.
    Unseen,
    Ok,
    Breach,
    /// It has data that says nothing: NaN, or too much of it to keep.
    Error,
    /// There is not enough of it to say.
    TooLittle,
    /// The newest sample is too old. Before, it was no breach.
    Stale,
    /// The newest sample is too old. Before, it was a breach.
    Held,
}

/// The state of one term on one series (two for a ratio).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Slot {
    pub atom: u32,
    /// The series that it is shown by.
    pub series: u32,
    pub standing: Standing,
    /// Since when each sample breached, while that is not yet long enough.
    pub pending: Option<i64>,
    /// Samples in a row: that breached, or that were not 0.
    row: u32,
    /// The newest sample.
    last: Option<i64>,
    /// A timer will ask whether it is stale.
    pub is_timed: bool,
    /// What was compared last, as bits.
    value: u64,
    sides: Box<[Side]>,
    learner: Option<Box<Learner>>,
}

/// One series of a term that looks back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Side {
    last: Option<i64>,
    /// The counter's last total, as bits.
    total: Option<u64>,
    window: Window,
    /// The newest sample cannot be a number of events.
    is_bad: bool,
    /// A point could not be kept; until it would have left the window, nothing is known.
    overflown_until: Option<i64>,
}

/// What is around a sample.
pub(super) struct Around {
    /// The evaluator was watching before this sample, so that a series that appears now began now.
    pub is_watching: bool,
    /// Samples in between were left out: a counter begins anew, a row is interrupted.
    pub was_interrupted: bool,
    /// Points that may still be kept.
    pub points_left: usize,
    /// The trigger is quiet: samples may teach a baseline.
    pub is_quiet: bool,
}

/// What is compared, or why nothing can be.
enum Judged {
    Is(f64),
    TooLittle,
    Error,
}

impl Slot {
    pub fn new(atom: u32, series: u32, term: &Term) -> Slot {
        let sides = match term.value {
            Value::Last(_) | Value::Consecutive(_) => 0,
            Value::Ratio { .. } => 2,
            Value::Over { .. } | Value::Count { .. } | Value::Occurring { .. } => 1,
        };
        let learner = matches!(term.threshold, Threshold::Baseline(_)).then(Box::default);
        Slot {
            atom,
            series,
            standing: Standing::Unseen,
            pending: None,
            row: 0,
            last: None,
            is_timed: false,
            value: f64::NAN.to_bits(),
            sides: vec![Side::default(); sides].into(),
            learner,
        }
    }

    /// When it becomes stale, if no sample comes.
    pub fn stale_at(&self, atom: &Atom) -> Option<i64> {
        let last = if self.sides.len() == 2 { self.sides[0].last.min(self.sides[1].last) } else { self.last };
        last.map(|last| last.saturating_add(atom.conduct.stale_after_ms).saturating_add(1))
    }

    /// What was compared last.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.value)
    }

    /// The baseline that it compares with.
    pub fn baseline(&self, atom: &Atom) -> Option<f64> {
        atom.conduct.baseline_fixed.or_else(|| self.learner.as_ref().and_then(|l| l.baseline()))
    }

    /// Points that it keeps, and how many bytes they and it take.
    pub fn size(&self) -> (usize, usize) {
        let points = self.sides.iter().map(|s| s.window.len()).sum();
        let sides: usize = self.sides.iter().map(|s| size_of::<Side>() + s.window.bytes()).sum();
        let learner = self.learner.as_ref().map_or(0, |l| size_of::<Learner>() + l.bytes());
        (points, size_of::<Slot>() + sides + learner)
    }

    /// Whether it is made for this term: what was read back is checked.
    pub fn fits(&self, term: &Term) -> bool {
        let fresh = Slot::new(self.atom, self.series, term);
        self.sides.len() == fresh.sides.len() && self.learner.is_some() == fresh.learner.is_some()
    }

    /// Takes one sample in, for `side`. Gives how many points it keeps more (or fewer) than before.
    pub fn take(&mut self, atom: &Atom, side: u8, at: i64, value: f64, around: &Around) -> isize {
        let stale = atom.conduct.stale_after_ms;
        if around.was_interrupted || self.last.is_some_and(|last| at.saturating_sub(last) > stale) {
            self.row = 0;
            self.pending = None;
        }
        self.last = Some(at);
        match &atom.term.value {
            Value::Last(_) => {
                self.value = value.to_bits();
                0
            }
            Value::Consecutive(_) => {
                self.value = value.to_bits();
                if !value.is_nan() {
                    self.row = if value == 0.0 { 0 } else { self.row.saturating_add(1) };
                }
                0
            }
            Value::Over { window_ms, .. } => self.sides[0].keep(at, Some(value), *window_ms, around),
            Value::Occurring { cmp, threshold, window_ms, .. } => {
                self.value = value.to_bits();
                let is_one = cmp.holds(value, *threshold);
                self.sides[0].keep(at, is_one.then_some(1.0), *window_ms, around)
            }
            Value::Count { selector, window_ms } => {
                self.sides[0].count(at, value, selector.is_counter(), *window_ms, stale, around)
            }
            Value::Ratio { numerator, denominator, window_ms } => {
                let is_counter = if side == 0 { numerator.is_counter() } else { denominator.is_counter() };
                self.sides[usize::from(side)].count(at, value, is_counter, *window_ms, stale, around)
            }
        }
    }

    /// Decides what all samples up to `at` say. Gives how many points it keeps fewer than before.
    pub fn judge(&mut self, atom: &Atom, at: i64, around: &Around, scratch: &mut Vec<f64>) -> isize {
        let gone = self.sweep(atom, at);
        let judged = self.compared(atom, at, scratch);
        let threshold = match atom.term.threshold {
            Threshold::Fixed(number) => Some(number),
            Threshold::Baseline(factor) => self.baseline(atom).map(|b| b * factor),
        };
        let is_known = matches!(judged, Judged::Is(_));
        self.standing = match (judged, threshold) {
            (Judged::Error, _) => Standing::Error,
            (Judged::TooLittle, _) | (_, None) => Standing::TooLittle,
            // A baseline of 0 would make every value many times it.
            (_, Some(t)) if matches!(atom.term.threshold, Threshold::Baseline(_)) && (t <= 0.0 || !t.is_finite()) => {
                Standing::Error
            }
            (Judged::Is(value), Some(threshold)) => {
                if atom.term.cmp.holds(value, threshold) {
                    Standing::Breach
                } else {
                    Standing::Ok
                }
            }
        };
        if let Some(for_ms) = atom.term.for_ms {
            self.sustain(at, for_ms, atom);
        }
        if is_known {
            self.learn(atom, at, around);
        }
        -isize::try_from(gone).unwrap_or(isize::MAX)
    }

    /// A breach counts once every sample has breached for `for_ms`, and there were enough of them.
    fn sustain(&mut self, at: i64, for_ms: i64, atom: &Atom) {
        if self.standing != Standing::Breach {
            self.pending = None;
            if !matches!(atom.term.value, Value::Consecutive(_)) {
                self.row = 0;
            }
            return;
        }
        if !matches!(atom.term.value, Value::Consecutive(_)) {
            self.row = self.row.saturating_add(1);
        }
        let since = *self.pending.get_or_insert(at);
        if at.saturating_sub(since) < for_ms || self.row < atom.conduct.min_samples {
            self.standing = Standing::Ok;
        }
    }

    /// Whether every sample breaches, but not yet for long enough.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some() && self.standing == Standing::Ok
    }

    fn compared(&mut self, atom: &Atom, at: i64, scratch: &mut Vec<f64>) -> Judged {
        let min = usize::try_from(atom.conduct.min_samples).unwrap_or(usize::MAX);
        if self.sides.iter().any(|s| s.is_bad || s.overflown_until.is_some_and(|until| at < until)) {
            return Judged::Error;
        }
        let number = match &atom.term.value {
            Value::Last(_) => self.value(),
            Value::Consecutive(_) if self.value().is_nan() => return Judged::Error,
            Value::Consecutive(_) => return Judged::Is(f64::from(self.row)),
            Value::Over { .. } if self.sides[0].window.len() < min => return Judged::TooLittle,
            Value::Over { agg, .. } => {
                let number = self.sides[0].window.aggregate(*agg, scratch);
                self.value = number.to_bits();
                number
            }
            Value::Occurring { .. } if self.value().is_nan() => return Judged::Error,
            Value::Occurring { .. } => count(self.sides[0].window.len()),
            Value::Count { .. } => {
                let number = self.sides[0].window.sum();
                self.value = number.to_bits();
                number
            }
            Value::Ratio { .. } => {
                let stale = atom.conduct.stale_after_ms;
                let is_fresh = |s: &Side| s.last.is_some_and(|last| at.saturating_sub(last) <= stale);
                let below = self.sides[1].window.sum();
                if !self.sides.iter().all(is_fresh) || below <= 0.0 || below < count(min) {
                    return Judged::TooLittle;
                }
                let number = self.sides[0].window.sum() / below;
                self.value = number.to_bits();
                number
            }
        };
        if number.is_nan() { Judged::Error } else { Judged::Is(number) }
    }

    /// Only what is well teaches what is usual: no sample that breached, none since the story was shipped, none while the
    /// trigger has anything to say.
    fn learn(&mut self, atom: &Atom, at: i64, around: &Around) {
        let value = self.value();
        let Some(learner) = &mut self.learner else { return };
        let is_well = matches!(self.standing, Standing::Ok | Standing::TooLittle) && self.pending.is_none();
        let is_before = atom.conduct.baseline_until.is_none_or(|until| at < until.0);
        if is_well && is_before && around.is_quiet && atom.conduct.baseline_fixed.is_none() {
            learner.learn(at, value, atom.conduct.baseline_over_ms, atom.conduct.baseline_min_samples);
        }
    }

    /// When the last of its points leaves its window; `None` when it keeps none.
    pub fn empty_at(&self, atom: &Atom) -> Option<i64> {
        let newest = self.sides.iter().filter_map(|s| s.window.newest()).max()?;
        Some(newest.saturating_add(atom.term.value.window_ms()?))
    }

    /// Lets go of what has left the window; says how many points that were.
    pub fn sweep(&mut self, atom: &Atom, at: i64) -> usize {
        let Some(window_ms) = atom.term.value.window_ms() else { return 0 };
        self.sides.iter_mut().map(|s| s.window.expire(at.saturating_sub(window_ms))).sum()
    }

    /// Drops every sample; what was learned stays.
    pub fn forget(&mut self, term: &Term) {
        let learner = self.learner.take();
        *self = Slot { learner, ..Slot::new(self.atom, self.series, term) };
    }

    /// The newest sample is too old now.
    pub fn go_stale(&mut self) {
        self.standing = match self.standing {
            Standing::Breach | Standing::Held => Standing::Held,
            _ => Standing::Stale,
        };
        self.is_timed = false;
        self.pending = None;
    }
}

impl Side {
    /// Keeps a point, if there is one and room for it.
    fn keep(&mut self, at: i64, value: Option<f64>, window_ms: i64, around: &Around) -> isize {
        self.last = Some(at);
        let gone = self.window.expire(at.saturating_sub(window_ms));
        let more = isize::from(value.is_some()) - isize::try_from(gone).unwrap_or(isize::MAX);
        let Some(value) = value else { return more };
        if around.points_left + gone == 0 {
            self.overflown_until = Some(at.saturating_add(window_ms));
            return 0;
        }
        self.window.push(at, value);
        more
    }

    /// Counts events: the sample itself, or what a counter's total grew by.
    fn count(&mut self, at: i64, value: f64, is_counter: bool, window_ms: i64, stale: i64, around: &Around) -> isize {
        let gap = self.last.is_some_and(|last| at.saturating_sub(last) > stale);
        self.last = Some(at);
        self.is_bad = !value.is_finite() || value < 0.0;
        if self.is_bad {
            return 0;
        }
        let events = if is_counter {
            match self.total.replace(value.to_bits()).map(f64::from_bits) {
                // It began while it was watched: all of it is new. Else its past is unknown.
                None if around.is_watching && !around.was_interrupted => value,
                None => 0.0,
                // When the events of a gap happened is unknown.
                Some(_) if gap || around.was_interrupted => 0.0,
                // It was reset: all of it is new.
                Some(before) if value < before => value,
                Some(before) => value - before,
            }
        } else {
            value
        };
        self.keep(at, (events > 0.0).then_some(events), window_ms, around)
    }
}
