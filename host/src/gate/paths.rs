//! WASI's calls on paths: find, judge what was found, write down, do.

use super::{FileInHand, Fs, FsFault, Gate, Kind, NewTime, Node, Open, OpenNode, Stat, image_in, marked, show};
use crate::tree::{Found, Object, trash::Mark};
use rustix::io::Errno;
use std::ffi::OsString;
use unship_policy::{FileRight, Place};
use unship_rollback::{Effect, path_text};

impl Gate {
    /// Opens a file or directory, or makes a file.
    ///
    /// # Errors
    /// `EACCES` without the grant, `EPERM` for a path that leaves its folder and for what is neither file nor directory,
    /// and what POSIX has.
    pub fn open_at(&mut self, base: Node, path: &str, follow: bool, how: Open) -> Fs<Node> {
        self.with_found(base, path, follow, |gate, found| match &found.object {
            None => gate.open_new(found, how),
            Some(object) => gate.open_existing(found, object, how),
        })
    }

    fn open_new(&mut self, found: &Found, how: Open) -> Fs<Node> {
        if !how.create {
            self.demand_sight(&found.place)?;
            return Err(Errno::NOENT.into());
        }
        let Some(name) = &found.name else { return Err(Errno::NOENT.into()) };
        if how.directory {
            return Err(Errno::INVAL.into());
        }
        if found.directory_only {
            return Err(Errno::ISDIR.into());
        }
        self.demand(FileRight::Create, &found.place)?;
        self.world.tree.may_change(found.parent)?;
        let effect = Effect::FileCreated { path: show(&found.place), content: None };
        let parent = found.parent;
        let create = |gate: &mut Gate| gate.world.tree.create(parent, name);
        let (number, handle) = self.perform_new(&effect, parent, &found.place, create)?;
        self.ledger.made(number, effect, None, Vec::new())?;
        let identity = self.world.tree.stat(handle)?.identity;
        self.files.insert(identity, FileInHand { number, image: None, unsettled: true });
        // A file that is only created still has a content to take down: none.
        let how = Open { write: true, ..how };
        Ok(self.add(OpenNode { handle, kind: Kind::File, how, place: found.place.clone(), identity }))
    }

    fn open_existing(&mut self, found: &Found, object: &Object, how: Open) -> Fs<Node> {
        if how.create && how.exclusive {
            self.demand_sight(&found.place)?;
            return Err(Errno::EXIST.into());
        }
        match object.kind {
            Kind::Symlink => {
                self.demand_sight(&found.place)?;
                Err(Errno::LOOP.into())
            }
            Kind::Other => {
                let what = format!("opening {}", show(&found.place));
                let denial =
                    self.denial(what, "it is a FIFO, socket or device; only regular files and directories are opened");
                Err(self.deny(denial, Errno::PERM))
            }
            Kind::Directory => self.open_directory(found, object, how),
            Kind::File => self.open_file(found, object, how),
        }
    }

    fn open_directory(&mut self, found: &Found, object: &Object, how: Open) -> Fs<Node> {
        self.demand_sight(&found.place)?;
        if how.write || how.truncate || (how.create && !how.directory) {
            return Err(Errno::ISDIR.into());
        }
        if how.create {
            return Err(Errno::INVAL.into());
        }
        let handle = self.world.tree.open(object, false)?;
        let (place, identity) = (found.place.clone(), object.identity);
        Ok(self.add(OpenNode { handle, kind: Kind::Directory, how, place, identity }))
    }

    fn open_file(&mut self, found: &Found, object: &Object, how: Open) -> Fs<Node> {
        if how.directory || found.directory_only {
            self.demand_sight(&found.place)?;
            return Err(Errno::NOTDIR.into());
        }
        if how.read {
            self.demand(FileRight::Read, &found.place)?;
        }
        if how.write || how.truncate {
            self.demand(FileRight::Write, &found.place)?;
            self.demand_single_link(&found.place, object)?;
        }
        if !(how.read || how.write || how.truncate) {
            self.demand_sight(&found.place)?;
        }
        if how.truncate && object.size > 0 {
            return self.open_truncated(found, object, how);
        }
        let handle = self.world.tree.open(object, how.write || how.truncate)?;
        let identity = object.identity;
        Ok(self.add(OpenNode { handle, kind: Kind::File, how, place: found.place.clone(), identity }))
    }

