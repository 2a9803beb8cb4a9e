//! How an incident goes on: from stage to stage, as far as it can now.

use super::{Daemon, Planning, fresh_id, people::is_approver, samples::After, samples::judge};
use crate::{
    book::BookError,
    hands::Job,
    links,
    notify::Notify,
    ports::{Order, Planned, RunSummary},
};
use std::collections::BTreeSet;
use unship_policy::{Course, Digest, PublicKey};
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{
        Closing, CountedApproval, Decided, Decision, Fact, Incident, IncidentId, Joined, Known, NoticeEvent, Stage,
        Way, at_expiry, at_watch_end, decide,
    },
};

const DAY_MS: u64 = 24 * 3_600_000;
/// Who denies what nobody answered.
const NOBODY: &str = "nobody";

impl Daemon {
    /// One stage on; `false` when there is nothing to do now.
    pub(super) fn go_on_with(&mut self, id: &IncidentId) -> Result<bool, BookError> {
        let Some(incident) = self.incident(id, Incident::clone) else { return Ok(false) };
        match &incident.stage {
            Stage::Opened => self.decide_on(&incident),
            Stage::Waiting { on } => self.wait_for(&incident, on),
            Stage::Acting => self.begin_run(&incident, None),
            Stage::Asking { until_ms } => self.ask(&incident, *until_ms),
            Stage::Watching { until_ms } => self.keep_watching(&incident, *until_ms),
            Stage::Paged => self.wait_for_a_person(&incident),
            Stage::Running { run } => self.go_on_with_run(&incident, run),
            Stage::Ran { run, outcome, verdict } => self.after_run(&incident, run, *outcome, *verdict),
            Stage::Stabilising { run, until_ms } => self.judge_after(&incident, run, *until_ms),
            Stage::Recovered => self.close(&incident, Closing::Recovered, "the story was taken back, and all is well"),
            Stage::NotRecovered if self.has_cleared(&incident) => {
                self.close(&incident, Closing::Cleared, "its triggers cleared")
            }
            Stage::FixForward { .. } if self.has_cleared(&incident) => {
                self.close(&incident, Closing::FixedForward, "its triggers cleared")
            }
            Stage::NotRecovered | Stage::FixForward { .. } | Stage::Closed { .. } => Ok(false),
        }
    }

    /// Plans the story, then decides.
    fn decide_on(&mut self, incident: &Incident) -> Result<bool, BookError> {
        let Some(story) = &incident.story else {
            return self.decided(incident, None, Vec::new());
        };
        match self.plans.get(&incident.id) {
            None => {
                self.plans.insert(incident.id.clone(), Planning::Asked);
                self.hands.give(Job::Plan(incident.id.clone(), story.clone()));
                Ok(false)
            }
            Some(Planning::Asked) => Ok(false),
            Some(Planning::Known(_)) => {
                let Some(Planning::Known(planned)) = self.plans.remove(&incident.id) else { return Ok(false) };
                self.decide_by(incident, story, planned)
            }
        }
    }

    fn decide_by(
        &mut self,
        incident: &Incident,
        story: &str,
        planned: Result<Planned, String>,
    ) -> Result<bool, BookError> {
        match planned {
            Ok(planned) if !planned.unmet.is_empty() => self.propose_first(incident, &planned.unmet),
            Ok(planned) => {
                let Planned { digest, already, weakens, manual_only, effects, .. } = planned;
                let weakened = weakens.clone();
                let (id, story) = (incident.id.clone(), story.to_owned());
                let made = Fact::PlanMade { incident: id, story, digest, effects, weakens: weakened };
                self.decided(incident, Some((Way::Open { weakens, manual_only, already }, digest)), vec![made])
            }
            Err(reason) => {
                let not_ready = Fact::NotReady { story: story.to_owned(), reason: reason.clone() };
                self.decided_way(incident, Some(Way::Shut { reason }), None, vec![not_ready])
            }
        }
    }

    fn decided(
        &mut self,
        incident: &Incident,
        way: Option<(Way, Digest)>,
        facts: Vec<Fact>,
    ) -> Result<bool, BookError> {
        let (way, digest) = way.map_or((None, None), |(way, digest)| (Some(way), Some(digest)));
        self.decided_way(incident, way, digest, facts)
    }

