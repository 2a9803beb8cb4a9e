//! `unship triggers test|backtest|explain|look`: rules, before they decide anything. Nothing of the site is changed.

mod backtest;
mod explain;
mod look;
mod test;

use crate::{context::Context, error::Result, exit::Exit};

/// Looks at the rules that decide that something is wrong: tests them, tries them on recorded data, explains them, shows what their
/// feeds give now.
/// Nothing of the site is changed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Test(test::Args),
    Backtest(backtest::Args),
    Explain(explain::Args),
    Look(look::Args),
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    match &args.what {
        What::Test(args) => test::run(context, args),
        What::Backtest(args) => backtest::run(context, args),
        What::Explain(args) => explain::run(context, args),
        What::Look(args) => look::run(context, args),
    }
}
