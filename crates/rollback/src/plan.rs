//! A plan: the resolved, ordered steps with the exact effects they would have. Nothing has run.

use crate::{Effect, TrustUsed, Undo, Weakening};
use serde::{Deserialize, Serialize};
use unship_policy::{ChecklistItem, Digest, OnFail, UnitKind};

/// Which part a unit plays in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "design.md's words")]
pub enum UnitRole {
    Precondition,
    Step,
    Verification,
}

impl UnitRole {
    /// The role of a manifest's unit; the check named by `already` is asked when planning and plays none in a run.
    pub fn of(kind: UnitKind) -> Option<UnitRole> {
        match kind {
            UnitKind::Already => None,
            UnitKind::Precondition => Some(UnitRole::Precondition),
            UnitKind::Step => Some(UnitRole::Step),
            UnitKind::Verification => Some(UnitRole::Verification),
        }
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            UnitRole::Precondition => "precondition",
            UnitRole::Step => "step",
            UnitRole::Verification => "verification",
        }
    }
}

/// One planned change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedEffect {
    /// The change.
    pub effect: Effect,
    /// What a person wants to know and the digest does not cover: the command lines behind a selector, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One planned step or check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedUnit {
    /// Its name in the manifest.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Its part.
    pub role: UnitRole,
    /// In the order in which they were seen; empty for checks.
    pub effects: Vec<PlannedEffect>,
}

/// What applying a story would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this form.
    pub format: u32,
    /// The story.
    pub story: String,
    /// The variant of its rollback; `None`: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The author's version of its rollback.
    pub version: String,
    /// One line for people.
    pub title: String,
    /// Digest of component and manifest.
    pub bundle: Digest,
    /// Digest of everything that decides what may be done: bundle, grants, meanings of names, limits.
    pub resolved: Digest,
    /// What happens when a step fails. In the digest by way of `resolved`.
    pub on_fail: OnFail,
    /// The story counts as taken back already: no step runs, the verifications alone do.
    pub already: bool,
    /// The guest's clock, in milliseconds since the epoch: pinned, so that the run sees what the plan saw. Not in the digest.
    pub clock_ms: u64,
    /// In the order in which they run.
    pub units: Vec<PlannedUnit>,
    /// Safety properties that would be weakened. Such a plan needs approvals, and its run must be taken back in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weakens: Vec<Weakening>,
    /// What a person looks at by hand once it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<ChecklistItem>,
    /// By which trust root the bundle was judged. What has expired is in the digest, so that who approves knows of it; the
    /// rest is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustUsed>,
}

impl Plan {
    /// The present version of the form.
    pub const FORMAT: u32 = 1;

    /// SHA-256 over what the plan would do: story, bundle, what decides, and every effect in order. Symbolic names only:
    /// the same site gives the same digest.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<Vec<u8>> = vec![
            b"unship plan v1".to_vec(),
            self.story.clone().into_bytes(),
            self.version.clone().into_bytes(),
            self.bundle.bytes().to_vec(),
            self.resolved.bytes().to_vec(),
            vec![u8::from(self.already)],
        ];
        for unit in &self.units {
            parts.push(format!("{} {}", unit.role.word(), unit.name).into_bytes());
            for planned in &unit.effects {
                parts.push(serde_json::to_vec(&planned.effect).unwrap_or_default());
            }
        }
        if let Some(variant) = &self.variant {
            parts.push(format!("variant {variant}").into_bytes());
        }
        for weakening in &self.weakens {
            parts.push(b"weakens".to_vec());
            parts.push(serde_json::to_vec(weakening).unwrap_or_default());
        }
        for item in &self.checklist {
            parts.push(format!("checklist {}", item.name).into_bytes());
            parts.push(item.title.clone().into_bytes());
        }
        for lapse in self.lapses() {
            parts.push(format!("expired {lapse}").into_bytes());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Digest::of_parts(&parts)
    }

    /// What of its trust has expired, in words.
    pub fn lapses(&self) -> &[String] {
        self.trust.as_ref().map_or(&[], |trust| &trust.lapses)
    }

    /// Gives it the checklist of the policy, or, where that has none, one of its own.
    #[must_use]
    pub fn with_checklist(mut self, of_policy: &[ChecklistItem]) -> Plan {
        self.checklist = if of_policy.is_empty() { crate::checklist::derived(&self.units) } else { of_policy.to_vec() };
        self
    }

    /// How many people must approve of it; `None`: it weakens nothing.
    pub fn approvals(&self) -> Option<u32> {
        self.weakens.iter().map(|weakening| weakening.approvals).max()
    }

    /// Every planned effect with its step's name, in order.
    pub fn effects(&self) -> impl Iterator<Item = (&str, &Effect)> {
        self.units.iter().flat_map(|unit| unit.effects.iter().map(|e| (unit.name.as_str(), &e.effect)))
    }

    /// The number, within the run, of effect `n` of the unit with this index: its name in the trash.
    pub fn number(&self, index: usize, n: usize) -> u64 {
        let before: usize = self.units.iter().take(index).map(|unit| unit.effects.len()).sum();
        (before + n) as u64
    }

    /// What cannot be taken back, and why.
    pub fn irreversible(&self) -> impl Iterator<Item = (&Effect, &'static str)> {
        self.effects().filter_map(|(_, effect)| match effect.undo() {
            Undo::Cannot(why) => Some((effect, why)),
            Undo::Automatic | Undo::Command(_) | Undo::Service(_) | Undo::Call(_) => None,
        })
    }

    /// What distinguishes `self` (expected) from `now`, a line each, `-` for what is no longer planned and `+` for what is new.
    pub fn difference(&self, now: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |what: &str, old: String, new: String| {
            if old != new {
                lines.push(format!("- {what}: {old}"));
                lines.push(format!("+ {what}: {new}"));
            }
        };
        let variant = |plan: &Plan| plan.variant.clone().unwrap_or_else(|| "none".to_owned());
        compare("variant", variant(self), variant(now));
        compare("version", self.version.clone(), now.version.clone());
        compare("bundle", self.bundle.to_string(), now.bundle.to_string());
        compare("policy", self.resolved.to_string(), now.resolved.to_string());
        compare("taken back already", self.already.to_string(), now.already.to_string());
        let weakens = |plan: &Plan| plan.weakens.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        compare("weakens", weakens(self), weakens(now));
        let items = |plan: &Plan| plan.checklist.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(", ");
        compare("checklist", items(self), items(now));
        let old: Vec<(&str, &Effect)> = self.effects().collect();
        let new: Vec<(&str, &Effect)> = now.effects().collect();
        let line = |sign: char, (unit, effect): &(&str, &Effect)| {
            let content = match effect {
                Effect::FileCreated { content: Some(c), .. } | Effect::FileWritten { content: Some(c), .. } => c.digest,
                Effect::FileReplaced { content, .. } => content.digest,
                _ => None,
            };
            let digest = content.map_or_else(String::new, |d| format!(" {d}"));
            format!("{sign} {unit}: {effect}{digest}")
        };
        lines.extend(old.iter().filter(|e| !new.contains(e)).map(|e| line('-', e)));
        lines.extend(new.iter().filter(|e| !old.contains(e)).map(|e| line('+', e)));
        if lines.is_empty() && self.digest() != now.digest() {
            lines.push("the same effects in another order".to_owned());
        }
        lines
    }
}
