//! Running other programs: without what the outer cargo left in the environment, with their last words on failure, and
//! within a time limit where they may hang.

use anyhow::{Context as _, Result, bail};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Lines of a failed program that are shown.
const LAST_WORDS_LINES_MAX: usize = 15;
const POLL: Duration = Duration::from_millis(50);

/// Set by the cargo that runs us for this package, or by people for the host's build; wrong for any other build.
const LEAKS: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];
const LEAKING_PREFIXES: &[&str] = &[
    "CARGO_BIN_",
    "CARGO_CFG_",
    "CARGO_CRATE_",
    "CARGO_FEATURE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
];
/// Where all builds go is the caller's to say, and holds for ours too.
const KEPT: &str = "CARGO_TARGET_DIR";

/// A command that inherits nothing of the cargo that runs us.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    command
}

fn leaks(name: &str) -> bool {
    name != KEPT && (LEAKS.contains(&name) || LEAKING_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Standard output of a command that succeeds, trimmed.
///
/// # Errors
/// The command, its status and its last words.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !out.status.success() {
        bail!("`{shown}` ended with {}: {}", out.status, last_words(&String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Runs a command that may hang; its output is shown only if it fails.
///
/// # Errors
/// When it cannot be run, fails, or is still running after `limit`; then it is ended.
pub fn within(limit: Duration, command: &mut Command) -> Result<()> {
    let shown = show(command);
    let log = tempfile::NamedTempFile::new()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.reopen()?)
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                bail!(
                    "`{shown}` ended with {status}: {}",
                    last_words(&fs::read_to_string(log.path()).unwrap_or_default())
                )
            }
            None if started.elapsed() > limit => {
                child.kill()?;
                child.wait()?;
                bail!("`{shown}` did not end within {} s", limit.as_secs_f32())
            }
            None => std::thread::sleep(POLL),
        }
    }
}

/// The command as a person would type it.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS_LINES_MAX)..].join("\n")
}

/// Whether there is such a program.
pub fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended_and_what_fails_says_why() {
        let sleeping = within(Duration::from_millis(60), Command::new("sleep").arg("60"));
        assert_eq!(sleeping.unwrap_err().to_string(), "`sleep 60` did not end within 0.06 s");
        let failing =
            within(Duration::from_secs(60), Command::new("sh").args(["-c", "echo no such target >&2; exit 3"]));
        assert!(failing.unwrap_err().to_string().ends_with("ended with exit status: 3: no such target"));
        assert!(within(Duration::from_secs(60), &mut Command::new("true")).is_ok());
    }

    #[test]
    fn the_outer_build_stays_outside() {
        for name in ["RUSTC", "RUSTFLAGS", "CARGO_PKG_NAME", "CARGO_TARGET_WASM32_WASIP1_LINKER", "CARGO_MANIFEST_DIR"]
        {
            assert!(leaks(name), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "RUSTUP_TOOLCHAIN"] {
            assert!(!leaks(name), "{name}");
        }
    }
}
