//! What series did lately: their newest part, thinned, in memory that does not grow. The picture of what set a trigger off, and of
//! what came after it, is made of it.

use super::{Millis, Sample, Series};
use crate::chart::LINES_MAX;
use std::collections::{BTreeMap, VecDeque};

/// Stretches of time that a trail is made of. Each keeps its first, least, greatest and last sample, so that no extreme is lost.
const STRETCHES: i64 = 240;

/// The newest part of one series.
#[derive(Debug, Clone, Default, PartialEq)]
struct Trail {
    /// Each with its number, counted from the epoch.
    stretches: VecDeque<(i64, Vec<Sample>)>,
}

impl Trail {
    fn take(&mut self, stretch_ms: i64, sample: Sample) {
        let number = sample.at.0.div_euclid(stretch_ms);
        let newest = self.stretches.back().map_or(number, |(newest, _)| number.max(*newest));
        if number <= newest.saturating_sub(STRETCHES) {
            return;
        }
        // Nearly always the last one, or one behind it: what comes late is rare.
        let at = self.stretches.partition_point(|(other, _)| *other < number);
        match self.stretches.get_mut(at).filter(|(other, _)| *other == number) {
            Some((_, kept)) => thin(kept, sample),
            None => self.stretches.insert(at, (number, vec![sample])),
        }
        while self.stretches.front().is_some_and(|(oldest, _)| *oldest <= newest.saturating_sub(STRETCHES)) {
            self.stretches.pop_front();
        }
    }

    fn newest(&self) -> Option<Millis> {
        self.stretches.back().and_then(|(_, kept)| kept.last()).map(|s| s.at)
    }
}

/// One more sample of a stretch, of which the first, the least, the greatest and the last stay, in the order of time.
fn thin(kept: &mut Vec<Sample>, sample: Sample) {
    let at = kept.partition_point(|s| s.at <= sample.at);
    kept.insert(at, sample);
    if kept.len() <= 4 {
        return;
    }
    let by_value = |a: &usize, b: &usize| kept[*a].value.total_cmp(&kept[*b].value);
    let numbers = (0..kept.len()).filter(|n| !kept[*n].value.is_nan());
    let (least, most) = (numbers.clone().min_by(by_value), numbers.max_by(by_value));
    let last = kept.len() - 1;
    let mut n = 0;
    kept.retain(|_| {
        let stays = n == 0 || n == last || Some(n) == least || Some(n) == most;
        n += 1;
        stays
    });
}

/// See the module. Of each metric so many series are followed as are drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trails {
    /// By metric: how many milliseconds a stretch is long.
    stretches: BTreeMap<String, i64>,
    trails: BTreeMap<String, BTreeMap<Series, Trail>>,
}

impl Trails {
    /// Of these metrics, each with how many milliseconds back it is followed.
    pub fn new(lengths: BTreeMap<String, i64>) -> Trails {
        let stretches = lengths.into_iter().map(|(metric, length_ms)| (metric, (length_ms / STRETCHES).max(1)));
        Trails { stretches: stretches.collect(), trails: BTreeMap::new() }
    }

    /// The same for other metrics, or other lengths: what stays as it was is kept.
    #[must_use]
    pub fn carried(&self, lengths: BTreeMap<String, i64>) -> Trails {
        let mut next = Trails::new(lengths);
        let stays =
            |metric: &String| next.stretches.get(metric).is_some_and(|ms| self.stretches.get(metric) == Some(ms));
        next.trails =
            self.trails.iter().filter(|(metric, _)| stays(metric)).map(|(a, b)| (a.clone(), b.clone())).collect();
        next
    }

    /// Takes a sample, if its series is followed or there is room for it.
    pub fn take(&mut self, series: &Series, sample: Sample) {
        let Some(stretch_ms) = self.stretches.get(series.metric()).copied() else { return };
        if !self.trails.contains_key(series.metric()) {
            self.trails.insert(series.metric().to_owned(), BTreeMap::new());
        }
        let Some(of_metric) = self.trails.get_mut(series.metric()) else { return };
        if let Some(trail) = of_metric.get_mut(series) {
            trail.take(stretch_ms, sample);
            return;
        }
        // One that has ended gives way.
        let since = Millis(sample.at.0.saturating_sub(stretch_ms.saturating_mul(STRETCHES)));
        if of_metric.len() < LINES_MAX || give_way(of_metric, |newest| newest < Some(since)) {
            of_metric.entry(series.clone()).or_default().take(stretch_ms, sample);
        }
    }

    /// Follows a series from now on, whatever else gives way.
    pub fn follow(&mut self, series: &Series) {
        if !self.stretches.contains_key(series.metric()) {
            return;
        }
        let of_metric = self.trails.entry(series.metric().to_owned()).or_default();
        if !of_metric.contains_key(series) && (of_metric.len() < LINES_MAX || give_way(of_metric, |_| true)) {
            of_metric.insert(series.clone(), Trail::default());
        }
    }

