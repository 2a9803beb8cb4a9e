//! Services through a pid file and commands of the policy.
//!
//! The pid file is a claim: it counts only while the process that it names matches the service's selector. Stopping goes
//! through that one process (and what it started, where the selector says `tree`), never through all that the selector
//! would match.

use super::{ServiceChange, ServiceError, ServiceStatus, job};
use crate::providers::{
    Deadline,
    command::{self, Capture, Job},
    process,
};
use std::path::Path;
use unship_policy::meaning::{PidFileManager, ServiceMeaning};
use unship_processes::pid_file;

pub(super) fn look(site: &Path, manager: &PidFileManager) -> Result<ServiceStatus, ServiceError> {
    let PidFileManager { pid_file, selector, .. } = manager;
    let Some(pid) = pid_file::read(site, pid_file)? else {
        return Ok(ServiceStatus::stopped(format!("there is no pid file {pid_file}")));
    };
    if process::find(site, selector, pid)?.is_none() {
        return Ok(ServiceStatus::stopped(stale(pid_file, pid)));
    }
    let detail = format!("process {pid} runs");
    Ok(ServiceStatus { running: true, healthy: false, pid: Some(pid), detail, restarts: None })
}

fn stale(pid_file: &str, pid: u32) -> String {
    format!("the pid file {pid_file} is stale: process {pid} is gone or another program")
}

pub(super) fn launch(
    site: &Path,
    meaning: &ServiceMeaning,
    manager: &PidFileManager,
    deadline: Deadline,
) -> Result<(), ServiceError> {
    let launch = Job { capture: Capture::Relay, ..job(meaning, &manager.start) };
    let launched = command::run(site, &launch, deadline);
    launched.map(drop).map_err(|source| ServiceError::Command { which: "start", source })
}

/// SIGTERM, the selector's grace, SIGKILL.
pub(super) fn stop(site: &Path, manager: &PidFileManager, deadline: Deadline) -> Result<ServiceChange, ServiceError> {
    let PidFileManager { pid_file, selector, .. } = manager;
    let gone = |changed, detail| Ok(ServiceChange { changed, status: ServiceStatus::stopped(detail) });
    let Some(pid) = pid_file::read(site, pid_file)? else {
        return gone(false, format!("there is no pid file {pid_file}"));
    };
    let Some(stopped) = process::stop_one(site, selector, pid, deadline)? else {
        return gone(false, stale(pid_file, pid));
    };
    if let Some(pid) = pid_file::read(site, pid_file)?
        && let Some(now) = process::find(site, selector, pid)?
    {
        return Err(ServiceError::Respawned { stopped, now });
    }
    gone(true, format!("process {} was stopped", stopped.pid))
}
