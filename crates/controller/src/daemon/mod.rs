//! The daemon's loop: one thread that takes in what others have for it, asks the pure code what follows, writes that down,
//! and hands out what is to be done. It waits for nothing but its bell.

mod course;
mod people;
mod samples;
mod series;
mod upkeep;

use crate::{
    book::{BookError, WatchBook},
    clock::WatchClock,
    hands::{Done, Hands, Job},
    intake::Intake,
    metrics::Metrics,
    notify::{Notify, queued},
    ports::{Operator, Planned, Policies, Setup},
    sources::Sources,
    wake::Wake,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, SyncSender},
    },
    time::Duration,
};
use unship_policy::Digest;
use unship_rollback::{
    RunId,
    incident::{Fact, IncidentId, NoticeEvent},
    signal::Trails,
    trigger::Evaluator,
};

pub use samples::{qualified, source_state};

/// How long the loop sleeps at most. Deadlines are met to this.
const TICK: Duration = Duration::from_secs(1);
/// An incident goes through so many stages in one step at most; the next step goes on.
const STAGES_MAX: usize = 12;

/// What other threads want of the daemon's thread.
pub enum Request {
    /// Read the policies anew.
    Reload,
    /// Finish what is in hand, and end.
    Stop,
    /// A person used a one-time link.
    Link {
        /// SHA-256 of its token.
        link: Digest,
        /// Yes, or no and why.
        answer: Result<(), String>,
        /// What came of it, in one line.
        reply: SyncSender<Result<String, String>>,
    },
    /// On a rehearsal site: it is now so late. Answered when all that follows has been done.
    Clock {
        /// Milliseconds since the epoch.
        now_ms: u64,
        /// Told when it is calm.
        reply: Sender<()>,
    },
}

/// Where requests wait.
pub struct Requests {
    waiting: Mutex<Vec<Request>>,
    wake: Arc<Wake>,
}

impl Requests {
    /// None yet.
    pub fn new(wake: Arc<Wake>) -> Requests {
        Requests { waiting: Mutex::default(), wake }
    }

    /// Has it done.
    pub fn give(&self, request: Request) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.wake.wake();
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the daemon is made of.
pub struct Parts {
    /// Its book.
    pub book: WatchBook,
    /// Its clock.
    pub clock: Arc<dyn WatchClock>,
    /// What the policies say now.
    pub setup: Setup,
    /// Who reads them anew.
    pub policies: Box<dyn Policies>,
    /// Who takes stories back.
    pub operator: Arc<dyn Operator>,
    /// Where samples wait.
    pub intake: Arc<Intake>,
    /// Who gives them.
    pub sources: Arc<Sources>,
    /// Where requests wait.
    pub requests: Arc<Requests>,
    /// What wakes it.
    pub wake: Arc<Wake>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Called once it watches, and at each turn of the loop.
    pub alive: Box<dyn FnMut(Alive)>,
    /// Called with the new policies, when they were taken over.
    pub reloaded: Box<dyn FnMut(&Setup)>,
    /// What it is called, for the book.
    pub version: String,
}

/// What a service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alive {
    /// It watches.
    Ready,
    /// It goes on.
    Turning,
    /// It reads its policies anew.
    Reloading,
    /// It ends.
    Stopping,
}

/// A plan that a decision waits for.
enum Planning {
    Asked,
    Known(Result<Planned, String>),
}

/// See the module.
pub struct Daemon {
    parts: Parts,
    hands: Hands,
    evaluator: Evaluator,
    /// By incident: what judges whether its triggers stay clear after its run.
    judges: BTreeMap<IncidentId, Evaluator>,
    /// What the series did lately.
    trails: Trails,
    plans: BTreeMap<IncidentId, Planning>,
    /// Runs that the hands have.
    given: HashSet<RunId>,
    /// When samples that wait will be decided upon.
    soon: BTreeSet<u64>,
    calm: Vec<Sender<()>>,
    upkeep: upkeep::Upkeep,
    snapshot: samples::SnapshotState,
    /// Incidents about which a fact was refused, and what nobody is told of twice: defects, until the next start.
    broken: BTreeSet<IncidentId>,
    defects: BTreeSet<String>,
    /// Files of the inbox that cannot be removed.
    unremovable: BTreeSet<String>,
    is_busy: bool,
    /// Something was written down in this step: more may follow from it at once.
    is_moving: bool,
    is_stopping: bool,
}

