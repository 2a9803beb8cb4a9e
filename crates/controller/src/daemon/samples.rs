//! Samples in, incidents out; and the evaluators' state from one daemon to the next.

use super::{Daemon, Parts, TICK, fresh_id};
use crate::{book::BookError, notify::Notify, sources::SourceState};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use unship_policy::{AfterRollback, Attribution, NoData, Severity, Trigger};
use unship_rollback::{
    incident::{self, Book, Closing, Fact, Incident, IncidentId, NoticeEvent, Stage},
    signal::{Millis, Sample, Series},
    trigger::{
        Answer, Evaluator, Lookup, Phase, RuleState, Settings, Silence, Suppression, TransitionKind, TriggerRule,
    },
};
use unship_store::WatchStore;

/// Under which name the triggers' state is kept.
const TRIGGERS: &str = "triggers";
/// The same of what the sources know.
const SOURCES: &str = "sources";
/// How often it is kept, while samples come.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// A state that takes long to write is written less often: at most this part of the time is spent on it.
const KEEP_SHARE: u32 = 50;

/// When the state was kept last, and whether something is new since.
#[derive(Debug, Default)]
pub(super) struct SnapshotState {
    kept: Option<(Instant, Duration)>,
    is_new: bool,
    is_urgent: bool,
}

/// A trigger's name with its owner's: `1.3/slow-queries`, `site/error-rate`.
pub fn qualified(rule: &TriggerRule) -> String {
    let owner = rule.story.as_ref().map_or("site", unship_policy::StoryId::as_str);
    format!("{owner}/{}", rule.name)
}

pub(super) fn millis(ms: u64) -> Millis {
    Millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn settings(parts: &Parts, since_ms: u64) -> Settings {
    let lateness_ms = i64::try_from(parts.setup.watch.lateness.as_millis()).unwrap_or(i64::MAX);
    Settings { lateness_ms, ..Settings::since(millis(since_ms)) }
}

/// The evaluators as the last daemon left them; what does not fit any more begins anew.
pub(super) fn take_up(parts: &Parts, now_ms: u64) -> (Evaluator, BTreeMap<IncidentId, Evaluator>) {
    let store = parts.book.store();
    let kept = |name: &str| store.kept(name).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let rules = &parts.setup.rules;
    let restored = kept(TRIGGERS).map(|text| Evaluator::restore(rules.clone(), settings(parts, now_ms), &text));
    let evaluator = match restored {
        Some(Ok(evaluator)) => evaluator,
        Some(Err(e)) => {
            tracing::warn!(error = %e, "the triggers begin anew");
            Evaluator::new(rules.clone(), settings(parts, now_ms))
        }
        None => Evaluator::new(rules.clone(), settings(parts, now_ms)),
    };
    let mut evaluator = evaluator;
    // One that was said and not kept, or that was kept with other rules.
    for (rule, until_ms) in parts.book.read(|book| book.silences().to_vec()) {
        if until_ms > now_ms {
            evaluator.silence(Silence { rule, from: millis(now_ms), until: millis(until_ms) });
        }
    }
    let mut judges = BTreeMap::new();
    let judged: Vec<Incident> = parts
        .book
        .read(|book| book.incidents().filter(|i| matches!(i.stage, Stage::Stabilising { .. })).cloned().collect());
    for incident in judged {
        let rules = rules_after(&incident, rules, &evaluator);
        let text = kept(&judge_name(&incident.id));
        let restored = text.and_then(|text| Evaluator::restore(rules.clone(), settings(parts, now_ms), &text).ok());
        let judge = restored.unwrap_or_else(|| Evaluator::new(rules, settings(parts, now_ms)));
        judges.insert(incident.id, judge);
    }
    (evaluator, judges)
}

/// What the sources knew when the last daemon kept it.
pub fn source_state(store: &WatchStore) -> SourceState {
    let kept = store.kept(SOURCES).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&kept).unwrap_or_default()
}

fn judge_name(incident: &IncidentId) -> String {
    format!("judge-{incident}")
}

