//! The run as a state machine over its records. The same code decides what comes next in a live run and tells, from a
//! journal read back, where a run stands.

use crate::{Effect, Event, Image, Outcome, Plan, Record, RunId, UnitRole, Verdict};

/// A record that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record {record} cannot follow in a run that {state}")]
pub struct IllegalTransition {
    /// The record's kind.
    pub record: &'static str,
    /// What the run was doing.
    pub state: String,
}

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The unit with this index in the plan.
    Unit(usize),
    /// End with this.
    End {
        /// How it ended.
        outcome: Outcome,
        /// What the verifications said, if they ran.
        verdict: Option<Verdict>,
        /// Why, unless all went well.
        reason: Option<String>,
    },
    /// Nothing: the run has ended, or never began.
    Nothing,
}

/// An effect that was applied, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEffect {
    /// The step.
    pub unit: String,
    /// Its number within the step.
    pub n: usize,
    /// The change.
    pub effect: Effect,
    /// What was there before.
    pub image: Option<Image>,
}

/// One run, as its records tell it.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    phase: Phase,
    run: Option<RunId>,
    plan: Option<Box<Plan>>,
    /// Index of the next unit, or of the one in hand.
    position: usize,
    applied: Vec<AppliedEffect>,
    failed: Option<(UnitRole, String)>,
    verifications_failed: Vec<String>,
    verifications_broken: Vec<String>,
    ended: Option<(Outcome, Option<Verdict>, Option<String>)>,
    started_ms: u64,
    story: String,
    denied: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Fresh,
    BetweenUnits,
    InUnit,
    Ended,
}

impl RunState {
    /// Takes in the next record.
    ///
    /// # Errors
    /// [`IllegalTransition`] when it cannot follow; the state is then unchanged.
    pub fn advance(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let illegal = |state: &RunState| IllegalTransition { record: kind(&record.what), state: state.describe() };
        if self.run.as_ref().is_some_and(|run| *run != record.run) {
            return Err(illegal(self));
        }
        match (&record.what, self.phase) {
            (Event::RunRefused { story, reason, .. }, Phase::Fresh) => {
                self.begin(record, story);
                self.phase = Phase::Ended;
                self.ended = Some((Outcome::Refused, None, Some(reason.clone())));
            }
            (Event::RunStarted { story, plan, digest, .. }, Phase::Fresh) => {
                if *digest != plan.digest() || *story != plan.story {
                    return Err(illegal(self));
                }
                self.begin(record, story);
                self.phase = Phase::BetweenUnits;
                self.plan = Some(plan.clone());
                self.position = 0;
                self.skip();
            }
            (Event::UnitStarted { unit }, Phase::BetweenUnits) if self.expects(unit) => self.phase = Phase::InUnit,
            (Event::EffectApplied { unit, n, effect, image }, Phase::InUnit) if self.expects(unit) => {
                if self.role() != Some(UnitRole::Step) || !self.plans(unit, *n, effect, &record.run) {
                    return Err(illegal(self));
                }
                let applied = AppliedEffect { unit: unit.clone(), n: *n, effect: effect.clone(), image: image.clone() };
                self.applied.push(applied);
            }
            (Event::AccessDenied { unit, .. }, Phase::InUnit) if self.expects(unit) => self.denied += 1,
            (Event::AccessSummed { unit, .. } | Event::LineLogged { unit, .. }, Phase::InUnit)
                if self.expects(unit) => {}
            (Event::UnitSucceeded { unit }, Phase::InUnit) if self.expects(unit) => self.next_unit(),
            (Event::UnitFailed { unit, reason, broken }, Phase::InUnit) if self.expects(unit) => {
                let reason = format!("{unit}: {reason}");
                match self.role() {
                    Some(UnitRole::Verification) if *broken => self.verifications_broken.push(reason),
                    Some(UnitRole::Verification) => self.verifications_failed.push(reason),
                    Some(role) => self.failed = Some((role, reason)),
                    None => return Err(illegal(self)),
                }
                self.next_unit();
            }
            (Event::RunEnded { outcome, verdict, reason }, Phase::BetweenUnits) => {
                let Next::End { outcome: expected, verdict: expected_verdict, .. } = self.next() else {
                    return Err(illegal(self));
                };
                if (expected, expected_verdict) != (*outcome, *verdict) {
                    return Err(illegal(self));
                }
                self.phase = Phase::Ended;
                self.ended = Some((*outcome, *verdict, reason.clone()));
            }
            (Event::RunAbandoned { reason }, Phase::BetweenUnits | Phase::InUnit) => {
                self.phase = Phase::Ended;
                self.ended = Some((Outcome::Stuck, None, Some(reason.clone())));
            }
            _ => return Err(illegal(self)),
        }
        Ok(())
    }

