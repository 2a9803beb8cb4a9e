//! Services through a pid file and commands of the policy.
//!
//! The pid file is a claim: it counts only while the process that it names matches the service's selector. Stopping goes
//! through that one process, never through all that the selector would match.

use super::{
    Deadline,
    command::{self, Capture, CommandError, Job},
    pid_file::{self, PidFileError},
    process::{self, ProcessError, ProcessInfo},
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};
use unship_policy::meaning::ServiceMeaning;

/// Kept of what the commands print.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Between two looks at a service that is not healthy yet: the first, and the longest after doubling.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What a look at a service shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The process of the pid file is alive and matches the selector.
    pub running: bool,
    /// It runs, and the health command says yes.
    pub healthy: bool,
    /// Of the running process.
    pub pid: Option<u32>,
    /// For a person: what was seen.
    pub detail: String,
}

/// How a service is left by start, stop or restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceChange {
    /// `false`: it was so already, and nothing was done.
    pub changed: bool,
    /// What the last look showed.
    pub status: ServiceStatus,
}

/// Why a service is not as it should be.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ServiceError {
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error("the {which} command of the service: {source}")]
    Command { which: &'static str, source: CommandError },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("not healthy after {after:.1?}; last seen: {seen}")]
    NotHealthy { after: Duration, seen: String },
    #[error("{stopped} was stopped, but something started it again as {now}")]
    Respawned { stopped: ProcessInfo, now: ProcessInfo },
}

/// How the service is now. The health command gets the service's time-out.
///
/// # Errors
/// [`ServiceError`] when that cannot be said. A service that is ill is no error.
pub fn status(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceStatus, ServiceError> {
    let stopped = |detail: String| ServiceStatus { running: false, healthy: false, pid: None, detail };
    let Some(pid) = pid_file::read(site, &meaning.pid_file)? else {
        return Ok(stopped(format!("there is no pid file {}", meaning.pid_file)));
    };
    if process::find(site, &meaning.selector, pid)?.is_none() {
        return Ok(stopped(format!(
            "the pid file {} is stale: process {pid} is gone or another program",
            meaning.pid_file
        )));
    }
    let (healthy, detail) = match command::run(site, &job(meaning, &meaning.healthy), deadline) {
        Ok(_) => (true, format!("process {pid} runs and is healthy")),
        Err(e @ (CommandError::Status { .. } | CommandError::Signal { .. } | CommandError::TimedOut { .. })) => {
            (false, format!("process {pid} runs, but is not healthy: {e}"))
        }
        Err(source) => return Err(ServiceError::Command { which: "health", source }),
    };
    Ok(ServiceStatus { running: true, healthy, pid: Some(pid), detail })
}

/// Whether the service's process runs, by its pid file alone: nobody is asked for its health.
///
/// # Errors
/// [`ServiceError`] when that cannot be said.
pub fn is_running(site: &Path, meaning: &ServiceMeaning) -> Result<bool, ServiceError> {
    match pid_file::read(site, &meaning.pid_file)? {
        Some(pid) => Ok(process::find(site, &meaning.selector, pid)?.is_some()),
        None => Ok(false),
    }
}

/// Starts the service and waits until it is healthy; the start command and the wait get the service's time-out each.
/// One that runs is not started again, only waited for. The start command's output is not kept: what it leaves running may go on writing to it.
///
/// # Errors
/// [`ServiceError`]; [`ServiceError::NotHealthy`] says what was seen last.
pub fn start(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    let before = status(site, meaning, deadline)?;
    if before.healthy {
        return Ok(ServiceChange { changed: false, status: before });
    }
    if !before.running {
        let launch = Job { capture: Capture::Discard, ..job(meaning, &meaning.start) };
        command::run(site, &launch, deadline).map_err(|source| ServiceError::Command { which: "start", source })?;
    }
    Ok(ServiceChange { changed: !before.running, status: wait_healthy(site, meaning, deadline)? })
}

/// SIGTERM, the selector's grace, SIGKILL, to the service's process; returns once it is confirmed gone.
///
/// # Errors
/// [`ServiceError`]; [`ServiceError::Respawned`] when the pid file names a new live one by then.
pub fn stop(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    let gone = |changed, detail| {
        let status = ServiceStatus { running: false, healthy: false, pid: None, detail };
        Ok(ServiceChange { changed, status })
    };
    let Some(pid) = pid_file::read(site, &meaning.pid_file)? else {
        return gone(false, format!("there is no pid file {}", meaning.pid_file));
    };
    let Some(stopped) = process::stop_one(site, &meaning.selector, pid, deadline)? else {
        return gone(
            false,
            format!("the pid file {} is stale: process {pid} is gone or another program", meaning.pid_file),
        );
    };
    if let Some(pid) = pid_file::read(site, &meaning.pid_file)?
        && let Some(now) = process::find(site, &meaning.selector, pid)?
    {
        return Err(ServiceError::Respawned { stopped, now });
    }
    gone(true, format!("process {} was stopped", stopped.pid))
}

/// [`stop`], then [`start`]; also starts one that did not run.
///
/// # Errors
/// [`ServiceError`].
pub fn restart(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    stop(site, meaning, deadline)?;
    start(site, meaning, deadline)
}

fn wait_healthy(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceStatus, ServiceError> {
    let begun = Instant::now();
    let until = deadline.min(meaning.timeout);
    // One look that hangs must not use up the time of all. The last one may run over `until`, so that it says something.
    let look = meaning.timeout / 4;
    let mut pause = LOOK_EVERY.0;
    loop {
        let seen = match status(site, meaning, deadline.min(look)) {
            Ok(status) if status.healthy => return Ok(status),
            Ok(status) => status.detail,
            // The service may just be writing it.
            Err(e @ ServiceError::PidFile(_)) => e.to_string(),
            Err(e) => return Err(e),
        };
        if until.remaining().is_zero() {
            return Err(ServiceError::NotHealthy { after: begun.elapsed(), seen });
        }
        thread::sleep(pause.min(until.remaining()));
        pause = (pause * 2).min(LOOK_EVERY.1);
    }
}

fn job<'a>(meaning: &'a ServiceMeaning, argv: &'a [String]) -> Job<'a> {
    Job {
        argv,
        env: &meaning.env,
        timeout: meaning.timeout,
        expect: &[0],
        output_bytes_max: OUTPUT_BYTES_MAX,
        capture: Capture::Read,
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
