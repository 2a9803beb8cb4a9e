//! `unship sign BUNDLE`: one more signature.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    keys::SignerArgs,
    site::{read_bundle, read_text},
};
use std::path::PathBuf;
use unship_policy::{Moment, Narrowed, attach_minisig, sign};

/// Signs a bundle: component and manifest as one. Signatures by other keys stay. The file is replaced in one piece.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle
    bundle: PathBuf,
    #[command(flatten)]
    signer: Option<SignerArgs>,
    /// Only for the site of this name, as its policy has it; once for each
    #[arg(long = "for-site", value_name = "NAME", requires = "SignerArgs")]
    for_site: Vec<String>,
    /// Only up to this moment, such as 2027-11-23T00:00:00Z
    #[arg(long, value_name = "MOMENT", requires = "SignerArgs")]
    expires: Option<Moment>,
    /// Only from this moment on
    #[arg(long, value_name = "MOMENT", requires = "SignerArgs")]
    not_before: Option<Moment>,
    /// Take over a signature that minisign made of the packed bundle
    #[arg(long, value_name = "FILE", conflicts_with = "SignerArgs")]
    minisig: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let bundle = read_bundle(&args.bundle)?;
    let unsignable = |e| CliError::user(format!("{} cannot be signed", args.bundle.display())).because(&e);
    if let Some(minisig) = &args.minisig {
        let signed = attach_minisig(&bundle, &read_text(minisig)?).map_err(unsignable)?;
        write_whole(&args.bundle, &signed)?;
        context.out.text(format!(
            "{}: {} with the signature of {}",
            args.bundle.display(),
            bundle.digest(),
            minisig.display()
        ));
        context.out.summary(serde_json::json!({ "digest": bundle.digest(), "minisig": minisig }));
        return Ok(Exit::Done);
    }
    let Some(signer) = &args.signer else {
        return Err(CliError::user("nobody signs: neither --key, nor --signer, nor --minisig"));
    };
    let signer = signer.signer()?;
    let narrowed = Narrowed { sites: args.for_site.clone(), not_before: args.not_before, expires: args.expires };
    let signed = sign(&bundle, narrowed.clone(), &*signer).map_err(unsignable)?;
    write_whole(&args.bundle, &signed)?;
    let public = signer.public();
    context.out.text(format!("{}: {} signed by {public}", args.bundle.display(), bundle.digest()));
    context.out.summary(serde_json::json!({
        "digest": bundle.digest(), "key": public.to_string(), "sites": narrowed.sites, "not_before": narrowed.not_before,
        "expires": narrowed.expires,
    }));
    Ok(Exit::Done)
}
