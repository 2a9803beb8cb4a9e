//! `cargo xtask test`: builds the guests, then everything else, then runs every test.

use crate::{
    exim, fuzz, guests, real, repo, site,
    toolchain::{Toolchain, Way, cache, clean, prometheus, python, say},
};
use anyhow::{Result, bail};

/// Runs the tests; `args` go to `cargo test`.
///
/// # Errors
/// When something does not build or a test fails.
pub fn run(way: Way, args: &[String]) -> Result<()> {
    // Before anything takes its time.
    python::need()?;
    let exim = exim::need()?;
    let prometheus = prometheus::need()?;
    let real = real::install()?;
    let guests = guests::build(&Toolchain::find(way)?)?;
    let parts = site::parts(guests.clone())?;
    let is_for_one = args.iter().any(|a| a == "-p" || a == "--package");
    let workspace: &[&str] = if is_for_one { &[] } else { &["--workspace"] };
    if args.is_empty() {
        test_sdk()?;
    }
    say("running the tests");
    let status = clean("cargo")
        .args(["test", "--release", "--locked"])
        .args(workspace)
        .args(args)
        .current_dir(repo())
        .env("UNSHIP_GUESTS", &guests)
        // Not our own executable: building the tests may have put a new one in its place.
        .env("UNSHIP_XTASK", parts.unship.with_file_name("xtask"))
        .env("UNSHIP_PRACTICE", &parts.practice)
        .env("UNSHIP_PROMTOOL", &prometheus.promtool)
        .env("UNSHIP_EXIM", &exim)
        .env("UNSHIP_PROMETHEUS", &prometheus.server)
        .env("UNSHIP_ALERTMANAGER", &prometheus.alertmanager)
        // Where the real parts are, for tests that have caches of their own for everything else.
        .env("UNSHIP_CACHE", cache::folder()?)
        .env("UNSHIP_PM2", real.modules.join("pm2/bin/pm2"))
        .env("UNSHIP_NODE", &real.node.node)
        .status()?;
    if !status.success() {
        bail!("tests failed ({status})");
    }
    if args.is_empty() {
        fuzz::run(&[], fuzz::SECONDS_IN_TESTS)?;
    }
    Ok(())
}

/// The guests' SDK is in no workspace of the host; what it does on any target is tested here.
fn test_sdk() -> Result<()> {
    say("running the tests of the guests' SDK");
    let status = clean("cargo")
        .args(["test", "--quiet", "--release", "--locked"])
        .current_dir(repo().join("crates/step"))
        .env("CARGO_TARGET_DIR", repo().join("target/step"))
        .status()?;
    if !status.success() {
        bail!("tests of the guests' SDK failed ({status})");
    }
    Ok(())
}
