//! What the daemon is handed: who takes a story back, what the policies say, which channels are told, and the time.

use crate::notify::Notices;
use std::sync::Arc;
use unship_policy::{DecisionPolicy, Digest, PostMortemPolicy, TrustRoot, WatchPolicy};
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{Book, Incident, NoticeEvent},
    trigger::TriggerRule,
};

/// What a plan says of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its digest.
    pub digest: Digest,
    /// The story is taken back already.
    pub already: bool,
    /// The safety properties that it weakens.
    pub weakens: Vec<String>,
    /// Only a person's command applies it.
    pub manual_only: bool,
    /// The stories that must be taken back first and are not, in the order in which that has to happen.
    pub unmet: Vec<String>,
    /// What it would do, a line an effect.
    pub effects: Vec<String>,
}

/// A run to be begun, or gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The run's id, chosen before it begins so that no crash can make two of it.
    pub run: RunId,
    /// The story.
    pub story: String,
    /// The plan that is expected.
    pub digest: Digest,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// How.
    pub outcome: Outcome,
    /// What its verifications said.
    pub verdict: Option<Verdict>,
    /// Why, unless all went well.
    pub reason: Option<String>,
}

/// A run that weakens a safety property and was not taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// The run.
    pub run: RunId,
    /// The story.
    pub story: String,
    /// By when it has to be taken back, in milliseconds since the epoch.
    pub until_ms: u64,
}

/// Takes stories back. Every call blocks, and is made on a thread of its own.
pub trait Operator: Send + Sync {
    /// Plans a story; nothing is changed.
    ///
    /// # Errors
    /// Why there is no plan, in one line.
    fn plan(&self, story: &str) -> Result<Planned, String>;

    /// Begins the run with this id, or goes on with it, or says how it ended, whichever is so: called again after a crash it
    /// makes one run.
    ///
    /// # Errors
    /// Why nobody can tell how it stands. It is asked again.
    fn run(&self, order: &Order) -> Result<RunSummary, String>;

    /// Ends a run that somebody else began and that was cut off, if there is one.
    ///
    /// # Errors
    /// Why it did not end.
    fn finish_cut_off(&self) -> Result<Option<(RunId, RunSummary)>, String>;

    /// Takes a run back.
    ///
    /// # Errors
    /// Why it was not.
    fn undo(&self, run: &RunId) -> Result<RunSummary, String>;

    /// Whether a run, of anybody, is at work on the site. Answers at once.
    fn is_busy(&self) -> bool;

    /// The runs that weaken a safety property now.
    ///
    /// # Errors
    /// Why the site's journal cannot be read.
    fn exposed(&self) -> Result<Vec<Exposed>, String>;
}

/// What somebody is told of.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// What happened.
    pub event: NoticeEvent,
    /// To which incident.
    pub incident: Option<&'a Incident>,
    /// To which run.
    pub run: Option<&'a RunId>,
    /// What it belongs to, where that is neither.
    pub thread: Option<&'a str>,
}

/// Which channels are told of what.
pub trait Announcer: Send + Sync {
    /// The channels that are told of it, each with the key that makes deliveries of one thing one.
    fn channels(&self, book: &Book, about: &About<'_>) -> Vec<(String, String)>;

    /// Whether a notice of this event gives way where too many wait.
    fn can_wait(&self, _event: NoticeEvent) -> bool {
        false
    }
}

/// What the policies say, read as a whole.
#[derive(Clone)]
pub struct Setup {
    /// The site's name.
    pub site: String,
    /// SHA-256 of all files that it was read from.
    pub digest: Digest,
    /// What follows from an incident.
    pub decision: DecisionPolicy,
    /// How the daemon runs.
    pub watch: WatchPolicy,
    /// All triggers.
    pub rules: Vec<TriggerRule>,
    /// The stories that could be taken back here, by their ids.
    pub stories: Vec<String>,
    /// When post-mortems are due.
    pub post_mortem: PostMortemPolicy,
    /// The story that was shipped last, where policies say so.
    pub last_shipped: Option<String>,
    /// Who is told.
    pub announcer: Arc<dyn Announcer>,
    /// The same, with the channels and the words.
    pub notices: Arc<Notices>,
}

/// Reads policies.
pub trait Policies: Send {
    /// Reads and checks all of them.
    ///
    /// # Errors
    /// What is wrong, with its place.
    fn read(&self) -> Result<Setup, String>;

    /// Whom the site trusts at this moment.
    ///
    /// # Errors
    /// Why nobody.
    fn trust(&self) -> Result<TrustRoot, String>;
}
