//! What a run tells of itself.

use super::{AppliedEffect, RunState};
use crate::{Outcome, Permission, Plan, RunId, TrackedItem, Verdict};

impl RunState {
    /// The run's id, once it has begun.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// Which story it takes back.
    pub fn story(&self) -> &str {
        &self.story
    }

    /// When it began, in milliseconds since the epoch by the host's clock.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// When it ended last, in milliseconds since the epoch by the host's clock.
    pub fn ended_ms(&self) -> u64 {
        self.ended_ms
    }

    /// What people approved of before it began.
    pub fn permission(&self) -> Option<&Permission> {
        self.permission.as_ref()
    }

    /// The pinned plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// The effects so far, oldest first; those that were taken back among them.
    pub fn applied(&self) -> &[AppliedEffect] {
        &self.applied
    }

    /// The checklist, in its order, with who looked at what.
    pub fn checklist(&self) -> Vec<TrackedItem> {
        self.plan.iter().flat_map(|plan| self.ticks.of(plan)).collect()
    }

    /// How many calls were denied.
    pub fn denied(&self) -> usize {
        self.denied
    }

    /// How it ended; `None` while it is in flight.
    pub fn ended(&self) -> Option<&(Outcome, Option<Verdict>, Option<String>)> {
        self.ended.as_ref()
    }
}
