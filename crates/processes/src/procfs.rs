//! Reads `/proc`: which processes there are, and what each one is.
//!
//! A pid alone names nobody for long. What is read in several pieces is framed by two looks at the start time, so that
//! it belongs to one process.

use std::{
    fs,
    io::{self, Read as _},
};
use unship_rollback::machine::{self, ProcessStat};

/// Longest command line that is looked at, in bytes (Linux allows about 2 MiB of arguments by default).
const CMDLINE_BYTES_MAX: u64 = 4 << 20;
/// Longest command line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 4096;

/// A live process, as people and guests may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: with the pid it names one process for good.
    pub start_time: u64,
    /// Arguments separated by spaces, neutralised, cut after 4096 characters.
    pub command_line: String,
}

impl std::fmt::Display for ProcessInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (`{}`)", self.pid, self.command_line)
    }
}

/// The process, as everybody may see it. `None` when it is gone.
pub fn stat(pid: u32) -> Option<ProcessStat> {
    ProcessStat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// All pids, the host's own included. Threads are not listed.
pub fn pids() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// All processes that are programs and alive, threads of the kernel left out.
pub fn stats() -> io::Result<Vec<ProcessStat>> {
    Ok(pids()?.into_iter().filter_map(stat).filter(|stat| !stat.is_no_program).collect())
}

/// Real, effective, saved and file system user ids. `None` when the process is gone.
pub fn users(pid: u32) -> Option<[u32; 4]> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    // The program's own name stands in the first line, with its line breaks escaped.
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let ids: Vec<u32> = str::from_utf8(line).ok()?.split_ascii_whitespace().map_while(|id| id.parse().ok()).collect();
    ids.try_into().ok()
}

/// Path of the control group: of the unified hierarchy, or of systemd's where there is none.
pub fn cgroup(pid: u32) -> Option<String> {
    cgroup_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn cgroup_of(text: &str) -> Option<String> {
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    let systemd = || text.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    unified.or_else(systemd).map(str::to_owned)
}

/// The arguments, the program's own name first. Empty when the process is gone.
pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    let mut line = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(CMDLINE_BYTES_MAX).read_to_end(&mut line));
    if read.is_err() {
        return Vec::new();
    }
    machine::arguments(&line).into_iter().map(<[u8]>::to_vec).collect()
}

/// The process as people may see it.
pub fn info(stat: &ProcessStat, arguments: &[Vec<u8>]) -> ProcessInfo {
    let shown = unship_rollback::neutralise_bytes(&arguments.join(&b' '));
    let mut chars = shown.chars();
    let mut command_line: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        command_line.push('…');
    }
    ProcessInfo { pid: stat.pid, start_time: stat.start_time, command_line }
}

/// Whether this reader sees other people's processes at all: `hidepid` hides even pid 1.
pub fn all_visible() -> bool {
    fs::symlink_metadata("/proc/1").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_made_to_confuse_is_read_over() {
        let stat = ProcessStat::parse(b"42 (x) S 1 (y z)) R 7 8 9 0 -1 4194304 1 1 1 1 1 1 1 1 20 0 3 0 123456 1 1\n");
        let expected = ProcessStat {
            pid: 42,
            parent: 7,
            group: 8,
            session: 9,
            start_time: 123_456,
            resident_pages: 1,
            is_no_program: false,
        };
        assert_eq!(stat, Some(expected));
        assert_eq!(ProcessStat::parse(b"42 (x"), None);
        let zombie = |threads| format!("42 (x) Z 7 8 9 0 -1 0 1 1 1 1 1 1 1 1 20 0 {threads} 0 5 1 1");
        assert_eq!(ProcessStat::parse(zombie(1).as_bytes()).map(|s| s.is_no_program), Some(true));
        assert_eq!(
            ProcessStat::parse(zombie(2).as_bytes()).map(|s| s.is_no_program),
            Some(false),
            "its threads live on"
        );
    }

    #[test]
    fn a_control_group_is_that_of_the_unified_hierarchy_or_systemds() {
        let both = "9:name=systemd:/a.slice\n4:memory:/b\n0::/c.slice/web.service\n";
        assert_eq!(cgroup_of(both).as_deref(), Some("/c.slice/web.service"));
        assert_eq!(cgroup_of("9:name=systemd:/a.slice\n4:memory:/b\n").as_deref(), Some("/a.slice"));
        assert_eq!(cgroup_of("4:memory:/b\n"), None);
    }

    #[test]
    fn the_own_process_is_seen_as_it_is() {
        let own = stat(std::process::id()).expect("is there");
        assert!(!own.is_no_program && pids().expect("readable").contains(&own.pid) && all_visible());
        assert!(!arguments(own.pid).is_empty() && cgroup(own.pid).is_some());
        assert_eq!(users(own.pid).map(|ids| ids[1]), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(arguments(u32::MAX), Vec::<Vec<u8>>::new());
    }
}
