//! Signals in: everything that makes samples and alerts of what it sees or is told.
//!
//! Feeds of `policies/site.toml` become *looks* ([`plan`]), which a scheduler makes at their moments on threads of their own
//! ([`schedule`], [`pool`]); what others tell comes in by [`push`] and [`alerts`], over HTTP ([`routes`]) or as lines of a
//! stream. All of it passes one door ([`Sources`]): there a source's budget is judged, its state is committed together with
//! its samples, and it is said that it is in trouble, once. A source that hangs, floods or lies harms only itself.

mod alerts;
mod budget;
mod clock;
mod credential;
mod door;
mod look;
mod once;
mod plan;
mod pool;
mod push;
mod routes;
mod schedule;
mod sink;
mod state;

pub use alerts::AlertReport;
pub use budget::{AHEAD_MAX_MS, BEHIND_MAX_MS, Refusal, SAMPLES_AT_ONCE, SAMPLES_PER_SECOND, SERIES_MAX};
pub use clock::Clock;
pub use credential::Credential;
pub use door::SourceCounts;
pub use once::{FeedLook, is_told, look_once};
pub use push::{Batch, LineError, Report};
pub use routes::{Access, router};
pub use schedule::Schedule;
pub use sink::{Alert, Full, Sink};
pub use state::SourceState;

use door::Door;
use look::{Around, Look, Looked};
use plan::Told;
use pool::Pool;
use state::Kept;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use unship_policy::SitePolicy;

/// All sources of a site.
pub struct Sources {
    site: PathBuf,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// The scheduler waits for this: something about its moments is new.
    woken: Condvar,
    pool: Pool,
}

struct Inner {
    door: Door,
    state: SourceState,
    slots: Vec<Arc<Slot>>,
    schedule: Schedule,
    told: Told,
    /// Looks of an older policy, or of one that was stopped, are dropped.
    generation: u64,
    is_stopped: bool,
}

/// One look that is made again and again.
struct Slot {
    name: String,
    metrics: Vec<String>,
    key: Option<String>,
    generation: u64,
    look: Mutex<Box<dyn Look>>,
    is_under_way: AtomicBool,
}

impl Sources {
    /// Begins to look. `state` is what [`Sources::stop`] or [`Sources::snapshot_with`] gave; at first it is the default.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        policy: &SitePolicy,
        site: &Path,
        state: SourceState,
        sink: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Arc<Sources>> {
        let sources = Sources::idle(policy, site, state, sink, clock);
        let scheduler = Arc::downgrade(&sources);
        thread::Builder::new().name("unship-sources".to_owned()).spawn(move || {
            // It ends with the last who holds them.
            while scheduler.upgrade().is_some_and(|sources| sources.wait_and_look()) {}
        })?;
        Ok(sources)
    }

