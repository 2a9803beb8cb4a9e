//! The guest SDK of unship: a rollback step is an ordinary Rust function that uses `std::fs` and `?`.
//!
//! ```
//! use unship_step::{Context as _, ensure, files, flags, progress, services};
//!
//! fn disable_search() -> unship_step::Result {
//!     flags::set("search", "off")?;
//!     Ok(())
//! }
//!
//! fn keep_index() -> unship_step::Result {
//!     let kept = files::set_aside("index")?;
//!     progress!("the index is kept as {kept}");
//!     Ok(())
//! }
//!
//! fn search_is_quiet() -> unship_step::Result {
//!     let status = services::status("search")?;
//!     ensure!(status.healthy, "search does not answer: {}", status.detail);
//!     let left = std::fs::read_dir("queue").context("looking into queue")?.count();
//!     ensure!(left == 0, "{left} requests are still queued");
//!     Ok(())
//! }
//!
//! unship_step::steps! {
//!     "disable-search" => disable_search,
//!     "keep-index" => keep_index,
//!     "search-is-quiet" => search_is_quiet,
//! }
//! # fn main() {}
//! ```
//!
//! What a step may touch is not decided here: the manifest (`unship.toml`) requests, the operator's policy grants, and
//! the host lets nothing else through. The step sees its site as the current directory, so `std::fs` takes paths
//! relative to it. Each step runs in a fresh instance: nothing is remembered from one step to the next but what the site
//! itself holds.
//!
//! - [`files`], [`flags`], [`processes`], [`services`], [`commands`], [`http`], [`git`], [`log`]: what the host does for a step, by name
//! - [`Result`], [`Failure`], [`HostError`], [`Context`], [`ensure!`], [`fail!`]: how a step says that it came to nothing
//! - [`check`], [`wait`]: what many stories ask and wait for
//! - [`steps!`]: which function is which step
//!
//! A component imports only the interfaces that its steps really use; the manifest must request what it imports.

#[doc(hidden)]
pub mod bindings;
pub mod check;
pub mod commands;
mod failure;
pub mod files;
pub mod flags;
pub mod git;
pub mod http;
pub mod log;
mod macros;
pub mod processes;
pub mod services;
pub mod wait;

pub use failure::{Context, Failure, HostError, Result};

/// What [`steps!`] expands to. Not part of the SDK's contract.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::macros::check_names;

    /// What `run` answers for a name that [`steps!`](crate::steps) does not list.
    pub fn unknown_step(step: &str) -> crate::Failure {
        crate::Failure::new(format!("this component has no step {step:?}"))
    }
}
