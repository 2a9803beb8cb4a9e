//! Where things go instead of vanishing, and the marks by which a killed run finds out what it had begun.
//!
//! Each run has a trash on every file system on which it changes something, so that keeping a before-image is a rename and
//! never a copy. For the run's effect number `7` it holds
//!
//! - `7.mark`, a symlink that leads nowhere and whose text says what was begun. It is made before the effect, whole or
//!   not at all, and turned into `7.undone` once the effect is taken back. It also has the modification times, before, of
//!   the directories whose entries the effect changes;
//! - `7.judged`, a symlink too, while an effect is taken back of which it is known that nobody else changed it since;
//! - `7`, the thing that was removed, replaced or cleared; or, until it is put in place, the new thing;
//! - `7.displaced`, `7.displaced-1` …: what lay in the way when the effect was taken back, since nothing is ever lost.
//!
//! A replacement is one exchange of `7` with the thing in place: the mark names the new thing's inode, so whichever of the
//! two lies in the trash tells whether it happened.

use super::Sys;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags},
    io::Errno,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use unship_policy::Place;
use unship_rollback::{Faults, Modified};

/// Name of a trash that is not in a site's `.unship/`: in the topmost directory of a file system, below a folder of policy.
/// No grant reaches it.
pub const TRASH: &str = ".unship-trash";

/// The name, beside where it will lie, of something new that is not whole yet.
pub(crate) fn temporary_name(run: &str, number: &str) -> String {
    format!(".unship-{run}-{number}")
}

/// A file system as one rename sees it: a bind mount is another one, and so is a subvolume.
pub type Mount = (u64, u64);

/// On which mount an open file lies.
pub(crate) fn mount_of(fd: BorrowedFd<'_>) -> Sys<Mount> {
    let found = fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    // Kernels before 5.8 do not tell; then the device alone must do.
    let id = if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 { 0 } else { found.stx_mnt_id };
    Ok((id, fs::makedev(found.stx_dev_major, found.stx_dev_minor)))
}

/// The topmost directory, in a folder of policy, of the mount on which something is to be changed.
#[derive(Debug)]
pub struct TrashHome {
    /// The directory, opened for looking.
    pub dir: OwnedFd,
    /// Where it is.
    pub place: Place,
    /// Its mount.
    pub mount: Mount,
}

impl TrashHome {
    /// The home for changes in the directory `parent`, a path without symlinks below the folder's `root`. Where `parent` is
    /// not there (any more), its nearest ancestor counts.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of(root: BorrowedFd<'_>, folder: &str, parent: &Path) -> Sys<TrashHome> {
        let at = |dir, path: &Path, mount| TrashHome {
            dir,
            place: Place { folder: folder.to_owned(), path: path.to_owned() },
            mount,
        };
        let mut way = vec![(open_dir(root, Path::new("."))?, PathBuf::new())];
        let mut path = PathBuf::new();
        for part in parent.components() {
            path.push(part);
            match open_dir(root, &path) {
                Ok(dir) => way.push((dir, path.clone())),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => break,
                Err(e) => return Err(e),
            }
        }
        let mut mounts = Vec::new();
        for (dir, _) in &way {
            mounts.push(mount_of(dir.as_fd())?);
        }
        let wanted = mounts.last().copied().ok_or(Errno::NOENT)?;
        let top = mounts.iter().rposition(|mount| *mount != wanted).map_or(0, |other| other + 1);
        let (dir, path) = way.swap_remove(top);
        Ok(at(dir, &path, wanted))
    }
}

/// A directory below a folder's root, through no symlink.
pub(crate) fn open_dir(root: BorrowedFd<'_>, path: &Path) -> Sys<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    for _ in 0..64 {
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The opened trash of one run on one file system.
#[derive(Debug, Clone)]
pub struct TrashDir {
    /// A directory on that file system.
    pub dir: Arc<OwnedFd>,
    /// How the journal calls it.
    pub at: String,
}

/// What an effect had begun, as its mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The thing with this inode is moved into the trash.
    Take(u64),
    /// A new thing is put in the place of an old one; their inodes.
    #[expect(missing_docs, reason = "the line above says it")]
    Swap { new: u64, old: u64 },
    /// A name is made that was not there.
    Make,
    /// The thing with this inode gets another name.
    Move(u64),
    /// Times are changed: access and modification before, in nanoseconds since 1970.
    Times(i128, i128),
    /// The file with this inode is written in place.
    Write(u64),
    /// A service is changed; it was running or not.
    Service(bool),
    /// Processes are stopped, or a command runs.
    Run,
}

