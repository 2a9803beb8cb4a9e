//! Dagster's home, which is no part of the site: it lies beside it, as it may lie on another file system, and the site has a link
//! to the folder that holds it.

use super::{make_directory, refuse_unless_empty, write};
use anyhow::{Context as _, Result};
use std::{
    ffi::OsString,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// In the site, what policy calls the folder `dagster`.
const LINK: &str = "var/dagster";

/// What its home holds, hidden files too.
const FILES: &[(&str, &str)] = &[
    ("home/dagster.yaml", include_str!("tree/dagster/dagster.yaml")),
    ("home/.nux/seen", "1\n"),
    ("home/storage/3d0c5a2e-nightly/compute_logs/nightly.out", "ingest: 1200 rows\n"),
];

/// The folder beside the site `dir` that holds Dagster's home.
pub fn beside(dir: &Path) -> PathBuf {
    dir.with_file_name(name(dir))
}

fn name(dir: &Path) -> OsString {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".dagster");
    name
}

/// Makes the folder beside the site, with a home in it, and the link to it.
///
/// # Errors
/// When there is something already, or it cannot be written.
pub fn lay_out(dir: &Path) -> Result<()> {
    link(dir)?;
    FILES.iter().try_for_each(|(path, text)| write(beside(dir).join(path), text.as_bytes()))
}

/// The folder and the link to it, with nothing in it.
///
/// # Errors
/// As [`lay_out`].
pub fn link(dir: &Path) -> Result<()> {
    refuse_unless_empty(&beside(dir))?;
    make_directory(&beside(dir))?;
    let link = dir.join(LINK);
    make_directory(link.parent().context("a link in a folder")?)?;
    // Relative: a copy of both is a whole site.
    symlink(Path::new("../..").join(name(dir)), &link).with_context(|| format!("linking {}", link.display()))
}
