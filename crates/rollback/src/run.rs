//! The run as a state machine over its records. The same code decides what comes next in a live run, tells from a journal
//! read back where a run stands, and goes on from there.

mod look;

use crate::{
    DirectoryChange, DirectoryTime, Effect, Event, FoundEffect, Image, Outcome, Permission, Plan, Probe, Record, RunId,
    ServiceAction, UnitRole, Verdict, checklist::Ticks,
};
use std::collections::{BTreeMap, BTreeSet};
use unship_policy::OnFail;

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
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The unit with this index in the plan.
    Unit(usize),
    /// Turn back, for this reason: a step failed.
    TurnBack(String),
    /// Take this effect back.
    Undo(Box<UndoItem>),
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

/// How an effect stands with regard to being taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was made.
    Made,
    /// It was taken back.
    Undone,
    /// It stays, for this reason.
    Left(String),
    /// Taking it back failed, for this reason.
    Failed(String),
}

/// An effect that was applied, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEffect {
    /// The step.
    pub unit: String,
    /// The step's index in the plan.
    pub index: usize,
    /// Its number within the step.
    pub n: usize,
    /// The change, as this run made it.
    pub effect: Effect,
    /// What was there before.
    pub image: Option<Image>,
    /// `None`: the step's own record. Otherwise it was found when the run was looked at, and what was seen.
    pub seen: Option<Probe>,
    /// Whether it is still there.
    pub standing: Standing,
}

impl AppliedEffect {
    /// How a person names it: `step/n`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.unit, self.n)
    }
}

/// An effect that is to be taken back, and what taking it back must know.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoItem {
    /// The effect.
    pub applied: AppliedEffect,
    /// Its number in the run, which names what is kept of before.
    pub number: u64,
    /// Directories that keep their times, since somebody else changed something in them.
    pub foreign: Vec<String>,
    /// The run had ended when a person asked for it: what somebody changed since is not taken back…
    pub is_careful: bool,
    /// … unless this effect is one that they named.
    pub is_forced: bool,
}

/// One run, as its records tell it.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    phase: Phase,
    run: Option<RunId>,
    plan: Option<Box<Plan>>,
    permission: Option<Permission>,
    /// Index of the next unit, of the one in hand, or of the one that failed.
    position: usize,
    applied: Vec<AppliedEffect>,
    failed: Option<(UnitRole, String)>,
    verifications_failed: Vec<String>,
    verifications_broken: Vec<String>,
    /// Why the run turned back.
    turned: Option<String>,
    is_careful: bool,
    forced: BTreeSet<String>,
    foreign: BTreeSet<String>,
    /// When each unit changed directories.
    changes: Vec<(usize, Vec<DirectoryChange>)>,
    ticks: Ticks,
    images_removed: bool,
    ended: Option<(Outcome, Option<Verdict>, Option<String>)>,
    started_ms: u64,
    ended_ms: u64,
    story: String,
    denied: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Fresh,
    BetweenUnits,
    InUnit,
    /// Going on after a crash: what the unit in hand had made is taken back, then it runs again.
    TakingBack,
    Undoing,
    Ended,
}

impl RunState {
    /// Takes in the next record.
    ///
    /// # Errors
    /// [`IllegalTransition`] when it cannot follow; the state is then unchanged.
    pub fn advance(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let known = self.run.as_ref().is_none_or(|run| *run == record.run);
        if known && self.take(record).is_some() {
            return Ok(());
        }
        Err(IllegalTransition { record: record.what.kind(), state: self.where_it_stands() })
    }

