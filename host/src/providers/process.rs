//! Processes by a selector of the policy: who they are, and how they are stopped.
//!
//! A process is signalled only through a handle (pidfd) that was opened *before* the last look at who it is: a pid that
//! was given to somebody else in between is never hit. Never meant, whatever the selector says: this process, those it
//! descends from, pid 1, threads of the kernel, and what is dead already.

use super::{Deadline, TimedOut, procfs};
use rustix::process::Signal;
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use unship_policy::meaning::SelectorMeaning;

pub use super::holders::{Holders, HoldersError, holders};
pub use super::procfs::ProcessInfo;

/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(5);
/// How long it is watched whether a supervisor starts a new one at once.
const RESPAWN_WATCH: Duration = Duration::from_millis(50);
/// Time for the look after the last signal, should the deadline have passed by then.
const LAST_LOOK: Duration = Duration::from_secs(1);
const WATCH_EVERY: Duration = Duration::from_millis(5);

/// Why processes can be neither listed nor stopped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ProcessError {
    #[error("the selector names neither an executable nor arguments, so it would mean every process")]
    SelectsAll,
    #[error(
        "process {process} has the selector's arguments, but its executable cannot be read; it takes the rights of its user"
    )]
    Uninspectable { process: ProcessInfo },
    #[error("process {process} cannot be signalled: {source}")]
    NotSignalled { process: ProcessInfo, source: io::Error },
    #[error("still there after SIGKILL: {}", listed(.processes))]
    StillThere { processes: Vec<ProcessInfo> },
    #[error("{stopped} stopped, but something starts them again: {}", listed(.processes))]
    Respawned { stopped: usize, processes: Vec<ProcessInfo> },
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    #[error("cannot look at processes: {0}")]
    Io(#[from] io::Error),
}

fn listed(processes: &[ProcessInfo]) -> String {
    let shown: Vec<_> = processes.iter().map(|p| format!("process {p}")).collect();
    shown.join(", ")
}

/// The live processes that `selector` means, in the order of their pids.
///
/// # Errors
/// [`ProcessError`]. A process that has the arguments, but whose executable may not be read, is an error: it could be
/// meant. With a selector of an executable alone, other users' processes that cannot be read are left out.
pub fn list(site: &Path, selector: &SelectorMeaning, deadline: Deadline) -> Result<Vec<ProcessInfo>, ProcessError> {
    let mut found = Vec::new();
    let selector = Selector::new(site, selector)?;
    for pid in procfs::pids()? {
        deadline.check("looking for processes")?;
        if let Some(process) = selector.matches(pid)? {
            found.push(process);
        }
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// SIGTERM, the selector's grace, SIGKILL, for all that `selector` means; also for those that appear meanwhile. Returns
/// once all are confirmed gone, with those that were stopped. Near the deadline the grace is cut, never the SIGKILL.
///
/// # Errors
/// [`ProcessError`]; [`ProcessError::Respawned`] names those that came back after a second round.
pub fn stop(site: &Path, selector: &SelectorMeaning, deadline: Deadline) -> Result<Vec<ProcessInfo>, ProcessError> {
    stop_watching(site, selector, deadline, RESPAWN_WATCH)
}

fn stop_watching(
    site: &Path,
    meaning: &SelectorMeaning,
    deadline: Deadline,
    watch: Duration,
) -> Result<Vec<ProcessInfo>, ProcessError> {
    let selector = Selector::new(site, meaning)?;
    let mut stopped = Vec::new();
    let mut meant = list(site, meaning, deadline)?;
    for _ in 0..2 {
        if meant.is_empty() {
            return Ok(stopped);
        }
        stopped.extend(stop_these(&selector, &meant, meaning.grace, deadline)?);
        // They were stopped, however late: whether they are really gone is still worth a look.
        let look = Ord::max(deadline, Deadline::after(LAST_LOOK));
        let watch = look.min(watch);
        meant = list(site, meaning, look)?;
        while meant.is_empty() && !watch.remaining().is_zero() {
            thread::sleep(WATCH_EVERY);
            meant = list(site, meaning, look)?;
        }
    }
    if meant.is_empty() {
        Ok(stopped)
    } else {
        Err(ProcessError::Respawned { stopped: stopped.len(), processes: meant })
    }
}

/// Stops this one process if it is still the one that `meaning` means; `None` when it is gone or somebody else.
pub(super) fn stop_one(
    site: &Path,
    meaning: &SelectorMeaning,
    pid: u32,
    deadline: Deadline,
) -> Result<Option<ProcessInfo>, ProcessError> {
    let selector = Selector::new(site, meaning)?;
    let Some(process) = selector.matches(pid)? else { return Ok(None) };
    Ok(stop_these(&selector, &[process], meaning.grace, deadline)?.pop())
}

/// The process `pid` if `meaning` means it.
pub(super) fn find(site: &Path, meaning: &SelectorMeaning, pid: u32) -> Result<Option<ProcessInfo>, ProcessError> {
    Selector::new(site, meaning)?.matches(pid)
}

fn stop_these(
    selector: &Selector<'_>,
    processes: &[ProcessInfo],
    grace: Duration,
    deadline: Deadline,
) -> Result<Vec<ProcessInfo>, ProcessError> {
    let mut held: Vec<(ProcessInfo, OwnedFd)> = Vec::new();
    for process in processes {
        let Some(handle) = procfs::handle(process.pid)? else { continue };
        if selector.matches(process.pid)?.is_some_and(|now| now.start_time == process.start_time) {
            held.push((process.clone(), handle));
        }
    }
    send(&held, Signal::TERM)?;
    // A stopped process looks at SIGTERM only once it goes on.
    send(&held, Signal::CONT)?;
    let gone = procfs::wait_gone(held.iter().map(|(_, handle)| handle), deadline.min(grace))?;
    let mut gone = gone.into_iter();
    let (stopped, left): (Vec<_>, Vec<_>) = held.into_iter().partition(|_| gone.next() == Some(true));
    send(&left, Signal::KILL)?;
    let gone = procfs::wait_gone(left.iter().map(|(_, handle)| handle), Deadline::after(KILL_TIME))?;
    if gone.contains(&false) {
        let processes = left.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|((process, _), _)| process).collect();
        return Err(ProcessError::StillThere { processes });
    }
    Ok(stopped.into_iter().chain(left).map(|(process, _)| process).collect())
}

fn send(held: &[(ProcessInfo, OwnedFd)], signal: Signal) -> Result<(), ProcessError> {
    for (process, handle) in held {
        procfs::signal(handle, signal)
            .map_err(|source| ProcessError::NotSignalled { process: process.clone(), source })?;
    }
    Ok(())
}

/// A selector made ready for this site.
struct Selector<'m> {
    exe: Option<Executable>,
    args: &'m [String],
    spared: Vec<u32>,
}

