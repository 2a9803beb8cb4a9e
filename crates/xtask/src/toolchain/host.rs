//! What the present Rust toolchain has: its host, sysroot, and the linkers for wasm.

use super::{
    TARGET,
    process::{clean, output},
};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The linker that makes a component, and the one below it.
const COMPONENT_LINKER: &str = "wasm-component-ld";
const LINKER: &str = "rust-lld";

/// The host's triple, such as `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// When there is no rustc.
pub fn triple() -> Result<String> {
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    Ok(host.to_owned())
}

/// Where the present rustc and its libraries are.
///
/// # Errors
/// When there is no rustc.
pub fn sysroot() -> Result<PathBuf> {
    Ok(PathBuf::from(rustc(&["--print", "sysroot"])?))
}

/// Where the present rustc expects the target's standard library.
///
/// # Errors
/// When there is no rustc.
pub fn target_libdir() -> Result<PathBuf> {
    Ok(PathBuf::from(rustc(&["--print", "target-libdir", "--target", TARGET])?))
}

fn rustc(args: &[&str]) -> Result<String> {
    output(clean("rustc").args(args)).context("Rust must be installed")
}

/// The folder of the linkers for wasm, which rustup ships even where the target is not installed.
///
/// # Errors
/// When they are neither there nor on `PATH`.
pub fn linkers() -> Result<PathBuf> {
    let own = sysroot()?.join("lib/rustlib").join(triple()?).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    find_linkers(std::iter::once(own).chain(env::split_paths(&path)))
}

fn find_linkers(mut folders: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    let has_both = |dir: &PathBuf| [COMPONENT_LINKER, LINKER].iter().all(|tool| dir.join(tool).is_file());
    let Some(dir) = folders.find(has_both) else {
        bail!(
            "no folder holds {COMPONENT_LINKER} and {LINKER}: install Rust by rustup, whose toolchains have both, \
             or `cargo install --locked {COMPONENT_LINKER}` beside a {LINKER}"
        );
    };
    Ok(dir)
}

/// Whether a folder holds a standard library.
pub fn has_std(libdir: &Path) -> bool {
    fs::read_dir(libdir).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // rustup's name carries a hash; what cargo builds of a crate that is a dylib too carries none.
            name == "libstd.rlib" || (name.starts_with("libstd-") && name.ends_with(".rlib"))
        })
    })
}

/// Where cargo keeps sources, which would otherwise stand in the artifact.
pub fn cargo_home() -> PathBuf {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or(home).unwrap_or_else(|| PathBuf::from("/nonexistent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkers_are_both_in_one_folder() {
        let temp = tempfile::tempdir().unwrap();
        let (one, both) = (temp.path().join("one"), temp.path().join("both"));
        for (dir, tool) in [(&one, COMPONENT_LINKER), (&both, COMPONENT_LINKER), (&both, LINKER)] {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join(tool), "").unwrap();
        }
        assert_eq!(find_linkers([one.clone(), both.clone()].into_iter()).unwrap(), both);
        let missing = find_linkers([one].into_iter()).unwrap_err().to_string();
        assert!(missing.contains("install Rust by rustup"), "{missing}");
    }
}