    /// The series of a metric that are followed.
    pub fn series(&self, metric: &str) -> impl Iterator<Item = &Series> {
        self.trails.get(metric).into_iter().flat_map(BTreeMap::keys)
    }

    /// What is known of a series after `after`, in the order of time.
    pub fn since(&self, series: &Series, after: Millis) -> Vec<Sample> {
        let trail = self.trails.get(series.metric()).and_then(|of_metric| of_metric.get(series));
        let all = trail.into_iter().flat_map(|trail| trail.stretches.iter().flat_map(|(_, kept)| kept));
        all.filter(|s| s.at > after).copied().collect()
    }
}

/// Removes the series that was seen least lately, if it may go.
fn give_way(of_metric: &mut BTreeMap<Series, Trail>, may_go: impl Fn(Option<Millis>) -> bool) -> bool {
    let oldest = of_metric
        .iter()
        .min_by_key(|(_, trail)| trail.newest())
        .map(|(series, trail)| (series.clone(), trail.newest()));
    match oldest {
        Some((series, newest)) if may_go(newest) => of_metric.remove(&series).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: usize) -> Series {
        Series::new("seconds", BTreeMap::from([("n".to_owned(), n.to_string())])).expect("a series")
    }

    fn trails() -> Trails {
        Trails::new(BTreeMap::from([("seconds".to_owned(), 240_000)]))
    }

    fn sample(at: i64, value: f64) -> Sample {
        Sample { at: Millis(at), value }
    }

    fn values(trails: &Trails, n: usize, after: i64) -> Vec<(i64, f64)> {
        trails.since(&series(n), Millis(after)).iter().map(|s| (s.at.0, s.value)).collect()
    }

    #[test]
    fn a_stretch_keeps_its_ends_and_extremes_and_what_is_old_goes() {
        let mut trails = trails();
        for (at, value) in
            [(0, 3.0), (100, 9.0), (200, 4.0), (300, 5.0), (400, 1.0), (500, 4.5), (999, 6.0), (1000, 7.0)]
        {
            trails.take(&series(0), sample(at, value));
        }
        assert_eq!(values(&trails, 0, -1), [(0, 3.0), (100, 9.0), (400, 1.0), (999, 6.0), (1000, 7.0)]);
        assert_eq!(values(&trails, 0, 400), [(999, 6.0), (1000, 7.0)]);
        // What comes late finds its place, and what is too old has none.
        trails.take(&series(0), sample(239_500, 2.0));
        trails.take(&series(0), sample(1500, 8.0));
        assert_eq!(values(&trails, 0, 999), [(1000, 7.0), (1500, 8.0), (239_500, 2.0)]);
        trails.take(&series(0), sample(240_000, 2.5));
        assert_eq!(values(&trails, 0, -1), [(1000, 7.0), (1500, 8.0), (239_500, 2.0), (240_000, 2.5)]);
        trails.take(&series(0), sample(1, 1.0));
        assert_eq!(values(&trails, 0, -1).len(), 4);
    }

    #[test]
    fn however_many_samples_and_series_come_it_takes_no_more_room() {
        let mut trails = trails();
        for at in 0..100_000 {
            trails.take(&series(0), sample(at * 10, (at % 7) as f64));
        }
        assert!(values(&trails, 0, -1).len() <= 4 * 240);
        for n in 0..1000 {
            trails.take(&series(n), sample(1_000_000, 1.0));
        }
        assert_eq!(trails.series("seconds").count(), LINES_MAX);
        // What made a trigger fire is followed, though others came first; what ended gives way by itself.
        trails.follow(&series(500));
        trails.take(&series(500), sample(1_000_001, 2.0));
        assert_eq!((values(&trails, 500, -1), trails.series("seconds").count()), (vec![(1_000_001, 2.0)], LINES_MAX));
        trails.take(&series(900), sample(1_240_002, 3.0));
        assert_eq!(values(&trails, 900, -1), [(1_240_002, 3.0)]);
        trails.take(&Series::new("other", BTreeMap::new()).expect("a series"), sample(0, 1.0));
        assert_eq!(trails.series("other").count(), 0, "nobody asked for it");
    }

    #[test]
    fn other_policies_keep_what_stays_as_it_was() {
        let mut trails = trails();
        trails.take(&series(0), sample(0, 1.0));
        let of = |length_ms| trails.carried(BTreeMap::from([("seconds".to_owned(), length_ms)]));
        assert_eq!(values(&of(240_000), 0, -1), [(0, 1.0)]);
        assert_eq!(values(&of(480_000), 0, -1), []);
        assert_eq!(values(&trails.carried(BTreeMap::new()), 0, -1), []);
    }
}
