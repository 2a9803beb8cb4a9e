//! The small port through which the journal touches its file, so that tests can fail each call and lose each write.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file of bytes as the journal needs it. All offsets and lengths are in bytes.
///
/// What [`write_at`](LogFile::write_at) took is durable only after a later [`flush`](LogFile::flush) returned without an
/// error; until then any subset of its 512-byte sectors may survive a loss of power.
pub trait LogFile: Send + Sync {
    /// Reads up to `buf.len()` bytes from `offset`; 0 means the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at `offset`, lengthening the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far durable, and the file's length.
    fn flush(&self) -> io::Result<()>;
    /// The file's length.
    fn length(&self) -> io::Result<u64>;
}

impl<F: LogFile + ?Sized> LogFile for &F {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (**self).write_at(bytes, offset)
    }
    fn flush(&self) -> io::Result<()> {
        (**self).flush()
    }
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }
}

/// A real file.
#[derive(Debug)]
pub struct RealFile(File);

impl RealFile {
    /// Opens an existing file for reading only.
    pub fn open_read(path: &Path) -> io::Result<Self> {
        Ok(Self(File::open(path)?))
    }

    /// Opens an existing file for appending. `None` when another handle, of this process or another, has it open so.
    pub fn open_append(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(File::options().read(true).write(true).open(path)?)
    }

    pub(crate) fn lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

impl LogFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn flush(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
