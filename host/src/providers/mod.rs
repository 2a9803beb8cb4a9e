//! The host's implementation of each capability, on plain files and system calls.
//!
//! Nothing here knows a guest, a grant or the journal: the gate asks what it has already decided and written down. Every
//! call is synchronous and ends by its [`Deadline`]; what policy *means* by a name comes in as `unship_policy::meaning`.

pub mod command;
pub mod deadline;
mod family;
pub mod flags;
pub mod git;
mod handles;
mod holders;
pub mod http;
pub mod process;
pub mod service;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod testing;

pub use deadline::{Deadline, TimedOut};
