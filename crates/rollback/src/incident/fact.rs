//! Facts about incidents, notices and the daemon itself, as its journal has them.

use crate::{
    Outcome, RunId, Verdict,
    signal::{Millis, Sample, Series},
};
use serde::{Deserialize, Serialize};
use std::fmt;
use unship_policy::{Digest, NoticeEvent, Severity};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes an id that has the form; `None` for any other text.
            pub fn new(text: &str) -> Option<$name> {
                let body = text.strip_prefix($letter)?;
                let good = (1..=40).contains(&body.len())
                    && body.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || matches!(b, b'-' | b't' | b'z'));
                good.then(|| $name(text.to_owned()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<$name, String> {
                $name::new(&text).ok_or_else(|| format!("{text:?} is not an id of the form `{}…`", $letter))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An incident's id: `i` + UTC date and time + 8 random hexadecimal digits, so that names sort by time.
    IncidentId, "i"
);
id!(
    /// A notice's id: `n` and a number that counts up.
    NoticeId, "n"
);
id!(
    /// The id of what a person handed in: `s` + UTC date and time + 8 random hexadecimal digits.
    SubmissionId, "s"
);

/// What is to be done about an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The story is taken back now.
    Act,
    /// People are asked, until a deadline.
    Ask,
    /// Nothing yet; it is watched, until a deadline.
    Watch,
    /// A person is called, who takes the story back at once or says no. It waits without end.
    Page,
    /// Nothing: what it is about is over.
    Ignore,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Act => "act",
            Decision::Ask => "ask",
            Decision::Watch => "watch",
            Decision::Page => "page",
            Decision::Ignore => "ignore",
        })
    }
}

/// How an incident came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closing {
    /// The story was taken back, and its triggers stayed clear.
    Recovered,
    /// Its triggers cleared without that.
    Cleared,
    /// The story was taken back already, and what its triggers measure is gone with it.
    GoneAlready,
    /// A person said no, and its triggers cleared since.
    FixedForward,
    /// A person closed it.
    ByHand,
}

/// What made a trigger fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The series, as a person reads it.
    pub series: String,
    /// What was compared; `None` where that was no finite number.
    pub value: Option<f64>,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// A part of a series, as the book keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Which.
    pub series: Series,
    /// Milliseconds since the epoch, and what was observed; `None` where that was no finite number.
    pub samples: Vec<(i64, Option<f64>)>,
}

impl Seen {
    /// Of these samples.
    pub fn new(series: Series, samples: &[Sample]) -> Seen {
        let kept = samples.iter().map(|s| (s.at.0, Some(s.value).filter(|value| value.is_finite())));
        Seen { series, samples: kept.collect() }
    }

    /// As they were observed, but for what was no finite number: that is NaN.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.samples.iter().map(|(at, value)| Sample { at: Millis(*at), value: value.unwrap_or(f64::NAN) })
    }
}

/// What a person handed in while the daemon was up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The form that this is written in: 1.
    pub unship_submission: u32,
    /// Its id.
    pub id: SubmissionId,
    /// Who, as the system or the person says.
    pub by: String,
    /// What is wished.
    pub wish: Wish,
}

/// Bytes of what users are told at most.
pub const USERS_TEXT_BYTES_MAX: usize = 4000;

/// What a person wishes of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// An approval, as `unship approve` writes it.
    Approve {
        /// What it is for.
        incident: IncidentId,
        /// The approval's text, to the last byte.
        approval: String,
    },
    /// No.
    Deny {
        /// To what.
        incident: IncidentId,
        /// Why.
        reason: String,
        /// Who fixes it forward; `None`: whoever policy names.
        owner: Option<String>,
    },
    /// It is over.
    Close {
        /// What.
        incident: IncidentId,
        /// Why.
        reason: String,
    },
    /// A trigger, or all, is not to fire for a while.
    Silence {
        /// `None`: all.
        trigger: Option<String>,
        /// Until then, in milliseconds since the epoch.
        until_ms: u64,
    },
    /// Nothing is begun without a person.
    Pause {
        /// Why.
        reason: String,
    },
    /// That is over.
    Unpause,
    /// The post-mortem of a run was written.
    PostMortem {
        /// Of which.
        run: RunId,
    },
    /// Users are told this of a run.
    TellUsers {
        /// Of which.
        run: RunId,
        /// What they are told.
        text: String,
    },
}

