//! `unship policy check|explain|tighten`: policies, before and after they are needed. Nothing is run or changed.

mod check;
mod explain;
mod tighten;

use crate::{context::Context, error::Result, exit::Exit};

/// Looks at policies: what is wrong with them, what they permit, what of it was never used. Nothing is run or changed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Check(check::Args),
    Explain(explain::Args),
    Tighten(tighten::Args),
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    match &args.what {
        What::Check(args) => check::run(context, args),
        What::Explain(args) => explain::run(context, args),
        What::Tighten(args) => tighten::run(context, args),
    }
}
