//! Other rules in the place of these: what is known of those that stay goes on.

use super::{
    Evaluator, Settings, TriggerRule,
    evaluator::as_u32,
    slot::Slot,
    state::{State, Watched},
};
use std::collections::HashMap;

impl Evaluator {
    /// An evaluator of `rules` that goes on where this one is, for every rule that both have unchanged: its windows, its
    /// baseline, since when it holds, whether it fired. Silences, runs and what was counted go on too.
    #[must_use]
    pub fn carried(&self, rules: Vec<TriggerRule>, settings: Settings) -> Evaluator {
        let carried = Evaluator::new(rules, settings);
        let old: HashMap<String, usize> =
            self.rules.iter().enumerate().map(|(index, rule)| (rule.fingerprint(), index)).collect();
        let mut atoms: HashMap<u32, u32> = HashMap::new();
        let mut lives = carried.state.lives.clone();
        let mut all_stay = true;
        for (index, rule) in carried.rules.iter().enumerate() {
            let Some(before) = old.get(&rule.fingerprint()) else {
                all_stay = false;
                continue;
            };
            lives[index] = self.state.lives[*before].clone();
            let (from, to) = (self.bounds[*before], carried.bounds[index]);
            atoms.extend((from.0..from.2).zip(to.0..to.2).map(|(a, b)| (as_u32(a), as_u32(b))));
        }
        let mut state = State {
            lives,
            series: Vec::new(),
            slots: Vec::new(),
            waiting: Vec::new(),
            refused: self.state.refused.iter().filter_map(|(atom, n)| Some((*atoms.get(atom)?, *n))).collect(),
            points: 0,
            // To a new rule a counter that is there now may have a past.
            watching_since: if all_stay {
                self.state.watching_since
            } else {
                self.state.now.max(self.state.watching_since)
            },
            ..self.state.clone()
        };
        let mut keys: HashMap<u32, u32> = HashMap::new();
        let mut slots: HashMap<u32, u32> = HashMap::new();
        for (key, watched) in self.state.series.iter().enumerate() {
            let kept =
                watched.slots.iter().filter(|(slot, _)| atoms.contains_key(&self.state.slots[*slot as usize].atom));
            let mut sides = Vec::new();
            for (slot, side) in kept {
                let index = *slots.entry(*slot).or_insert_with(|| {
                    state.slots.push(self.state.slots[*slot as usize].clone());
                    as_u32(state.slots.len() - 1)
                });
                sides.push((index, *side));
            }
            if !sides.is_empty() {
                keys.insert(as_u32(key), as_u32(state.series.len()));
                let was_interrupted = watched.was_interrupted;
                state.series.push(Watched { series: watched.series.clone(), slots: sides.into(), was_interrupted });
            }
        }
        for slot in &mut state.slots {
            slot.atom = atoms[&slot.atom];
            slot.series = keys.get(&slot.series).copied().unwrap_or_default();
            state.points += Slot::size(slot).0;
        }
        let stays = |(at, key, bits): &(i64, u32, u64)| Some((*at, *keys.get(key)?, *bits));
        state.waiting = self.state.waiting.iter().filter_map(stays).collect();
        let mut carried = Evaluator::with_state(carried.rules, carried.settings, state);
        let new: Vec<u32> =
            (0..as_u32(carried.atoms.len())).filter(|atom| !atoms.values().any(|a| a == atom)).collect();
        carried.watch_for(&new);
        carried
    }

    /// The series that are known already go to these atoms as well, where they are spoken of.
    fn watch_for(&mut self, new: &[u32]) {
        for key in 0..self.state.series.len() {
            let series = self.state.series[key].series.clone();
            let Some(sides) = self.by_metric.get(series.metric()) else { continue };
            let covers = |(atom, side): &&(u32, u8)| {
                new.contains(atom)
                    && self.atoms[*atom as usize].term.value.selectors()[usize::from(*side)].covers(series.labels())
            };
            let sides: Vec<(u32, u8)> = sides.iter().filter(covers).copied().collect();
            let slots: Vec<(u32, u8)> =
                sides.into_iter().map(|(atom, side)| (self.slot(atom, side, as_u32(key), &series), side)).collect();
            let watched = &mut self.state.series[key];
            watched.slots = watched.slots.iter().copied().chain(slots).collect();
        }
    }
}
