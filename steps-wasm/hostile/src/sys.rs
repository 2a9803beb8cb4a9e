//! What WASI can do and stable `std` cannot ask for: symlinks, directory handles, and operations relative to them.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

fn c(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn checked(status: i32) -> io::Result<i32> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

/// Makes `link` a symlink that says `target`.
pub fn symlink(target: &str, link: &str) -> io::Result<()> {
    let (target, link) = (c(target)?, c(link)?);
    // SAFETY: both are NUL-terminated and outlive the call.
    checked(unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) }).map(drop)
}

/// A handle on the directory `path`.
pub fn open_dir(path: &str) -> io::Result<OwnedFd> {
    let path = c(path)?;
    // SAFETY: `path` is NUL-terminated and outlives the call; the descriptor is fresh, so it has this one owner.
    unsafe { Ok(OwnedFd::from_raw_fd(checked(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY))?)) }
}

/// How [`open_at`] opens.
#[derive(Clone, Copy)]
pub enum Mode {
    /// To read what is there.
    Read,
    /// To write what is there, from its beginning, without truncating.
    Write,
    /// To write, creating it if it is not there.
    Create,
}

/// Opens `path` relative to the directory handle `dir`.
pub fn open_at(dir: &OwnedFd, path: &str, mode: Mode) -> io::Result<File> {
    let path = c(path)?;
    let flags = match mode {
        Mode::Read => libc::O_RDONLY,
        Mode::Write => libc::O_WRONLY,
        Mode::Create => libc::O_WRONLY | libc::O_CREAT,
    };
    // SAFETY: as in `open_dir`; `dir` is open for as long as it is borrowed.
    unsafe { Ok(File::from_raw_fd(checked(libc::openat(dir.as_raw_fd(), path.as_ptr(), flags, 0o644))?)) }
}

/// Sets the access and modification time of `path` itself, in whole seconds of the Unix clock.
pub fn set_times(path: &str, seconds: i64) -> io::Result<()> {
    let path = c(path)?;
    // SAFETY: all-zero is a valid `timespec`.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    time.tv_sec = seconds as _;
    let times = [time, time];
    // SAFETY: `path` is NUL-terminated, `times` holds the two that the call reads.
    checked(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) })
        .map(drop)
}