/// The executable as `/proc` would show it, and the file that is there now.
struct Executable {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl<'m> Selector<'m> {
    fn new(site: &Path, meaning: &'m SelectorMeaning) -> Result<Selector<'m>, ProcessError> {
        if meaning.exe.is_none() && meaning.args.is_empty() {
            return Err(ProcessError::SelectsAll);
        }
        let exe = match &meaning.exe {
            Some(exe) => {
                // The executable may be gone while its process lives: then its place in the real site counts.
                let place = fs::canonicalize(site)?.join(exe);
                let path = fs::canonicalize(&place).unwrap_or(place);
                let identity = fs::metadata(&path).ok().map(|file| (file.dev(), file.ino()));
                Some(Executable { path, identity })
            }
            None => None,
        };
        Ok(Selector { exe, args: &meaning.args, spared: spared() })
    }

    /// The process `pid`, if it is alive and meant.
    fn matches(&self, pid: u32) -> Result<Option<ProcessInfo>, ProcessError> {
        if self.spared.contains(&pid) {
            return Ok(None);
        }
        let Some(stat) = procfs::stat(pid).filter(|stat| !stat.is_no_program) else { return Ok(None) };
        let arguments = procfs::arguments(pid);
        if !self.has_args(&arguments) {
            return Ok(None);
        }
        let is_meant = self.exe.as_ref().map_or(Ok(true), |exe| exe.runs_as(pid));
        // Somebody else's by now, or a dead one: then all the above was about nobody.
        if procfs::stat(pid).is_none_or(|now| now.start_time != stat.start_time || now.is_no_program) {
            return Ok(None);
        }
        match is_meant {
            Ok(true) => Ok(Some(procfs::info(&stat, &arguments))),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !self.args.is_empty() => {
                Err(ProcessError::Uninspectable { process: procfs::info(&stat, &arguments) })
            }
            Ok(false) | Err(_) => Ok(None),
        }
    }

    fn has_args(&self, arguments: &[Vec<u8>]) -> bool {
        let own = arguments.get(1..).unwrap_or_default();
        self.args.is_empty()
            || own.windows(self.args.len()).any(|window| window.iter().zip(self.args).all(|(a, b)| a == b.as_bytes()))
    }
}

impl Executable {
    fn runs_as(&self, pid: u32) -> io::Result<bool> {
        let link = format!("/proc/{pid}/exe");
        let shown = fs::read_link(&link)?;
        let path = self.path.as_os_str().as_bytes();
        // An executable that was replaced since: its old process is still the one that is meant.
        if shown.as_os_str().as_bytes().strip_suffix(b" (deleted)") == Some(path) {
            return Ok(true);
        }
        // The same path may be another file in another mount namespace.
        let same_file = || match (fs::metadata(&link), self.identity) {
            (Ok(file), Some(identity)) => (file.dev(), file.ino()) == identity,
            _ => true,
        };
        Ok(shown.as_os_str().as_bytes() == path && same_file())
    }
}

/// Pid 1, this process and those it descends from.
fn spared() -> Vec<u32> {
    let mut spared = vec![1, std::process::id()];
    let mut next = procfs::stat(std::process::id()).map(|stat| stat.parent);
    while let Some(pid) = next.filter(|pid| !spared.contains(pid)) {
        spared.push(pid);
        next = procfs::stat(pid).map(|stat| stat.parent);
    }
    spared
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
