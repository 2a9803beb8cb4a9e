//! A daemon on a thread, and everything around it that a test sets and looks at.

use crate::trust::{NOW, key, root_text, trusted};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;
use unship_controller::{
    book::{BookError, WatchBook},
    clock::{DrivenClock, SourceClock},
    daemon::{Daemon, Parts, Request, Requests},
    intake::Intake,
    metrics::Metrics,
    notify::Notices,
    ports::{About, Announcer, Exposed, Operator, Order, Planned, Policies, RunSummary, Setup},
    sources::{Sink as _, SourceState, Sources},
    wake::Wake,
};
use unship_policy::{
    DecisionPolicy, Digest, NoticeEvent, PostMortemPolicy, SitePolicy, Statement, StoryId, TrustRoot, WatchPolicy,
    parse_story_triggers,
};
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{Book, Fact, Incident, IncidentId, Submission, SubmissionId, Wish},
    signal::{Millis, Sample, Series},
    trigger::{TriggerRule, compile},
};
use unship_store::{SiteStore, WatchStore};

pub const BEGIN: u64 = NOW;
pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
/// An answer that has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose trigger, its name (which is its metric's too), its severity, whether it acts by itself, and more lines of its table.
/// All say `NAME > 1`.
pub const TRIGGERS: &[(&str, &str, &str, bool, &str)] = &[
    ("1.3", "act", "medium", true, ""),
    ("1.3", "act-high", "high", true, ""),
    ("1.3", "act-critical", "critical", true, ""),
    ("1.3", "page", "critical", false, ""),
    ("1.3", "ask", "high", false, ""),
    ("1.3", "watch", "medium", false, ""),
    ("1.3", "event", "high", true, "no-data = \"ok\""),
    ("1.3", "quiet", "high", true, "after-rollback = \"silent\""),
    ("1.3", "gone", "high", true, "after-rollback = \"ignored\""),
    ("1.4", "other", "high", true, ""),
    ("1.8", "manual", "high", false, ""),
    ("site", "whose", "high", false, "attribution = \"ask\""),
    ("site", "label", "high", true, "attribution = \"label\""),
    ("site", "last", "high", true, "attribution = \"last-shipped\""),
];

pub fn metric(trigger: &str) -> String {
    trigger.replace('-', "_")
}

pub fn plan(n: u8) -> Digest {
    Digest::of(&[n])
}

pub fn planned(n: u8) -> Planned {
    Planned {
        digest: plan(n),
        already: false,
        weakens: Vec::new(),
        manual_only: false,
        unmet: Vec::new(),
        effects: vec!["write a file".to_owned()],
    }
}

pub fn ended(outcome: Outcome, verdict: Option<Verdict>) -> RunSummary {
    RunSummary { outcome, verdict, reason: None }
}

pub fn recovered() -> RunSummary {
    ended(Outcome::Succeeded, Some(Verdict::Recovered))
}

fn rules(triggers: &[(&str, &str, &str, bool, &str)]) -> Vec<TriggerRule> {
    let mut feeds = String::new();
    for (_, name, ..) in TRIGGERS {
        let _ = write!(feeds, "[feeds.{name}]\nkind = \"push\"\nmetric = \"{}\"\n", metric(name));
    }
    let mut general = String::new();
    let mut of_stories: BTreeMap<&str, String> = BTreeMap::new();
    for (owner, name, severity, auto, more) in triggers {
        let table = format!(
            "[[trigger]]\nname = \"{name}\"\nwhen = \"{} > 1\"\nseverity = \"{severity}\"\nauto = {auto}\nfeed = [\"{name}\"]\n{more}\n",
            metric(name)
        );
        if *owner == "site" { general.push_str(&table) } else { of_stories.entry(owner).or_default().push_str(&table) }
    }
    let text = format!("[site]\nname = \"practice\"\nbundles = \"bundles\"\n{feeds}{general}");
    let site = SitePolicy::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let mut rules = compile(&site, None, &site.triggers, &text).expect("good rules");
    for (story, text) in of_stories {
        let (story, triggers) = (StoryId::new(story).expect("an id"), parse_story_triggers(&text).expect("triggers"));
        rules.extend(compile(&site, Some(&story), &triggers, &text).expect("good rules"));
    }
    rules
}

/// Every notice goes to one channel, by its event's name: the book has them all.
struct Recording;

impl Announcer for Recording {
    fn channels(&self, _: &Book, about: &About<'_>) -> Vec<(String, String)> {
        vec![("all".to_owned(), about.event.to_string())]
    }
}