    fn decided_way(
        &mut self,
        incident: &Incident,
        way: Option<Way>,
        plan: Option<Digest>,
        mut facts: Vec<Fact>,
    ) -> Result<bool, BookError> {
        let now_ms = self.now_ms();
        let known = self.parts.book.read(|book| {
            let is_refused = |run: &&RunId| {
                book.runs().get(run).is_some_and(|note| matches!(note.ended, Some((Outcome::Refused, ..))))
            };
            Known {
                way: way.clone(),
                paused_by: book.paused().map(|(by, _)| by.clone()),
                attempts: incident.story.as_ref().map_or(0, |s| book.attempts(s, now_ms.saturating_sub(DAY_MS))),
                is_gone_then: self.are_gone_then(incident),
                refused: incident.runs.iter().filter(is_refused).count(),
            }
        });
        let decided = decide(incident, &self.parts.setup.decision, &known);
        let is_weakening = matches!(&way, Some(Way::Open { weakens, .. }) if !weakens.is_empty());
        let links = match (plan, decided.decision) {
            (Some(plan), Decision::Ask | Decision::Page | Decision::Watch) if !is_weakening => {
                self.make_links(incident, plan, decided.within_ms)
            }
            _ => Vec::new(),
        };
        let notice = self.tell(incident, &decided);
        facts.push(self.fact(incident, &decided));
        facts.extend(links);
        if decided.decision == Decision::Ignore {
            return self.close_with(incident, Closing::GoneAlready, &decided.reason, facts);
        }
        self.say(facts, notice)?;
        Ok(true)
    }

    fn fact(&self, incident: &Incident, decided: &Decided) -> Fact {
        Fact::Decided {
            incident: incident.id.clone(),
            decision: decided.decision,
            reason: decided.reason.clone(),
            deadline_ms: decided.within_ms.map(|ms| self.now_ms().saturating_add(ms)),
        }
    }

    fn tell(&self, incident: &Incident, decided: &Decided) -> Vec<Notify> {
        let event = match decided.decision {
            Decision::Act | Decision::Ignore => return Vec::new(),
            Decision::Ask => NoticeEvent::ApprovalNeeded,
            Decision::Watch => NoticeEvent::Progress,
            Decision::Page => NoticeEvent::Paged,
        };
        vec![Notify::of(event, &incident.id, format!("{}: {}", decided.decision, decided.reason))]
    }

    /// Other stories come first: the next of them gets an incident of its own, by its own rules. When that is over it is planned
    /// anew, so that all of them go in their order.
    fn propose_first(&mut self, incident: &Incident, unmet: &[String]) -> Result<bool, BookError> {
        let Some(first) = unmet.first() else { return Ok(false) };
        let open = self.parts.book.read(|book| book.open_for(first).map(|i| i.id.clone()));
        if open.as_ref().is_some_and(|other| self.above(incident).contains(other)) {
            let reason = format!("story {first} and this one need each other first");
            return self.decided_way(incident, Some(Way::Shut { reason }), None, Vec::new());
        }
        let is_new = open.is_none();
        let Some(on) = open.or_else(|| IncidentId::new(&fresh_id('i', self.now_ms()))) else { return Ok(false) };
        let mut facts = Vec::new();
        if is_new {
            let needs = incident.story.as_deref().unwrap_or_default();
            facts.push(Fact::IncidentOpened {
                incident: on.clone(),
                trigger: format!("needed-first/{needs}"),
                story: Some(first.clone()),
                severity: incident.severity(),
                auto: incident.auto(),
                evidence: None,
                rule: format!("story {needs} needs it first"),
                needed_by: Some(incident.id.clone()),
            });
        }
        facts.push(Fact::Waits { incident: incident.id.clone(), on: vec![on] });
        let detail = format!("waits for {}, which come first", unmet.join(", "));
        let notice = Notify::of(NoticeEvent::Progress, &incident.id, detail);
        self.say(facts, vec![notice])?;
        Ok(true)
    }

    /// The incident and those whose stories need its story first.
    fn above(&self, incident: &Incident) -> BTreeSet<IncidentId> {
        let (mut above, mut next) = (BTreeSet::new(), Some(incident.clone()));
        while let Some(incident) = next.filter(|i| above.insert(i.id.clone())) {
            next = incident.needed_by.as_ref().and_then(|id| self.incident(id, Incident::clone));
        }
        above
    }

