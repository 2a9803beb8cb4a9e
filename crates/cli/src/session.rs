//! A site opened for a run: its lock, its journal, what the journal tells. Every verb that changes something starts here.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    history::{History, not_intact},
    images::StoreImages,
    inject::{Fault, Injected},
    out::{Out, tell},
    permit::Permitted,
    report,
    signals::Stopping,
    site::Site,
    trust,
    wiring::{StoreJournal, SystemClock},
};
use std::sync::Arc;
use unship_host::{
    effects::SiteEffects,
    gate::Images,
    runner::{LinkedStory, LiveRunner, Setting},
    sandbox::Interrupt,
};
use unship_policy::Definitions;
use unship_rollback::{
    Crew, Durability, Event, JournalFailure, Outcome, Plan, Record, Recorder, Report, RunId, RunState, StepRunner,
    Verdict, undo,
};
use unship_store::{Journal, LockError, RunLock, SiteStore};

/// See the module.
pub struct Session {
    /// The site.
    pub site: Site,
    /// Its store.
    pub store: SiteStore,
    /// Every run so far.
    pub history: History,
    /// The way to standard output.
    pub out: Out,
    /// What is injected.
    pub faults: Arc<Injected>,
    journal: Arc<Journal>,
    /// The number that the first record of this session gets.
    first_record: u64,
    _lock: RunLock,
}

/// However a verb ends, the head of what it wrote is signed, so that a tail cut off later shows. A failure is no reason to
/// call a run another than it was: its records are then newer than the checkpoint, as after a crash, and are signed with
/// those of the next.
impl Drop for Session {
    fn drop(&mut self) {
        if self.journal.next_seq() == self.first_record {
            return;
        }
        if let Err(e) = self.store.sign_checkpoint(&self.journal) {
            let error = CliError::user("the journal's checkpoint was not signed").because(&e);
            tell(&error.hint("look at `unship journal verify`").to_string());
        }
    }
}

impl Session {
    /// Locks the site and reads its journal.
    pub fn open(context: &Context, faults: &[Fault]) -> Result<Session> {
        let site = context.site()?;
        let faults = Arc::new(Injected::new(faults, site.policy.rehearsal)?);
        let store = site.store()?;
        let lock = store.try_lock().map_err(|e| match e {
            LockError::Locked { .. } => CliError::refused("another run is at work on this site").because(&e),
            LockError::Io(_) => CliError::user("the site cannot be locked").because(&e),
        })?;
        let mut history = History::default();
        let mut wrong = None;
        let journal = store.journal(&mut |record| {
            if wrong.is_none() {
                let parsed = serde_json::from_slice::<Record>(record.json).map_err(|e| e.to_string());
                wrong = parsed.and_then(|r| history.take(&r)).err().map(|why| (record.seq, why));
            }
        });
        let journal = Arc::new(journal.map_err(|e| not_intact(&e))?);
        if let Some((seq, why)) = wrong {
            let message = format!("the journal is not intact: record {seq} cannot stand there");
            return Err(CliError::new(Exit::Journal, message).cause(why));
        }
        let first_record = journal.next_seq();
        // Taking a run back needs no trust, so what is wrong with it is told by whoever needs it.
        if let Ok(trust) = site.trust_by(history.memory()) {
            let known = trust::accepted(&store)?;
            if known != Some(trust.accepted()) {
                trust::accept(&store, trust.accepted())?;
            }
        }
        Ok(Session { site, store, history, out: context.out, faults, journal, first_record, _lock: lock })
    }

    /// The run that was cut off, if there is one.
    pub fn in_flight(&self) -> Option<&RunState> {
        self.history.in_flight().next()
    }

    /// Nothing new is begun while a run that was cut off waits.
    pub fn demand_nothing_in_flight(&self) -> Result<()> {
        let Some(state) = self.in_flight() else { return Ok(()) };
        let Some(run) = state.run() else { return Ok(()) };
        report::list_effects(self.out, state);
        Err(CliError::refused(format!(
            "run {run} was cut off in the middle, and nothing else is done before it has ended"
        ))
        .cause(format!("it takes back story {}, and {}", state.story(), state.where_it_stands()))
        .hint("`unship resume` goes on with it, `unship resume --undo` takes it back")
        .summary(self.summary(run, state.plan().map(Plan::digest), Outcome::Refused, None, state.story())))
    }

    /// A recorder for a run, new or read back.
    pub fn recorder(&self, run: &RunId, state: RunState) -> Recorder {
        let out = self.out;
        let journal = Box::new(StoreJournal(self.journal.clone()));
        let watcher = Box::new(move |record: &Record| report::progress(out, record));
        let recorder = Recorder::new(run.clone(), state, journal, Box::new(SystemClock), watcher);
        recorder.inject(self.faults.clone());
        recorder
    }

    /// Writes down something of a run beside its course; the run as it is then.
    pub fn note(&self, run: &RunId, state: &RunState, what: Event) -> Result<RunState> {
        let recorder = self.recorder(run, state.clone());
        recorder.record(what, Durability::Flushed).map_err(|e| report::cannot_write(&e))?;
        Ok(recorder.state())
    }

    /// Where a run's before-images are.
    pub fn images(&self, run: &RunId, bytes_max: u64) -> Result<StoreImages> {
        StoreImages::open(&self.store, run, bytes_max)
            .map_err(|e| CliError::user("before-images cannot be kept in `.unship/`").because(&e))
    }

    /// The world's side of a run's effects.
    pub fn effects(&self, run: &RunId, definitions: Definitions, images: &StoreImages) -> Result<SiteEffects> {
        let images = Box::new(images.clone());
        SiteEffects::open(&self.site.path, definitions, run.as_str(), images, self.faults.clone())
            .map_err(|e| CliError::user("the site's folders cannot be used").because(&e))
    }