    /// A hard-linked file has names that nobody judged.
    fn demand_single_link(&mut self, place: &Place, object: &Object) -> Fs<()> {
        if object.links <= 1 || self.grant.allows_hard_links(&place.folder) {
            return Ok(());
        }
        let what = format!("files.write on {}", show(place));
        let rule = format!("the file has {} hard links, and its other names are not known to be granted", object.links);
        let denial = self.denial(what, &rule);
        Err(self.deny(denial, Errno::ACCESS))
    }

    /// Cutting a file to nothing: where before-images are kept, a new inode takes its place and the old one is kept whole.
    fn open_truncated(&mut self, found: &Found, object: &Object, how: Open) -> Fs<Node> {
        let Some(name) = &found.name else { return Err(Errno::INVAL.into()) };
        let known = self.files.contains_key(&object.identity);
        // Another handle of the step goes on meaning this file, so it must stay the one that the name leads to.
        let in_use = self.nodes.values().any(|open| open.identity == object.identity);
        // A new inode needs a directory that may be changed; without it the file is cut in place and its content copied.
        let in_use = in_use || self.world.tree.may_change(found.parent).is_err();
        // So do its other names.
        let in_use = in_use || object.links > 1;
        if known || in_use || !self.ledger.keeps_images() {
            let handle = self.world.tree.open(object, true)?;
            let open = OpenNode {
                handle,
                kind: Kind::File,
                how: Open { write: true, ..how },
                place: found.place.clone(),
                identity: object.identity,
            };
            let node = self.add(open);
            self.set_size(node, 0)?;
            self.nodes.entry(node).and_modify(|open| open.how = how);
            return Ok(node);
        }
        let effect = Effect::FileWritten { path: show(&found.place), content: None };
        let (number, handle, slot) = self.perform(&effect, found.parent, &found.place, |gate, slot| {
            let temp = gate.temporary_name(slot);
            let nothing = crate::tree::Source::Bytes(&[]);
            gate.world.tree.replace(found.parent, name, &temp, nothing, Some(object), slot)
        })?;
        self.ledger.made(number, effect, image_in(slot.as_ref()), Vec::new())?;
        let identity = self.world.tree.stat(handle)?.identity;
        self.files.insert(identity, FileInHand { number, image: None, unsettled: true });
        let how = Open { write: true, ..how };
        Ok(self.add(OpenNode { handle, kind: Kind::File, how, place: found.place.clone(), identity }))
    }

    /// Metadata of what lies at a path.
    ///
    /// # Errors
    /// `EACCES` where the step holds no right, there or below.
    pub fn stat_at(&mut self, base: Node, path: &str, follow: bool) -> Fs<Stat> {
        self.with_found(base, path, follow, |gate, found| {
            gate.demand_sight(&found.place)?;
            let object = existing(found)?;
            if found.directory_only && object.kind != Kind::Directory {
                return Err(Errno::NOTDIR.into());
            }
            Ok(gate.world.tree.stat(object.handle)?)
        })
    }

    /// Which object lies at a path. Whoever may list a directory may know it of its entries: a listing tells no less.
    ///
    /// # Errors
    /// `EACCES` where the step may neither see the path nor list its directory.
    pub fn identity_at(&mut self, base: Node, path: &str, follow: bool) -> Fs<(u64, u64)> {
        let handle = self.dir(base)?;
        let found = match self.world.tree.find(handle, path, false) {
            Ok(found) => found,
            // The denial is written down on the ordinary way.
            Err(_) => return self.stat_at(base, path, follow).map(|stat| stat.identity),
        };
        let parent =
            found.place.path.parent().map(|p| Place { folder: found.place.folder.clone(), path: p.to_owned() });
        let listed = parent.is_some_and(|parent| self.grant.holds(FileRight::List, &parent));
        let link = found.object.is_some_and(|o| o.kind == Kind::Symlink);
        let identity = found.object.map(|o| o.identity).filter(|_| listed && !(follow && link));
        self.forget(&found);
        match identity {
            Some(identity) => Ok(identity),
            None => self.stat_at(base, path, follow).map(|stat| stat.identity),
        }
    }

