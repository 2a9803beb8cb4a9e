//! What a template can name: everything that the book knows of what a notice tells of, as text. What is not known is empty.

use jiff::Timestamp;
use serde::Serialize;
use unship_rollback::{
    incident::{Book, Incident, Notice, NoticeEvent},
    neutralise,
};

/// What made the incident's first trigger fire.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ToldEvidence {
    pub series: String,
    pub value: String,
    pub at: String,
}

/// See the module. Times are RFC 3339 in UTC; all texts are one line without control characters.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Told {
    pub site: String,
    /// `initiated`, …
    pub event: String,
    /// The same in words.
    pub status: String,
    pub details: String,
    /// When it was queued.
    pub at: String,
    pub notice: String,
    pub dedup: String,
    pub incident: String,
    /// `unknown` where nobody knows which is at fault.
    pub story_id: String,
    pub run: String,
    /// Nobody was asked.
    pub automatic: bool,
    pub severity: String,
    /// The first trigger of the incident, and its rule.
    pub trigger: String,
    pub rule: String,
    pub evidence: ToldEvidence,
    pub opened: String,
    pub decision: String,
    pub plan: String,
    /// What the plan does, a line an effect.
    pub effects: Vec<String>,
    /// Who said yes.
    pub approvers: Vec<String>,
    pub began: String,
    pub ended: String,
    pub outcome: String,
    pub verdict: String,
    pub reason: String,
    /// A link for one person, to say yes or no; in mail to that person alone.
    pub link: String,
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn signed_time(ms: i64) -> String {
    u64::try_from(ms).map_or_else(|_| String::new(), time)
}

fn words(event: NoticeEvent) -> String {
    match event {
        NoticeEvent::Initiated => "in progress".to_owned(),
        NoticeEvent::Paged => "a person is needed".to_owned(),
        NoticeEvent::PostMortemDue => "post-mortem due".to_owned(),
        event => event.name().replace('-', " "),
    }
}

impl Told {
    pub fn of(book: &Book, site: &str, notice: &Notice) -> Told {
        let mut told = Told {
            site: neutralise(site),
            event: notice.event.name().to_owned(),
            status: words(notice.event),
            details: neutralise(&notice.detail),
            at: time(notice.queued_ms),
            notice: notice.id.as_str().to_owned(),
            dedup: notice.dedup.clone(),
            story_id: "unknown".to_owned(),
            ..Told::default()
        };
        let run = notice.run.as_ref().and_then(|run| book.runs().get(run).map(|note| (run, note)));
        let of_run = run.map(|(_, note)| &note.incident);
        if let Some(incident) = notice.incident.as_ref().or(of_run).and_then(|id| book.incident(id)) {
            told.take_incident(incident);
        }
        if let Some(run) = &notice.run {
            told.run = run.as_str().to_owned();
        }
        if let Some((_, note)) = run {
            told.story_id = neutralise(&note.story);
            told.plan = note.digest.to_string();
            told.automatic = note.is_automatic;
            told.began = time(note.began_ms);
            if let Some((outcome, verdict, reason, ended_ms)) = &note.ended {
                told.ended = time(*ended_ms);
                told.outcome = outcome.to_string();
                told.verdict = verdict.map_or_else(String::new, |verdict| verdict.to_string());
                told.reason = neutralise(reason.as_deref().unwrap_or_default());
            }
        }
        told
    }

    fn take_incident(&mut self, incident: &Incident) {
        self.incident = incident.id.as_str().to_owned();
        if let Some(story) = &incident.story {
            self.story_id = neutralise(story);
        }
        self.severity = format!("{:?}", incident.severity()).to_lowercase();
        self.opened = time(incident.opened_ms);
        if let Some(first) = incident.triggers.first() {
            self.trigger = neutralise(&first.trigger);
            self.rule = neutralise(&first.rule);
            if let Some(evidence) = &first.evidence {
                self.evidence = ToldEvidence {
                    series: neutralise(&evidence.series),
                    value: evidence.value.map_or_else(String::new, |value| value.to_string()),
                    at: signed_time(evidence.at_ms),
                };
            }
        }
        if let Some((decision, reason)) = &incident.decided {
            self.decision = neutralise(&format!("{decision}: {reason}"));
        }
        self.plan = incident.plan.map_or_else(String::new, |plan| plan.to_string());
        self.effects = incident.effects.iter().map(|effect| neutralise(effect)).collect();
        let mut people: Vec<String> = incident.approvals.iter().map(|yes| neutralise(&yes.person)).collect();
        people.dedup();
        self.approvers = people;
    }

    /// Something of everything, to see that a template names nothing else.
    pub fn sample(event: NoticeEvent) -> Told {
        Told {
            site: "practice".to_owned(),
            event: event.name().to_owned(),
            status: words(event),
            effects: vec!["write config/app.toml".to_owned()],
            approvers: vec!["ada".to_owned()],
            ..Told::default()
        }
    }
}
