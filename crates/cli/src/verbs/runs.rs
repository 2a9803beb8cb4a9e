//! `unship runs`: every run of the site, newest last.

use crate::{context::Context, error::Result, exit::Exit, history::History, out::time};
use unship_rollback::RunState;

/// Lists the runs, newest last. Nothing is changed.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(context: &Context, _: &Args) -> Result<Exit> {
    let history = History::read(&context.site()?.store()?)?;
    if history.runs().is_empty() {
        context.out.text("no runs yet");
    }
    for state in history.runs() {
        let object = summary(state);
        let outcome = state.ended().map_or_else(
            || "in flight".to_owned(),
            |(outcome, verdict, _)| format!("{outcome}{}", verdict.map_or_else(String::new, |v| format!(", {v}"))),
        );
        let run = state.run().map_or("?", |r| r.as_str());
        let (items, open) = items(state);
        let checklist = if open == 0 { String::new() } else { format!(", {open} of {items} items open") };
        let variant = state.plan().and_then(|plan| plan.variant.as_ref());
        let story = variant.map_or_else(|| state.story().to_owned(), |variant| format!("{} {variant}", state.story()));
        context.out.text(format!(
            "{run}  {}  story {story:<6} {outcome} ({} effects{checklist})",
            time(state.started_ms()),
            state.applied().len()
        ));
        context.out.object(&object);
    }
    Ok(Exit::Done)
}

/// How many items a run's checklist has, and how many of them nobody looked at.
fn items(state: &RunState) -> (usize, usize) {
    let items = state.checklist();
    (items.len(), items.iter().filter(|tracked| tracked.tick.is_none()).count())
}

/// One run as JSON.
pub fn summary(state: &RunState) -> serde_json::Value {
    let ended = state.ended();
    let (items, items_open) = items(state);
    serde_json::json!({
        "type": "run", "format": crate::out::JSON_FORMAT,
        "run": state.run(), "story": state.story(), "variant": state.plan().and_then(|plan| plan.variant.as_ref()),
        "started": time(state.started_ms()),
        "plan_digest": state.plan().map(unship_rollback::Plan::digest),
        "outcome": ended.map(|(outcome, ..)| outcome),
        "verdict": ended.and_then(|(_, verdict, _)| *verdict),
        "reason": ended.and_then(|(.., reason)| reason.clone()),
        "effects": state.applied().len(), "denied": state.denied(),
        "items": items, "items_open": items_open,
    })
}
