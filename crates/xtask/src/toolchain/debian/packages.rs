//! Debian's packages: which ones, found by their own metadata, and downloaded by apt, which checks their signatures.

use super::COMPILER;
use crate::toolchain::process::{is_there, output, say};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is fetched by name; two more are found as dependencies.
pub const RECIPE: &[&str] = &[COMPILER, LIBRARY, SOURCE, LIBC];
/// The compiler's own standard library, for build scripts and macros.
const LIBRARY: &str = "libstd-rust-web-dev";
/// The source of the standard library.
pub const SOURCE: &str = "rust-web-src";
const LIBC: &str = "wasi-libc";

/// # Errors
/// When this is no Debian.
pub fn need_apt() -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if !is_there(tool) {
            bail!("there is no {tool} here; this way needs Debian, or `rustup target add {}`", super::super::TARGET);
        }
    }
    Ok(())
}

/// The version that apt would take; the package lists are fetched if there are none.
///
/// # Errors
/// When apt knows no such package.
pub fn candidate(package: &str) -> Result<String> {
    if let Some(version) = known_candidate(package)? {
        return Ok(version);
    }
    say("apt-get update");
    output(Command::new("apt-get").arg("update")).context("there are no package lists; `apt-get update` must work")?;
    known_candidate(package)?
        .with_context(|| format!("apt knows no package {package}; Debian 12 with its security suite has it"))
}

/// The version that apt would take, if its present lists have one.
///
/// # Errors
/// When apt does not answer.
pub fn known_candidate(package: &str) -> Result<Option<String>> {
    Ok(parse_candidate(&output(Command::new("apt-cache").args(["policy", package]))?))
}

/// Downloads all packages into `root/debs`.
///
/// # Errors
/// When one cannot be had.
pub fn download(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("debs");
    fs::create_dir(&folder)?;
    let library = dependency(LIBRARY, "libstd-rust-web-")?;
    let llvm = dependency(&library, "libllvm")?;
    let packages = [COMPILER, LIBRARY, &library, &llvm, SOURCE, LIBC];
    say(&format!("downloading {} (about 130 MB)", packages.join(", ")));
    output(Command::new("apt-get").arg("download").args(packages).current_dir(&folder))
        .context("the packages cannot be downloaded; `apt-get download` must work")?;
    let mut debs: Vec<PathBuf> = fs::read_dir(&folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    debs.sort();
    if debs.len() != packages.len() {
        bail!("{} packages were asked for, {} came", packages.len(), debs.len());
    }
    Ok(debs)
}

/// The package with this prefix that `package` depends on.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    parse_dependency(&shown, prefix).with_context(|| format!("{package} depends on no {prefix}*"))
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn parse_dependency(shown: &str, prefix: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let names = depends.split(',').filter_map(|entry| entry.split_whitespace().next());
    names.map(|name| name.split(':').next().unwrap_or(name)).find(|name| name.starts_with(prefix)).map(str::to_owned)
}

/// A version as a file name.
pub fn file_name(version: &str) -> String {
    version.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_candidates() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        for (policy, expected) in [
            (policy, Some("1.96.0+dfsg1-1~deb12u2")),
            ("x:\n  Installed: 1\n  Candidate: (none)\n", None),
            ("", None),
            ("N: Unable to locate package x\n", None),
        ] {
            assert_eq!(parse_candidate(policy).as_deref(), expected, "{policy}");
        }
    }

    #[test]
    fn reads_dependencies() {
        let shown = "Package: a\nDescription: x\nDepends: libc6 (>= 2.34), libllvm22:amd64 (>= 1), x\n";
        for (shown, prefix, expected) in [
            (shown, "libllvm", Some("libllvm22")),
            (shown, "libstd", None),
            (
                "Package: a\nDepends: libstd-rust-web-1.96 (= 1.96.0+dfsg1-1)\n",
                "libstd-rust-web-",
                Some("libstd-rust-web-1.96"),
            ),
            ("Package: a\nPre-Depends: libllvm1\n", "libllvm", None),
        ] {
            assert_eq!(parse_dependency(shown, prefix).as_deref(), expected, "{shown}");
        }
    }

    #[test]
    fn versions_become_file_names() {
        for (version, expected) in
            [("1.96.0+dfsg1-1~deb12u2", "1.96.0_dfsg1-1_deb12u2"), ("1:22.1.8-1", "1_22.1.8-1"), ("../x", ".._x")]
        {
            assert_eq!(file_name(version), expected);
        }
    }
}
