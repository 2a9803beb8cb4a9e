//! The journal: one append-only file whose every byte is covered by a chain of hashes.
//!
//! # Format, version 1
//!
//! ```text
//! unship-journal 1 <site id, 32 hex digits>\n
//! <hash, 64 hex digits> <seq> <floor> <json>\n
//! …
//! zero bytes up to the end of the file
//! ```
//!
//! - `hash` = SHA-256( previous record's 32-byte hash ‖ the line's bytes after `<hash> `, without the newline ); before
//!   the first record stands the SHA-256 of the header line, newline included.
//! - `seq` counts from 1 without a gap. Numbers are decimal without leading zeros.
//! - `floor` is the journal's statement about durability: when this record was written, all records below `floor` had
//!   been flushed. It is the record's own `seq` for the first record of a flush, else the floor of the record before.
//!   It is what tells an interrupted append from a lost record, see `tail.rs`.
//! - `json` is one line of compact JSON without control characters. The store does not look into it.
//!
//! The zeros at the end are preallocated: overwriting them changes no metadata, which makes a flush several times
//! cheaper than one that lengthens the file. `DECISION-journal.md` has the figures.
//!
//! # Promises
//!
//! An append with [`Durability::Flush`] that returned is there after any crash. After a failed write or flush nobody
//! knows what is on disk, so the journal stops: nothing more is appended and no flush is tried again. Opening reads and
//! checks everything, cuts the rest of an interrupted append, and refuses everything else that is not as written. What
//! the file alone cannot show, its signed head does: `checkpoint.rs`.

mod append;
mod error;
mod file;
mod format;
mod read;
mod scan;
mod tail;
#[cfg(test)]
mod tests;

pub use append::{Durability, Journal, JournalOptions};
pub use error::{Damage, JournalError};
pub use file::{LogFile, RealFile};
pub use format::{BATCH_BYTES_MAX, Hash, RECORD_BYTES_MAX, SiteId};
pub use read::{Entries, Entry, Report, read, verify};
pub(crate) use read::{scan_of, verify_against};
pub use scan::Record;
pub use tail::Tail;

/// The hash with which the chain of a site's journal begins.
pub(crate) fn genesis(site: SiteId) -> Hash {
    format::genesis(&format::header(site))
}

/// Records of an earlier process that may await the same flush as the first records of this one, in bytes.
const JOINED_BYTES_MAX: usize = 64 << 10;
