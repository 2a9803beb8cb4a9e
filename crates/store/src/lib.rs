//! The embedded store of a site: everything that unship keeps in `SITE/.unship/`.
//!
//! - [`SiteStore`]: the directory itself, its format version, its lock, its key.
//! - [`Journal`]: the append-only, hash-chained source of truth. [`verify`] and [`read`] are its reading side and never
//!   write.
//! - [`Checkpoint`]: the signed head of the journal, which shows a tail that was cut and a copy that went its own way.
//! - [`RunImages`]: what a run must keep so that its effects can be taken back: things moved away, ranges overwritten.
//! - [`WatchStore`]: what the daemon keeps: a journal of its own, what people hand in.
//! - [`CodeCache`]: precompiled code, authenticated in the sealed memory from which it is mapped.
//!
//! The store knows bytes, not meanings: record types belong to the crate that writes them. No wasmtime, no async
//! runtime, no clock, no environment, no printing.

mod checkpoint;
mod code;
mod dir;
mod error;
mod hex;
mod images;
mod journal;
mod lock;
mod name;
mod note;
mod signed;
mod site;
mod watch;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use code::{CodeCache, CodeError};
pub use error::{IoError, IoErrorKind};
pub use images::{ImageError, ImageReader, Original, RangeImage, Restored, RunImages, RunTrash, SpaceLimit, Usage};
pub use journal::{
    BATCH_BYTES_MAX, Damage, Durability, Entries, Entry, Hash, Journal, JournalError, JournalOptions, LogFile,
    RECORD_BYTES_MAX, RealFile, Record, Report, SiteId, Tail, read, verify,
};
pub use lock::{LockError, RunLock};
pub use name::BadName;
pub use signed::Verified;
pub use site::{SiteError, SiteStore};
pub use watch::WatchStore;
