//! Small trees of every kind of thing: made from a description, and looked at by what promise 5 says comes back.

use proptest::prelude::*;
use rustix::fs::{self as sys, AtFlags, SeekFrom, Timespec, Timestamps, XattrFlags};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Paths that things are made at and that guests name. The first ones are the most frequent.
pub const POOL: [&str; 24] = [
    "a",
    "b",
    "d",
    "d/a",
    "d/b",
    "d/e",
    "d/e/a",
    "d/e/f",
    "k.json",
    "d/k.json",
    ".h",
    ".h/.i",
    "n",
    "n/m",
    "l",
    "d/l",
    "x\ny",
    "d/q:r",
    "s\\t \u{202e}",
    "v {run}",
    "n/a",
    "d/e/f/g",
    "deep/1/2",
    "d/{run}",
];

/// Where symlinks lead.
pub const TARGETS: [&str; 7] = ["a", "d", "../a", "d/e", "nowhere", "d/l", "."];

const TIMES: [(i64, i64); 4] = [(1_000_000_000, 123_456_789), (-5, 7), (0, 0), (1_600_000_000, 999_999_999)];

/// One thing to be made; what cannot be made there is left out.
#[derive(Debug, Clone)]
pub enum What {
    File { size: u32, sparse: bool, mode: u8, labelled: bool },
    Dir { mode: u8, foreign: bool },
    Symlink(u8),
    Hard(u8),
}

pub type Spec = Vec<(u8, What)>;

pub fn any_path() -> impl Strategy<Value = u8> {
    prop_oneof![3 => 0..8u8, 2 => 0..16u8, 1 => 0..POOL.len() as u8]
}

pub fn any_size() -> impl Strategy<Value = u32> {
    prop_oneof![2 => 0..3u32, 6 => 0..300u32, 2 => 0..200_000u32]
}

pub fn any_spec() -> impl Strategy<Value = Spec> {
    let file = (any_size(), proptest::bool::weighted(0.2), 0..4u8, any::<bool>())
        .prop_map(|(size, sparse, mode, labelled)| What::File { size, sparse, mode, labelled });
    let dir = (0..3u8, proptest::bool::weighted(0.2)).prop_map(|(mode, foreign)| What::Dir { mode, foreign });
    let link = (0..TARGETS.len() as u8).prop_map(What::Symlink);
    let what = prop_oneof![5 => file, 3 => dir, 1 => link, 2 => any_path().prop_map(What::Hard)];
    proptest::collection::vec((any_path(), what), 0..10)
}

pub fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i as u8).wrapping_mul(31) ^ seed.wrapping_add((i >> 8) as u8) | 1).collect()
}

/// Makes what `spec` says below `root`.
pub fn build(root: &Path, spec: &Spec) {
    let mut made = Vec::new();
    for (index, (at, what)) in spec.iter().enumerate() {
        let path = root.join(POOL[usize::from(*at)]);
        let parent = path.parent().expect("below the root");
        if fs::create_dir_all(parent).is_err() || path.symlink_metadata().is_ok() {
            continue;
        }
        match what {
            What::File { size, sparse, mode, labelled } => {
                let file = File::create(&path).expect("a file");
                let json = path.extension().is_some_and(|e| e == "json");
                if json {
                    file.write_all_at(b"{ \"x\": \"one\",\n  \"y\": 2 }\n", 0).expect("written");
                } else {
                    file.write_all_at(&bytes(*size as usize, index as u8), 0).expect("written");
                }
                if *sparse && !json {
                    let end = u64::from(*size) + (1 << 20);
                    file.set_len(end + 70_000).expect("a hole");
                    file.write_all_at(b"end", end).expect("written");
                }
                if *labelled {
                    let _ = sys::fsetxattr(&file, "user.label", &[index as u8, 0, 255], XattrFlags::empty());
                }
                let mode = [0o644, 0o444, 0o4755, 0o600][usize::from(*mode)];
                fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
            }
            What::Dir { mode, foreign } => {
                fs::create_dir(&path).expect("a directory");
                if *foreign {
                    fs::write(path.join(OsStr::from_bytes(b"no\xff\xfetext")), "x").expect("written");
                }
                let _ = sys::setxattr(&path, "user.label", b"dir", XattrFlags::empty());
                let mode = [0o755, 0o2775, 0o1777][usize::from(*mode)];
                fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
            }
            What::Symlink(to) => {
                std::os::unix::fs::symlink(TARGETS[usize::from(*to)], &path).expect("a link");
            }
            What::Hard(to) => {
                let to = root.join(POOL[usize::from(*to)]);
                if !to.symlink_metadata().is_ok_and(|m| m.is_file()) {
                    continue;
                }
                fs::hard_link(to, &path).expect("a link");
            }
        }
        made.push(path);
    }
    let mut all = vec![root.to_owned()];
    walk(root, Path::new(""), &mut |inside, _| all.push(root.join(inside)));
    all.sort();
    for (index, path) in all.iter().rev().enumerate() {
        let (tv_sec, tv_nsec) = TIMES[index % TIMES.len()];
        let time = Timespec { tv_sec: tv_sec + index as i64, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        sys::utimensat(sys::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("times");
    }
}

/// Everything below `root/at` by its path from `root`; the store apart.
fn walk(root: &Path, at: &Path, seen: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(root.join(at)).expect("a directory") {
        let inside = at.join(entry.expect("an entry").file_name());
        if inside == Path::new(".unship") {
            continue;
        }
        let metadata = root.join(&inside).symlink_metadata().expect("metadata");
        seen(&inside, &metadata);
        if metadata.is_dir() {
            walk(root, &inside, seen);
        }
    }
}

/// One thing, by all that promise 5 names.
#[derive(Clone, PartialEq, Eq)]
pub struct Thing {
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: (i64, i64),
    /// Of files.
    pub size: u64,
    pub links: u64,
    /// What is no hole, by offset.
    pub data: Vec<(u64, Vec<u8>)>,
    pub labels: BTreeMap<Vec<u8>, Vec<u8>>,
    pub target: Option<PathBuf>,
    /// The first path of the same file.
    pub same_as: PathBuf,
}

impl std::fmt::Debug for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let data: Vec<_> =
            self.data.iter().map(|(at, bytes)| (at, bytes.len(), &bytes[..bytes.len().min(24)])).collect();
        write!(f, "mode {:o} owner {:?} modified {:?} ", self.mode, self.owner, self.modified)?;
        write!(f, "size {} links {} data {data:?} ", self.size, self.links)?;
        write!(f, "labels {:?} target {:?} same as {:?}", self.labels, self.target, self.same_as)
    }
}