pub fn setup() -> Setup {
    let site = SitePolicy::parse("[site]\nname = \"practice\"\nbundles = \"bundles\"\n").expect("a policy");
    let notices = Notices::new(&site.notices, None, |_| Err("none".to_owned())).expect("good templates");
    Setup {
        site: "practice".to_owned(),
        digest: Digest::of(b"policies"),
        decision: DecisionPolicy::default(),
        watch: WatchPolicy { lateness: Duration::ZERO, ..WatchPolicy::default() },
        rules: rules(TRIGGERS),
        stories: ["1.3", "1.4", "1.8"].map(str::to_owned).to_vec(),
        post_mortem: PostMortemPolicy { due: Duration::from_secs(3600), ..PostMortemPolicy::default() },
        last_shipped: Some("1.4".to_owned()),
        announcer: Arc::new(Recording),
        notices: Arc::new(notices),
    }
}

pub fn without(trigger: &str) -> Vec<TriggerRule> {
    let left: Vec<_> = TRIGGERS.iter().copied().filter(|t| t.1 != trigger).collect();
    rules(&left)
}

/// Keys 1 and 2 are Ada's and Bob's, 3 is Ada's second, 4 may not approve, 5 was Carol's.
pub fn people(carol_is_revoked: bool) -> TrustRoot {
    let [ada, bob, carol] = ["ada", "bob", "carol"].map(|owner| format!("owner = \"{owner}\""));
    let root = root_text(
        &[("ada", 1, &ada), ("bob", 2, &bob), ("ada-too", 3, &ada), ("build", 4, &carol), ("carol", 5, &carol)],
        &[("approver", &["ada", "bob", "ada-too", "carol"], 1), ("release", &["bob", "build"], 1)],
    );
    let revoked = format!("[[revoked.key]]\npublic = \"{}\"\nreason = \"lost\"\n", key(5).public_text());
    trusted(&if carol_is_revoked { format!("{root}{revoked}") } else { root })
}

trait PublicText {
    fn public_text(&self) -> String;
}

impl PublicText for unship_policy::SecretKey {
    fn public_text(&self) -> String {
        use unship_policy::Signer as _;
        self.public().to_string()
    }
}

/// An approval of the site's story 1.3 by the key of this seed.
pub fn approval(seed: u8, change: impl FnOnce(&mut Statement)) -> String {
    let mut statement = Statement {
        site: "practice".to_owned(),
        story: "1.3".to_owned(),
        variant: None,
        plan: plan(1),
        break_glass: false,
        reason: "it hurts".to_owned(),
        approved_ms: BEGIN,
        expires_ms: BEGIN + 4 * HOUR,
    };
    change(&mut statement);
    statement.sign(&key(seed)).expect("signed")
}

/// What the test says that happens, and what the daemon asked for.
#[derive(Default)]
pub struct State {
    /// By story; 1 without an entry.
    pub plans: BTreeMap<String, Result<Planned, String>>,
    /// What becomes of runs, in turn; all is well after the last of them.
    pub runs: VecDeque<Result<RunSummary, String>>,
    /// What became of them: asked again, it is told again.
    pub known: BTreeMap<RunId, RunSummary>,
    /// Every order, asked again or not.
    pub orders: Vec<Order>,
    pub is_busy: bool,
    pub exposed: Vec<Exposed>,
    /// What becomes of an exposure that is taken back.
    pub undone: VecDeque<Result<RunSummary, String>>,
    pub undos: Vec<RunId>,
    pub finished: Option<(RunId, RunSummary)>,
    /// `finish`, `run` and so on, in the order in which they were asked for.
    pub asked: Vec<&'static str>,
}

#[derive(Default, Clone)]
pub struct Script(Arc<Mutex<State>>);

impl Script {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Operator for Script {
    fn plan(&self, story: &str) -> Result<Planned, String> {
        self.state().plans.get(story).cloned().unwrap_or_else(|| Ok(planned(1)))
    }

    fn run(&self, order: &Order) -> Result<RunSummary, String> {
        let mut state = self.state();
        state.asked.push("run");
        state.orders.push(order.clone());
        if let Some(known) = state.known.get(&order.run) {
            return Ok(known.clone());
        }
        let ended = state.runs.pop_front().unwrap_or_else(|| Ok(recovered()))?;
        state.known.insert(order.run.clone(), ended.clone());
        Ok(ended)
    }

    fn finish_cut_off(&self) -> Result<Option<(RunId, RunSummary)>, String> {
        let mut state = self.state();
        state.asked.push("finish");
        Ok(state.finished.take())
    }

    fn undo(&self, run: &RunId) -> Result<RunSummary, String> {
        let mut state = self.state();
        state.undos.push(run.clone());
        let ended = state.undone.pop_front().unwrap_or_else(|| Ok(ended(Outcome::Undone, None)))?;
        if ended.outcome == Outcome::Undone {
            state.exposed.retain(|e| e.run != *run);
        }
        Ok(ended)
    }

    fn is_busy(&self) -> bool {
        self.state().is_busy
    }

