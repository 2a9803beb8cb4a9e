//! What processes started: children by their parent, and those whose parent is gone by the session or the process group that
//! one of the family began.

use std::collections::BTreeMap;
use unship_rollback::machine::ProcessStat;

/// Those of `all` that members started, not the members themselves: by the parent, if it is still the member and not
/// another that got its pid; by the session or group that a member began, unless its number is another's by now.
pub fn started_by(all: &[ProcessStat], members: &[ProcessStat], spared: &[u32]) -> Vec<ProcessStat> {
    let mut family: BTreeMap<u32, ProcessStat> = members.iter().map(|stat| (stat.pid, *stat)).collect();
    let now: BTreeMap<u32, u64> = all.iter().map(|stat| (stat.pid, stat.start_time)).collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for stat in all {
            if family.contains_key(&stat.pid) || spared.contains(&stat.pid) {
                continue;
            }
            let is_child = family.get(&stat.parent).is_some_and(|p| now.get(&p.pid) == Some(&p.start_time));
            let is_led = |number: u32, of: fn(&ProcessStat) -> u32| {
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

    fn stat(pid: u32, parent: u32, session: u32, start_time: u64) -> ProcessStat {
        ProcessStat { pid, parent, group: session, session, start_time, resident_pages: 0, is_no_program: false }
    }

    fn in_group(group: u32, stat: ProcessStat) -> ProcessStat {
        ProcessStat { group, ..stat }
    }

    fn pids(found: &[ProcessStat]) -> Vec<u32> {
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
