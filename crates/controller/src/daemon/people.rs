//! What people say: submissions of the inbox, and one-time links. Everything is judged here, at the moment it is taken in,
//! and what does not count is written down with its reason.

use super::Daemon;
use crate::{book::BookError, links, notify::Notify};
use unship_policy::{Approval, Digest, Sought, TrustRoot, approved};
use unship_rollback::{
    RunId,
    incident::{Closing, Fact, Incident, IncidentId, NoticeEvent, Stage, Submission, USERS_TEXT_BYTES_MAX, Wish},
    neutralise,
};

const FORMAT: u32 = 1;
/// A silence always ends.
const SILENCE_MAX_MS: u64 = 7 * 24 * 3_600_000;
/// How long a one-time link works where nobody waits for an answer by a certain time.
const LINK_MS: u64 = 4 * 3_600_000;

/// What is done about a submission: facts, notices, and what the daemon itself has to do.
#[derive(Default)]
struct Taken {
    facts: Vec<Fact>,
    notices: Vec<Notify>,
    silence: Option<(Option<String>, u64)>,
    closed: Option<Incident>,
}

impl Daemon {
    /// Takes in what lies in the inbox, in the order of its names, each once.
    pub(super) fn take_submissions(&mut self) -> Result<(), BookError> {
        let names = match self.parts.book.store().submissions() {
            Ok(names) => names,
            Err(e) => {
                tracing::error!(error = %e, "the inbox cannot be read");
                return Ok(());
            }
        };
        for name in names {
            if self.unremovable.contains(&name) {
                continue;
            }
            self.take_submission(&name)?;
            if let Err(e) = self.parts.book.store().remove_submission(&name) {
                // It was judged, and must neither be looked at again and again nor keep those behind it from being taken in.
                tracing::error!(error = %e, "a submission cannot be removed");
                self.unremovable.insert(name);
            }
        }
        Ok(())
    }

    fn take_submission(&mut self, name: &str) -> Result<(), BookError> {
        let submission = match self.read_submission(name) {
            Ok(submission) => submission,
            Err(reason) => return self.refuse(name, reason),
        };
        if self.parts.book.read(|book| book.has_taken(&submission.id)) {
            return Ok(());
        }
        match self.judge(&submission) {
            Err(reason) => self.refuse(name, reason),
            Ok(taken) => {
                let by = neutralise(&submission.by);
                let mut facts = vec![Fact::SubmissionTaken { submission: submission.id, by }];
                facts.extend(taken.facts);
                self.say(facts, taken.notices)?;
                if let Some((trigger, until_ms)) = taken.silence {
                    self.silence(trigger, until_ms);
                }
                if let Some(incident) = taken.closed {
                    self.is_over(&incident);
                }
                Ok(())
            }
        }
    }

    fn refuse(&mut self, name: &str, reason: String) -> Result<(), BookError> {
        let submission = neutralise(name);
        self.say(vec![Fact::SubmissionRefused { submission, reason }], Vec::new())
    }

    fn read_submission(&self, name: &str) -> Result<Submission, String> {
        let bytes = self.parts.book.store().submission(name).map_err(|e| e.to_string())?;
        let bytes = bytes.ok_or("it is longer than any submission can be")?;
        let submission: Submission = serde_json::from_slice(&bytes)
            .map_err(|e| format!("it is no submission: {}", neutralise(&e.to_string())))?;
        if submission.unship_submission != FORMAT {
            return Err(format!(
                "it is written in the form {}, and this unship reads {FORMAT}",
                submission.unship_submission
            ));
        }
        if name != format!("{}.json", submission.id) {
            return Err(format!("it says that it is {}", submission.id));
        }
        Ok(submission)
    }

