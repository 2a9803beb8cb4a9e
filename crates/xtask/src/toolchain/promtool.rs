//! promtool, Prometheus's own test tool, for the differential test of the triggers: the one on `PATH`, or Debian's, unpacked
//! into the cache. No system package is installed.

use super::{cache, debs, process::output};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's package that holds it: 19 MB to download, of which promtool alone is kept.
const PACKAGE: &str = "prometheus";
/// What the test's list of differences was made with.
const VERSION: &str = "version 2.42.";

/// A promtool of the right version; it is made sure that there is one.
///
/// # Errors
/// When there is none and Debian's cannot be had.
pub fn need() -> Result<PathBuf> {
    let own = PathBuf::from("promtool");
    if is_right(&own) { Ok(own) } else { debians(&cache::folder()?) }
}

/// Debian's, kept in this cache.
///
/// # Errors
/// As [`need`].
pub fn debians(cache: &Path) -> Result<PathBuf> {
    let place = cache.join("promtool-2.42");
    cache::once(&place, |dir| is_right(&dir.join("promtool")), fetch).context(
        "the differential test of the triggers needs promtool 2.42: install Debian 12's package `prometheus`, or put \
         promtool 2.42 on PATH",
    )?;
    Ok(place.join("promtool"))
}

fn is_right(promtool: &Path) -> bool {
    output(Command::new(promtool).arg("--version")).is_ok_and(|said| said.contains(VERSION))
}

fn fetch(to: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(to)?;
    debs::unpack(&[PACKAGE], work.path())?;
    fs::rename(work.path().join("usr/bin/promtool"), to.join("promtool"))?;
    Ok(())
}
