//! `cargo xtask lint`: format, clippy without a warning, and what may stand in the dependency tree.

use crate::{
    repo,
    toolchain::{Toolchain, Way, cache, clean, path_with, say},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Fixed, so that the same commit gives the same answer tomorrow.
const CARGO_DENY: &str = "0.20.2";
/// The folders that hold a `Cargo.lock` of their own.
const WORKSPACES: &[&str] = &[".", "steps-wasm", "crates/step"];

/// Checks everything, says all that is wrong, and how long each part took.
///
/// # Errors
/// When a check fails, or cannot be made.
pub fn run(way: Way) -> Result<()> {
    let mut failed = Vec::new();
    let mut part = |what: &str, command: &mut Command| -> Result<()> {
        let started = Instant::now();
        let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
        let verdict = if status.success() { "ok" } else { "FAILED" };
        say(&format!("{what}: {verdict} ({:.1} s)", started.elapsed().as_secs_f32()));
        if !status.success() {
            failed.push(what.to_owned());
        }
        Ok(())
    };
    for folder in WORKSPACES {
        let mut fmt = cargo(folder, &["fmt"]);
        // `--all` would follow a path dependency out of its folder, and check the SDK twice.
        fmt.args(if *folder == "." { &["--all", "--check"][..] } else { &["--check"][..] });
        part(&format!("format of {folder}"), &mut fmt)?;
    }
    let deny = cargo_deny()?;
    for folder in WORKSPACES {
        part(&format!("sources of {folder}"), &mut cargo(folder, &["fetch", "--quiet", "--locked"]))?;
        let mut check = clean(&deny);
        check
            .current_dir(repo().join(folder))
            .args(["--offline", "--config"])
            .arg(repo().join("deny.toml"))
            .arg("check");
        if *folder != "." {
            // The rules name wrappers and licences of the host side, which the guests do not have.
            check.args(["--allow", "unused-wrapper", "--allow", "license-not-encountered"]);
            check.args(["--allow", "license-exception-not-encountered"]);
        }
        check.args(["--hide-inclusion-graph", "bans", "licenses", "sources"]);
        part(&format!("dependencies of {folder}"), &mut check)?;
    }
    let clippy = ["clippy", "--quiet", "--release", "--locked", "--workspace", "--all-targets"];
    part("clippy of the host side", cargo(".", &clippy).args(["--", "--deny", "warnings"]))?;
    let mut sdk = cargo("crates/step", &["clippy", "--quiet", "--release", "--locked", "--all-targets"]);
    part(
        "clippy of the SDK",
        sdk.env("CARGO_TARGET_DIR", repo().join("target/step")).args(["--", "--deny", "warnings"]),
    )?;
    let toolchain = Toolchain::find(way)?;
    if toolchain.rustc.with_file_name("clippy-driver").is_file() {
        let mut guests = cargo("steps-wasm", &clippy[..5]);
        guests
            .env("RUSTC", &toolchain.rustc)
            .env("CARGO_TARGET_DIR", repo().join("target/guests"))
            .env("PATH", path_with(&toolchain.linkers))
            .args(["--", "--deny", "warnings"]);
        part("clippy of the guests", &mut guests)?;
    } else {
        say(&format!(
            "clippy of the guests: SKIPPED, the guests' toolchain ({}) has no clippy-driver",
            toolchain.origin
        ));
    }
    if !failed.is_empty() {
        bail!("lint: {} failed", failed.join(", "));
    }
    Ok(())
}

fn cargo(folder: &str, args: &[&str]) -> Command {
    let mut command = clean("cargo");
    command.current_dir(repo().join(folder)).args(args);
    command
}

/// The one version of cargo-deny that judges here, built into the cache when it is not there.
fn cargo_deny() -> Result<PathBuf> {
    let place = cache::folder()?.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = |root: &Path| root.join("bin/cargo-deny");
    cache::once(&place, |root| is_that_version(&program(root)), build_cargo_deny)?;
    Ok(program(&place))
}

fn build_cargo_deny(root: &Path) -> Result<()> {
    say(&format!("building cargo-deny {CARGO_DENY} into the cache (once, about two minutes)"));
    let build = root.join("build");
    let mut install = clean("cargo");
    install
        .args(["install", "--quiet", "--locked", "--version", CARGO_DENY, "cargo-deny", "--root"])
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
        bail!("`cargo install --locked cargo-deny --version {CARGO_DENY}` must work ({built})");
    }
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

fn is_that_version(program: &Path) -> bool {
    let out = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == format!("cargo-deny {CARGO_DENY}"))
}
