//! What lies below the folders of a site, behind one interface: [`live::LiveTree`] is the disk, [`overlay::OverlayTree`]
//! the disk as it would be after the steps planned so far. The gate decides; a tree only finds and does.
//!
//! Finding and doing are apart: [`Tree::find`] opens what a path means, by handle and beneath its base, without reading
//! or changing it; what is done afterwards is done to that handle, or to one name in the parent that was opened.

pub mod live;
mod metadata;
pub mod overlay;
pub mod trash;

pub(crate) use metadata::copy_metadata;

use crate::gate::{Entry, Kind, NewTime, Stat};
use rustix::io::Errno;
use std::{ffi::OsString, os::fd::BorrowedFd};
use trash::{TrashHome, TrashSlot};
use unship_policy::Place;

/// A handle in a tree's own table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(crate) u32);

/// What a path led to.
#[derive(Debug)]
pub struct Found {
    /// The directory that holds the name.
    pub parent: Handle,
    /// The name in it; `None` for a path that ends in `.`, `..` or is the folder itself.
    pub name: Option<OsString>,
    /// Where that is.
    pub place: Place,
    /// What lies there now, if anything.
    pub object: Option<Object>,
    /// The path ended in a slash: only a directory will do.
    pub directory_only: bool,
}

/// Something that exists.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// Opened for nothing but being looked at.
    pub handle: Handle,
    /// What it is.
    pub kind: Kind,
    /// Its hard links.
    pub links: u64,
    /// Which one it is.
    pub identity: (u64, u64),
    /// Its size.
    pub size: u64,
}

/// The new content of a file.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The bytes behind a handle.
    Handle(Handle),
    /// These.
    Bytes(&'a [u8]),
    /// These, which whoever may read them may execute, or nobody.
    Blob {
        /// The content.
        bytes: &'a [u8],
        /// Whether it is a program.
        executable: bool,
    },
}

/// An operation's result: the system's error number says what went wrong.
pub type Sys<T> = Result<T, Errno>;

/// Bytes that one piece of host work moves at most.
pub const PIECE: usize = 256 << 10;

