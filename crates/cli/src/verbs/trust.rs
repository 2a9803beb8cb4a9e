//! `unship trust`: who may sign, shown and changed. Each change is the next version of the trust root.

mod accept;
mod change;
mod init;
mod next;
mod show;

use crate::{context::Context, error::Result, exit::Exit};

/// Shows and changes the trust root: which keys may sign bundles, for which stories, how many of them it takes, what is
/// revoked. Versions lie in policies/trust/, each signed by the one before it. Works offline.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Show(show::Args),
    Verify(show::VerifyArgs),
    Init(init::Args),
    Add(change::AddArgs),
    Rotate(change::RotateArgs),
    Revoke(change::RevokeArgs),
    Renew(change::RenewArgs),
    Clock(change::ClockArgs),
    Sign(next::SignArgs),
    Accept(accept::Args),
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    match &args.what {
        What::Show(args) => show::show(context, args),
        What::Verify(args) => show::verify(context, args),
        What::Init(args) => init::run(context, args),
        What::Add(args) => change::add(context, args),
        What::Rotate(args) => change::rotate(context, args),
        What::Revoke(args) => change::revoke(context, args),
        What::Renew(args) => change::renew(context, args),
        What::Clock(args) => change::clock(context, args),
        What::Sign(args) => next::sign(context, args),
        What::Accept(args) => accept::run(context, args),
    }
}
