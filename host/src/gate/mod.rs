//! The gate: the one place through which every call of a guest passes. It judges what was opened (never the string),
//! writes down, keeps a before-image, and only then does.
//!
//! One gate serves one step. It is synchronous, and every call is bounded: host work comes in pieces of at most 256 KiB,
//! and what can be long (a check of a whole directory, a command) has a limit or a deadline.

mod api;
mod calls;
mod commands;
mod handles;
mod ledger;
mod named;
mod paths;
mod restore;
mod safety;
mod verbs;
mod world;

pub use api::*;
pub use ledger::{Images, RangeImage, RunUse, Written};
pub(crate) use safety::SafetyLook;
pub use world::{Ground, World, WorldError};
pub(crate) use world::{folders_on_disk, store_mount};

use crate::providers::Deadline;
use crate::tree::{
    Found, Handle, Object,
    trash::{Mark, TRASH, TrashHome, TrashSlot},
};
use ledger::{Ledger, Number};
use rustix::io::Errno;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    time::{Duration, SystemTime},
};
use unship_policy::{Denial, FileRight, Grant, Place, meaning::Limits};
use unship_rollback::{DirectoryChange, Effect, Image, Modified, path_text};

pub(crate) type Fs<T> = Result<T, FsFault>;
pub(crate) type Call<T> = Result<T, CallFault>;

/// See the module.
pub struct Gate {
    world: Box<World>,
    grant: Grant,
    ledger: Ledger,
    deadline: Deadline,
    nodes: BTreeMap<Node, OpenNode>,
    listings: BTreeMap<Listing, Handle>,
    next: u32,
    /// Files that this step changes, by identity.
    files: HashMap<(u64, u64), FileInHand>,
    /// Things whose times this step changed, by identity.
    times_changed: HashSet<(u64, u64)>,
    /// Directories whose entries changed, to be flushed when the step ends, with the time that they had before.
    dirty: BTreeMap<Place, Option<Modified>>,
    pinned: Option<Pinned>,
}

/// What the plan fixes for the guest.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    /// The guest's wall clock.
    pub clock: SystemTime,
    /// Seed of its random numbers.
    pub seed: u64,
}

struct OpenNode {
    handle: Handle,
    kind: Kind,
    how: Open,
    /// Where it lay when it was opened, for messages.
    place: Place,
    identity: (u64, u64),
}

/// A file that the step changes: one effect, whatever number of writes.
struct FileInHand {
    number: Number,
    image: Option<Box<dyn RangeImage>>,
    /// Changed since its content was last taken down.
    unsettled: bool,
}

/// How the step's gate is used.
pub enum Use {
    /// Collect what would be done.
    Plan,
    /// Do what the plan says, journalled, with before-images.
    Run(RunUse),
}

impl Gate {
    /// A step's gate.
    pub fn new(world: Box<World>, grant: Grant, limits: Limits, pinned: Pinned, use_: Use) -> Gate {
        let unit = grant.unit().to_owned();
        let ledger = match use_ {
            Use::Plan => Ledger::planning(&unit, &world.run, limits),
            Use::Run(how) => Ledger::running(&unit, &world.run, limits, how),
        };
        Gate::with(world, grant, ledger, Some(pinned))
    }

    /// A gate of `exec`: whole folders, each read-only or not, everything written down in memory.
    ///
    /// # Errors
    /// [`WorldError`] for a folder that cannot be opened.
    pub fn for_exec(dirs: &[(String, PathBuf, bool)], limits: Limits) -> Result<Gate, WorldError> {
        let folders: Vec<(String, PathBuf)> =
            dirs.iter().map(|(guest, path, _)| (guest.clone(), path.clone())).collect();
        let world = World::of_folders(&folders)?;
        let grant =
            Grant::whole_folders(dirs.iter().enumerate().map(|(i, (_, _, read_only))| (format!("dir{i}"), *read_only)));
        let ledger = Ledger::in_memory("exec", limits);
        Ok(Gate::with(Box::new(world), grant, ledger, None))
    }

    /// A gate with no folders and no grants.
    ///
    /// # Panics
    /// Never: an empty world opens nothing.
    pub fn closed(limits: Limits) -> Gate {
        match Gate::for_exec(&[], limits) {
            Ok(gate) => gate,
            Err(_) => unreachable!("a world without folders opens nothing"),
        }
    }

