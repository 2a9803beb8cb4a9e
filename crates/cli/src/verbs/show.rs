//! `unship show RUN`: one run, as the journal tells it.

use super::runs;
use crate::{context::Context, error::Result, exit::Exit, history::History, out::time, report};
use unship_rollback::Standing;

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
        if let Some(variant) = &plan.variant {
            out.text(format!("variant  {variant}"));
        }
        out.text(format!("plan     {}", plan.digest()));
        out.text(format!("bundle   {} {}", plan.version, plan.bundle));
    }
    for applied in state.applied() {
        let standing = match &applied.standing {
            Standing::Made => String::new(),
            Standing::Undone => " (taken back)".to_owned(),
            Standing::Left(why) => format!(" (stays: {why})"),
            Standing::Failed(why) => format!(" (not taken back: {why})"),
        };
        let image = report::kept(applied.image.as_ref());
        out.text(format!("  {}: {}{standing}{image}", applied.name(), applied.effect));
        out.object(&report::json(applied));
    }
    report::list_items(out, state);
    match state.ended() {
        None => out.text("ended    not yet; if nobody is at work on it, `unship resume` goes on with it"),
        Some((outcome, verdict, reason)) => {
            let verdict = verdict.map_or_else(String::new, |v| format!(", {v}"));
            let reason = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            out.text(format!("ended    {outcome}{verdict}{reason}"));
        }
    }
    if state.has_lost_images() {
        out.text("         what it kept of before was removed by `gc`: it cannot be undone any more");
    }
    let mut object = runs::summary(state);
    object["type"] = "summary".into();
    out.summary(object);
    Ok(Exit::Done)
}
