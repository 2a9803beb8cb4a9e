//! The practice site with real parts: Node services under pm2, a Python process, a dbt project, DuckDB databases in use, a
//! git repository with history, npm scripts.
//!
//! What is of this machine lies in the site under names that are the same everywhere (`bin/node`, `node_modules`,
//! `.venv/bin/dbt`), so that services, scripts and policies name nothing outside of it.

mod dagster;
mod data;
mod files;
pub mod history;
mod network;
mod parts;
mod processes;
mod python;

pub use processes::stop;

use crate::{
    practice,
    site::{self, Parts, Story},
    toolchain::process::output,
};
use anyhow::{Context as _, Result, bail};
use parts::Installed;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

/// Where the site's environment of Python's is.
const ENVIRONMENT: &str = ".venv";
/// And the one of story 1.6.
const ANALYSES: &str = ".venv-eda";
/// pm2 has a socket in its home below the site, whose path the kernel limits to 107 bytes.
const PATH_BYTES_MAX: usize = 90;

/// Sees to it that every part is in the cache, and says where.
///
/// # Errors
/// As [`parts::install`].
pub fn install() -> Result<Installed> {
    let installed = parts::install()?;
    data::install(&installed)?;
    Ok(installed)
}

/// Lays the site out in `dir`, with these stories, and starts all of its services.
///
/// # Errors
/// When `dir` holds something already, a part cannot be installed, or one does not work.
pub fn lay_out(dir: &Path, parts: &Parts, stories: &[&Story]) -> Result<()> {
    practice::refuse_unless_empty(dir)?;
    let installed = parts::install()?;
    fs::create_dir_all(dir)?;
    let dir = &dir.canonicalize()?;
    if dir.as_os_str().len() > PATH_BYTES_MAX {
        bail!("the path {} is too long for pm2's sockets: at most {PATH_BYTES_MAX} bytes", dir.display());
    }
    tree(dir, &installed)?;
    data::lay_out(dir, &installed)?;
    files::logs(dir)?;
    let host = network::lay_out(dir)?;
    if stories.iter().any(|story| story.id == "1.5") {
        dagster::lay_out(dir, &installed.python)?;
    }
    history::lay_out(dir)?;
    // Nobody needs the key again.
    let keys = tempfile::tempdir()?;
    site::furnish(dir, parts, stories, &keys.path().join("release.key"))?;
    files::policies(dir, &host)?;
    let started = processes::start(dir).and_then(|()| site::plan(dir, parts, stories));
    if started.is_err() {
        // Nobody would end what runs in a site that is none.
        let _ = stop(dir);
    }
    started
}

/// The tree, and what was installed linked into it.
fn tree(dir: &Path, installed: &Installed) -> Result<()> {
    files::lay_out(dir)?;
    let bin = dir.join("bin");
    fs::create_dir_all(&bin)?;
    symlink(&installed.node.node, bin.join("node"))?;
    let npm = files::NPM.replace("@NPM@", &installed.node.npm.display().to_string());
    script(&bin.join("npm"), &npm)?;
    script(&bin.join("pm2"), files::PM2)?;
    symlink(&installed.modules, dir.join("node_modules"))?;

    analyses(dir, installed)?;
    let environment = dir.join(ENVIRONMENT);
    python::environment(&installed.python, &environment, python::Pip::Without)?;
    let packages = python::site_packages(&environment)?;
    fs::write(packages.join("parts.pth"), format!("{}\n", installed.packages.display()))?;
    files::airbyte(&packages)?;
    let python = environment.join("bin/python3");
    script(&environment.join("bin/dbt"), &files::DBT.replace("@PYTHON@", &python.display().to_string()))
}

/// The environment that story 1.6 analyses in: installed by pip, so that its records are what pip writes.
fn analyses(dir: &Path, installed: &Installed) -> Result<()> {
    let environment = dir.join(ANALYSES);
    python::environment(&installed.python, &environment, python::Pip::Without)?;
    let mut pip = Command::new(installed.wheels.join("bin/python3"));
    pip.args(["-m", "pip", "--python"]).arg(environment.join("bin/python3"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--no-index"]);
    pip.arg("--find-links").arg(installed.wheels.join("wheels")).args(parts::EDA_PACKAGES);
    output(&mut pip).context("installing the packages of story 1.6")?;
    Ok(())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A program of the site's, in the site, with an environment that is the same everywhere.
fn command(dir: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(dir.join(program));
    command.args(args).current_dir(dir).env_clear();
    // HOME leads nowhere, so that nothing is left in the user's own.
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", dir.join("bin").display())).env("HOME", "/dev/null");
    command
}

/// What it prints; it must succeed.
fn run(dir: &Path, program: &str, args: &[&str]) -> Result<String> {
    output(&mut command(dir, program, args))
}
