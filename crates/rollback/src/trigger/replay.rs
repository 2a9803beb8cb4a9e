//! Recorded samples through the very evaluator that judges live ones: what a backtest and a unit test stand on.

use super::{Answer, Evaluator, Lookup, Settings, Transition, TransitionKind, TriggerRule};
use crate::signal::{Millis, Recording};
use std::collections::BTreeSet;

/// A recording is as large as whoever read it allowed: its points are not bounded once more.
pub(super) const POINTS_MAX: usize = usize::MAX / 2;

/// What rules would have done.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Every change, in the order of time.
    pub transitions: Vec<Transition>,
    /// Samples that were judged.
    pub samples: u64,
}

/// Watches `recording` with `rules`, from its first sample up to `until`.
pub fn replay(rules: Vec<TriggerRule>, recording: &mut Recording, until: Millis) -> Replay {
    let since = recording.span().map_or(until, |span| span.start);
    // A recording is in order.
    let settings = Settings {
        lateness_ms: 0,
        series_max: recording.series().len(),
        points_max: POINTS_MAX,
        waiting_max: recording.series().len().saturating_add(recording.samples()),
        ..Settings::since(since)
    };
    let mut evaluator = Evaluator::new(rules, settings);
    let keys: Vec<_> = recording.series().iter().map(|(series, _)| evaluator.series(series)).collect();
    let mut seen = Replay::default();
    let mut now = None;
    recording.replay(|n, sample| {
        if sample.at > until {
            return;
        }
        // Once for all that came at one time.
        if let Some(now) = now.filter(|now| *now < sample.at) {
            seen.transitions.extend(evaluator.advance(now));
        }
        now = Some(sample.at);
        if let Lookup::Watched(key) = keys[n] {
            evaluator.observe(key, sample);
        }
    });
    seen.transitions.extend(evaluator.advance(until));
    seen.samples = evaluator.stats().samples;
    seen
}

/// The metrics of which rules speak, each once.
pub fn metrics(rules: &[TriggerRule]) -> BTreeSet<String> {
    let both = rules.iter().flat_map(|rule| std::iter::once(&rule.when).chain(&rule.clear));
    both.flat_map(|rule| rule.metrics()).map(str::to_owned).collect()
}

impl Replay {
    /// When a rule did something.
    pub fn times<'a>(
        &'a self,
        rule: usize,
        is_meant: impl Fn(&TransitionKind) -> bool + 'a,
    ) -> impl Iterator<Item = Millis> + 'a {
        self.transitions.iter().filter(move |t| t.rule == rule && is_meant(&t.kind)).map(|t| t.at)
    }

    /// What a rule answered at a time.
    pub fn answer(&self, rule: usize, at: Millis) -> Answer {
        let mut answered =
            self.transitions.iter().filter(|t| t.rule == rule && t.at <= at).filter_map(|t| match &t.kind {
                TransitionKind::Answered { to, .. } => Some(*to),
                _ => None,
            });
        answered.next_back().unwrap_or(Answer::NoData)
    }
}
