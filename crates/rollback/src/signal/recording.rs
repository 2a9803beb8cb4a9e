//! Recorded samples in memory, of the metrics that somebody asks for: read in whatever order a format has them, given
//! back in the order of time.

use super::{Millis, Refused, Sample, Series, Sink};
use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    ops::Range,
};

/// See the module. It takes 16 bytes a sample.
#[derive(Debug, Clone)]
pub struct Recording {
    metrics: BTreeSet<String>,
    samples_max: usize,
    series_max: usize,
    index: BTreeMap<Series, usize>,
    series: Vec<(Series, Vec<Sample>)>,
    samples: usize,
}

impl Recording {
    /// An empty one that takes samples of `metrics`, at most so many.
    pub fn new(metrics: BTreeSet<String>, series_max: usize, samples_max: usize) -> Recording {
        Recording { metrics, samples_max, series_max, index: BTreeMap::new(), series: Vec::new(), samples: 0 }
    }

    /// How many samples it holds.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The series, in the order in which they came, each with its samples by time once [`Recording::sort`] was called.
    pub fn series(&self) -> &[(Series, Vec<Sample>)] {
        &self.series
    }

    /// The times of the first and the last sample; `None`: there is none.
    pub fn span(&self) -> Option<Range<Millis>> {
        let times = || self.series.iter().flat_map(|(_, samples)| samples.iter().map(|s| s.at));
        Some(times().min()?..times().max()?)
    }

    /// Brings each series into the order of time. What has the same time keeps the order in which it came.
    pub fn sort(&mut self) {
        for (_, samples) in &mut self.series {
            if !samples.is_sorted_by_key(|s| s.at) {
                samples.sort_by_key(|s| s.at);
            }
        }
    }

    /// Gives every sample with its series' place in [`Recording::series`], by time; at one time in the order of the series.
    pub fn replay(&mut self, mut each: impl FnMut(usize, Sample)) {
        self.sort();
        // What comes next of each series; the heap gives the greatest, so all is turned around.
        let mut next: BinaryHeap<(i64, i64, usize)> = BinaryHeap::new();
        let place = |n: usize| -i64::try_from(n).unwrap_or(i64::MAX);
        for (n, (_, samples)) in self.series.iter().enumerate() {
            next.extend(samples.first().map(|s| (-s.at.0, place(n), 0)));
        }
        while let Some((_, turned, at)) = next.pop() {
            let n = usize::try_from(-turned).unwrap_or_default();
            let samples = &self.series[n].1;
            each(n, samples[at]);
            next.extend(samples.get(at + 1).map(|s| (-s.at.0, turned, at + 1)));
        }
    }
}

impl Sink for &mut Recording {
    type Key = usize;

    fn wants(&self, metric: &str) -> bool {
        self.metrics.contains(metric)
    }

    fn series(&mut self, series: &Series) -> Result<Option<usize>, Refused> {
        if let Some(n) = self.index.get(series) {
            return Ok(Some(*n));
        }
        if self.series.len() >= self.series_max {
            return Err(Refused(format!("there are more than {} series", self.series_max)));
        }
        let n = self.series.len();
        self.index.insert(series.clone(), n);
        self.series.push((series.clone(), Vec::new()));
        Ok(Some(n))
    }

    fn sample(&mut self, key: usize, sample: Sample) -> Result<(), Refused> {
        if self.samples >= self.samples_max {
            return Err(Refused(format!("there are more than {} samples", self.samples_max)));
        }
        self.samples += 1;
        self.series[key].1.push(sample);
        Ok(())
    }
}
