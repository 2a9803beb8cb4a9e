//! Who holds a path, or anything below it, open: descriptors, working and root directories, executables, mapped files.
//!
//! A file is known by device and inode, so that a hard link, a renamed or a bind-mounted one counts as well; what lies in
//! a directory also by the path that the kernel shows. Not seen: descriptors on their way through a socket, and those of
//! a thread that keeps a table of its own.

use super::{Deadline, TimedOut};
use rustix::{
    fs::{AtFlags, CWD, StatxFlags, makedev, statx},
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use unship_processes::{ProcessInfo, procfs};

/// Entries below a directory that are known by their inode; those beyond are known by their path only.
const INODES_MAX: usize = 20_000;

/// Who holds a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// These hold it, in the order of their pids. This process itself is not among them.
    pub processes: Vec<ProcessInfo>,
    /// Into these it was not allowed to look. Whoever needs certainty treats them as holders.
    pub uninspected: Vec<u32>,
    /// Other users' processes cannot even be counted here (`/proc` is mounted with `hidepid`).
    pub hidden: bool,
}

impl Holders {
    /// Whether it is certain that nobody holds the path.
    pub fn certainly_none(&self) -> bool {
        self.processes.is_empty() && self.uninspected.is_empty() && !self.hidden
    }
}

/// Why it cannot be said who holds a path.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum HoldersError {
    #[error("cannot look at {}: {source}", .path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    #[error("cannot look at processes: {0}")]
    Io(#[from] io::Error),
}

/// Who holds `path` (a symlink counts as what it leads to) or anything below it.
///
/// # Errors
/// [`HoldersError`], also when there is no `path`.
pub fn holders(path: &Path, deadline: Deadline) -> Result<Holders, HoldersError> {
    let target = Target::new(path, deadline)?;
    let mut found = Holders { hidden: !procfs::all_visible(), ..Holders::default() };
    let mut pids = procfs::pids()?;
    pids.sort_unstable();
    for pid in pids.into_iter().filter(|pid| *pid != std::process::id()) {
        deadline.check("looking for processes that hold the path")?;
        let Some(stat) = procfs::stat(pid).filter(|stat| !stat.is_no_program) else { continue };
        match target.is_held_by(pid, deadline)? {
            Held::Yes => found.processes.push(procfs::info(&stat, &procfs::arguments(pid))),
            Held::No => {}
            Held::Unknown => found.uninspected.push(pid),
        }
    }
    if (found.hidden || !found.uninspected.is_empty()) && found.processes.is_empty() && target.is_free(deadline)? {
        // Nobody at all has it open, so those that cannot be looked into have not either.
        found.uninspected.clear();
        found.hidden = false;
    }
    Ok(found)
}

enum Held {
    Yes,
    No,
    Unknown,
}

struct Target {
    path: PathBuf,
    is_directory: bool,
    /// Device and inode of the path itself and of what lies below.
    inodes: HashSet<(u64, u64)>,
}

