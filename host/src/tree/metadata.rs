//! Metadata of files: between what the system says and what the gate knows, and from one file to another.

use super::Sys;
use crate::gate::{Kind, NewTime, Stat};
use rustix::{
    fd::BorrowedFd,
    fs::{self, FileType, Mode},
    io::Errno,
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, SystemTime},
};

pub(super) fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn time(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    if seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.unsigned_abs()))?.checked_add(nanoseconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs()))?.checked_add(nanoseconds)
    }
}

#[cfg_attr(target_arch = "x86_64", expect(clippy::unnecessary_cast, reason = "other machines count links in 32 bits"))]
pub(super) fn link_count(stat: &fs::Stat) -> u64 {
    stat.st_nlink as u64
}

pub(super) fn to_stat(stat: &fs::Stat) -> Stat {
    Stat {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        links: link_count(stat),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        executable: stat.st_mode & 0o100 != 0,
        accessed: time(stat.st_atime, stat.st_atime_nsec as i64),
        modified: time(stat.st_mtime, stat.st_mtime_nsec as i64),
        changed: time(stat.st_ctime, stat.st_ctime_nsec as i64),
        identity: (stat.st_dev, stat.st_ino),
    }
}

pub(super) fn timespec(new: NewTime) -> Sys<rustix::fs::Timespec> {
    Ok(match new {
        NewTime::Keep => fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
        NewTime::Now => fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW },
        NewTime::At(at) => fs::Timespec {
            tv_sec: i64::try_from(at.as_secs()).map_err(|_| Errno::INVAL)?,
            tv_nsec: at.subsec_nanos().into(),
        },
    })
}

/// Lets whoever may read a file execute it, or nobody.
pub(super) fn set_executable(file: BorrowedFd<'_>, executable: bool) -> Sys<()> {
    let mode = fs::fstat(file)?.st_mode & 0o7777;
    let new = if executable { mode | ((mode & 0o444) >> 2) } else { mode & !0o111 };
    if new == mode { Ok(()) } else { fs::fchmod(file, Mode::from_raw_mode(new)) }
}

/// Gives `new` the mode, owner and readable extended attributes of `old`.
pub(crate) fn copy_metadata(old: BorrowedFd<'_>, new: BorrowedFd<'_>) -> Sys<()> {
    let (was, is) = (fs::fstat(old)?, fs::fstat(new)?);
    if (was.st_uid, was.st_gid) != (is.st_uid, is.st_gid) {
        let owner = (fs::Uid::from_raw(was.st_uid), fs::Gid::from_raw(was.st_gid));
        fs::fchown(new, Some(owner.0), Some(owner.1))?;
    }
    let old_path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&old));
    let mut names = vec![0u8; 64 << 10];
    let length = match fs::listxattr(&old_path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(e) => return Err(e),
    };
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0u8; 64 << 10];
        let length = fs::getxattr(&old_path, name, &mut value[..])?;
        fs::fsetxattr(new, name, &value[..length], fs::XattrFlags::empty())?;
    }
    // Last: a change of owner clears setuid bits.
    fs::fchmod(new, Mode::from_raw_mode(was.st_mode & 0o7777))
}
