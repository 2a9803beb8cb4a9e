//! The book: what all facts come to. One code takes them in live and when the journal is read back.

use super::{Entry, Fact, Incident, IncidentId, Joined, Link, NoticeEvent, NoticeId, Stage, SubmissionId};
use crate::{Outcome, RunId, Verdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use unship_policy::Digest;

/// A fact that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fact {fact} cannot follow: {why}")]
pub struct IllegalFact {
    /// The fact's kind.
    pub fact: &'static str,
    /// What stands against it.
    pub why: String,
}

/// How a notice stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeStanding {
    /// It waits.
    Queued,
    /// It was delivered.
    Delivered {
        /// What the receiver answered: what later notices of the same thread refer to.
        answer: String,
    },
    /// It was given up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A notice, as it was queued. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// The incident that it tells of.
    pub incident: Option<IncidentId>,
    /// The run that it tells of.
    pub run: Option<RunId>,
    /// What it tells.
    pub event: NoticeEvent,
    /// Where it goes.
    pub channel: String,
    /// What makes two deliveries one to the receiver.
    pub dedup: String,
    /// What happened, in one line.
    pub detail: String,
    /// When it was queued.
    pub queued_ms: u64,
    /// How it stands.
    pub standing: NoticeStanding,
}

/// A run that the daemon began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNote {
    /// What for.
    pub incident: IncidentId,
    /// The story.
    pub story: String,
    /// The plan that was expected.
    pub digest: Digest,
    /// When it was to begin, in milliseconds since the epoch.
    pub began_ms: u64,
    /// Whether nobody was asked.
    pub is_automatic: bool,
    /// How and when it ended, and why so.
    pub ended: Option<(Outcome, Option<Verdict>, Option<String>, u64)>,
}

/// A safety property that is weakened for a while. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The story.
    pub story: String,
    /// It must be taken back by then.
    pub until_ms: u64,
    /// Why taking it back failed, if it did.
    pub stuck: Option<String>,
}

/// A post-mortem that is due. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostMortem {
    /// It has to be written by then.
    pub due_ms: u64,
    /// When it was.
    pub written_ms: Option<u64>,
    /// It was said that it was not, in time.
    pub is_overdue: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    // Shared with the book of a moment ago: each entry makes a new book, and most of it stays as it was.
    incidents: BTreeMap<IncidentId, Arc<Incident>>,
    notices: BTreeMap<u64, Arc<Notice>>,
    runs: BTreeMap<RunId, RunNote>,
    /// By story: why it is not ready, or `None`.
    readiness: BTreeMap<String, Option<String>>,
    paused: Option<(String, String)>,
    silences: Vec<(Option<String>, u64)>,
    exposures: BTreeMap<RunId, Exposure>,
    post_mortems: BTreeMap<RunId, PostMortem>,
    texts: BTreeMap<RunId, (String, Digest)>,
    submissions: BTreeSet<SubmissionId>,
    is_watching: bool,
    at_ms: u64,
}

impl Book {
    /// Takes in an entry, all of it or nothing.
    ///
    /// # Errors
    /// [`IllegalFact`], of the first fact that cannot follow.
    pub fn advance(&mut self, entry: &Entry) -> Result<(), IllegalFact> {
        let mut next = self.clone();
        for fact in &entry.facts {
            next.take(entry.at_ms, fact)?;
        }
        next.at_ms = entry.at_ms;
        *self = next;
        Ok(())
    }

    /// Takes in the next entry of a journal that is read back. Cheaper than [`Book::advance`]: after an error the book is
    /// of no use.
    ///
    /// # Errors
    /// As [`Book::advance`].
    pub fn replay(&mut self, entry: &Entry) -> Result<(), IllegalFact> {
        entry.facts.iter().try_for_each(|fact| self.take(entry.at_ms, fact))?;
        self.at_ms = entry.at_ms;
        Ok(())
    }

