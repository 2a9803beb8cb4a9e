//! Removing what is kept of runs that are long over, and saying how much that is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{ImageError, RunImages};
use crate::dir::Dir;
use crate::error::IoError;

/// What before-images take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Files, directories, links and marks.
    pub entries: u64,
    /// On the disk, holes left out.
    pub bytes: u64,
}

impl Usage {
    fn add(&mut self, other: Usage) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

impl RunImages {
    /// What the run keeps on the site's own file system.
    pub fn usage(&self) -> Result<Usage, ImageError> {
        self.walk_own(false)
    }

    /// Removes what the run keeps on the site's own file system. There is no way back.
    pub fn remove(&self) -> Result<Usage, ImageError> {
        self.walk_own(true)
    }

    fn walk_own(&self, remove: bool) -> Result<Usage, ImageError> {
        let mut usage = Usage::default();
        for parent in [&self.trash, &self.images] {
            usage.add(walk(parent, &self.run, remove)?);
        }
        Ok(usage)
    }

    /// The same in the trash below `home`, on another file system. A trash that is empty afterwards goes too, without a
    /// trace in the modification time of `home`.
    pub fn usage_elsewhere(
        &self,
        home: BorrowedFd<'_>,
        shown: &Path,
        trash: &str,
        remove: bool,
    ) -> Result<Usage, ImageError> {
        let home = Dir::reopen(home, shown)?;
        let Some(top) = home.open_dir_if_there(trash)? else { return Ok(Usage::default()) };
        top.demand_private().map_err(|why| ImageError::Unsafe { path: top.path().to_owned(), why })?;
        let site_name = self.site.to_string();
        let Some(site) = top.open_dir_if_there(&site_name)? else { return Ok(Usage::default()) };
        let usage = walk(&site, &self.run, remove)?;
        if remove {
            let before = home.modified()?;
            let _ = rustix::fs::unlinkat(&top, &*site_name, AtFlags::REMOVEDIR);
            if rustix::fs::unlinkat(&home, trash, AtFlags::REMOVEDIR).is_ok() {
                home.set_modified(before)?;
            }
        }
        Ok(usage)
    }
}

/// Counts `name` and all below it, no symlink followed, and removes it if that is asked for. Nothing there is nothing.
fn walk(parent: &Dir, name: &str, remove: bool) -> Result<Usage, IoError> {
    let mut usage = Usage::default();
    let doing = if remove { "remove" } else { "look at" };
    match walk_at(parent.as_fd(), name, remove, &mut usage) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(IoError::new(doing, parent.path().join(name), e.into())),
    }
    if remove && usage.entries > 0 {
        parent.flush()?;
    }
    Ok(usage)
}

fn walk_at(
    parent: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    remove: bool,
    usage: &mut Usage,
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_dir {
        let directory = open_whatever_its_mode(parent, name, remove)?;
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                walk_at(directory.as_fd(), entry.file_name(), remove, usage)?;
            }
        }
    }
    // A file with other names takes its place there.
    let bytes = if is_dir || stat.st_nlink > 1 { 0 } else { u64::try_from(stat.st_blocks).unwrap_or(0) * 512 };
    usage.add(Usage { entries: 1, bytes });
    if remove {
        rustix::fs::unlinkat(parent, name, if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() })?;
    }
    Ok(())
}

/// A directory that was moved here may be one that its owner cannot write or even read; to remove it he must.
fn open_whatever_its_mode(
    parent: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    remove: bool,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if remove {
        rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    }
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
