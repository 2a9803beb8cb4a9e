//! One incident, as its facts tell it.

use super::{Closing, Decision, Evidence, Fact, IncidentId};
use crate::{Outcome, RunId, Verdict, signal::Series};
use std::collections::BTreeMap;
use unship_policy::{Digest, Severity};

/// Where an incident stands. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It has to be decided upon.
    Opened,
    /// Other stories are taken back first.
    Waiting {
        /// Their incidents.
        on: Vec<IncidentId>,
    },
    /// The story is to be taken back as soon as the site is free.
    Acting,
    /// People are asked.
    Asking {
        /// Until then.
        until_ms: u64,
    },
    /// It is watched.
    Watching {
        /// Until then.
        until_ms: u64,
    },
    /// A person was called.
    Paged,
    /// A run is at work, or about to begin.
    Running {
        /// Which.
        run: RunId,
    },
    /// It ended; what that means is not decided yet.
    Ran {
        /// Which.
        run: RunId,
        /// How.
        outcome: Outcome,
        /// What its verifications said.
        verdict: Option<Verdict>,
    },
    /// It ended well, and the triggers must stay clear.
    Stabilising {
        /// The run.
        run: RunId,
        /// Until then.
        until_ms: u64,
    },
    /// The story was taken back, and all is well.
    Recovered,
    /// It was tried, and all is not well, or nobody can tell: a person has it.
    NotRecovered,
    /// A person said no, and this one fixes it forward.
    FixForward {
        /// Who.
        owner: String,
    },
    /// It is over.
    Closed {
        /// How.
        how: Closing,
    },
}

/// A trigger of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Its name.
    pub trigger: String,
    /// How bad it says that it is.
    pub severity: Severity,
    /// Whether it may begin a rollback without asking.
    pub auto: bool,
    /// What made it fire.
    pub evidence: Option<Evidence>,
    /// Its rule.
    pub rule: String,
    /// When it fired.
    pub at_ms: u64,
    /// Its series that are written down.
    pub series: Vec<Series>,
    /// Up to which moment, in milliseconds since the epoch.
    pub seen_ms: i64,
}

/// A yes that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedApproval {
    /// By which key or link.
    pub key: String,
    /// Whose it is.
    pub person: String,
    /// For which plan.
    pub digest: Digest,
    /// Until when it counts.
    pub expires_ms: u64,
    /// SHA-256 of the approval's text, or of the link's token.
    pub proof: Digest,
    /// A run that it was for was refused: it is used up.
    pub is_spent: bool,
}

/// A one-time link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Who it was made for.
    pub person: String,
    /// The plan that it is about.
    pub digest: Digest,
    /// Until when it works.
    pub expires_ms: u64,
    /// It works once.
    pub is_used: bool,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The story at fault, if that is known.
    pub story: Option<String>,
    /// The triggers that fired, oldest first; never empty.
    pub triggers: Vec<Joined>,
    /// When it was opened.
    pub opened_ms: u64,
    /// Where it stands.
    pub stage: Stage,
    /// What was decided last, and why.
    pub decided: Option<(Decision, String)>,
    /// The digest of its newest plan.
    pub plan: Option<Digest>,
    /// What that would do, a line an effect.
    pub effects: Vec<String>,
    /// The safety properties that it would weaken: nothing but a person's own command does that.
    pub weakens: Vec<String>,
    /// Who said yes, to any of its plans.
    pub approvals: Vec<CountedApproval>,
    /// Its one-time links, by the SHA-256 of their tokens.
    pub links: BTreeMap<Digest, Link>,
    /// Its runs, oldest first.
    pub runs: Vec<RunId>,
    /// Who said no, and why.
    pub denied: Option<(String, String)>,
    /// What was said in the end, and why.
    pub verdict: Option<(Verdict, String)>,
    /// The incident whose story needs this one's first.
    pub needed_by: Option<IncidentId>,
}

impl Incident {
    /// The worst that its triggers say.
    pub fn severity(&self) -> Severity {
        self.triggers.iter().map(|t| t.severity).max().unwrap_or(Severity::Critical)
    }