impl Daemon {
    /// Takes up where the last one was.
    ///
    /// # Errors
    /// The system has no threads for it.
    pub fn new(parts: Parts) -> std::io::Result<Daemon> {
        let hands = Hands::new(&parts.operator, &parts.wake)?;
        let now_ms = parts.clock.now_ms();
        let (evaluator, judges) = samples::take_up(&parts, now_ms);
        Ok(Daemon {
            hands,
            evaluator,
            judges,
            trails: series::trails(&parts.setup.rules),
            plans: BTreeMap::new(),
            given: HashSet::new(),
            soon: BTreeSet::new(),
            calm: Vec::new(),
            upkeep: upkeep::Upkeep::default(),
            snapshot: samples::SnapshotState::default(),
            broken: BTreeSet::new(),
            defects: BTreeSet::new(),
            unremovable: BTreeSet::new(),
            is_busy: false,
            is_moving: false,
            is_stopping: false,
            parts,
        })
    }

    /// Watches until it is told to stop.
    ///
    /// # Errors
    /// The book cannot be written any more.
    pub fn watch(mut self) -> Result<(), BookError> {
        self.begin()?;
        (self.parts.alive)(Alive::Ready);
        loop {
            (self.parts.alive)(Alive::Turning);
            self.step()?;
            if self.is_stopping && !self.hands.is_at_work() {
                break;
            }
            if self.is_moving {
                continue;
            }
            let now_ms = self.now_ms();
            let wait =
                self.soon.first().map_or(TICK, |due| TICK.min(Duration::from_millis(due.saturating_sub(now_ms))));
            self.parts.wake.wait(wait.max(Duration::from_millis(1)));
        }
        (self.parts.alive)(Alive::Stopping);
        self.end()
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.now_ms()
    }

    fn begin(&mut self) -> Result<(), BookError> {
        self.end_inhibitions();
        self.say(vec![Fact::WatchBegan { version: self.parts.version.clone() }], Vec::new())?;
        // One of its own it goes on with by its order.
        if self.parts.book.read(|book| book.running().is_none()) {
            self.hands.give(Job::Finish);
            self.upkeep.is_finishing = true;
        }
        self.check_readiness();
        Ok(())
    }

    fn end(mut self) -> Result<(), BookError> {
        self.keep_snapshot();
        self.say(vec![Fact::WatchEnded], Vec::new())?;
        self.parts.book.sign()
    }

    /// Everything that is to be done now.
    ///
    /// # Errors
    /// The book cannot be written any more.
    fn step(&mut self) -> Result<(), BookError> {
        self.is_moving = false;
        for request in self.parts.requests.take() {
            self.take_request(request)?;
        }
        self.watch_clock()?;
        self.take_samples()?;
        self.rearm_what_is_back();
        self.take_submissions()?;
        for done in self.hands.done() {
            self.take_done(done)?;
        }
        self.keep_up()?;
        self.go_on()?;
        self.keep_snapshot_in_time();
        if !self.hands.is_at_work() && !self.is_moving {
            for reply in self.calm.drain(..) {
                // Whoever asked may be gone.
                let _ = reply.send(());
            }
        }
        Ok(())
    }

    fn take_request(&mut self, request: Request) -> Result<(), BookError> {
        match request {
            Request::Reload => self.reload(),
            Request::Stop => {
                self.is_stopping = true;
                Ok(())
            }
            Request::Link { link, answer, reply } => {
                let said = self.take_link(&link, answer)?;
                // Whoever asked may be gone.
                let _ = reply.send(said);
                Ok(())
            }
            Request::Clock { now_ms, reply } => {
                self.parts.clock.set(now_ms);
                // Couriers wait by the same clock.
                self.parts.book.wake();
                self.look_at_exposures();
                self.calm.push(reply);
                Ok(())
            }
        }
    }

