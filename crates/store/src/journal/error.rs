//! Why a journal was refused, and at which line and byte.

use std::path::PathBuf;

use super::format::SiteId;
use crate::checkpoint::CheckpointError;
use crate::error::IoError;

/// Why the journal could not be opened, read or written. Texts read after "failed to".
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The content is not what was written.
    #[error("trust {path}: line {line} (byte {offset}): {damage}", path = path.display())]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// Counted from 1; the header is line 1.
        line: u64,
        /// Where in the file the line begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Written by a newer unship.
    #[error(
        "read {path}: it has format version {found}, and this unship knows versions up to {known}; use a newer unship",
        path = path.display()
    )]
    Newer {
        /// The journal's file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// The journal of another site.
    #[error("use {path}: it is the journal of site {found}, not of this site, {expected}", path = path.display())]
    Foreign {
        /// The journal's file.
        path: PathBuf,
        /// The site in its header.
        found: SiteId,
        /// The site that was to be opened.
        expected: SiteId,
    },
    /// It is not what its checkpoint speaks of, or there is no checkpoint to be trusted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Open for appending elsewhere, in this process or another.
    #[error("open {path}: another process is appending to it", path = path.display())]
    InUse {
        /// The journal's file.
        path: PathBuf,
    },
    /// An earlier append failed, so what is on disk is unknown until the journal is opened again.
    #[error("append to the journal: an earlier write failed, and the journal stays closed until the next command")]
    Stopped {
        /// The first failure.
        #[source]
        cause: IoError,
    },
    /// A record that would break the format.
    #[error("append a record: {what}")]
    BadRecord {
        /// What the format does not allow.
        what: &'static str,
    },
    /// A record or group over its limit.
    #[error("append {bytes} bytes at once: the limit is {bytes_max} bytes for {of}")]
    TooLarge {
        /// The size asked for.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
        /// What the limit is for.
        of: &'static str,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The first line is not a journal's.
    #[error("it is not the first line of a journal")]
    Header,
    /// The line has not the form of a record.
    #[error("it is not a record")]
    Malformed,
    /// Right place, wrong content.
    #[error("the record was edited: its hash does not continue the chain")]
    Edited,
    /// Two records changed places.
    #[error("out of order: record {found} stands where {expected} belongs, which comes later")]
    OutOfOrder {
        /// The sequence number that stands here.
        found: u64,
        /// The one that belongs here.
        expected: u64,
    },
    /// A record stands here for the second time.
    #[error("record {found} is there twice")]
    Duplicated {
        /// Its sequence number.
        found: u64,
    },
    /// A record is not in the file, or no longer readable, though a later one proves that it was durable.
    #[error("record {expected} is missing: a later record proves that it was there")]
    Missing {
        /// Its sequence number.
        expected: u64,
    },
    /// Bytes after the end which no interrupted append leaves behind.
    #[error("the bytes from here on are no record and not the rest of an interrupted append")]
    Garbage,
}
