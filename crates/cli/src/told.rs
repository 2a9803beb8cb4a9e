//! Facts and incidents in one line each, for people.

use crate::out::time;
use unship_rollback::{
    incident::{Fact, Incident, Stage},
    neutralise,
};

/// What became true.
pub fn line(fact: &Fact) -> String {
    let of = fact.incident().map_or_else(String::new, |incident| format!("{incident} "));
    let said = match fact {
        Fact::WatchBegan { version } => format!("unship {version} began to watch"),
        Fact::WatchEnded => "ended as it was asked to".to_owned(),
        Fact::IncidentOpened { trigger, story, severity, evidence, rule, .. } => {
            let story = story.as_ref().map_or_else(|| "no known story".to_owned(), |s| format!("story {s}"));
            let at = evidence.as_ref().and_then(|e| e.value).map_or_else(String::new, |v| format!(", at {v}"));
            format!("opened: {trigger} fired ({severity:?}, {story}): {rule}{at}")
        }
        Fact::TriggerJoined { trigger, rule, .. } => format!("{trigger} fired as well: {rule}"),
        Fact::SeriesSeen { trigger, series, .. } => {
            let samples: usize = series.iter().map(|seen| seen.samples.len()).sum();
            format!("what {trigger} measured is kept for its picture: {samples} samples of {} series", series.len())
        }
        Fact::Attributed { story, by, .. } => format!("{by} says that story {story} is at fault"),
        Fact::Decided { decision, reason, deadline_ms, .. } => {
            let until = deadline_ms.map_or_else(String::new, |ms| format!(", until {}", time(ms)));
            format!("decided: {decision}{until}, since {reason}")
        }
        Fact::Escalated { reason, .. } => format!("decided upon anew: {reason}"),
        Fact::Waits { on, .. } => {
            let on: Vec<&str> = on.iter().map(|id| id.as_str()).collect();
            format!("waits for {}", on.join(", "))
        }
        Fact::PlanMade { story, digest, effects, .. } => {
            format!("story {story} is planned: {digest}, {} effects", effects.len())
        }
        Fact::ApprovalCounted { person, digest, .. } => format!("{person} said yes to {digest}"),
        Fact::ApprovalRefused { key, reason, .. } => format!("a yes by {key} does not count: {reason}"),
        Fact::Denied { by, reason, owner, .. } => format!("{by} said no: {reason}; {owner} fixes it forward"),
        Fact::LinkMade { person, .. } => format!("{person} has a one-time link"),
        Fact::LinkUsed { .. } => "a one-time link was used".to_owned(),
        Fact::RunBegan { run, story, .. } => format!("run {run} takes back story {story}"),
        Fact::RunEnded { run, outcome, verdict, reason, .. } => {
            let verdict = verdict.map_or_else(String::new, |v| format!(", {v}"));
            format!("run {run} ended: {outcome}{verdict}{}", because(reason.as_deref()))
        }
        Fact::StabilityBegan { until_ms, .. } => format!("its triggers must stay clear until {}", time(*until_ms)),
        Fact::VerdictReached { verdict, reason, .. } => format!("{verdict}: {reason}"),
        Fact::IncidentClosed { how, reason, .. } => format!("closed ({how:?}): {reason}"),
        Fact::NoticeQueued { notice, event, channel, detail, .. } => {
            format!("notice {notice} to {channel} ({event:?}): {detail}")
        }
        Fact::NoticeDelivered { notice, .. } => format!("notice {notice} was delivered"),
        Fact::NoticeFailed { notice, reason, attempts } => {
            format!("notice {notice} was given up after {attempts} attempts: {reason}")
        }
        Fact::NotReady { story, reason } => format!("story {story} is NOT ready: {reason}"),
        Fact::Ready { story } => format!("story {story} is ready"),
        Fact::Paused { by, reason } => format!("{by} paused what acts by itself: {reason}"),
        Fact::Unpaused { by } => format!("{by} ended the pause"),
        Fact::Silenced { trigger, until_ms, by } => {
            let what = trigger.as_deref().unwrap_or("all triggers");
            format!("{by} silenced {what} until {}", time(*until_ms))
        }
        Fact::PolicyReloaded { digest } => format!("the policies were read anew: {digest}"),
        Fact::PolicyRefused { reason } => format!("the new policies are refused, the old ones stay: {reason}"),
        Fact::ExposureBegan { run, story, until_ms } => {
            format!("run {run} of story {story} weakens a safety property until {}", time(*until_ms))
        }
        Fact::ExposureEnded { run, how } => format!("run {run} weakens nothing any more: {how}"),
        Fact::ExposureStuck { run, reason } => format!("run {run} could NOT be taken back in time: {reason}"),
        Fact::PostMortemDue { run, due_ms } => format!("the post-mortem of run {run} is due by {}", time(*due_ms)),
        Fact::PostMortemWritten { run } => format!("the post-mortem of run {run} was written"),
        Fact::PostMortemOverdue { run } => format!("the post-mortem of run {run} is overdue"),
        Fact::TextApproved { run, by, .. } => format!("{by} approved of what users are told of run {run}"),
        Fact::ClockSetBack { from_ms } => format!("the clock was set back; it showed {}", time(*from_ms)),
        Fact::SubmissionTaken { submission, by } => format!("{submission} of {by} was taken in"),
        Fact::SubmissionRefused { submission, reason } => format!("{submission} is refused: {reason}"),
    };
    neutralise(&format!("{of}{said}"))
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// Where an incident stands, and what it waits for.
pub fn stage(incident: &Incident) -> String {
    match &incident.stage {
        Stage::Opened => "to be decided".to_owned(),
        Stage::Waiting { on } => format!("waits for {} other(s)", on.len()),
        Stage::Acting => "acts as soon as the site is free".to_owned(),
        Stage::Asking { until_ms } => format!("asks until {}", time(*until_ms)),
        Stage::Watching { until_ms } => format!("watched until {}", time(*until_ms)),
        Stage::Paged => "waits for a person".to_owned(),
        Stage::Running { run } => format!("run {run} is at work"),
        Stage::Ran { run, outcome, .. } => format!("run {run} ended: {outcome}"),
        Stage::Stabilising { until_ms, .. } => format!("must stay clear until {}", time(*until_ms)),
        Stage::Recovered => "recovered".to_owned(),
        Stage::NotRecovered => "NOT recovered: a person has it".to_owned(),
        Stage::FixForward { owner } => format!("{owner} fixes it forward"),
        Stage::Closed { how } => format!("closed: {how:?}"),
    }
}