/// The rules by which it is judged whether an incident's triggers stay clear after its run: theirs, but for those that say
/// nothing then, with what they took for normal before. Nothing from before the run is in their windows.
fn rules_after(incident: &Incident, rules: &[TriggerRule], evaluator: &Evaluator) -> Vec<TriggerRule> {
    let is_its = |rule: &TriggerRule| {
        rule.conduct.after_rollback != AfterRollback::Ignored
            && incident.triggers.iter().any(|t| t.trigger == qualified(rule))
    };
    let mut after = Vec::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| is_its(rule)) {
        let mut rule = rule.clone();
        if rule.conduct.baseline_fixed.is_none() {
            let baselines = evaluator.terms(index).into_iter().filter_map(|term| term.baseline);
            rule.conduct.baseline_fixed = baselines.reduce(f64::max);
        }
        after.push(rule);
    }
    after
}

/// How the triggers of an incident stand after its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// None of them breaches or is about to. These had no data, which policy takes for well.
    Clear(Vec<String>),
    /// One does.
    Breach(String),
    /// One has no data, or none that says something.
    Unknown(String),
}

/// What an answer means by the rule's own word on missing data.
fn answer(rule: &TriggerRule, answer: Answer) -> Answer {
    match (answer, rule.conduct.no_data) {
        (Answer::NoData, NoData::Ok) => Answer::Ok,
        (Answer::NoData, NoData::Breach) => Answer::Breach,
        (answer, _) => answer,
    }
}

pub(super) fn judge(evaluator: &Evaluator) -> After {
    let (mut unknown, mut silent) = (None, Vec::new());
    for (index, rule) in evaluator.rules().iter().enumerate() {
        let Some(state) = evaluator.state(index) else { continue };
        let name = qualified(rule);
        match answer(rule, state.answer) {
            Answer::Breach => return After::Breach(format!("{name} breaches again")),
            _ if state.pending_since.is_some() => return After::Breach(format!("{name} begins to breach again")),
            Answer::Ok => {}
            Answer::NoData if rule.conduct.after_rollback == AfterRollback::Silent => silent.push(name),
            Answer::NoData => unknown = unknown.or(Some(format!("{name} has had no data since"))),
            Answer::Error => unknown = unknown.or(Some(format!("{name} has data that says nothing"))),
        }
    }
    unknown.map_or(After::Clear(silent), After::Unknown)
}

fn offer(evaluator: &mut Evaluator, series: &Series, sample: Sample) -> bool {
    match evaluator.series(series) {
        Lookup::Watched(key) => {
            let _ = evaluator.observe(key, sample);
            true
        }
        Lookup::Unwatched | Lookup::Full => false,
    }
}

impl Daemon {
    /// What waits goes to the evaluators, and what that changes is acted upon.
    pub(super) fn take_samples(&mut self) -> Result<(), BookError> {
        self.offer_waiting();
        self.advance()
    }

    /// What waits goes to the evaluators.
    fn offer_waiting(&mut self) {
        let now_ms = self.now_ms();
        let lateness_ms = u64::try_from(self.evaluator.settings().lateness_ms).unwrap_or(0);
        for (series, sample) in self.parts.intake.empty() {
            let is_watched = offer(&mut self.evaluator, &series, sample);
            for judge in self.judges.values_mut() {
                offer(judge, &series, sample);
            }
            if is_watched {
                self.follow(&series, sample);
                let due = u64::try_from(sample.at.0).unwrap_or(0).saturating_add(lateness_ms + 1);
                if due > now_ms && due < now_ms + u64::try_from(TICK.as_millis()).unwrap_or(0) + lateness_ms {
                    self.soon.insert(due);
                }
                self.snapshot.is_new = true;
            }
        }
        self.soon = self.soon.split_off(&(now_ms + 1));
    }

    /// Everything up to now is decided.
    fn advance(&mut self) -> Result<(), BookError> {
        let now_ms = self.now_ms();
        for judge in self.judges.values_mut() {
            judge.advance(millis(now_ms));
        }
        for transition in self.evaluator.advance(millis(now_ms)) {
            self.snapshot.is_new = true;
            match transition.kind {
                TransitionKind::Fired(evidence) => {
                    let told = evidence.as_ref().map(|e| incident::Evidence {
                        series: e.series.to_string(),
                        value: Some(e.value).filter(|v| v.is_finite()),
                        at_ms: transition.at.0,
                    });
                    self.fired(transition.rule, told, evidence.map(|e| e.series).as_ref())?;
                }
                TransitionKind::Suppressed(why) => self.suppressed(transition.rule, why)?,
                TransitionKind::ClockSetBack { .. }
                | TransitionKind::Answered { .. }
                | TransitionKind::Pending
                | TransitionKind::NotPending
                | TransitionKind::Cleared
                | TransitionKind::Rearmed => {}
            }
        }
        self.parts.metrics.samples(self.evaluator.stats(), self.evaluator.bytes());
        Ok(())
    }

