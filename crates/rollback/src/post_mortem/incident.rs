//! What the daemon's book knows of the harm that a run was for: since when there was some, what was decided and by whom, who was
//! told, and how the series went.

use super::Moment;
use crate::{
    RunId, Verdict,
    chart::{Mark, svg},
    incident::{Book, Fact, Incident, IncidentId, NoticeEvent, NoticeStanding, Stage},
    signal::{Millis, Recording, Series, Sink as _},
    trigger::{Drawn, Evidence, Replay, Rule, Term, Transition, TransitionKind, TriggerRule, Value, drawn, metrics},
};
use serde::Serialize;
use unship_policy::Severity;

/// Series and samples of a picture at most; the facts hold fewer.
const SERIES_MAX: usize = 1000;
const SAMPLES_MAX: usize = 1_000_000;

/// An incident, with its facts as they became true.
#[derive(Debug, Clone, Copy)]
pub struct IncidentMaterial<'a> {
    /// The daemon's book.
    pub book: &'a Book,
    /// The incident.
    pub incident: &'a Incident,
    /// Its facts, each with its time in milliseconds since the epoch, in order.
    pub facts: &'a [(u64, Fact)],
    /// The run that is told of.
    pub run: &'a RunId,
    /// A fact in one line, for people.
    pub words: fn(&Fact) -> String,
}

/// What set it off. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The trigger's name.
    pub trigger: String,
    /// Its rule.
    pub rule: String,
    /// The series that made it fire, and what was compared; `None` where that was no finite number.
    pub series: Option<String>,
    /// See there.
    pub value: Option<f64>,
    /// When it fired.
    pub fired_ms: i64,
    /// What it fired for has begun at this time at the earliest: so far back its rule looks.
    pub begun_from_ms: i64,
    /// And at this one at the latest: so long it must have lasted.
    pub begun_by_ms: i64,
}

/// Who was told of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeTold {
    /// When it was to be told, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Of what.
    pub event: NoticeEvent,
    /// Where.
    pub channel: String,
    /// What.
    pub detail: String,
    /// `delivered`, `waits`, or why it was given up.
    pub standing: String,
}

/// An incident as a post-mortem tells it. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentTold {
    /// Its id.
    pub id: IncidentId,
    /// How bad its triggers say that it is.
    pub severity: Severity,
    /// What set it off, oldest first. Empty where it was opened for another incident's story.
    pub causes: Vec<Cause>,
    /// The incident whose story needs this one's first.
    pub needed_by: Option<IncidentId>,
    /// When it was opened.
    pub opened_ms: u64,
    /// What was decided last, and why.
    pub decision: Option<String>,
    /// Who said yes or no, and what did not count.
    pub answers: Vec<Moment>,
    /// What was said in the end; `None`: it is not over, or was closed without that.
    pub verdict: Option<Verdict>,
    /// Why, and when.
    pub verdict_reason: Option<String>,
    /// See there.
    pub verdict_ms: Option<u64>,
    /// When it was over; `None`: it is not.
    pub closed_ms: Option<u64>,
    /// Since when its triggers were clear and stayed so, as far as anybody looked: the end of the run, where it was recovered.
    pub harm_ended_ms: Option<u64>,
    /// Whether it waits for its triggers to stay clear.
    pub is_stabilising: bool,
    /// Its other runs.
    pub other_runs: Vec<RunId>,
    /// Who was told of what.
    pub notices: Vec<NoticeTold>,
}

