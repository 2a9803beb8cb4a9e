//! A command and all that it started, to be killed together.

use super::Reach;
use crate::providers::{
    Deadline,
    family::{Family, Member},
    handles,
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Child, ExitStatus},
    time::Duration,
};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// At most this long after the command's time is over it has been killed.
pub const KILL_TIME: Duration = Duration::from_secs(3);

/// Dropped before it was reaped, it kills all.
pub(super) struct Session {
    /// The leader, whose pid is the group's and the session's number; until it is reaped nobody else can get that.
    leader: Option<Child>,
    pid: Pid,
    handle: OwnedFd,
    reach: Reach,
}

impl Session {
    pub(super) fn new(mut leader: Child, reach: Reach) -> io::Result<Session> {
        let pid = Pid::from_child(&leader);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Session { leader: Some(leader), pid, handle, reach }),
            Err(e) => {
                let _ = kill_process_group(pid, Signal::KILL);
                leader.wait()?;
                Err(e.into())
            }
        }
    }

    /// Readable once the leader has ended.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// After the leader's end: takes its status, and lets what it left behind live.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
        let mut leader = self.leader.take().expect("it is only taken here and in `drop`");
        leader.wait()
    }

    /// SIGTERM, a short grace, SIGKILL, for the whole session and all descendants.
    pub(super) fn kill(self) {
        drop(self);
    }

    fn kill_all(&self) {
        let end = Deadline::after(KILL_TIME);
        let mut family = Family::default();
        for (signal, until) in [(Signal::TERM, end.min(GRACE)), (Signal::KILL, end)] {
            while !until.remaining().is_zero() {
                self.find_members(&mut family);
                // A signal to the group meets also those that are being forked just now.
                let _ = kill_process_group(self.pid, signal);
                for Member { stat, handle } in family.members().filter(|member| member.stat.group != self.pid()) {
                    if handles::signal(handle, signal).is_err() {
                        tracing::warn!(pid = stat.pid, "a process of a command cannot be killed");
                    }
                }
                let handles = family.members().map(|member| &member.handle);
                let round = if signal == Signal::TERM { until } else { until.min(Duration::from_millis(100)) };
                match handles::wait_gone(handles, round) {
                    Ok(gone) if gone.contains(&false) => {}
                    Ok(_) if !self.find_members(&mut family) => return,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "cannot wait for the processes of a command"),
                }
            }
        }
        tracing::warn!(pid = self.pid(), "processes of a command are still there after SIGKILL");
    }

    fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Adds what belongs to the session and is alive; answers whether anything new was found.
    fn find_members(&self, family: &mut Family) -> bool {
        let grown = match self.reach {
            Reach::Descendants => family.grow(|stat| stat.session == self.pid() || stat.parent == self.pid()),
            Reach::Session => family.add_all(|stat| stat.session == self.pid()),
        };
        grown.unwrap_or(false)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.leader.is_some() {
            self.kill_all();
        }
        if let Some(mut leader) = self.leader.take() {
            // It was killed; should it still be there (asleep in the kernel), it is left to whoever inherits it.
            if let Err(error) = leader.try_wait() {
                tracing::warn!(%error, "cannot reap a command");
            }
        }
    }
}