    /// A trigger would have fired. Who silenced it, or lets a run go on, knows; that it breaches again so soon nobody does, unless
    /// an incident about it is open.
    fn suppressed(&mut self, rule: usize, why: Suppression) -> Result<(), BookError> {
        let rule = &self.evaluator.rules()[rule];
        let trigger = qualified(rule);
        tracing::info!(trigger, ?why, "it would have fired");
        let (reason, until) = match why {
            Suppression::Inhibited | Suppression::Silenced(_) => return Ok(()),
            Suppression::Cooldown(until) => ("its cooldown lasts", until),
            Suppression::Budget(until) => ("it fired as often as it may in 24 hours,", until),
        };
        let is_open = self.parts.book.read(|book| {
            let of_story = rule.story.as_ref().and_then(|story| book.open_for(story.as_str()));
            of_story.or_else(|| book.open_by_trigger(&trigger)).is_some()
        });
        if is_open {
            return Ok(());
        }
        let until = jiff::Timestamp::from_millisecond(until.0).map_or_else(|_| "later".to_owned(), |at| at.to_string());
        let detail =
            format!("{trigger} breaches again, and begins nothing: {reason} until {until}; {}", rule.when.text());
        let notice = Notify::alone(NoticeEvent::Paged, detail).in_thread(format!("suppressed/{trigger}"));
        self.say(Vec::new(), vec![notice])
    }

    /// A trigger fired: a new incident, or more about one that is open.
    fn fired(
        &mut self,
        rule: usize,
        evidence: Option<incident::Evidence>,
        cause: Option<&Series>,
    ) -> Result<(), BookError> {
        let index = rule;
        let rule = &self.evaluator.rules()[index];
        let (trigger, text) = (qualified(rule), rule.when.text().to_owned());
        let severity = rule.trigger.as_ref().map_or(Severity::Critical, |t: &Trigger| t.severity);
        let auto = rule.trigger.as_ref().is_some_and(|t| t.auto);
        let known = |story: &String| self.parts.setup.stories.contains(story);
        let label = cause.and_then(|series| series.labels().get("story").cloned());
        let story = match (&rule.story, rule.trigger.as_ref().and_then(|t| t.attribution)) {
            (Some(story), _) => Some(story.to_string()),
            (None, Some(Attribution::Label)) => label.filter(known),
            (None, Some(Attribution::LastShipped)) => self.parts.setup.last_shipped.clone(),
            (None, Some(Attribution::Ask) | None) => None,
        };
        let open = self.parts.book.read(|book| {
            let same = match &story {
                Some(story) => book.open_for(story),
                None => book.open_by_trigger(&trigger),
            };
            same.map(|i| (i.id.clone(), i.triggers.iter().any(|t| t.trigger == trigger), i.stage.clone()))
        });
        self.snapshot.is_urgent = true;
        let detail = format!("{trigger} fired: {text}");
        match open {
            // It fired before a daemon was killed that had not kept that.
            Some((_, true, _)) => Ok(()),
            Some((incident, false, stage)) => {
                let event = match stage {
                    Stage::FixForward { .. } | Stage::NotRecovered => NoticeEvent::Paged,
                    _ => NoticeEvent::Progress,
                };
                let notice = Notify::of(event, &incident, detail);
                let seen = self.series_before(&incident, index, cause);
                let joined = Fact::TriggerJoined { incident, trigger, severity, auto, evidence, rule: text };
                self.say([joined].into_iter().chain(seen).collect(), vec![notice])
            }
            None => {
                let Some(incident) = IncidentId::new(&fresh_id('i', self.now_ms())) else { return Ok(()) };
                let notice = Notify::of(NoticeEvent::Progress, &incident, detail);
                let seen = self.series_before(&incident, index, cause);
                let needed_by = None;
                let opened =
                    Fact::IncidentOpened { incident, trigger, story, severity, auto, evidence, rule: text, needed_by };
                self.say([opened].into_iter().chain(seen).collect(), vec![notice])
            }
        }
    }