    fn exposed(&self) -> Result<Vec<Exposed>, String> {
        Ok(self.state().exposed.clone())
    }
}

/// What the policy files say now.
#[derive(Clone)]
pub struct Files(Arc<Mutex<(Result<Setup, String>, TrustRoot)>>);

impl Files {
    pub fn set(&self, setup: Result<Setup, String>) {
        self.0.lock().expect("held shortly").0 = setup;
    }

    pub fn trust(&self, trust: TrustRoot) {
        self.0.lock().expect("held shortly").1 = trust;
    }
}

impl Policies for Files {
    fn read(&self) -> Result<Setup, String> {
        self.0.lock().expect("held shortly").0.clone()
    }

    fn trust(&self) -> Result<TrustRoot, String> {
        Ok(self.0.lock().expect("held shortly").1.clone())
    }
}

struct Running {
    thread: JoinHandle<Result<(), BookError>>,
    requests: Arc<Requests>,
    intake: Arc<Intake>,
    book: WatchBook,
}

/// A site with a daemon.
pub struct World {
    pub script: Script,
    pub files: Files,
    pub now_ms: u64,
    dir: TempDir,
    facts: Arc<Mutex<Vec<Fact>>>,
    daemon: Option<Running>,
    submissions: u32,
}

impl World {
    pub fn new() -> World {
        World::with(setup(), State::default())
    }

    pub fn with(setup: Setup, state: State) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        SiteStore::create(dir.path()).expect("a store");
        let mut world = World {
            script: Script(Arc::new(Mutex::new(state))),
            files: Files(Arc::new(Mutex::new((Ok(setup), people(false))))),
            now_ms: BEGIN,
            dir,
            facts: Arc::default(),
            daemon: None,
            submissions: 0,
        };
        world.start(None);
        world
    }

    pub fn store(&self) -> WatchStore {
        SiteStore::open(self.dir.path()).expect("a store").watch().expect("the daemon's part of it")
    }

    pub fn inbox(&self) -> PathBuf {
        self.store().path().join("inbox")
    }

    /// Begins a daemon; it dies right after the first fact of the kind `dies_at`.
    pub fn start(&mut self, dies_at: Option<&'static str>) {
        let facts = self.facts.clone();
        let after = move |_: u64, new: &[Fact]| {
            facts.lock().unwrap_or_else(PoisonError::into_inner).extend(new.iter().cloned());
            // The thread is gone with all that it knew, and what was written stays.
            assert!(
                !new.iter().any(|fact| Some(fact.kind()) == dies_at),
                "the daemon is killed here, as the test asks"
            );
        };
        let book = WatchBook::open(Arc::new(self.store()), Box::new(after)).expect("a book");
        let clock = Arc::new(DrivenClock::new(self.now_ms));
        let wake = Arc::new(Wake::default());
        let (requests, intake) = (Arc::new(Requests::new(wake.clone())), Arc::new(Intake::new(wake.clone())));
        let site = SitePolicy::parse("[site]\nname = \"practice\"\nbundles = \"bundles\"\n").expect("a policy");
        let source_clock = Arc::new(SourceClock::new(clock.clone()));
        let sources = Sources::idle(&site, self.dir.path(), SourceState::default(), intake.clone(), source_clock);
        let setup = self.files.read().expect("good policies at the start");
        let (script, files) = (self.script.clone(), self.files.clone());
        let (there, waiting) = ((book.clone(), intake.clone()), requests.clone());
        let thread = std::thread::spawn(move || {
            let (book, intake) = there;
            let parts = Parts {
                book,
                clock,
                setup,
                policies: Box::new(files),
                operator: Arc::new(script),
                intake,
                sources,
                requests: waiting,
                wake,
                metrics: Arc::new(Metrics::default()),
                alive: Box::new(|_| ()),
                reloaded: Box::new(|_| ()),
                version: "0".to_owned(),
            };
            Daemon::new(parts).expect("threads").watch()
        });
        self.daemon = Some(Running { thread, requests, intake, book });
        if dies_at.is_none() {
            self.settle();
        }
    }

    fn running(&self) -> &Running {
        self.daemon.as_ref().expect("a daemon")
    }

