//! `unship silence TRIGGER`: it is not to fire for a while.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    report, triggers, watching,
    wiring::SystemClock,
};
use std::time::Duration;
use unship_rollback::{Clock as _, incident::Wish};

/// Keeps a trigger, or all, from firing for a while. What still breaches at the end fires then.
#[derive(clap::Args)]
pub struct Args {
    /// The trigger's name
    #[arg(required_unless_present = "all")]
    trigger: Option<String>,
    /// All triggers
    #[arg(long, conflicts_with = "trigger")]
    all: bool,
    /// For how long, 7d at most
    #[arg(long = "for", value_name = "DURATION", value_parser = unship_policy::parse_duration)]
    for_: Duration,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
    let site = context.site()?;
    if args.for_ > LONGEST {
        return Err(
            CliError::user("a silence ends within 7 days").hint("`auto = false` keeps a trigger from acting by itself")
        );
    }
    if let Some(name) = &args.trigger {
        triggers::meant(&site, None, Some(name))?;
    }
    let ms = u64::try_from(args.for_.as_millis()).unwrap_or(u64::MAX);
    let until_ms = SystemClock.now_ms().saturating_add(ms);
    watching::submit(context, &site, &report::who(), Wish::Silence { trigger: args.trigger.clone(), until_ms })?;
    Ok(Exit::Done)
}
