//! What the host needs of the machine and its file systems, found out without changing anything: for whoever asks, before a
//! run does, what would be refused here.

use crate::providers::command;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, StatVfsMountFlags, openat2},
    process::{PidfdFlags, getpid, pidfd_open},
};
use std::{fs, io, path::Path};

/// One thing that the host needs of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// What it is called.
    pub name: &'static str,
    /// What cannot be done without it.
    pub purpose: &'static str,
    /// What was found, or why it cannot be used.
    pub found: Result<String, String>,
}

/// All of them, each tried as the host uses it.
pub fn features() -> Vec<Feature> {
    let feature = |name, purpose, found| Feature { name, purpose, found };
    vec![
        feature("openat2", "no file of the site is opened", beneath()),
        feature("pidfd", "no process is signalled, and nothing is compiled", pidfd()),
        feature("landlock", "only commands run that may change and read everything", landlock()),
        feature("sealed-memory", "no native code is loaded", sealed()),
        feature("proc", "no process is found", proc()),
        feature("control-groups", "no process is selected by its control group", control_groups()),
    ]
}

fn beneath() -> Result<String, String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat2(rustix::fs::CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH);
    opened.map(|_| "paths are held below their folder".to_owned()).map_err(|e| e.to_string())
}

fn pidfd() -> Result<String, String> {
    pidfd_open(getpid(), PidfdFlags::empty())
        .map(|_| "processes are held by handle".to_owned())
        .map_err(|e| e.to_string())
}

fn landlock() -> Result<String, String> {
    command::can_confine().map(|()| "commands are confined".to_owned())
}

fn sealed() -> Result<String, String> {
    crate::sandbox::seal(b"probe").map(|_| "memory is sealed".to_owned()).map_err(|e| e.to_string())
}

fn proc() -> Result<String, String> {
    // With `hidepid` the processes of others are not there for us, and a selector would mean too few.
    let seen = fs::read("/proc/self/stat").and_then(|_| fs::read("/proc/1/stat"));
    seen.map(|_| "processes of all users are seen".to_owned()).map_err(|e| format!("/proc: {e}"))
}

fn control_groups() -> Result<String, String> {
    let text = fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("/proc/self/cgroup: {e}"))?;
    let is_unified = text.lines().any(|line| line.starts_with("0::"));
    let is_systemd = text.lines().any(|line| line.contains(":name=systemd:"));
    match (is_unified, is_systemd) {
        (true, _) => Ok("the unified hierarchy".to_owned()),
        (false, true) => Ok("systemd's own hierarchy".to_owned()),
        (false, false) => Err("neither the unified hierarchy nor systemd's is mounted".to_owned()),
    }
}

/// The file system on which a path lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind, such as `ext4`; a number in hexadecimal for one that is not known here.
    pub kind: String,
    /// Whether it swaps two names in one step (`RENAME_EXCHANGE`), on which replacing rests. `None`: only a try would
    /// tell, and a try would change something.
    pub exchanges: Option<bool>,
    /// Nothing on it can be changed.
    pub is_read_only: bool,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Files that may still be made; `None` where they are not counted.
    pub free_files: Option<u64>,
}

/// By `f_type` of `statfs(2)`: name, and whether it knows `RENAME_EXCHANGE` (`rename(2)` and the kernel's sources).
const KINDS: [(u64, &str, Option<bool>); 14] = [
    (0xEF53, "ext4", Some(true)),
    (0x5846_5342, "xfs", Some(true)),
    (0x9123_683E, "btrfs", Some(true)),
    (0x0102_1994, "tmpfs", Some(true)),
    (0xF2F5_2010, "f2fs", Some(true)),
    (0xCA45_1A4E, "bcachefs", Some(true)),
    (0x794C_7630, "overlayfs", None),
    (0x2FC1_2FC1, "zfs", None),
    (0x6573_5546, "fuse", None),
    (0x4D44, "vfat", None),
    (0x0102_1997, "9p", Some(false)),
    (0x6969, "nfs", Some(false)),
    (0xFF53_4D42, "cifs", Some(false)),
    (0xFE53_4D42, "smb", Some(false)),
];

/// Looks at the file system of `path`.
///
/// # Errors
/// What the system says of the path.
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let magic = rustix::fs::statfs(path)?.f_type as u64 & 0xFFFF_FFFF;
    let stat = rustix::fs::statvfs(path)?;
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    Ok(FileSystem {
        kind: known.map_or_else(|| format!("{magic:#x}"), |(_, name, _)| (*name).to_owned()),
        exchanges: known.and_then(|(.., exchanges)| *exchanges),
        is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        free_files: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

/// Whether something keeps the machine's clock right; `None` where the system does not say.
pub fn clock_is_synchronised() -> Option<bool> {
    // What systemd-timesyncd leaves, which knows earlier than the kernel.
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    // SAFETY: all-zero bytes are a `timex` that changes nothing (`modes` is 0), and the call writes into it alone.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut timex)
    };
    match state {
        -1 => None,
        libc::TIME_ERROR => Some(false),
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_here_is_found_here() {
        // The host's own tests need all of these.
        for feature in features().iter().filter(|f| ["openat2", "pidfd", "sealed-memory", "proc"].contains(&f.name)) {
            assert!(feature.found.is_ok(), "{feature:?}");
        }
    }

    #[test]
    fn a_file_system_is_told_by_any_path_on_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let seen = file_system(dir.path()).expect("seen");
        assert!(!seen.is_read_only && seen.free_bytes > 0, "{seen:?}");
        assert!(file_system(&dir.path().join("none")).is_err());
        let proc = file_system(Path::new("/proc")).expect("seen");
        assert_eq!((proc.kind.as_str(), proc.exchanges), ("0x9fa0", None));
    }
}
