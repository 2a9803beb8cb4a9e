//! `unship pause`: nothing is begun without a person.

use crate::{context::Context, error::Result, exit::Exit, report, watching};
use unship_rollback::incident::Wish;

/// Keeps every trigger from acting by itself until `pause --off`. Triggers still fire, and people are asked as if none of them
/// were `auto`; what people say yes to is begun, and what weakens a safety property is still ended in time.
#[derive(clap::Args)]
pub struct Args {
    /// End the pause
    #[arg(long)]
    off: bool,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "no reason given", conflicts_with = "off")]
    reason: String,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let wish = if args.off { Wish::Unpause } else { Wish::Pause { reason: args.reason.clone() } };
    watching::submit(context, &site, &report::who(), wish)?;
    Ok(Exit::Done)
}
