//! `unship keygen FILE`: a new Ed25519 key pair.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    keys,
};
use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};
use unship_policy::{SecretKey, Signer as _};

/// Makes a key pair: the secret key goes into FILE (mode 0600, never overwritten), the public one is printed.
#[derive(clap::Args)]
pub struct Args {
    /// Where the secret key goes
    file: PathBuf,
    /// Put the secret key under a passphrase, which the terminal is asked for
    #[arg(long)]
    passphrase: bool,
    /// As `--passphrase`, with the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|e| CliError::user("no random numbers").cause(e.to_string()))?;
    let key = SecretKey::from_seed(&seed);
    let text = match passphrase(args)? {
        None => key.to_text(),
        Some(passphrase) => {
            let mut random = [0u8; 32];
            getrandom::fill(&mut random).map_err(|e| CliError::user("no random numbers").cause(e.to_string()))?;
            let text = key.to_encrypted_text(&passphrase, &random);
            text.map_err(|e| CliError::user("the key cannot be put under a passphrase").cause(e))?
        }
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file).map_err(|e| {
        CliError::user(format!("{} cannot be made (an existing key is never overwritten)", args.file.display()))
            .because(&e)
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| CliError::user(format!("{} cannot be written", args.file.display())).because(&e))?;
    let public = key.public();
    context.out.text(public.to_string());
    context
        .out
        .note("it may sign once the trust root says so: `unship trust init`, or `unship trust add NAME --add-key KEY --role ROLE`");
    context.out.summary(serde_json::json!({ "public": public.to_string(), "file": args.file }));
    Ok(Exit::Done)
}

/// Bytes of a passphrase at least: it is what stands between a copied file and a forged rollback.
const PASSPHRASE_BYTES_MIN: usize = 8;

fn passphrase(args: &Args) -> Result<Option<String>> {
    let passphrase = match &args.passphrase_file {
        Some(file) => keys::passphrase_of(file)?,
        None if args.passphrase => {
            let first = keys::ask("Passphrase: ")?;
            if keys::ask("The same again: ")? != first {
                return Err(CliError::user("these are two different passphrases; no key was made"));
            }
            first
        }
        None => return Ok(None),
    };
    if passphrase.len() < PASSPHRASE_BYTES_MIN {
        return Err(CliError::user(format!("a passphrase has {PASSPHRASE_BYTES_MIN} bytes at least; no key was made")));
    }
    Ok(Some(passphrase))
}
