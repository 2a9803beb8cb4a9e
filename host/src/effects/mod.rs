//! What became of an effect, and taking it back: the world's side of undo and of going on after a crash. No guest takes
//! part, and no grant: what a run made through the gate may be taken back by whoever may start a run.
//!
//! | effect | mark | what it leaves | taken back by |
//! |---|---|---|---|
//! | `FileCreated`, `DirCreated`, `LinkCreated` | make | the new name | moving it into the trash, `rmdir`, `unlink` |
//! | `FileReplaced`, `FileWritten` (cut), `DirCleared` | swap | the old thing in the trash | exchanging them again |
//! | `FlagSet`, `FileEdited` | swap | the old file in the trash | the same; one scalar, if more has changed since |
//! | `FileWritten` (in place) | write | the ranges overwritten | writing them back |
//! | `Removed`, `DirRemoved` | take | the thing in the trash | renaming it back |
//! | `Renamed`, `SetAside` | move | (what was replaced in the trash) | renaming it back |
//! | `MetadataChanged` | times | the times in the mark | setting them |
//! | `ServiceChanged` | service | what it was in the mark | starting, stopping, restarting it |
//! | `CommandRan` | run | nothing | the policy's command for it, if it has one |
//! | `ProcessStopped` | run | nothing | waiting for the service that starts them, if policy names one |
//! | `HttpCalled` | run | nothing | the policy's call for it, if it has one |
//!
//! Taking back never destroys: what somebody put in the way since goes into the trash. It can be repeated at any point.

mod files;
mod look;
mod outside;

use crate::{
    gate::{Images, WorldError, folders_on_disk, store_mount},
    tree::{
        Sys,
        trash::{Mark, Mount, TrashHome, TrashSlot, open_dir},
    },
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, Mode, OFlags},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use unship_policy::Definitions;
use unship_rollback::{
    DirectoryTime, Effect, Effects, Faults, FoundEffect, Image, Modified, Plan, Probe, UndoError, UndoItem, path_text,
    text_path,
};

/// The effects of one run at one site.
pub struct SiteEffects {
    site: PathBuf,
    run: String,
    here: Option<Mount>,
    folders: Vec<(String, OwnedFd)>,
    definitions: Definitions,
    images: Box<dyn Images>,
    faults: Arc<dyn Faults>,
    /// Directories changed since the last flush, by path.
    unflushed: BTreeMap<String, OwnedFd>,
}

/// A name in an opened directory.
struct Located {
    folder: usize,
    /// The directory's path below its folder.
    directory: PathBuf,
    parent: OwnedFd,
    name: OsString,
}

impl Located {
    fn dir(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// What lies there, itself and not what it leads to.
    fn look(&self) -> Sys<Option<fs::Stat>> {
        match fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn open(&self, flags: OFlags) -> Sys<std::fs::File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        fs::openat(&self.parent, &self.name, flags, Mode::empty()).map(std::fs::File::from)
    }
}

fn failed(doing: &str, e: Errno) -> UndoError {
    UndoError::Failed(format!("{doing}: {}", std::io::Error::from(e)))
}

/// The directory of a path as effects have it, in the same form.
fn parent_text(path: &str) -> String {
    let (folder, inside) = match path.split_once(':') {
        Some((folder, inside)) => (Some(folder), inside),
        None => (None, path),
    };
    let parent = inside.rsplit_once('/').map_or(".", |(parent, _)| parent);
    match folder {
        // As `show` has it.
        Some("site") if !parent.contains(':') => parent.to_owned(),
        Some(folder) => format!("{folder}:{parent}"),
        None => parent.to_owned(),
    }
}

impl SiteEffects {
    /// The effects of run `run`, where names mean what `definitions` say.
    ///
    /// # Errors
    /// [`WorldError`] for a folder of policy that cannot be opened.
    pub fn open(
        site: &Path,
        definitions: Definitions,
        run: &str,
        images: Box<dyn Images>,
        faults: Arc<dyn Faults>,
    ) -> Result<SiteEffects, WorldError> {
        let mut folders = Vec::new();
        for (name, path) in folders_on_disk(site, &definitions)? {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match fs::open(&path, flags, Mode::empty()) {
                Ok(fd) => folders.push((name, fd)),
                Err(e) => return Err(WorldError::Folder { name, path, why: e.to_string() }),
            }
        }
        Ok(SiteEffects {
            site: site.to_owned(),
            run: run.to_owned(),
            here: store_mount(site),
            folders,
            definitions,
            images,
            faults,
            unflushed: BTreeMap::new(),
        })
    }

    /// Folder and path behind a path as effects have it.
    fn place(&self, text: &str) -> Sys<(usize, PathBuf)> {
        let named = |name: &str| self.folders.iter().position(|(known, _)| known == name);
        let (folder, inside) = match text.split_once(':') {
            Some((folder, inside)) => (named(folder), inside),
            None => (named("site"), text),
        };
        let path = text_path(inside).map(OsString::from_vec).ok_or(Errno::INVAL)?;
        Ok((folder.ok_or(Errno::NOENT)?, PathBuf::from(path)))
    }

