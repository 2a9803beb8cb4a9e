//! `cargo xtask site DIR`: the practice site, whole. Its tree, its live service, policies, a signing key of its own, signed
//! bundles with their native code made ahead of time, and `.unship/` in place.

use crate::{practice, repo, toolchain::say};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The bundles of the practice site: built file, manifest's folder, name in the site.
const BUNDLES: &[(&str, &str, &str)] = &[("story_1_3.wasm", "story-1-3", "story-1.3.wasm")];

/// What the practice site is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The built `unship`.
    pub unship: PathBuf,
    /// The built `practice-analytics`.
    pub service: PathBuf,
    /// The folder of the built guests.
    pub guests: PathBuf,
}

/// Lays the site out in `dir` and starts its service.
///
/// # Errors
/// When `dir` holds something already, or a part does not work.
pub fn lay_out(dir: &Path, parts: &Parts) -> Result<()> {
    // The key that signs stays out of the site, as it would in life; nobody needs it again.
    let keys = tempfile::tempdir()?;
    lay_out_with_key(dir, parts, &keys.path().join("release.key"))
}

/// The same, with the signing key kept in the new file `key`.
///
/// # Errors
/// As [`lay_out`].
pub fn lay_out_with_key(dir: &Path, parts: &Parts, key: &Path) -> Result<()> {
    practice::lay_out(dir, &parts.service)?;
    let dir = &dir.canonicalize()?;
    fs::create_dir(dir.join("policies"))?;
    fs::create_dir(dir.join("bundles"))?;
    for entry in fs::read_dir(repo().join("policies"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            fs::copy(&path, dir.join("policies").join(path.file_name().unwrap_or_default()))?;
        }
    }
    let public = run(Command::new(&parts.unship).arg("keygen").arg(key))?;
    let trust = format!(
        "# The keys that may sign bundles of this practice site.\nversion = 1\n\n[keys.practice-release]\npublic = \"{}\"\n\
         roles = [\"release\"]\n",
        public.trim()
    );
    fs::write(dir.join("policies/trust.toml"), trust)?;
    run(Command::new(&parts.unship).arg("init").arg("--site").arg(dir))?;
    for (built, source, name) in BUNDLES {
        let manifest = repo().join("steps-wasm").join(source).join("unship.toml");
        bundle(parts, &parts.guests.join(built), &manifest, &dir.join("bundles").join(name), key)?;
    }
    run(Command::new(dir.join(practice::SERVICE)).arg("start").current_dir(dir))
        .context("the site's service does not start")?;
    // Planning once makes the native code, so that no rollback ever has to.
    run(Command::new(&parts.unship).args(["plan", "1.3", "--site"]).arg(dir))?;
    Ok(())
}

/// Packs and signs one bundle.
///
/// # Errors
/// When `unship` refuses it.
pub fn bundle(parts: &Parts, component: &Path, manifest: &Path, to: &Path, key: &Path) -> Result<()> {
    run(Command::new(&parts.unship).arg("pack").arg(component).arg("--manifest").arg(manifest).arg("-o").arg(to))?;
    run(Command::new(&parts.unship).arg("sign").arg(to).arg("--key").arg(key))?;
    Ok(())
}

/// How long the service may take to end.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Ends the site's service, and waits a few seconds at most until it is gone.
pub fn stop_service(dir: &Path) {
    let pid = fs::read_to_string(dir.join("run/analytics.pid")).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
    if let Some(pid) = pid {
        let is_ours = || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir));
        if is_ours() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let begun = Instant::now();
        while is_ours() && begun.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Standard output of a command that succeeds.
///
/// # Errors
/// What it said otherwise.
pub fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!(
            "{command:?} ended with {status}:\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Builds everything that a site needs.
///
/// # Errors
/// When something does not build.
pub fn parts(guests: PathBuf) -> Result<Parts> {
    say("building unship (the first time about five minutes: it brings its own WebAssembly engine)");
    let built = crate::toolchain::clean("cargo")
        .args(["build", "--quiet", "--release", "--locked", "-p", "unship-cli", "-p", "xtask"])
        .current_dir(repo())
        .status()?;
    if !built.success() {
        bail!("unship does not build ({built})");
    }
    let release = release();
    Ok(Parts { unship: release.join("unship"), service: release.join("practice-analytics"), guests })
}

/// Where cargo puts what it builds in the one profile that is used.
fn release() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo().join("target"), |dir| repo().join(dir));
    target.join("release")
}