    /// Whether one of its triggers may begin a rollback without asking.
    pub fn auto(&self) -> bool {
        self.triggers.iter().any(|t| t.auto)
    }

    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Closed { .. })
    }

    /// Whether a person's yes would begin a run.
    pub fn can_be_approved(&self) -> bool {
        matches!(self.stage, Stage::Asking { .. } | Stage::Watching { .. } | Stage::Paged)
    }

    /// What counts for `plan` at `now_ms`.
    pub fn approvals_of(&self, plan: Digest, now_ms: u64) -> impl Iterator<Item = &CountedApproval> {
        self.approvals.iter().filter(move |a| !a.is_spent && a.digest == plan && a.expires_ms > now_ms)
    }

    /// Those whose yes counts for `plan` at `now_ms`.
    pub fn approvers(&self, plan: &Digest, now_ms: u64) -> Vec<&str> {
        self.approvals_of(*plan, now_ms).map(|a| a.person.as_str()).collect()
    }

    /// Whether this person's yes to its present plan counts already.
    pub fn has_approved(&self, person: &str, now_ms: u64) -> bool {
        self.plan.is_some_and(|plan| self.approvers(&plan, now_ms).contains(&person))
    }

    /// When something has to be done about it, if nothing else happens.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Asking { until_ms } | Stage::Watching { until_ms } | Stage::Stabilising { until_ms, .. } => {
                Some(until_ms)
            }
            _ => None,
        }
    }

    /// Takes in a fact about it; `None`: it cannot follow, and nothing was changed.
    pub(super) fn take(&mut self, at_ms: u64, fact: &Fact) -> Option<()> {
        use Stage::{Acting, Asking, Closed, FixForward, NotRecovered, Opened, Paged, Ran, Recovered, Running};
        use Stage::{Stabilising, Waiting, Watching};
        match (fact, &self.stage) {
            (_, Closed { .. }) => return None,
            (Fact::TriggerJoined { trigger, severity, auto, evidence, rule, .. }, stage) => {
                // What is worse than what was decided upon is decided upon anew.
                if matches!(stage, Asking { .. } | Watching { .. } | Paged)
                    && (*severity > self.severity() || *auto && !self.auto())
                {
                    self.stage = Opened;
                }
                self.triggers.push(Joined {
                    trigger: trigger.clone(),
                    severity: *severity,
                    auto: *auto,
                    evidence: evidence.clone(),
                    rule: rule.clone(),
                    at_ms,
                    series: Vec::new(),
                    seen_ms: i64::MIN,
                });
            }
            (Fact::SeriesSeen { trigger, series, .. }, _) => {
                let joined = self.triggers.iter_mut().find(|t| t.trigger == *trigger)?;
                for seen in series {
                    joined.seen_ms = seen.samples.iter().map(|(at, _)| *at).fold(joined.seen_ms, i64::max);
                    if !joined.series.contains(&seen.series) {
                        joined.series.push(seen.series.clone());
                    }
                }
            }
            (Fact::Attributed { story, .. }, _) if self.story.is_none() => self.story = Some(story.clone()),
            (
                Fact::Decided { decision, reason, deadline_ms, .. },
                Opened | Waiting { .. } | Acting | Asking { .. } | Watching { .. } | Paged,
            ) => {
                self.stage = match (decision, deadline_ms) {
                    (Decision::Act, None) => Acting,
                    (Decision::Ask, Some(until_ms)) => Asking { until_ms: *until_ms },
                    (Decision::Watch, Some(until_ms)) => Watching { until_ms: *until_ms },
                    (Decision::Page, None) => Paged,
                    (Decision::Ignore, None) => Opened,
                    _ => return None,
                };
                self.decided = Some((*decision, reason.clone()));
            }
            (Fact::Escalated { .. }, Watching { .. }) => self.stage = Opened,
            (Fact::Waits { on, .. }, Opened | Waiting { .. } | Acting | Asking { .. } | Paged) if !on.is_empty() => {
                self.stage = Waiting { on: on.clone() };
            }
            (Fact::PlanMade { story, digest, effects, weakens, .. }, stage)
                if self.story.as_ref() == Some(story) && !matches!(stage, Running { .. }) =>
            {
                self.plan = Some(*digest);
                self.effects = effects.clone();
                self.weakens = weakens.clone();
            }
            (Fact::ApprovalCounted { key, person, digest, expires_ms, proof, .. }, _)
                if self.can_be_approved() && self.plan == Some(*digest) && !self.has_approved(person, at_ms) =>
            {
                self.approvals.push(CountedApproval {
                    key: key.clone(),
                    person: person.clone(),
                    digest: *digest,
                    expires_ms: *expires_ms,
                    proof: *proof,
                    is_spent: false,
                });
            }
            (Fact::ApprovalRefused { .. } | Fact::NoticeQueued { .. }, _) => {}
            (
                Fact::Denied { by, reason, owner, .. },
                Opened | Waiting { .. } | Acting | Asking { .. } | Watching { .. } | Paged | NotRecovered,
            ) => {
                self.stage = FixForward { owner: owner.clone() };
                self.denied = Some((by.clone(), reason.clone()));
            }
            (Fact::LinkMade { link, person, digest, expires_ms, .. }, _)
                if self.plan == Some(*digest) && !self.links.contains_key(link) =>
            {
                let made = Link { person: person.clone(), digest: *digest, expires_ms: *expires_ms, is_used: false };
                self.links.insert(*link, made);
            }
            (Fact::LinkUsed { link, .. }, _) => {
                let link = self.links.get_mut(link).filter(|l| !l.is_used)?;
                link.is_used = true;
            }
            (Fact::RunBegan { run, story, digest, .. }, Acting | Asking { .. } | Watching { .. } | Paged)
                if self.plan == Some(*digest) && self.story.as_ref() == Some(story) =>
            {
                self.stage = Running { run: run.clone() };
                self.runs.push(run.clone());
            }
            (Fact::RunEnded { run: ended, outcome, verdict, .. }, Running { run }) if run == ended => {
                self.stage = Ran { run: ended.clone(), outcome: *outcome, verdict: *verdict };
            }
            // What was refused changed nothing: it is decided upon anew, and whoever said yes to it is asked anew.
            (Fact::Escalated { .. }, Ran { outcome: Outcome::Refused, .. }) => {
                self.approvals.iter_mut().for_each(|a| a.is_spent = true);
                self.stage = Opened;
            }
            (Fact::StabilityBegan { until_ms, .. }, Ran { run, outcome: Outcome::Succeeded, .. }) => {
                self.stage = Stabilising { run: run.clone(), until_ms: *until_ms };
            }
            (Fact::VerdictReached { verdict, reason, .. }, Ran { .. } | Stabilising { .. }) => {
                self.stage = if *verdict == Verdict::Recovered { Recovered } else { NotRecovered };
                self.verdict = Some((*verdict, reason.clone()));
            }
            (
                Fact::IncidentClosed { how, .. },
                Opened
                | Waiting { .. }
                | Asking { .. }
                | Watching { .. }
                | Paged
                | Recovered
                | NotRecovered
                | FixForward { .. },
            ) => self.stage = Closed { how: *how },
            _ => return None,
        }
        Some(())
    }
}
