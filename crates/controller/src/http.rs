//! What all HTTP that the daemon sends has in common: no proxy of the environment, no redirect followed (3xx is the answer), a fresh
//! connection each time, no compression, bounded headers.

use ureq::{
    config::{AutoHeaderValue, Config, ConfigBuilder},
    typestate::AgentScope,
};

/// Bytes of an answer's status line and headers together.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// A configuration that its caller adds what is its own to.
pub fn config() -> ConfigBuilder<AgentScope> {
    Config::builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .max_response_header_size(HEADER_BYTES_MAX)
        .user_agent(concat!("unship/", env!("CARGO_PKG_VERSION")))
        .accept_encoding(AutoHeaderValue::None)
}
