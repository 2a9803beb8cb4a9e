//! `unship show RUN`: one run, as the journal tells it.

use super::runs;
use crate::{context::Context, error::Result, exit::Exit, history::History, out::time};
use unship_rollback::Image;

/// Shows one run: its plan's digest, every effect with its before-image, how it ended. Nothing is changed.
#[derive(clap::Args)]
pub struct Args {
    /// The run's id
    run: String,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let history = History::read(&context.site()?.store()?)?;
    let state = history.run(&args.run)?;
    let out = context.out;
    out.text(format!("run      {}", args.run));
    out.text(format!("story    {}", state.story()));
    out.text(format!("started  {}", time(state.started_ms())));
    if let Some(plan) = state.plan() {
        out.text(format!("plan     {}", plan.digest()));
        out.text(format!("bundle   {} {}", plan.version, plan.bundle));
    }
    for applied in state.applied() {
        let image = match &applied.image {
            None => String::new(),
            Some(Image::Trash { at } | Image::Ranges { at }) => format!("  [before: .unship/{at}]"),
            Some(Image::Value { was }) => format!("  [before: {was}]"),
        };
        out.text(format!("  {}: {}{image}", applied.unit, applied.effect));
        out.object(&serde_json::json!({ "type": "applied", "unit": applied.unit, "effect": applied.effect, "image": applied.image }));
    }
    match state.ended() {
        None => out.text("ended    not yet, or its process died"),
        Some((outcome, verdict, reason)) => {
            let verdict = verdict.map_or_else(String::new, |v| format!(", {v}"));
            let reason = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            out.text(format!("ended    {outcome}{verdict}{reason}"));
        }
    }
    let mut object = runs::summary(state);
    object["type"] = "summary".into();
    out.summary(object);
    Ok(Exit::Done)
}
