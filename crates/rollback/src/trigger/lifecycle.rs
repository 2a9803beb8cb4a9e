//! What follows from a rule's answers: firing, and everything that keeps it from firing again and again.

use super::{Answer, Conduct, logic::Held};
use crate::signal::{Millis, Series};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use unship_policy::NoData;

const DAY_MS: i64 = 24 * 3_600_000;

/// Where a trigger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It fires when its rule holds.
    Armed,
    /// Its rule holds, and something keeps it from firing.
    Suppressed(Suppression),
    /// It fired, and has not cleared since.
    Fired,
    /// It fired and cleared, and waits to be re-armed.
    Latched,
}

/// What keeps a trigger from firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suppression {
    /// A silence, until its end.
    Silenced(Millis),
    /// A run is under way.
    Inhibited,
    /// It fired not long ago; until then.
    Cooldown(Millis),
    /// It fired as often as it may within 24 hours; until the first of these is over.
    Budget(Millis),
}

/// A change of one trigger, at the very sample (or at the end of the staleness) that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transition {
    /// Which trigger: its index among those that the evaluator was made with.
    pub rule: usize,
    /// When.
    pub at: Millis,
    /// What.
    pub kind: TransitionKind,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionKind {
    /// The rule's answer.
    Answered {
        /// Before.
        from: Answer,
        /// Now.
        to: Answer,
    },
    /// Some `for` began to run.
    Pending,
    /// No `for` runs any more.
    NotPending,
    /// The trigger fired.
    Fired(Option<Evidence>),
    /// It would have fired.
    Suppressed(Suppression),
    /// What it fired for, or would have, is over.
    Cleared,
    /// It can fire again.
    Rearmed,
    /// The clock was set back so far that what was remembered is worth nothing: everything is unknown from here on.
    ClockSetBack {
        /// What it said before.
        from: Millis,
    },
}

/// The series that made a rule hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Which series.
    pub series: Series,
    /// What was compared.
    pub value: f64,
}

/// No trigger, or one, fires for a while; a silence always ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The trigger's name; `None`: all.
    pub rule: Option<String>,
    /// From this time on.
    pub from: Millis,
    /// Up to and without this time.
    pub until: Millis,
}

/// A run: what is observed meanwhile says nothing about the story, as the run itself may be its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inhibition {
    /// From this time on.
    pub from: Millis,
    /// Up to and without this time; `None` while the run is under way.
    pub until: Option<Millis>,
}

impl Inhibition {
    pub(super) fn covers(&self, at: i64) -> bool {
        self.from.0 <= at && self.until.is_none_or(|until| at < until.0)
    }
}

/// The state of one trigger beside that of its terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Life {
    pub answer: Answer,
    pub phase: Phase,
    pub is_pending: bool,
    /// When it fired within the last 24 hours, oldest first.
    fired: VecDeque<i64>,
    /// When it fired last.
    last_fired: Option<i64>,
    /// For each `for` of a whole expression in `when`, and in `clear`, since when that has held.
    pub when_held: Vec<Option<Held>>,
    pub clear_held: Vec<Option<Held>>,
    /// It has to be looked at at each sample, not only when an answer changes.
    pub is_watched: bool,
}

/// What holds at one time for one trigger.
pub(super) struct Moment<'a> {
    pub at: i64,
    pub when: Answer,
    pub clear: Option<Answer>,
    pub conduct: &'a Conduct,
    /// When the evaluator began to watch.
    pub since: i64,
    /// The end of the silence that covers it now.
    pub silenced: Option<Millis>,
    pub is_inhibited: bool,
}

impl Life {
    pub fn new(when_fors: usize, clear_fors: usize) -> Life {
        Life {
            answer: Answer::NoData,
            phase: Phase::Armed,
            is_pending: false,
            fired: VecDeque::new(),
            last_fired: None,
            when_held: vec![None; when_fors],
            clear_held: vec![None; clear_fors],
            is_watched: false,
        }
    }

    /// Whether its samples may teach what is usual.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Armed && !self.is_pending && matches!(self.answer, Answer::Ok | Answer::NoData)
    }

    /// Nothing of an expression's `for` counts any more.
    pub fn interrupt(&mut self) {
        self.when_held.fill(None);
        self.clear_held.fill(None);
    }

    /// Goes on to where the trigger stands now; gives what changed of its phase.
    pub fn step(&mut self, moment: &Moment<'_>) -> Option<PhaseChange> {
        let holds = match (moment.when, moment.conduct.no_data) {
            (Answer::Breach, _) => Some(true),
            (Answer::Ok, _) | (Answer::NoData, NoData::Ok) => Some(false),
            // Not before there could have been data.
            (Answer::NoData, NoData::Breach)
                if moment.at > moment.since.saturating_add(moment.conduct.stale_after_ms) =>
            {
                Some(true)
            }
            (Answer::NoData | Answer::Error, _) => None,
        };
        match self.phase {
            Phase::Armed | Phase::Suppressed(_) if holds == Some(true) => self.fire(moment),
            Phase::Suppressed(_) if holds == Some(false) => {
                self.phase = Phase::Armed;
                Some(PhaseChange::Cleared)
            }
            Phase::Fired if moment.clear.map_or(holds == Some(false), |clear| clear == Answer::Breach) => {
                self.phase = if moment.conduct.latch { Phase::Latched } else { Phase::Armed };
                Some(PhaseChange::Cleared)
            }
            _ => None,
        }
    }

    fn fire(&mut self, moment: &Moment<'_>) -> Option<PhaseChange> {
        if let Some(why) = self.suppression(moment) {
            let is_new = self.phase != Phase::Suppressed(why);
            self.phase = Phase::Suppressed(why);
            return is_new.then_some(PhaseChange::Suppressed(why));
        }
        self.phase = Phase::Fired;
        self.last_fired = Some(moment.at);
        self.fired.push_back(moment.at);
        Some(PhaseChange::Fired)
    }

    fn suppression(&mut self, moment: &Moment<'_>) -> Option<Suppression> {
        let at = moment.at;
        if moment.is_inhibited {
            return Some(Suppression::Inhibited);
        }
        if let Some(until) = moment.silenced {
            return Some(Suppression::Silenced(until));
        }
        let cool = self.last_fired.map(|last| last.saturating_add(moment.conduct.cooldown_ms));
        if let Some(until) = cool.filter(|until| at < *until) {
            return Some(Suppression::Cooldown(Millis(until)));
        }
        while self.fired.front().is_some_and(|first| first.saturating_add(DAY_MS) <= at) {
            self.fired.pop_front();
        }
        let budget = usize::try_from(moment.conduct.budget).unwrap_or(usize::MAX);
        let first = self.fired.front().filter(|_| self.fired.len() >= budget)?;
        Some(Suppression::Budget(Millis(first.saturating_add(DAY_MS))))
    }
}

/// A change of phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PhaseChange {
    Fired,
    Suppressed(Suppression),
    Cleared,
}
