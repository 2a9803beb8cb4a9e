//! One run per site at a time: a lock that the kernel ties to this process and takes away with it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::dir::Dir;
use crate::error::{IoError, Naming};

const LOCK_FILE: &str = "lock";

/// Proof that this process alone may change the site. Dropping it, or dying, gives it back.
///
/// The file stays; its content names the holder for messages only and means nothing once the kernel's lock is gone, so
/// no stale lock can remain.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Why the lock was not had. Texts read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it, or another handle of this process.
    #[error("lock the site: {} is at work on it; wait for it to end", holder(*pid))]
    Locked {
        /// The holder, where it could be read.
        pid: Option<u32>,
        /// The lock's file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another unship process".to_owned(), |pid| format!("the unship process {pid}"))
}

impl RunLock {
    pub(crate) fn try_take(dir: &Dir) -> Result<Self, LockError> {
        let path = dir.path().join(LOCK_FILE);
        let mut file = dir.open_file(LOCK_FILE, OFlags::RDWR | OFlags::CREATE)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Locked { pid: read_pid(&mut file), path });
            }
            Err(TryLockError::Error(e)) => return Err(IoError::new("lock", path, e).into()),
        }
        let lock = Self { file };
        lock.write_pid(std::process::id()).naming("write", path)?;
        Ok(lock)
    }

    fn write_pid(&self, pid: u32) -> std::io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{pid}\n").as_bytes())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // So that a later reader does not see a pid that may belong to somebody else by then. Only a message depends on it.
        let _ = self.file.set_len(0);
    }
}

/// Who has the lock of this directory, if anybody: their pid, where it could be read.
///
/// For a moment it is held in common with others who look; a holder who comes at that very moment is refused and tries again.
pub(crate) fn holder_in(dir: &Dir) -> Result<Option<Option<u32>>, IoError> {
    let path = dir.path().join(LOCK_FILE);
    let Some(mut file) = dir.open_if_there(LOCK_FILE)? else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_pid(&mut file))),
        Err(TryLockError::Error(e)) => Err(IoError::new("look at the lock", path, e)),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}
