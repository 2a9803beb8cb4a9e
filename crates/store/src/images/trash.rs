//! A run's trash on one file system: a directory into which the host renames what it removes or replaces.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ImageError;
use crate::dir::Dir;

/// An opened trash. What lies on its file system comes into it by a rename, and never by a copy.
#[derive(Debug)]
pub struct RunTrash {
    dir: Dir,
    /// The way down to it, which is flushed once.
    parents: Vec<Dir>,
    parents_are_durable: AtomicBool,
    flushes: Arc<AtomicU64>,
}

impl RunTrash {
    pub(super) fn new(dir: Dir, parents: Vec<Dir>, flushes: Arc<AtomicU64>) -> Self {
        Self { dir, parents, parents_are_durable: AtomicBool::new(false), flushes }
    }

    /// The directory itself.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Where it is, for messages and records.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the names in it durable. The directory from which a thing came is the host's to flush.
    pub fn flush(&self) -> Result<(), ImageError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.dir.flush()?;
        if self.parents_are_durable.load(Ordering::Relaxed) {
            return Ok(());
        }
        for dir in &self.parents {
            self.flushes.fetch_add(1, Ordering::Relaxed);
            dir.flush()?;
        }
        self.parents_are_durable.store(true, Ordering::Relaxed);
        Ok(())
    }
}
