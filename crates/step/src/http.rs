//! Calls over HTTP by name: the policy holds method, origin, path and body. A step never passes a URL.

use crate::{HostError, bindings::unship::step::http as host};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// At most the policy's limit of bytes; invalid UTF-8 replaced.
    pub body: String,
}

/// Asks, by a GET or HEAD; any status is an answer. Needs `http.get`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such call, `TimedOut` when no whole answer came in time,
/// `Failed` when there is none, it is too long, or it leads to another host.
pub fn get(call: &str) -> Result<Response, HostError> {
    host::get(call).map(Response::from).map_err(HostError::from)
}

/// Calls. Needs `http.call`.
///
/// # Errors
/// As [`get`], and `NotAsExpected` for a status that the policy does not expect.
pub fn call(call: &str) -> Result<Response, HostError> {
    host::call(call).map(Response::from).map_err(HostError::from)
}

impl From<host::Response> for Response {
    fn from(response: host::Response) -> Self {
        Response { status: response.status, body: response.body }
    }
}
