//! One effect's place in the trash: a directory into which the host renames what it removes or replaces.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ImageError;
use crate::dir::Dir;

/// An opened trash slot. It lies on the site's own file system, so that a rename into it is one, and never a copy.
#[derive(Debug)]
pub struct TrashSlot {
    parents: [Dir; 2],
    dir: Dir,
    flushes: Arc<AtomicU64>,
}

impl TrashSlot {
    pub(super) fn new(parents: [Dir; 2], dir: Dir, flushes: Arc<AtomicU64>) -> Self {
        Self { parents, dir, flushes }
    }

    /// The target directory for `renameat2` with `RENAME_NOREPLACE`, under any name.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Where the slot is, for messages and records.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the slot and the names in it durable. The directory from which a thing came is the host's to flush.
    pub fn flush(&self) -> Result<(), ImageError> {
        for dir in [&self.dir, &self.parents[1], &self.parents[0]] {
            self.flushes.fetch_add(1, Ordering::Relaxed);
            dir.flush()?;
        }
        Ok(())
    }
}
