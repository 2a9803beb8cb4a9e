//! `unship incidents`: what the daemon's book says.

use crate::{context::Context, error::Result, exit::Exit, out::time, told, watching};
use unship_rollback::incident::{Incident, Stage, Wish};

/// Lists the incidents, oldest first; with an id one of them, with what its plan would do. Nothing is changed, but by --close.
#[derive(clap::Args)]
pub struct Args {
    /// One incident's id
    incident: Option<String>,
    /// Those that are over as well
    #[arg(long, conflicts_with = "incident")]
    all: bool,
    /// It is over: close it, for this reason
    #[arg(long, value_name = "REASON", requires = "incident", requires = "by")]
    close: Option<String>,
    /// Who closes it
    #[arg(long, value_name = "NAME", requires = "close")]
    by: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let book = watching::book(&watching::watched(&site)?)?;
    if let Some(text) = &args.incident {
        let id = watching::incident(&book, text)?;
        if let (Some(reason), Some(by)) = (&args.close, &args.by) {
            let wish = Wish::Close { incident: id, reason: reason.clone() };
            watching::submit(context, &site, by, wish)?;
            return Ok(Exit::Done);
        }
        if let Some(incident) = book.incident(&id) {
            show(context, incident);
            detail(context, incident);
        }
    } else {
        book.incidents().filter(|i| args.all || i.is_open()).for_each(|incident| show(context, incident));
    }
    if let Some((by, reason)) = book.paused() {
        context.out.text(format!("paused by {by}: {reason}"));
    }
    for (story, reason) in book.readiness() {
        if let Some(reason) = reason {
            context.out.text(format!("story {story} is NOT ready: {reason}"));
        }
    }
    let open = book.incidents().filter(|i| i.is_open()).count();
    context.out.summary(serde_json::json!({
        "open": open, "paused": book.paused().is_some(), "ready": book.readiness(),
        "exposed": book.exposures().keys().collect::<Vec<_>>(),
    }));
    Ok(Exit::Done)
}

fn show(context: &Context, incident: &Incident) {
    let story = incident.story.as_deref().unwrap_or("?");
    let triggers: Vec<&str> = incident.triggers.iter().map(|t| t.trigger.as_str()).collect();
    context.out.text(format!(
        "{}  story {story}  {:?}  {}  ({}, since {})",
        incident.id,
        incident.severity(),
        told::stage(incident),
        triggers.join(", "),
        time(incident.opened_ms)
    ));
    let verdict = incident.verdict.as_ref();
    context.out.object(&serde_json::json!({
        "type": "incident", "incident": incident.id, "story": incident.story, "severity": incident.severity(),
        "auto": incident.auto(), "triggers": triggers, "opened": time(incident.opened_ms), "stage": word(&incident.stage),
        "deadline": incident.deadline_ms().map(time), "plan_digest": incident.plan, "runs": incident.runs,
        "approved_by": incident.approvals.iter().map(|a| &a.person).collect::<Vec<_>>(),
        "verdict": verdict.map(|(verdict, _)| verdict), "reason": verdict.map(|(_, reason)| reason),
    }));
}

fn detail(context: &Context, incident: &Incident) {
    for trigger in &incident.triggers {
        let at = trigger.evidence.as_ref().map_or_else(String::new, |e| {
            format!("  {} at {}", e.series, e.value.map_or_else(|| "?".to_owned(), |v| v.to_string()))
        });
        context.out.text(format!("  {}: {}{at}", trigger.trigger, trigger.rule));
    }
    if let Some((decision, reason)) = &incident.decided {
        context.out.text(format!("  decided: {decision}, since {reason}"));
    }
    for effect in &incident.effects {
        context.out.text(format!("  would: {effect}"));
    }
    if let (Some(plan), Some(story), true) = (incident.plan, &incident.story, incident.can_be_approved()) {
        context.out.text(format!("  yes: unship approve {plan} --story {story} --reason … --key …"));
        context.out.text(format!("  no:  unship deny {} --by … --reason …", incident.id));
    }
}

/// Where it stands, for programs.
fn word(stage: &Stage) -> &'static str {
    match stage {
        Stage::Opened => "opened",
        Stage::Waiting { .. } => "waiting",
        Stage::Acting => "acting",
        Stage::Asking { .. } => "asking",
        Stage::Watching { .. } => "watching",
        Stage::Paged => "paged",
        Stage::Running { .. } => "running",
        Stage::Ran { .. } => "ran",
        Stage::Stabilising { .. } => "stabilising",
        Stage::Recovered => "recovered",
        Stage::NotRecovered => "not-recovered",
        Stage::FixForward { .. } => "fix-forward",
        Stage::Closed { .. } => "closed",
    }
}