impl Target {
    fn new(path: &Path, deadline: Deadline) -> Result<Target, HoldersError> {
        let wrong = |source| HoldersError::Path { path: path.to_owned(), source };
        let path = fs::canonicalize(path).map_err(wrong)?;
        let own = identity(&path, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| wrong(e.into()))?;
        let is_directory = path.is_dir();
        let mut target = Target { path, is_directory, inodes: HashSet::from([own]) };
        let mut directories = Vec::from_iter(is_directory.then(|| target.path.clone()));
        while let Some(directory) = directories.pop() {
            // What cannot be listed or goes away meanwhile is still known by its path.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                deadline.check("looking at what lies below the path")?;
                if target.inodes.len() >= INODES_MAX {
                    return Ok(target);
                }
                target.inodes.extend(identity(&entry.path(), AtFlags::SYMLINK_NOFOLLOW));
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(entry.path());
                }
            }
        }
        Ok(target)
    }

    /// Whether the kernel itself says that nobody has any file of the target open: it gives a write lease only then.
    /// `false` where it cannot say: other file systems than the usual ones, files of others, too many files.
    fn is_free(&self, deadline: Deadline) -> Result<bool, HoldersError> {
        if self.inodes.len() >= INODES_MAX {
            return Ok(false);
        }
        let mut paths = vec![self.path.clone()];
        while let Some(path) = paths.pop() {
            deadline.check("asking the kernel who has a file open")?;
            let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(false) };
            if metadata.is_dir() {
                let Ok(entries) = fs::read_dir(&path) else { return Ok(false) };
                for entry in entries {
                    let Ok(entry) = entry else { return Ok(false) };
                    paths.push(entry.path());
                }
            } else if metadata.is_file() && !can_be_leased(&path) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_held_by(&self, pid: u32, deadline: Deadline) -> Result<Held, HoldersError> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let mut links: Vec<PathBuf> = ["cwd", "root", "exe"].iter().map(|name| process.join(name)).collect();
        let maps = fs::read(process.join("maps"));
        let descriptors: io::Result<Vec<_>> = fs::read_dir(process.join("fd")).and_then(Iterator::collect);
        let is_unknown = [maps.as_ref().err(), descriptors.as_ref().err()].into_iter().flatten().any(is_denied);
        links.extend(descriptors.into_iter().flatten().map(|entry| entry.path()));
        for link in links {
            deadline.check("looking for processes that hold the path")?;
            if self.is_behind(&link) {
                return Ok(Held::Yes);
            }
        }
        if maps.is_ok_and(|maps| maps.split(|b| *b == b'\n').any(|line| self.is_mapped(line))) {
            return Ok(Held::Yes);
        }
        Ok(if is_unknown { Held::Unknown } else { Held::No })
    }

    /// Whether a link of `/proc` leads to the target or below it.
    fn is_behind(&self, link: &Path) -> bool {
        fs::read_link(link).is_ok_and(|shown| self.covers(shown.as_os_str().as_bytes()))
            || identity(link, AtFlags::empty()).is_ok_and(|identity| self.inodes.contains(&identity))
    }

    /// A line of `/proc/PID/maps`: range, rights, offset, device, inode, path.
    fn is_mapped(&self, line: &[u8]) -> bool {
        let mut fields = line.splitn(6, |b| *b == b' ').skip(3);
        let mut text = || fields.next().and_then(|field| str::from_utf8(field).ok());
        let (device, inode) = (text(), text());
        let shown = fields.next().unwrap_or_default().trim_ascii_start();
        if shown.starts_with(b"/") && self.covers(shown) {
            return true;
        }
        let identity = device.and_then(|device| {
            let (major, minor) = device.split_once(':')?;
            let number = |hex| u32::from_str_radix(hex, 16).ok();
            Some((makedev(number(major)?, number(minor)?), inode?.parse().ok()?))
        });
        identity.is_some_and(|identity| identity.1 != 0 && self.inodes.contains(&identity))
    }

    /// `shown` as the kernel writes it, with ` (deleted)` behind what has lost its name. A deleted *file* once at the very
    /// path of the target is not the target, but one below a directory is, as its blocks may still be written.
    fn covers(&self, shown: &[u8]) -> bool {
        let bare = shown.strip_suffix(b" (deleted)").unwrap_or(shown);
        let below = Path::new(OsStr::from_bytes(bare));
        if self.is_directory { below.starts_with(&self.path) } else { shown == self.path.as_os_str().as_bytes() }
    }
}

/// Takes a write lease on the file and gives it back at once. `O_NONBLOCK`: somebody else's lease must not hold us up.
fn can_be_leased(path: &Path) -> bool {
    use std::os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _};
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let Ok(file) = fs::OpenOptions::new().read(true).custom_flags(flags).open(path) else { return false };
    // SAFETY: `fcntl` with these commands takes an integer and touches no memory of ours; the descriptor is open.
    let leased = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0 };
    if leased {
        // SAFETY: as above. Closing would give it back too; this does so a moment earlier.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
    leased
}

/// Device and inode, without waking a remote file system.
fn identity(path: &Path, follow: AtFlags) -> Result<(u64, u64), Errno> {
    let flags = follow | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let found = statx(CWD, path, flags, StatxFlags::INO)?;
    Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
pub(super) fn tests_target(path: &Path, pid: u32) -> bool {
    let target = Target::new(path, Deadline::after(std::time::Duration::from_secs(60))).expect("is there");
    let maps = fs::read(format!("/proc/{pid}/maps")).expect("is readable");
    maps.split(|b| *b == b'\n').any(|line| target.is_mapped(line))
}

#[cfg(test)]
mod lease_tests {
    use super::*;

    #[test]
    fn the_kernel_knows_of_an_open_file() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("db");
        fs::write(&path, "data").expect("written");
        let far = Deadline::after(std::time::Duration::from_secs(60));
        assert!(Target::new(temp.path(), far).expect("target").is_free(far).expect("asked"));
        let open = fs::File::open(&path).expect("opened");
        assert!(!Target::new(temp.path(), far).expect("target").is_free(far).expect("asked"));
        drop(open);
        assert!(Target::new(&path, far).expect("target").is_free(far).expect("asked"));
    }
}
