//! Programs out of Debian's packages, unpacked into the cache. No system package is installed.

use super::process::{is_there, output, say};
use anyhow::{Context as _, Result, bail};
use std::{fs, path::Path, process::Command};

/// Downloads these packages and unpacks them into `to`, as they would lie below `/`. What they depend on is not looked at.
///
/// # Errors
/// When this is no Debian, or its packages cannot be had.
pub fn unpack(packages: &[&str], to: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        if !is_there(tool) {
            bail!("there is no {tool} here");
        }
    }
    say(&format!("downloading Debian's {}", packages.join(", ")));
    let work = tempfile::tempdir_in(to)?;
    let download = || output(Command::new("apt-get").arg("download").args(packages).current_dir(&work));
    if let Err(first) = download() {
        say("apt-get update");
        output(Command::new("apt-get").arg("update")).context(first)?;
        download()?;
    }
    let mut found = 0;
    for deb in fs::read_dir(&work)? {
        output(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(to))?;
        found += 1;
    }
    if found != packages.len() {
        bail!("{found} of {} packages came", packages.len());
    }
    Ok(())
}
