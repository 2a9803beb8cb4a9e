//! The third way: Debian's packages, unpacked into a private prefix, with the target's standard library built once from
//! their source. No system package is installed, no apt source changed, no root needed.

mod packages;
mod prefix;
mod std;

use super::{Toolchain, cache, host, process::say};
use ::std::{
    fs,
    path::{Path, PathBuf},
};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// The package of the compiler, whose version names the prefix.
const COMPILER: &str = "rustc-web";
/// Characters of the recipe's hash that are kept.
const HASH_CHARS: usize = 12;

/// Finds the private toolchain in the cache, or makes it.
///
/// # Errors
/// What is missing, and the command that would put it right.
pub fn toolchain() -> Result<Toolchain> {
    packages::need_apt()?;
    let version = packages::candidate(COMPILER)?;
    let place = place(&version)?;
    cache::once(&place, prefix::is_whole, make)?;
    describe(&place, &version)
}

/// The private toolchain if it was made before; takes no time.
///
/// # Errors
/// When it was not.
pub fn made_before() -> Result<Toolchain> {
    packages::need_apt()?;
    let version = packages::known_candidate(COMPILER)?.context("there are no package lists")?;
    let place = place(&version)?;
    if !prefix::is_whole(&place) {
        bail!("{} is not there", place.display());
    }
    describe(&place, &version)
}

fn describe(place: &Path, version: &str) -> Result<Toolchain> {
    Ok(Toolchain {
        rustc: place.join(prefix::RUSTC),
        linkers: host::linkers()?,
        origin: format!("Debian's {COMPILER} {version} with a private standard library"),
    })
}

fn make(root: &Path) -> Result<()> {
    let debs = packages::download(root)?;
    prefix::lay_out(root, &debs)?;
    std::build(root)?;
    for done_with in ["debs", "usr/src"] {
        fs::remove_dir_all(root.join(done_with))?;
    }
    say("the toolchain is made, and kept in the cache");
    Ok(())
}

/// Where this version lives, made by this recipe.
fn place(version: &str) -> Result<PathBuf> {
    let name = format!("{}-{}", packages::file_name(version), recipe(&host::linkers()?));
    Ok(cache::folder()?.join("toolchain").join(name))
}

/// The hash of all that decides what becomes of the packages. The prefix links to the host's linkers, so they count too.
fn recipe(linkers: &Path) -> String {
    let mut hash = Sha256::new();
    for part in [packages::RECIPE, prefix::RECIPE, std::BUILD, std::FLAGS].concat() {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(linkers.as_os_str().as_encoded_bytes());
    hex(&hash.finalize()).chars().take(HASH_CHARS).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_linkers_are_another_recipe() {
        assert_eq!(recipe(Path::new("/a")), recipe(Path::new("/a")));
        assert_ne!(recipe(Path::new("/a")), recipe(Path::new("/b")));
        assert_eq!(recipe(Path::new("/a")).len(), HASH_CHARS);
    }
}
