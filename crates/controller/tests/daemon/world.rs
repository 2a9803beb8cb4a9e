//! A daemon in a thread of its own, with a clock that is driven, an operator that does as it is told, and a real book.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::channel, mpsc::sync_channel},
    thread::{self, JoinHandle},
};
use tempfile::TempDir;
use unship_controller::{
    book::WatchBook,
    clock::{DrivenClock, SourceClock, WatchClock as _},
    daemon::{Daemon, Parts, Request, Requests, source_state},
    intake::Intake,
    metrics::Metrics,
    notify::Notices,
    ports::{About, Announcer, Exposed, Operator, Order, Planned, Policies, RunSummary, Setup},
    sources::{Sink as _, Sources},
    wake::Wake,
};
use unship_policy::{
    Digest, RootFile, SecretKey, Signer as _, SitePolicy, Statement, StoryId, TrustRoot, parse_story_triggers,
    sign_root,
};
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{Book, Fact, Incident, NoticeStanding, Stage, Submission, SubmissionId, Wish},
    signal::{Millis, Sample, Series},
    trigger::compile,
};
use unship_store::SiteStore;

/// 2027-01-15T08:00:00Z.
pub const BEGIN: u64 = 1_800_000_000_000;
pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
/// A sample is decided upon this much later.
pub const DECIDED: u64 = 10 * SECOND + 2;

pub const STORIES: [&str; 4] = ["1.2", "1.3", "1.4", "1.8"];

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The people who may approve, by the seeds of their keys; Mallory's was revoked, Nobody's is in no root.
pub const PEOPLE: [(&str, u8); 4] = [("ada", 1), ("bo", 2), ("mallory", 3), ("nobody", 9)];

fn trust() -> TrustRoot {
    let mut text = "version = 1\nissued = 2027-01-01T00:00:00Z\nexpires = 2028-01-01T00:00:00Z\n".to_owned();
    for (name, seed) in [("root", 250)].iter().chain(&PEOPLE[..3]) {
        let owner = if *name == "root" { String::new() } else { format!("owner = \"{name}\"\n") };
        text.push_str(&format!("[keys.{name}]\npublic = \"{}\"\n{owner}", key(*seed).public()));
    }
    text.push_str("[roles.root]\nkeys = [\"root\"]\nthreshold = 1\n");
    text.push_str("[roles.approver]\nkeys = [\"ada\", \"bo\", \"mallory\"]\nthreshold = 1\n");
    text.push_str(&format!("[[revoked.key]]\npublic = \"{}\"\nreason = \"it was lost\"\n", key(3).public()));
    let mut file = RootFile { version: 1, text, signatures: Vec::new() };
    file.signatures = sign_root(&file, &key(250)).expect("signed");
    TrustRoot::begin(&[file], BEGIN).unwrap_or_else(|e| panic!("{e:?}"))
}

/// What the operator says, and what it was asked.
#[derive(Default)]
pub struct Script {
    /// By story; the digest is that of the story's name and the number.
    pub plans: BTreeMap<String, Result<Planned, String>>,
    /// How runs end, in order; then all succeed and recover.
    pub runs: VecDeque<Result<RunSummary, String>>,
    pub undos: VecDeque<Result<RunSummary, String>>,
    pub cut_off: Option<(RunId, RunSummary)>,
    pub exposed: Vec<Exposed>,
    pub is_busy: bool,
    /// By story, what has to be taken back first.
    pub needs: BTreeMap<String, Vec<String>>,
    /// Stories that were run, in order.
    pub ran: Vec<String>,
    pub undone: Vec<RunId>,
    pub planned: Vec<String>,
}

pub struct Scripted(pub Mutex<Script>);

impl Scripted {
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn summary(outcome: Outcome, verdict: Option<Verdict>) -> RunSummary {
    RunSummary { outcome, verdict, reason: (outcome != Outcome::Succeeded).then(|| "a step failed".to_owned()) }
}

pub fn planned(story: &str) -> Planned {
    Planned {
        digest: Digest::of(story.as_bytes()),
        already: false,
        weakens: Vec::new(),
        manual_only: false,
        unmet: Vec::new(),
        effects: vec![format!("write {story}")],
    }
}

impl Operator for Scripted {
    fn plan(&self, story: &str) -> Result<Planned, String> {
        let mut script = self.script();
        script.planned.push(story.to_owned());
        let mut plan = script.plans.get(story).cloned().unwrap_or_else(|| Ok(planned(story)));
        if let (Ok(plan), Some(needs)) = (&mut plan, script.needs.get(story)) {
            plan.unmet = needs.iter().filter(|first| !script.ran.contains(first)).cloned().collect();
        }
        plan
    }

