//! Building the guests: `steps-wasm/`, a workspace of its own, with the guests' toolchain.

use crate::{
    repo,
    toolchain::{TARGET, Toolchain, cargo_home, clean, path_with, say},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Builds all guests and gives the folder that holds their `.wasm` files. Up to date is cargo's to know.
///
/// # Errors
/// When the build fails.
pub fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    say(&format!("building the guests ({})", toolchain.origin));
    let target = repo().join("target/guests");
    build_in(toolchain, &repo().join("steps-wasm"), &target)?;
    Ok(target.join(TARGET).join("release"))
}

/// Builds the guests of `workspace` into `target`.
///
/// # Errors
/// When the build fails.
pub fn build_in(toolchain: &Toolchain, workspace: &Path, target: &Path) -> Result<()> {
    build_from(toolchain, workspace, target, &repo().canonicalize()?)
}

/// Builds the guest crate in `dir`, anybody's, into its own `target`, and gives the folder that holds its `.wasm`.
///
/// # Errors
/// When it does not build.
pub fn build_one(toolchain: &Toolchain, dir: &Path) -> Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| format!("no folder {}", dir.display()))?;
    let target = dir.join("target");
    build_from(toolchain, &dir, &target, &dir)?;
    Ok(target.join(TARGET).join("release"))
}

/// With the machine's paths (`root` and cargo's home) taken out, the same source gives the same bytes everywhere.
fn build_from(toolchain: &Toolchain, workspace: &Path, target: &Path, root: &Path) -> Result<()> {
    let home = cargo_home();
    let flags =
        format!("--remap-path-prefix={}=/unship\x1f--remap-path-prefix={}=/registry", root.display(), home.display());
    let status = clean("cargo")
        .args(["build", "--quiet", "--locked", "--release", "--target", TARGET])
        .current_dir(workspace)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_TARGET_WASM32_WASIP1_LINKER", "wasm-component-ld")
        .env("PATH", path_with(&toolchain.linkers))
        .status()?;
    if !status.success() {
        bail!("the guests do not build ({status})");
    }
    Ok(())
}

/// The `.wasm` files of a folder with their sizes, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "wasm") {
            all.push((entry.path(), entry.metadata()?.len()));
        }
    }
    all.sort();
    Ok(all)
}
