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
        context.out.text(format!(
            "{run}  {}  story {:<6} {outcome} ({} effects)",
            time(state.started_ms()),
            state.story(),
            state.applied().len()
        ));
        context.out.object(&object);
    }
    Ok(Exit::Done)
}

/// One run as JSON.
pub fn summary(state: &RunState) -> serde_json::Value {
    let ended = state.ended();
    serde_json::json!({
        "type": "run", "format": crate::out::JSON_FORMAT,
        "run": state.run(), "story": state.story(), "started": time(state.started_ms()),
        "plan_digest": state.plan().map(unship_rollback::Plan::digest),
        "outcome": ended.map(|(outcome, ..)| outcome),
        "verdict": ended.and_then(|(_, verdict, _)| *verdict),
        "reason": ended.and_then(|(.., reason)| reason.clone()),
        "effects": state.applied().len(), "denied": state.denied(),
    })
}