    fn run(&self, order: &Order) -> Result<RunSummary, String> {
        let mut script = self.script();
        script.ran.push(order.story.clone());
        script.runs.pop_front().unwrap_or_else(|| Ok(summary(Outcome::Succeeded, Some(Verdict::Recovered))))
    }

    fn finish_cut_off(&self) -> Result<Option<(RunId, RunSummary)>, String> {
        Ok(self.script().cut_off.take())
    }

    fn undo(&self, run: &RunId) -> Result<RunSummary, String> {
        let mut script = self.script();
        script.undone.push(run.clone());
        let ended = script.undos.pop_front().unwrap_or_else(|| Ok(summary(Outcome::Undone, None)));
        if matches!(&ended, Ok(ended) if ended.outcome == Outcome::Undone) {
            script.exposed.retain(|exposed| exposed.run != *run);
        }
        ended
    }

    fn is_busy(&self) -> bool {
        self.script().is_busy
    }

    fn exposed(&self) -> Result<Vec<Exposed>, String> {
        Ok(self.script().exposed.clone())
    }
}

/// Everything is told, on one channel.
struct Told;

impl Announcer for Told {
    fn channels(&self, _: &Book, about: &About<'_>) -> Vec<(String, String)> {
        let key = about.thread.map(str::to_owned).or_else(|| about.run.map(ToString::to_string));
        vec![("all".to_owned(), key.unwrap_or_else(|| "?".to_owned()))]
    }
}

/// What the policies say: the tables of the site, and triggers of stories and of the site itself.
#[derive(Clone)]
pub struct Texts {
    pub site: String,
    /// By story; `site`: the general ones.
    pub triggers: Vec<(&'static str, String)>,
}

fn setup(texts: &Texts) -> Result<(Setup, SitePolicy), String> {
    let mut site = format!("[site]\nname = \"practice\"\nbundles = \"bundles\"\n{}", texts.site);
    for metric in ["a", "b", "c"] {
        site.push_str(&format!("\n[feeds.{metric}]\nkind = \"push\"\nmetric = \"{metric}\"\n"));
    }
    for (owner, text) in &texts.triggers {
        if *owner == "site" {
            site.push_str(text);
        }
    }
    let policy = SitePolicy::parse(&site).map_err(|e| format!("{e}: {site}"))?;
    let mut rules = compile(&policy, None, &policy.triggers, &site).map_err(|e| e.to_string())?;
    for (owner, text) in texts.triggers.iter().filter(|(owner, _)| *owner != "site") {
        let id = StoryId::new(owner).map_err(|e| e.to_string())?;
        let triggers = parse_story_triggers(text).map_err(|e| e.to_string())?;
        rules.extend(compile(&policy, Some(&id), &triggers, text).map_err(|e| e.to_string())?);
    }
    let notices = Notices::new(&policy.notices, None, |_| Err("none".to_owned())).map_err(|e| e.to_string())?;
    let setup = Setup {
        site: "practice".to_owned(),
        digest: Digest::of(site.as_bytes()),
        decision: policy.decision.clone(),
        watch: policy.watch.clone(),
        rules,
        stories: STORIES.map(str::to_owned).into(),
        last_shipped: None,
        announcer: Arc::new(Told),
        notices: Arc::new(notices),
    };
    Ok((setup, policy))
}

struct Reader(Arc<Mutex<Texts>>);

impl Policies for Reader {
    fn read(&self) -> Result<Setup, String> {
        setup(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).map(|(setup, _)| setup)
    }

