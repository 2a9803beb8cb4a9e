//! Taking back what was done to files, directories, links and flags.

use super::{Located, SiteEffects, failed, look::read_small};
use crate::tree::{
    Sys, copy_metadata,
    live::{is_empty, write_all},
    trash::{TrashSlot, temporary_name},
};
use rustix::{
    fd::AsFd,
    fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use unship_rollback::{Effect, UndoError, UndoItem};

type Taken = Result<Option<String>, UndoError>;

fn lies_now(kept: Option<String>) -> Option<String> {
    kept.map(|at| format!("what lay there since is kept as {at}"))
}

fn kind(stat: &fs::Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

impl SiteEffects {
    fn at(&self, path: &str) -> Result<Located, UndoError> {
        self.locate(path).map_err(|e| failed(&format!("finding the directory of {path}"), e))
    }

    fn changes(&mut self, at: &Located) {
        let (name, _) = &self.folders[at.folder];
        // Only a name for a map: flushing is by handle.
        if let Ok(dir) = at.parent.try_clone() {
            self.unflushed.insert(format!("{name}:{}", at.directory.display()), dir);
        }
    }

    /// Gives the thing that lies in the slot its place back, and keeps what lies there now.
    fn put_back(&mut self, slot: &TrashSlot, at: &Located) -> Sys<Option<String>> {
        self.changes(at);
        if at.look()?.is_none() {
            let back = fs::renameat_with(slot.dir(), slot.name(), at.dir(), &at.name, RenameFlags::NOREPLACE);
            return back.map(|()| None);
        }
        // Never missing, and never lost.
        fs::renameat_with(slot.dir(), slot.name(), at.dir(), &at.name, RenameFlags::EXCHANGE)?;
        slot.boundary();
        slot.displace()
    }

    pub(super) fn take_back_removal(&mut self, effect: &Effect, slot: &TrashSlot, old: u64) -> Taken {
        let path = self.marked_path(effect).unwrap_or_default();
        let at = self.at(&path)?;
        let told = |e| failed(&format!("putting {path} back"), e);
        match slot.kept().map_err(told)? {
            Some(kept) if kept.st_ino == old => Ok(lies_now(self.put_back(slot, &at).map_err(told)?)),
            // An earlier attempt exchanged them, and was killed before it could put what lay there aside.
            Some(_) => Ok(lies_now(slot.displace().map_err(told)?)),
            None => self.demand(&at, &path, old).map(|()| None),
        }
    }

    pub(super) fn take_back_swap(&mut self, effect: &Effect, slot: &TrashSlot, new: u64, old: u64) -> Taken {
        let path = self.marked_path(effect).unwrap_or_default();
        let at = self.at(&path)?;
        let told = |e| failed(&format!("putting {path} back"), e);
        let unchanged = |at: &Located| {
            let same = at.look()?.is_some_and(|now| now.st_ino == new);
            let untouched = !matches!(effect, Effect::DirCleared { .. })
                || at.open(OFlags::RDONLY).and_then(|dir| is_empty(dir.as_fd())).unwrap_or(false);
            Ok(same && untouched)
        };
        match slot.kept().map_err(told)? {
            Some(kept) if kept.st_ino == old => {
                let ours = unchanged(&at).map_err(told)?;
                let displaced = self.put_back(slot, &at).map_err(told)?;
                Ok(lies_now(displaced.filter(|_| !ours)))
            }
            // The new thing never came into its place; or an earlier attempt took what lay there from it.
            Some(kept) => {
                let displaced = slot.displace().map_err(told)?;
                self.demand(&at, &path, old)?;
                Ok(lies_now(displaced.filter(|_| kept.st_ino != new)))
            }
            None => self.demand(&at, &path, old).map(|()| None),
        }
    }

    /// What was in the trash is not there: fine only if an earlier attempt put it back.
    fn demand(&self, at: &Located, path: &str, old: u64) -> Result<(), UndoError> {
        match at.look() {
            Ok(Some(stat)) if stat.st_ino == old => Ok(()),
            _ => Err(UndoError::Failed(format!(
                "what lay at {path} is not in the trash any more; somebody moved or removed it"
            ))),
        }
    }

    /// A flag, or another scalar: the old file as a whole if nothing else changed in it, else only the scalar, so that what
    /// others wrote since stays.
    pub(super) fn take_back_edit(&mut self, item: &UndoItem, slot: &TrashSlot, new: u64, old: u64) -> Taken {
        let effect = &item.applied.effect;
        let path = self.marked_path(effect).unwrap_or_default();
        let at = self.at(&path)?;
        let Some(edit) = self.edit_of(effect) else {
            return Err(UndoError::Failed("the policy does not say where flags are any more".to_owned()));
        };
        let kept = slot.kept().map_err(|e| failed("looking at the old file", e))?;
        let current = read_small(&at).map_err(UndoError::Failed)?;
        if kept.is_some_and(|kept| kept.st_ino == old) {
            let in_trash = Located {
                folder: at.folder,
                directory: at.directory.clone(),
                parent: slot.dir().try_clone_to_owned().map_err(|e| UndoError::Failed(e.to_string()))?,
                name: slot.name().into(),
            };
            let text = read_small(&in_trash).map_err(UndoError::Failed)?;
            if edit.set(&text, &edit.to).is_ok_and(|expected| expected == current) {
                return self.take_back_swap(effect, slot, new, old);
            }
        } else if edit.get(&current).is_ok_and(|value| value == edit.from) {
            return Ok(None);
        }
        let value = edit.get(&current).map_err(UndoError::Failed)?;
        if value == edit.from {
            return Ok(Some("it has its old value already".to_owned()));
        }
        if value != edit.to && !item.is_forced {
            let name = item.applied.name();
            return Err(UndoError::Failed(format!(
                "{} is {value} now, which is neither what it was nor what the run made it; set it by hand, or give `undo --force {name}`",
                edit.what
            )));
        }
        let text = edit.set(&current, &edit.from).map_err(UndoError::Failed)?;
        self.rewrite(&at, slot, &text).map_err(|e| failed(&format!("writing {path}"), e))?;
        Ok(Some("the file changed in other places since, so only this value was set back".to_owned()))
    }

    /// Puts a file with `text` in the place of another, which is kept.
    fn rewrite(&mut self, at: &Located, slot: &TrashSlot, text: &[u8]) -> Sys<()> {
        let name = format!("{}.edit", slot.name());
        match fs::unlinkat(slot.dir(), &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(slot.dir(), &name, flags, Mode::from_raw_mode(0o600))?;
        write_all(file.as_fd(), text, 0)?;
        copy_metadata(at.open(OFlags::RDONLY)?.as_fd(), file.as_fd())?;
        fs::fsync(&file)?;
        self.changes(at);
        fs::renameat_with(slot.dir(), &name, at.dir(), &at.name, RenameFlags::EXCHANGE)?;
        slot.displace_from(slot.dir(), name.as_str()).map(drop)
    }

    pub(super) fn take_back_made(&mut self, effect: &Effect, slot: &TrashSlot) -> Taken {
        let path = self.marked_path(effect).unwrap_or_default();
        let at = self.at(&path)?;
        let told = |e| failed(&format!("removing {path}"), e);
        self.changes(&at);
        // Of a file that was to be put in place whole.
        match fs::unlinkat(at.dir(), temporary_name(&self.run, &slot.name()), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(told(e)),
        }
        let Some(now) = at.look().map_err(told)? else { return Ok(None) };
        match effect {
            Effect::DirCreated { .. } if kind(&now) == FileType::Directory => {
                match fs::unlinkat(at.dir(), &at.name, AtFlags::REMOVEDIR) {
                    Ok(()) => return Ok(None),
                    Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                    Err(e) => return Err(told(e)),
                }
            }
            // A link is nothing but its name; kept, a hard link would go on counting.
            Effect::LinkCreated { to, hard, .. } if self.is_link(&at, &now, to, *hard) => {
                return fs::unlinkat(at.dir(), &at.name, AtFlags::empty()).map(|()| None).map_err(told);
            }
            _ => {}
        }
        let kept = slot.displace_from(at.dir(), at.name.as_os_str()).map_err(told)?;
        Ok(match effect {
            Effect::FileCreated { .. } | Effect::FileReplaced { .. } if kind(&now) == FileType::RegularFile => None,
            _ => lies_now(kept),
        })
    }

    pub(super) fn is_link(&self, at: &Located, now: &fs::Stat, to: &str, hard: bool) -> bool {
        if hard {
            let other = self.locate(to).and_then(|other| other.look()).ok().flatten();
            return kind(now) != FileType::Directory && other.is_some_and(|other| other.st_ino == now.st_ino);
        }
        let target = unship_rollback::text_path(to);
        let is = fs::readlinkat(at.dir(), &at.name, Vec::new()).ok();
        kind(now) == FileType::Symlink && is.map(|text| text.into_bytes()) == target
    }

    pub(super) fn take_back_move(
        &mut self,
        from: &str,
        to: &str,
        replaced: bool,
        slot: &TrashSlot,
        inode: u64,
    ) -> Taken {
        let (from_at, to_at) = (self.at(from)?, self.at(to)?);
        let told = |e| failed(&format!("giving {to} its name {from} back"), e);
        self.changes(&from_at);
        self.changes(&to_at);
        let is_moved = |stat: Option<fs::Stat>| stat.is_some_and(|stat| stat.st_ino == inode);
        let kept = slot.kept().map_err(told)?;
        if !is_moved(to_at.look().map_err(told)?) {
            return match kept {
                // An earlier attempt put the replaced thing back and was killed.
                Some(kept) if kept.st_ino == inode => Ok(lies_now(self.put_back(slot, &from_at).map_err(told)?)),
                // Or it gave the name back, and what lay there is still to be put aside.
                Some(_) if is_moved(from_at.look().map_err(told)?) => Ok(lies_now(slot.displace().map_err(told)?)),
                None if is_moved(from_at.look().map_err(told)?) => Ok(None),
                _ => Err(UndoError::Failed(format!("what was moved is neither at {to} nor at {from} any more"))),
            };
        }
        if kept.is_some() {
            // What was replaced gets its place back, and what replaced it goes to the trash for a moment.
            fs::renameat_with(slot.dir(), slot.name(), to_at.dir(), &to_at.name, RenameFlags::EXCHANGE)
                .map_err(told)?;
            slot.boundary();
            return Ok(lies_now(self.put_back(slot, &from_at).map_err(told)?));
        }
        let exchange = |e: RenameFlags| fs::renameat_with(to_at.dir(), &to_at.name, from_at.dir(), &from_at.name, e);
        if from_at.look().map_err(told)?.is_none() {
            return exchange(RenameFlags::NOREPLACE).map(|()| None).map_err(told);
        }
        // Something lies there: the other half of an exchange that was cut off, or somebody's new thing.
        exchange(RenameFlags::EXCHANGE).map_err(told)?;
        if replaced {
            return Ok(None);
        }
        slot.boundary();
        let kept = slot.displace_from(to_at.dir(), to_at.name.as_os_str()).map_err(told)?;
        Ok(kept.map(|at| format!("what lay at {from} since is kept as {at}")))
    }

    pub(super) fn take_back_times(&mut self, path: &str, accessed: i128, modified: i128) -> Taken {
        let at = self.at(path)?;
        let time = |ns: i128| fs::Timespec {
            tv_sec: i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or(0),
            tv_nsec: ns.rem_euclid(1_000_000_000) as _,
        };
        let times = fs::Timestamps { last_access: time(accessed), last_modification: time(modified) };
        let set = fs::utimensat(at.dir(), &at.name, &times, AtFlags::SYMLINK_NOFOLLOW);
        set.map(|()| None).map_err(|e| failed(&format!("setting the times of {path}"), e))
    }

    pub(super) fn take_back_writing(&mut self, item: &UndoItem, path: &str, slot: &TrashSlot, inode: u64) -> Taken {
        let at = self.at(path)?;
        // What was saved is part of that file; in any other it would make up a third.
        if at.look().map_err(|e| failed(&format!("looking at {path}"), e))?.is_none_or(|now| now.st_ino != inode) {
            return Err(UndoError::Failed(format!("the file that was written is not at {path} any more")));
        }
        let file = match at.open(OFlags::RDWR) {
            // Only its mode stands against it, and its owner may change that.
            Err(Errno::ACCESS) => self.open_unwritable(&at).map_err(|e| failed(&format!("opening {path}"), e))?,
            opened => opened.map_err(|e| failed(&format!("opening {path}"), e))?,
        };
        let copy = match self.difference(item) {
            Some(_) if item.is_careful => slot.keep_copy(file.as_fd()).map(Some),
            _ => Ok(None),
        };
        let copy = copy.map_err(|e| failed(&format!("keeping what {path} holds now"), e))?;
        self.images.restore(item.number, &file).map_err(UndoError::Failed)?;
        Ok(copy.map(|at| format!("what it held since is kept as {at}")))
    }

    fn open_unwritable(&self, at: &Located) -> Sys<std::fs::File> {
        let mode = |stat: &fs::Stat| Mode::from_raw_mode(stat.st_mode & 0o7777);
        let readable = at.open(OFlags::RDONLY)?;
        let was = mode(&fs::fstat(&readable)?);
        fs::fchmod(&readable, was | Mode::WUSR | Mode::RUSR)?;
        let opened = at.open(OFlags::RDWR);
        fs::fchmod(&readable, was)?;
        opened
    }
}
