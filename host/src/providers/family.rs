//! Processes and all that they started: children by their parent, and those whose parent is gone by the session or the
//! process group that one of the family began. A process that left all of them, by a double fork into a session of its own
//! between two looks, is nobody's.

use super::procfs::{self, Stat};
use std::{collections::BTreeMap, io, os::fd::OwnedFd};

/// A process that belongs to the family, whoever gets its pid next.
pub(super) struct Member {
    pub stat: Stat,
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
    pub(super) fn add(&mut self, stat: Stat, handle: OwnedFd) {
        self.members.insert(stat.pid, Member { stat, handle });
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Adds what is alive and was started by members, and what `is_root`; answers whether anything new was found.
    pub(super) fn grow(&mut self, is_root: impl Fn(&Stat) -> bool) -> io::Result<bool> {
        let all = procfs::stats()?;
        let mut has_grown = false;
        loop {
            let members: Vec<Stat> = self.members.values().map(|member| member.stat).collect();
            let roots = all.iter().filter(|stat| is_root(stat)).copied();
            let found = started_by(&all, &members, &self.spared).into_iter().chain(roots);
            if !self.add_each(found)? {
                return Ok(has_grown);
            }
            has_grown = true;
        }
    }

    /// Adds what is alive and `belongs`, and nothing for having been started by it.
    pub(super) fn add_all(&mut self, belongs: impl Fn(&Stat) -> bool) -> io::Result<bool> {
        self.add_each(procfs::stats()?.into_iter().filter(belongs))
    }

    fn add_each(&mut self, found: impl Iterator<Item = Stat>) -> io::Result<bool> {
        let before = self.members.len();
        for stat in found {
            if self.spared.contains(&stat.pid) || self.members.contains_key(&stat.pid) {
                continue;
            }
            if let Some(handle) = procfs::handle(stat.pid)?
                && procfs::stat(stat.pid).is_some_and(|now| now.start_time == stat.start_time)
            {
                self.add(stat, handle);
            }
        }
        Ok(self.members.len() > before)
    }
}

/// Those of `all` that members started, not the members themselves: by the parent, if it is still the member and not
/// another that got its pid; by the session or group that a member began, unless its number is another's by now.
pub(super) fn started_by(all: &[Stat], members: &[Stat], spared: &[u32]) -> Vec<Stat> {
    let mut family: BTreeMap<u32, Stat> = members.iter().map(|stat| (stat.pid, *stat)).collect();
    let now: BTreeMap<u32, u64> = all.iter().map(|stat| (stat.pid, stat.start_time)).collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for stat in all {
            if family.contains_key(&stat.pid) || spared.contains(&stat.pid) {
                continue;
            }
            let is_child = family.get(&stat.parent).is_some_and(|p| now.get(&p.pid) == Some(&p.start_time));
            let is_led = |number: u32, of: fn(&Stat) -> u32| {
                family.get(&number).is_some_and(|leader| {
                    of(leader) == leader.pid && now.get(&leader.pid).is_none_or(|start| *start == leader.start_time)
                })
            };
            if is_child || is_led(stat.session, |stat| stat.session) || is_led(stat.group, |stat| stat.group) {
                family.insert(stat.pid, *stat);
                found.push(*stat);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, parent: u32, session: u32, start_time: u64) -> Stat {
        Stat { pid, parent, group: session, session, start_time, resident_pages: 0, is_no_program: false }
    }

    fn in_group(group: u32, stat: Stat) -> Stat {
        Stat { group, ..stat }
    }

    fn pids(found: &[Stat]) -> Vec<u32> {
        found.iter().map(|stat| stat.pid).collect()
    }

    #[test]
    fn children_and_who_stayed_in_a_members_session_belong_and_nobody_else() {
        let root = stat(10, 1, 10, 100);
        let all = [
            root,
            stat(11, 10, 10, 101),
            stat(12, 11, 12, 102), // a session of its own, its parent is known
            stat(13, 1, 12, 103),  // orphaned in that session
            stat(14, 1, 14, 104),  // orphaned, with a session of its own: nobody's
            stat(15, 1, 9, 105),
        ];
        assert_eq!(pids(&started_by(&all, &[root], &[])), [11, 12, 13]);
        assert_eq!(pids(&started_by(&all, &[root], &[12])), [11], "who is spared passes nothing on");
        // A shell's job is no leader: what else runs in its session is the shell's.
        let job = stat(11, 10, 10, 101);
        assert_eq!(pids(&started_by(&all, &[job], &[])), [12, 13]);
        // The same by groups: what a shell's job left behind is in the group that the job began.
        let all = [in_group(11, job), in_group(11, stat(16, 1, 10, 106)), in_group(10, stat(17, 1, 10, 107))];
        assert_eq!(pids(&started_by(&all, &all[..1], &[])), [16]);
    }

    #[test]
    fn who_got_the_pid_of_a_member_is_no_member() {
        let gone = stat(10, 1, 10, 100);
        let all = [stat(10, 1, 10, 200), stat(11, 10, 10, 201)];
        assert_eq!(pids(&started_by(&all, &[gone], &[])), [0; 0]);
        // The member is gone and nobody has its pid: who is in its session was started by it.
        assert_eq!(pids(&started_by(&all[1..], &[gone], &[])), [11]);
    }
}