    fn take_done(&mut self, done: Done) -> Result<(), BookError> {
        match done {
            Done::Plan(incident, _, planned) => {
                // Whoever waited for it may have been told no meanwhile.
                if let Some(plan) = self.plans.get_mut(&incident) {
                    *plan = Planning::Known(planned);
                }
                Ok(())
            }
            Done::Run(incident, order, ended) => self.take_run(&incident, &order, ended),
            Done::Ready(story, planned) => self.take_ready(story, planned),
            Done::Finish(finished) => self.take_finished(finished),
            Done::Undo(run, ended) => self.take_undone(&run, ended),
            Done::Exposed(exposed) => self.take_exposed(exposed),
        }
    }

    /// Every open incident goes on as far as it can now.
    fn go_on(&mut self) -> Result<(), BookError> {
        let open: Vec<IncidentId> =
            self.parts.book.read(|book| book.incidents().filter(|i| i.is_open()).map(|i| i.id.clone()).collect());
        for id in open {
            for _ in 0..STAGES_MAX {
                if self.broken.contains(&id) || !self.go_on_with(&id)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes facts and the notices that they cause, in one record.
    ///
    /// A fact that cannot follow is a defect of unship's: nothing of the record is written. The incident that it is about is
    /// left as it is until the next start, and a person is called, once; everything else goes on.
    fn say(&mut self, facts: Vec<Fact>, notices: Vec<Notify>) -> Result<(), BookError> {
        let facts = self.with_series(facts);
        let about = facts.iter().find_map(Fact::incident).cloned();
        let Err(illegal) = self.write(facts, notices)? else { return Ok(()) };
        tracing::error!(%illegal, "a fact was refused");
        let what = format!("a defect of unship's: {illegal}");
        if !self.defects.insert(what.clone()) {
            return Ok(());
        }
        let about = about.filter(|id| self.incident(id, |_| ()).is_some());
        self.broken.extend(about.clone());
        let notice = Notify { incident: about, ..Notify::alone(NoticeEvent::Paged, what).in_thread("defect") };
        if let Err(illegal) = self.write(Vec::new(), vec![notice])? {
            tracing::error!(%illegal, "nobody could be told of that");
        }
        Ok(())
    }

    fn write(
        &mut self,
        facts: Vec<Fact>,
        notices: Vec<Notify>,
    ) -> Result<Result<(), unship_rollback::incident::IllegalFact>, BookError> {
        let now_ms = self.now_ms();
        for fact in &facts {
            let incident = fact.incident().map(tracing::field::display);
            match fact {
                // As long as the picture that is made of it.
                Fact::SeriesSeen { trigger, .. } => tracing::debug!(fact = fact.kind(), incident, trigger),
                fact => tracing::info!(fact = fact.kind(), incident, "{fact:?}"),
            }
        }
        let announcer = &*self.parts.setup.announcer;
        let written = self.parts.book.append_made(now_ms, |book| {
            if notices.is_empty() {
                return facts;
            }
            let mut next = book.clone();
            let entry = unship_rollback::incident::Entry { at_ms: now_ms, facts };
            // What cannot follow is told when it is written.
            let _ = next.replay(&entry);
            let mut facts = entry.facts;
            facts.extend(queued(&next, announcer, notices));
            facts
        });
        match written {
            Err(BookError::Illegal(illegal)) => Ok(Err(illegal)),
            written => {
                self.is_moving = true;
                written.map(Ok)
            }
        }
    }

    fn incident<T>(&self, id: &IncidentId, look: impl FnOnce(&unship_rollback::incident::Incident) -> T) -> Option<T> {
        self.parts.book.read(|book| book.incident(id).map(look))
    }
}

/// `letter`, UTC date and time, 8 random hexadecimal digits.
fn fresh_id(letter: char, now_ms: u64) -> String {
    let random = getrandom::u32().unwrap_or(0);
    let time = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y%m%dt%H%M%Sz");
    format!("{letter}{time}-{random:08x}")
}
