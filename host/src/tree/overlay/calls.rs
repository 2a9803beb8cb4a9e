//! [`Tree`] over the nodes: each call of the gate, on the upper layer or through to the disk.

use super::{Body, Content, Id, OverlayTree};
use crate::{
    gate::{Entry, Kind, NewTime, Stat},
    tree::{
        Found, Handle, Object, PIECE, Source, Sys, Tree, live,
        metadata::set_executable,
        split,
        trash::{TrashHome, TrashSlot},
    },
};
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{self, Access, OFlags},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::SystemTime,
};
use unship_policy::Place;

impl Tree for OverlayTree {
    fn root(&mut self, folder: &str) -> Sys<Handle> {
        let id = self.folders.iter().find(|(name, ..)| name == folder).map(|(.., id)| *id).ok_or(Errno::NOENT)?;
        Ok(self.add(id, None))
    }

    fn release(&mut self, handle: Handle) {
        self.handles.remove(&handle);
    }

    fn find(&mut self, base: Handle, path: &str, follow: bool) -> Sys<Found> {
        let split = split(path)?;
        let base = self.id(base)?;
        self.place_of(base)?;
        let (parent, name, id) = self.walk(base, path, follow || split.directory_only)?;
        // A path that ends in `.` or `..` is a directory's own, not a name's.
        let (parent, name) = match (split.name, id) {
            (Some(_), _) => (parent, name),
            (None, None) => return Err(Errno::NOENT),
            (None, Some(id)) if self.kind(id) == Kind::Directory => (self.nodes[id].parent, None),
            (None, Some(_)) => return Err(Errno::NOTDIR),
        };
        let place = match (&name, id) {
            (Some(name), _) => {
                let mut place = self.place_of(parent)?;
                place.path.push(name);
                place
            }
            (None, Some(id)) => self.place_of(id)?,
            (None, None) => return Err(Errno::NOENT),
        };
        let object = match id {
            None => None,
            Some(id) => {
                let stat = self.node_stat(id)?;
                let handle = self.add(id, name.clone().map(|name| (parent, name)));
                Some(Object { handle, kind: stat.kind, links: stat.links, identity: stat.identity, size: stat.size })
            }
        };
        let parent = self.add(parent, None);
        Ok(Found { parent, directory_only: split.directory_only || name.is_none(), name, place, object })
    }

    fn may_change(&mut self, directory: Handle) -> Sys<()> {
        self.may(self.id(directory)?, Access::WRITE_OK | Access::EXEC_OK)
    }

    fn place(&mut self, handle: Handle) -> Sys<Place> {
        self.place_of_handle(handle)
    }

    fn stat(&mut self, handle: Handle) -> Sys<Stat> {
        self.node_stat(self.id(handle)?)
    }

    fn open(&mut self, object: &Object, write: bool) -> Sys<Handle> {
        let id = self.id(object.handle)?;
        match self.kind(id) {
            Kind::File | Kind::Directory => self.may(id, if write { Access::WRITE_OK } else { Access::READ_OK })?,
            Kind::Symlink | Kind::Other => return Err(Errno::PERM),
        }
        let at = self.handles.get(&object.handle).and_then(|open| open.at.clone());
        Ok(self.add(id, at))
    }

