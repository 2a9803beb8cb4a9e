//! Processes by a selector of the policy: who they are, and how they are stopped.
//!
//! A process is signalled only through a handle (pidfd) that was opened *before* the last look at who it is: a pid that
//! was given to somebody else in between is never hit. Never meant, whatever the selector says: this process, those it
//! descends from, pid 1, threads of the kernel, and what is dead already. With `tree`, what those that are meant started is
//! stopped with them, and it is looked again and again who joined them meanwhile.

use super::{
    Deadline, TimedOut,
    family::{Family, Member},
    handles,
};
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    thread,
    time::Duration,
};
use unship_policy::meaning::SelectorMeaning;
use unship_processes::{Found, LookError, Selector, procfs};

pub use super::holders::{Holders, HoldersError, holders};
pub use unship_processes::ProcessInfo;

/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(5);
/// How long it is watched whether a supervisor starts a new one at once.
const RESPAWN_WATCH: Duration = Duration::from_millis(50);
/// Time for the look after the last signal, should the deadline have passed by then.
const LAST_LOOK: Duration = Duration::from_secs(1);
const WATCH_EVERY: Duration = Duration::from_millis(5);
/// While a tree is stopped, how often it is looked whether it grew.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why processes can be neither listed nor stopped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ProcessError {
    #[error(transparent)]
    Look(#[from] LookError),
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

/// The live processes that `selector` means, with `tree` also what they started, in the order of their pids.
///
/// # Errors
/// [`ProcessError`]. A process that has the arguments, but whose executable may not be read, is an error: it could be
/// meant. With a selector of an executable alone, other users' processes that cannot be read are left out.
pub fn list(site: &Path, selector: &SelectorMeaning, deadline: Deadline) -> Result<Vec<ProcessInfo>, ProcessError> {
    let found =
        unship_processes::list(site, selector, || Ok::<(), ProcessError>(deadline.check("looking for processes")?))?;
    Ok(found.into_iter().map(|found| found.info).collect())
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
    let mut stopped = Vec::new();
    let mut meant = list(site, meaning, deadline)?;
    for _ in 0..2 {
        if meant.is_empty() {
            return Ok(stopped);
        }
        // Made anew each round: what is started again may have written its pid file anew.
        let selector = Selector::new(site, meaning)?;
        stopped.extend(stop_these(&selector, meaning, &meant, deadline, |_| ())?);
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

/// Stops this one process, with `tree` and all that it started, if it is still the one that `meaning` means; `None` when
/// it is gone or somebody else.
pub(super) fn stop_one(
    site: &Path,
    meaning: &SelectorMeaning,
    pid: u32,
    deadline: Deadline,
) -> Result<Option<ProcessInfo>, ProcessError> {
    let selector = Selector::new(site, meaning)?;
    let Some(found) = selector.matches(pid)? else { return Ok(None) };
    let stopped = stop_these(&selector, meaning, &[found.info], deadline, |_| ())?;
    Ok(stopped.into_iter().find(|process| process.pid == pid))
}

/// The process `pid` if `meaning` means it.
pub(super) fn find(site: &Path, meaning: &SelectorMeaning, pid: u32) -> Result<Option<ProcessInfo>, ProcessError> {
    Ok(Selector::new(site, meaning)?.matches(pid)?.map(|found| found.info))
}

/// Stops those of `processes` that are still meant, with `tree` all that they started too. `before_handle` is called with
/// each pid before its handle is opened: there a test puts another process in its place.
fn stop_these(
    selector: &Selector<'_>,
    meaning: &SelectorMeaning,
    processes: &[ProcessInfo],
    deadline: Deadline,
    mut before_handle: impl FnMut(u32),
) -> Result<Vec<ProcessInfo>, ProcessError> {
    let mut stopping =
        Stopping { family: Family::sparing(selector.spared().to_vec()), tree: meaning.tree, names: BTreeMap::new() };
    for process in processes {
        before_handle(process.pid);
        let Some(handle) = handles::handle(process.pid)? else { continue };
        if let Some(Found { stat, .. }) = selector.matches(process.pid)?
            && stat.start_time == process.start_time
        {
            stopping.family.add(stat, handle);
        }
    }
    // A stopped process looks at SIGTERM only once it goes on.
    if !stopping.signal(&[Signal::TERM, Signal::CONT], deadline.min(meaning.grace))?
        && !stopping.signal(&[Signal::KILL], Deadline::after(KILL_TIME))?
    {
        return Err(ProcessError::StillThere { processes: stopping.alive()? });
    }
    Ok(stopping.names.into_values().collect())
}

struct Stopping {
    family: Family,
    tree: bool,
    /// By pid, as they were called before the first signal.
    names: BTreeMap<u32, ProcessInfo>,
}

impl Stopping {
    /// Sends `signals` to all, and to those that join the family until all are gone or the time is; answers whether all are.
    fn signal(&mut self, signals: &[Signal], until: Deadline) -> Result<bool, ProcessError> {
        let mut signalled = BTreeSet::new();
        loop {
            if self.tree {
                self.family.grow(|_| false)?;
            }
            for Member { stat, handle } in self.family.members().filter(|member| signalled.insert(member.stat.pid)) {
                let process =
                    self.names.entry(stat.pid).or_insert_with(|| procfs::info(stat, &procfs::arguments(stat.pid)));
                for signal in signals {
                    handles::signal(handle, *signal)
                        .map_err(|source| ProcessError::NotSignalled { process: process.clone(), source })?;
                }
            }
            let round = if self.tree { until.min(LOOK_AGAIN) } else { until };
            let are_gone = !self.gone(round)?.contains(&false);
            if are_gone && !(self.tree && self.family.grow(|_| false)?) {
                return Ok(true);
            }
            if until.remaining().is_zero() {
                return Ok(false);
            }
        }
    }

    fn gone(&self, until: Deadline) -> io::Result<Vec<bool>> {
        handles::wait_gone(self.family.members().map(|member| &member.handle), until)
    }

    fn alive(&self) -> io::Result<Vec<ProcessInfo>> {
        let gone = self.gone(Deadline::after(Duration::ZERO))?;
        let alive = self.family.members().zip(gone).filter(|(_, gone)| !gone);
        Ok(alive.filter_map(|(member, _)| self.names.get(&member.stat.pid).cloned()).collect())
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Stops those that were found before, with something done in between.
    pub(in crate::providers) fn stop_known(
        site: &Path,
        meaning: &SelectorMeaning,
        known: &[ProcessInfo],
        deadline: Deadline,
        between: impl FnMut(u32),
    ) -> Result<Vec<ProcessInfo>, ProcessError> {
        stop_these(&Selector::new(site, meaning)?, meaning, known, deadline, between)
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