    /// The same without a scheduler: nobody looks until [`Sources::look_due`] is called.
    pub fn idle(
        policy: &SitePolicy,
        site: &Path,
        state: SourceState,
        sink: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Sources> {
        let inner = Inner {
            door: Door::new(sink),
            state,
            slots: Vec::new(),
            schedule: Schedule::new(&[], clock.steady(), spread),
            told: Told::default(),
            generation: 0,
            is_stopped: false,
        };
        let sources = Sources {
            site: site.to_owned(),
            clock,
            inner: Mutex::new(inner),
            woken: Condvar::new(),
            pool: Pool::default(),
        };
        sources.reload(policy);
        Arc::new(sources)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A sink that panicked has lost a sample, not the state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another policy: looks that are under way are dropped, what is known of the same things is kept.
    pub fn reload(&self, policy: &SitePolicy) {
        let (planned, told) = plan::plan(policy);
        let rhythms: Vec<Duration> = planned.iter().map(|planned| planned.every).collect();
        let mut inner = self.lock();
        inner.generation += 1;
        let generation = inner.generation;
        inner.slots = planned
            .into_iter()
            .map(|planned| {
                Arc::new(Slot {
                    name: planned.name,
                    metrics: planned.metrics,
                    key: planned.key,
                    generation,
                    look: Mutex::new(planned.look),
                    is_under_way: AtomicBool::new(false),
                })
            })
            .collect();
        inner.schedule = Schedule::new(&rhythms, self.clock.steady(), spread);
        let keys: Vec<String> = inner.slots.iter().filter_map(|slot| slot.key.clone()).collect();
        inner.state.looks.retain(|key, _| keys.contains(key));
        let looking = inner.slots.iter().map(|slot| slot.name.clone());
        let pushed = told.pushed.values().cloned();
        let alerts = told.alerts.iter().map(|alert| alert.feed.clone());
        let names: Vec<String> = looking.chain(pushed).chain(alerts).collect();
        let steady = self.clock.steady();
        inner.door.keep(names, steady);
        inner.told = told;
        drop(inner);
        self.woken.notify_all();
    }

    /// What the sources know, at a moment at which none of them gives anything: whatever they gave before is in the sink, and
    /// nothing that comes later is. The sink must be emptied in `take`, not waited for.
    pub fn snapshot_with<R>(&self, take: impl FnOnce(&SourceState) -> R) -> R {
        take(&self.lock().state)
    }

    /// Ends all looks at once; what is under way is dropped. Nothing comes to the sink after this.
    pub fn stop(&self) -> SourceState {
        let mut inner = self.lock();
        inner.is_stopped = true;
        let state = inner.state.clone();
        drop(inner);
        self.woken.notify_all();
        state
    }

    /// What each source did, by name.
    pub fn counts(&self) -> Vec<SourceCounts> {
        self.lock().door.counts()
    }

    /// Makes the looks whose moment has come, one after the other, here; says how many.
    pub fn look_due(&self) -> usize {
        let due = self.take_due(&mut self.lock());
        due.iter().for_each(|slot| self.look(slot));
        due.len()
    }

    /// When the next look is due, on the steady clock.
    pub fn next_due(&self) -> Option<Duration> {
        self.lock().schedule.next()
    }

    /// Waits for the next moment and has the looks made; `false` when it is all over.
    fn wait_and_look(self: &Arc<Sources>) -> bool {
        /// Whoever holds the last reference is seen within this time.
        const WAIT_MAX: Duration = Duration::from_secs(1);
        let mut inner = self.lock();
        if inner.is_stopped {
            return false;
        }
        for slot in self.take_due(&mut inner) {
            let sources = self.clone();
            self.pool.submit(Box::new(move || sources.look(&slot)));
        }
        let now = self.clock.steady();
        let wait = inner.schedule.next().map_or(WAIT_MAX, |next| next.saturating_sub(now).min(WAIT_MAX));
        drop(self.woken.wait_timeout(inner, wait));
        true
    }

    /// The looks that are due and can begin.
    fn take_due(&self, inner: &mut Inner) -> Vec<Arc<Slot>> {
        if inner.is_stopped {
            return Vec::new();
        }
        let due = inner.schedule.due(self.clock.steady());
        let due: Vec<Arc<Slot>> = due.into_iter().map(|place| inner.slots[place].clone()).collect();
        let (free, busy): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|slot| !slot.is_under_way.swap(true, Ordering::AcqRel));
        for slot in busy {
            inner.door.overrun(&slot.name);
        }
        free
    }

    /// Makes one look and commits what it showed.
    fn look(&self, slot: &Slot) {
        let kept = {
            let inner = self.lock();
            slot.key.as_ref().and_then(|key| inner.state.looks.get(key).cloned())
        };
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let mut look = slot.look.lock().unwrap_or_else(PoisonError::into_inner);
            look.look(Around { site: &self.site, clock: &*self.clock }, kept.as_ref())
        }));
        let looked = looked.unwrap_or_else(|_| Looked::nothing("the look failed by a defect of unship's"));
        let mut inner = self.lock();
        if !inner.is_stopped && inner.generation == slot.generation {
            inner.commit(slot, looked, &*self.clock);
        }
        drop(inner);
        slot.is_under_way.store(false, Ordering::Release);
    }
}

impl Inner {
    fn commit(&mut self, slot: &Slot, looked: Looked, clock: &dyn Clock) {
        let samples =
            looked.samples.into_iter().map(|seen| (slot.metrics[seen.feed].as_str(), seen.labels, seen.sample));
        let is_whole = self.door.looked(&slot.name, samples, looked.trouble, clock);
        // What the sink had no room for comes again with the next look.
        if let (true, Some(key), Some(kept)) = (is_whole, &slot.key, looked.kept) {
            self.state.looks.insert(key.clone(), kept);
        }
    }
}

/// A number from 0 to 1.
fn spread() -> f64 {
    let random = getrandom::u32().unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}