    fn take(&mut self, at_ms: u64, fact: &Fact) -> Result<(), IllegalFact> {
        let illegal = |why: String| IllegalFact { fact: fact.kind(), why };
        match fact {
            Fact::IncidentOpened { .. } => return self.open(at_ms, fact),
            Fact::RunBegan { incident, run, story, digest } => {
                if let Some((other, _)) = self.runs.iter().find(|(_, note)| note.ended.is_none()) {
                    return Err(illegal(format!("run {other} has not ended, and a site has one run at a time")));
                }
                if self.runs.contains_key(run) {
                    return Err(illegal(format!("there was a run {run} already")));
                }
                let is_automatic = self.incident(incident).is_some_and(|i| i.stage == Stage::Acting);
                self.of_incident(at_ms, fact, incident)?;
                let note = RunNote {
                    incident: incident.clone(),
                    story: story.clone(),
                    digest: *digest,
                    began_ms: at_ms,
                    is_automatic,
                    ended: None,
                };
                self.runs.insert(run.clone(), note);
            }
            Fact::RunEnded { incident, run, outcome, verdict, reason } => {
                self.of_incident(at_ms, fact, incident)?;
                let note = self.runs.get_mut(run).ok_or_else(|| illegal(format!("run {run} never began")))?;
                note.ended = Some((*outcome, *verdict, reason.clone(), at_ms));
            }
            Fact::NoticeQueued { notice, incident, .. } => {
                if incident.as_ref().is_some_and(|id| !self.incidents.contains_key(id)) {
                    return Err(illegal("it is about an incident that is not there".to_owned()));
                }
                let number = number(notice).filter(|n| *n >= self.next_notice());
                let number = number.ok_or_else(|| illegal(format!("{notice} is not the next number")))?;
                self.queue(at_ms, number, fact);
            }
            Fact::NoticeDelivered { notice, answer } => {
                self.settle(fact, notice, NoticeStanding::Delivered { answer: answer.clone() })?;
            }
            Fact::NoticeFailed { notice, reason, .. } => {
                self.settle(fact, notice, NoticeStanding::Failed { reason: reason.clone() })?;
            }
            Fact::NotReady { story, reason } => {
                self.readiness.insert(story.clone(), Some(reason.clone()));
            }
            Fact::Ready { story } => {
                self.readiness.insert(story.clone(), None);
            }
            Fact::Paused { by, reason } => self.paused = Some((by.clone(), reason.clone())),
            Fact::Unpaused { .. } => self.paused = None,
            Fact::Silenced { trigger, until_ms, .. } => {
                self.silences.retain(|(_, until)| *until > at_ms);
                self.silences.push((trigger.clone(), *until_ms));
            }
            Fact::ExposureBegan { run, story, until_ms } => {
                let exposure = Exposure { story: story.clone(), until_ms: *until_ms, stuck: None };
                if self.exposures.insert(run.clone(), exposure).is_some() {
                    return Err(illegal(format!("the exposure of run {run} began already")));
                }
            }
            Fact::ExposureEnded { run, .. } => {
                self.exposures.remove(run).ok_or_else(|| illegal(format!("run {run} exposes nothing")))?;
            }
            Fact::ExposureStuck { run, reason } => {
                let exposure =
                    self.exposures.get_mut(run).ok_or_else(|| illegal(format!("run {run} exposes nothing")))?;
                exposure.stuck = Some(reason.clone());
            }
            Fact::PostMortemDue { run, due_ms } => {
                let due = PostMortem { due_ms: *due_ms, written_ms: None, is_overdue: false };
                if self.post_mortems.insert(run.clone(), due).is_some() {
                    return Err(illegal(format!("the post-mortem of run {run} was due already")));
                }
            }
            Fact::PostMortemWritten { run } | Fact::PostMortemOverdue { run } => {
                let due = self.post_mortems.get_mut(run).filter(|due| due.written_ms.is_none());
                let due = due.ok_or_else(|| illegal(format!("no post-mortem of run {run} is due")))?;
                match fact {
                    Fact::PostMortemWritten { .. } => due.written_ms = Some(at_ms),
                    _ => due.is_overdue = true,
                }
            }
            Fact::TextApproved { run, by, text } => {
                self.texts.insert(run.clone(), (by.clone(), *text));
            }
            Fact::SubmissionTaken { submission, .. } => {
                if !self.submissions.insert(submission.clone()) {
                    return Err(illegal(format!("{submission} was taken in already")));
                }
            }
            Fact::WatchBegan { .. } => self.is_watching = true,
            Fact::WatchEnded => self.is_watching = false,
            Fact::PolicyReloaded { .. }
            | Fact::PolicyRefused { .. }
            | Fact::ClockSetBack { .. }
            | Fact::SubmissionRefused { .. } => {}
            Fact::ApprovalRefused { incident: None, .. } => {}
            about => {
                if let Some(incident) = about.incident() {
                    self.of_incident(at_ms, fact, incident)?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, at_ms: u64, fact: &Fact) -> Result<(), IllegalFact> {
        let Fact::IncidentOpened { incident, trigger, story, severity, auto, evidence, rule, needed_by } = fact else {
            return Ok(());
        };
        if self.incidents.contains_key(incident) {
            return Err(IllegalFact { fact: fact.kind(), why: format!("there is an incident {incident} already") });
        }
        if let Some(other) = story.as_ref().and_then(|story| self.open_for(story)) {
            let why = format!("the incident {} about story {} is open", other.id, story.as_deref().unwrap_or_default());
            return Err(IllegalFact { fact: fact.kind(), why });
        }
        let first = Joined {
            trigger: trigger.clone(),
            severity: *severity,
            auto: *auto,
            evidence: evidence.clone(),
            rule: rule.clone(),
            at_ms,
            series: Vec::new(),
            seen_ms: i64::MIN,
        };
        let opened = Incident {
            id: incident.clone(),
            story: story.clone(),
            triggers: vec![first],
            opened_ms: at_ms,
            stage: Stage::Opened,
            decided: None,
            plan: None,
            effects: Vec::new(),
            weakens: Vec::new(),
            approvals: Vec::new(),
            links: BTreeMap::new(),
            runs: Vec::new(),
            denied: None,
            verdict: None,
            needed_by: needed_by.clone(),
        };
        self.incidents.insert(incident.clone(), Arc::new(opened));
        Ok(())
    }

    fn of_incident(&mut self, at_ms: u64, fact: &Fact, id: &IncidentId) -> Result<(), IllegalFact> {
        let illegal = |why: String| IllegalFact { fact: fact.kind(), why };
        if let Fact::Attributed { story, .. } = fact
            && self.open_for(story).is_some()
        {
            return Err(illegal(format!("an incident about story {story} is open already")));
        }
        let incident = self.incidents.get_mut(id).ok_or_else(|| illegal(format!("there is no incident {id}")))?;
        let stage = incident.stage.clone();
        Arc::make_mut(incident).take(at_ms, fact).ok_or_else(|| illegal(format!("the incident {id} is {stage:?}")))
    }

    fn queue(&mut self, at_ms: u64, number: u64, fact: &Fact) {
        if let Fact::NoticeQueued { notice, incident, run, event, channel, dedup, detail } = fact {
            let queued = Notice {
                id: notice.clone(),
                incident: incident.clone(),
                run: run.clone(),
                event: *event,
                channel: channel.clone(),
                dedup: dedup.clone(),
                detail: detail.clone(),
                queued_ms: at_ms,
                standing: NoticeStanding::Queued,
            };
            self.notices.insert(number, Arc::new(queued));
        }
    }

    fn settle(&mut self, fact: &Fact, id: &NoticeId, standing: NoticeStanding) -> Result<(), IllegalFact> {
        let notice = number(id).and_then(|n| self.notices.get_mut(&n));
        match notice.filter(|n| n.standing == NoticeStanding::Queued) {
            Some(notice) => {
                Arc::make_mut(notice).standing = standing;
                Ok(())
            }
            None => Err(IllegalFact { fact: fact.kind(), why: format!("no notice {id} waits") }),
        }
    }
}

/// A notice's number.
fn number(id: &NoticeId) -> Option<u64> {
    id.as_str().strip_prefix('n')?.parse().ok()
}

/// What the book says.
impl Book {
    /// All incidents, oldest first.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.incidents.values().map(Arc::as_ref)
    }

    /// One incident.
    pub fn incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.incidents.get(id).map(Arc::as_ref)
    }

    /// The open incident about a story.
    pub fn open_for(&self, story: &str) -> Option<&Incident> {
        self.incidents.values().map(Arc::as_ref).find(|i| i.is_open() && i.story.as_deref() == Some(story))
    }

    /// The open incident that this trigger opened or joined.
    pub fn open_by_trigger(&self, trigger: &str) -> Option<&Incident> {
        let is_its = |i: &&Incident| i.triggers.iter().any(|t| t.trigger == trigger);
        self.incidents.values().map(Arc::as_ref).filter(|i| i.is_open()).find(is_its)
    }

    /// Whether an approval or a link was counted before, in any incident.
    pub fn has_counted(&self, proof: &Digest) -> bool {
        self.incidents.values().map(Arc::as_ref).any(|i| i.approvals.iter().any(|a| a.proof == *proof))
    }

    /// The incident that a one-time link belongs to, with the link.
    pub fn link(&self, link: &Digest) -> Option<(&Incident, &Link)> {
        self.incidents.values().map(Arc::as_ref).find_map(|i| i.links.get(link).map(|found| (i, found)))
    }

    /// The run that began and did not end.
    pub fn running(&self) -> Option<(&RunId, &RunNote)> {
        self.runs.iter().find(|(_, note)| note.ended.is_none())
    }

    /// The runs that the daemon began, by their ids.
    pub fn runs(&self) -> &BTreeMap<RunId, RunNote> {
        &self.runs
    }

    /// How many runs of a story began without anybody being asked since `since_ms`; those that were refused do not count.
    pub fn attempts(&self, story: &str, since_ms: u64) -> usize {
        let counts = |note: &&RunNote| {
            let is_refused = matches!(note.ended, Some((Outcome::Refused, ..)));
            note.story == story && note.is_automatic && note.began_ms >= since_ms && !is_refused
        };
        self.runs.values().filter(counts).count()
    }

    /// The number of the next notice.
    pub fn next_notice(&self) -> u64 {
        self.notices.last_key_value().map_or(1, |(n, _)| n + 1)
    }

    /// All notices, oldest first.
    pub fn notices(&self) -> impl DoubleEndedIterator<Item = &Notice> {
        self.notices.values().map(Arc::as_ref)
    }

    /// One notice.
    pub fn notice(&self, id: &NoticeId) -> Option<&Notice> {
        number(id).and_then(|n| self.notices.get(&n)).map(Arc::as_ref)
    }

    /// By story, why it could not be taken back now; `None`: it could.
    pub fn readiness(&self) -> &BTreeMap<String, Option<String>> {
        &self.readiness
    }

    /// Who said that nothing is begun without a person, and why.
    pub fn paused(&self) -> Option<&(String, String)> {
        self.paused.as_ref()
    }

    /// Silences that were not over at the newest of them: the trigger (`None`: all) and their end.
    pub fn silences(&self) -> &[(Option<String>, u64)] {
        &self.silences
    }

    /// Runs that weaken a safety property now.
    pub fn exposures(&self) -> &BTreeMap<RunId, Exposure> {
        &self.exposures
    }

    /// Post-mortems, by run.
    pub fn post_mortems(&self) -> &BTreeMap<RunId, PostMortem> {
        &self.post_mortems
    }

    /// What users may be told of a run: who approved, and the text's digest.
    pub fn text(&self, run: &RunId) -> Option<&(String, Digest)> {
        self.texts.get(run)
    }

    /// Whether this was taken in already.
    pub fn has_taken(&self, submission: &SubmissionId) -> bool {
        self.submissions.contains(submission)
    }

    /// Whether the last daemon did not say that it ended.
    pub fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// The time of the newest entry.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }
}