    fn wait_for(&mut self, incident: &Incident, on: &[IncidentId]) -> Result<bool, BookError> {
        for id in on {
            let Some(other) = self.incident(id, Incident::clone) else { continue };
            let story = other.story.unwrap_or_default();
            match other.stage {
                Stage::Closed { how: Closing::Recovered } => {}
                Stage::NotRecovered | Stage::FixForward { .. } | Stage::Closed { .. } => {
                    let reason = format!("story {story}, which comes first, is not taken back (incident {id})");
                    let decided = Decided { decision: Decision::Page, reason, within_ms: None };
                    let (fact, notice) = (self.fact(incident, &decided), self.tell(incident, &decided));
                    self.say(vec![fact], notice)?;
                    return Ok(true);
                }
                _ => return Ok(false),
            }
        }
        // All of them are taken back: it is planned as things are now.
        match self.plans.get(&incident.id) {
            Some(Planning::Known(_)) => self.decide_on(incident),
            Some(Planning::Asked) => Ok(false),
            None => self.decide_on(incident),
        }
    }

    fn ask(&mut self, incident: &Incident, until_ms: u64) -> Result<bool, BookError> {
        if let Some(people) = self.said_yes(incident) {
            return self.begin_run(incident, Some(people));
        }
        if self.now_ms() < until_ms {
            return Ok(false);
        }
        let policy = &self.parts.setup.decision;
        let (reason, is_paged) = at_expiry(policy);
        let event = if is_paged { NoticeEvent::Paged } else { NoticeEvent::Progress };
        let notice = Notify::of(event, &incident.id, format!("denied: {reason}"));
        let (by, owner) = (NOBODY.to_owned(), policy.owner.clone());
        self.say(vec![Fact::Denied { incident: incident.id.clone(), by, reason, owner }], vec![notice])?;
        Ok(true)
    }

    fn keep_watching(&mut self, incident: &Incident, until_ms: u64) -> Result<bool, BookError> {
        if let Some(people) = self.said_yes(incident) {
            return self.begin_run(incident, Some(people));
        }
        let percent = match self.parts.setup.decision.course(incident.severity()) {
            Course::Watch { worse_percent, .. } => worse_percent,
            Course::Page | Course::Ask { .. } => 0,
        };
        let is_over = self.now_ms() >= until_ms;
        let why = match self.is_worse(incident, percent) {
            Some(worse) => Some(worse),
            None if is_over => self.still_breaches(incident),
            None => return Ok(false),
        };
        let policy = &self.parts.setup.decision;
        let decided = at_watch_end(policy, why.as_deref());
        match why {
            Some(reason) => {
                let escalated = Fact::Escalated { incident: incident.id.clone(), reason };
                let notice = self.tell(incident, &decided);
                let mut facts = vec![escalated, self.fact(incident, &decided)];
                if let Some(plan) = incident.plan.filter(|_| incident.weakens.is_empty()) {
                    facts.extend(self.make_links(incident, plan, decided.within_ms));
                }
                self.say(facts, notice)?;
                Ok(true)
            }
            None => {
                let ignored = self.fact(incident, &decided);
                self.close_with(incident, Closing::Cleared, &decided.reason, vec![ignored])
            }
        }
    }

    fn wait_for_a_person(&mut self, incident: &Incident) -> Result<bool, BookError> {
        match self.said_yes(incident) {
            Some(people) => self.begin_run(incident, Some(people)),
            None if self.has_cleared(incident) => self.close(incident, Closing::Cleared, "its triggers cleared"),
            None => Ok(false),
        }
    }

    /// Those who said yes to its plan, where they are enough. Whoever may not approve any more counts no more.
    fn said_yes(&self, incident: &Incident) -> Option<String> {
        let (plan, now_ms, quorum) = (incident.plan?, self.now_ms(), self.parts.setup.decision.quorum as usize);
        if incident.approvers(&plan, now_ms).len() < quorum {
            return None;
        }
        let trust = match self.parts.policies.trust() {
            Ok(trust) => trust,
            Err(e) => {
                tracing::error!(error = e, "no approval counts");
                return None;
            }
        };
        let may = |approval: &&CountedApproval| match PublicKey::parse(&approval.key) {
            Ok(key) => trust.approver(&key).is_some(),
            // By a one-time link, which is a person's.
            Err(_) => is_approver(&trust, &approval.person),
        };
        let people: Vec<&str> =
            incident.approvals_of(plan, now_ms).filter(may).map(|approval| approval.person.as_str()).collect();
        (people.len() >= quorum).then(|| people.join(" and "))
    }

