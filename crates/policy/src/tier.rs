//! What a tier may have at most, whatever a policy grants. This table is the only place that says so.
//!
//! | | owned | partner | community |
//! |---|---|---|---|
//! | files, flags, processes, services, git, by name | as granted | as granted | as granted |
//! | commands | as granted | as granted | never |
//! | calls over HTTP | as granted | as granted | never |
//! | weakening a safety property, with its approvals | yes | never | never |
//! | limits | the policy's | the policy's | at most [`COMMUNITY`] |
//! | to apply, somebody must have allowed this bundle | no: the policy is the decision | yes | yes |

use crate::{
    Tier,
    meaning::Limits,
    power::{NamedPower, Power},
};
use std::time::Duration;

/// The limits of a community bundle's steps at most.
pub const COMMUNITY: Limits = Limits {
    cpu: Duration::from_secs(2),
    wall: Duration::from_secs(30),
    memory_bytes_max: 64 << 20,
    table_elements_max: 10_000,
    handles_max: 64,
    output_bytes_max: 64 << 10,
    effects_max: 1000,
    written_bytes_max: 64 << 20,
    images_bytes_max: 512 << 20,
    denials_max: 10,
    entries_max: 20_000,
};

impl Tier {
    /// Whether a bundle of this tier may hold `power`, if a policy grants it.
    pub fn may_hold(self, power: &Power) -> bool {
        let reaches_out =
            matches!(power, Power::Named(NamedPower::CommandsRun | NamedPower::HttpGet | NamedPower::HttpCall, _));
        self != Tier::Community || !reaches_out
    }

    /// Whether a plan of it may weaken a safety property, once that is approved.
    pub fn may_weaken(self) -> bool {
        self == Tier::Owned
    }

    /// Whether somebody must have allowed a bundle of it before it is applied.
    pub fn needs_consent(self) -> bool {
        self != Tier::Owned
    }

    /// The limits of its steps, where a policy says `limits`.
    pub fn cap(self, limits: Limits) -> Limits {
        if self != Tier::Community {
            return limits;
        }
        let Limits {
            cpu,
            wall,
            memory_bytes_max,
            table_elements_max,
            handles_max,
            output_bytes_max,
            effects_max,
            written_bytes_max,
            images_bytes_max,
            denials_max,
            entries_max,
        } = limits;
        Limits {
            cpu: cpu.min(COMMUNITY.cpu),
            wall: wall.min(COMMUNITY.wall),
            memory_bytes_max: memory_bytes_max.min(COMMUNITY.memory_bytes_max),
            table_elements_max: table_elements_max.min(COMMUNITY.table_elements_max),
            handles_max: handles_max.min(COMMUNITY.handles_max),
            output_bytes_max: output_bytes_max.min(COMMUNITY.output_bytes_max),
            effects_max: effects_max.min(COMMUNITY.effects_max),
            written_bytes_max: written_bytes_max.min(COMMUNITY.written_bytes_max),
            images_bytes_max: images_bytes_max.min(COMMUNITY.images_bytes_max),
            denials_max: denials_max.min(COMMUNITY.denials_max),
            entries_max: entries_max.min(COMMUNITY.entries_max),
        }
    }
}