/// What became true. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say what the fields are; what is not plain is said")]
pub enum Fact {
    /// The daemon began to watch.
    WatchBegan { version: String },
    /// It ended as it was asked to.
    WatchEnded,
    /// A trigger fired, and no open incident was about its story.
    IncidentOpened {
        incident: IncidentId,
        trigger: String,
        story: Option<String>,
        severity: Severity,
        auto: bool,
        evidence: Option<Evidence>,
        /// The rule's text.
        rule: String,
        /// The incident whose story needs this one's first.
        needed_by: Option<IncidentId>,
    },
    /// Another trigger of the incident's story fired.
    TriggerJoined {
        incident: IncidentId,
        trigger: String,
        severity: Severity,
        auto: bool,
        evidence: Option<Evidence>,
        rule: String,
    },
    /// What its series did since that was written down last: for pictures, and thinned.
    SeriesSeen {
        incident: IncidentId,
        trigger: String,
        /// What counts as normal, where the trigger compares with that.
        baseline: Option<f64>,
        series: Vec<Seen>,
    },
    /// A person's approval said which story is at fault.
    Attributed { incident: IncidentId, story: String, by: String },
    /// What is to be done; without a deadline it waits.
    Decided { incident: IncidentId, decision: Decision, reason: String, deadline_ms: Option<u64> },
    /// What is watched became worse, or a run was refused: it is decided upon anew.
    Escalated { incident: IncidentId, reason: String },
    /// Other stories come first.
    Waits { incident: IncidentId, on: Vec<IncidentId> },
    /// The story was planned. What counted for another plan counts no more.
    PlanMade {
        incident: IncidentId,
        story: String,
        digest: Digest,
        /// What it would do, a line an effect, for whoever is asked.
        effects: Vec<String>,
        /// The safety properties that it would weaken.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        weakens: Vec<String>,
    },
    /// A person's yes.
    ApprovalCounted {
        incident: IncidentId,
        /// The key, or the link.
        key: String,
        person: String,
        digest: Digest,
        expires_ms: u64,
        /// SHA-256 of the approval's text, or of the link's token: neither counts twice.
        proof: Digest,
    },
    /// What was handed in as a yes does not count.
    ApprovalRefused { incident: Option<IncidentId>, key: String, reason: String },
    /// No. The incident stays open as *fix forward*.
    Denied { incident: IncidentId, by: String, reason: String, owner: String },
    /// A one-time link was made; `link` is the SHA-256 of its token.
    LinkMade { incident: IncidentId, link: Digest, person: String, digest: Digest, expires_ms: u64 },
    /// It was used.
    LinkUsed { incident: IncidentId, link: Digest },
    /// The intent of a run: it has this id, and is about to begin.
    RunBegan { incident: IncidentId, run: RunId, story: String, digest: Digest },
    /// How it ended. `Refused` without a trace in the site's journal: it never began.
    RunEnded { incident: IncidentId, run: RunId, outcome: Outcome, verdict: Option<Verdict>, reason: Option<String> },
    /// The triggers must stay clear until then.
    StabilityBegan { incident: IncidentId, until_ms: u64 },
    /// What is to be said in the end.
    VerdictReached { incident: IncidentId, verdict: Verdict, reason: String },
    /// It is over.
    IncidentClosed { incident: IncidentId, how: Closing, reason: String },
    /// A notice waits for delivery.
    NoticeQueued {
        notice: NoticeId,
        incident: Option<IncidentId>,
        run: Option<RunId>,
        event: NoticeEvent,
        channel: String,
        dedup: String,
        /// What happened, in one line.
        detail: String,
    },
    /// It was delivered, with this answer.
    NoticeDelivered { notice: NoticeId, answer: String },
    /// It was given up.
    NoticeFailed { notice: NoticeId, reason: String, attempts: u32 },
    /// A story could not be taken back now.
    NotReady { story: String, reason: String },
    /// It could.
    Ready { story: String },
    /// Nothing is begun without a person.
    Paused { by: String, reason: String },
    /// That is over.
    Unpaused { by: String },
    /// A trigger (`None`: all) is not to fire until then.
    Silenced { trigger: Option<String>, until_ms: u64, by: String },
    /// The policy was read anew.
    PolicyReloaded { digest: Digest },
    /// The new policy is no good; the old one stays.
    PolicyRefused { reason: String },
    /// A run weakened a safety property with people's approval, and must be taken back by then.
    ExposureBegan { run: RunId, story: String, until_ms: u64 },
    /// It was taken back.
    ExposureEnded { run: RunId, how: String },
    /// Taking it back failed; a person is needed.
    ExposureStuck { run: RunId, reason: String },
    /// A post-mortem has to be written by then.
    PostMortemDue { run: RunId, due_ms: u64 },
    /// It was.
    PostMortemWritten { run: RunId },
    /// It was not, in time.
    PostMortemOverdue { run: RunId },
    /// A person approved of what users are told.
    TextApproved { run: RunId, by: String, text: Digest },
    /// The clock showed an earlier time than before.
    ClockSetBack { from_ms: u64 },
    /// What a person handed in was taken in; the facts beside this one say what came of it.
    SubmissionTaken { submission: SubmissionId, by: String },
    /// It was not: it is no submission, or makes no sense now.
    SubmissionRefused { submission: String, reason: String },
}

