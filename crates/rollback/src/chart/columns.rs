//! Samples into as many columns as a picture has, without losing an extreme.

use crate::signal::{Millis, Sample};
use std::ops::Range;

/// What of the samples of one column is drawn: the four that make a line look as if all were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    first: Sample,
    least: Sample,
    most: Sample,
    last: Sample,
    /// Whether nothing leads here from the column before.
    pub is_broken: bool,
}

impl Column {
    /// Least and greatest value.
    pub fn extremes(&self) -> (f64, f64) {
        (self.least.value, self.most.value)
    }

    /// The values through which the line goes, by time, each once.
    pub fn values(&self) -> Vec<f64> {
        let mut all = [self.first, self.least, self.most, self.last];
        all.sort_by_key(|s| s.at);
        let mut values: Vec<f64> = all.iter().map(|s| s.value).collect();
        values.dedup();
        values
    }
}

/// The column of a time, if `count` of them cover `span`.
pub(super) fn column(at: Millis, span: &Range<Millis>, count: usize) -> Option<usize> {
    if at < span.start || at > span.end || count == 0 {
        return None;
    }
    let length = i128::from(span.end.0) - i128::from(span.start.0);
    let offset = i128::from(at.0) - i128::from(span.start.0);
    let last = i128::try_from(count - 1).ok()?;
    // The last moment lies in the last column, and a span without a length in the first.
    usize::try_from(if length == 0 { 0 } else { offset * last / length }).ok()
}

/// `samples` in `count` columns. The line breaks at NaN and where there is none for longer than `gap`.
pub(super) fn columns(
    samples: &[Sample],
    span: &Range<Millis>,
    gap: Option<Millis>,
    count: usize,
) -> Vec<Option<Column>> {
    let mut all: Vec<Option<Column>> = vec![None; count];
    let mut before: Option<Millis> = None;
    for sample in samples {
        let Some(n) = column(sample.at, span, count) else { continue };
        if sample.value.is_nan() {
            before = None;
            continue;
        }
        let is_broken = before.is_none_or(|at| gap.is_some_and(|gap| sample.at.0.saturating_sub(at.0) > gap.0));
        before = Some(sample.at);
        match &mut all[n] {
            Some(column) => {
                if sample.value < column.least.value {
                    column.least = *sample;
                }
                if sample.value > column.most.value {
                    column.most = *sample;
                }
                column.last = *sample;
            }
            none => {
                *none = Some(Column { first: *sample, least: *sample, most: *sample, last: *sample, is_broken });
            }
        }
    }
    all
}

/// Which of `count` columns one of `spans` touches, as runs of columns.
pub(super) fn runs(spans: &[Range<Millis>], span: &Range<Millis>, count: usize) -> Vec<Range<usize>> {
    let mut touched = vec![false; count];
    for one in spans {
        let (start, end) = (one.start.max(span.start), one.end.min(span.end));
        if let (Some(from), Some(to)) = (column(start, span, count), column(end, span, count))
            && from <= to
        {
            touched[from..=to].fill(true);
        }
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    for n in (0..count).filter(|n| touched[*n]) {
        match runs.last_mut() {
            Some(run) if run.end == n => run.end += 1,
            _ => runs.push(n..n + 1),
        }
    }
    runs
}
