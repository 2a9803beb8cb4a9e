//! Calls on descriptors that the gate gave out: judged when they were opened, so only changes are looked at again.

use super::{
    CallFault, Entry, Fs, FsFault, Gate, Kind, Listing, NewTime, Node, Open, OpenNode, Stat, Stop, marked, show,
};
use crate::tree::{Handle, PIECE, trash::Mark};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::{fs::File, time::SystemTime};
use unship_policy::{Digest, FileRight, Place};
use unship_rollback::{Content, Effect, Image};

/// Files above this size are not read as a whole for their digest.
pub(super) const DIGEST_BYTES_MAX: u64 = 256 << 20;

impl Gate {
    /// Closes a descriptor. The last writer of a file takes down what the file then holds.
    ///
    /// # Errors
    /// [`Stop`] when the content cannot be flushed or read.
    pub fn close(&mut self, node: Node) -> Result<(), Stop> {
        let Some(open) = self.nodes.remove(&node) else { return Ok(()) };
        let others = self.nodes.values().any(|other| other.how.write && other.identity == open.identity);
        let result = if open.how.write && !others { self.settle(&open) } else { Ok(()) };
        self.world.tree.release(open.handle);
        result
    }

    fn settle(&mut self, open: &OpenNode) -> Result<(), Stop> {
        let Some(file) = self.files.get_mut(&open.identity) else { return Ok(()) };
        if !std::mem::take(&mut file.unsettled) {
            return Ok(());
        }
        let number = file.number;
        if self.ledger.keeps_images() {
            let synced = self.world.tree.sync(open.handle, true);
            synced.map_err(|e| Stop::Ledger(format!("{} could not be brought to disk: {e}", show(&open.place))))?;
        }
        match self.content(open.handle) {
            Ok(content) => {
                self.ledger.settle(number, content);
                Ok(())
            }
            Err(FsFault::Stop(stop)) => Err(stop),
            Err(FsFault::Errno(e)) => Err(Stop::Ledger(format!("{} could not be read again: {e}", show(&open.place)))),
        }
    }

