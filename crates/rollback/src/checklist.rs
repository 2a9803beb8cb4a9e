//! The checklist of a run: what a person looks at by hand, and who did when. The policy says what stands on it; where it
//! says nothing, the plan does.

use crate::{Event, Plan, PlannedUnit, Record, Undo, UnitRole};
use std::collections::BTreeMap;
use unship_policy::ChecklistItem;

/// An item of a run's checklist and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedItem {
    /// What is to be looked at.
    pub item: ChecklistItem,
    /// Who looked, once somebody did.
    pub tick: Option<Tick>,
}

/// Who ticked an item off, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Who looked, as they say.
    pub by: String,
    /// The user of the machine who wrote it down.
    pub noted_by: String,
    /// Milliseconds since the epoch, by the host's clock.
    pub at_ms: u64,
}

/// The ticks of one run, by the items' names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticks(BTreeMap<String, Tick>);

impl Ticks {
    /// Takes in a tick; `None`: the plan has no such item, or it is ticked already, or this is no tick.
    pub fn take(&mut self, plan: &Plan, record: &Record) -> Option<()> {
        let Event::ItemTicked { item, by, noted_by } = &record.what else { return None };
        if self.0.contains_key(item) || !plan.checklist.iter().any(|known| known.name == *item) {
            return None;
        }
        let tick = Tick { by: by.clone(), noted_by: noted_by.clone(), at_ms: record.at_ms };
        self.0.insert(item.clone(), tick);
        Some(())
    }

    /// The items of `plan`, in its order.
    pub fn of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = TrackedItem> + 'a {
        plan.checklist.iter().map(|item| TrackedItem { item: item.clone(), tick: self.0.get(&item.name).cloned() })
    }
}

/// The checklist of a plan whose policy has none: every step that changes something, under its name, and every effect that
/// cannot be undone, under `step/n`.
pub(crate) fn derived(units: &[PlannedUnit]) -> Vec<ChecklistItem> {
    let mut items = Vec::new();
    for unit in units.iter().filter(|unit| unit.role == UnitRole::Step && !unit.effects.is_empty()) {
        items.push(ChecklistItem { name: unit.name.clone(), title: format!("It holds: {}", unit.title) });
        for (n, planned) in unit.effects.iter().enumerate() {
            if let Undo::Cannot(_) = planned.effect.undo() {
                let title = format!("It cannot be undone, and did what it should: {}", planned.effect);
                items.push(ChecklistItem { name: format!("{}/{n}", unit.name), title });
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, PlannedEffect};

    #[test]
    fn a_checklist_is_derived_from_what_the_plan_changes_and_cannot_undo() {
        let unit = |name: &str, role, effects: Vec<Effect>| PlannedUnit {
            name: name.to_owned(),
            title: format!("the title of {name}"),
            role,
            effects: effects.into_iter().map(|effect| PlannedEffect { effect, notes: Vec::new() }).collect(),
        };
        let removed = Effect::Removed { path: "a".to_owned() };
        let stopped = Effect::ProcessStopped { selector: "workers".to_owned(), started_by: None };
        let items = derived(&[
            unit("before", UnitRole::Precondition, Vec::new()),
            unit("idle", UnitRole::Step, Vec::new()),
            unit("stop", UnitRole::Step, vec![removed, stopped]),
            unit("after", UnitRole::Verification, Vec::new()),
        ]);
        let shown: Vec<String> = items.iter().map(|item| format!("{}: {}", item.name, item.title)).collect();
        assert_eq!(
            shown,
            [
                "stop: It holds: the title of stop",
                "stop/1: It cannot be undone, and did what it should: stop processes workers",
            ]
        );
    }
}
