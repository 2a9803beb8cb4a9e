//! The guests' toolchain: a rustc with the standard library of `wasm32-wasip1`, found or made without root.
//!
//! Three ways, in this order: installed already; `rustup target add`; Debian's packages with a private standard library.
//! `--toolchain` forces one. A failure says which way failed, why, and the command that would put it right.

mod debian;

pub use debian::cargo_home;

use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The guests' target.
pub const TARGET: &str = "wasm32-wasip1";
/// On a closed network `rustup` may hang.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Which way to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// The first that works
    Auto,
    /// The present rustc has the target's standard library
    Installed,
    /// `rustup target add`
    Rustup,
    /// Debian's packages and a private standard library
    Debian,
}

/// A toolchain that builds guests.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Its rustc.
    pub rustc: PathBuf,
    /// Where `wasm-component-ld` is.
    pub linkers: PathBuf,
    /// How it came about, for people.
    pub origin: String,
}

impl Toolchain {
    /// Finds or makes a toolchain.
    ///
    /// # Errors
    /// Every way that was tried, why it failed, and what would put it right.
    pub fn find(way: Way) -> Result<Toolchain> {
        let ways: &[(Way, fn() -> Result<Toolchain>)] =
            &[(Way::Installed, installed), (Way::Rustup, rustup), (Way::Debian, debian::toolchain)];
        let mut failures = String::new();
        for (name, find) in ways.iter().filter(|(name, _)| way == Way::Auto || way == *name) {
            match find() {
                Ok(toolchain) => return Ok(toolchain),
                Err(e) => failures.push_str(&format!("\n  {}: {e:#}", format!("{name:?}").to_lowercase())),
            }
        }
        bail!("no toolchain builds {TARGET} here:{failures}")
    }
}

fn installed() -> Result<Toolchain> {
    let libdir = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))
        .context("`rustc` does not answer; install Rust")?;
    if !has_std(Path::new(&libdir)) {
        bail!("the standard library of {TARGET} is not at {libdir}; `rustup target add {TARGET}` puts it there");
    }
    let rustc = output(Command::new("rustc").args(["--print", "sysroot"])).map(|s| Path::new(&s).join("bin/rustc"))?;
    Ok(Toolchain { rustc, linkers: linkers()?, origin: "installed".to_owned() })
}

fn rustup() -> Result<Toolchain> {
    let fix = format!("`rustup target add {TARGET}` must work");
    say(&format!("rustup target add {TARGET} (at most {} s)", RUSTUP_TIMEOUT.as_secs()));
    let log = tempfile::NamedTempFile::new()?;
    let mut child = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.reopen()?)
        .spawn()
        .with_context(|| format!("there is no rustup; {fix}"))?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => break,
            Some(status) => {
                let said = fs::read_to_string(log.path()).unwrap_or_default();
                let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
                bail!("rustup ended with {status}: {last}; {fix}")
            }
            None if started.elapsed() > RUSTUP_TIMEOUT => {
                child.kill()?;
                child.wait()?;
                bail!("rustup did not end within {} s; {fix}", RUSTUP_TIMEOUT.as_secs())
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    let toolchain = installed()?;
    Ok(Toolchain { origin: "rustup".to_owned(), ..toolchain })
}

fn has_std(libdir: &Path) -> bool {
    fs::read_dir(libdir).is_ok_and(|mut entries| {
        entries.any(|e| {
            e.is_ok_and(|e| {
                let name = e.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libstd-") && name.ends_with(".rlib")
            })
        })
    })
}

/// The host's own linkers for wasm, which rustup ships even where the target is not installed.
fn linkers() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let host = host()?;
    let dir = Path::new(&sysroot).join("lib/rustlib").join(&host).join("bin");
    for tool in ["wasm-component-ld", "rust-lld"] {
        if !dir.join(tool).is_file() {
            bail!("{} is missing; a toolchain by rustup has it", dir.join(tool).display());
        }
    }
    Ok(dir)
}

fn host() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    Ok(host.to_owned())
}

/// Where toolchains and tools are kept, outside the checkout.
///
/// # Errors
/// When no variable of the environment says where.
pub fn cache() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let root = from("UNSHIP_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("unship")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/unship")))
        .context("no cache folder: set HOME or UNSHIP_CACHE")?;
    Ok(root)
}

/// A command that inherits nothing of the cargo that runs us.
pub fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let leaks = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PROFILE_", "CARGO_TARGET_"];
        let exact = [
            "CARGO",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_BUILD_TARGET",
            "RUSTC_BOOTSTRAP",
            "LD_LIBRARY_PATH",
        ];
        if exact.contains(&text.as_ref()) || leaks.iter().any(|l| text.starts_with(l)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Standard output of a command that succeeds, trimmed.
fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let tail: Vec<&str> = said.lines().rev().take(15).collect();
        bail!("{shown} ended with {}:\n{}", out.status, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// A line of progress.
pub fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// `first` before what `PATH` has.
pub fn path_with(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