    /// Changes times. Needs `files.write`.
    ///
    /// # Errors
    /// `EACCES` without the grant.
    pub fn set_times_at(
        &mut self,
        base: Node,
        path: &str,
        follow: bool,
        accessed: NewTime,
        modified: NewTime,
    ) -> Fs<()> {
        self.with_found(base, path, follow, |gate, found| {
            let object = existing(found)?;
            gate.change_times(object.handle, accessed, modified)
        })
    }

    /// Makes a directory. Needs `files.create`.
    ///
    /// # Errors
    /// `EACCES` without the grant, and what POSIX has.
    pub fn create_directory_at(&mut self, base: Node, path: &str) -> Fs<()> {
        self.with_found(base, path, false, |gate, found| {
            let name = new_name(gate, found)?;
            gate.demand(FileRight::Create, &found.place)?;
            gate.world.tree.may_change(found.parent)?;
            let effect = Effect::DirCreated { path: show(&found.place) };
            let make = |gate: &mut Gate| gate.world.tree.make_dir(found.parent, &name);
            let (number, ()) = gate.perform_new(&effect, found.parent, &found.place, make)?;
            Ok(gate.ledger.made(number, effect, None, Vec::new())?)
        })
    }

    /// Removes an empty directory. Needs `files.remove`.
    ///
    /// # Errors
    /// `EACCES` without the grant, `ENOTDIR`, `ENOTEMPTY`.
    pub fn remove_directory_at(&mut self, base: Node, path: &str) -> Fs<()> {
        self.with_found(base, path, false, |gate, found| {
            let object = *existing(found)?;
            if object.kind != Kind::Directory {
                gate.demand_sight(&found.place)?;
                return Err(Errno::NOTDIR.into());
            }
            gate.remove(found, &object, Effect::DirRemoved { path: show(&found.place) })
        })
    }

    /// Removes a file or link. Needs `files.remove`.
    ///
    /// # Errors
    /// `EACCES` without the grant, `EISDIR`.
    pub fn unlink_file_at(&mut self, base: Node, path: &str) -> Fs<()> {
        self.with_found(base, path, false, |gate, found| {
            let object = *existing(found)?;
            if object.kind == Kind::Directory {
                gate.demand_sight(&found.place)?;
                return Err(Errno::ISDIR.into());
            }
            if found.directory_only {
                return Err(Errno::NOTDIR.into());
            }
            gate.remove(found, &object, Effect::Removed { path: show(&found.place) })
        })
    }

    fn remove(&mut self, found: &Found, object: &Object, effect: Effect) -> Fs<()> {
        let Some(name) = &found.name else { return Err(Errno::INVAL.into()) };
        self.demand(FileRight::Remove, &found.place)?;
        self.take_away(found, object, name, effect)
    }

    /// Removes what may be removed.
    pub(super) fn take_away(&mut self, found: &Found, object: &Object, name: &OsString, effect: Effect) -> Fs<()> {
        self.demand_nothing_protected(&found.place)?;
        self.world.tree.may_change(found.parent)?;
        if object.kind == Kind::Directory {
            self.demand_empty(object)?;
        }
        let remove = |gate: &mut Gate, slot: Option<&_>| gate.world.tree.remove(found.parent, name, object, slot);
        let (number, (), slot) = self.perform(&effect, found.parent, &found.place, remove)?;
        Ok(self.ledger.made(number, effect, image_in(slot.as_ref()), Vec::new())?)
    }

    /// Asked before the effect is declared: what the system refuses is none, when planned and when run.
    fn demand_empty(&mut self, directory: &Object) -> Fs<()> {
        let listing = self.world.tree.list(directory.handle)?;
        let first = self.world.tree.list_next(listing);
        self.world.tree.release(listing);
        match first {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(Errno::ILSEQ) => Err(Errno::NOTEMPTY.into()),
            Err(e) => Err(e.into()),
        }
    }