    fn locate(&self, text: &str) -> Sys<Located> {
        let (folder, path) = self.place(text)?;
        let directory = path.parent().ok_or(Errno::INVAL)?.to_owned();
        // The folder itself is an entry of itself.
        let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
        let parent = open_dir(self.folders[folder].1.as_fd(), &directory)?;
        Ok(Located { folder, directory, parent, name })
    }

    fn directory(&self, text: &str) -> Sys<OwnedFd> {
        let (folder, path) = self.place(text)?;
        let path = if path == Path::new(".") { Path::new("") } else { &path };
        open_dir(self.folders[folder].1.as_fd(), path)
    }

    /// The part of the trash where the effect left its mark; `None` where the run has no trash.
    fn slot(&mut self, number: u64, effect: &Effect) -> Result<Option<TrashSlot>, String> {
        let told = |e: Errno| std::io::Error::from(e).to_string();
        let (home, is_here) = match self.marked_path(effect) {
            None => (TrashHome::of(self.site_folder().map_err(told)?, "site", Path::new("")).map_err(told)?, true),
            Some(path) => {
                let (folder, path) = self.place(&path).map_err(told)?;
                let (name, root) = &self.folders[folder];
                let home = TrashHome::of(root.as_fd(), name, path.parent().unwrap_or(Path::new(""))).map_err(told)?;
                let is_here = Some(home.mount) == self.here;
                (home, is_here)
            }
        };
        let trash = self.images.trash_if_there(&home, is_here)?;
        Ok(trash.map(|trash| TrashSlot::new(trash, number, self.faults.clone())))
    }

    /// Where the run's trashes are on other file systems than that of `.unship/`, each once.
    pub fn homes_elsewhere(&self, plan: &Plan) -> Vec<TrashHome> {
        let mut homes: Vec<TrashHome> = Vec::new();
        for (_, effect) in plan.effects() {
            let Some(path) = self.marked_path(&effect.clone().concrete(&self.run)) else { continue };
            let Ok((folder, path)) = self.place(&path) else { continue };
            let (name, root) = &self.folders[folder];
            let home = TrashHome::of(root.as_fd(), name, path.parent().unwrap_or(Path::new("")));
            let new = home
                .ok()
                .filter(|home| Some(home.mount) != self.here && !homes.iter().any(|known| known.mount == home.mount));
            homes.extend(new);
        }
        homes
    }

    fn site_folder(&self) -> Sys<BorrowedFd<'_>> {
        self.folders.iter().find(|(name, _)| name == "site").map(|(_, fd)| fd.as_fd()).ok_or(Errno::NOENT)
    }

    /// The path beside which the effect's mark lies; `None`: it is no file, and the mark is in the site's own trash.
    fn marked_path(&self, effect: &Effect) -> Option<String> {
        match effect {
            Effect::Renamed { to, .. } => Some(to.clone()),
            Effect::FlagSet { .. } => self.definitions.flags.as_ref().map(|flags| flags.file.clone()),
            effect => effect.path().map(str::to_owned),
        }
    }

    /// The directories whose entries it changes.
    fn changed_directories_of(&self, effect: &Effect) -> Vec<String> {
        match effect {
            // In place: no entry changes. (A file that was cut is another one since.)
            Effect::MetadataChanged { .. } => Vec::new(),
            Effect::Renamed { from, to, .. } => vec![parent_text(from), parent_text(to)],
            other => self.marked_path(other).iter().map(|path| parent_text(path)).collect(),
        }
    }

    fn modified(&self, directory: &str) -> Sys<Modified> {
        let stat = fs::fstat(self.directory(directory)?)?;
        Ok(Modified { s: stat.st_mtime, ns: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) })
    }

    /// Gives the directories of an effect the times that they had before it, and sees to it that they are flushed.
    fn restore_times(&mut self, item: &UndoItem, times: &[Modified]) -> Sys<()> {
        for (index, path) in self.changed_directories_of(&item.applied.effect).into_iter().enumerate() {
            let Ok(directory) = self.directory(&path) else { continue };
            if let Some(time) = times.get(index).filter(|_| !item.foreign.contains(&path)) {
                let keep = fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT };
                let back = fs::Timespec { tv_sec: time.s, tv_nsec: time.ns.into() };
                let times = fs::Timestamps { last_access: keep, last_modification: back };
                let link = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&directory));
                fs::utimensat(fs::CWD, link, &times, AtFlags::empty())?;
            }
            self.unflushed.insert(path, directory);
        }
        Ok(())
    }
}

impl Effects for SiteEffects {
    fn changed_directories(&mut self, left: &[DirectoryTime]) -> Vec<String> {
        let changed = left.iter().filter(|time| self.modified(&time.path) != Ok(time.modified));
        changed.map(|time| time.path.clone()).collect()
    }

