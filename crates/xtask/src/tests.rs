//! `cargo xtask test`: builds the guests, then everything else, then runs every test.

use crate::{
    guests, repo, site,
    toolchain::{Toolchain, Way, clean, say},
};
use anyhow::{Result, bail};

/// Runs the tests; `args` go to `cargo test`.
///
/// # Errors
/// When something does not build or a test fails.
pub fn run(way: Way, args: &[String]) -> Result<()> {
    let guests = guests::build(&Toolchain::find(way)?)?;
    let parts = site::parts(guests.clone())?;
    let workspace: &[&str] = if args.iter().any(|a| a == "-p" || a == "--package") { &[] } else { &["--workspace"] };
    say("running the tests");
    let status = clean("cargo")
        .args(["test", "--release", "--locked"])
        .args(workspace)
        .args(args)
        .current_dir(repo())
        .env("UNSHIP_GUESTS", &guests)
        .env("UNSHIP_XTASK", std::env::current_exe()?)
        .env("UNSHIP_PRACTICE", &parts.service)
        .status()?;
    if !status.success() {
        bail!("tests failed ({status})");
    }
    Ok(())
}
