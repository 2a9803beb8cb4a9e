//! What the series of an incident's triggers did: followed in memory all the time, and written down when a trigger fires, when its
//! story is taken back, and when it is over. The post-mortem's pictures are made of it.

use super::{Daemon, samples::millis};
use std::collections::{BTreeMap, BTreeSet};
use unship_rollback::{
    chart::LINES_MAX,
    incident::{Fact, Incident, IncidentId, Joined, Seen},
    signal::{Millis, Sample, Series, Trails},
    trigger::{Selector, TriggerRule},
};

const HOUR_MS: i64 = 3_600_000;
/// How long people take, and the run, and the time after it, mostly: so long are series followed beyond what is written down when
/// a trigger fires.
const AFTER_MS: i64 = 2 * HOUR_MS;

/// How long before it fires the picture of a rule begins: long enough to see how it was before.
fn before_ms(rule: &TriggerRule) -> i64 {
    rule.when.begun_before_ms().1.saturating_mul(3).clamp(HOUR_MS / 2, 24 * HOUR_MS)
}

/// How long each metric is followed.
fn lengths(rules: &[TriggerRule]) -> BTreeMap<String, i64> {
    let mut lengths = BTreeMap::new();
    for rule in rules {
        for metric in rule.when.metrics() {
            let length_ms = lengths.entry(metric.to_owned()).or_insert(0);
            *length_ms = before_ms(rule).saturating_add(AFTER_MS).max(*length_ms);
        }
    }
    lengths
}

/// Of the series that these rules speak of.
pub(super) fn trails(rules: &[TriggerRule]) -> Trails {
    Trails::new(lengths(rules))
}

impl Daemon {
    /// Other rules: what is followed all the same goes on.
    pub(super) fn carry_trails(&mut self) {
        self.trails = self.trails.carried(lengths(&self.parts.setup.rules));
    }

    pub(super) fn follow(&mut self, series: &Series, sample: Sample) {
        self.trails.take(series, sample);
    }

    /// What led to a trigger's firing. The series that made it fire comes first, and is followed from now on.
    pub(super) fn series_before(&mut self, incident: &IncidentId, rule: usize, cause: Option<&Series>) -> Option<Fact> {
        let when = &self.evaluator.rules()[rule].when;
        let after = millis(self.now_ms()).plus(-before_ms(&self.evaluator.rules()[rule]));
        let selectors: Vec<_> = when.terms().iter().flat_map(|term| term.value.selectors()).collect();
        let mut series: Vec<Series> = cause.into_iter().cloned().collect();
        if let Some(cause) = cause {
            // The other side of a ratio has the same labels.
            let of_its_labels = |metric: &String| Series::new(metric.clone(), cause.labels().clone()).ok();
            series.extend(selectors.iter().filter_map(|s| of_its_labels(&s.metric).filter(|o| s.covers(o.labels()))));
        }
        for one in &series {
            self.trails.follow(one);
        }
        let of = |s: &&Selector| -> Vec<Series> {
            self.trails.series(&s.metric).filter(|one| s.covers(one.labels())).cloned().collect()
        };
        series.extend(selectors.iter().flat_map(of));
        let mut known = BTreeSet::new();
        series.retain(|one| known.insert(one.clone()));
        // More are not drawn.
        series.truncate(LINES_MAX);
        self.seen(incident, rule, &series, after)
    }

    /// What an incident's series did since that was written down last.
    pub(super) fn series_since(&self, incident: &Incident) -> Vec<Fact> {
        let of = |joined: &Joined| {
            let rule = self.rule(&joined.trigger)?;
            self.seen(&incident.id, rule, &joined.series, Millis(joined.seen_ms))
        };
        incident.triggers.iter().filter_map(of).collect()
    }

    fn seen(&self, incident: &IncidentId, rule: usize, series: &[Series], after: Millis) -> Option<Fact> {
        let seen: Vec<Seen> = series.iter().map(|s| Seen::new(s.clone(), &self.trails.since(s, after))).collect();
        if seen.iter().all(|seen| seen.samples.is_empty()) {
            return None;
        }
        let baselines = self.evaluator.terms(rule).into_iter();
        let baseline = baselines.filter(|term| series.first() == Some(&term.series)).find_map(|term| term.baseline);
        let trigger = super::qualified(&self.evaluator.rules()[rule]);
        Some(Fact::SeriesSeen { incident: incident.clone(), trigger, baseline, series: seen })
    }

    /// Puts what the series did before what ends a part of an incident's way.
    pub(super) fn with_series(&self, facts: Vec<Fact>) -> Vec<Fact> {
        let mut all = Vec::with_capacity(facts.len());
        for fact in facts {
            if let Fact::RunBegan { incident, .. }
            | Fact::VerdictReached { incident, .. }
            | Fact::IncidentClosed { incident, .. } = &fact
            {
                all.extend(self.incident(incident, |i| self.series_since(i)).unwrap_or_default());
            }
            all.push(fact);
        }
        all
    }
}
