//! Exit statuses: the command line's contract. 2, a command line that is none of ours, is clap's to answer.

/// How a verb ended, as the process's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done as asked. `apply`: Succeeded and Recovered.
    Done = 0,
    /// A file, an argument's value or the machine is at fault.
    User = 1,
    /// Refused: policy, signature, expectation, precondition, lock, approval.
    Refused = 3,
    /// A step failed or a person stopped the run, and what it made was taken back.
    Undone = 4,
    /// Stuck: not everything could be taken back, and what is and what is not is listed.
    Stuck = 5,
    /// Applied, but not recovered, or unknown.
    NotRecovered = 6,
    /// The journal is not intact.
    Journal = 7,
}

/// `exec`: unship itself failed.
pub const EXEC_FAILED: u8 = 125;
/// `exec`: the module was refused.
pub const EXEC_REFUSED: u8 = 126;
