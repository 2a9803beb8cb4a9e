//! `unship init`: a new site's commented policy and trust root.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};
use unship_policy::{SitePolicy, TrustRoot};
use unship_store::SiteStore;

const SITE: &str = include_str!("../../templates/site.toml");
const TRUST: &str = include_str!("../../templates/trust.toml");

/// Makes the current folder (or --site DIR) a site: a commented policies/site.toml and policies/trust.toml, and the store
/// `.unship/`. What is there already stays as it is.
#[derive(clap::Args)]
pub struct Args {
    /// The site's name for people
    #[arg(long, default_value = "my-site")]
    name: String,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let dir = context.site.clone().unwrap_or_else(|| ".".into());
    let dir = dir.canonicalize().map_err(|e| CliError::user(format!("no folder {}", dir.display())).because(&e))?;
    let name =
        serde_json::to_string(&args.name).map_err(|e| CliError::user("the name cannot be written").because(&e))?;
    let site = SITE.replace("\"my-site\"", &name);
    // What is written must be what every other verb accepts.
    SitePolicy::parse(&site).map_err(|e| CliError::in_file(Path::new("policies/site.toml"), &site, e))?;
    TrustRoot::parse(TRUST).map_err(|e| CliError::in_file(Path::new("policies/trust.toml"), TRUST, e))?;
    fs::create_dir_all(dir.join("policies")).map_err(|e| CliError::user("policies/ cannot be made").because(&e))?;
    for (file, text) in [("policies/site.toml", site.as_str()), ("policies/trust.toml", TRUST)] {
        let path = dir.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut new) => {
                new.write_all(text.as_bytes())
                    .and_then(|()| new.sync_all())
                    .map_err(|e| CliError::user(format!("{file} cannot be written")).because(&e))?;
                context.out.text(format!("wrote {}", path.display()));
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                context.out.text(format!("kept {}", path.display()))
            }
            Err(e) => return Err(CliError::user(format!("{file} cannot be written")).because(&e)),
        }
    }
    let store = SiteStore::create(&dir).map_err(|e| CliError::user("the store cannot be made").because(&e))?;
    context.out.text(format!("store {}", store.path().display()));
    context.out.text("Next: put a key that may sign into policies/trust.toml (`unship keygen`), and a policy for each story beside it.");
    context.out.summary(serde_json::json!({ "site": dir }));
    Ok(Exit::Done)
}
