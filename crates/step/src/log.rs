//! What the person on call sees while the step works; mostly through [`progress!`](crate::progress) and
//! [`warn!`](crate::warn).

use crate::bindings::unship::step::progress as host;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The step goes as it should.
    Info,
    /// Somebody should look at this, but the step goes on.
    Warn,
}

/// Shows one line, and has it journalled. Needs no grant; counts against the step's output limit.
pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
    };
    host::log(level, message);
}
