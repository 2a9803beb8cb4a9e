//! The journal's records: facts about a run, in the order in which they became true.

use crate::{Effect, Permission, Plan};
use serde::{Deserialize, Serialize};
use std::fmt;
use unship_policy::Digest;

/// A run's id: `r` + UTC date and time + 8 random hexadecimal digits, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Takes an id that has the form; `None` for any other text.
    pub fn new(text: &str) -> Option<RunId> {
        let body = text.strip_prefix('r')?;
        let good = (8..=40).contains(&body.len())
            && body.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b't' | b'z'));
        good.then(|| RunId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "design.md's words")]
pub enum Outcome {
    Succeeded,
    Undone,
    Stuck,
    Refused,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the verifications say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "design.md's words")]
pub enum Verdict {
    Recovered,
    NotRecovered,
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where an effect's before-image lies, relative to the site's `.unship/` (or to the trash of another file system).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "image", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Image {
    /// The removed or replaced thing itself.
    Trash {
        /// Where it went.
        at: String,
    },
    /// The ranges that were overwritten.
    Ranges {
        /// The file that holds them.
        at: String,
    },
    /// The value that was there.
    Value {
        /// As the operation would set it again.
        was: String,
    },
}

/// A line that a step printed or logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// `info`, `warn`, `stdout` or `stderr`.
    pub source: String,
    /// Control characters neutralised.
    pub text: String,
}

/// What a look at the world says of one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// It was not made, or is taken back already.
    Absent,
    /// It was begun.
    Partial,
    /// It was made.
    Applied,
    /// Nobody can say, because nothing keeps its trace: a command that may or may not have run.
    Unknown,
}

/// An effect of the unit in hand that no record speaks of, and that was made all the same, at least in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundEffect {
    /// Its number in the unit's plan.
    pub n: usize,
    /// Never [`Probe::Absent`].
    pub state: Probe,
    /// What is kept of before.
    pub image: Option<Image>,
}

/// When a directory's entries last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modified {
    /// Whole seconds since 1970.
    pub s: i64,
    /// Nanoseconds of that second.
    pub ns: u32,
}

/// A directory in which a run changes entries, with its modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryTime {
    /// As paths in effects are.
    pub path: String,
    /// At the time of the record.
    pub modified: Modified,
}

/// What one unit made of a directory's modification time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryChange {
    /// As paths in effects are.
    pub path: String,
    /// Before the unit's first change in it.
    pub before: Modified,
    /// When the unit ended.
    pub left: Modified,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each variant is documented as a whole")]
pub enum Event {
    /// An `apply` came to nothing before anything was changed.
    RunRefused { story: String, reason: String, denials: Vec<String> },
    /// The plan is pinned: this record is the durable intent of all its effects. `permission`: who approved, where that takes
    /// approval.
    RunStarted {
        story: String,
        digest: Digest,
        by: String,
        plan: Box<Plan>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
    },
    /// A step or check begins.
    UnitStarted { unit: String },
    /// An effect was made. `n` counts from 0 within its step.
    EffectApplied { unit: String, n: usize, effect: Effect, image: Option<Image> },
    /// Directories whose entries a unit changed.
    DirectoriesChanged { unit: String, directories: Vec<DirectoryChange> },
    /// Reads and lookups of one unit: how often `right` was used on `place`.
    AccessSummed { unit: String, right: String, place: String, count: u64 },
    /// A call was denied.
    AccessDenied { unit: String, what: String, rule: String },
    /// A step said something.
    LineLogged { unit: String, line: Line },
    /// A step or check ended well.
    UnitSucceeded { unit: String },
    /// A step or check came to nothing. `broken`: it could not say (a limit, a trap), as opposed to saying no.
    UnitFailed { unit: String, reason: String, broken: bool },
    /// A run that was cut off goes on: what its unit in hand had made is taken back, and the unit runs again.
    RunResumed { by: String, found: Vec<FoundEffect> },
    /// The run turns back: what it made is taken back, newest first. `found` belongs to the unit in hand; the times of the
    /// directories `foreign` stay, since somebody else changed them after the run; `forced` are effects (`step/n`) that a
    /// person wants taken back although somebody changed them since.
    UndoStarted { by: String, reason: String, found: Vec<FoundEffect>, foreign: Vec<String>, forced: Vec<String> },
    /// An effect was taken back. `note`: what a person should know, such as where the thing that lay there since is kept.
    EffectUndone { unit: String, n: usize, note: Option<String> },
    /// An effect stays, because nothing can take it back.
    EffectLeft { unit: String, n: usize, reason: String },
    /// Taking an effect back failed. The run ends Stuck.
    UndoFailed { unit: String, n: usize, reason: String },
    /// `gc` removed the before-images of a run that ended: it cannot be undone any more.
    ImagesRemoved { entries: u64 },
    /// A person looked at an item of the checklist: `by`, as they say; `noted_by` is the user who wrote it down.
    ItemTicked { item: String, by: String, noted_by: String },
    /// The run's last record, unless it is undone later.
    RunEnded { outcome: Outcome, verdict: Option<Verdict>, reason: Option<String> },
}

impl Event {
    /// Its kind, as the journal calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::RunRefused { .. } => "run-refused",
            Event::RunStarted { .. } => "run-started",
            Event::UnitStarted { .. } => "unit-started",
            Event::EffectApplied { .. } => "effect-applied",
            Event::DirectoriesChanged { .. } => "directories-changed",
            Event::AccessSummed { .. } => "access-summed",
            Event::AccessDenied { .. } => "access-denied",
            Event::LineLogged { .. } => "line-logged",
            Event::UnitSucceeded { .. } => "unit-succeeded",
            Event::UnitFailed { .. } => "unit-failed",
            Event::RunResumed { .. } => "run-resumed",
            Event::UndoStarted { .. } => "undo-started",
            Event::EffectUndone { .. } => "effect-undone",
            Event::EffectLeft { .. } => "effect-left",
            Event::UndoFailed { .. } => "undo-failed",
            Event::ImagesRemoved { .. } => "images-removed",
            Event::ItemTicked { .. } => "item-ticked",
            Event::RunEnded { .. } => "run-ended",
        }
    }
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Milliseconds since the epoch, by the host's clock: for people; order is by sequence number alone.
    pub at_ms: u64,
    /// The run it belongs to.
    pub run: RunId,
    /// What happened.
    pub what: Event,
}