    fn with(world: Box<World>, grant: Grant, ledger: Ledger, pinned: Option<Pinned>) -> Gate {
        let deadline = Deadline::after(ledger.limits().wall);
        Gate {
            world,
            grant,
            ledger,
            deadline,
            nodes: BTreeMap::new(),
            listings: BTreeMap::new(),
            next: 0,
            files: HashMap::new(),
            times_changed: HashSet::new(),
            dirty: BTreeMap::new(),
            pinned,
        }
    }

    /// Ends the step: closes what the guest left open, flushes what it changed, writes down what is still to be written.
    /// `complete`: the step ended well, so nothing that was planned may be missing.
    ///
    /// # Errors
    /// A [`Stop`]: something could not be flushed or written down, or differs from the plan.
    pub fn finish(mut self, complete: bool) -> (Box<World>, Written, Result<(), Stop>) {
        let nodes: Vec<Node> = self.nodes.keys().copied().collect();
        let mut result = Ok(());
        for node in nodes {
            result = result.and(self.close(node));
        }
        let listings: Vec<Listing> = self.listings.keys().copied().collect();
        for listing in listings {
            self.list_close(listing);
        }
        let mut directories = Vec::new();
        if self.ledger.keeps_images() {
            result = result.and(self.flush_directories(&mut directories));
        }
        let (written, finished) = match self.ledger.finish(complete && result.is_ok(), directories) {
            Ok(written) => (written, Ok(())),
            Err((written, stop)) => (written, Err(stop)),
        };
        (self.world, written, result.and(finished))
    }

    /// Brings the changed directories to disk and takes down how they are left.
    fn flush_directories(&mut self, changes: &mut Vec<DirectoryChange>) -> Result<(), Stop> {
        for (place, before) in std::mem::take(&mut self.dirty) {
            let path = if place.path.as_os_str().is_empty() { ".".into() } else { place.path.clone() };
            let Some(path) = path.to_str() else { continue };
            let flushed = self.world.tree.root(&place.folder).and_then(|root| {
                let found = self.world.tree.find(root, path, false);
                self.world.tree.release(root);
                let found = found?;
                let directory = found.object.filter(|object| object.kind == Kind::Directory);
                let flushed = directory.map_or(Ok(None), |object| {
                    self.world.tree.sync(object.handle, false)?;
                    Ok(modified(&self.world.tree.stat(object.handle)?))
                });
                self.forget(&found);
                flushed
            });
            match flushed {
                Ok(left) => changes.extend(before.zip(left).map(|(before, left)| DirectoryChange {
                    path: show(&place),
                    before,
                    left,
                })),
                // The directory itself may have been moved or removed by the same step, and something else be there now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::PERM) => {}
                Err(e) => return Err(Stop::Ledger(format!("{place} could not be brought to disk: {e}"))),
            }
        }
        Ok(())
    }

    /// The limits of this step.
    pub fn limits(&self) -> &Limits {
        self.ledger.limits()
    }

    /// Wall-clock time that the guest sees, pinned by the plan; `None`: the host's own (exec).
    pub fn pinned_clock(&self) -> Option<SystemTime> {
        self.pinned.map(|p| p.clock)
    }

    /// Seed of the guest's random numbers, pinned by the plan; `None`: the host's own (exec).
    pub fn pinned_seed(&self) -> Option<u64> {
        self.pinned.map(|p| p.seed)
    }

    /// One line (or piece of a line) that the step printed or logged. Counts against the output limit.
    ///
    /// # Errors
    /// [`Stop`] when the limit is reached or the journal cannot be written.
    pub fn log(&mut self, source: LogSource, text: &str) -> Result<(), Stop> {
        let source = match source {
            LogSource::Info => "info",
            LogSource::Warn => "warn",
            LogSource::Stdout => "stdout",
            LogSource::Stderr => "stderr",
        };
        self.ledger.line(source, text)
    }

    /// The folders that the guest sees, with their guest paths.
    pub fn preopens(&mut self) -> Vec<(Node, String)> {
        let folders = self.world.folders.clone();
        let mut opened = Vec::new();
        for (folder, guest) in folders {
            let Ok(handle) = self.world.tree.root(&folder) else { continue };
            let how = Open { read: true, mutate_directory: true, directory: true, ..Open::default() };
            let place = Place { folder, path: PathBuf::new() };
            let node = self.add(OpenNode { handle, kind: Kind::Directory, how, place, identity: (0, 0) });
            opened.push((node, guest));
        }
        opened
    }

