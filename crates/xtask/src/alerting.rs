//! Prometheus and Alertmanager, for the test that has them in front of the daemon: Debian's, unpacked into the cache.

use crate::toolchain::{cache, debs, process::output};
use anyhow::{Context as _, Result};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const PACKAGES: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// Where the two programs are.
pub struct Alerting {
    pub prometheus: PathBuf,
    pub alertmanager: PathBuf,
}

impl Alerting {
    /// One of the two, in a mount namespace of its own where its files lie where it looks for them.
    pub fn command(&self, program: &Path) -> Command {
        let script = "mount -t overlay overlay -o lowerdir=\"$1/usr\":/usr /usr && shift && exec \"$@\"";
        let place = program.ancestors().nth(3).unwrap_or(Path::new("/"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(place).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Makes sure that they are there.
///
/// # Errors
/// When Debian's packages cannot be had, or one of the two does not run here.
pub fn need() -> Result<Alerting> {
    let place = cache::folder()?.join("alerting-12");
    cache::once(&place, |dir| run(&programs(dir)), |to| debs::unpack(&PACKAGES, to))
        .context("the test with Alertmanager needs Debian 12's packages `prometheus` and `prometheus-alertmanager`")?;
    Ok(programs(&place))
}

fn programs(dir: &Path) -> Alerting {
    Alerting { prometheus: dir.join("usr/bin/prometheus"), alertmanager: dir.join("usr/bin/prometheus-alertmanager") }
}

fn run(both: &Alerting) -> bool {
    [&both.prometheus, &both.alertmanager].iter().all(|program| {
        output(Command::new(program).arg("--version"))
            .is_ok_and(|said| said.contains("version 0.25") || said.contains("version 2.42"))
    })
}
