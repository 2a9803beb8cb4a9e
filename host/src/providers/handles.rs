//! Handles of processes (pidfds): what is signalled and waited for is the process that was looked at, whoever gets its pid next.

use super::Deadline;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

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
    #[test]
    fn of_nobody_there_is_no_handle() {
        assert!(super::handle(u32::MAX).expect("no error").is_none());
    }
}