    fn create(&mut self, parent: Handle, name: &OsString) -> Sys<Handle> {
        let dir = self.id(parent)?;
        if self.entry(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let file = self.scratch_file()?;
        let id = self.make(self.nodes[dir].folder, dir, name, Body::File(Content::Upper(file)));
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(self.add(id, Some((dir, name.clone()))))
    }

    fn read(&mut self, handle: Handle, len: usize, offset: u64) -> Sys<Vec<u8>> {
        let id = self.id(handle)?;
        let mut buffer = vec![0; len.min(PIECE)];
        let node = &self.nodes[id];
        let read = match &node.body {
            Body::File(Content::Upper(file)) => rustix::io::pread(file, &mut buffer[..], offset)?,
            Body::File(Content::Lower(path)) => {
                let fd = self.lower(node.folder, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                rustix::io::pread(&fd, &mut buffer[..], offset)?
            }
            Body::Dir { .. } => return Err(Errno::ISDIR),
            _ => return Err(Errno::BADF),
        };
        buffer.truncate(read);
        Ok(buffer)
    }

    fn write(&mut self, handle: Handle, data: &[u8], offset: u64) -> Sys<usize> {
        let id = self.id(handle)?;
        self.copy_up(id, u64::MAX)?;
        let piece = &data[..data.len().min(PIECE)];
        self.spend(piece.len() as u64)?;
        let written = rustix::io::pwrite(self.upper(id)?, piece, offset)?;
        self.touch(id);
        Ok(written)
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Sys<()> {
        let id = self.id(handle)?;
        self.copy_up(id, size)?;
        fs::ftruncate(self.upper(id)?, size)?;
        self.touch(id);
        Ok(())
    }

    fn sync(&mut self, handle: Handle, _data_only: bool) -> Sys<()> {
        self.id(handle).map(|_| ())
    }

    fn set_times(&mut self, handle: Handle, accessed: NewTime, modified: NewTime) -> Sys<()> {
        let id = self.id(handle)?;
        self.may_set_times(id)?;
        let new = |time, old| match time {
            NewTime::Keep => old,
            NewTime::Now => Some(SystemTime::now()),
            NewTime::At(at) => SystemTime::UNIX_EPOCH.checked_add(at),
        };
        let node = &mut self.nodes[id];
        node.accessed = new(accessed, node.accessed);
        node.modified = new(modified, node.modified);
        Ok(())
    }

    fn make_dir(&mut self, parent: Handle, name: &OsString) -> Sys<()> {
        let dir = self.id(parent)?;
        if self.entry(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let body = Body::Dir { lower: None, changed: BTreeMap::new() };
        let id = self.make(self.nodes[dir].folder, dir, name, body);
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(())
    }

    fn remove(&mut self, parent: Handle, name: &OsString, object: &Object, _trash: Option<&TrashSlot>) -> Sys<()> {
        let (dir, id) = (self.id(parent)?, self.id(object.handle)?);
        if object.kind == Kind::Directory && !self.is_empty(id)? {
            return Err(Errno::NOTEMPTY);
        }
        self.detach(dir, name, id);
        Ok(())
    }

    fn rename(
        &mut self,
        from: (Handle, &OsString),
        to: (Handle, &OsString),
        replacing: Option<&Object>,
        _trash: Option<&TrashSlot>,
    ) -> Sys<()> {
        let (from_dir, to_dir) = (self.id(from.0)?, self.id(to.0)?);
        let id = self.entry(from_dir, from.1)?.ok_or(Errno::NOENT)?;
        if self.is_below(to_dir, id) {
            return Err(Errno::INVAL);
        }
        if let Some(old) = replacing {
            let old_id = self.id(old.handle)?;
            match (self.kind(id), old.kind) {
                (Kind::Directory, Kind::Directory) if !self.is_empty(old_id)? => return Err(Errno::NOTEMPTY),
                (Kind::Directory, Kind::Directory) => {}
                (Kind::Directory, _) => return Err(Errno::NOTDIR),
                (_, Kind::Directory) => return Err(Errno::ISDIR),
                _ => {}
            }
            self.detach(to_dir, to.1, old_id);
        } else if self.entry(to_dir, to.1)?.is_some() {
            return Err(Errno::EXIST);
        }
        self.set_entry(from_dir, from.1, None);
        self.set_entry(to_dir, to.1, Some(id));
        // Only the place in the tree changes; where its content lies on disk is remembered by path below its own folder.
        let node = &mut self.nodes[id];
        if node.removed || (node.parent == from_dir && node.name == *from.1) {
            node.parent = to_dir;
            to.1.clone_into(&mut node.name);
            node.removed = false;
        }
        let moved = |at: &&mut (Id, OsString)| at.0 == from_dir && at.1 == *from.1;
        let at =
            self.handles.values_mut().filter(|open| open.node == id && !open.is_gone).filter_map(|o| o.at.as_mut());
        for at in at.filter(moved) {
            *at = (to_dir, to.1.clone());
        }
        self.touch(from_dir);
        self.touch(to_dir);
        Ok(())
    }

    fn link(&mut self, object: &Object, parent: Handle, name: &OsString) -> Sys<()> {
        let (dir, id) = (self.id(parent)?, self.id(object.handle)?);
        if self.entry(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        // Both names lead to one node, whose own place stays the first name's; handles know by which name they came.
        self.nodes[id].extra_links += 1;
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(())
    }

    fn symlink(&mut self, target: &str, parent: Handle, name: &OsString) -> Sys<()> {
        let dir = self.id(parent)?;
        if self.entry(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let id = self.make(self.nodes[dir].folder, dir, name, Body::Symlink(target.as_bytes().to_vec()));
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(())
    }

    fn read_link(&mut self, object: &Object) -> Sys<Vec<u8>> {
        match &self.nodes[self.id(object.handle)?].body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    fn replace(
        &mut self,
        parent: Handle,
        name: &OsString,
        _temp: &OsString,
        content: Source<'_>,
        old: Option<&Object>,
        _trash: Option<&TrashSlot>,
    ) -> Sys<Handle> {
        let dir = self.id(parent)?;
        let folder = self.nodes[dir].folder;
        let new = match content {
            Source::Bytes(bytes) | Source::Blob { bytes, .. } => {
                let file = self.scratch_file()?;
                self.spend(bytes.len() as u64)?;
                live::write_all(file.as_fd(), bytes, 0)?;
                if let Source::Blob { executable, .. } = content {
                    set_executable(file.as_fd(), executable)?;
                }
                Content::Upper(file)
            }
            Source::Handle(handle) => {
                let source = self.id(handle)?;
                match &self.nodes[source].body {
                    Body::File(Content::Lower(path)) if self.nodes[source].folder == folder => {
                        Content::Lower(path.clone())
                    }
                    Body::File(_) => {
                        let file = self.scratch_file()?;
                        let mut offset = 0;
                        loop {
                            let piece = self.read(handle, PIECE, offset)?;
                            if piece.is_empty() {
                                break;
                            }
                            self.spend(piece.len() as u64)?;
                            live::write_all(file.as_fd(), &piece, offset)?;
                            offset += piece.len() as u64;
                        }
                        Content::Upper(file)
                    }
                    _ => return Err(Errno::BADF),
                }
            }
        };
        if let Some(old) = old {
            let old = self.id(old.handle)?;
            self.detach(dir, name, old);
        } else if self.entry(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let id = self.make(folder, dir, name, Body::File(new));
        self.nodes[id].modified = Some(SystemTime::now());
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(self.add(id, Some((dir, name.clone()))))
    }

    fn clear(
        &mut self,
        parent: Handle,
        name: &OsString,
        _temp: &OsString,
        old: &Object,
        _trash: Option<&TrashSlot>,
    ) -> Sys<()> {
        let (dir, old) = (self.id(parent)?, self.id(old.handle)?);
        // Moving a directory changes its own entry `..`.
        self.may(old, Access::WRITE_OK)?;
        self.nodes[old].removed = true;
        let body = Body::Dir { lower: None, changed: BTreeMap::new() };
        let id = self.make(self.nodes[dir].folder, dir, name, body);
        self.set_entry(dir, name, Some(id));
        self.touch(dir);
        Ok(())
    }

    fn list(&mut self, directory: Handle) -> Sys<Handle> {
        let id = self.id(directory)?;
        let listing = self.names(id)?;
        let handle = self.add(id, None);
        if let Some(open) = self.handles.get_mut(&handle) {
            open.listing = Some(listing);
        }
        Ok(handle)
    }

    fn list_next(&mut self, listing: Handle) -> Sys<Option<Entry>> {
        let open = self.handles.get_mut(&listing).ok_or(Errno::BADF)?;
        open.listing.as_mut().ok_or(Errno::BADF)?.pop_front().transpose()
    }

    fn fd(&self, _handle: Handle) -> Option<BorrowedFd<'_>> {
        None
    }

    fn trash_home(&mut self, directory: Handle, _place: &Place) -> Sys<TrashHome> {
        let mut id = self.id(directory)?;
        loop {
            let node = &self.nodes[id];
            if let Body::Dir { lower: Some(path), .. } | Body::File(Content::Lower(path)) | Body::Other(path) =
                &node.body
            {
                let (name, root, _) = &self.folders[node.folder];
                return TrashHome::of(root.as_fd(), name, path);
            }
            // What the overlay made lies where its directory lies.
            id = node.parent;
        }
    }

    fn disk_path(&mut self, object: &Object) -> Sys<PathBuf> {
        let node = &self.nodes[self.id(object.handle)?];
        let (Body::Dir { lower: Some(path), .. } | Body::File(Content::Lower(path)) | Body::Other(path)) = &node.body
        else {
            return Err(Errno::NOENT);
        };
        let fd = self.lower(node.folder, path, OFlags::PATH)?;
        let link = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
        let path = fs::readlink(link, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
    }
}
