//! Who is meant when policy names processes: everything that a selector says must hold for one process, as `/proc` shows it.
//!
//! It only looks. The sandbox's providers stop what is found here; the daemon's sources measure it, and both mean the same.

pub mod pid_file;
pub mod procfs;
mod selector;
mod tree;

pub use procfs::ProcessInfo;
pub use selector::{LookError, Selector};
pub use tree::started_by;
pub use unship_rollback::machine::ProcessStat;

use std::{collections::BTreeMap, path::Path};
use unship_policy::meaning::SelectorMeaning;

/// A live process that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As the kernel counts it.
    pub stat: ProcessStat,
    /// As people see it.
    pub info: ProcessInfo,
}

/// The live processes that `meaning` means, with `tree` also what they started, in the order of their pids. `go_on` is asked
/// before each process is looked at.
///
/// # Errors
/// What `go_on` says, and [`LookError`]. A process that has the arguments, but whose executable may not be read, is an error: it
/// could be meant. With a selector of an executable alone, other users' processes that cannot be read are left out.
pub fn list<E: From<LookError>>(
    site: &Path,
    meaning: &SelectorMeaning,
    mut go_on: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Found>, E> {
    let mut found = BTreeMap::new();
    let meant = Selector::new(site, meaning)?;
    for pid in procfs::pids().map_err(LookError::from)? {
        go_on()?;
        if let Some(process) = meant.matches(pid)? {
            found.insert(pid, process);
        }
    }
    if meaning.tree && !found.is_empty() {
        let roots: Vec<ProcessStat> = found.values().map(|found| found.stat).collect();
        for stat in started_by(&procfs::stats().map_err(LookError::from)?, &roots, meant.spared()) {
            let info = || procfs::info(&stat, &procfs::arguments(stat.pid));
            found.entry(stat.pid).or_insert_with(|| Found { stat, info: info() });
        }
    }
    Ok(found.into_values().collect())
}
