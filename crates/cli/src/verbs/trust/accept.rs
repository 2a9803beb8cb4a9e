//! `unship trust accept`: a person says which trust root this site goes by.

use super::next::Chain;
use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    trust,
};
use unship_policy::Digest;

/// Lets this site go by the newest version of the trust root in policies/trust/: once for a new site, with the digest that
/// somebody told you by another way than the files came. Newer versions that follow from it are then accepted by themselves.
#[derive(clap::Args)]
pub struct Args {
    /// The digest of the newest version, as `unship trust show` prints it
    digest: String,
    /// Go by it although the site accepted another one. Who does that gives up what the site knew
    #[arg(long)]
    replace: bool,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let digest = Digest::parse(&args.digest).ok_or_else(|| {
        CliError::user(format!("{:?} is not a digest", args.digest)).hint("`sha256:` and 64 hexadecimal digits")
    })?;
    let chain = Chain::read(context)?;
    let store = chain.store()?.ok_or_else(|| {
        CliError::user("this site has no store `.unship/` in which that could be kept").hint("`unship init` makes it")
    })?;
    let known = if args.replace { None } else { trust::accepted(&store)? };
    let trust = match known {
        Some(_) => chain.newest()?,
        None => chain.followed_from_the_first()?,
    };
    let found = trust.accepted();
    if found.digest != digest {
        return Err(CliError::refused("the trust root that is there is not the one that you were told of")
            .cause(format!("version {} is {}", found.version, found.digest))
            .hint("nothing was accepted; find out where it came from"));
    }
    trust::accept(&store, found)?;
    context.out.text(format!("this site goes by version {} of the trust root, {digest}", found.version));
    context.out.summary(serde_json::json!({ "version": found.version, "digest": digest }));
    Ok(Exit::Done)
}