    /// The rule of a trigger, by its qualified name.
    pub(super) fn rule(&self, trigger: &str) -> Option<usize> {
        self.evaluator.rules().iter().position(|rule| qualified(rule) == trigger)
    }

    /// How a trigger stands; `None` where its rule is gone.
    fn stands(&self, trigger: &str) -> Option<(RuleState, Answer)> {
        let rule = self.rule(trigger)?;
        let state = self.evaluator.state(rule)?;
        let answer = answer(&self.evaluator.rules()[rule], state.answer);
        Some((state, answer))
    }

    /// Whether all triggers of an incident have cleared. One whose rule is gone has not.
    pub(super) fn has_cleared(&self, incident: &Incident) -> bool {
        incident.triggers.iter().all(|t| {
            let stands = self.stands(&t.trigger);
            stands
                .is_some_and(|(s, answer)| answer == Answer::Ok && s.phase != Phase::Fired && s.pending_since.is_none())
        })
    }

    /// Why an incident that is watched is not clear, if it is not.
    pub(super) fn still_breaches(&self, incident: &Incident) -> Option<String> {
        incident.triggers.iter().find_map(|t| match self.stands(&t.trigger).map(|(_, answer)| answer) {
            Some(Answer::Ok) => None,
            Some(Answer::Breach) => Some(format!("{} still breaches", t.trigger)),
            Some(Answer::NoData | Answer::Error) | None => Some(format!("nobody can tell how {} stands", t.trigger)),
        })
    }

    /// Why an incident that is watched is worse than when it was opened, if it is.
    pub(super) fn is_worse(&self, incident: &Incident, percent: u32) -> Option<String> {
        incident.triggers.iter().find_map(|t| {
            let (rule, value) = (self.rule(&t.trigger)?, t.evidence.as_ref()?.value?);
            incident::worse(self.evaluator.rules()[rule].when.terms(), &self.evaluator.terms(rule), value, percent)
        })
    }

    /// A run of an incident begins: what is observed meanwhile says nothing.
    pub(super) fn inhibit(&mut self) {
        let now = millis(self.now_ms());
        for evaluator in std::iter::once(&mut self.evaluator).chain(self.judges.values_mut()) {
            evaluator.run_began(now);
        }
        self.is_busy = true;
    }

    /// A run that was under way when the state was kept may have ended while no daemon watched; one that has not is seen by
    /// [`Daemon::watch_site`], from this moment on.
    pub(super) fn end_inhibitions(&mut self) {
        let now = millis(self.now_ms());
        for evaluator in std::iter::once(&mut self.evaluator).chain(self.judges.values_mut()) {
            evaluator.run_ended(now);
        }
        self.watch_site();
    }

    /// Runs of others count as well.
    pub(super) fn watch_site(&mut self) {
        let is_busy = self.parts.operator.is_busy() || self.parts.book.read(|book| book.running().is_some());
        if is_busy != self.is_busy {
            let now = millis(self.now_ms());
            for evaluator in std::iter::once(&mut self.evaluator).chain(self.judges.values_mut()) {
                if is_busy { evaluator.run_began(now) } else { evaluator.run_ended(now) }
            }
            self.is_busy = is_busy;
        }
    }

    /// From now on it is judged whether the incident's triggers stay clear.
    pub(super) fn begin_to_judge(&mut self, incident: &Incident) {
        let rules = rules_after(incident, &self.parts.setup.rules, &self.evaluator);
        let judge = Evaluator::new(rules, settings(&self.parts, self.now_ms()));
        self.judges.insert(incident.id.clone(), judge);
        self.snapshot.is_urgent = true;
    }

    /// It is over: its triggers may fire again. One that holds since what it measures is gone with the story waits until that is
    /// there again.
    pub(super) fn rearm(&mut self, incident: &Incident) {
        let now = millis(self.now_ms());
        let is_taken_back = self.incident(&incident.id, |incident| {
            matches!(incident.stage, Stage::Closed { how: Closing::Recovered | Closing::GoneAlready })
        });
        for trigger in &incident.triggers {
            if let Some(rule) = self.rule(&trigger.trigger)
                && !(is_taken_back == Some(true) && self.is_gone_then(rule))
            {
                self.evaluator.rearm(rule, now);
            }
        }
        self.judges.remove(&incident.id);
        // What lies there is of no use any more, and does no harm.
        let _ = self.parts.book.store().forget(&judge_name(&incident.id));
        self.snapshot.is_urgent = true;
    }