    /// `EXDEV` from the trash means a mount point inside a folder: say so.
    pub(super) fn across(&mut self, e: Errno, place: &Place) -> FsFault {
        if e != Errno::XDEV || self.world.mount.is_none() {
            return self.spent(e);
        }
        let what = format!("changing {}", show(place));
        let denial = self.denial(
            what,
            "it cannot be moved into the trash of its file system, so no before-image can be kept by a rename",
        );
        self.deny(denial, Errno::XDEV)
    }

    pub(super) fn demand_nothing_protected(&mut self, place: &Place) -> Fs<()> {
        if !self.world.holds_protected(place) {
            return Ok(());
        }
        let what = format!("moving {}", show(place));
        let denial = self.denial(what, "`.unship/` or `policies/` lies in it, which no grant reaches");
        Err(self.deny(denial, Errno::ACCESS))
    }

    /// Gives another name. Needs `files.rename` at the source, `files.create` at the target, `files.remove` on what is
    /// replaced there, and at the source every right that is held at the target.
    ///
    /// # Errors
    /// `EACCES` without the grants, and what POSIX has.
    pub fn rename_at(&mut self, base: Node, path: &str, new_base: Node, new_path: &str) -> Fs<()> {
        self.with_found(base, path, false, |gate, from| {
            gate.with_found(new_base, new_path, false, |gate, to| gate.rename(from, to))
        })
    }

    fn rename(&mut self, from: &Found, to: &Found) -> Fs<()> {
        self.demand(FileRight::Rename, &from.place)?;
        self.demand(FileRight::Create, &to.place)?;
        let object = *existing(from)?;
        let (Some(from_name), Some(to_name)) = (&from.name, &to.name) else { return Err(Errno::BUSY.into()) };
        self.demand_nothing_protected(&from.place)?;
        if from.directory_only && object.kind != Kind::Directory {
            return Err(Errno::NOTDIR.into());
        }
        if to.directory_only && object.kind != Kind::Directory {
            return Err(Errno::NOTDIR.into());
        }
        if let Some(old) = &to.object {
            if old.identity == object.identity {
                return Ok(());
            }
            self.demand(FileRight::Remove, &to.place)?;
            match (object.kind, old.kind) {
                (Kind::Directory, Kind::Directory) => self.demand_empty(old)?,
                (Kind::Directory, _) => return Err(Errno::NOTDIR.into()),
                (_, Kind::Directory) => return Err(Errno::ISDIR.into()),
                _ => {}
            }
        }
        if object.kind == Kind::Directory
            && to.place.folder == from.place.folder
            && to.place.path.starts_with(&from.place.path)
        {
            return Err(Errno::INVAL.into());
        }
        self.demand_no_widening(&from.place, &to.place, &object)?;
        self.world.tree.may_change(from.parent)?;
        self.world.tree.may_change(to.parent)?;
        self.demand_one_file_system(from, to)?;
        let replaced = to.object.is_some();
        let effect = Effect::Renamed { from: show(&from.place), to: show(&to.place), replaced };
        let (source, target) = ((from.parent, from_name), (to.parent, to_name));
        let changed = [(from.parent, &from.place), (to.parent, &to.place)];
        let (number, (), slot) = self.perform_in(&effect, &changed, to.parent, &to.place, |gate, slot| {
            let rename = || gate.world.tree.rename(source, target, to.object.as_ref(), slot);
            marked(slot, &Mark::Move(object.identity.1), rename)
        })?;
        let image = image_in(slot.as_ref().filter(|_| replaced));
        Ok(self.ledger.made(number, effect, image, Vec::new())?)
    }

    /// Asked before the effect is declared, so that planning finds it too.
    fn demand_one_file_system(&mut self, from: &Found, to: &Found) -> Fs<()> {
        let mount = |gate: &mut Gate, found: &Found| {
            let home = gate.world.tree.trash_home(found.parent, &super::parent_of(&found.place));
            home.map(|home| home.mount)
        };
        if mount(self, from)? == mount(self, to)? { Ok(()) } else { Err(Errno::XDEV.into()) }
    }

