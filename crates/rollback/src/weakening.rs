//! A plan that weakens a safety property says so, with what it takes to be carried out and when it must end.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a plan would do to one safety property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weakening {
    /// The property's name in the policy.
    pub property: String,
    /// One line for people: what would not hold any more.
    pub title: String,
    /// Which values would differ, a line each.
    pub changes: Vec<String>,
    /// How many people must approve of the plan.
    pub approvals: u32,
    /// How long after its run began it must be taken back, in milliseconds.
    pub lapses_after_ms: u64,
}

impl Weakening {
    /// How long it may last, as a person says it.
    pub fn lasts(&self) -> String {
        let (minute, hour) = (60_000, 3_600_000);
        match self.lapses_after_ms {
            ms if ms.is_multiple_of(hour) => format!("{} h", ms / hour),
            ms if ms.is_multiple_of(minute) => format!("{} min", ms / minute),
            ms => format!("{} s", ms.div_ceil(1000)),
        }
    }
}

impl fmt::Display for Weakening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.property, self.title, self.changes.join("; "))
    }
}