    /// Whether what a trigger measures is gone when its story is taken back.
    pub(super) fn is_gone_then(&self, rule: usize) -> bool {
        self.evaluator.rules()[rule].conduct.after_rollback == AfterRollback::Ignored
    }

    /// Whether that is so of all triggers of an incident.
    pub(super) fn are_gone_then(&self, incident: &Incident) -> bool {
        incident.triggers.iter().all(|t| self.rule(&t.trigger).is_some_and(|rule| self.is_gone_then(rule)))
    }

    /// Whether some trigger of an incident says something after its run.
    pub(super) fn is_judged_after(&self, incident: &Incident) -> bool {
        incident.triggers.iter().any(|t| self.rule(&t.trigger).is_some_and(|rule| !self.is_gone_then(rule)))
    }

    /// What was gone is there again, and well: its trigger may fire again.
    pub(super) fn rearm_what_is_back(&mut self) {
        let now = millis(self.now_ms());
        for rule in 0..self.evaluator.rules().len() {
            let waits =
                |state: &RuleState| state.answer == Answer::Ok && matches!(state.phase, Phase::Fired | Phase::Latched);
            if !self.is_gone_then(rule) || !self.evaluator.state(rule).as_ref().is_some_and(waits) {
                continue;
            }
            let trigger = qualified(&self.evaluator.rules()[rule]);
            if self.parts.book.read(|book| book.open_by_trigger(&trigger).is_none()) {
                self.evaluator.rearm(rule, now);
                self.snapshot.is_urgent = true;
            }
        }
    }

    /// A trigger, or all, is not to fire for a while.
    pub(super) fn silence(&mut self, rule: Option<String>, until_ms: u64) {
        let from = millis(self.now_ms());
        self.evaluator.silence(Silence { rule, from, until: millis(until_ms) });
        self.snapshot.is_urgent = true;
    }

    /// Other rules: those that stay go on.
    pub(super) fn carry_over(&mut self) {
        let settings = settings(&self.parts, self.now_ms());
        self.evaluator = self.evaluator.carried(self.parts.setup.rules.clone(), settings);
        self.carry_trails();
        self.snapshot.is_urgent = true;
    }

    /// Keeps the state when something fired, and now and then.
    pub(super) fn keep_snapshot_in_time(&mut self) {
        let is_due = match self.snapshot.kept {
            None => true,
            Some((at, took)) => at.elapsed() >= KEEP_EVERY.max(took * KEEP_SHARE),
        };
        if self.snapshot.is_urgent || self.snapshot.is_new && is_due {
            self.keep_snapshot();
        }
    }

    /// Keeps what the evaluators and the sources know, at one moment: what a source gave is in the evaluators, and comes not again.
    pub(super) fn keep_snapshot(&mut self) {
        let began = Instant::now();
        let sources = self.parts.sources.clone();
        let kept = sources.snapshot_with(|state| {
            self.offer_waiting();
            let store = self.parts.book.store();
            let text = serde_json::to_vec(state).map_err(|e| e.to_string())?;
            let keep = |name: &str, text: &[u8]| store.keep(name, text).map_err(|e| e.to_string());
            keep(TRIGGERS, self.evaluator.snapshot().as_bytes())?;
            for (incident, judge) in &self.judges {
                keep(&judge_name(incident), judge.snapshot().as_bytes())?;
            }
            keep(SOURCES, &text)
        });
        if let Err(e) = kept {
            tracing::error!(error = e, "the triggers' state is not kept: after a restart they begin anew");
        }
        self.snapshot =
            SnapshotState { kept: Some((Instant::now(), began.elapsed())), is_new: false, is_urgent: false };
    }

    /// Says once that the clock shows an earlier time than the book has.
    pub(super) fn watch_clock(&mut self) -> Result<(), BookError> {
        let (now_ms, from_ms) = (self.now_ms(), self.parts.book.read(Book::at_ms));
        let lateness_ms = u64::try_from(self.evaluator.settings().lateness_ms).unwrap_or(0);
        if from_ms > now_ms.saturating_add(lateness_ms) {
            // This entry carries the earlier time, so it is said once.
            self.clock_was_set_back();
            return self.say(vec![Fact::ClockSetBack { from_ms }], Vec::new());
        }
        Ok(())
    }
}