    fn judge(&self, submission: &Submission) -> Result<Taken, String> {
        let by = neutralise(&submission.by);
        let now_ms = self.now_ms();
        match &submission.wish {
            Wish::Approve { incident, approval } => Ok(self.approve(incident, approval)),
            Wish::Deny { incident, reason, owner } => {
                let open = self.open_incident(incident)?;
                let can = matches!(
                    open.stage,
                    Stage::Opened
                        | Stage::Waiting { .. }
                        | Stage::Acting
                        | Stage::Asking { .. }
                        | Stage::Watching { .. }
                        | Stage::Paged
                        | Stage::NotRecovered
                );
                if !can {
                    return Err(format!("it is too late to say no to {incident}"));
                }
                let owner = owner.clone().unwrap_or_else(|| self.parts.setup.decision.owner.clone());
                let (owner, reason) = (neutralise(&owner), neutralise(reason));
                let notice = Notify::of(
                    NoticeEvent::Answered,
                    incident,
                    format!("{by} said no: {reason}; {owner} fixes it forward"),
                );
                let denied = Fact::Denied { incident: incident.clone(), by, reason, owner };
                Ok(Taken { facts: vec![denied], notices: vec![notice], ..Taken::default() })
            }
            Wish::Close { incident, reason } => {
                let open = self.open_incident(incident)?;
                if matches!(
                    open.stage,
                    Stage::Running { .. } | Stage::Ran { .. } | Stage::Stabilising { .. } | Stage::Acting
                ) {
                    return Err(format!("{incident} is being dealt with; say no, or wait"));
                }
                let reason = format!("{by}: {}", neutralise(reason));
                let closed = Fact::IncidentClosed { incident: incident.clone(), how: Closing::ByHand, reason };
                let notice = Notify::of(NoticeEvent::Closed, incident, format!("{by} closed it"));
                Ok(Taken { facts: vec![closed], notices: vec![notice], closed: Some(open), ..Taken::default() })
            }
            Wish::Silence { trigger, until_ms } => {
                if *until_ms <= now_ms || *until_ms > now_ms.saturating_add(SILENCE_MAX_MS) {
                    return Err("a silence ends, and within 7 days".to_owned());
                }
                let rules = &self.parts.setup.rules;
                if let Some(name) = trigger.as_ref().filter(|name| !rules.iter().any(|rule| rule.name == **name)) {
                    return Err(format!("there is no trigger {:?}", neutralise(name)));
                }
                let silenced = Fact::Silenced { trigger: trigger.clone(), until_ms: *until_ms, by };
                Ok(Taken { facts: vec![silenced], silence: Some((trigger.clone(), *until_ms)), ..Taken::default() })
            }
            Wish::Pause { reason } => {
                let paused = Fact::Paused { by, reason: neutralise(reason) };
                Ok(Taken { facts: vec![paused], ..Taken::default() })
            }
            Wish::Unpause => Ok(Taken { facts: vec![Fact::Unpaused { by }], ..Taken::default() }),
            Wish::PostMortem { run } => {
                let is_due =
                    self.parts.book.read(|b| b.post_mortems().get(run).is_some_and(|p| p.written_ms.is_none()));
                if !is_due {
                    return Err(format!("no post-mortem of run {run} is due"));
                }
                Ok(Taken { facts: vec![Fact::PostMortemWritten { run: run.clone() }], ..Taken::default() })
            }
            Wish::TellUsers { run, text } => self.tell_users(run, text, by),
        }
    }

    fn tell_users(&self, run: &RunId, text: &str, by: String) -> Result<Taken, String> {
        let incident = self.parts.book.read(|book| book.runs().get(run).map(|note| note.incident.clone()));
        let incident = incident.ok_or_else(|| format!("there is no run {run} of the daemon's"))?;
        if text.trim().is_empty() || text.len() > USERS_TEXT_BYTES_MAX {
            return Err(format!("what users are told has 1 to {USERS_TEXT_BYTES_MAX} bytes"));
        }
        let told = Fact::TextApproved { run: run.clone(), by, text: Digest::of(text.as_bytes()) };
        let notice = Notify::of(NoticeEvent::UsersAffected, &incident, text).with_run(run);
        Ok(Taken { facts: vec![told], notices: vec![notice], ..Taken::default() })
    }

    fn open_incident(&self, id: &IncidentId) -> Result<Incident, String> {
        let incident = self.incident(id, Incident::clone).ok_or_else(|| format!("there is no incident {id}"))?;
        if incident.is_open() { Ok(incident) } else { Err(format!("the incident {id} is over")) }
    }

    /// A signed approval: counted, or refused with its reason; both are facts.
    fn approve(&self, id: &IncidentId, text: &str) -> Taken {
        let refused = |key: String, reason: String| {
            let incident = self.incident(id, |i| i.id.clone());
            Taken { facts: vec![Fact::ApprovalRefused { incident, key, reason }], ..Taken::default() }
        };
        let approval = match Approval::parse(text) {
            Ok(approval) => approval,
            Err(e) => return refused("?".to_owned(), e.to_string()),
        };
        let key = approval.key().to_string();
        match self.count(id, text, &approval) {
            Ok(facts) => {
                let notice = Notify::of(NoticeEvent::Answered, id, "a person said yes");
                Taken { facts, notices: vec![notice], ..Taken::default() }
            }
            Err(reason) => refused(key, reason),
        }
    }

