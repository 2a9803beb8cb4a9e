//! What `/proc` tells: memory of processes and of the machine, whether a process lives.

use super::{Around, Look, Looked, number};
use crate::sources::Kept;
use serde::{Deserialize, Serialize};
use std::fs;
use unship_policy::meaning::SelectorMeaning;
use unship_processes::{LookError, procfs};
use unship_rollback::{machine, neutralise};

/// The machine's memory.
pub struct HostMemory;

impl Look for HostMemory {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        match fs::read_to_string("/proc/meminfo").map(|text| machine::used_memory(&text)) {
            Ok(Some(used)) => Looked::values(around.clock.now(), [Some(used)]),
            Ok(None) => Looked::nothing("/proc/meminfo tells neither MemTotal nor MemAvailable"),
            Err(e) => Looked::nothing(format!("/proc/meminfo: {e}")),
        }
    }
}

/// Which number of processes a feed wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessValue {
    /// Bytes in memory, of all together; pages that they share are counted for each. None alive hold 0, once one was seen.
    Memory,
    /// 1 when one lives.
    Alive,
}

/// The processes that policy means.
pub struct Processes {
    pub who: SelectorMeaning,
    pub values: Vec<ProcessValue>,
}

/// One of them was seen: what is meant exists. Until then nobody knows whether none is there, or the policy names what never
/// will be; the memory of nobody would look well for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessKept {}

/// What is looked at, as text: all that tells who is meant.
pub fn target(who: &SelectorMeaning) -> String {
    let SelectorMeaning { exe, args, any_arg, user, cgroup, pid_file, tree, started_by: _, grace: _ } = who;
    format!("processes {exe:?} {args:?} {any_arg:?} {user:?} {cgroup:?} {pid_file:?} {tree}")
}

impl Look for Processes {
    fn look(&mut self, around: Around<'_>, kept: Option<&Kept>) -> Looked {
        let found = match unship_processes::list(around.site, &self.who, || Ok::<(), LookError>(())) {
            Ok(found) => found,
            Err(e) => return Looked::nothing(neutralise(&e.to_string())),
        };
        if found.is_empty() && !procfs::all_visible() {
            return Looked::nothing(
                "/proc hides the processes of other users (hidepid): none may be there, or one of theirs",
            );
        }
        let was_seen = !found.is_empty() || kept.is_some();
        let pages: u64 = found.iter().map(|found| found.stat.resident_pages).sum();
        let value = |value: &ProcessValue| match value {
            ProcessValue::Memory => was_seen.then(|| number(pages.saturating_mul(rustix::param::page_size() as u64))),
            ProcessValue::Alive => Some(f64::from(u8::from(!found.is_empty()))),
        };
        let looked = Looked::values(around.clock.now(), self.values.iter().map(value));
        let never =
            || format!("no process was ever seen of {}: 0 bytes would look well", neutralise(&self.who.to_string()));
        Looked {
            trouble: (looked.samples.len() < self.values.len()).then(never),
            kept: (!found.is_empty() && kept.is_none()).then_some(Kept::Process(ProcessKept {})),
            ..looked
        }
    }
}