    /// `None`: it cannot follow, and nothing was changed.
    fn take(&mut self, record: &Record) -> Option<()> {
        match (&record.what, self.phase) {
            (Event::RunRefused { story, reason, .. }, Phase::Fresh) => {
                self.begin(record, story);
                self.phase = Phase::Ended;
                self.ended = Some((Outcome::Refused, None, Some(reason.clone())));
            }
            (Event::RunStarted { story, plan, digest, permission, .. }, Phase::Fresh) => {
                if *digest != plan.digest() || *story != plan.story {
                    return None;
                }
                self.begin(record, story);
                self.phase = Phase::BetweenUnits;
                self.plan = Some(plan.clone());
                self.permission.clone_from(permission);
                self.skip();
            }
            (Event::UnitStarted { unit }, Phase::BetweenUnits | Phase::TakingBack)
                if self.next() == Next::Unit(self.position) && self.has_in_hand(unit) =>
            {
                self.phase = Phase::InUnit;
            }
            (Event::EffectApplied { unit, n, effect, image }, Phase::InUnit) if self.has_in_hand(unit) => {
                self.take_applied(record, unit, *n, effect, image.as_ref())?;
            }
            (Event::DirectoriesChanged { unit, directories }, Phase::InUnit) if self.has_in_hand(unit) => {
                self.changes.push((self.position, directories.clone()));
            }
            (Event::AccessDenied { unit, .. }, Phase::InUnit) if self.has_in_hand(unit) => self.denied += 1,
            (Event::AccessSummed { unit, .. } | Event::LineLogged { unit, .. }, Phase::InUnit)
                if self.has_in_hand(unit) => {}
            (Event::UnitSucceeded { unit }, Phase::InUnit) if self.has_in_hand(unit) => self.next_unit(),
            (Event::UnitFailed { unit, reason, broken }, Phase::InUnit) if self.has_in_hand(unit) => {
                let reason = format!("{unit}: {reason}");
                match self.role()? {
                    UnitRole::Verification if *broken => self.verifications_broken.push(reason),
                    UnitRole::Verification => self.verifications_failed.push(reason),
                    role => self.failed = Some((role, reason)),
                }
                if self.failed.is_some() { self.phase = Phase::BetweenUnits } else { self.next_unit() }
            }
            (Event::RunResumed { found, .. }, phase) => self.take_resumed(phase, found)?,
            (Event::UndoStarted { reason, found, foreign, forced, .. }, phase) => {
                self.take_turn(phase, reason, found)?;
                self.foreign = foreign.iter().cloned().collect();
                self.forced = forced.iter().cloned().collect();
            }
            (
                Event::EffectUndone { unit, n, .. }
                | Event::EffectLeft { unit, n, .. }
                | Event::UndoFailed { unit, n, .. },
                Phase::Undoing | Phase::TakingBack,
            ) => self.take_undone(&record.what, unit, *n)?,
            (Event::ImagesRemoved { .. }, Phase::Ended) if self.may_lose_images() => self.images_removed = true,
            // A person's word changes nothing of where the run stands.
            (Event::ItemTicked { .. }, _) => self.ticks.take(self.plan.as_deref()?, record)?,
            (Event::RunEnded { outcome, verdict, reason }, _) => {
                let Next::End { outcome: expected, verdict: expected_verdict, .. } = self.next() else { return None };
                if (expected, expected_verdict) != (*outcome, *verdict) {
                    return None;
                }
                self.phase = Phase::Ended;
                self.ended = Some((*outcome, *verdict, reason.clone()));
                self.ended_ms = record.at_ms;
            }
            _ => return None,
        }
        Some(())
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

    fn has_in_hand(&self, unit: &str) -> bool {
        let known = self.plan.as_ref().and_then(|plan| plan.units.get(self.position));
        known.is_some_and(|u| u.name == unit)
    }

    /// An effect must be what the plan has at its place of the unit in hand. A step's own record comes once; it takes the
    /// place of what was found before the step ran again.
    fn take_applied(
        &mut self,
        record: &Record,
        unit: &str,
        n: usize,
        effect: &Effect,
        image: Option<&Image>,
    ) -> Option<()> {
        let planned = self.plan.as_ref()?.units.get(self.position)?;
        let fits = planned.effects.get(n)?.effect.same_thing(&effect.clone().symbolic(record.run.as_str()));
        let known = self.applied.iter().position(|a| (a.index, a.n) == (self.position, n));
        if !fits || planned.role != UnitRole::Step || known.is_some_and(|at| self.applied[at].seen.is_none()) {
            return None;
        }
        let image = image.cloned().or_else(|| known.and_then(|at| self.applied[at].image.clone()));
        if let Some(at) = known {
            self.applied.remove(at);
        }
        self.applied.push(AppliedEffect {
            unit: unit.to_owned(),
            index: self.position,
            n,
            effect: effect.clone(),
            image,
            seen: None,
            standing: Standing::Made,
        });
        Some(())
    }

    fn take_resumed(&mut self, phase: Phase, found: &[FoundEffect]) -> Option<()> {
        match phase {
            // It goes on taking back; nothing new is to be said.
            Phase::Undoing => return found.is_empty().then_some(()),
            Phase::BetweenUnits | Phase::InUnit | Phase::TakingBack if self.failed.is_none() => {}
            _ => return None,
        }
        self.take_found(found)?;
        // What a step's record says may be made again is as if it were found.
        for applied in self.applied.iter_mut().filter(|a| a.index >= self.position) {
            applied.seen.get_or_insert(Probe::Applied);
        }
        self.changes.retain(|(index, _)| *index != self.position);
        self.phase = Phase::TakingBack;
        Some(())
    }

    fn take_turn(&mut self, phase: Phase, reason: &str, found: &[FoundEffect]) -> Option<()> {
        let may = match phase {
            Phase::Fresh | Phase::Undoing => false,
            Phase::BetweenUnits | Phase::InUnit | Phase::TakingBack => true,
            Phase::Ended => self.may_be_undone(),
        };
        if !may {
            return None;
        }
        self.take_found(found)?;
        for applied in &mut self.applied {
            if matches!(applied.standing, Standing::Left(_) | Standing::Failed(_)) {
                applied.standing = Standing::Made;
            }
        }
        self.turned = Some(reason.to_owned());
        self.is_careful = phase == Phase::Ended;
        self.ended = None;
        self.phase = Phase::Undoing;
        Some(())
    }

    /// What was found of the uncertain unit: each once, in the plan, and not known by a record.
    fn take_found(&mut self, found: &[FoundEffect]) -> Option<()> {
        let Some(index) = self.uncertain_unit() else { return found.is_empty().then_some(()) };
        let mut new = Vec::new();
        for one in found {
            let planned = self.plan.as_ref()?.units.get(index)?;
            let effect = planned.effects.get(one.n)?.effect.clone().concrete(self.run.as_ref()?.as_str());
            let known = |a: &AppliedEffect| (a.index, a.n) == (index, one.n);
            if one.state == Probe::Absent
                || self.applied.iter().any(|a| a.seen.is_none() && known(a))
                || new.iter().any(known)
            {
                return None;
            }
            new.push(AppliedEffect {
                unit: planned.name.clone(),
                index,
                n: one.n,
                effect,
                image: one.image.clone(),
                seen: Some(one.state),
                standing: Standing::Made,
            });
        }
        // An earlier look is replaced by this one.
        self.applied.retain(|a| a.index < self.position || a.seen.is_none() || !matches!(a.standing, Standing::Made));
        self.applied.append(&mut new);
        Some(())
    }

    fn take_undone(&mut self, what: &Event, unit: &str, n: usize) -> Option<()> {
        let Next::Undo(item) = self.next() else { return None };
        if item.applied.unit != unit || item.applied.n != n {
            return None;
        }
        let at = self.applied.iter().position(|a| (a.index, a.n) == (item.applied.index, n))?;
        match what {
            Event::EffectUndone { .. } if self.phase == Phase::TakingBack => {
                self.applied.remove(at);
            }
            Event::EffectUndone { .. } => self.applied[at].standing = Standing::Undone,
            Event::EffectLeft { reason, .. } if self.phase == Phase::Undoing => {
                self.applied[at].standing = Standing::Left(reason.clone());
            }
            Event::UndoFailed { reason, .. } => self.applied[at].standing = Standing::Failed(reason.clone()),
            _ => return None,
        }
        Some(())
    }

    /// What comes next.
    pub fn next(&self) -> Next {
        let Some(plan) = &self.plan else { return Next::Nothing };
        match self.phase {
            Phase::Ended | Phase::Fresh => return Next::Nothing,
            Phase::Undoing | Phase::TakingBack => {
                if let Some(next) = self.next_back(plan) {
                    return next;
                }
            }
            Phase::BetweenUnits | Phase::InUnit => {}
        }
        if let Some((role, reason)) = &self.failed {
            // A precondition comes before any effect, so nothing is to be taken back; unless it ran again after a crash.
            let nothing_made = self.applied.iter().all(|a| a.standing != Standing::Made);
            let outcome = match (role, plan.on_fail) {
                (UnitRole::Precondition, _) if nothing_made => Outcome::Refused,
                (_, OnFail::Undo) => return Next::TurnBack(reason.clone()),
                (_, OnFail::Stop) => Outcome::Stuck,
            };
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

    /// The next thing to take back; `None` when the unit in hand is as it was and may run again.
    fn next_back(&self, plan: &Plan) -> Option<Next> {
        let failed = self.applied.iter().find_map(|a| match &a.standing {
            Standing::Failed(reason) => Some(format!("{} could not be taken back: {reason}", a.name())),
            _ => None,
        });
        if let Some(reason) = failed {
            return Some(Next::End { outcome: Outcome::Stuck, verdict: None, reason: Some(reason) });
        }
        let undoing = self.phase == Phase::Undoing;
        let wanted = |a: &&AppliedEffect| {
            let in_hand = a.index >= self.position && a.effect.is_taken_back_to_go_on();
            a.standing == Standing::Made && (undoing || in_hand)
        };
        let newest = self.applied.iter().filter(wanted).max_by_key(|a| (turn(a), a.index, a.n));
        if let Some(applied) = newest {
            let item = UndoItem {
                applied: applied.clone(),
                number: plan.number(applied.index, applied.n),
                foreign: self.foreign.iter().cloned().collect(),
                is_careful: undoing && self.is_careful,
                is_forced: self.forced.contains(&applied.name()),
            };
            return Some(Next::Undo(Box::new(item)));
        }
        if !undoing {
            return None;
        }
        let left: Vec<String> =
            self.applied.iter().filter(|a| matches!(a.standing, Standing::Left(_))).map(AppliedEffect::name).collect();
        let turned = self.turned.clone();
        Some(if left.is_empty() {
            Next::End { outcome: Outcome::Undone, verdict: None, reason: turned }
        } else {
            let turned = turned.unwrap_or_default();
            let reason = Some(format!("{turned}; what cannot be taken back stays: {}", left.join(", ")));
            Next::End { outcome: Outcome::Stuck, verdict: None, reason }
        })
    }

    /// The times in which the run left directories, each by the last unit that changed something in it. Of a directory that
    /// the run then moved, removed or touched itself, nobody can tell by its path; nor of any, when a unit was cut off that
    /// made something.
    pub fn times_left(&self) -> Vec<DirectoryTime> {
        let has_left = |index: usize| self.changes.iter().any(|(unit, _)| *unit == index);
        if self.applied.iter().any(|a| a.index >= self.position && !has_left(a.index)) {
            return Vec::new();
        }
        let mut moved: BTreeMap<&str, usize> = BTreeMap::new();
        for applied in &self.applied {
            for name in applied.effect.names() {
                let last = moved.entry(name).or_default();
                *last = applied.index.max(*last);
            }
        }
        let mut left = BTreeMap::new();
        for (unit, changes) in &self.changes {
            for change in changes {
                let path = change.path.strip_prefix("site:").unwrap_or(&change.path);
                let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
                let is_same = !above.clone().any(|name| moved.get(name).is_some_and(|last| last >= unit));
                left.insert(change.path.as_str(), is_same.then_some(change.left));
            }
        }
        left.into_iter()
            .filter_map(|(path, time)| Some(DirectoryTime { path: path.to_owned(), modified: time? }))
            .collect()
    }

    /// What the run is doing, as it reads after "a run that".
    pub fn where_it_stands(&self) -> String {
        match self.phase {
            Phase::Fresh => "has not begun".to_owned(),
            Phase::BetweenUnits => format!("is between its units, at {}", self.position),
            Phase::InUnit => format!("is in `{}`", self.unit_in_hand()),
            Phase::TakingBack => format!("takes back what `{}` had made, to run it again", self.unit_in_hand()),
            Phase::Undoing => "is being undone".to_owned(),
            Phase::Ended => "has ended".to_owned(),
        }
    }

    fn unit_in_hand(&self) -> &str {
        self.plan.as_ref().and_then(|p| p.units.get(self.position)).map_or("?", |u| u.name.as_str())
    }

    /// Index of the step whose effects may be there without a record: it failed and nobody looked yet, or it is the next
    /// with effects, since a killed run may be further than its records (those of units without effects are lazy).
    pub fn uncertain_unit(&self) -> Option<usize> {
        let units = &self.plan.as_ref()?.units;
        let is_step = |at: &usize| units[*at].role == UnitRole::Step;
        match self.phase {
            Phase::BetweenUnits | Phase::Ended if self.failed.is_some() && self.turned.is_none() => {
                Some(self.position).filter(|at| *at < units.len() && is_step(at))
            }
            Phase::InUnit | Phase::TakingBack | Phase::BetweenUnits => {
                (self.position..units.len()).find(|at| is_step(at) && !units[*at].effects.is_empty())
            }
            Phase::Ended | Phase::Fresh | Phase::Undoing => None,
        }
    }

    /// Effects of the unit in hand that may have been made before it runs again, and that it need not make once more.
    pub fn made_before(&self) -> Vec<usize> {
        self.applied.iter().filter(|a| a.index == self.position && a.seen.is_some()).map(|a| a.n).collect()
    }

    /// Whether its records say that a run of this effect needs no look: it was made, by the step's own word.
    pub fn is_recorded(&self, index: usize, n: usize) -> bool {
        self.applied.iter().any(|a| (a.index, a.n) == (index, n) && a.seen.is_none())
    }

    /// Whether it is on its way back.
    pub fn is_undoing(&self) -> bool {
        self.phase == Phase::Undoing
    }

    /// Whether `undo` may take it up: it ended, something of it is left, and its before-images are there.
    pub fn may_be_undone(&self) -> bool {
        let outcome = self.ended.as_ref().map(|(outcome, ..)| *outcome);
        matches!(outcome, Some(Outcome::Succeeded | Outcome::Stuck)) && !self.images_removed
    }

    /// Whether `gc` may remove its before-images: it ended well one way or the other. A Stuck run keeps them.
    pub fn may_lose_images(&self) -> bool {
        let outcome = self.ended.as_ref().map(|(outcome, ..)| *outcome);
        !self.images_removed && matches!(outcome, Some(Outcome::Succeeded | Outcome::Undone | Outcome::Refused))
    }

    /// Whether `gc` removed its before-images.
    pub fn has_lost_images(&self) -> bool {
        self.images_removed
    }
}

/// What is taken back first, higher ones before lower ones: in general the newest. A service that ran before and was
/// restarted is restarted once everything else is back, since what it has in memory comes from files; and processes that a
/// service starts by itself come when it does.
fn turn(applied: &AppliedEffect) -> u8 {
    let was_stopped = matches!(&applied.image, Some(Image::Value { was }) if was == "stopped");
    match &applied.effect {
        Effect::ProcessStopped { started_by: Some(_), .. } => 0,
        Effect::ServiceChanged { action: ServiceAction::Restart, .. } if !was_stopped => 1,
        _ => 2,
    }
}