    /// What names mean for a story now. No bundle is needed.
    pub fn definitions(&self, story: &str) -> Result<Definitions> {
        let id = crate::site::story_id(story)?;
        let policy = self.site.story(&id)?;
        let file = self.site.path.join(format!("policies/{id}.toml"));
        unship_policy::definitions(&policy, &self.site.policy).map_err(|e| {
            let text = crate::site::read_text(&file).unwrap_or_default();
            CliError::in_file(&file, &text, e)
        })
    }

    /// Lets a run go forward, by `go`, from its beginning or from where it was cut off, and answers with how it ended.
    pub fn go_forward(
        &self,
        run: &RunId,
        permitted: &Permitted<'_>,
        state: RunState,
        story: &LinkedStory,
        go: impl FnOnce(&Recorder, Crew<'_>) -> std::result::Result<Report, JournalFailure>,
    ) -> Result<Exit> {
        let (plan, resolved) = (permitted.plan(), story.resolved());
        let images = self.images(run, resolved.limits.images_bytes_max)?;
        let mut effects = self.effects(run, resolved.definitions.clone(), &images)?;
        let stopping = self.watch_signals(Some(story.interrupt()))?;
        let recorder = self.recorder(run, state);
        let setting = Setting { site: &self.site.path, run: run.as_str(), clock_ms: plan.clock_ms };
        let images = Box::new(|| Box::new(images.clone()) as Box<dyn Images>);
        let mut runner = LiveRunner::new(story, setting, recorder.clone(), images, self.faults.clone())
            .map_err(|e| CliError::user("the site's folders cannot be used").because(&e))?;
        let runner: &mut dyn StepRunner = &mut runner;
        let (by, faults) = (report::who(), self.faults.clone());
        let crew =
            Crew { runner: Some(runner), effects: &mut effects, faults, interrupted: &|| stopping.asked(), by: &by };
        let ended = go(&recorder, crew);
        self.answer(run, plan, &recorder, ended).map(|state| report::exit_forward(&state))
    }

    /// Takes a run back, and answers with how that ended.
    pub fn take_back(
        &self,
        run: &RunId,
        plan: &Plan,
        state: RunState,
        effects: &mut SiteEffects,
        reason: &str,
        forced: Vec<String>,
    ) -> Result<RunState> {
        let stopping = self.watch_signals(None)?;
        let recorder = self.recorder(run, state);
        let (by, faults) = (report::who(), self.faults.clone());
        let crew = Crew { runner: None, effects, faults, interrupted: &|| stopping.asked(), by: &by };
        let ended = undo(&recorder, reason, forced, crew);
        self.answer(run, plan, &recorder, ended)
    }

    /// Watches for signals while a run is at work.
    fn watch_signals(&self, interrupt: Option<Interrupt>) -> Result<Stopping> {
        Stopping::watch(self.out, interrupt).map_err(|e| CliError::user("signals cannot be watched").because(&e))
    }

    /// How many flushes the journal asked for.
    pub fn flushes(&self) -> u64 {
        self.journal.flushes()
    }

    /// The fields that every summary of a run has.
    pub fn summary(
        &self,
        run: &RunId,
        digest: Option<unship_policy::Digest>,
        outcome: Outcome,
        verdict: Option<Verdict>,
        story: &str,
    ) -> serde_json::Value {
        serde_json::json!({
            "story": story, "run": run, "plan_digest": digest, "outcome": outcome, "verdict": verdict,
            "flushes": self.flushes(),
        })
    }

    /// Answers with how a run ended, or why it could not be written down.
    fn answer(
        &self,
        run: &RunId,
        plan: &Plan,
        recorder: &Recorder,
        report: std::result::Result<Report, JournalFailure>,
    ) -> Result<RunState> {
        let report = report.map_err(|e| {
            let state = recorder.state();
            report::list_effects(self.out, &state);
            let summary = self.summary(run, Some(plan.digest()), Outcome::Stuck, None, &plan.story);
            let error = report::cannot_write(&e).summary(summary);
            if state.plan().is_none() {
                return error;
            }
            error
                .exit(Exit::Stuck as u8)
                .hint("see the disk of `.unship/`; then `unship resume` goes on, `unship resume --undo` takes it back")
        })?;
        let Some((outcome, verdict, reason)) = report.state.ended().cloned() else {
            return Err(CliError::new(Exit::Stuck, "the run did not end").hint("`unship resume` goes on with it"));
        };
        if outcome == Outcome::Stuck {
            report::list_effects(self.out, &report.state);
        }
        let mut line = format!("{outcome}{}", verdict.map_or_else(String::new, |v| format!(", {v}")));
        if let Some(reason) = &reason {
            line.push_str(&format!(": {reason}"));
        }
        let effects = report.state.applied().len();
        self.out.text(format!("{line} (run {run}, {effects} effects, {} journal flushes)", self.flushes()));
        if outcome == Outcome::Stuck {
            self.out.text(format!("Put right what is named above; `unship undo {run}` then takes back what is left."));
        }
        if let (Outcome::Succeeded, Some(Verdict::NotRecovered | Verdict::Unknown)) = (outcome, verdict) {
            self.out.text(format!("Nothing is undone by itself; `unship undo {run}` takes it back."));
        }
        let mut summary = self.summary(run, Some(plan.digest()), outcome, verdict, &plan.story);
        summary["effects"] = effects.into();
        summary["reason"] = reason.into();
        self.out.summary(summary);
        Ok(report.state)
    }
}
