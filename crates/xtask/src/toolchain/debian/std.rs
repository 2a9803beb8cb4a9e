//! The standard library of the guests' target, built once by the private compiler from its own source.

use super::prefix::{RUSTC, libdir};
use crate::toolchain::{
    TARGET, cargo_home,
    process::{clean, output, say},
};
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

pub const BUILD: &[&str] =
    &["build", "--locked", "--release", "-p", "std", "--no-default-features", "--features", "panic-unwind"];
pub const FLAGS: &[&str] = &["-Zforce-unstable-if-unmarked", "-Cembed-bitcode=yes"];
/// What wasi-libc has for the linker.
const OBJECTS: &[&str] = &["crt1-command.o", "crt1-reactor.o", "libc.a"];

/// Between the flags of `CARGO_ENCODED_RUSTFLAGS`, where a path may hold spaces.
const SEPARATOR: &str = "\x1f";

/// Builds it into the prefix at `root`.
///
/// # Errors
/// When it does not build.
pub fn build(root: &Path) -> Result<()> {
    say("building the standard library of the guests (once; about half a minute)");
    let sources = root.join("usr/src");
    let source = fs::read_dir(&sources)?.next().context("the packages hold no source")??.path().join("library");
    let target = root.join("std-build");
    // The machine's paths would make every machine's guests differ.
    let flags = [
        FLAGS.join(SEPARATOR),
        format!("--remap-path-prefix={}=/std", source.display()),
        format!("--remap-path-prefix={}=/registry", cargo_home().display()),
    ];
    output(
        clean("cargo")
            .args(BUILD)
            .args(["--target", TARGET])
            .current_dir(&source)
            .env("RUSTC", root.join(RUSTC))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
            .env("CARGO_TARGET_DIR", &target),
    )
    .context("the standard library does not build; its few dependencies come from the crate registry")?;
    install(root, &target.join(TARGET).join("release/deps"))?;
    fs::remove_dir_all(&target)?;
    Ok(())
}

fn install(root: &Path, built: &Path) -> Result<()> {
    let libdir = libdir(root);
    let objects = libdir.join("self-contained");
    fs::create_dir_all(&objects)?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rlib") {
            fs::copy(&path, libdir.join(path.file_name().unwrap_or_default()))?;
        }
    }
    for object in OBJECTS {
        let from = root.join("usr/lib/wasm32-wasi").join(object);
        fs::copy(&from, objects.join(object)).with_context(|| format!("wasi-libc has no {object}"))?;
    }
    Ok(())
}
