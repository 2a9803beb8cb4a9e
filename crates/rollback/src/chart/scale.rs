//! Where a value or time lies in a picture, and which of them are written beside it.

use super::{Chart, LINES_MAX};
use crate::signal::Millis;
use std::ops::Range;

/// The values from the lower edge of a picture to its upper one; both finite, and not the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    min: f64,
    max: f64,
}

impl Scale {
    /// All that is drawn of a chart lies within, infinities apart.
    pub fn of(chart: &Chart<'_>) -> Scale {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        let within = |at: Millis| chart.span.start <= at && at <= chart.span.end;
        let samples = chart.lines.iter().take(LINES_MAX).flat_map(|line| line.samples).filter(|s| within(s.at));
        for value in samples.map(|s| s.value).chain(chart.thresholds.iter().map(|t| t.value)) {
            if value.is_finite() {
                (min, max) = (min.min(value), max.max(value));
            }
        }
        if min > max {
            (min, max) = (0.0, 1.0);
        }
        // Zero belongs to the picture where it is near: then heights compare.
        if min > 0.0 && min < max / 2.0 {
            min = 0.0;
        }
        if max < 0.0 && max > min / 2.0 {
            max = 0.0;
        }
        // Some room above and below, and a height for what is flat.
        let room = (max / 2.0 - min / 2.0) / 10.0;
        let room = if room > 0.0 { room } else { (max.abs() / 10.0).max(f64::MIN_POSITIVE * 1e10) };
        let low = if min == 0.0 { 0.0 } else { (min - room).max(f64::MIN) };
        Scale { min: low, max: (max + room).min(f64::MAX) }
    }

    /// From 0, the lower edge, to 1. Halves are taken so that no difference overflows.
    pub fn place(&self, value: f64) -> f64 {
        let height = self.max / 2.0 - self.min / 2.0;
        ((value.clamp(self.min, self.max) / 2.0 - self.min / 2.0) / height).clamp(0.0, 1.0)
    }

    /// About `count` round values within.
    pub fn ticks(&self, count: u32) -> Vec<f64> {
        let rough = (self.max / 2.0 - self.min / 2.0) / f64::from(count.max(1)) * 2.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.min / step).ceil() * step;
        if !step.is_normal() || !first.is_finite() {
            return vec![self.min, self.max];
        }
        (0..=2 * count).map(|n| first + f64::from(n) * step).take_while(|v| *v <= self.max).collect()
    }
}

/// At most `count` round times within a span.
pub(super) fn times(span: &Range<Millis>, count: i64) -> Vec<Millis> {
    const SECOND: i64 = 1000;
    const HOUR: i64 = 3600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map(|s| s * SECOND);
    let steps =
        steps.into_iter().chain([1, 2, 3, 6, 12].map(|h| h * HOUR)).chain([1, 2, 7, 14, 30, 90].map(|d| d * DAY));
    let length = span.end.0.saturating_sub(span.start.0);
    let step = steps.into_iter().find(|step| length / step < count).unwrap_or(length / count.max(1) + 1);
    let first = span.start.0.div_euclid(step).saturating_mul(step);
    let all = (0..=count).filter_map(|n| first.checked_add(n.checked_mul(step)?));
    all.filter(|at| span.start.0 <= *at && *at <= span.end.0).map(Millis).collect()
}

/// The part of a time that tells the ticks of a span apart.
pub(super) fn time_label(chart: &Chart<'_>, at: Millis) -> String {
    let text = (chart.calendar)(at);
    let length = chart.span.end.0.saturating_sub(chart.span.start.0);
    let part = match length {
        172_800_000.. => 0..10,
        1_200_000.. => 11..16,
        _ => 11..19,
    };
    text.get(part).unwrap_or(&text).to_owned()
}
