//! Restore points of git by name: the policy holds the repository, the commit that was recorded, and the paths.

use crate::{HostError, bindings::unship::step::git as host};

/// How the paths of a restore point are now. All paths are relative to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Files that differ from the recorded commit, those too that came later.
    pub differing: Vec<String>,
    /// Files that differ from what is checked out: changes that nobody committed, and untracked files.
    pub uncommitted: Vec<String>,
}

/// Looks. Needs `git.status`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such restore point, `Failed` when the repository or the commit cannot
/// be read.
pub fn status(point: &str) -> Result<State, HostError> {
    let state = host::status(point)?;
    Ok(State { differing: state.differing, uncommitted: state.uncommitted })
}

/// Brings the paths to what they were at the recorded commit; answers how many files changed. Needs `git.restore`.
///
/// # Errors
/// As [`status`], and `NotAsExpected` when something is uncommitted there: nothing is done then.
pub fn restore(point: &str) -> Result<u64, HostError> {
    host::restore(point).map_err(HostError::from)
}
