//! Programs of the crate registry that the project is judged by: built once, of one version, into the cache.

use crate::toolchain::{cache, clean, say};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program `name` of this version.
///
/// # Errors
/// When it has to be built and cannot.
pub fn need(name: &str, version: &str) -> Result<PathBuf> {
    let place = cache::folder()?.join("tools").join(format!("{name}-{version}"));
    let program = |root: &Path| root.join("bin").join(name);
    cache::once(&place, |root| is_that_version(&program(root), name, version), |root| build(name, version, root))?;
    Ok(program(&place))
}

fn build(name: &str, version: &str, root: &Path) -> Result<()> {
    say(&format!("building {name} {version} into the cache (once, about two minutes)"));
    let build = root.join("build");
    let mut install = clean("cargo");
    install
        .args(["install", "--quiet", "--locked", "--version", version, name, "--root"])
        .arg(root)
        // Outside the checkout, whose `.cargo/config.toml` is not meant for tools.
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &build)
        // It runs for a second at a time; what costs is building it.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
        .stdin(Stdio::null());
    let built = install.status().context("cannot run `cargo install`")?;
    if !built.success() {
        bail!("`cargo install --locked {name} --version {version}` must work ({built})");
    }
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

fn is_that_version(program: &Path, name: &str, version: &str) -> bool {
    let out = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == format!("{name} {version}"))
}
