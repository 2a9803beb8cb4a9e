//! A directory held by an open handle, so that what is made inside it cannot land elsewhere, with the few durable
//! operations that the store needs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::error::{IoError, Naming};

/// What is wrong with something that only this user may have, and what to do.
pub(crate) const FOREIGN: &str = "it belongs to another user; run unship as that user, or give it to this one";
pub(crate) const OPEN: &str = "other users have rights to it; take them away with `chmod go=`";

/// An opened directory and the path under which messages name it.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens an existing directory by path; symlinks on the way are followed.
    pub(crate) fn open(path: &Path) -> Result<Self, IoError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).naming("open", path)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens `name` inside this directory; it must be a directory itself, not a symlink to one.
    pub(crate) fn open_dir(&self, name: &str) -> Result<Self, IoError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).naming("open", &path)?;
        Ok(Self { fd, path })
    }

    /// As [`open_dir`](Self::open_dir); `None` where there is none.
    pub(crate) fn open_dir_if_there(&self, name: &str) -> Result<Option<Self>, IoError> {
        match self.open_dir(name) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.io().kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A directory that is open for looking only, opened for use.
    pub(crate) fn reopen(fd: BorrowedFd<'_>, path: &Path) -> Result<Self, IoError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(fd, ".", flags, Mode::empty()).naming("open", path)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// When its entries were changed last.
    pub(crate) fn modified(&self) -> Result<Timespec, IoError> {
        let stat = rustix::fs::fstat(&self.fd).naming("look at", &self.path)?;
        #[expect(clippy::useless_conversion, reason = "other machines count nanoseconds in another type")]
        Ok(Timespec { tv_sec: stat.st_mtime.into(), tv_nsec: stat.st_mtime_nsec as _ })
    }

    /// Says that they were changed then.
    pub(crate) fn set_modified(&self, at: Timespec) -> Result<(), IoError> {
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: at };
        rustix::fs::futimens(&self.fd, &times).naming("set the times of", &self.path)
    }

    /// Nobody else may own it or have rights to it; the error says what is wrong and what to do.
    pub(crate) fn demand_private(&self) -> Result<(), &'static str> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|_| "it cannot be looked at")?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            Err(FOREIGN)
        } else if stat.st_mode & 0o077 != 0 {
            Err(OPEN)
        } else {
            Ok(())
        }
    }

    /// Makes `name` inside this directory, mode 0700, unless it is there already, and opens it.
    pub(crate) fn make_dir(&self, name: &str) -> Result<Self, IoError> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.open_dir(name),
            Err(e) => Err(IoError::new("create", self.path.join(name), e.into())),
        }
    }

    /// Opens a file inside this directory, never through a symlink.
    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> Result<File, IoError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .naming("open", self.path.join(name))
    }

    /// Opens a file for reading, or `None` where there is none.
    pub(crate) fn open_if_there(&self, name: &str) -> Result<Option<File>, IoError> {
        match self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.io().kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The content of a small file, cut at `bytes_max`; `None` where there is no file.
    pub(crate) fn read_small(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, IoError> {
        let Some(file) = self.open_if_there(name)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content).naming("read", self.path.join(name))?;
        Ok(Some(content))
    }

    /// Puts a file in place whole or not at all: temporary file, flush, rename, flush of the directory.
    pub(crate) fn write_atomic(&self, name: &str, parts: &[&[u8]]) -> Result<(), IoError> {
        self.replace(name, parts)?;
        self.flush()
    }

    /// As [`write_atomic`](Self::write_atomic), but for the flush of the directory: after a loss of power the file may
    /// be the one that was there before.
    pub(crate) fn replace(&self, name: &str, parts: &[&[u8]]) -> Result<(), IoError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let temp = format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.path.join(name);
        let written = self
            .write_temp(&temp, parts)
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, temp.as_str(), &self.fd, name)?));
        if written.is_err() {
            // Best effort: the first error is the one to tell.
            let _ = rustix::fs::unlinkat(&self.fd, temp.as_str(), AtFlags::empty());
        }
        written.naming("write", path)
    }

    fn write_temp(&self, temp: &str, parts: &[&[u8]]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, temp, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(fd);
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    }

    /// Removes a file; one that is already gone is fine.
    pub(crate) fn remove_file(&self, name: &str) -> Result<(), IoError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(IoError::new("remove", self.path.join(name), e.into())),
        }
    }

    /// Makes the names in this directory durable.
    pub(crate) fn flush(&self) -> Result<(), IoError> {
        rustix::fs::fsync(&self.fd).naming("flush", &self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn try_clone(&self) -> Result<Self, IoError> {
        let fd = self.fd.try_clone().naming("open", &self.path)?;
        Ok(Self { fd, path: self.path.clone() })
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