    fn probe(&mut self, n: usize, number: u64, effect: &Effect) -> Option<FoundEffect> {
        let slot = match self.slot(number, effect) {
            Ok(slot) => slot?,
            // Where nobody can look, it may have been made.
            Err(_) => return Some(FoundEffect { n, state: Probe::Unknown, image: None }),
        };
        let (state, image) = match slot.begun() {
            Ok(None) => return None,
            Ok(Some(mark)) => self.look(effect, &slot, &mark),
            Err(_) => (Probe::Unknown, None),
        };
        Some(FoundEffect { n, state, image })
    }

    fn changed_since(&mut self, item: &UndoItem) -> Option<String> {
        self.difference(item)
    }

    fn thing(&mut self, item: &UndoItem) -> Option<(u64, u64)> {
        let effect = &item.applied.effect;
        let path = self.marked_path(effect)?;
        let slot = self.slot(item.number, effect).ok()??;
        if let Ok(Some(Mark::Write(inode) | Mark::Swap { new: inode, .. })) = slot.begun() {
            // Whatever leads to it now.
            return Some((fs::fstat(slot.dir()).ok()?.st_dev, inode));
        }
        let stat = self.locate(&path).and_then(|at| at.look()).ok()??;
        Some((stat.st_dev, stat.st_ino))
    }

    fn undo(&mut self, item: &UndoItem) -> Result<Option<String>, UndoError> {
        let slot = self.slot(item.number, &item.applied.effect).map_err(UndoError::Failed)?;
        let mark = slot.as_ref().map_or(Ok(None), TrashSlot::begun).map_err(|e| failed("reading its mark", e))?;
        let note = match (&slot, mark) {
            (Some(slot), Some(mark)) => {
                // Judged once: what an earlier attempt did, which was killed, is not somebody else's change.
                if item.is_careful && !item.is_forced && !slot.is_judged() {
                    if let Some(change) = self.difference(item) {
                        return Err(UndoError::Failed(format!(
                            "{change}; `--force {}` takes it back",
                            item.applied.name()
                        )));
                    }
                    slot.judge().map_err(|e| failed("writing down that it is to be taken back", e))?;
                }
                slot.boundary();
                let note = self.take_back(item, slot, &mark)?;
                slot.boundary();
                // Before it counts as taken back: afterwards its directories may be where those of older effects are.
                let times = slot.times().and_then(|times| self.restore_times(item, &times));
                times.map_err(|e| failed("giving its directory the time that it had", e))?;
                slot.boundary();
                slot.undone().map_err(|e| failed("writing down that it is taken back", e))?;
                note
            }
            // It is taken back already, or was never begun.
            (Some(slot), None) if slot.is_undone() || item.applied.seen.is_some() => None,
            (None, _) if item.applied.seen.is_some() => None,
            _ => {
                return Err(UndoError::Failed(
                    "what was kept of before is not there any more; somebody removed it from the trash".to_owned(),
                ));
            }
        };
        // Also when an earlier attempt took it back, which may not have got to flushing.
        self.restore_times(item, &[]).map_err(|e| failed("opening its directory", e))?;
        Ok(note)
    }

    fn settle(&mut self) -> Result<(), String> {
        for (path, directory) in std::mem::take(&mut self.unflushed) {
            let link = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&directory));
            fs::open(link, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .and_then(fs::fsync)
                .map_err(|e| format!("{path} could not be brought to disk: {}", std::io::Error::from(e)))?;
        }
        self.images.flush()
    }
}

impl SiteEffects {
    fn take_back(&mut self, item: &UndoItem, slot: &TrashSlot, mark: &Mark) -> Result<Option<String>, UndoError> {
        match (&item.applied.effect, mark) {
            (
                Effect::ProcessStopped { .. }
                | Effect::CommandRan { .. }
                | Effect::HttpCalled { .. }
                | Effect::ServiceChanged { .. },
                mark,
            ) => self.take_back_outside(item, mark),
            (effect, Mark::Make) => self.take_back_made(effect, slot),
            (Effect::FlagSet { .. } | Effect::FileEdited { .. }, Mark::Swap { new, old }) => {
                self.take_back_edit(item, slot, *new, *old)
            }
            (effect, Mark::Swap { new, old }) => self.take_back_swap(effect, slot, *new, *old),
            (effect, Mark::Take(old)) => self.take_back_removal(effect, slot, *old),
            (Effect::Renamed { from, to, replaced }, Mark::Move(inode)) => {
                self.take_back_move(from, to, *replaced, slot, *inode)
            }
            (Effect::SetAside { from, to }, Mark::Move(inode)) => self.take_back_move(from, to, false, slot, *inode),
            (Effect::MetadataChanged { path }, Mark::Times(accessed, modified)) => {
                self.take_back_times(path, *accessed, *modified)
            }
            (Effect::FileWritten { path, .. }, Mark::Write(inode)) => self.take_back_writing(item, path, slot, *inode),
            (effect, mark) => Err(UndoError::Failed(format!("its mark {mark:?} does not belong to `{effect}`"))),
        }
    }
}

/// A path of an effect as a person reads it.
fn shown(name: &OsStr) -> String {
    path_text(name.as_bytes())
}

/// What was there before lies in the trash.
fn kept_in(slot: &TrashSlot) -> Option<Image> {
    Some(Image::Trash { at: slot.at() })
}
