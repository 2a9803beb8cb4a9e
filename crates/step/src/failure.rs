//! How a step says why it came to nothing, and the conversions that make `?` work.

use crate::bindings::unship::step::types;
use std::{error::Error, fmt, io};

/// What a step or a check answers.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a step or a check came to nothing: one sentence for the person on call.
///
/// `?` makes one of an [`io::Error`], a [`HostError`], a `String` or a `&str`; for any other error, and to say what was
/// being done, use [`Context::context`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
}

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into() }
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure { message }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::new(message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> types::Failure {
        types::Failure { message: failure.message }
    }
}

/// Why a call of the host came to nothing. A step that can go on without it matches on the case; any other passes it
/// on with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// The step holds no grant for this. The text names the rule and what would allow it.
    Denied(String),
    /// The policy gives this name no meaning: no such flag, service, command, selector or folder.
    UnknownName(String),
    /// The named thing is not there, or not in the state that was expected.
    NotAsExpected(String),
    /// It did not end within its time limit.
    TimedOut(String),
    /// The host tried and failed.
    Failed(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (case, text) = match self {
            HostError::Denied(text) => ("denied", text),
            HostError::UnknownName(text) => ("unknown to the policy", text),
            HostError::NotAsExpected(text) => ("not as expected", text),
            HostError::TimedOut(text) => ("timed out", text),
            HostError::Failed(text) => ("failed", text),
        };
        write!(f, "{case}: {text}")
    }
}

impl Error for HostError {}

impl From<types::Error> for HostError {
    fn from(error: types::Error) -> HostError {
        match error {
            types::Error::Denied(text) => HostError::Denied(text),
            types::Error::UnknownName(text) => HostError::UnknownName(text),
            types::Error::NotAsExpected(text) => HostError::NotAsExpected(text),
            types::Error::TimedOut(text) => HostError::TimedOut(text),
            types::Error::Failed(text) => HostError::Failed(text),
        }
    }
}

/// Says what was being done when something failed: the error of `std::fs` does not name its path.
///
/// ```
/// use unship_step::Context as _;
///
/// fn read_stub() -> unship_step::Result<String> {
///     std::fs::read_to_string("no/such/stub.js").context("reading the stub")
/// }
/// assert!(read_stub().unwrap_err().message().starts_with("reading the stub: "));
/// ```
pub trait Context<T> {
    /// Turns an error (or a `None`) into a [`Failure`] that starts with `doing`.
    ///
    /// # Errors
    /// The error that was there, as `doing: error`.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{doing}: {error}")))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Failure::new(doing.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ensure, fail};

    fn message<T: fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("a failure").message
    }

    #[test]
    fn every_error_converts_with_a_question_mark() {
        fn from_io() -> Result {
            Err(io::Error::new(io::ErrorKind::NotFound, "gone"))?;
            Ok(())
        }
        fn from_host() -> Result {
            Err(HostError::from(types::Error::TimedOut("stop-analytics after 30s".into())))?;
            Ok(())
        }
        fn from_text() -> Result {
            Err("plain")?;
            Ok(())
        }
        fn from_string() -> Result {
            Err(format!("{}ted", "format"))?;
            Ok(())
        }
        assert_eq!(message(from_io()), "gone");
        assert_eq!(message(from_host()), "timed out: stop-analytics after 30s");
        assert_eq!(message(from_text()), "plain");
        assert_eq!(message(from_string()), "formatted");
    }

    #[test]
    fn every_case_of_the_contract_has_its_own() {
        let text = || "x".to_owned();
        for (wire, own, shown) in [
            (types::Error::Denied(text()), HostError::Denied(text()), "denied: x"),
            (types::Error::UnknownName(text()), HostError::UnknownName(text()), "unknown to the policy: x"),
            (types::Error::NotAsExpected(text()), HostError::NotAsExpected(text()), "not as expected: x"),
            (types::Error::TimedOut(text()), HostError::TimedOut(text()), "timed out: x"),
            (types::Error::Failed(text()), HostError::Failed(text()), "failed: x"),
        ] {
            assert_eq!(HostError::from(wire), own);
            assert_eq!(own.to_string(), shown);
        }
    }

    #[test]
    fn the_message_reaches_the_wire_unchanged() {
        assert_eq!(types::Failure::from(Failure::new("née\n")).message, "née\n");
    }

    #[test]
    fn context_says_what_was_done_and_what_went_wrong() {
        let io: io::Result<()> = Err(io::Error::other("disk on fire"));
        assert_eq!(message(io.context("reading the stub")), "reading the stub: disk on fire");
        assert_eq!(message(None::<()>.context("no line in the file")), "no line in the file");
        assert_eq!(message(fail_inner().context("outer")), "outer: inner 7");
    }

    fn fail_inner() -> Result {
        fail!("inner {}", 7);
    }

    #[test]
    fn ensure_names_the_condition_when_the_author_does_not() {
        fn bare(held: bool) -> Result {
            ensure!(held);
            Ok(())
        }
        fn told(held: bool) -> Result {
            ensure!(held, "held by {}", "node");
            Ok(())
        }
        assert!(bare(true).is_ok() && told(true).is_ok());
        assert_eq!(message(bare(false)), "it does not hold that `held`");
        assert_eq!(message(told(false)), "held by node");
    }
}