    fn count(&self, id: &IncidentId, text: &str, approval: &Approval) -> Result<Vec<Fact>, String> {
        let now_ms = self.now_ms();
        let incident = self.open_incident(id)?;
        if !incident.can_be_approved() {
            return Err("nobody is asked about this incident now".to_owned());
        }
        if !incident.weakens.is_empty() {
            return Err(format!(
                "its plan weakens {}, which only a person's own `unship apply --approval` does",
                incident.weakens.join(", ")
            ));
        }
        let proof = Digest::of(text.as_bytes());
        if self.parts.book.read(|book| book.has_counted(&proof)) {
            return Err("it was counted before: an approval counts once".to_owned());
        }
        let statement = approval.statement();
        let (story, plan) = match (&incident.story, incident.plan) {
            (Some(story), Some(plan)) => (story.clone(), plan),
            (Some(_), None) => return Err("there is no plan to approve of".to_owned()),
            // Nobody knew which story is at fault: the approval says it, and the run expects the very plan that it names.
            (None, _) => (statement.story.clone(), statement.plan),
        };
        if !self.parts.setup.stories.contains(&story) {
            return Err(format!("story {} has no policy at this site", neutralise(&story)));
        }
        let sought = Sought {
            site: &self.parts.setup.site,
            story: &story,
            variant: None,
            plan,
            break_glass: false,
            approvals: 1,
            now_ms,
        };
        let judged = approved(&sought, std::slice::from_ref(approval), &self.parts.policies.trust()?);
        let judged = judged.map_err(|wrong| wrong.first().map_or_else(String::new, |(_, e)| e.to_string()))?;
        let person = judged.people().first().cloned().unwrap_or_default();
        if incident.has_approved(&person, now_ms) {
            return Err(format!("{person} has approved already: each person counts once"));
        }
        let mut facts = Vec::new();
        if incident.story.is_none() {
            if let Some(other) = self.parts.book.read(|book| book.open_for(&story).map(|i| i.id.clone())) {
                return Err(format!("the incident {other} is about story {story}: approve of that"));
            }
            facts.push(Fact::Attributed { incident: id.clone(), story: story.clone(), by: person.clone() });
            let (incident, effects) = (id.clone(), Vec::new());
            facts.push(Fact::PlanMade { incident, story, digest: plan, effects, weakens: Vec::new() });
        }
        let (key, expires_ms) = (approval.key().to_string(), statement.expires_ms);
        facts.push(Fact::ApprovalCounted { incident: id.clone(), key, person, digest: plan, expires_ms, proof });
        Ok(facts)
    }

    /// One link for each approver, while they are asked.
    pub(super) fn make_links(&self, incident: &Incident, plan: Digest, within_ms: Option<u64>) -> Vec<Fact> {
        let watch = &self.parts.setup.watch;
        if watch.links.is_none() {
            return Vec::new();
        }
        let expires_ms = self.now_ms().saturating_add(within_ms.unwrap_or(LINK_MS));
        let trust = match self.parts.policies.trust() {
            Ok(trust) => trust,
            Err(e) => {
                tracing::error!(error = e, "no one-time link is made");
                return Vec::new();
            }
        };
        let mut facts = Vec::new();
        for person in watch.approvers.iter().filter(|person| is_approver(&trust, person)) {
            match links::make(self.parts.book.store()) {
                Ok(link) => {
                    let (incident, person) = (incident.id.clone(), person.clone());
                    facts.push(Fact::LinkMade { incident, link, person, digest: plan, expires_ms });
                }
                Err(e) => tracing::error!(error = %e, "no one-time link can be made"),
            }
        }
        facts
    }

    /// A link was used: once, in time, and for the plan that it was made for.
    pub(super) fn take_link(
        &mut self,
        link: &Digest,
        answer: Result<(), String>,
    ) -> Result<Result<String, String>, BookError> {
        let now_ms = self.now_ms();
        let found = self.parts.book.read(|book| book.link(link).map(|(i, l)| (i.clone(), l.clone())));
        let Some((incident, made)) = found else {
            return Ok(Err("this link is none of this site's".to_owned()));
        };
        let id = incident.id.clone();
        let refusal = if made.is_used {
            Some("this link was used before: it works once")
        } else if made.expires_ms <= now_ms {
            Some("this link has expired")
        } else if !incident.can_be_approved() {
            Some("nobody is asked about this incident any more")
        } else if incident.plan != Some(made.digest) {
            Some("the plan is another one by now: look at the newer link")
        } else if !self.parts.policies.trust().is_ok_and(|trust| is_approver(&trust, &made.person)) {
            Some("this person may not approve on this site any more")
        } else if answer.is_ok() && incident.has_approved(&made.person, now_ms) {
            Some("this person has approved already: each person counts once")
        } else {
            None
        };
        if let Some(reason) = refusal {
            let refused = Fact::ApprovalRefused {
                incident: incident.is_open().then(|| id.clone()),
                key: format!("link of {}", made.person),
                reason: reason.to_owned(),
            };
            self.say(vec![refused], Vec::new())?;
            return Ok(Err(reason.to_owned()));
        }
        let used = Fact::LinkUsed { incident: id.clone(), link: *link };
        let person = made.person.clone();
        let (fact, said) = match answer {
            Ok(()) => {
                let (key, digest, expires_ms) = (format!("link {}", link.hex()), made.digest, made.expires_ms);
                let said = format!("{person} said yes");
                (Fact::ApprovalCounted { incident: id.clone(), key, person, digest, expires_ms, proof: *link }, said)
            }
            Err(reason) => {
                let owner = self.parts.setup.decision.owner.clone();
                let said = format!("{person} said no; {owner} fixes it forward");
                (Fact::Denied { incident: id.clone(), by: person, reason: neutralise(&reason), owner }, said)
            }
        };
        let notice = Notify::of(NoticeEvent::Answered, &id, said.clone());
        self.say(vec![used, fact], vec![notice])?;
        links::forget(self.parts.book.store(), link);
        Ok(Ok(said))
    }
}

/// Whether one of this person's keys may approve here.
pub(super) fn is_approver(trust: &TrustRoot, person: &str) -> bool {
    trust.approvers().any(|owner| owner == person)
}
