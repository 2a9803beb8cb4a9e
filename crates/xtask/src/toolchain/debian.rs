//! Debian's packages, unpacked into a private prefix, with the target's standard library built once from their source. No
//! system package is installed and no apt source changed.

use super::{TARGET, Toolchain, cache, clean, has_std, host, linkers, output, say};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// Counts up when what is made from the packages changes.
const RECIPE: u32 = 1;
const COMPILER: &str = "rustc-web";

/// Finds the private toolchain in the cache, or makes it.
pub fn toolchain() -> Result<Toolchain> {
    if output(Command::new("apt-get").arg("--version")).is_err() {
        bail!("there is no apt-get here; this way needs Debian");
    }
    let version = candidate(COMPILER)?;
    let prefix = cache()?.join("toolchain").join(format!("{COMPILER}-{}-{RECIPE}", safe(&version)));
    if !is_whole(&prefix) {
        make(&prefix, &version)?;
    }
    Ok(Toolchain {
        rustc: prefix.join("bin/rustc"),
        linkers: linkers()?,
        origin: format!("Debian's {COMPILER} {version} with a private standard library"),
    })
}

/// A prefix is renamed into place when it is whole, so that an interrupted build is never taken for one.
fn is_whole(prefix: &Path) -> bool {
    prefix.join("bin/rustc").is_file() && has_std(&prefix.join("usr/lib/rustlib").join(TARGET).join("lib"))
}

fn make(prefix: &Path, version: &str) -> Result<()> {
    let parent = prefix.parent().context("the cache has no parent")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix(".making-").tempdir_in(parent)?;
    let root = work.path().join("prefix");
    fs::create_dir(&root)?;
    let debs = download(work.path())?;
    let mut hashes = String::new();
    for deb in &debs {
        let bytes = fs::read(deb)?;
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        hashes.push_str(&format!("{hash}  {}\n", deb.file_name().unwrap_or_default().to_string_lossy()));
        unpack(deb, &root)?;
    }
    fs::write(root.join("packages.sha256"), hashes)?;
    wrap_rustc(&root)?;
    build_std(&root, work.path())?;
    match fs::rename(&root, prefix) {
        Ok(()) => {}
        // Somebody else made it meanwhile; theirs is as good.
        Err(_) if is_whole(prefix) => {}
        Err(e) => return Err(e).with_context(|| format!("moving the toolchain to {}", prefix.display())),
    }
    say(&format!("the toolchain of {COMPILER} {version} is kept at {}", prefix.display()));
    Ok(())
}

fn download(work: &Path) -> Result<Vec<PathBuf>> {
    let folder = work.join("debs");
    fs::create_dir(&folder)?;
    let library = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = dependency(&library, "libllvm")?;
    let packages = [COMPILER, "libstd-rust-web-dev", &library, &llvm, "rust-web-src", "wasi-libc"];
    say(&format!("downloading {}", packages.join(", ")));
    output(Command::new("apt-get").arg("download").args(packages).current_dir(&folder))
        .context("the packages cannot be downloaded; `apt-get update` must work")?;
    let mut debs: Vec<PathBuf> = fs::read_dir(&folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    debs.sort();
    if debs.len() != packages.len() {
        bail!("{} packages were asked for, {} came", packages.len(), debs.len());
    }
    Ok(debs)
}

/// The version that apt would take; the package lists are fetched if there are none.
fn candidate(package: &str) -> Result<String> {
    let look = || output(Command::new("apt-cache").args(["policy", package]));
    if let Some(version) = parse_candidate(&look()?) {
        return Ok(version);
    }
    say("apt-get update");
    output(Command::new("apt-get").arg("update")).context("there are no package lists; `apt-get update` must work")?;
    parse_candidate(&look()?)
        .with_context(|| format!("this Debian has no package {package}; Debian 12 with its security suite has it"))
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// The package with this prefix that `package` depends on.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    parse_dependency(&shown, prefix).with_context(|| format!("{package} depends on no {prefix}*"))
}

fn parse_dependency(shown: &str, prefix: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let names = depends.split(',').filter_map(|entry| entry.split_whitespace().next());
    names.map(|name| name.split(':').next().unwrap_or(name)).find(|name| name.starts_with(prefix)).map(str::to_owned)
}

/// A version as a file name.
fn safe(version: &str) -> String {
    version.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

fn unpack(deb: &Path, root: &Path) -> Result<()> {
    let name = deb.file_name().unwrap_or_default().to_string_lossy().into_owned();
    say(&format!("unpacking {name}"));
    if !name.starts_with("rust-web-src") {
        output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root))?;
        return Ok(());
    }
    // Of the source only the standard library; the rest is a gigabyte.
    let script = r#"dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './usr/src/*/library/*'"#;
    output(Command::new("sh").args(["-c", script, "sh"]).arg(deb).arg(root))?;
    Ok(())
}

