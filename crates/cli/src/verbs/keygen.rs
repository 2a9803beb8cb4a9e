//! `unship keygen FILE`: a new Ed25519 key pair.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
};
use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};
use unship_policy::SecretKey;

/// Makes a key pair: the secret key goes into FILE (mode 0600, never overwritten), the public one is printed.
#[derive(clap::Args)]
pub struct Args {
    /// Where the secret key goes
    file: PathBuf,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|e| CliError::user("no random numbers").cause(e.to_string()))?;
    let key = SecretKey::from_seed(&seed);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file).map_err(|e| {
        CliError::user(format!("{} cannot be made (an existing key is never overwritten)", args.file.display()))
            .because(&e)
    })?;
    file.write_all(key.to_text().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| CliError::user(format!("{} cannot be written", args.file.display())).because(&e))?;
    let public = key.public();
    context.out.text(public.to_string());
    context
        .out
        .note("For policies/trust.toml:\n  [keys.NAME]\n  public = \"…the line above…\"\n  roles = [\"release\"]");
    context.out.summary(serde_json::json!({ "public": public.to_string(), "file": args.file }));
    Ok(Exit::Done)
}