    fn begin(&mut self, record: &Record, story: &str) {
        self.run = Some(record.run.clone());
        self.started_ms = record.at_ms;
        story.clone_into(&mut self.story);
    }

    fn next_unit(&mut self) {
        self.phase = Phase::BetweenUnits;
        self.position += 1;
        self.skip();
    }

    /// Passes over what does not run when the story is taken back already.
    fn skip(&mut self) {
        let Some(plan) = &self.plan else { return };
        while plan.already && plan.units.get(self.position).is_some_and(|u| u.role != UnitRole::Verification) {
            self.position += 1;
        }
    }

    fn role(&self) -> Option<UnitRole> {
        Some(self.plan.as_ref()?.units.get(self.position)?.role)
    }

    fn expects(&self, unit: &str) -> bool {
        let known = self.plan.as_ref().and_then(|plan| plan.units.get(self.position));
        self.failed.is_none() && known.is_some_and(|u| u.name == unit)
    }

    /// Whether `effect` is what the plan has at this place of the unit in hand, and was not applied yet.
    fn plans(&self, unit: &str, n: usize, effect: &Effect, run: &RunId) -> bool {
        let planned = self.plan.as_ref().and_then(|plan| plan.units.get(self.position)?.effects.get(n));
        let fits = planned.is_some_and(|p| p.effect.same_thing(&effect.clone().symbolic(run.as_str())));
        fits && !self.applied.iter().any(|applied| applied.unit == unit && applied.n == n)
    }

    /// What comes next.
    pub fn next(&self) -> Next {
        let Some(plan) = &self.plan else {
            return Next::Nothing;
        };
        if self.phase == Phase::Ended {
            return Next::Nothing;
        }
        if let Some((role, reason)) = &self.failed {
            // A precondition comes before any effect, so nothing is to be taken back. A failed step leaves what was
            // applied: until effects can be undone the run ends Stuck and lists it.
            let outcome = if *role == UnitRole::Precondition { Outcome::Refused } else { Outcome::Stuck };
            return Next::End { outcome, verdict: None, reason: Some(reason.clone()) };
        }
        if self.position < plan.units.len() {
            return Next::Unit(self.position);
        }
        let (verdict, reasons) = if !self.verifications_failed.is_empty() {
            (Verdict::NotRecovered, &self.verifications_failed)
        } else if self.verifications_broken.is_empty() && plan.units.iter().any(|u| u.role == UnitRole::Verification) {
            (Verdict::Recovered, &self.verifications_failed)
        } else {
            (Verdict::Unknown, &self.verifications_broken)
        };
        let reason = (verdict != Verdict::Recovered)
            .then(|| if reasons.is_empty() { "the story has no verifications".to_owned() } else { reasons.join("; ") });
        Next::End { outcome: Outcome::Succeeded, verdict: Some(verdict), reason }
    }

    fn describe(&self) -> String {
        match self.phase {
            Phase::Fresh => "has not begun".to_owned(),
            Phase::BetweenUnits => format!("is between its units, at {}", self.position),
            Phase::InUnit => {
                let name = self.plan.as_ref().and_then(|p| p.units.get(self.position)).map_or("?", |u| u.name.as_str());
                format!("is in `{name}`")
            }
            Phase::Ended => "has ended".to_owned(),
        }
    }

    /// The run's id, once it has begun.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// Which story it takes back.
    pub fn story(&self) -> &str {
        &self.story
    }

    /// When it began, in milliseconds since the epoch by the host's clock.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// The pinned plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// The effects so far, oldest first.
    pub fn applied(&self) -> &[AppliedEffect] {
        &self.applied
    }

    /// How many calls were denied.
    pub fn denied(&self) -> usize {
        self.denied
    }

    /// How it ended; `None` while it is in flight.
    pub fn ended(&self) -> Option<&(Outcome, Option<Verdict>, Option<String>)> {
        self.ended.as_ref()
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::RunRefused { .. } => "run-refused",
        Event::RunStarted { .. } => "run-started",
        Event::UnitStarted { .. } => "unit-started",
        Event::EffectApplied { .. } => "effect-applied",
        Event::AccessSummed { .. } => "access-summed",
        Event::AccessDenied { .. } => "access-denied",
        Event::LineLogged { .. } => "line-logged",
        Event::UnitSucceeded { .. } => "unit-succeeded",
        Event::UnitFailed { .. } => "unit-failed",
        Event::RunAbandoned { .. } => "run-abandoned",
        Event::RunEnded { .. } => "run-ended",
    }
}