    fn add(&mut self, open: OpenNode) -> Node {
        let node = Node(self.next);
        self.next += 1;
        self.nodes.insert(node, open);
        node
    }

    fn node(&self, node: Node) -> Fs<&OpenNode> {
        self.nodes.get(&node).ok_or(FsFault::Errno(Errno::BADF))
    }

    fn dir(&self, node: Node) -> Fs<Handle> {
        let open = self.node(node)?;
        if open.kind == Kind::Directory { Ok(open.handle) } else { Err(Errno::NOTDIR.into()) }
    }

    /// Writes a denial down and gives the guest its error.
    fn deny(&mut self, denial: Denial, errno: Errno) -> FsFault {
        match self.ledger.denied(denial) {
            Ok(()) => FsFault::Errno(errno),
            Err(stop) => FsFault::Stop(stop),
        }
    }

    fn denial(&self, what: String, rule: &str) -> Denial {
        Denial { unit: self.grant.unit().to_owned(), what, rule: rule.to_owned() }
    }

    /// Finds a path for a guest's call; a way out of the base is a denial.
    fn find(&mut self, base: Node, path: &str, follow: bool) -> Fs<Found> {
        let handle = self.dir(base)?;
        match self.world.tree.find(handle, path, follow) {
            Ok(found) => {
                if self.world.is_protected(&found.place) {
                    let what = format!("reaching {}", show(&found.place));
                    self.forget(&found);
                    let denial = self.denial(what, "no grant reaches `.unship/` or `policies/`");
                    return Err(self.deny(denial, Errno::ACCESS));
                }
                Ok(found)
            }
            Err(Errno::PERM) => {
                let what = format!("reaching {:?}", path_text(path.as_bytes()));
                let denial = self.denial(what, "the path leads out of its folder");
                Err(self.deny(denial, Errno::PERM))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn forget(&mut self, found: &Found) {
        self.world.tree.release(found.parent);
        if let Some(object) = &found.object {
            self.world.tree.release(object.handle);
        }
    }

    /// Runs `then` on what `path` leads to, and releases it afterwards.
    fn with_found<T>(
        &mut self,
        base: Node,
        path: &str,
        follow: bool,
        then: impl FnOnce(&mut Gate, &Found) -> Fs<T>,
    ) -> Fs<T> {
        let found = self.find(base, path, follow)?;
        let result = then(self, &found);
        self.forget(&found);
        result
    }

    fn demand(&mut self, right: FileRight, place: &Place) -> Fs<()> {
        match self.grant.file(right, place) {
            Ok(()) => {
                if !right.changes() {
                    self.ledger.accessed(right.key(), show(place));
                }
                Ok(())
            }
            Err(denial) => Err(self.deny(denial, Errno::ACCESS)),
        }
    }

    fn demand_sight(&mut self, place: &Place) -> Fs<()> {
        match self.grant.see(place) {
            Ok(()) => {
                self.ledger.accessed("see", show(place));
                Ok(())
            }
            Err(denial) => Err(self.deny(denial, Errno::ACCESS)),
        }
    }

    /// Whether moving or linking what lies at `from` to `to` would widen any right, there or, for a directory, below.
    fn demand_no_widening(&mut self, from: &Place, to: &Place, object: &Object) -> Fs<()> {
        self.demand_same_rights(from, to)?;
        if object.kind == Kind::Directory && self.grant.reaches_below(to) {
            self.demand_no_widening_below(from, to, object)?;
        }
        Ok(())
    }

    fn demand_same_rights(&mut self, from: &Place, to: &Place) -> Fs<()> {
        let (held, wanted) = (self.grant.rights(from), self.grant.rights(to));
        // `create` speaks of names that are not there yet; it says nothing about the content that arrives.
        match wanted.difference(&held).find(|right| **right != FileRight::Create) {
            None => Ok(()),
            Some(right) => {
                let what = format!("moving or linking {} to {}", show(from), show(to));
                let rule = format!(
                    "it would gain `files.{}` there; every right held at the target must be held at the source",
                    right.key()
                );
                let denial = self.denial(what, &rule);
                Err(self.deny(denial, Errno::ACCESS))
            }
        }
    }

    fn demand_no_widening_below(&mut self, from: &Place, to: &Place, object: &Object) -> Fs<()> {
        if self.grant.allows_hard_links(&from.folder) && self.grant.allows_hard_links(&to.folder) {
            // Whole folders: the rights at the top are the rights everywhere below.
            return Ok(());
        }
        let mut looked_at = 0usize;
        let mut todo = vec![(PathBuf::new(), None)];
        while let Some((inside, handle)) = todo.pop() {
            let directory = handle.unwrap_or(object.handle);
            let listing = self.world.tree.list(directory);
            if let Some(handle) = handle {
                self.world.tree.release(handle);
            }
            let listing = listing?;
            loop {
                let entry = match self.world.tree.list_next(listing) {
                    Ok(Some(entry)) => entry,
                    Ok(None) => break,
                    Err(e) => {
                        self.world.tree.release(listing);
                        return Err(e.into());
                    }
                };
                looked_at += 1;
                let below = inside.join(&entry.name);
                let source = Place { folder: from.folder.clone(), path: from.path.join(&below) };
                let target = Place { folder: to.folder.clone(), path: to.path.join(&below) };
                let judged = if looked_at > self.limits().entries_max {
                    Err(Stop::Limit { limit: "entries", allowed: format!("{} entries", self.limits().entries_max) }
                        .into())
                } else {
                    self.demand_same_rights(&source, &target)
                };
                if let Err(fault) = judged {
                    self.world.tree.release(listing);
                    return Err(fault);
                }
                if entry.kind == Kind::Directory && self.grant.reaches_below(&target) {
                    let found = self.world.tree.find(listing, &entry.name, false)?;
                    self.world.tree.release(found.parent);
                    if let Some(object) = found.object {
                        todo.push((below, Some(object.handle)));
                    }
                }
            }
            self.world.tree.release(listing);
        }
        Ok(())
    }

    /// Declares `effect`, which changes an entry of the directory `parent` at `place`, and does it with its part of the
    /// trash at hand. What the system refuses was none.
    fn perform<T>(
        &mut self,
        effect: &Effect,
        parent: Handle,
        place: &Place,
        act: impl FnOnce(&mut Gate, Option<&TrashSlot>) -> Result<T, Errno>,
    ) -> Fs<(Number, T, Option<TrashSlot>)> {
        self.perform_in(effect, &[(parent, place)], parent, place, act)
    }

    /// As [`Gate::perform`], with the entries that change in each directory.
    fn perform_in<T>(
        &mut self,
        effect: &Effect,
        changed: &[(Handle, &Place)],
        parent: Handle,
        place: &Place,
        act: impl FnOnce(&mut Gate, Option<&TrashSlot>) -> Result<T, Errno>,
    ) -> Fs<(Number, T, Option<TrashSlot>)> {
        let number = self.ledger.intend(effect)?;
        let done = self.slot(number, parent, place).and_then(|slot| {
            let mut times = Vec::new();
            for (directory, place) in changed {
                times.extend(self.will_change_in(*directory, place)?);
            }
            let slot = slot.map(|slot| slot.changing(times));
            match act(self, slot.as_ref()) {
                Ok(done) => Ok((done, slot)),
                Err(e) => Err(self.across(e, place)),
            }
        });
        match done {
            Ok((done, slot)) => Ok((number, done, slot)),
            Err(fault) => {
                self.ledger.withdraw(number);
                Err(fault)
            }
        }
    }

    /// As [`Gate::perform`], for a name that was not there.
    fn perform_new<T>(
        &mut self,
        effect: &Effect,
        parent: Handle,
        place: &Place,
        act: impl FnOnce(&mut Gate) -> Result<T, Errno>,
    ) -> Fs<(Number, T)> {
        let performed = self.perform(effect, parent, place, |gate, slot| marked(slot, &Mark::Make, || act(gate)));
        performed.map(|(number, done, _)| (number, done))
    }

    /// The part of the trash that belongs to effect `number`, for a change at `place`; `handle` is its directory or the
    /// thing itself. Planning asks too, so that what cannot be kept is refused there and not in the middle of a run.
    fn slot(&mut self, number: Number, handle: Handle, place: &Place) -> Result<Option<TrashSlot>, FsFault> {
        let Some(here) = self.world.mount else { return Ok(None) };
        let home = self.world.tree.trash_home(handle, &parent_of(place))?;
        let is_here = home.mount == here;
        if !is_here && !may_keep(&home) {
            let what = format!("changing {}", show(place));
            let rule = format!(
                "it lies on a file system of its own, on which unship cannot keep what goes in {}: make that directory, \
                 with this user as its owner and no rights for others (chmod go=)",
                show(&Place { folder: home.place.folder.clone(), path: home.place.path.join(TRASH) })
            );
            let denial = self.denial(what, &rule);
            return Err(self.deny(denial, Errno::XDEV));
        }
        Ok(self.ledger.slot(number, &home, is_here)?)
    }

    /// A part of the site's own trash, for what is no file.
    fn site_slot(&mut self, number: Number) -> Call<Option<TrashSlot>> {
        if !self.ledger.keeps_images() {
            return Ok(None);
        }
        let site = Place { folder: "site".to_owned(), path: PathBuf::new() };
        let slot = self.world.tree.root(&site.folder).map_err(FsFault::from).and_then(|root| {
            let home = self.world.tree.trash_home(root, &site);
            self.world.tree.release(root);
            Ok(self.ledger.slot(number, &home?, true)?)
        });
        Ok(slot?)
    }

    /// When the directory of `place` was changed last, before an effect changes it; taken down before the step's first.
    fn will_change_in(&mut self, parent: Handle, place: &Place) -> Fs<Option<Modified>> {
        if !self.ledger.keeps_images() {
            return Ok(None);
        }
        let before = modified(&self.world.tree.stat(parent)?);
        self.dirty.entry(parent_of(place)).or_insert(before);
        Ok(before)
    }

    /// The overlay's room is used up: that is the policy's limit, not the guest's business.
    fn spent(&self, e: Errno) -> FsFault {
        match e {
            Errno::DQUOT if self.world.simulated.is_some() => {
                let allowed = format!("{} bytes of planned content", self.limits().images_bytes_max);
                Stop::Limit { limit: "images", allowed }.into()
            }
            e => e.into(),
        }
    }

    /// A name for something half-made, free and telling whose it is. In a run it depends on the effect alone, so that
    /// what a killed run left is found.
    fn temporary_name(&mut self, slot: Option<&TrashSlot>) -> std::ffi::OsString {
        match slot {
            Some(slot) => crate::tree::trash::temporary_name(&self.world.run, &slot.name()).into(),
            None => {
                self.world.temporary += 1;
                format!(".unship-new-{}-{}", std::process::id(), self.world.temporary).into()
            }
        }
    }

    fn remaining(&self, at_most: Duration) -> Deadline {
        self.deadline.min(at_most)
    }
}

/// Writes the mark, then acts; a mark for what came to nothing is taken away again.
fn marked<T>(slot: Option<&TrashSlot>, mark: &Mark, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    if let Some(slot) = slot {
        slot.begin(mark)?;
    }
    let done = act();
    if let (Err(_), Some(slot)) = (&done, slot) {
        slot.withdraw();
    }
    done
}

/// What was there before lies in the trash.
fn image_in(slot: Option<&TrashSlot>) -> Option<Image> {
    slot.map(|slot| Image::Trash { at: slot.at() })
}

/// The directory in which a place is.
pub(crate) fn parent_of(place: &Place) -> Place {
    let parent = place.path.parent().unwrap_or(std::path::Path::new(""));
    Place { folder: place.folder.clone(), path: parent.to_owned() }
}

/// Whether a trash can be had in `home`: one is there that is this user's alone, or this process may make it.
fn may_keep(home: &TrashHome) -> bool {
    use rustix::fs::{Access, AtFlags, FileType, access, statat};
    match statat(&home.dir, TRASH, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && stat.st_uid == rustix::process::geteuid().as_raw()
                && stat.st_mode & 0o077 == 0
        }
        Err(_) => {
            let home = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&home.dir));
            access(home, Access::WRITE_OK | Access::EXEC_OK).is_ok()
        }
    }
}

fn modified(stat: &Stat) -> Option<Modified> {
    let ns = handles::nanoseconds(stat.modified);
    let s = i64::try_from(ns.div_euclid(1_000_000_000)).ok()?;
    Some(Modified { s, ns: u32::try_from(ns.rem_euclid(1_000_000_000)).ok()? })
}

/// A place as people and the journal see it.
pub(crate) fn show(place: &Place) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let path = path_text(place.path.as_os_str().as_bytes());
    let path = if path.is_empty() { ".".to_owned() } else { path };
    // A colon in a path of the site would read as a folder's name.
    if place.folder == "site" && !path.contains(':') { path } else { format!("{}:{path}", place.folder) }
}
