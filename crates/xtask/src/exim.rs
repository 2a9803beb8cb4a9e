//! Exim, a mail server, for the tests of notices: Debian's, unpacked into the cache. (OpenSMTPD of Debian 12 was built for an
//! older OpenSSL, and its TLS fails.)

use crate::toolchain::{cache, debs, process::output};
use anyhow::{Context as _, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Its packages, and the one library that a small installation lacks.
const PACKAGES: [&str; 3] = ["exim4-daemon-light", "exim4-base", "libidn12"];

/// The folder that it was unpacked into: `usr/sbin/exim4`, and `usr/lib/x86_64-linux-gnu` for its libraries.
///
/// # Errors
/// When Debian's packages cannot be had, or it does not run here.
pub fn need() -> Result<PathBuf> {
    let place = cache::folder()?.join("exim-4");
    cache::once(&place, runs, |to| debs::unpack(&PACKAGES, to))
        .context("the tests of mail need Debian's packages `exim4-daemon-light` and `exim4-base`")?;
    Ok(place)
}

/// It looks its user up before anything else, and nobody is that without an installation: by that it is known to run.
fn runs(dir: &Path) -> bool {
    let libraries = dir.join("usr/lib/x86_64-linux-gnu");
    let said = output(Command::new(dir.join("usr/sbin/exim4")).arg("-bV").env("LD_LIBRARY_PATH", libraries));
    match said {
        Ok(said) => said.contains("Exim version 4."),
        Err(e) => format!("{e:#}").contains("Debian-exim"),
    }
}
