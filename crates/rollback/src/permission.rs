//! By whose word a run goes forward: the signers of its bundle, and the people who approved of what takes approval.

use serde::{Deserialize, Serialize};
use unship_policy::{Digest, Tier, TrustRoot, VerifiedBundle};

/// By which trust root a bundle was judged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustUsed {
    /// The root's version.
    pub root: u32,
    /// Of the root's text.
    pub root_digest: Digest,
    /// The names of the keys whose signatures hold.
    pub signers: Vec<String>,
    /// How far they are trusted.
    pub tier: Tier,
    /// What has expired, in words. Such a plan takes approvals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lapses: Vec<String>,
}

impl TrustUsed {
    /// What `trust` made of `bundle`.
    pub fn of(trust: &TrustRoot, bundle: &VerifiedBundle) -> TrustUsed {
        let accepted = trust.accepted();
        TrustUsed {
            root: accepted.version,
            root_digest: accepted.digest,
            signers: bundle.signers().iter().map(ToString::to_string).collect(),
            tier: bundle.tier(),
            lapses: bundle.lapses().iter().map(ToString::to_string).collect(),
        }
    }
}

/// What people approved of before a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Who allowed the bundle, where its tier takes that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Who approved that a safety property is weakened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weakening: Vec<String>,
    /// That what has expired was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// That what has expired was accepted all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Why, in the words of whoever applied.
    pub reason: String,
    /// Who approved.
    pub people: Vec<String>,
}
