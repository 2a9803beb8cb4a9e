//! `unship deny INCIDENT`: no.

use crate::{context::Context, error::Result, exit::Exit, watching};
use unship_rollback::incident::Wish;

/// Says no to taking an incident's story back. The incident stays open as *fix forward*, with an owner, until its triggers
/// clear.
///
/// A denial is not signed, as an approval is: it can only keep the daemon from changing anything, and whoever can write the
/// site's `.unship` can stop the daemon anyway. It is written down with the name that is given.
#[derive(clap::Args)]
pub struct Args {
    /// The incident's id
    incident: String,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who fixes it forward; otherwise whoever `[decision]` of policies/site.toml names
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let book = watching::book(&watching::watched(&site)?)?;
    let incident = watching::incident(&book, &args.incident)?;
    let wish = Wish::Deny { incident, reason: args.reason.clone(), owner: args.owner.clone() };
    watching::submit(context, &site, &args.by, wish)?;
    Ok(Exit::Done)
}