/// Debian's rustc looks for its library and sysroot in the system; this one finds its own.
fn wrap_rustc(root: &Path) -> Result<()> {
    let host = host()?;
    let library = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"]
        .into_iter()
        .find(|dir| has_driver(&root.join(dir)))
        .context("the packages hold no librustc_driver")?;
    let script = format!(
        "#!/bin/sh\nhere=$(CDPATH= cd -- \"$(dirname -- \"$0\")/..\" && pwd)\n\
         LD_LIBRARY_PATH=\"$here/{library}\" exec \"$here/usr/bin/rustc\" --sysroot \"$here/usr\" \"$@\"\n"
    );
    fs::create_dir_all(root.join("bin"))?;
    let rustc = root.join("bin/rustc");
    fs::write(&rustc, script)?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    let tools = root.join("usr/lib/rustlib").join(host).join("bin");
    fs::create_dir_all(tools.join("gcc-ld"))?;
    let ours = linkers()?;
    for tool in ["rust-lld", "wasm-component-ld", "gcc-ld/wasm-ld"] {
        if ours.join(tool).exists() && !tools.join(tool).exists() {
            symlink(ours.join(tool), tools.join(tool))?;
        }
    }
    Ok(())
}

fn has_driver(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| {
        entries.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("librustc_driver")))
    })
}

fn build_std(root: &Path, work: &Path) -> Result<()> {
    say("building the standard library of the guests (once; about half a minute)");
    let sources = root.join("usr/src");
    let source = fs::read_dir(&sources)?.next().context("the packages hold no source")??.path().join("library");
    let target = work.join("std");
    let flags = format!(
        "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes --remap-path-prefix={}=/std --remap-path-prefix={}=/registry",
        source.display(),
        cargo_home().display(),
    );
    let build = ["build", "--locked", "--release", "--target", TARGET, "-p", "std"];
    let features = ["--no-default-features", "--features", "panic-unwind"];
    output(
        clean("cargo")
            .args(build)
            .args(features)
            .current_dir(&source)
            .env("RUSTC", root.join("bin/rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", &target),
    )
    .context("the standard library does not build; its few dependencies come from the crate registry")?;
    let libdir = root.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(libdir.join("self-contained"))?;
    let deps = target.join(TARGET).join("release/deps");
    for entry in fs::read_dir(&deps)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rlib") {
            fs::copy(&path, libdir.join(path.file_name().unwrap_or_default()))?;
        }
    }
    for object in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        let from = root.join("usr/lib/wasm32-wasi").join(object);
        fs::copy(&from, libdir.join("self-contained").join(object))
            .with_context(|| format!("wasi-libc has no {object}"))?;
    }
    Ok(())
}

/// Where cargo keeps sources, which would otherwise stand in the artifact.
pub fn cargo_home() -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home).unwrap_or_else(|| PathBuf::from("/nonexistent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apt_prints() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(parse_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
        let shown = "Package: a\nDepends: libc6 (>= 2.34), libllvm22:amd64 (>= 1), x\n";
        assert_eq!(parse_dependency(shown, "libllvm").as_deref(), Some("libllvm22"));
        assert_eq!(parse_dependency(shown, "libstd"), None);
        assert_eq!(safe("1.96.0+dfsg1-1~deb12u2"), "1.96.0_dfsg1-1_deb12u2");
    }

    #[test]
    fn half_a_toolchain_is_none() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let lib = temp.path().join("usr/lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&lib).expect("folders");
        fs::create_dir_all(temp.path().join("bin")).expect("folders");
        fs::write(temp.path().join("bin/rustc"), "").expect("file");
        assert!(!is_whole(temp.path()));
        fs::write(lib.join("libstd-0.rlib"), "").expect("file");
        assert!(is_whole(temp.path()));
    }
}
