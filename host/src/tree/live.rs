//! The disk itself. Every path is resolved by `openat2` beneath its base; every change is one `*at` call on one name in a
//! parent that was opened before, or goes to a handle that was judged before.

use super::{
    Found, Handle, Object, PIECE, Source, Sys, Tree,
    metadata::{copy_metadata, kind, link_count, set_executable, timespec, to_stat},
    split,
    trash::{Mark, TrashHome, TrashSlot},
};
use crate::gate::{Entry, Kind, NewTime, Stat};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags},
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};
use unship_policy::Place;

/// The folders on disk, and the handles given out.
pub struct LiveTree {
    folders: Vec<(String, OwnedFd)>,
    handles: HashMap<Handle, Open>,
    next: u32,
}

struct Open {
    fd: OwnedFd,
    /// The folder that it was reached through.
    folder: usize,
    /// Set for a folder's own handle, whose place needs no look-up.
    is_root: bool,
    listing: Option<fs::Dir>,
}

/// Links that lead to nothing that one look-up follows at most, as Linux has it for all.
const LINKS_MAX: usize = 40;

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl LiveTree {
    /// Opens the folders, each by the name that policy gives it.
    ///
    /// # Errors
    /// The folder and what is wrong with it.
    pub fn open(folders: impl IntoIterator<Item = (String, PathBuf)>) -> Result<LiveTree, (PathBuf, Errno)> {
        let mut opened = Vec::new();
        for (name, path) in folders {
            let fd = fs::open(&path, LOOK | OFlags::DIRECTORY, Mode::empty()).map_err(|e| (path, e))?;
            opened.push((name, fd));
        }
        Ok(LiveTree { folders: opened, handles: HashMap::new(), next: 0 })
    }

    fn add(&mut self, fd: OwnedFd, folder: usize, is_root: bool) -> Handle {
        let handle = Handle(self.next);
        self.next += 1;
        self.handles.insert(handle, Open { fd, folder, is_root, listing: None });
        handle
    }

    fn get(&self, handle: Handle) -> Sys<&Open> {
        self.handles.get(&handle).ok_or(Errno::BADF)
    }

    fn object(&mut self, fd: OwnedFd, folder: usize) -> Sys<Object> {
        let stat = fs::fstat(&fd)?;
        let handle = self.add(fd, folder, false);
        Ok(Object {
            handle,
            kind: kind(FileType::from_raw_mode(stat.st_mode)),
            links: link_count(&stat),
            identity: (stat.st_dev, stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
        })
    }

    fn place_of_fd(&self, fd: BorrowedFd<'_>, folder: usize) -> Sys<Place> {
        let (name, root) = &self.folders[folder];
        let (root, path) = (fd_path(root.as_fd())?, fd_path(fd)?);
        // A handle whose directory has left the folder since, or was removed, is no way in any more.
        let path = path.strip_prefix(&root).map_err(|_| Errno::PERM)?;
        Ok(Place { folder: name.clone(), path: path.to_owned() })
    }

    fn place_of(&self, handle: Handle) -> Sys<Place> {
        let open = self.get(handle)?;
        if open.is_root {
            return Ok(Place { folder: self.folders[open.folder].0.clone(), path: PathBuf::new() });
        }
        self.place_of_fd(open.fd.as_fd(), open.folder)
    }

    /// [`Tree::find`], with `links` symlinks that lead to nothing still to be followed.
    fn find_through(&mut self, base: Handle, path: &str, follow: bool, links: usize) -> Sys<Found> {
        let split = split(path)?;
        let open = self.get(base)?;
        let (base_fd, folder) = (open.fd.try_clone().map_err(|_| Errno::MFILE)?, open.folder);
        let base_place = self.place_of(base)?;
        // Without symlinks on the way the canonical path is known by spelling; only otherwise must the kernel be asked.
        let (parent_fd, parent_path) =
            match open_beneath(base_fd.as_fd(), split.parent.as_ref(), OFlags::DIRECTORY, false) {
                Ok(fd) => (fd, join_lexical(&base_place.path, split.parent)),
                Err(Errno::LOOP) => {
                    let fd = open_beneath(base_fd.as_fd(), split.parent.as_ref(), OFlags::DIRECTORY, true)?;
                    let path = self.place_of_fd(fd.as_fd(), folder)?.path;
                    (fd, path)
                }
                Err(e) => return Err(e),
            };
        let folder_name = base_place.folder;
        let Some(name) = split.name else {
            let place = Place { folder: folder_name, path: parent_path };
            let object = self.object(parent_fd.try_clone().map_err(|_| Errno::MFILE)?, folder)?;
            let parent = self.add(parent_fd, folder, false);
            return Ok(Found { parent, name: None, place, object: Some(object), directory_only: true });
        };
        let found = match open_beneath(parent_fd.as_fd(), name.as_ref(), OFlags::NOFOLLOW, true) {
            Ok(fd) => Some(fd),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(e),
        };
        let Some(fd) = found else {
            let place = Place { folder: folder_name, path: parent_path.join(name) };
            let parent = self.add(parent_fd, folder, false);
            return Ok(Found {
                parent,
                name: Some(name.into()),
                place,
                object: None,
                directory_only: split.directory_only,
            });
        };
        let is_link = FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) == FileType::Symlink;
        if !is_link || !(follow || split.directory_only) {
            let place = Place { folder: folder_name, path: parent_path.join(name) };
            let object = self.object(fd, folder)?;
            let parent = self.add(parent_fd, folder, false);
            return Ok(Found {
                parent,
                name: Some(name.into()),
                place,
                object: Some(object),
                directory_only: split.directory_only,
            });
        }
        // The last name is a symlink and is to be followed: beneath the base still, and the place is where it led.
        let whole = if split.parent == "." { name.to_owned() } else { format!("{}/{name}", split.parent) };
        let fd = match open_beneath(base_fd.as_fd(), whole.as_ref(), OFlags::empty(), true) {
            // It leads to nothing yet, and nothing is what may be made: look for the name that it says.
            Err(Errno::NOENT) => {
                let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                let target = fs::readlinkat(&fd, "", Vec::new())?;
                let target = target.to_str().map_err(|_| Errno::ILSEQ)?;
                if target.starts_with('/') {
                    return Err(Errno::PERM);
                }
                return self.find_through(base, &format!("{}/{target}", split.parent), follow, links);
            }
            opened => opened?,
        };
        let place = self.place_of_fd(fd.as_fd(), folder)?;
        let (Some(parent_path), Some(name)) = (place.path.parent(), place.path.file_name()) else {
            // It led to the folder itself.
            let object = self.object(fd.try_clone().map_err(|_| Errno::MFILE)?, folder)?;
            let parent = self.add(fd, folder, false);
            return Ok(Found { parent, name: None, place, object: Some(object), directory_only: true });
        };
        let parent_path = if parent_path.as_os_str().is_empty() { OsStr::new(".") } else { parent_path.as_os_str() };
        let parent_fd = open_beneath(self.folders[folder].1.as_fd(), parent_path, OFlags::DIRECTORY, false)?;
        let name = name.to_owned();
        let object = self.object(fd, folder)?;
        let parent = self.add(parent_fd, folder, false);
        Ok(Found { parent, name: Some(name), place, object: Some(object), directory_only: split.directory_only })
    }

    /// A file open for use, whatever the handle was opened for.
    fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Sys<OwnedFd> {
        let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
        fs::open(path, flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
    }

    fn fill(&mut self, to: BorrowedFd<'_>, content: Source<'_>) -> Sys<()> {
        match content {
            Source::Bytes(bytes) | Source::Blob { bytes, .. } => write_all(to, bytes, 0),
            Source::Handle(source) => {
                let mut offset = 0;
                loop {
                    let piece = self.read(source, PIECE, offset)?;
                    if piece.is_empty() {
                        return Ok(());
                    }
                    write_all(to, &piece, offset)?;
                    offset += piece.len() as u64;
                }
            }
        }
    }

    /// Puts what lies at `temp` in the place of `name`, and what lay there away for good: where nothing is kept.
    fn swap_in(&self, parent: BorrowedFd<'_>, temp: &OsStr, name: &OsStr, is_dir: bool) -> Sys<()> {
        fs::renameat_with(parent, temp, parent, name, RenameFlags::EXCHANGE)?;
        fs::unlinkat(parent, temp, if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() })
    }

    /// Puts the new thing that lies in the slot in the place of `name`; what lay there lies in the slot afterwards.
    fn swap_with_slot(
        slot: &TrashSlot,
        new: BorrowedFd<'_>,
        old: &Object,
        parent: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Sys<()> {
        slot.begin(&Mark::Swap { new: fs::fstat(new)?.st_ino, old: old.identity.1 })?;
        let swapped = fs::renameat_with(slot.dir(), slot.name(), parent, name, RenameFlags::EXCHANGE);
        if swapped.is_err() {
            slot.withdraw();
        }
        swapped
    }
}

fn fd_path(fd: BorrowedFd<'_>) -> Sys<PathBuf> {
    let link = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
    let path = fs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

/// `openat2`, again where the kernel asks for it (a rename elsewhere raced with the look-up).
fn open_beneath(base: BorrowedFd<'_>, path: &OsStr, flags: OFlags, symlinks: bool) -> Sys<OwnedFd> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if !symlinks {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    for _ in 0..64 {
        match fs::openat2(base, path, flags | LOOK, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::XDEV) => return Err(Errno::PERM),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// `base` with `path` after it, `.` and `..` taken out by spelling: right where the path was resolved without symlinks.
fn join_lexical(base: &Path, path: &str) -> PathBuf {
    let mut joined = base.to_owned();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                joined.pop();
            }
            name => joined.push(name),
        }
    }
    joined
}