    /// Begins the run as soon as the site is free. `people`: who said yes; nobody was asked otherwise.
    fn begin_run(&mut self, incident: &Incident, people: Option<String>) -> Result<bool, BookError> {
        let is_free = self.parts.book.read(|book| book.running().is_none()) && !self.parts.operator.is_busy();
        let (Some(story), Some(digest), true) = (incident.story.clone(), incident.plan, is_free) else {
            return Ok(false);
        };
        if self.is_stopping || self.upkeep.is_finishing {
            return Ok(false);
        }
        let now_ms = self.now_ms();
        if people.is_none() && self.parts.book.read(|book| book.paused().is_some()) {
            // It was paused between the decision and now: it is decided anew.
            return self.decide_on(incident);
        }
        let Some(run) = RunId::new(&fresh_id('r', now_ms)) else { return Ok(false) };
        let detail = match people {
            Some(people) => format!("{people} said yes"),
            None => incident.decided.as_ref().map_or_else(String::new, |(_, reason)| reason.clone()),
        };
        let notice = Notify::of(NoticeEvent::Initiated, &incident.id, detail).with_run(&run);
        // What was planned before it says nothing about the site after it.
        self.plans.remove(&incident.id);
        let began = Fact::RunBegan { incident: incident.id.clone(), run, story, digest };
        self.say(vec![began], vec![notice])?;
        self.inhibit();
        Ok(true)
    }

    /// The hands get it once; after a restart again, which makes no second run of it.
    fn go_on_with_run(&mut self, incident: &Incident, run: &RunId) -> Result<bool, BookError> {
        let note = self.parts.book.read(|book| book.runs().get(run).cloned());
        if let Some(note) = note.filter(|_| self.given.insert(run.clone())) {
            let order = Order { run: run.clone(), story: note.story, digest: note.digest };
            self.hands.give(Job::Run(incident.id.clone(), order));
        }
        Ok(false)
    }

    pub(super) fn take_run(
        &mut self,
        incident: &IncidentId,
        order: &Order,
        ended: Result<RunSummary, String>,
    ) -> Result<(), BookError> {
        let RunSummary { outcome, verdict, reason } = match ended {
            Ok(summary) => summary,
            // Nobody can tell how it stands: it stays as it is, and a person is told.
            Err(why) => {
                let detail = format!("how run {} stands cannot be told: {why}", order.run);
                let notice = Notify::of(NoticeEvent::Paged, incident, detail).with_run(&order.run);
                let is_new = self.ask_again(&order.run, why);
                return self.say(vec![], is_new.then_some(notice).into_iter().collect());
            }
        };
        let (id, run) = (incident.clone(), order.run.clone());
        let why = reason.clone().map_or_else(String::new, |reason| format!(": {reason}"));
        let mut facts = vec![Fact::RunEnded { incident: id, run: run.clone(), outcome, verdict, reason }];
        let event = match outcome {
            Outcome::Succeeded => NoticeEvent::Progress,
            Outcome::Undone | Outcome::Refused => NoticeEvent::Failed,
            Outcome::Stuck => NoticeEvent::Stuck,
        };
        if outcome != Outcome::Refused {
            let due_ms = unship_rollback::post_mortem::due(self.now_ms(), &self.parts.setup.post_mortem);
            facts.push(Fact::PostMortemDue { run: run.clone(), due_ms });
        }
        let verdict = verdict.map_or_else(String::new, |v| format!(", {v}"));
        let notice = Notify::of(event, incident, format!("{outcome}{verdict}{why}")).with_run(&run);
        self.say(facts, vec![notice])?;
        self.watch_site();
        Ok(())
    }

    fn after_run(
        &mut self,
        incident: &Incident,
        run: &RunId,
        outcome: Outcome,
        verdict: Option<Verdict>,
    ) -> Result<bool, BookError> {
        let reason = self.parts.book.read(|book| book.runs().get(run).and_then(|n| n.ended.clone()).and_then(|e| e.2));
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        match (outcome, verdict) {
            (Outcome::Refused, _) => {
                let reason = format!("run {run} was refused{why}");
                self.say(vec![Fact::Escalated { incident: incident.id.clone(), reason }], Vec::new())?;
            }
            (Outcome::Succeeded, Some(Verdict::Recovered)) if self.is_judged_after(incident) => {
                let stability_ms = u64::try_from(self.parts.setup.decision.stability.as_millis()).unwrap_or(u64::MAX);
                let until_ms = self.now_ms().saturating_add(stability_ms);
                self.begin_to_judge(incident);
                self.say(vec![Fact::StabilityBegan { incident: incident.id.clone(), until_ms }], Vec::new())?;
            }
            (Outcome::Succeeded, Some(Verdict::Recovered)) => {
                self.say_verdict(incident, run, Verdict::Recovered, "its verifications say so")?;
            }
            (Outcome::Succeeded, verdict) => {
                let verdict = verdict.unwrap_or(Verdict::Unknown);
                self.say_verdict(
                    incident,
                    run,
                    verdict,
                    &format!("its verifications do not say that all is well{why}"),
                )?;
            }
            (Outcome::Undone, _) => {
                let reason = format!("the run failed and was taken back{why}");
                self.say_verdict(incident, run, Verdict::NotRecovered, &reason)?;
            }
            (Outcome::Stuck, _) => {
                self.say_verdict(incident, run, Verdict::NotRecovered, &format!("the run is stuck{why}"))?;
            }
        }
        Ok(true)
    }

