//! `unship resume`: goes on with a run that was cut off, or takes it back.

use super::plan;
use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    inject::Fault,
    permit::Permitted,
    report,
    session::Session,
};
use unship_rollback::{Plan, RunState, resume};

/// Goes on with the run that was cut off: what its step in hand had begun is taken back, the step runs again, and so on to
/// the end. With `--undo` everything that the run made is taken back instead. Nothing in flight is no error.
///
/// Exit status: as `apply`; with `--undo` 0 taken back · 5 stuck.
#[derive(clap::Args)]
pub struct Args {
    /// Take the run back instead
    #[arg(long)]
    undo: bool,
    /// On a rehearsal site: kill@RECORD[.BOUNDARY], undo-fail@STEP/N, fail@STEP or repeat@STEP
    #[arg(long, value_name = "FAULT")]
    inject: Vec<Fault>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let mut session = Session::open(context, &args.inject)?;
    let Some(state) = session.in_flight().cloned() else {
        session.out.text("no run is in flight");
        session.out.summary(serde_json::json!({ "story": null, "run": null, "outcome": null, "verdict": null }));
        return Ok(Exit::Done);
    };
    let (Some(run), Some(plan)) = (state.run().cloned(), state.plan().cloned()) else {
        return Err(CliError::user("the run in flight has no plan"));
    };
    session.faults.fit(&plan)?;
    if args.undo || state.is_undoing() {
        let reason = "it was cut off, and a person asked for it";
        let bytes_max = unship_policy::meaning::Limits::default().images_bytes_max;
        let images = session.images(&run, bytes_max)?;
        let mut effects = session.effects(&run, session.definitions(state.story())?, &images)?;
        let state = session.take_back(&run, &plan, state, &mut effects, reason, Vec::new())?;
        // Asked to go forward, it could only end the way back that it was on.
        return Ok(if args.undo { report::exit_back(&state) } else { report::exit_forward(&state) });
    }
    session.site.accept_expired = state.permission().is_some_and(|given| given.break_glass.is_some());
    let story = plan::load(&session.site, &session.store, &plan.story, plan.variant.as_deref())?;
    demand_same(&plan, story.resolved().digest(), &state)?;
    let permitted = Permitted::begun(&plan, &state);
    session.go_forward(&run, &permitted, state, &story, resume)
}

/// What goes on must be what was begun.
fn demand_same(plan: &Plan, resolved: unship_policy::Digest, state: &RunState) -> Result<()> {
    if plan.resolved == resolved {
        return Ok(());
    }
    let run = state.run().map_or("?", |run| run.as_str());
    Err(CliError::refused(format!(
        "run {run} cannot go on: its bundle or the policies are not those that it began with"
    ))
    .cause(format!("it began with {}, now there is {resolved}", plan.resolved))
    .hint("put them back, or take the run back with `unship resume --undo`, which needs no bundle"))
}