pub(crate) fn write_all(fd: BorrowedFd<'_>, mut data: &[u8], mut offset: u64) -> Sys<()> {
    while !data.is_empty() {
        let piece = &data[..data.len().min(PIECE)];
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, piece, offset))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        data = &data[written..];
        offset += written as u64;
    }
    Ok(())
}

impl Tree for LiveTree {
    fn root(&mut self, folder: &str) -> Sys<Handle> {
        let index = self.folders.iter().position(|(name, _)| name == folder).ok_or(Errno::NOENT)?;
        let fd = self.folders[index].1.try_clone().map_err(|_| Errno::MFILE)?;
        Ok(self.add(fd, index, true))
    }

    fn release(&mut self, handle: Handle) {
        self.handles.remove(&handle);
    }

    fn find(&mut self, base: Handle, path: &str, follow: bool) -> Sys<Found> {
        self.find_through(base, path, follow, LINKS_MAX)
    }

    fn may_change(&mut self, directory: Handle) -> Sys<()> {
        let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&self.get(directory)?.fd));
        fs::accessat(fs::CWD, path, fs::Access::WRITE_OK | fs::Access::EXEC_OK, AtFlags::empty())
    }

    fn place(&mut self, handle: Handle) -> Sys<Place> {
        self.place_of(handle)
    }

    fn stat(&mut self, handle: Handle) -> Sys<Stat> {
        Ok(to_stat(&fs::fstat(&self.get(handle)?.fd)?))
    }

    fn open(&mut self, object: &Object, write: bool) -> Sys<Handle> {
        let open = self.get(object.handle)?;
        let (fd, folder) = (open.fd.as_fd(), open.folder);
        let fd = match (object.kind, write) {
            (Kind::Directory, _) => Self::reopen(fd, OFlags::RDONLY | OFlags::DIRECTORY)?,
            (Kind::File, false) => Self::reopen(fd, OFlags::RDONLY)?,
            // Reading is needed for before-images and digests; where only writing is allowed, do that.
            (Kind::File, true) => match Self::reopen(fd, OFlags::RDWR) {
                Err(Errno::ACCESS) => Self::reopen(fd, OFlags::WRONLY)?,
                other => other?,
            },
            (Kind::Symlink | Kind::Other, _) => return Err(Errno::PERM),
        };
        Ok(self.add(fd, folder, false))
    }

    fn create(&mut self, parent: Handle, name: &OsString) -> Sys<Handle> {
        let open = self.get(parent)?;
        let folder = open.folder;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&open.fd, name, flags, Mode::from_raw_mode(0o666))?;
        Ok(self.add(fd, folder, false))
    }

    fn read(&mut self, handle: Handle, len: usize, offset: u64) -> Sys<Vec<u8>> {
        let mut buffer = vec![0; len.min(PIECE)];
        let fd = &self.get(handle)?.fd;
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buffer[..], offset))?;
        buffer.truncate(read);
        Ok(buffer)
    }

    fn write(&mut self, handle: Handle, data: &[u8], offset: u64) -> Sys<usize> {
        let fd = &self.get(handle)?.fd;
        rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, &data[..data.len().min(PIECE)], offset))
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Sys<()> {
        fs::ftruncate(&self.get(handle)?.fd, size)
    }

    fn sync(&mut self, handle: Handle, data_only: bool) -> Sys<()> {
        let fd = &self.get(handle)?.fd;
        if fs::fcntl_getfl(fd)?.contains(OFlags::PATH) {
            // A handle for looking only cannot flush: open its object for it.
            return fs::fsync(Self::reopen(fd.as_fd(), OFlags::RDONLY)?);
        }
        if data_only { fs::fdatasync(fd) } else { fs::fsync(fd) }
    }

    fn set_times(&mut self, handle: Handle, accessed: NewTime, modified: NewTime) -> Sys<()> {
        let times = fs::Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? };
        let fd = &self.get(handle)?.fd;
        // By the handle that was judged, through an empty path: `futimens` refuses a handle for looking only.
        match fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH) {
            Err(Errno::INVAL | Errno::NOENT) => fs::futimens(fd, &times),
            other => other,
        }
    }

    fn make_dir(&mut self, parent: Handle, name: &OsString) -> Sys<()> {
        fs::mkdirat(&self.get(parent)?.fd, name, Mode::from_raw_mode(0o777))
    }

    fn remove(&mut self, parent: Handle, name: &OsString, object: &Object, trash: Option<&TrashSlot>) -> Sys<()> {
        let parent = &self.get(parent)?.fd;
        match trash {
            Some(slot) => {
                if object.kind == Kind::Directory && !is_empty(self.get(object.handle)?.fd.as_fd())? {
                    return Err(Errno::NOTEMPTY);
                }
                slot.clean()?;
                slot.begin(&Mark::Take(object.identity.1))?;
                let taken = fs::renameat_with(parent, name, slot.dir(), slot.name(), RenameFlags::NOREPLACE);
                if taken.is_err() {
                    slot.withdraw();
                }
                taken
            }
            None if object.kind == Kind::Directory => fs::unlinkat(parent, name, AtFlags::REMOVEDIR),
            None => fs::unlinkat(parent, name, AtFlags::empty()),
        }
    }

    fn rename(
        &mut self,
        from: (Handle, &OsString),
        to: (Handle, &OsString),
        replacing: Option<&Object>,
        trash: Option<&TrashSlot>,
    ) -> Sys<()> {
        let (from_dir, to_dir) = (&self.get(from.0)?.fd, &self.get(to.0)?.fd);
        match (replacing, trash) {
            (None, _) => fs::renameat_with(from_dir, from.1, to_dir, to.1, RenameFlags::NOREPLACE),
            (Some(_), None) => fs::renameat(from_dir, from.1, to_dir, to.1),
            (Some(old), Some(slot)) => {
                if old.kind == Kind::Directory && !is_empty(self.get(old.handle)?.fd.as_fd())? {
                    return Err(Errno::NOTEMPTY);
                }
                fs::renameat_with(from_dir, from.1, to_dir, to.1, RenameFlags::EXCHANGE)?;
                slot.boundary();
                fs::renameat_with(from_dir, from.1, slot.dir(), slot.name(), RenameFlags::NOREPLACE).inspect_err(|_| {
                    let _ = fs::renameat_with(from_dir, from.1, to_dir, to.1, RenameFlags::EXCHANGE);
                })
            }
        }
    }

    fn link(&mut self, object: &Object, parent: Handle, name: &OsString) -> Sys<()> {
        let fd = self.get(object.handle)?.fd.as_fd();
        let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
        fs::linkat(fs::CWD, path, &self.get(parent)?.fd, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn symlink(&mut self, target: &str, parent: Handle, name: &OsString) -> Sys<()> {
        fs::symlinkat(target, &self.get(parent)?.fd, name)
    }

    fn read_link(&mut self, object: &Object) -> Sys<Vec<u8>> {
        Ok(fs::readlinkat(&self.get(object.handle)?.fd, "", Vec::new())?.into_bytes())
    }

    fn replace(
        &mut self,
        parent: Handle,
        name: &OsString,
        temp: &OsString,
        content: Source<'_>,
        old: Option<&Object>,
        trash: Option<&TrashSlot>,
    ) -> Sys<Handle> {
        let folder = self.get(parent)?.folder;
        let parent_fd = self.get(parent)?.fd.try_clone().map_err(|_| Errno::MFILE)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What takes something's place takes its mode, owner and labels too, so it can come into being in the trash; what
        // is new gets those of its directory, so it must come into being there.
        let slot = trash.filter(|_| old.is_some());
        let fd = match slot {
            Some(slot) => {
                slot.clean()?;
                fs::openat(slot.dir(), slot.name(), flags, Mode::from_raw_mode(0o600))?
            }
            None => {
                fs::openat(&parent_fd, temp, flags, Mode::from_raw_mode(if old.is_some() { 0o600 } else { 0o666 }))?
            }
        };
        let prepared = self.fill(fd.as_fd(), content).and_then(|()| match old {
            Some(old) => copy_metadata(self.get(old.handle)?.fd.as_fd(), fd.as_fd()),
            None => Ok(()),
        });
        let prepared = prepared.and_then(|()| match content {
            Source::Blob { executable, .. } => set_executable(fd.as_fd(), executable),
            Source::Bytes(_) | Source::Handle(_) => Ok(()),
        });
        let placed = prepared.and_then(|()| fs::fsync(&fd)).and_then(|()| match (slot, old) {
            (Some(slot), Some(old)) => Self::swap_with_slot(slot, fd.as_fd(), old, parent_fd.as_fd(), name),
            (None, Some(_)) => self.swap_in(parent_fd.as_fd(), temp, name, false),
            (_, None) => fs::renameat_with(&parent_fd, temp, &parent_fd, name, RenameFlags::NOREPLACE),
        });
        match placed {
            Ok(()) => Ok(self.add(fd, folder, false)),
            Err(e) => {
                let _ = match slot {
                    Some(slot) => fs::unlinkat(slot.dir(), slot.name(), AtFlags::empty()),
                    None => fs::unlinkat(&parent_fd, temp, AtFlags::empty()),
                };
                Err(e)
            }
        }
    }

    fn clear(
        &mut self,
        parent: Handle,
        name: &OsString,
        temp: &OsString,
        old: &Object,
        trash: Option<&TrashSlot>,
    ) -> Sys<()> {
        let parent_fd = self.get(parent)?.fd.as_fd();
        let own_name = trash.map(|slot| OsString::from(slot.name()));
        let (dir, temp) = match (trash, &own_name) {
            (Some(slot), Some(name)) => {
                slot.clean()?;
                (slot.dir(), name)
            }
            _ => (parent_fd, temp),
        };
        fs::mkdirat(dir, temp, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let placed = fs::openat(dir, temp, flags, Mode::empty()).and_then(|new| {
            copy_metadata(self.get(old.handle)?.fd.as_fd(), new.as_fd())?;
            match trash {
                Some(slot) => Self::swap_with_slot(slot, new.as_fd(), old, parent_fd, name),
                None => self.swap_in(parent_fd, temp, name, true),
            }
        });
        placed.inspect_err(|_| {
            let _ = fs::unlinkat(dir, temp, AtFlags::REMOVEDIR);
        })
    }

    fn list(&mut self, directory: Handle) -> Sys<Handle> {
        let open = self.get(directory)?;
        let folder = open.folder;
        let fd = Self::reopen(open.fd.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let listing = fs::Dir::read_from(&fd)?;
        let handle = self.add(fd, folder, false);
        if let Some(open) = self.handles.get_mut(&handle) {
            open.listing = Some(listing);
        }
        Ok(handle)
    }

    fn list_next(&mut self, listing: Handle) -> Sys<Option<Entry>> {
        let open = self.handles.get_mut(&listing).ok_or(Errno::BADF)?;
        let dir = open.listing.as_mut().ok_or(Errno::BADF)?;
        for entry in dir.by_ref() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = std::str::from_utf8(name).map_err(|_| Errno::ILSEQ)?.to_owned();
            let kind = match entry.file_type() {
                FileType::Unknown => fs::statat(&open.fd, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(Kind::Other, |s| kind(FileType::from_raw_mode(s.st_mode))),
                known => kind(known),
            };
            return Ok(Some(Entry { name, kind }));
        }
        Ok(None)
    }

    fn fd(&self, handle: Handle) -> Option<BorrowedFd<'_>> {
        self.handles.get(&handle).map(|open| open.fd.as_fd())
    }

    fn trash_home(&mut self, directory: Handle, place: &Place) -> Sys<TrashHome> {
        let folder = self.get(directory)?.folder;
        let (name, root) = &self.folders[folder];
        TrashHome::of(root.as_fd(), name, &place.path)
    }

    fn disk_path(&mut self, object: &Object) -> Sys<PathBuf> {
        fd_path(self.get(object.handle)?.fd.as_fd())
    }
}

pub(crate) fn is_empty(dir: BorrowedFd<'_>) -> Sys<bool> {
    let fd = LiveTree::reopen(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
    for entry in fs::Dir::read_from(fd)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
