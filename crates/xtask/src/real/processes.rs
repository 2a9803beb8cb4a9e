//! Starting and ending what runs in a site.

use super::{command, dagster, run};
use crate::toolchain::process::{output, within};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// Programs that services and scripts run on; what others (an editor) do with a file of the site is their own business.
const INTERPRETERS: &[&str] = &["node", "python"];
const NPM: &[u8] = b"/npm-cli.js";
/// pm2's daemon starts within a second on an idle machine.
const PM2_LIMIT: Duration = Duration::from_secs(60);
/// How long what was asked to end may take.
const GRACE: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(10);

/// Starts all services, and returns once they answer.
///
/// # Errors
/// When one does not, with its last words.
pub fn start(dir: &Path) -> Result<()> {
    within(PM2_LIMIT, &mut command(dir, "bin/pm2", &["start", "ecosystem.config.js"]))?;
    dagster::start(dir)?;
    // What runs now is what comes back with pm2.
    within(PM2_LIMIT, &mut command(dir, "bin/pm2", &["save"]))?;
    run(dir, "bin/node", &["scripts/healthy.js", "all"]).with_context(|| last_words(dir))?;
    Ok(())
}

fn last_words(dir: &Path) -> String {
    let mut words = String::from("the site's services do not all answer");
    for entry in fs::read_dir(dir.join(".pm2/logs")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some(last) = text.lines().rfind(|line| !line.trim().is_empty()) {
            words.push_str(&format!("\n{}: {last}", entry.file_name().to_string_lossy()));
        }
    }
    words
}

/// Ends pm2, its services, and every other Node or Python that runs a program of the site's.
///
/// # Errors
/// When something is still there.
pub fn stop(dir: &Path) -> Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("{} is no site", dir.display()))?;
    let mut left = of(&dir);
    if dir.join(".pm2").is_dir() && !left.is_empty() {
        // A pm2 that does not obey is ended below, like everything else.
        let _ = within(PM2_LIMIT, &mut command(&dir, "bin/pm2", &["kill"]));
    }
    for signal in ["TERM", "KILL"] {
        let running = of(&dir);
        if !running.is_empty() {
            // One may end before it is asked to.
            let _ = output(Command::new("kill").arg(format!("-{signal}")).args(running.iter().map(u32::to_string)));
        }
        left.extend(running);
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            left.retain(|pid| !is_gone(*pid));
            if left.is_empty() && of(&dir).is_empty() {
                return Ok(());
            }
            sleep(POLL);
        }
    }
    bail!("processes of {} do not end: {:?}", dir.display(), of(&dir))
}

/// The processes that run a program of this site.
fn of(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && belongs(dir, *pid)).collect()
}

/// Gone, or dead and only waited for by its parent. One that is dying has no executable any more, but may hold files.
fn is_gone(pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return true };
    // Behind the program's name, which may hold anything, in parentheses.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    let threads = fs::read_dir(process.join("task")).map_or(0, Iterator::count);
    matches!(state, Some('Z' | 'X')) && threads <= 1
}

fn belongs(dir: &Path, pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(exe) = fs::read_link(process.join("exe")) else { return false };
    let name = exe.file_name().unwrap_or_default().to_string_lossy();
    if !INTERPRETERS.iter().any(|interpreter| name.starts_with(interpreter)) {
        return false;
    }
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let cwd = fs::read_link(process.join("cwd")).unwrap_or_default();
    runs_in(dir, &cwd, &line)
}

/// Whether a command line (words ended by NUL) names a program of `dir` as itself or as its script.
fn runs_in(dir: &Path, cwd: &Path, line: &[u8]) -> bool {
    let daemon = [b"(", dir.as_os_str().as_bytes(), b"/.pm2)"].concat();
    if line.windows(daemon.len()).any(|part| part == daemon) {
        return true;
    }
    // npm names itself after what it does, and works in a folder of the site.
    let is_npm = line.starts_with(b"npm ") || line.split(|byte| *byte == 0).nth(1).is_some_and(|w| w.ends_with(NPM));
    if is_npm && cwd.starts_with(dir) {
        return true;
    }
    let words = line.split(|byte| *byte == 0).take(2);
    let mut paths = words.filter(|word| word.contains(&b'/')).map(|word| cwd.join(std::ffi::OsStr::from_bytes(word)));
    paths.any(|path| path.starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_knows_its_processes_by_their_programs() {
        for (cwd, line, expected) in [
            ("/site", "node\0/site/services/core.js\0", true),
            ("/site", "bin/node\0scripts/healthy.js\0all\0", true),
            ("/", "/site/.venv/bin/python3\0-m\0airbyte\0", true),
            ("/site", ".venv/bin/python3\0.venv/bin/dbt\0run\0", true),
            ("/site/evidence_project", "npm run build\0\0", true),
            ("/site/evidence_project", "node\0/lib/npm/bin/npm-cli.js\0run\0", true),
            ("/elsewhere", "npm run build\0\0", false),
            ("/", "PM2 v7.0.4: God Daemon (/site/.pm2)\0\0", true),
            ("/", "PM2 v7.0.4: God Daemon (/site-2/.pm2)\0\0", false),
            ("/", "node\0/site-2/services/core.js\0", false),
            ("/site", "python3\0-c\0pass\0", false),
            ("/", "node\0/elsewhere/tool.js\0/site/services/core.js\0", false),
        ] {
            assert_eq!(runs_in(Path::new("/site"), Path::new(cwd), line.as_bytes()), expected, "{line:?}");
        }
    }
}
