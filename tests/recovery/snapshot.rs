//! A tree as promise 5 speaks of it: names, content, mode, owner, attributes, times of modification, link targets,
//! hard-link groups and holes. Not ctime, atime, inode numbers and sizes of directories.

use rustix::fs::{FileType, OFlags, SeekFrom};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// What is said of times.
#[derive(Clone, Copy)]
pub enum Times {
    /// Each to the nanosecond.
    Exact,
    /// Those before this one to the nanosecond; of the others, that they are new.
    Before(SystemTime),
}

/// One line a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// What lies below `root`, without `.unship` and `live`. The id of the `run` is read as `{run}`.
    pub fn of(root: &Path, live: &[&str], times: Times, run: Option<&str>) -> Snapshot {
        let named = |text: String| run.map_or_else(|| text.clone(), |run| text.replace(run, "{run}"));
        let mut found = Vec::new();
        let mut todo = vec![root.to_owned()];
        while let Some(path) = todo.pop() {
            let name = path.strip_prefix(root).expect("below").to_owned();
            let left_out = |out: &str| name == Path::new(out);
            if live.iter().copied().chain([".unship"]).any(left_out) {
                continue;
            }
            if fs::symlink_metadata(&path).expect("metadata").is_dir() {
                todo.extend(fs::read_dir(&path).expect("entries").map(|entry| entry.expect("entry").path()));
            }
            found.push((named(escaped(name.as_os_str().as_bytes())), path));
        }
        found.sort();
        // The first name of each inode stands for its group.
        let mut groups: BTreeMap<u64, String> = BTreeMap::new();
        let lines = found.into_iter().map(|(name, path)| {
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let group = groups.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
            let of_file =
                if metadata.is_dir() { String::new() } else { format!(" links {} of {group}", metadata.nlink()) };
            let line = format!(
                "mode {:o} owner {}:{}{of_file} modified {} {} {}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                time(&metadata, times),
                attributes(&path, &metadata),
                named(content(&path, &metadata)),
            );
            (name, line)
        });
        Snapshot(lines.collect())
    }

    /// The same, not speaking of one path.
    pub fn without(mut self, name: &str) -> Snapshot {
        assert!(self.0.remove(name).is_some(), "there is no {name:?}");
        self
    }

    /// Demands that `found` is the same; shows what is not.
    #[track_caller]
    pub fn demand(&self, found: &Snapshot) {
        let difference = self.difference(found);
        assert!(difference.is_empty(), "the site is not as it must be:\n{}", difference.join("\n"));
    }

    fn difference(&self, found: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.0.keys().chain(found.0.keys().filter(|name| !self.0.contains_key(*name))) {
            let (wanted, is) = (self.0.get(name), found.0.get(name));
            if wanted != is {
                lines.push(format!("{name}\n  wanted {wanted:?}\n  found  {is:?}"));
            }
        }
        lines
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn time(metadata: &fs::Metadata, times: Times) -> String {
    let exact = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    let Times::Before(latest) = times else { return exact };
    let modified =
        SystemTime::UNIX_EPOCH + Duration::new(metadata.mtime().unsigned_abs(), metadata.mtime_nsec() as u32);
    if modified > latest { "since".to_owned() } else { exact }
}

fn attributes(path: &Path, metadata: &fs::Metadata) -> String {
    if metadata.is_symlink() {
        return String::new();
    }
    let mut names = [0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("attributes");
    let mut all: Vec<String> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = [0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("an attribute");
            format!("{}={}", escaped(name), escaped(&value[..length]))
        })
        .collect();
    all.sort();
    format!("[{}]", all.join(" "))
}

fn content(path: &PathBuf, metadata: &fs::Metadata) -> String {
    match FileType::from_raw_mode(metadata.mode()) {
        FileType::RegularFile => pieces(path, metadata.len()),
        FileType::Symlink => escaped(fs::read_link(path).expect("a target").as_os_str().as_bytes()),
        other => format!("{other:?}"),
    }
}

/// Where data lies between the holes, and its digest.
fn pieces(path: &PathBuf, size: u64) -> String {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW, rustix::fs::Mode::empty()).expect("opened");
    let file = fs::File::from(file);
    let (mut hash, mut at, mut pieces) = (Sha256::new(), 0, Vec::new());
    let mut buffer = vec![0; usize::try_from(size).map_or(64 << 10, |size| size.min(64 << 10))];
    while let Ok(from) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        let to = rustix::fs::seek(&file, SeekFrom::Hole(from)).expect("a hole at the end at the latest");
        pieces.push(format!("{from}-{to}"));
        at = from;
        while at < to {
            let wanted = usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let read = file.read_at(&mut buffer[..wanted], at).expect("content");
            assert_ne!(read, 0, "{} is cut", path.display());
            hash.update(&buffer[..read]);
            at += read as u64;
        }
    }
    format!("{size} bytes, data {}: {:x?}", pieces.join(" "), hash.finalize())
}