impl IncidentTold {
    /// Puts it together.
    pub fn of(material: IncidentMaterial<'_>) -> IncidentTold {
        let IncidentMaterial { book, incident, facts, run, words } = material;
        let when = |is_it: fn(&Fact) -> bool| facts.iter().rev().find(|(_, fact)| is_it(fact)).map(|(at_ms, _)| *at_ms);
        let answers = facts.iter().filter(|(_, fact)| {
            matches!(fact, Fact::ApprovalCounted { .. } | Fact::ApprovalRefused { .. } | Fact::Denied { .. })
        });
        let (verdict, verdict_reason) = incident.verdict.clone().unzip();
        let ended_ms = book.runs().get(run).and_then(|note| note.ended.as_ref()).map(|ended| ended.3);
        let of_it = book.notices().filter(|notice| notice.incident.as_ref() == Some(&incident.id));
        IncidentTold {
            id: incident.id.clone(),
            severity: incident.severity(),
            causes: causes(incident, facts),
            needed_by: incident.needed_by.clone(),
            opened_ms: incident.opened_ms,
            decision: incident.decided.as_ref().map(|(decision, reason)| format!("{decision}, since {reason}")),
            answers: answers
                .map(|(at_ms, fact)| Moment { at_ms: *at_ms, what: about(incident, words(fact)) })
                .collect(),
            verdict,
            verdict_reason,
            verdict_ms: when(|fact| matches!(fact, Fact::VerdictReached { .. })),
            closed_ms: when(|fact| matches!(fact, Fact::IncidentClosed { .. })),
            harm_ended_ms: ended_ms.filter(|_| verdict == Some(Verdict::Recovered)),
            is_stabilising: matches!(incident.stage, Stage::Stabilising { .. }),
            other_runs: incident.runs.iter().filter(|other| *other != run).cloned().collect(),
            notices: of_it
                .map(|notice| NoticeTold {
                    at_ms: notice.queued_ms,
                    event: notice.event,
                    channel: notice.channel.clone(),
                    detail: notice.detail.clone(),
                    standing: match &notice.standing {
                        NoticeStanding::Queued => "waits".to_owned(),
                        NoticeStanding::Delivered { .. } => "delivered".to_owned(),
                        NoticeStanding::Failed { reason } => format!("given up: {reason}"),
                    },
                })
                .collect(),
        }
    }

    /// Between which times the harm began, as far as the triggers tell: from, by; in milliseconds since the epoch.
    pub fn harm_began_ms(&self) -> Option<(i64, i64)> {
        let from_ms = self.causes.iter().map(|cause| cause.begun_from_ms).min()?;
        Some((from_ms, self.causes.iter().map(|cause| cause.begun_by_ms).min()?))
    }
}

/// The line without the incident's name, which is that of the whole page.
fn about(incident: &Incident, line: String) -> String {
    line.strip_prefix(incident.id.as_str()).map_or(line.clone(), |rest| rest.trim_start().to_owned())
}

/// The incident's way, in lines. Notices and pictures have places of their own, and of the run its records tell.
pub(super) fn moments(material: IncidentMaterial<'_>) -> Vec<Moment> {
    let is_told = |fact: &Fact| match fact {
        Fact::NoticeQueued { .. } | Fact::SeriesSeen { .. } | Fact::LinkMade { .. } | Fact::LinkUsed { .. } => false,
        Fact::RunBegan { run, .. } | Fact::RunEnded { run, .. } => run != material.run,
        _ => true,
    };
    let facts = material.facts.iter().filter(|(_, fact)| is_told(fact));
    facts
        .map(|(at_ms, fact)| Moment { at_ms: *at_ms, what: about(material.incident, (material.words)(fact)) })
        .collect()
}

fn causes(incident: &Incident, facts: &[(u64, Fact)]) -> Vec<Cause> {
    let told = |joined: &crate::incident::Joined| {
        // One that was opened for another story has no rule.
        let rule = Rule::parse(&joined.rule).ok()?;
        let (least_ms, most_ms) = rule.begun_before_ms();
        let opened_ms = i64::try_from(joined.at_ms).unwrap_or(i64::MAX);
        let fired_ms = joined.evidence.as_ref().map_or(opened_ms, |evidence| evidence.at_ms);
        let looks = (fired_ms.saturating_sub(most_ms), fired_ms);
        let (last_well_ms, first_ms) = first_occurrence(&rule, &joined.trigger, looks, facts).unwrap_or_default();
        Some(Cause {
            trigger: joined.trigger.clone(),
            rule: joined.rule.clone(),
            series: joined.evidence.as_ref().map(|evidence| evidence.series.clone()),
            value: joined.evidence.as_ref().and_then(|evidence| evidence.value),
            fired_ms,
            begun_from_ms: last_well_ms.unwrap_or(looks.0),
            begun_by_ms: first_ms.unwrap_or(fired_ms.saturating_sub(least_ms)),
        })
    };
    incident.triggers.iter().filter_map(told).collect()
}

