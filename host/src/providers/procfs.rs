//! Reads `/proc`: which processes there are, and what each one is.
//!
//! A pid alone names nobody for long. What is read in several pieces is framed by two looks at the start time, so that
//! it belongs to one process.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs, io,
    io::Read,
    os::fd::{AsFd, OwnedFd},
};

use super::Deadline;
use unship_rollback::machine;

pub(super) use unship_rollback::machine::ProcessStat as Stat;

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
pub(super) fn stat(pid: u32) -> Option<Stat> {
    Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// All pids, the host's own included. Threads are not listed.
pub(super) fn pids() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// All processes that are programs and alive, threads of the kernel left out.
pub(super) fn stats() -> io::Result<Vec<Stat>> {
    Ok(pids()?.into_iter().filter_map(stat).filter(|stat| !stat.is_no_program).collect())
}

/// Real, effective, saved and file system user ids. `None` when the process is gone.
pub(super) fn users(pid: u32) -> Option<[u32; 4]> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    // The program's own name stands in the first line, with its line breaks escaped.
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let ids: Vec<u32> = str::from_utf8(line).ok()?.split_ascii_whitespace().map_while(|id| id.parse().ok()).collect();
    ids.try_into().ok()
}

/// Path of the control group: of the unified hierarchy, or of systemd's where there is none.
pub(super) fn cgroup(pid: u32) -> Option<String> {
    cgroup_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

fn cgroup_of(text: &str) -> Option<String> {
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    let systemd = || text.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    unified.or_else(systemd).map(str::to_owned)
}

/// The arguments, the program's own name first. Empty when the process is gone.
pub(super) fn arguments(pid: u32) -> Vec<Vec<u8>> {
    let mut line = Vec::new();
    let read = fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(CMDLINE_BYTES_MAX).read_to_end(&mut line));
    if read.is_err() {
        return Vec::new();
    }
    machine::arguments(&line).into_iter().map(<[u8]>::to_vec).collect()
}

pub(super) fn info(stat: &Stat, arguments: &[Vec<u8>]) -> ProcessInfo {
    let shown = unship_rollback::neutralise_bytes(&arguments.join(&b' '));
    let mut chars = shown.chars();
    let mut command_line: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        command_line.push('…');
    }
    ProcessInfo { pid: stat.pid, start_time: stat.start_time, command_line }
}

/// Whether this reader sees other people's processes at all: `hidepid` hides even pid 1.
pub(super) fn all_visible() -> bool {
    fs::symlink_metadata("/proc/1").is_ok()
}

/// A handle that stays with its process, whoever gets the pid next. `None` when there is no such process.
pub(super) fn handle(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        // EINVAL: a thread that leads no process.
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Sends `signal`; a process that is gone already is no error.
pub(super) fn signal(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Waits until every process is gone or the deadline comes; answers for each whether it is gone.
pub(super) fn wait_gone<'fd>(handles: impl Iterator<Item = &'fd OwnedFd>, deadline: Deadline) -> io::Result<Vec<bool>> {
    let handles: Vec<&OwnedFd> = handles.collect();
    let mut gone = vec![false; handles.len()];
    loop {
        let waiting: Vec<usize> = (0..handles.len()).filter(|i| !gone[*i]).collect();
        if waiting.is_empty() {
            return Ok(gone);
        }
        let mut polled: Vec<_> =
            waiting.iter().map(|i| PollFd::from_borrowed_fd(handles[*i].as_fd(), PollFlags::IN)).collect();
        let is_over = deadline.remaining().is_zero();
        poll_until(&mut polled, deadline)?;
        for (i, fd) in waiting.iter().zip(&polled) {
            gone[*i] = !fd.revents().is_empty();
        }
        if is_over {
            return Ok(gone);
        }
    }
}

/// `poll` that an interrupting signal does not end. Returns at the deadline without any event.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<()> {
    loop {
        let left = Timespec::try_from(deadline.remaining()).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        match poll(fds, Some(&left)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_made_to_confuse_is_read_over() {
        let stat = Stat::parse(b"42 (x) S 1 (y z)) R 7 8 9 0 -1 4194304 1 1 1 1 1 1 1 1 20 0 3 0 123456 1 1\n");
        let expected = Stat {
            pid: 42,
            parent: 7,
            group: 8,
            session: 9,
            start_time: 123_456,
            resident_pages: 1,
            is_no_program: false,
        };
        assert_eq!(stat, Some(expected));
        assert_eq!(Stat::parse(b"42 (x"), None);
        let zombie = |threads| format!("42 (x) Z 7 8 9 0 -1 0 1 1 1 1 1 1 1 1 20 0 {threads} 0 5 1 1");
        assert_eq!(Stat::parse(zombie(1).as_bytes()).map(|s| s.is_no_program), Some(true));
        assert_eq!(Stat::parse(zombie(2).as_bytes()).map(|s| s.is_no_program), Some(false), "its threads live on");
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
        assert!(handle(u32::MAX).expect("no error").is_none());
    }
}
