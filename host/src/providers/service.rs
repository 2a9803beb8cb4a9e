//! Services by name: whether they run, and how they are started, stopped and waited for, whoever manages them.
//!
//! What only one manager knows is in a file of its own: [`pid_file_manager`] goes through a pid file and the service's own
//! commands, [`pm2`] through pm2. Whether a service is healthy is told by the policy's command, or by its manager.

mod pid_file_manager;
mod pm2;

use super::{
    Deadline,
    command::{self, Capture, CommandError, Job, Reach},
    process::{ProcessError, ProcessInfo},
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};
use unship_policy::meaning::{ServiceManager, ServiceMeaning};
use unship_processes::pid_file::PidFileError;

pub use pm2::Pm2Error;

/// Kept of what the commands print.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Between two looks at a service that is not healthy yet: the first, and the longest after doubling.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What a look at a service shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its process is there, as its manager tells.
    pub running: bool,
    /// It runs, and is as it should be.
    pub healthy: bool,
    /// Of the running process; the first, where there are several.
    pub pid: Option<u32>,
    /// For a person: what was seen.
    pub detail: String,
    /// How often its manager started it again, where the manager counts.
    restarts: Option<u64>,
}

impl ServiceStatus {
    fn stopped(detail: String) -> ServiceStatus {
        ServiceStatus { running: false, healthy: false, pid: None, detail, restarts: None }
    }
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
    Pm2(#[from] Pm2Error),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("not healthy after {after:.1?}; last seen: {seen}")]
    NotHealthy { after: Duration, seen: String },
    #[error("{stopped} was stopped, but something started it again as {now}")]
    Respawned { stopped: ProcessInfo, now: ProcessInfo },
}

/// How the service is now. A health command gets the service's time-out.
///
/// # Errors
/// [`ServiceError`] when that cannot be said. A service that is ill is no error.
pub fn status(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceStatus, ServiceError> {
    let seen = look(site, meaning, deadline)?;
    let (true, Some(argv)) = (seen.running, meaning.health()) else { return Ok(seen) };
    match command::run(site, &job(meaning, argv), deadline) {
        Ok(_) => Ok(ServiceStatus { healthy: true, detail: format!("{} and is healthy", seen.detail), ..seen }),
        Err(e @ (CommandError::Status { .. } | CommandError::Signal { .. } | CommandError::TimedOut { .. })) => {
            let detail = format!("{}, but is not healthy: {e}", seen.detail);
            Ok(ServiceStatus { healthy: false, detail, ..seen })
        }
        Err(source) => Err(ServiceError::Command { which: "health", source }),
    }
}

/// Whether the service runs: nobody is asked for its health.
///
/// # Errors
/// [`ServiceError`] when that cannot be said.
pub fn is_running(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<bool, ServiceError> {
    Ok(look(site, meaning, deadline)?.running)
}

/// What its manager tells of it, its health included where policy names no command for that.
fn look(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceStatus, ServiceError> {
    match &meaning.manager {
        ServiceManager::PidFile(manager) => pid_file_manager::look(site, manager),
        ServiceManager::Pm2(manager) => pm2::look(site, meaning, manager, deadline),
    }
}

/// Starts the service and waits until it is healthy; the start and the wait get the service's time-out each. One that runs
/// is not started again, only waited for.
///
/// # Errors
/// [`ServiceError`]; [`ServiceError::NotHealthy`] says what was seen last.
pub fn start(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    let before = status(site, meaning, deadline)?;
    if before.healthy {
        return Ok(ServiceChange { changed: false, status: before });
    }
    if !before.running {
        match &meaning.manager {
            ServiceManager::PidFile(manager) => pid_file_manager::launch(site, meaning, manager, deadline)?,
            ServiceManager::Pm2(manager) => pm2::start(site, meaning, manager, deadline)?,
        }
    }
    Ok(ServiceChange { changed: !before.running, status: wait_healthy(site, meaning, deadline)? })
}

/// Stops the service; returns once its process is confirmed gone.
///
/// # Errors
/// [`ServiceError`]; [`ServiceError::Respawned`] when something started it again by then.
pub fn stop(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    match &meaning.manager {
        ServiceManager::PidFile(manager) => pid_file_manager::stop(site, manager, deadline),
        ServiceManager::Pm2(manager) => pm2::stop(site, meaning, manager, deadline),
    }
}

/// Stops it, starts it and waits until it is healthy; also starts one that did not run.
///
/// # Errors
/// [`ServiceError`].
pub fn restart(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    match &meaning.manager {
        ServiceManager::PidFile(manager) => {
            pid_file_manager::stop(site, manager, deadline)?;
            start(site, meaning, deadline)
        }
        ServiceManager::Pm2(manager) => {
            pm2::restart(site, meaning, manager, deadline)?;
            Ok(ServiceChange { changed: true, status: wait_healthy(site, meaning, deadline)? })
        }
    }
}

fn wait_healthy(site: &Path, meaning: &ServiceMeaning, deadline: Deadline) -> Result<ServiceStatus, ServiceError> {
    let begun = Instant::now();
    let until = deadline.min(meaning.timeout);
    // One look that hangs must not use up the time of all. The last one may run over `until`, so that it says something.
    let one_look = meaning.timeout / 4;
    let mut pause = LOOK_EVERY.0;
    let mut restarts = None;
    loop {
        let seen = match status(site, meaning, deadline.min(one_look)) {
            Ok(status) => {
                // One that its manager starts again and again answers between two falls.
                let is_stable = restarts.is_none_or(|before| before == status.restarts);
                restarts = Some(status.restarts);
                match status {
                    ServiceStatus { healthy: true, .. } if is_stable => return Ok(status),
                    ServiceStatus { detail, .. } if is_stable => detail,
                    ServiceStatus { detail, .. } => format!("{detail}; its manager had to start it again"),
                }
            }
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
        reach: Reach::Descendants,
        confinement: None,
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
