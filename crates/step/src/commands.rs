//! Commands by name: the policy holds the argument vector. A step never passes a command line.

use crate::{HostError, bindings::unship::step::commands as host};

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output, at most the policy's limit of bytes; invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Runs the command and waits for its end. Needs `commands.run`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such command, `TimedOut` when it was killed at its limit,
/// `Failed` when its exit status is not one that the policy expects.
pub fn run(command: &str) -> Result<Output, HostError> {
    let output = host::run(command)?;
    Ok(Output { stdout: output.stdout, stderr: output.stderr })
}