    /// Size and digest of what a handle leads to.
    pub(super) fn content(&mut self, handle: Handle) -> Fs<Content> {
        let size = self.world.tree.stat(handle)?.size;
        if size > DIGEST_BYTES_MAX {
            return Ok(Content { size, digest: None });
        }
        let mut hash = Sha256::new();
        let mut offset = 0;
        loop {
            self.in_time()?;
            let piece = self.world.tree.read(handle, PIECE, offset)?;
            if piece.is_empty() {
                break;
            }
            hash.update(&piece);
            offset += piece.len() as u64;
        }
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Content { size: offset, digest: Digest::parse(&hex) })
    }

    pub(super) fn in_time(&self) -> Result<(), Stop> {
        if self.deadline.remaining().is_zero() {
            return Err(Stop::Limit { limit: "wall", allowed: format!("{:?}", self.limits().wall) });
        }
        Ok(())
    }

    /// What the descriptor is.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn kind(&self, node: Node) -> Fs<Kind> {
        self.node(node).map(|open| open.kind)
    }

    /// The flags that the node was opened with.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn opened(&self, node: Node) -> Fs<Open> {
        self.node(node).map(|open| open.how)
    }

    /// At most 256 KiB a call; empty at the end of the file.
    ///
    /// # Errors
    /// `EBADF` for a descriptor that is not for reading, `EISDIR` for a directory.
    pub fn read(&mut self, node: Node, len: usize, offset: u64) -> Fs<Vec<u8>> {
        let open = self.node(node)?;
        match (open.kind, open.how.read) {
            (Kind::Directory, _) => Err(Errno::ISDIR.into()),
            (_, false) => Err(Errno::BADF.into()),
            _ => Ok(self.world.tree.read(open.handle, len, offset)?),
        }
    }

    /// The first change of a file in this step: intent, and an image of what is about to go.
    fn before_change(&mut self, node: Node, offset: u64, len: u64) -> Fs<Handle> {
        let open = self.node(node)?;
        if open.kind == Kind::Directory {
            return Err(Errno::ISDIR.into());
        }
        if !open.how.write {
            return Err(Errno::BADF.into());
        }
        let (handle, identity) = (open.handle, open.identity);
        if !self.files.contains_key(&identity) {
            let place = self.place_now(handle)?;
            let effect = Effect::FileWritten { path: show(&place), content: None };
            let number = self.ledger.intend(&effect)?;
            let begun = self
                .slot(number, handle, &place)
                .and_then(|slot| Ok(marked(slot.as_ref(), &Mark::Write(identity.1), || Ok(()))?));
            if let Err(fault) = begun {
                self.ledger.withdraw(number);
                return Err(fault);
            }
            let image = match self.disk_file(handle) {
                Some(file) => self.ledger.ranges(number, &file)?,
                None => None,
            };
            let named = image.as_ref().map(|image| Image::Ranges { at: image.at() });
            self.ledger.made(number, effect, named, Vec::new())?;
            self.files.insert(identity, super::FileInHand { number, image, unsettled: true });
        }
        let disk = self.disk_file(handle);
        if let Some(file) = self.files.get_mut(&identity) {
            file.unsettled = true;
            if let (Some(image), Some(disk)) = (&mut file.image, disk) {
                image.save_before_write(&disk, offset, len).map_err(Stop::Ledger)?;
            }
        }
        Ok(handle)
    }

    /// Where a handle's object lies now. What the step removed lies in the trash, which is nowhere for it.
    fn place_now(&mut self, handle: Handle) -> Fs<Place> {
        let place = self.world.tree.place(handle)?;
        if self.world.is_protected(&place) { Err(Errno::NOENT.into()) } else { Ok(place) }
    }

    fn disk_file(&self, handle: Handle) -> Option<File> {
        if !self.ledger.keeps_images() {
            return None;
        }
        self.world.tree.fd(handle).and_then(|fd| fd.try_clone_to_owned().ok()).map(File::from)
    }

    /// Writes all of `data` (the caller passes at most 256 KiB).
    ///
    /// # Errors
    /// `EBADF` for a descriptor that is not for writing; [`Stop`] for limits, plan and journal.
    pub fn write(&mut self, node: Node, data: &[u8], offset: u64) -> Fs<u64> {
        offset.checked_add(data.len() as u64).filter(|end| i64::try_from(*end).is_ok()).ok_or(Errno::FBIG)?;
        if data.is_empty() {
            let open = self.node(node)?;
            return if open.how.write { Ok(0) } else { Err(Errno::BADF.into()) };
        }
        self.ledger.writing(data.len() as u64)?;
        let handle = self.before_change(node, offset, data.len() as u64)?;
        let mut done = 0;
        while done < data.len() {
            self.in_time()?;
            match self.world.tree.write(handle, &data[done..], offset + done as u64) {
                Ok(0) => return Err(Errno::IO.into()),
                Ok(written) => done += written,
                Err(e) if done == 0 => return Err(self.spent(e)),
                Err(_) => break,
            }
        }
        Ok(done as u64)
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// As [`Gate::write`].
    pub fn append(&mut self, node: Node, data: &[u8]) -> Fs<u64> {
        let handle = self.node(node)?.handle;
        let end = self.world.tree.stat(handle)?.size;
        self.write(node, data, end)
    }

    /// Cuts or extends a file.
    ///
    /// # Errors
    /// As [`Gate::write`].
    pub fn set_size(&mut self, node: Node, size: u64) -> Fs<()> {
        if i64::try_from(size).is_err() {
            return Err(Errno::INVAL.into());
        }
        let open = self.node(node)?;
        if !open.how.write {
            return Err(if open.kind == Kind::Directory { Errno::ISDIR } else { Errno::BADF }.into());
        }
        let old = self.world.tree.stat(open.handle)?.size;
        if old == size {
            return Ok(());
        }
        let handle = self.before_change(node, size.min(old), old.saturating_sub(size))?;
        self.world.tree.set_size(handle, size).map_err(|e| self.spent(e))
    }

    /// Brings a file to disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self, node: Node, data_only: bool) -> Fs<()> {
        let handle = self.node(node)?.handle;
        Ok(self.world.tree.sync(handle, data_only)?)
    }

    /// Metadata of what the descriptor leads to.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn stat(&mut self, node: Node) -> Fs<Stat> {
        let handle = self.node(node)?.handle;
        Ok(self.world.tree.stat(handle)?)
    }

    /// Changes times of what the descriptor leads to. Needs `files.write` on it.
    ///
    /// # Errors
    /// `EACCES` without the grant; [`Stop`] for limits, plan and journal.
    pub fn set_times(&mut self, node: Node, accessed: NewTime, modified: NewTime) -> Fs<()> {
        let handle = self.node(node)?.handle;
        self.change_times(handle, accessed, modified)
    }

    pub(super) fn change_times(&mut self, handle: Handle, accessed: NewTime, modified: NewTime) -> Fs<()> {
        let place = self.place_now(handle)?;
        self.demand(FileRight::Write, &place)?;
        if matches!((accessed, modified), (NewTime::Keep, NewTime::Keep)) {
            return Ok(());
        }
        let before = self.world.tree.stat(handle)?;
        let effect = Effect::MetadataChanged { path: show(&place) };
        // Several changes of one thing in one step are one effect.
        let known = self.times_changed.contains(&before.identity);
        if known {
            return Ok(self.world.tree.set_times(handle, accessed, modified)?);
        }
        let number = self.ledger.intend(&effect)?;
        let slot = self.slot(number, handle, &place)?;
        let mark = Mark::Times(nanoseconds(before.accessed), nanoseconds(before.modified));
        if let Err(e) = marked(slot.as_ref(), &mark, || self.world.tree.set_times(handle, accessed, modified)) {
            self.ledger.withdraw(number);
            return Err(e.into());
        }
        self.times_changed.insert(before.identity);
        let since = |time: Option<SystemTime>| {
            time.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
                .map_or_else(|| "?".to_owned(), |d| format!("{d:?}"))
        };
        let was = format!("accessed {} modified {} since the epoch", since(before.accessed), since(before.modified));
        Ok(self.ledger.made(number, effect, Some(Image::Value { was }), Vec::new())?)
    }

    /// Starts a listing (without `.` and `..`). Needs `files.list` or `files.read` on the directory, where it lies now.
    ///
    /// # Errors
    /// `EACCES` without the grant, `ENOTDIR`.
    pub fn list_open(&mut self, node: Node) -> Fs<Listing> {
        let handle = self.dir(node)?;
        let place = self.world.tree.place(handle)?;
        if self.world.is_protected(&place) {
            let denial = self.denial(format!("listing {}", show(&place)), "no grant reaches `.unship/` or `policies/`");
            return Err(self.deny(denial, Errno::ACCESS));
        }
        self.demand(FileRight::List, &place)?;
        let handle = self.world.tree.list(handle)?;
        let listing = Listing(self.next);
        self.next += 1;
        self.listings.insert(listing, handle);
        Ok(listing)
    }

    /// The next entry.
    ///
    /// # Errors
    /// `EBADF`; `EILSEQ` for a name that is not UTF-8, after which the listing goes on.
    pub fn list_next(&mut self, listing: Listing) -> Fs<Option<Entry>> {
        let handle = *self.listings.get(&listing).ok_or(Errno::BADF)?;
        Ok(self.world.tree.list_next(handle)?)
    }

    /// Ends a listing.
    pub fn list_close(&mut self, listing: Listing) {
        if let Some(handle) = self.listings.remove(&listing) {
            self.world.tree.release(handle);
        }
    }
}

impl From<FsFault> for CallFault {
    fn from(fault: FsFault) -> CallFault {
        match fault {
            FsFault::Stop(stop) => CallFault::Stop(stop),
            FsFault::Errno(e) => CallFault::Refused(super::Refusal::Failed(std::io::Error::from(e).to_string())),
        }
    }
}

/// Since 1970; negative before.
pub(super) fn nanoseconds(time: Option<SystemTime>) -> i128 {
    let Some(time) = time else { return 0 };
    let signed = |d: std::time::Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => signed(since),
        Err(before) => -signed(before.duration()),
    }
}
