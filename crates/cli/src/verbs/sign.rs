//! `unship sign BUNDLE --key FILE`: one more signature.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    site::{read_bundle, read_text},
};
use std::path::PathBuf;
use unship_policy::{SecretKey, sign};

/// Signs a bundle: component and manifest as one. Signatures by other keys stay. The file is replaced in one piece.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle
    bundle: PathBuf,
    /// The secret key's file, as `unship keygen` made it
    #[arg(long, short, value_name = "FILE")]
    key: PathBuf,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let key = SecretKey::parse(&read_text(&args.key)?)
        .map_err(|e| CliError::user(format!("{} is not a secret key", args.key.display())).cause(e))?;
    let bundle = read_bundle(&args.bundle)?;
    let signed = sign(&bundle, &key)
        .map_err(|e| CliError::user(format!("{} cannot be signed", args.bundle.display())).because(&e))?;
    write_whole(&args.bundle, &signed)?;
    context.out.text(format!("{}: {} signed by {}", args.bundle.display(), bundle.digest(), key.public()));
    context.out.summary(serde_json::json!({ "digest": bundle.digest(), "key": key.public().to_string() }));
    Ok(Exit::Done)
}