impl Mark {
    fn text(&self) -> String {
        match self {
            Mark::Take(inode) => format!("take {inode}"),
            Mark::Swap { new, old } => format!("swap {new} {old}"),
            Mark::Make => "make".to_owned(),
            Mark::Move(inode) => format!("move {inode}"),
            Mark::Times(accessed, modified) => format!("times {accessed} {modified}"),
            Mark::Write(inode) => format!("write {inode}"),
            Mark::Service(running) => format!("service {}", if *running { "running" } else { "stopped" }),
            Mark::Run => "run".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Mark> {
        let mut words = text.split(' ');
        let verb = words.next()?;
        let mut word = || words.next();
        let mark = match verb {
            "take" => Mark::Take(word()?.parse().ok()?),
            "swap" => Mark::Swap { new: word()?.parse().ok()?, old: word()?.parse().ok()? },
            "make" => Mark::Make,
            "move" => Mark::Move(word()?.parse().ok()?),
            "times" => Mark::Times(word()?.parse().ok()?, word()?.parse().ok()?),
            "write" => Mark::Write(word()?.parse().ok()?),
            "service" => Mark::Service(match word()? {
                "running" => true,
                "stopped" => false,
                _ => return None,
            }),
            "run" => Mark::Run,
            _ => return None,
        };
        words.next().is_none().then_some(mark)
    }
}

/// A mark, and the times behind it.
fn parse_mark(text: &str) -> Option<(Mark, Vec<Modified>)> {
    let mut parts = text.split(" @");
    let mark = Mark::parse(parts.next()?)?;
    let times = parts.map(|part| {
        let (s, ns) = part.split_once('.')?;
        Some(Modified { s: s.parse().ok()?, ns: ns.parse().ok()? })
    });
    Some((mark, times.collect::<Option<_>>()?))
}

/// One effect's part of a trash.
#[derive(Clone)]
pub struct TrashSlot {
    trash: TrashDir,
    number: u64,
    faults: Arc<dyn Faults>,
    /// Of the directories that the effect changes, before it.
    times: Vec<Modified>,
}

impl std::fmt::Debug for TrashSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrashSlot").field("at", &self.at()).finish_non_exhaustive()
    }
}

impl TrashSlot {
    /// The part of effect `number`.
    pub fn new(trash: TrashDir, number: u64, faults: Arc<dyn Faults>) -> TrashSlot {
        TrashSlot { trash, number, faults, times: Vec::new() }
    }

    /// With the times that the directories have which are about to be changed, for the mark.
    pub(crate) fn changing(self, times: Vec<Modified>) -> TrashSlot {
        TrashSlot { times, ..self }
    }