/// Of a rule that counts samples beyond a limit: the last one within before it was so, and the first that was.
fn first_occurrence(
    rule: &Rule,
    trigger: &str,
    (from_ms, to_ms): (i64, i64),
    facts: &[(u64, Fact)],
) -> Option<(Option<i64>, Option<i64>)> {
    let [Term { value: Value::Occurring { cmp, threshold, .. }, .. }] = rule.terms() else { return None };
    let seen = facts.iter().find_map(|(_, fact)| match fact {
        Fact::SeriesSeen { trigger: of, series, .. } if of == trigger => series.first(),
        _ => None,
    })?;
    let within: Vec<_> = seen.samples().filter(|s| from_ms < s.at.0 && s.at.0 <= to_ms).collect();
    let first = within.iter().position(|s| cmp.holds(s.value, *threshold))?;
    let last_well = first.checked_sub(1).map(|n| within[n].at.0);
    Some((last_well, Some(within[first].at.0)))
}

/// What the series of an incident's triggers did before and after, as far as that was written down: an SVG document a term.
/// `calendar` writes a time as `YYYY-MM-DD hh:mm:ss`.
pub fn charts(incident: &Incident, facts: &[(u64, Fact)], calendar: fn(Millis) -> String) -> Vec<String> {
    let drawn = pictures(incident, facts).into_iter().enumerate();
    drawn.map(|(n, picture)| svg(&picture.chart(calendar), &(n + 1).to_string())).collect()
}

fn pictures(incident: &Incident, facts: &[(u64, Fact)]) -> Vec<Drawn> {
    let mark =
        |at_ms: u64, what: &str| Mark { at: Millis(i64::try_from(at_ms).unwrap_or(i64::MAX)), what: what.to_owned() };
    let marks = facts.iter().filter_map(|(at_ms, fact)| match fact {
        Fact::RunBegan { .. } => Some(mark(*at_ms, "the rollback began")),
        Fact::RunEnded { .. } => Some(mark(*at_ms, "the rollback ended")),
        Fact::VerdictReached { verdict, .. } => Some(mark(*at_ms, &format!("the verdict {verdict} was reached"))),
        _ => None,
    });
    let marks: Vec<Mark> = marks.collect();
    let of = |cause: &Cause| -> Vec<Drawn> {
        let Ok(when) = Rule::parse(&cause.rule) else { return Vec::new() };
        let mut rule = TriggerRule::alone(&cause.trigger, when);
        let mut recording = Recording::new(metrics(std::slice::from_ref(&rule)), SERIES_MAX, SAMPLES_MAX);
        let mut first: Option<Series> = None;
        for (_, fact) in facts {
            let Fact::SeriesSeen { trigger, baseline, series, .. } = fact else { continue };
            if *trigger != cause.trigger {
                continue;
            }
            // What counted as normal when it fired.
            rule.conduct.baseline_fixed = rule.conduct.baseline_fixed.or(*baseline);
            for seen in series {
                first.get_or_insert_with(|| seen.series.clone());
                let mut into = &mut recording;
                if let Ok(Some(key)) = into.series(&seen.series) {
                    // What is beyond the limit is not drawn.
                    let _ = seen.samples().try_for_each(|sample| into.sample(key, sample));
                }
            }
        }
        recording.sort();
        let evidence = first.map(|series| Evidence { series, value: cause.value.unwrap_or(f64::NAN) });
        let at = |ms: i64, kind| Transition { rule: 0, at: Millis(ms), kind };
        let mut seen = Replay::default();
        if cause.begun_by_ms < cause.fired_ms {
            seen.transitions.push(at(cause.begun_by_ms, TransitionKind::Pending));
            seen.transitions.push(at(cause.fired_ms, TransitionKind::NotPending));
        }
        seen.transitions.push(at(cause.fired_ms, TransitionKind::Fired(evidence)));
        drawn(&rule, 0, &seen, &recording).into_iter().map(|picture| picture.marked(marks.clone()).thinned()).collect()
    };
    causes(incident, facts).iter().flat_map(of).collect()
}
