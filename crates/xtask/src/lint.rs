//! `cargo xtask lint`: format, clippy without a warning, and what may stand in the dependency tree.

use crate::{
    repo,
    toolchain::{Toolchain, Way, clean, path_with, say},
    tools,
};
use anyhow::{Context as _, Result, bail};
use std::{
    process::{Command, Stdio},
    time::Instant,
};

/// Fixed, so that the same commit gives the same answer tomorrow.
const CARGO_DENY: &str = "0.20.2";
/// The folders that hold a `Cargo.lock` of their own.
const WORKSPACES: &[&str] = &[".", "steps-wasm", "crates/step", "fuzz"];

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
    let deny = tools::need("cargo-deny", CARGO_DENY)?;
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
    // Without libFuzzer's binaries, which only a nightly toolchain can link.
    let mut fuzz = cargo("fuzz", &["clippy", "--quiet", "--release", "--locked", "--features", "replay"]);
    fuzz.env("CARGO_TARGET_DIR", repo().join("target/fuzz")).args(["--", "--deny", "warnings"]);
    part("clippy of the fuzz targets", &mut fuzz)?;
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