    /// The stability window: no trigger may breach after the run, not even for a moment.
    fn judge_after(&mut self, incident: &Incident, run: &RunId, until_ms: u64) -> Result<bool, BookError> {
        let Some(judged) = self.judges.get(&incident.id).map(judge) else {
            self.begin_to_judge(incident);
            return Ok(false);
        };
        let is_over = self.now_ms() >= until_ms;
        if let Some(joined) = self.fired_since(incident, run) {
            self.say_verdict(incident, run, Verdict::NotRecovered, &format!("{joined} fired after the run"))?;
            return Ok(true);
        }
        match judged {
            After::Breach(why) => self.say_verdict(incident, run, Verdict::NotRecovered, &why)?,
            After::Clear(silent) if is_over => {
                let mut reason = "its verifications passed, and its triggers stayed clear".to_owned();
                if !silent.is_empty() {
                    reason.push_str(&format!("; without data, as policy has it: {}", silent.join(", ")));
                }
                self.say_verdict(incident, run, Verdict::Recovered, &reason)?;
            }
            After::Unknown(why) if is_over => self.say_verdict(incident, run, Verdict::Unknown, &why)?,
            After::Clear(_) | After::Unknown(_) => return Ok(false),
        }
        Ok(true)
    }

    /// A trigger of the incident's story that fired for what was observed after the run had ended. The others were there when
    /// it was begun to judge.
    fn fired_since(&self, incident: &Incident, run: &RunId) -> Option<String> {
        let ended_ms = self.parts.book.read(|book| book.runs().get(run)?.ended.as_ref().map(|ended| ended.3))?;
        let fired_ms = |t: &Joined| t.evidence.as_ref().map_or(t.at_ms, |e| u64::try_from(e.at_ms).unwrap_or(0));
        let is_judged = |t: &&Joined| self.rule(&t.trigger).is_none_or(|rule| !self.is_gone_then(rule));
        incident.triggers.iter().filter(is_judged).find(|t| fired_ms(t) > ended_ms).map(|t| t.trigger.clone())
    }

    fn say_verdict(
        &mut self,
        incident: &Incident,
        run: &RunId,
        verdict: Verdict,
        reason: &str,
    ) -> Result<(), BookError> {
        let event = if verdict == Verdict::Recovered { NoticeEvent::Complete } else { NoticeEvent::NotRecovered };
        let notice = Notify::of(event, &incident.id, format!("{verdict}: {reason}")).with_run(run);
        let (id, reason) = (incident.id.clone(), reason.to_owned());
        self.say(vec![Fact::VerdictReached { incident: id, verdict, reason }], vec![notice])
    }

    pub(super) fn close(&mut self, incident: &Incident, how: Closing, reason: &str) -> Result<bool, BookError> {
        self.close_with(incident, how, reason, Vec::new())
    }

    /// Nothing of it is kept beside the book, and its triggers may fire again.
    pub(super) fn is_over(&mut self, incident: &Incident) {
        self.plans.remove(&incident.id);
        for (link, _) in incident.links.iter().filter(|(_, made)| !made.is_used) {
            links::forget(self.parts.book.store(), link);
        }
        self.rearm(incident);
    }

    fn close_with(
        &mut self,
        incident: &Incident,
        how: Closing,
        reason: &str,
        mut facts: Vec<Fact>,
    ) -> Result<bool, BookError> {
        facts.push(Fact::IncidentClosed { incident: incident.id.clone(), how, reason: reason.to_owned() });
        // The notice of its verdict told all there is.
        let notices = match how {
            Closing::Recovered => Vec::new(),
            _ => vec![Notify::of(NoticeEvent::Closed, &incident.id, format!("closed: {reason}"))],
        };
        self.say(facts, notices)?;
        self.is_over(incident);
        // What was over is what a copy of the journal elsewhere is compared with.
        if let Err(e) = self.parts.book.sign() {
            tracing::error!(error = %e, "the checkpoint was not signed");
        }
        Ok(false)
    }
}
