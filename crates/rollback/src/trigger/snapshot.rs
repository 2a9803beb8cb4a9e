//! An evaluator's state as text, for the next process: everything that was pending goes on.

use super::{Evaluator, Settings, TriggerRule, state::State};
use serde::{Deserialize, Serialize};

/// The format that is written; an older one is read, a newer one refused.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    version: u32,
    rules: Vec<String>,
    state: State,
}

/// Only its version, whatever else a newer one may hold.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// Why a state was not taken up again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by a newer unship.
    #[error(
        "the triggers' state has format {0}, and this unship reads formats up to {VERSION}: use the newer one, or remove the state to begin anew"
    )]
    Newer(u32),
    /// The rules were changed since.
    #[error("the triggers' state is of other rules: {0}")]
    OtherRules(String),
    /// It is damaged.
    #[error("the triggers' state is damaged: {0}")]
    Damaged(String),
}

impl Evaluator {
    /// The state as JSON, on one line.
    ///
    /// # Panics
    /// Never: every part of the state can be written as JSON.
    pub fn snapshot(&self) -> String {
        let rules = self.rules.iter().map(TriggerRule::fingerprint).collect();
        let snapshot = Snapshot { version: VERSION, rules, state: self.state.clone() };
        serde_json::to_string(&snapshot).expect("numbers, texts and lists")
    }

    /// Goes on from a state that [`Evaluator::snapshot`] gave, for the same rules.
    ///
    /// # Errors
    /// [`RestoreError`]: a newer format, other rules, damage. Nothing is taken over then.
    pub fn restore(rules: Vec<TriggerRule>, settings: Settings, text: &str) -> Result<Evaluator, RestoreError> {
        let damaged = |e: serde_json::Error| RestoreError::Damaged(e.to_string());
        let header: Header = serde_json::from_str(text).map_err(damaged)?;
        if header.version > VERSION {
            return Err(RestoreError::Newer(header.version));
        }
        let snapshot: Snapshot = serde_json::from_str(text).map_err(damaged)?;
        let now: Vec<String> = rules.iter().map(TriggerRule::fingerprint).collect();
        if let Some(index) = (0..now.len().max(snapshot.rules.len())).find(|i| now.get(*i) != snapshot.rules.get(*i)) {
            let name =
                rules.get(index).map_or("a rule is gone".to_owned(), |r| format!("`{}` is new or changed", r.name));
            return Err(RestoreError::OtherRules(name));
        }
        let empty = Evaluator::new(rules, settings);
        check(&empty, &snapshot.state).map_err(|what| RestoreError::Damaged(what.to_owned()))?;
        Ok(Evaluator::with_state(empty.rules, empty.settings, snapshot.state))
    }
}

/// Every index leads somewhere.
fn check(empty: &Evaluator, state: &State) -> Result<(), &'static str> {
    for slot in &state.slots {
        let atom = empty.atoms.get(slot.atom as usize).ok_or("a slot of no term")?;
        if !slot.fits(&atom.term) || slot.series as usize >= state.series.len() {
            return Err("a slot that its term does not fit");
        }
    }
    for (index, side) in state.series.iter().flat_map(|s| s.slots.iter()) {
        let slot = state.slots.get(*index as usize).ok_or("a series of no slot")?;
        let sides = empty.atoms[slot.atom as usize].term.value.selectors().len();
        if usize::from(*side) >= sides {
            return Err("a series of no side");
        }
    }
    if state.waiting.iter().any(|(_, key, _)| *key as usize >= state.series.len()) {
        return Err("a sample of no series");
    }
    let fits = state.lives.len() == empty.state.lives.len()
        && state.lives.iter().zip(&empty.state.lives).all(|(life, new)| {
            life.when_held.len() == new.when_held.len() && life.clear_held.len() == new.clear_held.len()
        });
    if fits { Ok(()) } else { Err("triggers that its rules do not fit") }
}