/// See the module. Handles are released by [`Tree::release`]; an unknown handle is `EBADF`.
pub trait Tree: Send {
    /// The folder of this name.
    fn root(&mut self, folder: &str) -> Sys<Handle>;
    /// Forgets a handle.
    fn release(&mut self, handle: Handle);
    /// Finds what `path` means from the directory `base`: never above it, through no magic link, and a last symlink is
    /// followed only with `follow`. Leaving the base is `EPERM`.
    fn find(&mut self, base: Handle, path: &str, follow: bool) -> Sys<Found>;
    /// Whether the system lets this process change the entries of a directory: asked before an effect is declared, so that
    /// an operation that fails when planned and when run is no effect in either.
    fn may_change(&mut self, directory: Handle) -> Sys<()>;
    /// Where a handle's object lies now.
    fn place(&mut self, handle: Handle) -> Sys<Place>;
    /// Metadata of a handle's object.
    fn stat(&mut self, handle: Handle) -> Sys<Stat>;
    /// Opens a found regular file (`write`: for writing as well) or directory for use.
    fn open(&mut self, object: &Object, write: bool) -> Sys<Handle>;
    /// Makes a file that was not there, open for reading and writing.
    fn create(&mut self, parent: Handle, name: &OsString) -> Sys<Handle>;
    /// Reads at most `len` bytes (and at most [`PIECE`]).
    fn read(&mut self, handle: Handle, len: usize, offset: u64) -> Sys<Vec<u8>>;
    /// Writes some of `data` and says how much.
    fn write(&mut self, handle: Handle, data: &[u8], offset: u64) -> Sys<usize>;
    /// Cuts or extends.
    fn set_size(&mut self, handle: Handle, size: u64) -> Sys<()>;
    /// Brings a file, or a directory's entries, to the disk.
    fn sync(&mut self, handle: Handle, data_only: bool) -> Sys<()>;
    /// Changes times, of a symlink itself too.
    fn set_times(&mut self, handle: Handle, accessed: NewTime, modified: NewTime) -> Sys<()>;
    /// Makes a directory.
    fn make_dir(&mut self, parent: Handle, name: &OsString) -> Sys<()>;
    /// Removes a file, a link or an empty directory; into `trash` if there is one.
    fn remove(&mut self, parent: Handle, name: &OsString, object: &Object, trash: Option<&TrashSlot>) -> Sys<()>;
    /// Gives another name. `replacing` is what lies there; without it an existing target is `EEXIST`.
    fn rename(
        &mut self,
        from: (Handle, &OsString),
        to: (Handle, &OsString),
        replacing: Option<&Object>,
        trash: Option<&TrashSlot>,
    ) -> Sys<()>;
    /// Makes a hard link to a file.
    fn link(&mut self, object: &Object, parent: Handle, name: &OsString) -> Sys<()>;
    /// Makes a symlink.
    fn symlink(&mut self, target: &str, parent: Handle, name: &OsString) -> Sys<()>;
    /// Where a symlink points to, as stored.
    fn read_link(&mut self, object: &Object) -> Sys<Vec<u8>>;
    /// Makes `name` hold `content`, never missing and never half; mode, owner and extended attributes of `old` stay.
    /// `temp` is a free name in the same directory.
    fn replace(
        &mut self,
        parent: Handle,
        name: &OsString,
        temp: &OsString,
        content: Source<'_>,
        old: Option<&Object>,
        trash: Option<&TrashSlot>,
    ) -> Sys<Handle>;
    /// Puts an empty directory of the same mode and owner in the place of `old`.
    fn clear(
        &mut self,
        parent: Handle,
        name: &OsString,
        temp: &OsString,
        old: &Object,
        trash: Option<&TrashSlot>,
    ) -> Sys<()>;
    /// Starts listing an opened directory.
    fn list(&mut self, directory: Handle) -> Sys<Handle>;
    /// The next entry of a listing; names that are not UTF-8 are `EILSEQ`.
    fn list_next(&mut self, listing: Handle) -> Sys<Option<Entry>>;
    /// The file descriptor behind a handle, where the disk itself is meant (before-images).
    fn fd(&self, handle: Handle) -> Option<BorrowedFd<'_>>;
    /// Where the trash for changes in a directory is, which lies at `place`.
    fn trash_home(&mut self, directory: Handle, place: &Place) -> Sys<TrashHome>;
    /// The path on disk where the object's bytes lie now, for asking who holds it.
    fn disk_path(&mut self, object: &Object) -> Sys<std::path::PathBuf>;
}

/// Splits a guest's path into its parent part and last name.
pub(crate) struct Split<'a> {
    pub parent: &'a str,
    pub name: Option<&'a str>,
    pub directory_only: bool,
}

/// # Errors
/// `ENOENT` for an empty path, `EPERM` for an absolute one, `EINVAL` for a NUL, `ENAMETOOLONG`.
pub(crate) fn split(path: &str) -> Sys<Split<'_>> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path.starts_with('/') {
        return Err(Errno::PERM);
    }
    if path.contains('\0') {
        return Err(Errno::INVAL);
    }
    if path.len() > 4096 {
        return Err(Errno::NAMETOOLONG);
    }
    let trimmed = path.trim_end_matches('/');
    let directory_only = trimmed.len() < path.len();
    let (parent, last) =
        trimmed.rsplit_once('/').map_or((".", trimmed), |(p, l)| (if p.is_empty() { "." } else { p }, l));
    Ok(match last {
        "." | ".." | "" => {
            Split { parent: if trimmed.is_empty() { "." } else { trimmed }, name: None, directory_only: true }
        }
        name => Split { parent, name: Some(name), directory_only },
    })
}
