//! What a used site holds beside its sources: databases, dbt's artefacts and logs. They are made once by the site's own
//! programs and kept in the cache; a new site gets copies.

use super::{Installed, files, history::NOTHING, parts, run, tree};
use crate::toolchain::{cache, say};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is made, and copied into each site.
const MADE: &[&str] = &[".duckdb", "data", "summaries", "warehouse", "dbt_project/target", "logs"];
/// Everything but the model that never ends.
const DBT: &[&str] = &[
    "run",
    "--project-dir",
    "dbt_project",
    "--profiles-dir",
    "dbt_project",
    "--log-path",
    "logs/dbt",
    "--exclude",
    "settled_orders",
];

/// Makes the data if they are not in the cache, and gives their place there.
///
/// # Errors
/// When one of the programs that make them fails.
pub fn install(installed: &Installed) -> Result<PathBuf> {
    let place = parts::folder()?.join(format!("data-{}", recipe(installed)));
    let is_whole = |place: &Path| place.join("whole").is_file();
    cache::once(&place, is_whole, |draft| make(draft, installed))?;
    Ok(place)
}

/// Copies the data into `dir`.
///
/// # Errors
/// As [`install`].
pub fn lay_out(dir: &Path, installed: &Installed) -> Result<()> {
    let place = install(installed)?;
    for path in MADE {
        copy(&place.join(path), &dir.join(path))?;
    }
    Ok(())
}

fn make(draft: &Path, installed: &Installed) -> Result<()> {
    say("making the site's data: a DuckDB database, a run of dbt");
    let scratch = tempfile::tempdir()?;
    let site = scratch.path();
    tree(site, installed)?;
    run(site, "bin/node", &["scripts/load-orders.js"])?;
    fs::create_dir(site.join("warehouse"))?;
    run(site, ".venv/bin/dbt", DBT)?;
    // It would make the next run believe that it is in the folder of this one.
    fs::remove_file(site.join("dbt_project/target/partial_parse.msgpack")).context("dbt's artefacts")?;
    for path in MADE {
        copy(&site.join(path), &draft.join(path))?;
    }
    Ok(fs::write(draft.join("whole"), NOTHING)?)
}

/// Everything that decides what the data are.
fn recipe(installed: &Installed) -> String {
    let texts = files::FILES.iter().flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()]);
    let places = [&installed.modules, &installed.packages].map(|path| path.as_os_str().as_encoded_bytes());
    parts::hash(&texts.chain(places).collect::<Vec<_>>())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a path in a folder")?;
    fs::create_dir_all(folder)?;
    crate::site::run(Command::new("cp").arg("-a").arg(from).arg(to))?;
    Ok(())
}