    /// It is so late, and all that follows has been done; `false`: the daemon died of that.
    pub fn try_clock(&mut self, now_ms: u64) -> bool {
        self.now_ms = now_ms;
        let (reply, calm) = channel();
        let running = self.running();
        running.requests.give(Request::Clock { now_ms, reply });
        // The request may wait for a thread that is gone: it is looked whether it is.
        for _ in 0..PATIENCE.as_millis() / 50 {
            match calm.recv_timeout(Duration::from_millis(50)) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if running.thread.is_finished() => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        panic!("it is not calm; the facts: {:?}", self.kinds());
    }

    pub fn clock(&mut self, now_ms: u64) {
        assert!(self.try_clock(now_ms), "the daemon lives");
    }

    pub fn later(&mut self, ms: u64) {
        self.clock(self.now_ms + ms);
    }

    pub fn settle(&mut self) {
        self.clock(self.now_ms);
    }

    /// The sample is there, and the clock goes on by a second, so that it is decided upon.
    pub fn try_sample(&mut self, trigger: &str, value: f64) -> bool {
        self.labelled(trigger, value, &[])
    }

    pub fn labelled(&mut self, trigger: &str, value: f64, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let series = Series::new(metric(trigger), labels).expect("a series");
        let at = Millis(i64::try_from(self.now_ms + SECOND).expect("a time"));
        self.running().intake.sample(series, Sample { at, value }).expect("there is room");
        self.try_clock(self.now_ms + SECOND)
    }

    pub fn sample(&mut self, trigger: &str, value: f64) {
        assert!(self.try_sample(trigger, value), "the daemon lives");
    }

    pub fn fire(&mut self, trigger: &str) {
        self.sample(trigger, 10.0);
    }

    pub fn calm(&mut self, trigger: &str) {
        self.sample(trigger, 0.0);
    }

    /// The stability window passes, and the trigger stays clear.
    pub fn stays_clear(&mut self, trigger: &str) {
        for _ in 0..4 {
            self.later(4 * MINUTE);
            self.calm(trigger);
        }
    }

    /// Puts a wish into the inbox.
    pub fn hand_in(&mut self, wish: Wish) {
        self.submissions += 1;
        let id = SubmissionId::new(&format!("s{}", self.submissions)).expect("an id");
        let submission = Submission { unship_submission: 1, id: id.clone(), by: "dan".to_owned(), wish };
        let text = serde_json::to_vec(&submission).expect("JSON");
        self.store().submit(&format!("{id}.json"), &text).expect("the inbox takes it");
    }

    /// The same; a daemon that lives has taken it in when this returns.
    pub fn wish(&mut self, wish: Wish) {
        self.hand_in(wish);
        if self.daemon.is_some() {
            self.settle();
        }
    }

    pub fn drop_in(&mut self, name: &str, content: &[u8]) {
        self.store().submit(name, content).expect("the inbox takes it");
        self.settle();
    }

    pub fn approve(&mut self, incident: &IncidentId, approval: String) {
        self.wish(Wish::Approve { incident: incident.clone(), approval });
    }

    pub fn reload(&mut self) {
        self.running().requests.give(Request::Reload);
        self.settle();
    }

    pub fn link(&self, link: Digest, answer: Result<(), String>) -> Result<String, String> {
        let (reply, said) = std::sync::mpsc::sync_channel(1);
        self.running().requests.give(Request::Link { link, answer, reply });
        said.recv_timeout(PATIENCE).expect("an answer")
    }

    /// As a service manager ends it.
    pub fn stop(&mut self) {
        let running = self.daemon.take().expect("a daemon");
        running.requests.give(Request::Stop);
        running.thread.join().expect("no panic").expect("a good end");
    }

    /// It was killed; another one begins.
    pub fn after_death(&mut self) {
        let running = self.daemon.take().expect("a daemon");
        running.thread.join().expect_err("it died");
        drop(running.book);
        self.start(None);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start(None);
    }

    pub fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.running().book.read(look)
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Fact::kind).collect()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|k| **k == kind).count()
    }

    /// The facts since this was asked for last.
    pub fn take_facts(&self) -> Vec<Fact> {
        mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn incidents(&self) -> Vec<Incident> {
        self.read(|book| book.incidents().cloned().collect())
    }

    /// The incident about a story, the newest.
    pub fn of(&self, story: &str) -> Incident {
        let mut found = self.incidents().into_iter().filter(|i| i.story.as_deref() == Some(story));
        let found = found.by_ref().max_by_key(|i| i.opened_ms);
        found.unwrap_or_else(|| panic!("no incident about {story}: {:?}", self.kinds()))
    }

    /// Where the incident about a story stands.
    pub fn stage(&self, story: &str) -> String {
        stage(&self.of(story))
    }

    pub fn told(&self) -> Vec<(NoticeEvent, String)> {
        self.read(|book| book.notices().map(|n| (n.event, n.detail.clone())).collect())
    }

    pub fn was_told(&self, event: NoticeEvent, what: &str) -> usize {
        self.told().iter().filter(|(e, detail)| *e == event && detail.contains(what)).count()
    }

    pub fn orders(&self) -> Vec<Order> {
        self.script.state().orders.clone()
    }
}

/// In one word.
pub fn stage(incident: &Incident) -> String {
    let text = format!("{:?}", incident.stage);
    match text.strip_prefix("Closed { how: ") {
        Some(how) => format!("Closed {}", how.trim_end_matches(" }")),
        None => text.split(' ').next().unwrap_or_default().to_owned(),
    }
}
