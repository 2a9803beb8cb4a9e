//! The private prefix: the packages unpacked, a rustc that finds itself in it, and the host's linkers linked in.

use super::{hex, packages::SOURCE};
use crate::toolchain::{
    TARGET, host,
    process::{output, say},
};
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// The compiler's place in the prefix.
pub const RUSTC: &str = "bin/rustc";
/// What the packages were, as `sha256sum --check` reads it.
const HASHES: &str = "packages.sha256";
/// Debian's rustc looks for its library and sysroot in the system; this one finds its own, wherever the prefix lies.
const WRAPPER: &str = "#!/bin/sh\nhere=$(CDPATH= cd -- \"$(dirname -- \"$0\")/..\" && pwd)\n\
    LD_LIBRARY_PATH=\"$here/@DRIVER@\" exec \"$here/usr/bin/rustc\" --sysroot \"$here/usr\" \"$@\"\n";
/// Of the source only the standard library; the rest is a gigabyte.
const UNPACK_SOURCE: &str = r#"dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './usr/src/*/library/*'"#;
const TOOLS: &[&str] = &["rust-lld", "wasm-component-ld", "gcc-ld/wasm-ld"];

pub const RECIPE: &[&str] = &[WRAPPER, UNPACK_SOURCE];

/// Whether a prefix has its compiler, its standard library, and says what it was made of.
pub fn is_whole(root: &Path) -> bool {
    root.join(RUSTC).is_file() && root.join(HASHES).is_file() && host::has_std(&libdir(root))
}

/// Where the target's standard library goes.
pub fn libdir(root: &Path) -> PathBuf {
    root.join("usr/lib/rustlib").join(TARGET).join("lib")
}

/// Unpacks the packages into `root`, removing each, and makes the compiler in it usable.
///
/// # Errors
/// When a package does not hold what it should.
pub fn lay_out(root: &Path, debs: &[PathBuf]) -> Result<()> {
    let mut hashes = String::new();
    for deb in debs {
        let name = deb.file_name().unwrap_or_default().to_string_lossy();
        say(&format!("unpacking {name}"));
        hashes.push_str(&format!("{}  {name}\n", hex(&Sha256::digest(fs::read(deb)?))));
        if name.starts_with(SOURCE) {
            output(Command::new("sh").args(["-c", UNPACK_SOURCE, "sh"]).arg(deb).arg(root))?;
        } else {
            output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root))?;
        }
        fs::remove_file(deb)?;
    }
    fs::write(root.join(HASHES), hashes)?;
    wrap_rustc(root)?;
    link_linkers(root)
}

fn wrap_rustc(root: &Path) -> Result<()> {
    let driver = find_driver(root).context("the packages hold no librustc_driver")?;
    fs::create_dir_all(root.join("bin"))?;
    let rustc = root.join(RUSTC);
    fs::write(&rustc, WRAPPER.replace("@DRIVER@", &driver))?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The folder of the compiler's library, relative to `root`: Debian's differs by architecture.
fn find_driver(root: &Path) -> Option<String> {
    let lib = root.join("usr/lib");
    let folders = fs::read_dir(&lib).ok()?.flatten().map(|entry| entry.path()).chain([lib]);
    let holds_driver = |dir: &PathBuf| {
        fs::read_dir(dir).is_ok_and(|mut entries| {
            entries.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("librustc_driver")))
        })
    };
    let found = folders.into_iter().find(holds_driver)?;
    Some(found.strip_prefix(root).ok()?.to_str()?.to_owned())
}

fn link_linkers(root: &Path) -> Result<()> {
    let tools = root.join("usr/lib/rustlib").join(host::triple()?).join("bin");
    fs::create_dir_all(tools.join("gcc-ld"))?;
    let ours = host::linkers()?;
    for tool in TOOLS {
        if ours.join(tool).exists() && !tools.join(tool).exists() {
            symlink(ours.join(tool), tools.join(tool))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_prefix_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        fs::create_dir_all(libdir(root)).unwrap();
        fs::create_dir_all(root.join("bin")).unwrap();
        for part in [root.join(RUSTC), root.join(HASHES), libdir(root).join("libstd.rlib")] {
            assert!(!is_whole(root), "without {}", part.display());
            fs::write(part, "").unwrap();
        }
        assert!(is_whole(root));
    }

    #[test]
    fn the_driver_is_found_in_any_architecture() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("usr/lib/s390x-linux-gnu")).unwrap();
        assert_eq!(find_driver(temp.path()), None);
        fs::write(temp.path().join("usr/lib/s390x-linux-gnu/librustc_driver-1.so"), "").unwrap();
        assert_eq!(find_driver(temp.path()).as_deref(), Some("usr/lib/s390x-linux-gnu"));
    }
}
