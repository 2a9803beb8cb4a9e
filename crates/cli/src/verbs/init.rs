//! `unship init`: a new site's commented policy, its store, and its trust root.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    trust,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};
use unship_policy::SitePolicy;
use unship_store::SiteStore;

const SITE: &str = include_str!("../../templates/site.toml");

/// Makes the current folder (or --site DIR) a site: a commented policies/site.toml and the store `.unship/`. What is there already
/// stays as it is. `unship trust init` then makes the trust root.
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
    fs::create_dir_all(dir.join("policies")).map_err(|e| CliError::user("policies/ cannot be made").because(&e))?;
    let file = "policies/site.toml";
    let path = dir.join(file);
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut new) => {
            new.write_all(site.as_bytes())
                .and_then(|()| new.sync_all())
                .map_err(|e| CliError::user(format!("{file} cannot be written")).because(&e))?;
            context.out.text(format!("wrote {}", path.display()));
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => context.out.text(format!("kept {}", path.display())),
        Err(e) => return Err(CliError::user(format!("{file} cannot be written")).because(&e)),
    }
    let store = SiteStore::create(&dir).map_err(|e| CliError::user("the store cannot be made").because(&e))?;
    context.out.text(format!("store {}", store.path().display()));
    if trust::files(&dir.join(trust::FOLDER))?.is_empty() {
        context.out.text("Next: `unship keygen root.key`, `unship trust init --key root.key`: nothing runs before somebody may sign it.");
    } else if trust::accepted(&store)?.is_none() {
        context.out.text("Next: `unship trust show`, then `unship trust accept DIGEST`: nothing runs before that.");
    }
    context.out.text("Then a policy for each story beside policies/site.toml (`unship new`).");
    context.out.summary(serde_json::json!({ "site": dir }));
    Ok(Exit::Done)
}