    /// The directory in which its names are.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.trash.dir.as_fd()
    }

    /// The name of the thing that is kept.
    pub fn name(&self) -> String {
        self.number.to_string()
    }

    /// How the journal calls the place of the thing that is kept.
    pub fn at(&self) -> String {
        format!("{}/{}", self.trash.at, self.number)
    }

    /// A boundary between two operations of the effect, where a rehearsal may be killed.
    pub fn boundary(&self) {
        self.faults.boundary();
    }

    fn mark_name(&self) -> String {
        format!("{}.mark", self.number)
    }

    fn undone_name(&self) -> String {
        format!("{}.undone", self.number)
    }

    fn judged_name(&self) -> String {
        format!("{}.judged", self.number)
    }

    fn unmark(&self, name: &str) -> Sys<()> {
        match fs::unlinkat(self.dir(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Writes down what is about to be done. Only afterwards is it done.
    pub(crate) fn begin(&self, mark: &Mark) -> Sys<()> {
        for stale in [self.mark_name(), self.undone_name(), self.judged_name()] {
            // Of an attempt that was taken back.
            self.unmark(&stale)?;
        }
        let times = self.times.iter().map(|time| format!(" @{}.{}", time.s, time.ns));
        fs::symlinkat(mark.text() + &times.collect::<String>(), self.dir(), self.mark_name())?;
        self.boundary();
        Ok(())
    }

    /// What was begun was not done after all.
    pub(crate) fn withdraw(&self) {
        // At worst a mark remains for something that is as it was, which every later look finds.
        let _ = fs::unlinkat(self.dir(), self.mark_name(), AtFlags::empty());
    }

    /// What was begun and not taken back. `EBADMSG`: the mark is none of ours.
    pub(crate) fn begun(&self) -> Sys<Option<Mark>> {
        match fs::readlinkat(self.dir(), self.mark_name(), Vec::new()) {
            Ok(text) => text.to_str().ok().and_then(parse_mark).map(|(mark, _)| Some(mark)).ok_or(Errno::BADMSG),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The times, before, of the directories that the effect changes.
    pub(crate) fn times(&self) -> Sys<Vec<Modified>> {
        let text = fs::readlinkat(self.dir(), self.mark_name(), Vec::new())?;
        text.to_str().ok().and_then(parse_mark).map(|(_, times)| times).ok_or(Errno::BADMSG)
    }

    /// Whether the effect was taken back.
    pub(crate) fn is_undone(&self) -> bool {
        fs::statat(self.dir(), self.undone_name(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether an attempt to take it back found that nobody else changed it since, and has not ended.
    pub(crate) fn is_judged(&self) -> bool {
        fs::statat(self.dir(), self.judged_name(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Writes that down, before anything is taken back.
    pub(crate) fn judge(&self) -> Sys<()> {
        fs::symlinkat("judged", self.dir(), self.judged_name())
    }

    /// The effect is taken back.
    pub(crate) fn undone(&self) -> Sys<()> {
        fs::renameat(self.dir(), self.mark_name(), self.dir(), self.undone_name())?;
        self.unmark(&self.judged_name())
    }

    /// The kept (or not yet placed) thing's metadata.
    pub(crate) fn kept(&self) -> Sys<Option<fs::Stat>> {
        match fs::statat(self.dir(), self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes what an earlier attempt made and never put in place: a file or an empty directory.
    pub(crate) fn clean(&self) -> Sys<()> {
        match self.kept()? {
            None => Ok(()),
            Some(_) if self.begun()?.is_some() => self.displace().map(drop),
            Some(stat) => {
                let is_dir = fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Directory;
                let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                match fs::unlinkat(self.dir(), self.name(), flags) {
                    Err(Errno::NOTEMPTY | Errno::EXIST) => self.displace().map(drop),
                    other => other,
                }
            }
        }
    }

    /// Moves what lies under the slot's own name to a free one, and says where it is then; `None` when nothing lies there.
    pub(crate) fn displace(&self) -> Sys<Option<String>> {
        self.displace_from(self.dir(), &self.name())
    }

    /// Copies what a file holds now, holes as holes, to a free name. An attempt that was cut off may leave another copy.
    pub(crate) fn keep_copy(&self, file: BorrowedFd<'_>) -> Sys<String> {
        let (name, flags) = (format!("{}.copy", self.number), OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC);
        let copy =
            fs::openat(self.dir(), &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?;
        let size = u64::try_from(fs::fstat(file)?.st_size).unwrap_or(0);
        if fs::ioctl_ficlone(&copy, file).is_err() {
            fs::ftruncate(&copy, size)?;
            let mut at = 0;
            while at < size {
                at = match fs::seek(file, fs::SeekFrom::Data(at)) {
                    Ok(data) => data,
                    Err(Errno::NXIO) => break,
                    Err(e) => return Err(e),
                };
                let end = fs::seek(file, fs::SeekFrom::Hole(at))?;
                while at < end {
                    let mut piece = vec![0; usize::try_from(end - at).unwrap_or(super::PIECE).min(super::PIECE)];
                    let read = rustix::io::pread(file, &mut piece[..], at)?;
                    super::live::write_all(copy.as_fd(), &piece[..read], at)?;
                    at = if read == 0 { size } else { at + read as u64 };
                }
            }
        }
        fs::fsync(&copy)?;
        self.displace_from(self.dir(), name.as_str())?.ok_or(Errno::NOENT)
    }

    /// Moves a thing from elsewhere on this file system into the trash; `None` when there is none.
    pub(crate) fn displace_from(
        &self,
        dir: BorrowedFd<'_>,
        name: impl rustix::path::Arg + Copy,
    ) -> Sys<Option<String>> {
        for count in 0u32.. {
            let suffix = if count == 0 { String::new() } else { format!("-{count}") };
            let free = format!("{}.displaced{suffix}", self.number);
            match fs::renameat_with(dir, name, self.dir(), &free, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(Some(format!("{}/{free}", self.trash.at))),
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Err(Errno::EXIST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_nothing_else_is() {
        for mark in [
            Mark::Take(7),
            Mark::Swap { new: u64::MAX, old: 0 },
            Mark::Make,
            Mark::Move(1),
            Mark::Times(-5, 1_700_000_000_123_456_789),
            Mark::Write(9),
            Mark::Service(true),
            Mark::Service(false),
            Mark::Run,
        ] {
            assert_eq!(parse_mark(&mark.text()), Some((mark.clone(), Vec::new())));
            let times = vec![Modified { s: -7, ns: 999_999_999 }, Modified { s: 0, ns: 1 }];
            assert_eq!(parse_mark(&format!("{} @-7.999999999 @0.1", mark.text())), Some((mark, times)));
        }
        for bad in [
            "",
            "take",
            "take x",
            "take 1 2",
            "swap 1",
            "times 1",
            "service maybe",
            "swop 1",
            "make it",
            "make @",
            "make @1",
            "make 1.1",
        ] {
            assert_eq!(parse_mark(bad), None, "{bad:?}");
        }
    }
}
