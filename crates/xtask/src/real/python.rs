//! Virtual environments of Python's.

use crate::toolchain::{
    process::{output, say, within},
    python,
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Making an environment takes seconds; with apt's help a minute.
const LIMIT: Duration = Duration::from_secs(300);
/// Debian keeps apart what an environment with pip needs.
const DEBIAN_PACKAGE: &str = "python3-venv";

/// Whether an environment has a pip of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pip {
    With,
    Without,
}

/// The Python that makes environments: no version manager's stand-in, but what that leads to.
///
/// # Errors
/// When there is none, and none can be installed.
pub fn find() -> Result<PathBuf> {
    python::need()?;
    let print = "import sys; print(sys.executable)";
    Ok(PathBuf::from(output(Command::new("python3").args(["-c", print]))?))
}

/// Makes an environment in `place`. It may be moved afterwards, but for the scripts in its `bin`.
///
/// # Errors
/// When Python's part for it is missing and cannot be installed.
pub fn environment(python: &Path, place: &Path, pip: Pip) -> Result<()> {
    let make = || {
        let mut venv = Command::new(python);
        venv.args(["-m", "venv", "--clear"]);
        if pip == Pip::Without {
            venv.arg("--without-pip");
        }
        within(LIMIT, venv.arg(place))
    };
    let Err(first) = make() else { return Ok(()) };
    say(&format!("installing {DEBIAN_PACKAGE}"));
    let advice = format!(
        "Python needs what makes virtual environments: install it, as by `apt-get install -y {DEBIAN_PACKAGE}` as root"
    );
    python::install(DEBIAN_PACKAGE).context(first).with_context(|| advice.clone())?;
    make().context(advice)
}

/// The folder of an environment's packages.
///
/// # Errors
/// When it is no environment.
pub fn site_packages(environment: &Path) -> Result<PathBuf> {
    let lib = environment.join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("looking into {}", lib.display()))?;
    let found = entries.flatten().map(|entry| entry.path().join("site-packages")).find(|path| path.is_dir());
    found.with_context(|| format!("{} is no environment of Python's", environment.display()))
}
