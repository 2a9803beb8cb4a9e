//! Why something is not granted, and why a story's requests and the policies do not fit.

use crate::{FileError, Tier};
use std::ops::Range;

/// Why something is not granted: the rule, and what would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not granted to `{unit}`: {rule}")]
pub struct Denial {
    /// The step or check.
    pub unit: String,
    /// What it tried, such as `files.write on a/b`.
    pub what: String,
    /// The rule by which it was refused, and what would allow it.
    pub rule: String,
}

/// Why a story's requests and the policies do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The story's policy file is at fault.
    #[error(transparent)]
    Policy(#[from] FileError),
    /// A unit asks for more than the policy permits.
    #[error("the {kind} `{unit}` requests `{power}`, which the policy of story {story} does not permit")]
    NotPermitted {
        /// The story.
        story: String,
        /// What the unit is.
        kind: &'static str,
        /// Its name.
        unit: String,
        /// The power, as a policy would write it.
        power: String,
        /// The unit's table in the story's policy, if it has one.
        span: Option<Range<usize>>,
    },
    /// A unit asks for what no bundle of its signers may have.
    #[error(
        "the {kind} `{unit}` requests `{power}`, which no bundle of the tier {tier} may have, whatever a policy grants"
    )]
    BeyondTier {
        /// How far its signers are trusted.
        tier: Tier,
        /// What the unit is.
        kind: &'static str,
        /// Its name.
        unit: String,
        /// The power.
        power: String,
    },
    /// A unit may only ask by this call, but it is one that changes something.
    #[error(
        "the {kind} `{unit}` requests `http.get = [\"{call}\"]`, but `[http.{call}]` is a {method}; `http.call` is for what changes something"
    )]
    NotSafe {
        /// What the unit is.
        kind: &'static str,
        /// Its name.
        unit: String,
        /// The call.
        call: String,
        /// Its method.
        method: &'static str,
    },
    /// The policy permits, and the manifest requests, a name without a meaning.
    #[error("the {kind} `{unit}` requests `{power}`, but no policy says what {name:?} means")]
    NoMeaning {
        /// What the unit is.
        kind: &'static str,
        /// Its name.
        unit: String,
        /// The power.
        power: String,
        /// The name without a meaning.
        name: String,
    },
}