    fn trust(&self) -> Result<TrustRoot, String> {
        Ok(trust())
    }
}

/// A trigger's table: fires at once when `metric` is above 5.
pub fn trigger(metric: &str, severity: &str, auto: bool) -> String {
    format!(
        "\n[[trigger]]\nname = \"{metric}-high\"\nwhen = \"{metric} > 5\"\nseverity = \"{severity}\"\nauto = {auto}\nfeed = [\"{metric}\"]\nstale-after = \"3h\"\ncooldown = \"1s\"\nbudget = 10\n"
    )
}

pub struct World {
    dir: TempDir,
    pub operator: Arc<Scripted>,
    pub texts: Arc<Mutex<Texts>>,
    pub clock: Arc<DrivenClock>,
    pub book: WatchBook,
    requests: Arc<Requests>,
    intake: Arc<Intake>,
    daemon: Option<JoinHandle<()>>,
    submissions: u32,
}

impl World {
    /// `site`: tables of `policies/site.toml`; `triggers`: by story, or `site`.
    pub fn new(site: &str, triggers: &[(&'static str, String)]) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        SiteStore::create(dir.path()).expect("a store");
        let texts = Texts { site: site.to_owned(), triggers: triggers.to_vec() };
        let operator = Arc::new(Scripted(Mutex::default()));
        World::begin(dir, operator, Arc::new(Mutex::new(texts)), BEGIN, 0)
    }

    fn begin(dir: TempDir, operator: Arc<Scripted>, texts: Arc<Mutex<Texts>>, now_ms: u64, submissions: u32) -> World {
        let store = SiteStore::open(dir.path()).expect("a store").watch().expect("the daemon's part");
        let book = WatchBook::open(Arc::new(store), Box::new(|_, _| {})).expect("a book");
        let clock = Arc::new(DrivenClock::new(now_ms));
        let wake = Arc::new(Wake::default());
        let (requests, intake) = (Arc::new(Requests::new(wake.clone())), Arc::new(Intake::new(wake.clone())));
        let (setup, policy) = setup(&texts.lock().unwrap_or_else(PoisonError::into_inner)).expect("good policies");
        let source_clock = Arc::new(SourceClock::new(clock.clone()));
        let state = source_state(book.store());
        let sources = Sources::idle(&policy, dir.path(), state, intake.clone(), source_clock);
        let (there, operator_there, requests_there, intake_there) =
            (book.clone(), operator.clone(), requests.clone(), intake.clone());
        let (clock_there, reader) = (clock.clone(), Reader(texts.clone()));
        let (sender, begun) = channel();
        // Some of its parts do not change threads, so it is put together in its own.
        let daemon = thread::spawn(move || {
            let parts = Parts {
                book: there,
                clock: clock_there,
                setup,
                policies: Box::new(reader),
                operator: operator_there,
                intake: intake_there,
                sources,
                requests: requests_there,
                wake,
                metrics: Arc::new(Metrics::default()),
                alive: Box::new(|_| {}),
                reloaded: Box::new(|_| {}),
                version: "test".to_owned(),
            };
            let daemon = Daemon::new(parts).expect("threads");
            sender.send(()).expect("the test waits");
            daemon.watch().expect("the book can be written");
        });
        begun.recv().expect("it begins");
        let world = World { dir, operator, texts, clock, book, requests, intake, daemon: Some(daemon), submissions };
        world.calm();
        world
    }

    /// It ends, as it is asked to, and another one begins `later` by the clock.
    pub fn again(mut self, later: u64) -> World {
        self.stop();
        self.begins_anew(later)
    }

    /// The same, and something is handed in while there is none.
    pub fn again_with(mut self, later: u64, by: &str, wish: Wish) -> World {
        self.stop();
        self.leave(by, wish);
        self.begins_anew(later)
    }

    fn begins_anew(mut self, later: u64) -> World {
        let now_ms = self.now() + later;
        let (operator, texts, submissions) = (self.operator.clone(), self.texts.clone(), self.submissions);
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a folder"));
        drop(self);
        World::begin(dir, operator, texts, now_ms, submissions)
    }

    fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.requests.give(Request::Stop);
            daemon.join().expect("it ends well");
        }
    }

    pub fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// It is so much later, and all that follows has been done.
    pub fn later(&self, ms: u64) {
        self.at(self.now() + ms);
    }

    pub fn at(&self, now_ms: u64) {
        let (reply, calm) = channel();
        self.requests.give(Request::Clock { now_ms, reply });
        calm.recv().expect("the daemon lives");
    }

    pub fn calm(&self) {
        // Twice: what was handed in between the two is taken in as well.
        self.at(self.now());
        self.at(self.now());
    }

