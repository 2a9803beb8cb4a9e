//! `unship tick RUN ITEM`: a person looked at an item of a run's checklist.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::time,
    report,
    session::Session,
};
use unship_rollback::{Event, TrackedItem};

/// Writes into the journal that a person looked at an item of a run's checklist: who, and when. An item is ticked once;
/// who ticks it again is told who did. It needs the site for itself, so not while a run is at work; a run that was cut off
/// is in nobody's way.
#[derive(clap::Args)]
pub struct Args {
    /// The run's id
    run: String,
    /// The item's name, as `unship show RUN` lists it
    item: String,
    /// Who looked, if not the user who types this
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let noted_by = report::who();
    let by = match &args.by {
        None => noted_by.clone(),
        Some(name) if name.trim().is_empty() => {
            return Err(
                CliError::user("`--by` names nobody").hint("leave it out, and the user who types this is meant")
            );
        }
        Some(name) => unship_rollback::neutralise(name.trim()),
    };
    let session = Session::open(context, &[])?;
    let mut state = session.history.run(&args.run)?.clone();
    let items = state.checklist();
    let Some(wanted) = items.iter().find(|tracked| tracked.item.name == args.item) else {
        return Err(unknown(&args.run, &args.item, &items));
    };
    let (Some(run), None) = (state.run().cloned(), &wanted.tick) else {
        let tick = wanted.tick.as_ref();
        let (who, when) = tick.map_or(("somebody", 0), |tick| (tick.by.as_str(), tick.at_ms));
        let message = format!("{} of run {} was ticked already: by {who}, at {}", args.item, args.run, time(when));
        return Err(CliError::user(message).hint("nothing was changed"));
    };
    let event = Event::ItemTicked { item: args.item.clone(), by: by.clone(), noted_by };
    state = session.note(&run, &state, event)?;
    let open = state.checklist().iter().filter(|tracked| tracked.tick.is_none()).count();
    context.out.text(format!("{}: {} (ticked by {by}); {open} of {} open", args.item, wanted.item.title, items.len()));
    context.out.summary(serde_json::json!({
        "story": state.story(), "run": run, "item": args.item, "by": by, "items": items.len(), "items_open": open,
    }));
    Ok(Exit::Done)
}

fn unknown(run: &str, item: &str, items: &[TrackedItem]) -> CliError {
    let names: Vec<&str> = items.iter().map(|tracked| tracked.item.name.as_str()).collect();
    let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
    CliError::user(format!("the checklist of run {run} has no item {item:?}")).cause(has)
}
