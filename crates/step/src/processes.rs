//! Processes, by the name of a selector in the policy. A step never passes a pid or a pattern.

use crate::{HostError, bindings::unship::step::processes as host};
use std::fmt;

/// A live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id, for the person who reads the message; no function takes it.
    pub pid: u32,
    /// The full command line, arguments separated by spaces, control characters neutralised.
    pub command_line: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command_line, self.pid)
    }
}

/// The live processes that the selector matches. Needs `processes.list`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such selector.
pub fn list(selector: &str) -> Result<Vec<Process>, HostError> {
    host::list(selector).map(own).map_err(HostError::from)
}

/// Stops what the selector matches: SIGTERM, the policy's grace, SIGKILL. Returns once all are confirmed gone, with how
/// many were stopped. Needs `processes.stop`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such selector, `Failed` when one is still there.
pub fn stop(selector: &str) -> Result<u32, HostError> {
    host::stop(selector).map_err(HostError::from)
}

/// The processes that hold `path`, or anything below it, open. Needs `processes.holders` on that path.
///
/// # Errors
/// [`HostError`].
pub fn holders(path: &str) -> Result<Vec<Process>, HostError> {
    host::holders(path).map(own).map_err(HostError::from)
}

/// All of them for a message, separated by commas.
pub fn listed(processes: &[Process]) -> String {
    processes.iter().map(Process::to_string).collect::<Vec<_>>().join(", ")
}

fn own(processes: Vec<host::Process>) -> Vec<Process> {
    processes.into_iter().map(|p| Process { pid: p.pid, command_line: p.command_line }).collect()
}