/// Facts that became true together: one record, so that all of them are written or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// By the daemon's clock: for people and deadlines; order is that of the journal alone.
    pub at_ms: u64,
    /// In their order.
    pub facts: Vec<Fact>,
}

impl Fact {
    /// All kinds, as [`Fact::kind`] gives them.
    pub const KINDS: &[&str] = &[
        "watch-began",
        "watch-ended",
        "incident-opened",
        "trigger-joined",
        "series-seen",
        "attributed",
        "decided",
        "escalated",
        "waits",
        "plan-made",
        "approval-counted",
        "approval-refused",
        "denied",
        "link-made",
        "link-used",
        "run-began",
        "run-ended",
        "stability-began",
        "verdict-reached",
        "incident-closed",
        "notice-queued",
        "notice-delivered",
        "notice-failed",
        "not-ready",
        "ready",
        "paused",
        "unpaused",
        "silenced",
        "policy-reloaded",
        "policy-refused",
        "exposure-began",
        "exposure-ended",
        "exposure-stuck",
        "post-mortem-due",
        "post-mortem-written",
        "post-mortem-overdue",
        "text-approved",
        "clock-set-back",
        "submission-taken",
        "submission-refused",
    ];

    /// Its kind, for messages and stop points.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::WatchBegan { .. } => "watch-began",
            Fact::WatchEnded => "watch-ended",
            Fact::IncidentOpened { .. } => "incident-opened",
            Fact::TriggerJoined { .. } => "trigger-joined",
            Fact::SeriesSeen { .. } => "series-seen",
            Fact::Attributed { .. } => "attributed",
            Fact::Decided { .. } => "decided",
            Fact::Escalated { .. } => "escalated",
            Fact::Waits { .. } => "waits",
            Fact::PlanMade { .. } => "plan-made",
            Fact::ApprovalCounted { .. } => "approval-counted",
            Fact::ApprovalRefused { .. } => "approval-refused",
            Fact::Denied { .. } => "denied",
            Fact::LinkMade { .. } => "link-made",
            Fact::LinkUsed { .. } => "link-used",
            Fact::RunBegan { .. } => "run-began",
            Fact::RunEnded { .. } => "run-ended",
            Fact::StabilityBegan { .. } => "stability-began",
            Fact::VerdictReached { .. } => "verdict-reached",
            Fact::IncidentClosed { .. } => "incident-closed",
            Fact::NoticeQueued { .. } => "notice-queued",
            Fact::NoticeDelivered { .. } => "notice-delivered",
            Fact::NoticeFailed { .. } => "notice-failed",
            Fact::NotReady { .. } => "not-ready",
            Fact::Ready { .. } => "ready",
            Fact::Paused { .. } => "paused",
            Fact::Unpaused { .. } => "unpaused",
            Fact::Silenced { .. } => "silenced",
            Fact::PolicyReloaded { .. } => "policy-reloaded",
            Fact::PolicyRefused { .. } => "policy-refused",
            Fact::ExposureBegan { .. } => "exposure-began",
            Fact::ExposureEnded { .. } => "exposure-ended",
            Fact::ExposureStuck { .. } => "exposure-stuck",
            Fact::PostMortemDue { .. } => "post-mortem-due",
            Fact::PostMortemWritten { .. } => "post-mortem-written",
            Fact::PostMortemOverdue { .. } => "post-mortem-overdue",
            Fact::TextApproved { .. } => "text-approved",
            Fact::ClockSetBack { .. } => "clock-set-back",
            Fact::SubmissionTaken { .. } => "submission-taken",
            Fact::SubmissionRefused { .. } => "submission-refused",
        }
    }

    /// The incident that it is about.
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Fact::IncidentOpened { incident, .. }
            | Fact::TriggerJoined { incident, .. }
            | Fact::SeriesSeen { incident, .. }
            | Fact::Attributed { incident, .. }
            | Fact::Decided { incident, .. }
            | Fact::Escalated { incident, .. }
            | Fact::Waits { incident, .. }
            | Fact::PlanMade { incident, .. }
            | Fact::ApprovalCounted { incident, .. }
            | Fact::Denied { incident, .. }
            | Fact::LinkMade { incident, .. }
            | Fact::LinkUsed { incident, .. }
            | Fact::RunBegan { incident, .. }
            | Fact::RunEnded { incident, .. }
            | Fact::StabilityBegan { incident, .. }
            | Fact::VerdictReached { incident, .. }
            | Fact::IncidentClosed { incident, .. } => Some(incident),
            Fact::ApprovalRefused { incident, .. } | Fact::NoticeQueued { incident, .. } => incident.as_ref(),
            _ => None,
        }
    }
}
