//! The disk as it would be after the steps planned so far. Reads fall through to the disk; changes go to a private upper
//! layer outside the site; a rename is a redirect, so that planning to move 100 GB copies nothing.
//!
//! Nodes come into being when a path is looked up. A node that nothing changed only remembers where on disk it is; it
//! holds no file open. Paths are resolved here component by component, without the kernel following anything.

mod calls;

use super::metadata::to_stat;
use super::{Handle, PIECE, Sys};
use crate::gate::{Entry, Kind, Stat};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{self, Access, AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ffi::{OsStr, OsString},
    fs::File,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    time::SystemTime,
};
use unship_policy::Place;

/// Links that one look-up follows at most, as Linux has it.
const LINKS_MAX: usize = 40;

type Id = usize;

/// See the module.
pub struct OverlayTree {
    folders: Vec<(String, OwnedFd, Id)>,
    nodes: Vec<Node>,
    handles: HashMap<Handle, Open>,
    next: u32,
    /// The nodes of files that have several names on disk: one file is one node, whichever name led to it.
    linked: HashMap<(u64, u64), Id>,
    /// Where copied and new content goes: a folder outside the site.
    scratch: PathBuf,
    /// Bytes that may still be copied or written there.
    budget: u64,
}

struct Open {
    node: Id,
    /// The name that led to it: a file may have several.
    at: Option<(Id, OsString)>,
    /// That name lies in the trash by now, and the handle leads nowhere, whatever other names the file has: as on disk.
    is_gone: bool,
    /// A listing in progress.
    listing: Option<VecDeque<Sys<Entry>>>,
}

struct Node {
    folder: usize,
    parent: Id,
    name: OsString,
    body: Body,
    /// Its own idea of the modification time, once something changed it.
    modified: Option<SystemTime>,
    accessed: Option<SystemTime>,
    removed: bool,
    extra_links: u64,
}

enum Body {
    Dir {
        /// Where on disk its untouched entries are.
        lower: Option<PathBuf>,
        /// What differs: `None` is a name that is gone.
        changed: BTreeMap<OsString, Option<Id>>,
    },
    File(Content),
    Symlink(Vec<u8>),
    Other(PathBuf),
}

enum Content {
    /// As it lies on disk, relative to the folder.
    Lower(PathBuf),
    /// In the scratch folder, without a name.
    Upper(File),
}

impl OverlayTree {
    /// An overlay over `folders`. Copies and new content go, nameless, into `scratch` (on any file system but inside no
    /// folder of the site), `budget` bytes at most.
    ///
    /// # Errors
    /// The folder that cannot be opened.
    pub fn open(
        folders: impl IntoIterator<Item = (String, PathBuf)>,
        scratch: &Path,
        budget: u64,
    ) -> Result<OverlayTree, (PathBuf, Errno)> {
        let mut tree = OverlayTree {
            folders: Vec::new(),
            nodes: Vec::new(),
            handles: HashMap::new(),
            next: 0,
            linked: HashMap::new(),
            scratch: scratch.to_owned(),
            budget,
        };
        for (name, path) in folders {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = fs::open(&path, flags, Mode::empty()).map_err(|e| (path, e))?;
            let id = tree.nodes.len();
            let body = Body::Dir { lower: Some(PathBuf::new()), changed: BTreeMap::new() };
            tree.nodes.push(Node::new(tree.folders.len(), id, OsString::new(), body));
            tree.folders.push((name, fd, id));
        }
        Ok(tree)
    }

    fn add(&mut self, node: Id, at: Option<(Id, OsString)>) -> Handle {
        let handle = Handle(self.next);
        self.next += 1;
        self.handles.insert(handle, Open { node, at, is_gone: false, listing: None });
        handle
    }

    fn id(&self, handle: Handle) -> Sys<Id> {
        self.handles.get(&handle).map(|open| open.node).ok_or(Errno::BADF)
    }

