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
    Ok(Output::from(host::run(command)?))
}

/// The same for a command with parameters, `(name, value)` each once. The policy says what each value may be.
///
/// # Errors
/// As [`run`], and `Denied` for a value that policy does not allow, a parameter that it does not know, or one that is missing.
pub fn run_with(command: &str, parameters: &[(&str, &str)]) -> Result<Output, HostError> {
    let parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Output::from(host::run_with(command, &parameters)?))
}

impl From<host::Output> for Output {
    fn from(output: host::Output) -> Self {
        Output { stdout: output.stdout, stderr: output.stderr }
    }
}
