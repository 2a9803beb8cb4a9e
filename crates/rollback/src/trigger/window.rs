//! What a term remembers of the past: the points of a window, and a baseline as it is learned.
//!
//! Values are kept as their bits, so that state written down and read back is the same to the last bit, NaN too.

use super::Agg;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Points of the last so many milliseconds, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Window {
    points: VecDeque<(i64, u64)>,
}

impl Window {
    pub fn push(&mut self, at: i64, value: f64) {
        self.points.push_back((at, value.to_bits()));
    }

    /// Lets go of everything at or before `end`; says how many points that were.
    pub fn expire(&mut self, end: i64) -> usize {
        let before = self.points.len();
        while self.points.front().is_some_and(|(at, _)| *at <= end) {
            self.points.pop_front();
        }
        before - self.points.len()
    }

    /// When the newest point was.
    pub fn newest(&self) -> Option<i64> {
        self.points.back().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<(i64, u64)>()
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|(_, bits)| f64::from_bits(*bits))
    }

    /// The sum, compensated (Neumaier), so that it does not depend on which point came in before which left.
    pub fn sum(&self) -> f64 {
        let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
        for value in self.values() {
            let next = sum + value;
            if next.is_finite() {
                lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
            }
            sum = next;
        }
        if sum.is_finite() { sum + lost } else { sum }
    }

    /// The aggregate of all points; NaN when there is none or one of them is NaN.
    pub fn aggregate(&self, agg: Agg, scratch: &mut Vec<f64>) -> f64 {
        if self.points.is_empty() || self.values().any(f64::is_nan) {
            return f64::NAN;
        }
        match agg {
            Agg::Avg => self.sum() / count(self.len()),
            Agg::Sum => self.sum(),
            Agg::Min => self.values().fold(f64::INFINITY, f64::min),
            Agg::Max => self.values().fold(f64::NEG_INFINITY, f64::max),
            Agg::Percentile(p) => {
                scratch.clear();
                scratch.extend(self.values());
                percentile(scratch, p)
            }
        }
    }
}

/// A number of points as a float; there are never more than 2^53.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// The percentile by linear interpolation between the two nearest of `values`, which are put in order as far as needed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is between 0 and the length")]
fn percentile(values: &mut [f64], p: u8) -> f64 {
    let rank = f64::from(p) / 100.0 * count(values.len() - 1);
    let below = rank.floor() as usize;
    let weight = rank - rank.floor();
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    if weight == 0.0 || above.is_empty() { low } else { low * (1.0 - weight) + high * weight }
}

/// A window of learning is cut into this many slices.
const SLICES: i64 = 24;

/// Learns a baseline: the median of the means of the slices that are over. Slices without a sample do not count.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Learner {
    /// Number of the slice, sum of its samples as bits, how many.
    slices: VecDeque<(i64, u64, u32)>,
    /// As it stood when the last slice was over, as bits.
    baseline: Option<u64>,
}

impl Learner {
    /// Takes one more sample in. `over_ms` and `min` are those of policy.
    pub fn learn(&mut self, at: i64, value: f64, over_ms: i64, min: u32) {
        if !value.is_finite() {
            return;
        }
        let slice = at.div_euclid((over_ms / SLICES).max(1));
        if let Some((open, sum, n)) = self.slices.back_mut()
            && *open >= slice
        {
            *sum = (f64::from_bits(*sum) + value).to_bits();
            *n = n.saturating_add(1);
            return;
        }
        self.close(min);
        self.slices.push_back((slice, value.to_bits(), 1));
        while self.slices.front().is_some_and(|(oldest, ..)| *oldest < slice - SLICES) {
            self.slices.pop_front();
        }
    }

    /// All slices are over: what they say is the baseline, if they hold enough samples.
    fn close(&mut self, min: u32) {
        let samples: u64 = self.slices.iter().map(|(_, _, n)| u64::from(*n)).sum();
        if self.slices.is_empty() || samples < u64::from(min) {
            return;
        }
        let mut means: Vec<f64> = self.slices.iter().map(|(_, sum, n)| f64::from_bits(*sum) / f64::from(*n)).collect();
        self.baseline = Some(percentile(&mut means, 50).to_bits());
    }

    pub fn baseline(&self) -> Option<f64> {
        self.baseline.map(f64::from_bits)
    }

    pub fn bytes(&self) -> usize {
        self.slices.capacity() * size_of::<(i64, u64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(values: &[f64]) -> Window {
        let mut window = Window::default();
        for (at, value) in (1..).zip(values) {
            window.push(at, *value);
        }
        window
    }

    fn of(agg: Agg, values: &[f64]) -> f64 {
        window(values).aggregate(agg, &mut Vec::new())
    }

    #[test]
    fn aggregates() {
        let four = [4.0, 1.0, 3.0, 2.0];
        for (agg, expected) in [
            (Agg::Avg, 2.5),
            (Agg::Sum, 10.0),
            (Agg::Min, 1.0),
            (Agg::Max, 4.0),
            (Agg::Percentile(50), 2.5),
            (Agg::Percentile(99), 3.97),
        ] {
            assert!((of(agg, &four) - expected).abs() < 1e-12, "{agg}");
        }
        assert_eq!(of(Agg::Percentile(95), &[7.0]).to_bits(), 7.0_f64.to_bits());
        assert_eq!(
            of(Agg::Avg, &[1e100, 1.0, -1e100]).to_bits(),
            (1.0_f64 / 3.0).to_bits(),
            "nothing is lost on the way"
        );
        for agg in [Agg::Avg, Agg::Sum, Agg::Min, Agg::Max, Agg::Percentile(50)] {
            assert!(of(agg, &[]).is_nan() && of(agg, &[1.0, f64::NAN]).is_nan(), "{agg}");
        }
        assert!(of(Agg::Avg, &[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(of(Agg::Max, &[f64::INFINITY, 1.0]).is_infinite());
    }

    #[test]
    fn a_window_is_open_at_its_old_end() {
        let mut three = window(&[1.0, 2.0, 3.0]);
        assert_eq!((three.expire(1), three.len()), (1, 2));
        assert_eq!((three.expire(1), three.len()), (0, 2));
    }

    #[test]
    fn a_baseline_is_the_median_of_slices_that_are_over() {
        let mut learner = Learner::default();
        // 24 slices of one second, two samples each.
        for half in 0..8 {
            let value = if half / 2 == 2 { 1000.0 } else { 10.0 };
            assert_eq!(
                learner.baseline().is_some(),
                half > 6,
                "five samples at least, and a slice that is over: {half}"
            );
            learner.learn(half * 500, value, 24_000, 5);
        }
        learner.learn(4000, f64::NAN, 24_000, 5);
        learner.learn(4000, 10.0, 24_000, 5);
        assert!((learner.baseline().unwrap() - 10.0).abs() < 1e-12, "one slice that is an outlier does not move it");
    }
}
