//! Python, for the journal's second verifier, `tests/verify_journal.py`, and for the practice site's real parts: found, or
//! installed by apt.

use super::process::{is_there, output, say, within};
use anyhow::{Context as _, Result, bail};
use std::{process::Command, time::Duration};

const PYTHON: &str = "python3";
/// The package lists and four packages over a slow line.
const APT_LIMIT: Duration = Duration::from_secs(300);

/// Sees to it that there is a `python3`.
///
/// # Errors
/// When it is missing and apt cannot install it, with the command that would.
pub fn need() -> Result<()> {
    if works() {
        return Ok(());
    }
    say(&format!("installing {PYTHON} for tests/verify_journal.py"));
    let advice = format!(
        "the journal's second verifier, tests/verify_journal.py, needs {PYTHON} on PATH: install it, as by \
         `apt-get install -y {PYTHON}` as root"
    );
    install(PYTHON).context(advice.clone())?;
    if !works() {
        bail!("{advice}; apt-get installed it, but it is not found");
    }
    Ok(())
}

/// A version manager's stand-in may be there with nothing behind it.
fn works() -> bool {
    output(Command::new(PYTHON).arg("--version")).is_ok()
}

/// Installs a Debian package, with newer package lists if need be.
///
/// # Errors
/// When there is no apt, or it fails.
pub fn install(package: &str) -> Result<()> {
    if !is_there("apt-get") {
        bail!("there is no apt-get here");
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "--no-install-recommends", package]).env("DEBIAN_FRONTEND", "noninteractive");
        within(APT_LIMIT, &mut apt)
    };
    let Err(first) = install() else { return Ok(()) };
    say("apt-get update");
    within(APT_LIMIT, Command::new("apt-get").arg("update")).context(first)?;
    install()
}