    /// Makes a hard link. Needs `files.create` at the new name, and at the source every right held there.
    ///
    /// # Errors
    /// `EACCES` without the grants, `EPERM` for a directory.
    pub fn link_at(&mut self, base: Node, path: &str, follow: bool, new_base: Node, new_path: &str) -> Fs<()> {
        self.with_found(base, path, follow, |gate, from| {
            gate.with_found(new_base, new_path, false, |gate, to| {
                gate.demand_sight(&from.place)?;
                let object = *existing(from)?;
                if object.kind == Kind::Directory {
                    return Err(Errno::PERM.into());
                }
                if from.directory_only {
                    return Err(Errno::NOTDIR.into());
                }
                let name = new_name(gate, to)?;
                if to.directory_only {
                    return Err(Errno::NOENT.into());
                }
                gate.demand(FileRight::Create, &to.place)?;
                gate.demand_no_widening(&from.place, &to.place, &object)?;
                gate.world.tree.may_change(to.parent)?;
                gate.demand_one_file_system(from, to)?;
                let effect = Effect::LinkCreated { path: show(&to.place), to: show(&from.place), hard: true };
                let link = |gate: &mut Gate| gate.world.tree.link(&object, to.parent, &name);
                let (number, ()) = gate.perform_new(&effect, to.parent, &to.place, link)?;
                Ok(gate.ledger.made(number, effect, None, Vec::new())?)
            })
        })
    }

    /// Makes a symlink. Needs `files.create`; the target must stay in the folder by its spelling.
    ///
    /// # Errors
    /// `EPERM` for a target that is absolute or leads out, `EACCES` without the grant.
    pub fn symlink_at(&mut self, target: &str, base: Node, path: &str) -> Fs<()> {
        self.with_found(base, path, false, |gate, found| {
            let name = new_name(gate, found)?;
            if found.directory_only {
                return Err(Errno::NOENT.into());
            }
            gate.demand(FileRight::Create, &found.place)?;
            if leads_out(&found.place, target) {
                let what = format!("a symlink {} to {}", show(&found.place), path_text(target.as_bytes()));
                let denial =
                    gate.denial(what, "its target leads out of the folder, where other programs would follow it");
                return Err(gate.deny(denial, Errno::PERM));
            }
            gate.world.tree.may_change(found.parent)?;
            let effect =
                Effect::LinkCreated { path: show(&found.place), to: path_text(target.as_bytes()), hard: false };
            let link = |gate: &mut Gate| gate.world.tree.symlink(target, found.parent, &name);
            let (number, ()) = gate.perform_new(&effect, found.parent, &found.place, link)?;
            Ok(gate.ledger.made(number, effect, None, Vec::new())?)
        })
    }

    /// Where a symlink points to. Needs `files.read` on it.
    ///
    /// # Errors
    /// `EACCES` without the grant, `EINVAL` for what is no symlink.
    pub fn readlink_at(&mut self, base: Node, path: &str) -> Fs<String> {
        self.with_found(base, path, false, |gate, found| {
            gate.demand(FileRight::Read, &found.place)?;
            let object = *existing(found)?;
            if object.kind != Kind::Symlink {
                return Err(Errno::INVAL.into());
            }
            let target = gate.world.tree.read_link(&object)?;
            let target = String::from_utf8(target).map_err(|_| Errno::ILSEQ)?;
            if target.starts_with('/') {
                return Err(Errno::PERM.into());
            }
            Ok(target)
        })
    }
}

fn existing(found: &Found) -> Fs<&Object> {
    found.object.as_ref().ok_or(FsFault::Errno(Errno::NOENT))
}

/// The name for something new; what exists already may be known only to who may see it.
fn new_name(gate: &mut Gate, found: &Found) -> Fs<OsString> {
    match (&found.name, &found.object) {
        (Some(name), None) => Ok(name.clone()),
        _ => {
            gate.demand_sight(&found.place)?;
            Err(Errno::EXIST.into())
        }
    }
}

pub(super) fn leads_out(place: &Place, target: &str) -> bool {
    let mut depth = place.path.components().count().saturating_sub(1);
    target.starts_with('/')
        || target.split('/').any(|part| match part {
            "" | "." => false,
            ".." => match depth.checked_sub(1) {
                Some(up) => {
                    depth = up;
                    false
                }
                None => true,
            },
            _ => {
                depth += 1;
                false
            }
        })
}