    /// A sample, now; decided upon when it is time.
    pub fn sample(&self, metric: &str, value: f64, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let at = Millis(i64::try_from(self.now()).expect("a time"));
        let series = Series::new(metric, labels).expect("a series");
        self.intake.sample(series, Sample { at, value }).expect("room");
        self.later(DECIDED);
    }

    /// The one incident, whatever became of it.
    #[track_caller]
    pub fn incident(&self) -> Incident {
        let all = self.incidents();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.into_iter().next().expect("one")
    }

    pub fn incidents(&self) -> Vec<Incident> {
        self.book.read(|book| book.incidents().cloned().collect())
    }

    #[track_caller]
    pub fn stage(&self) -> Stage {
        self.incident().stage
    }

    pub fn ran(&self) -> Vec<String> {
        self.operator.script().ran.clone()
    }

    /// The events that somebody was told of, in order.
    pub fn told(&self) -> Vec<String> {
        self.book.read(|book| book.notices().map(|notice| notice.event.to_string()).collect())
    }

    pub fn told_last(&self) -> String {
        let last = |book: &Book| book.notices().next_back().map(|n| format!("{}: {}", n.event, n.detail));
        self.book.read(last).unwrap_or_default()
    }

    /// All facts of the journal.
    pub fn facts(&self) -> Vec<Fact> {
        let records = self.book.store().records().expect("readable");
        let entries = records.map(|record| serde_json::from_slice(&record.expect("a record").json).expect("an entry"));
        entries.flat_map(|entry: unship_rollback::incident::Entry| entry.facts).collect()
    }

    /// Why approvals did not count.
    pub fn refusals(&self) -> Vec<String> {
        let reason = |fact| match fact {
            Fact::ApprovalRefused { reason, .. } | Fact::SubmissionRefused { reason, .. } => Some(reason),
            _ => None,
        };
        self.facts().into_iter().filter_map(reason).collect()
    }

    /// Hands a wish in, as a verb does, and waits until it was taken in.
    pub fn hand_in(&mut self, by: &str, wish: Wish) {
        self.leave(by, wish);
        self.calm();
    }

    /// Hands it in, and goes.
    pub fn leave(&mut self, by: &str, wish: Wish) {
        self.submissions += 1;
        let id = SubmissionId::new(&format!("s20270115t080000z-{:08x}", self.submissions)).expect("an id");
        let submission = Submission { unship_submission: 1, id: id.clone(), by: by.to_owned(), wish };
        let text = serde_json::to_vec(&submission).expect("written");
        self.leave_file(&format!("{id}.json"), &text);
    }

    pub fn leave_file(&self, name: &str, content: &[u8]) {
        self.book.store().submit(name, content).expect("handed in");
    }

    pub fn inbox(&self) -> std::path::PathBuf {
        self.book.store().path().join("inbox")
    }

    /// An approval of `story`'s plan by one of the people, as `unship approve` signs it.
    pub fn approval(&self, by: &str, story: &str, change: impl FnOnce(&mut Statement)) -> String {
        let mut statement = Statement {
            site: "practice".to_owned(),
            story: story.to_owned(),
            variant: None,
            break_glass: false,
            plan: Digest::of(story.as_bytes()),
            reason: "it is down".to_owned(),
            approved_ms: self.now(),
            expires_ms: self.now() + HOUR,
        };
        change(&mut statement);
        let seed = PEOPLE.iter().find(|(name, _)| *name == by).expect("a person").1;
        statement.sign(&key(seed)).expect("signed")
    }

    pub fn approve(&mut self, by: &str, story: &str) {
        let (incident, approval) = (self.incidents()[0].id.clone(), self.approval(by, story, |_| {}));
        self.hand_in(by, Wish::Approve { incident, approval });
    }

    /// Uses a one-time link.
    pub fn link(&self, link: Digest, answer: Result<(), String>) -> Result<String, String> {
        let (reply, said) = sync_channel(1);
        self.requests.give(Request::Link { link, answer, reply });
        let said = said.recv().expect("the daemon lives");
        self.calm();
        said
    }

    pub fn reload(&self) {
        self.requests.give(Request::Reload);
        self.calm();
    }

    pub fn waiting_notices(&self) -> usize {
        self.book.read(|book| book.notices().filter(|n| n.standing == NoticeStanding::Queued).count())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.stop();
        }
    }
}
