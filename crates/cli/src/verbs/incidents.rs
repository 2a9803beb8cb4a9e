//! `unship incidents`: what the daemon's book says.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::time,
    site::{Site, read_text},
    told, watching,
};
use std::path::{Path, PathBuf};
use unship_rollback::incident::{Incident, NoticeEvent, Stage, USERS_TEXT_BYTES_MAX, Wish};

/// Lists the incidents, oldest first; with an id one of them, with what its plan would do. Nothing is changed, but by --close.
///
/// --tell-users hands in a text that a person approves of, for those whom a `[[notice]]` of the site names for `users-affected` (where
/// none does, mail to `support-team`): who was affected no journal knows, and what they are told no program writes.
#[derive(clap::Args)]
pub struct Args {
    /// One incident's id
    incident: Option<String>,
    /// Those that are over as well
    #[arg(long, conflicts_with = "incident")]
    all: bool,
    /// It is over: close it, for this reason
    #[arg(long, value_name = "REASON", group = "act", requires = "incident", requires = "by")]
    close: Option<String>,
    /// Tell users of its rollback what stands in this file, 1 to 4000 bytes of text
    #[arg(long, value_name = "FILE", group = "act", requires = "incident", requires = "by")]
    tell_users: Option<PathBuf>,
    /// Who closes it, or approves of the text
    #[arg(long, value_name = "NAME", requires = "act")]
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
        if let (Some(file), Some(by), Some(incident)) = (&args.tell_users, &args.by, book.incident(&id)) {
            let wish = tell_users(&site, incident, file)?;
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

/// What users are told, checked as the daemon will.
fn tell_users(site: &Site, incident: &Incident, file: &Path) -> Result<Wish> {
    let Some(run) = incident.runs.last().cloned() else {
        return Err(CliError::user(format!("no rollback of {} has begun: users are told of one", incident.id)));
    };
    let text = read_text(file)?.trim().to_owned();
    if text.is_empty() || text.len() > USERS_TEXT_BYTES_MAX {
        return Err(CliError::user(format!(
            "{} has {} bytes of text; what users are told has 1 to {USERS_TEXT_BYTES_MAX}",
            file.display(),
            text.len()
        )));
    }
    let notices = &site.policy.notices.notices;
    if !notices.iter().any(|notice| notice.events.contains(&NoticeEvent::UsersAffected)) {
        return Err(CliError::user("nobody would be told: no `[[notice]]` of the site names `users-affected`")
            .hint("docs/notices.md shows how to name a channel for it, in policies/site.toml; nothing was handed in"));
    }
    Ok(Wish::TellUsers { run, text })
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
