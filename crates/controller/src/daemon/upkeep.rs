//! What is looked after beside incidents: whether stories could be taken back, what is exposed, post-mortems, policies.

use super::Daemon;
use crate::{
    book::BookError,
    daemon::Alive,
    hands::Job,
    notify::Notify,
    ports::{Exposed, Planned, RunSummary},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use unship_rollback::{
    Outcome, RunId,
    incident::{Fact, NoticeEvent},
};

/// How often the site's journal is looked at for what is exposed.
const EXPOSED_EVERY: Duration = Duration::from_secs(2);
/// After so long it is tried again to end an exposure, or to tell how a run stands.
const AGAIN_AFTER_MS: u64 = 60_000;
/// A story's run is over by then: whoever holds the site for longer keeps it from being watched.
const HELD_MS: u64 = 15 * 60_000;
/// Not tried again before it is told how it went.
const UNDER_WAY: u64 = u64::MAX;

/// What is under way. Nothing of it has to outlive the process.
#[derive(Default)]
pub(super) struct Upkeep {
    /// A run that was cut off is being ended: nothing else begins before.
    pub is_finishing: bool,
    /// When every story is planned next, in milliseconds since the epoch.
    ready_at_ms: u64,
    /// Since when somebody else's run has held the site, and whether that was told.
    held: Option<(u64, bool)>,
    exposed_at: Option<Instant>,
    is_looking: bool,
    /// Exposures that are being ended, or were tried: not before then.
    ending: BTreeMap<RunId, u64>,
    /// Runs of which nobody could tell how they stand: asked again then.
    unclear: BTreeMap<RunId, u64>,
    /// What was told of them last.
    told: BTreeMap<RunId, String>,
    /// Exposures that were taken back here: an older look at the journal may still show them.
    ended: BTreeSet<RunId>,
}

impl Daemon {
    /// Whatever is due.
    pub(super) fn keep_up(&mut self) -> Result<(), BookError> {
        let now_ms = self.now_ms();
        self.watch_site();
        self.watch_others(now_ms)?;
        if now_ms >= self.upkeep.ready_at_ms {
            self.check_readiness();
        }
        if !self.upkeep.is_looking && self.upkeep.exposed_at.is_none_or(|at| at.elapsed() >= EXPOSED_EVERY) {
            self.upkeep.is_looking = true;
            self.upkeep.exposed_at = Some(Instant::now());
            self.hands.give(Job::Exposed);
        }
        let again: Vec<RunId> =
            self.upkeep.unclear.iter().filter(|(_, at)| **at <= now_ms).map(|(run, _)| run.clone()).collect();
        for run in again {
            self.upkeep.unclear.remove(&run);
            self.given.remove(&run);
        }
        self.end_exposures(now_ms);
        self.watch_post_mortems(now_ms)
    }

    /// While somebody else's run holds the site no trigger fires and nothing begins: when that lasts, a person is told, once.
    fn watch_others(&mut self, now_ms: u64) -> Result<(), BookError> {
        let is_own = self.upkeep.is_finishing || self.parts.book.read(|book| book.running().is_some());
        if is_own || !self.is_busy {
            self.upkeep.held = None;
            return Ok(());
        }
        let (since_ms, is_told) = self.upkeep.held.unwrap_or((now_ms, false));
        // The clock may have been set back.
        let since_ms = since_ms.min(now_ms);
        let is_long = now_ms - since_ms >= HELD_MS;
        self.upkeep.held = Some((since_ms, is_told || is_long));
        if is_told || !is_long {
            return Ok(());
        }
        let minutes = (now_ms - since_ms) / 60_000;
        let detail = format!(
            "somebody else's run has held the site for {minutes} minutes: no trigger fires and nothing begins before it ends; \
             look at `unship runs`"
        );
        self.say(Vec::new(), vec![Notify::alone(NoticeEvent::Paged, detail).in_thread("held")])
    }

    /// How a run stands could not be told: it is asked again later. Whether this reason is new.
    pub(super) fn ask_again(&mut self, run: &RunId, why: String) -> bool {
        self.upkeep.unclear.insert(run.clone(), self.now_ms().saturating_add(AGAIN_AFTER_MS));
        self.upkeep.told.insert(run.clone(), why.clone()).is_none_or(|before| before != why)
    }

    /// Whatever waits for a time by the old clock is due at once by the new one.
    pub(super) fn clock_was_set_back(&mut self) {
        let now_ms = self.now_ms();
        self.upkeep.ready_at_ms = now_ms;
        let again = self.upkeep.ending.values_mut().filter(|at| **at != UNDER_WAY);
        again.chain(self.upkeep.unclear.values_mut()).for_each(|at| *at = now_ms);
    }

    /// What is exposed is looked at with the next step.
    pub(super) fn look_at_exposures(&mut self) {
        self.upkeep.exposed_at = None;
    }

    /// Plans every story.
    pub(super) fn check_readiness(&mut self) {
        let every_ms = u64::try_from(self.parts.setup.watch.ready_every.as_millis()).unwrap_or(u64::MAX);
        self.upkeep.ready_at_ms = self.now_ms().saturating_add(every_ms);
        for story in self.parts.setup.stories.clone() {
            self.hands.give(Job::Ready(story));
        }
    }

    pub(super) fn take_ready(&mut self, story: String, planned: Result<Planned, String>) -> Result<(), BookError> {
        let before = self.parts.book.read(|book| book.readiness().get(&story).cloned());
        let reason = match planned {
            Err(reason) => Some(reason),
            Ok(planned) if !planned.weakens.is_empty() => {
                Some(format!("its plan weakens {}, which takes a variant and approvals", planned.weakens.join(", ")))
            }
            Ok(_) => None,
        };
        match reason {
            // What was told is not told again as long as it is the same.
            reason if before.as_ref() == Some(&reason) => Ok(()),
            None => {
                // That it is ready is news to nobody but those who were told that it was not.
                let was_told = matches!(before, Some(Some(_)));
                let detail = format!("story {story} could be taken back again");
                let notice = Notify::alone(NoticeEvent::Ready, detail).in_thread(format!("not-ready/{story}"));
                self.say(vec![Fact::Ready { story }], was_told.then_some(notice).into_iter().collect())
            }
            Some(reason) => {
                let detail = format!("story {story} could not be taken back now: {reason}");
                let notice = Notify::alone(NoticeEvent::NotReady, detail).in_thread(format!("not-ready/{story}"));
                self.say(vec![Fact::NotReady { story, reason }], vec![notice])
            }
        }
    }

    pub(super) fn take_finished(
        &mut self,
        finished: Result<Option<(RunId, RunSummary)>, String>,
    ) -> Result<(), BookError> {
        self.upkeep.is_finishing = false;
        let detail = match finished {
            Ok(None) => return Ok(()),
            Ok(Some((run, ended))) => {
                let verdict = ended.verdict.map_or_else(String::new, |v| format!(", {v}"));
                format!("run {run} was cut off, and ended now: {}{verdict}", ended.outcome)
            }
            Err(why) => format!("a run was cut off and could not be ended: {why}"),
        };
        self.say(Vec::new(), vec![Notify::alone(NoticeEvent::Paged, detail).in_thread("cut-off")])
    }

    pub(super) fn take_exposed(&mut self, exposed: Result<Vec<Exposed>, String>) -> Result<(), BookError> {
        self.upkeep.is_looking = false;
        let exposed = match exposed {
            Ok(exposed) => exposed,
            Err(e) => {
                tracing::error!(error = e, "what is exposed cannot be told");
                return Ok(());
            }
        };
        let known = self.parts.book.read(|book| book.exposures().clone());
        for Exposed { run, story, until_ms } in &exposed {
            if !known.contains_key(run) && !self.upkeep.ended.contains(run) {
                let detail = format!("story {story} weakens a safety property until {until_ms}, by run {run}");
                let notice = Notify::alone(NoticeEvent::Progress, detail).with_run(run);
                let (run, story) = (run.clone(), story.clone());
                self.say(vec![Fact::ExposureBegan { run, story, until_ms: *until_ms }], vec![notice])?;
            }
        }
        for run in known.keys().filter(|run| !exposed.iter().any(|e| e.run == **run)) {
            if self.upkeep.ending.get(run) == Some(&UNDER_WAY) {
                // Whoever takes it back says so.
                continue;
            }
            let how = "it was taken back".to_owned();
            self.upkeep.ending.remove(run);
            self.say(vec![Fact::ExposureEnded { run: run.clone(), how }], Vec::new())?;
        }
        Ok(())
    }

    /// What has lasted long enough is taken back, whoever is asleep.
    fn end_exposures(&mut self, now_ms: u64) {
        let over: Vec<RunId> = self.parts.book.read(|book| {
            book.exposures().iter().filter(|(_, e)| e.until_ms <= now_ms).map(|(run, _)| run.clone()).collect()
        });
        for run in over {
            let may = self.upkeep.ending.get(&run).is_none_or(|at| *at <= now_ms);
            if may && !self.parts.operator.is_busy() && !self.upkeep.is_finishing {
                self.upkeep.ending.insert(run.clone(), UNDER_WAY);
                self.hands.give(Job::Undo(run));
            }
        }
    }

    pub(super) fn take_undone(&mut self, run: &RunId, ended: Result<RunSummary, String>) -> Result<(), BookError> {
        let reason = match ended {
            Ok(RunSummary { outcome: Outcome::Undone, .. }) => {
                self.upkeep.ending.remove(run);
                self.upkeep.ended.insert(run.clone());
                let detail = format!("what run {run} weakened was taken back in time");
                let notice = Notify::alone(NoticeEvent::Closed, detail).with_run(run);
                let how = "its time was over".to_owned();
                return self.say(vec![Fact::ExposureEnded { run: run.clone(), how }], vec![notice]);
            }
            Ok(ended) => format!("{}{}", ended.outcome, ended.reason.map_or_else(String::new, |r| format!(": {r}"))),
            Err(why) => why,
        };
        self.upkeep.ending.insert(run.clone(), self.now_ms().saturating_add(AGAIN_AFTER_MS));
        let known = self.parts.book.read(|book| book.exposures().get(run).and_then(|e| e.stuck.clone()));
        if known.as_ref() == Some(&reason) {
            return Ok(());
        }
        let detail = format!("what run {run} weakened could NOT be taken back in time: {reason}");
        let notice = Notify::alone(NoticeEvent::Paged, detail).with_run(run);
        self.say(vec![Fact::ExposureStuck { run: run.clone(), reason }], vec![notice])
    }

    fn watch_post_mortems(&mut self, now_ms: u64) -> Result<(), BookError> {
        let overdue: Vec<RunId> = self.parts.book.read(|book| {
            let is_overdue = |p: &unship_rollback::incident::PostMortem| {
                p.written_ms.is_none() && !p.is_overdue && p.due_ms <= now_ms
            };
            book.post_mortems().iter().filter(|(_, p)| is_overdue(p)).map(|(run, _)| run.clone()).collect()
        });
        for run in overdue {
            let incident = self.parts.book.read(|book| book.runs().get(&run).map(|note| note.incident.clone()));
            let detail = format!("the post-mortem of run {run} was due; `unship postmortem {run}` writes it");
            let notice = Notify { incident, ..Notify::alone(NoticeEvent::PostMortemDue, detail).with_run(&run) };
            self.say(vec![Fact::PostMortemOverdue { run }], vec![notice])?;
        }
        Ok(())
    }

    /// Reads the policies anew, as a whole. Bad ones are refused, and the old ones stay.
    pub(super) fn reload(&mut self) -> Result<(), BookError> {
        (self.parts.alive)(Alive::Reloading);
        let read = self.parts.policies.read();
        let done = match read {
            Err(reason) => self.say(vec![Fact::PolicyRefused { reason }], Vec::new()),
            Ok(setup) => {
                let (before, after) = (self.parts.setup.rules.len(), setup.rules.len());
                let digest = setup.digest;
                self.parts.setup = setup;
                self.carry_over();
                (self.parts.reloaded)(&self.parts.setup);
                tracing::info!(before, after, "the policies were read anew: so many triggers");
                self.say(vec![Fact::PolicyReloaded { digest }], Vec::new())?;
                self.check_readiness();
                Ok(())
            }
        };
        (self.parts.alive)(Alive::Ready);
        done
    }
}
