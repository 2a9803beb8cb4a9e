//! `unship undo RUN`: takes the effects of a run back, later.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    inject::Fault,
    report,
    session::Session,
};
use unship_rollback::{Outcome, RunId, RunState, Standing, changed_since};

/// Takes a run back that ended: its effects, newest first. What somebody changed since is refused, all of it before
/// anything is done, and told; `--force` takes such an effect back all the same, and what lies there now is kept.
///
/// Exit status: 0 taken back (also when it was already) · 3 refused · 5 stuck, with the list of what is and is not
/// restored.
#[derive(clap::Args)]
pub struct Args {
    /// The run's id
    run: String,
    /// Take this effect back although somebody changed it since; give it once for each
    #[arg(long, value_name = "STEP/N")]
    force: Vec<String>,
    /// On a rehearsal site: kill@RECORD[.BOUNDARY] or undo-fail@STEP/N
    #[arg(long, value_name = "FAULT")]
    inject: Vec<Fault>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let session = Session::open(context, &args.inject)?;
    session.demand_nothing_in_flight()?;
    let state = session.history.run(&args.run)?.clone();
    let (Some(run), Some(plan)) = (state.run().cloned(), state.plan().cloned()) else {
        return Err(CliError::user(format!("run {} changed nothing: it was refused before it began", args.run)));
    };
    session.faults.fit(&plan)?;
    let outcome = state.ended().map(|(outcome, ..)| *outcome);
    if matches!(outcome, Some(Outcome::Undone | Outcome::Refused)) {
        session.out.text(format!("run {run} has nothing left to take back"));
        let outcome = outcome.unwrap_or(Outcome::Undone);
        session.out.summary(session.summary(&run, Some(plan.digest()), outcome, None, &plan.story));
        return Ok(Exit::Done);
    }
    if state.has_lost_images() {
        return Err(CliError::refused(format!("run {run} cannot be taken back any more"))
            .cause("`unship gc` removed what it kept of before, when it was older than the site keeps it")
            .hint(format!("`unship show {run}` lists what it did")));
    }
    if let Some(later) = later_run(&session, &run) {
        session.out.note(format!("run {later} was made since; what it changed is refused below, unless it was undone"));
    }
    let definitions = session.definitions(state.story())?;
    let images = session.images(&run, u64::MAX)?;
    let mut effects = session.effects(&run, definitions, &images)?;
    let changed = changed_since(&state, &mut effects);
    demand_known(&state, &args.force)?;
    let refused: Vec<_> = changed.iter().filter(|(name, _)| !args.force.contains(name)).collect();
    if !refused.is_empty() {
        let mut error = CliError::refused(format!("run {run} is not taken back: somebody changed things since"));
        for (name, what) in &refused {
            session.out.object(&serde_json::json!({ "type": "changed", "effect": name, "what": what }));
            error = error.cause(format!("{name}: {what}"));
        }
        let force: Vec<String> = refused.iter().map(|(name, _)| format!("--force {name}")).collect();
        return Err(error
            .hint(format!(
                "nothing was done; look at each, then `unship undo {run} {}` takes them back and keeps what lies there now",
                force.join(" ")
            ))
            .summary(session.summary(&run, Some(plan.digest()), Outcome::Refused, None, &plan.story)));
    }
    let ended = session.take_back(&run, &plan, state, &mut effects, "a person asked for it", args.force.clone())?;
    Ok(report::exit_back(&ended))
}

/// A run of any story that began after this one and was not taken back.
fn later_run(session: &Session, run: &RunId) -> Option<RunId> {
    let runs = session.history.runs();
    let at = runs.iter().position(|state| state.run() == Some(run))?;
    let stands = |state: &&RunState| state.applied().iter().any(|a| a.standing != Standing::Undone);
    runs[at + 1..].iter().find(stands).and_then(RunState::run).cloned()
}

fn demand_known(state: &RunState, forced: &[String]) -> Result<()> {
    let known: Vec<String> = state.applied().iter().map(unship_rollback::AppliedEffect::name).collect();
    match forced.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(CliError::user(format!("the run has no effect {name:?} to force"))
            .cause(format!("it has: {}", known.join(", ")))),
    }
}