    fn make(&mut self, folder: usize, parent: Id, name: &OsStr, body: Body) -> Id {
        self.nodes.push(Node::new(folder, parent, name.to_owned(), body));
        self.nodes.len() - 1
    }

    /// The file at `path` below a folder, on disk, through no symlink.
    fn lower(&self, folder: usize, path: &Path, flags: OFlags) -> Sys<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let root = &self.folders[folder].1;
        for _ in 0..64 {
            // With NOFOLLOW a symlink as the last name is opened itself, for looking.
            match fs::openat2(root, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn lower_stat(&self, folder: usize, path: &Path) -> Sys<fs::Stat> {
        let (parent, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => return fs::fstat(&self.folders[folder].1),
        };
        let dir = self.lower(folder, parent, OFlags::PATH | OFlags::DIRECTORY)?;
        fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What `dir` holds under `name`, made a node if it is on disk only.
    fn entry(&mut self, dir: Id, name: &OsStr) -> Sys<Option<Id>> {
        let node = &self.nodes[dir];
        let folder = node.folder;
        let Body::Dir { lower, changed } = &node.body else { return Err(Errno::NOTDIR) };
        if let Some(known) = changed.get(name) {
            return Ok(*known);
        }
        let Some(path) = lower.as_ref().map(|lower| lower.join(name)) else { return Ok(None) };
        let stat = match self.lower_stat(folder, &path) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e),
        };
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let linked = (file_type == FileType::RegularFile && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        if let Some(id) = linked.and_then(|identity| self.linked.get(&identity).copied()) {
            self.set_entry(dir, name, Some(id));
            return Ok(Some(id));
        }
        let body = match file_type {
            FileType::Directory => Body::Dir { lower: Some(path), changed: BTreeMap::new() },
            FileType::RegularFile => Body::File(Content::Lower(path)),
            FileType::Symlink => {
                let dir =
                    self.lower(folder, path.parent().unwrap_or(Path::new("")), OFlags::PATH | OFlags::DIRECTORY)?;
                Body::Symlink(fs::readlinkat(&dir, name, Vec::new())?.into_bytes())
            }
            _ => Body::Other(path),
        };
        let id = self.make(folder, dir, name, body);
        self.set_entry(dir, name, Some(id));
        if let Some(identity) = linked {
            self.linked.insert(identity, id);
        }
        Ok(Some(id))
    }

    fn set_entry(&mut self, dir: Id, name: &OsStr, to: Option<Id>) {
        if let Body::Dir { changed, .. } = &mut self.nodes[dir].body {
            changed.insert(name.to_owned(), to);
        }
    }

    fn touch(&mut self, id: Id) {
        self.nodes[id].modified = Some(SystemTime::now());
    }

    fn kind(&self, id: Id) -> Kind {
        match &self.nodes[id].body {
            Body::Dir { .. } => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Symlink(_) => Kind::Symlink,
            Body::Other(_) => Kind::Other,
        }
    }

    fn node_stat(&self, id: Id) -> Sys<Stat> {
        let node = &self.nodes[id];
        let now = SystemTime::now();
        let fresh = |kind, size| Stat {
            kind,
            links: 1,
            size,
            executable: false,
            accessed: Some(now),
            modified: Some(now),
            changed: Some(now),
            identity: (0, 0),
        };
        let mut stat = match &node.body {
            Body::Dir { lower: Some(path), .. } | Body::Other(path) | Body::File(Content::Lower(path)) => {
                to_stat(&self.lower_stat(node.folder, path)?)
            }
            Body::Dir { lower: None, .. } => fresh(Kind::Directory, 0),
            Body::Symlink(target) => fresh(Kind::Symlink, target.len() as u64),
            Body::File(Content::Upper(file)) => {
                let metadata = file.metadata().map_err(|_| Errno::IO)?;
                let executable = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o100 != 0;
                Stat { executable, ..fresh(Kind::File, metadata.len()) }
            }
        };
        stat.links += node.extra_links;
        stat.modified = node.modified.or(stat.modified);
        stat.accessed = node.accessed.or(stat.accessed);
        // The overlay's own number: a copy keeps the identity of what it was copied from.
        stat.identity = (u64::MAX, id as u64);
        Ok(stat)
    }

    fn place_of(&self, mut id: Id) -> Sys<Place> {
        let mut names = Vec::new();
        while self.nodes[id].parent != id {
            if self.nodes[id].removed {
                return Err(Errno::NOENT);
            }
            names.push(self.nodes[id].name.clone());
            id = self.nodes[id].parent;
        }
        Ok(Place { folder: self.folders[self.nodes[id].folder].0.clone(), path: names.iter().rev().collect() })
    }

    /// Where what a handle leads to lies. A file is known by the name that it was opened by, as the kernel knows it: that name
    /// may move, and whoever takes it away leaves the handle nowhere, whatever other names the file has.
    fn place_of_handle(&self, handle: Handle) -> Sys<Place> {
        let open = self.handles.get(&handle).ok_or(Errno::BADF)?;
        if open.is_gone {
            return Err(Errno::NOENT);
        }
        match &open.at {
            Some((dir, name)) if self.kind(open.node) != Kind::Directory => {
                let mut place = self.place_of(*dir)?;
                place.path.push(name);
                Ok(place)
            }
            // A directory has one name.
            _ => self.place_of(open.node),
        }
    }

    /// Whether the system lets this process have `access` to what lies on disk, as it will ask when the plan is run.
    fn may(&self, id: Id, access: Access) -> Sys<()> {
        let node = &self.nodes[id];
        let (Body::Dir { lower: Some(path), .. } | Body::File(Content::Lower(path))) = &node.body else {
            return Ok(());
        };
        let fd = self.lower(node.folder, path, OFlags::PATH)?;
        let path = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
        fs::accessat(fs::CWD, path, access, AtFlags::empty())
    }

    /// Only its owner gives a thing other times.
    fn may_set_times(&self, id: Id) -> Sys<()> {
        let node = &self.nodes[id];
        let (Body::Dir { lower: Some(path), .. } | Body::File(Content::Lower(path)) | Body::Other(path)) = &node.body
        else {
            return Ok(());
        };
        let me = rustix::process::geteuid();
        let owner = self.lower_stat(node.folder, path)?.st_uid;
        if me.is_root() || me.as_raw() == owner { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Walks `path` from `base`; the last name is followed if it is a symlink and `follow` says so.
    fn walk(&mut self, base: Id, path: &str, follow: bool) -> Sys<(Id, Option<OsString>, Option<Id>)> {
        let mut todo: VecDeque<OsString> =
            path.split('/').filter(|p| !p.is_empty() && *p != ".").map(OsString::from).collect();
        let mut stack = vec![base];
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let here = *stack.last().ok_or(Errno::PERM)?;
            if name == ".." {
                if stack.len() == 1 {
                    return Err(Errno::PERM);
                }
                stack.pop();
                continue;
            }
            let last = todo.is_empty();
            let Some(id) = self.entry(here, &name)? else {
                return if last { Ok((here, Some(name), None)) } else { Err(Errno::NOENT) };
            };
            match &self.nodes[id].body {
                Body::Symlink(target) if !last || follow => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    if target.first() == Some(&b'/') {
                        return Err(Errno::PERM);
                    }
                    let parts: Vec<&[u8]> =
                        target.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
                    for part in parts.into_iter().rev() {
                        todo.push_front(OsStr::from_bytes(part).to_owned());
                    }
                }
                Body::Dir { .. } if !last => stack.push(id),
                _ if last => return Ok((here, Some(name), Some(id))),
                _ => return Err(Errno::NOTDIR),
            }
        }
        let here = *stack.last().ok_or(Errno::PERM)?;
        Ok((self.nodes[here].parent, None, Some(here)))
    }

    fn spend(&mut self, bytes: u64) -> Sys<()> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Errno::DQUOT)?;
        Ok(())
    }

