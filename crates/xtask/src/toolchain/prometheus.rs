//! Prometheus with its test tool, and Alertmanager: for the differential test of the triggers, and for the test and the bench that
//! have both in front of the daemon. Debian's, unpacked into the cache; no system package is installed.

use super::{cache, debs, process::output};
use anyhow::{Context as _, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGES: [&str; 2] = ["prometheus", "prometheus-alertmanager"];
/// What the list of differences between triggers and Prometheus was made with.
const PROMETHEUS: &str = "version 2.42.";
const ALERTMANAGER: &str = "version 0.25.";

/// Where the programs are.
pub struct Prometheus {
    pub server: PathBuf,
    pub promtool: PathBuf,
    pub alertmanager: PathBuf,
}

impl Prometheus {
    fn at(dir: &Path) -> Prometheus {
        let bin = dir.join("usr/bin");
        let [server, promtool, alertmanager] =
            ["prometheus", "promtool", "prometheus-alertmanager"].map(|name| bin.join(name));
        Prometheus { server, promtool, alertmanager }
    }

    fn runs(&self) -> bool {
        [(&self.server, PROMETHEUS), (&self.promtool, PROMETHEUS), (&self.alertmanager, ALERTMANAGER)].iter().all(
            |(program, version)| {
                output(Command::new(program).arg("--version")).is_ok_and(|said| said.contains(version))
            },
        )
    }
}

/// Makes sure that they are there.
///
/// # Errors
/// When Debian's packages cannot be had, or one of the programs does not run here.
pub fn need() -> Result<Prometheus> {
    in_cache(&cache::folder()?)
}

/// The same, kept in this cache.
///
/// # Errors
/// As [`need`].
pub fn in_cache(cache: &Path) -> Result<Prometheus> {
    let place = cache.join("alerting-12");
    cache::once(&place, |dir| Prometheus::at(dir).runs(), |to| debs::unpack(&PACKAGES, to)).context(
        "the tests of the triggers and of the daemon need Debian 12's packages `prometheus` (2.42) and \
         `prometheus-alertmanager` (0.25)",
    )?;
    Ok(Prometheus::at(&place))
}
