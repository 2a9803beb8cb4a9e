//! Services by name: the policy says what the name means.

use crate::{HostError, bindings::unship::step::services as host};

/// How a service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether its process lives.
    pub running: bool,
    /// What the policy's health command says of a running service; false for a stopped one.
    pub healthy: bool,
    /// What was seen, for the person who reads the message.
    pub detail: String,
}

/// How the service does, asked once. Needs `services.status`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such service.
pub fn status(service: &str) -> Result<Status, HostError> {
    let status = host::status(service)?;
    let running = matches!(status.state, host::State::Running);
    Ok(Status { running, healthy: status.healthy, detail: status.detail })
}

/// Starts the service and returns once it is healthy. Needs `services.start`.
///
/// # Errors
/// [`HostError`]: `TimedOut` when it does not get healthy.
pub fn start(service: &str) -> Result<(), HostError> {
    host::start(service).map_err(HostError::from)
}

/// Stops the service and returns once its process is confirmed gone. Needs `services.stop`.
///
/// # Errors
/// [`HostError`]: `Failed` when its process is still there.
pub fn stop(service: &str) -> Result<(), HostError> {
    host::stop(service).map_err(HostError::from)
}

/// Stops and starts the service and returns once it is healthy. Needs `services.restart`.
///
/// # Errors
/// [`HostError`]: `TimedOut` when it does not get healthy.
pub fn restart(service: &str) -> Result<(), HostError> {
    host::restart(service).map_err(HostError::from)
}
