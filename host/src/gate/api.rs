//! The shapes that cross between the sandbox (which speaks WASI and WIT) and the gate (which decides, writes down and
//! does). Neither side knows more of the other than this file.

use rustix::io::Errno;
use std::time::{Duration, SystemTime};

/// A descriptor that the gate gave to this step. Valid until [`super::Gate::close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub(crate) u32);

/// A directory listing in progress; see [`super::Gate::list_open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listing(pub(crate) u32);

/// How a file-system call ends when it does not succeed.
#[derive(Debug)]
pub enum FsFault {
    /// The guest gets this error and may go on. A denial is `EACCES` (or `EPERM` where WASI demands it); by then it is journalled.
    Errno(Errno),
    /// The step ends now: a limit is used up, the journal cannot be written, an effect is not in the plan.
    Stop(Stop),
}

/// Why the gate ends a step at once, whatever the guest would do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// A limit of the policy is used up.
    #[error("limit reached: {limit} ({allowed})")]
    Limit {
        /// Which one, by its policy key.
        limit: &'static str,
        /// What was allowed, with its unit.
        allowed: String,
    },
    /// The effect is not in the plan.
    #[error("effect is not in the plan: {0}")]
    Unplanned(String),
    /// The journal or a before-image could not be written: nothing more may change.
    #[error("cannot write down what would be done: {0}")]
    Ledger(String),
    /// A person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// How a typed call (`unship:step/*`) ends when it does not succeed.
#[derive(Debug)]
pub enum CallFault {
    /// The guest gets this.
    Refused(Refusal),
    /// The step ends now.
    Stop(Stop),
}

/// One variant for each case of `unship:step/types.error`, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the WIT file documents each case")]
pub enum Refusal {
    Denied(String),
    UnknownName(String),
    NotAsExpected(String),
    TimedOut(String),
    Failed(String),
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    /// FIFO, socket or device: seen by `stat`, never opened.
    Other,
}

/// Metadata, as WASI shows it.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Stat {
    pub kind: Kind,
    pub links: u64,
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    pub accessed: Option<SystemTime>,
    pub modified: Option<SystemTime>,
    pub changed: Option<SystemTime>,
    /// Stable identity of the object within this step (device and inode, or the overlay's own number).
    pub identity: (u64, u64),
}

/// `open-flags` and `descriptor-flags` of WASI that matter here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are WASI's")]
pub struct Open {
    pub create: bool,
    pub directory: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub read: bool,
    pub write: bool,
    pub mutate_directory: bool,
}

/// A new time stamp.
#[derive(Debug, Clone, Copy)]
pub enum NewTime {
    /// Leave as it is.
    Keep,
    /// The host's present time.
    Now,
    /// This one, since the epoch.
    At(Duration),
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
}

/// A live process as a step may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ProcessSeen {
    pub pid: u32,
    pub command_line: String,
}

/// A service's state as a step may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ServiceSeen {
    pub running: bool,
    pub healthy: bool,
    pub detail: String,
}

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CommandPrinted {
    pub stdout: String,
    pub stderr: String,
}

/// What came back over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct HttpAnswer {
    pub status: u16,
    pub body: String,
}

/// How the paths of a restore point are; paths are relative to its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RestoreState {
    pub differing: Vec<String>,
    pub uncommitted: Vec<String>,
}

/// Where a line of a step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogSource {
    Info,
    Warn,
    Stdout,
    Stderr,
}

impl From<Errno> for FsFault {
    fn from(e: Errno) -> Self {
        FsFault::Errno(e)
    }
}
impl From<Stop> for FsFault {
    fn from(s: Stop) -> Self {
        FsFault::Stop(s)
    }
}
impl From<Stop> for CallFault {
    fn from(s: Stop) -> Self {
        CallFault::Stop(s)
    }
}
impl From<Refusal> for CallFault {
    fn from(r: Refusal) -> Self {
        CallFault::Refused(r)
    }
}