pub type Seen = BTreeMap<PathBuf, Thing>;

/// All of `root`, its own times too.
pub fn look(root: &Path) -> Seen {
    let mut groups: HashMap<u64, PathBuf> = HashMap::new();
    let mut paths = vec![PathBuf::new()];
    walk(root, Path::new(""), &mut |inside, _| paths.push(inside.to_owned()));
    paths.sort();
    let mut seen = Seen::new();
    for inside in paths {
        let path = root.join(&inside);
        let metadata = path.symlink_metadata().expect("metadata");
        let same_as = groups.entry(metadata.ino()).or_insert_with(|| inside.clone()).clone();
        let is_file = metadata.is_file();
        let thing = Thing {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: if is_file { metadata.len() } else { 0 },
            links: if is_file { metadata.nlink() } else { 1 },
            data: if is_file { data(&path) } else { Vec::new() },
            labels: labels(&path),
            target: fs::read_link(&path).ok(),
            same_as,
        };
        seen.insert(inside, thing);
    }
    seen
}

fn data(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let file = File::open(path).expect("open");
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Ok(from) = sys::seek(&file, SeekFrom::Data(at)) {
        let to = sys::seek(&file, SeekFrom::Hole(from)).expect("a hole at the end");
        let mut piece = vec![0; usize::try_from(to - from).expect("small")];
        file.read_exact_at(&mut piece, from).expect("read");
        pieces.push((from, piece));
        at = to;
    }
    pieces
}

fn labels(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut names, mut value) = (vec![0u8; 4096], vec![0u8; 4096]);
    let length = sys::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|b| *b == 0).filter(|n| n.starts_with(b"user."));
    let pair = |name: &[u8]| {
        let length = sys::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).expect("a value");
        (name.to_owned(), value[..length].to_vec())
    };
    names.map(pair).collect()
}

/// Forgets the times that come from now, which two runs cannot have in common.
pub fn without_new_times(mut seen: Seen, since: i64) -> Seen {
    for thing in seen.values_mut().filter(|thing| thing.modified.0 >= since) {
        thing.modified = (i64::MAX, 0);
    }
    seen
}

/// The first differences, for a person.
pub fn difference(expected: &Seen, found: &Seen) -> Result<(), String> {
    let mut lines = Vec::new();
    for (path, thing) in expected {
        match found.get(path) {
            None => lines.push(format!("{} is missing: {thing:?}", path.display())),
            Some(now) if now != thing => lines.push(format!("{path:?}\n  was {thing:?}\n  is  {now:?}")),
            Some(_) => {}
        }
    }
    lines.extend(found.keys().filter(|p| !expected.contains_key(*p)).map(|p| format!("{p:?} is new: {:?}", found[p])));
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}
