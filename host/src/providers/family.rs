//! Processes and all that they started: children by their parent, and those whose parent is gone by the session or the
//! process group that one of the family began. A process that left all of them, by a double fork into a session of its own
//! between two looks, is nobody's.

use super::handles;
use std::{collections::BTreeMap, io, os::fd::OwnedFd};
use unship_processes::{ProcessStat, procfs, started_by};

/// A process that belongs to the family, whoever gets its pid next.
pub(super) struct Member {
    pub stat: ProcessStat,
    pub handle: OwnedFd,
}

/// By pid. Those that are gone stay, so that what they left behind is found.
#[derive(Default)]
pub(super) struct Family {
    members: BTreeMap<u32, Member>,
    /// Never members, and nothing is, for being started by one of these.
    spared: Vec<u32>,
}

impl Family {
    pub(super) fn sparing(spared: Vec<u32>) -> Family {
        Family { members: BTreeMap::new(), spared }
    }

    /// Adds a process that was looked at through its handle.
    pub(super) fn add(&mut self, stat: ProcessStat, handle: OwnedFd) {
        self.members.insert(stat.pid, Member { stat, handle });
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Adds what is alive and was started by members, and what `is_root`; answers whether anything new was found.
    pub(super) fn grow(&mut self, is_root: impl Fn(&ProcessStat) -> bool) -> io::Result<bool> {
        let all = procfs::stats()?;
        let mut has_grown = false;
        loop {
            let members: Vec<ProcessStat> = self.members.values().map(|member| member.stat).collect();
            let roots = all.iter().filter(|stat| is_root(stat)).copied();
            let found = started_by(&all, &members, &self.spared).into_iter().chain(roots);
            if !self.add_each(found)? {
                return Ok(has_grown);
            }
            has_grown = true;
        }
    }

    /// Adds what is alive and `belongs`, and nothing for having been started by it.
    pub(super) fn add_all(&mut self, belongs: impl Fn(&ProcessStat) -> bool) -> io::Result<bool> {
        self.add_each(procfs::stats()?.into_iter().filter(belongs))
    }

    fn add_each(&mut self, found: impl Iterator<Item = ProcessStat>) -> io::Result<bool> {
        let before = self.members.len();
        for stat in found {
            if self.spared.contains(&stat.pid) || self.members.contains_key(&stat.pid) {
                continue;
            }
            if let Some(handle) = handles::handle(stat.pid)?
                && procfs::stat(stat.pid).is_some_and(|now| now.start_time == stat.start_time)
            {
                self.add(stat, handle);
            }
        }
        Ok(self.members.len() > before)
    }
}