    fn scratch_file(&self) -> Sys<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        fs::open(&self.scratch, flags, Mode::from_raw_mode(0o600)).map(File::from)
    }

    /// Makes a file's content ours, copying what it has on disk (holes stay holes) up to `keep` bytes.
    fn copy_up(&mut self, id: Id, keep: u64) -> Sys<()> {
        let node = &self.nodes[id];
        let Body::File(Content::Lower(path)) = &node.body else { return Ok(()) };
        let source = File::from(self.lower(node.folder, path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let size = source.metadata().map_err(|_| Errno::IO)?.len().min(keep);
        let copy = self.scratch_file()?;
        fs::ftruncate(&copy, size)?;
        let mut at = 0;
        while at < size {
            let data = match fs::seek(&source, fs::SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(e) => return Err(e),
            };
            let hole = fs::seek(&source, fs::SeekFrom::Hole(data))?.min(size);
            let mut offset = data;
            while offset < hole {
                let mut buffer = vec![0; PIECE.min(usize::try_from(hole - offset).unwrap_or(PIECE))];
                let read = source.read_at(&mut buffer, offset).map_err(|_| Errno::IO)?;
                if read == 0 {
                    break;
                }
                self.spend(read as u64)?;
                super::live::write_all(copy.as_fd(), &buffer[..read], offset)?;
                offset += read as u64;
            }
            at = hole.max(data + 1);
        }
        self.nodes[id].body = Body::File(Content::Upper(copy));
        Ok(())
    }

    fn upper(&self, id: Id) -> Sys<&File> {
        match &self.nodes[id].body {
            Body::File(Content::Upper(file)) => Ok(file),
            _ => Err(Errno::BADF),
        }
    }

    fn detach(&mut self, dir: Id, name: &OsStr, id: Id) {
        self.set_entry(dir, name, None);
        let node = &mut self.nodes[id];
        // A name in the trash still counts as one of the file's links, as it does on disk.
        node.removed |= node.parent == dir && node.name == name;
        for open in self.handles.values_mut().filter(|open| open.node == id) {
            open.is_gone |= open.at.as_ref().is_some_and(|(at, as_name)| *at == dir && as_name == name);
        }
        self.touch(dir);
    }

    /// The names of a directory, the disk's and the changed ones.
    fn names(&mut self, dir: Id) -> Sys<VecDeque<Sys<Entry>>> {
        let node = &self.nodes[dir];
        let Body::Dir { lower, changed } = &node.body else { return Err(Errno::NOTDIR) };
        let mut entries = VecDeque::new();
        let entry = |name: &OsStr, kind| match name.to_str() {
            Some(name) => Ok(Entry { name: name.to_owned(), kind }),
            None => Err(Errno::ILSEQ),
        };
        for (name, id) in changed {
            if let Some(id) = id {
                entries.push_back(entry(name, self.kind(*id)));
            }
        }
        if let Some(path) = lower {
            let fd = self.lower(node.folder, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            for found in fs::Dir::read_from(fd)? {
                let found = found?;
                let name = OsStr::from_bytes(found.file_name().to_bytes());
                if name == "." || name == ".." || changed.contains_key(name) {
                    continue;
                }
                let kind = match found.file_type() {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Directory,
                    FileType::Symlink => Kind::Symlink,
                    _ => Kind::Other,
                };
                entries.push_back(entry(name, kind));
            }
        }
        Ok(entries)
    }

    fn is_empty(&mut self, dir: Id) -> Sys<bool> {
        Ok(self.names(dir)?.is_empty())
    }

    fn is_below(&self, mut id: Id, ancestor: Id) -> bool {
        loop {
            if id == ancestor {
                return true;
            }
            if self.nodes[id].parent == id {
                return false;
            }
            id = self.nodes[id].parent;
        }
    }
}

impl Node {
    fn new(folder: usize, parent: Id, name: OsString, body: Body) -> Node {
        Node { folder, parent, name, body, modified: None, accessed: None, removed: false, extra_links: 0 }
    }
}
