//! A rule's value over time, with its threshold, the time for which it was over it, and the moment at which that was
//! enough: as SVG for a page and as characters for a terminal.
//!
//! A chart is as wide as it is, however many samples it has: each column keeps its first, least, greatest and last one, so
//! that no breach is lost by drawing, and neither size nor memory of what is drawn grows with the data.

mod columns;
mod scale;
mod svg;
mod terminal;
mod unit;

use crate::signal::{Millis, Sample};
use std::ops::Range;

pub use svg::svg;
pub use terminal::{Characters, terminal};
pub use unit::Unit;

/// What is drawn. All texts may be foreign: they are made harmless and escaped.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// What it is about: the rule's name.
    pub title: &'a str,
    /// The rule in its own words.
    pub rule: &'a str,
    /// What the values are.
    pub unit: Unit,
    /// From when until when. What lies outside is not drawn.
    pub span: Range<Millis>,
    /// The values, one line a series; those beyond [`LINES_MAX`] are counted, not drawn.
    pub lines: Vec<Line<'a>>,
    /// Whether only some of the samples that there were are given, with all extremes: then their number says nothing.
    pub is_thinned: bool,
    /// After this long without a sample a line is broken: nothing is known there. `None`: only where a series ends.
    pub gap: Option<Millis>,
    /// The limits that are not to be crossed.
    pub thresholds: Vec<Threshold>,
    /// What is shaded: when the condition held and was not yet enough, or the time on which a rule that fired looked back.
    pub windows: Vec<Range<Millis>>,
    /// What that is.
    pub window_words: String,
    /// When it was.
    pub fired: Vec<Millis>,
    /// What else happened.
    pub marks: Vec<Mark>,
    /// A time as `YYYY-MM-DD hh:mm:ss`; the pure crates have no calendar.
    pub calendar: fn(Millis) -> String,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// What it is called.
    pub name: String,
    /// In the order of time. NaN breaks the line; infinities lie at the edge.
    pub samples: &'a [Sample],
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// In the unit of the values.
    pub value: f64,
    /// Where a breach is: `above`, `below`.
    pub side: &'static str,
}

/// Something that happened, beside what the rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Millis,
    /// What: `the rollback began`.
    pub what: String,
}

/// Lines that are drawn; one more would be one of too many to tell apart.
pub const LINES_MAX: usize = 8;
/// Moments that are named one by one.
const NAMED_MAX: usize = 4;

impl Chart<'_> {
    /// What the chart shows in a few sentences, for those who do not see it.
    fn words(&self) -> Vec<String> {
        let time = |at: Millis| (self.calendar)(at);
        let mut words = vec![format!("From {} to {} (UTC).", time(self.span.start), time(self.span.end))];
        for line in self.lines.iter().take(LINES_MAX) {
            let within = line.samples.iter().filter(|s| self.span.start <= s.at && s.at <= self.span.end);
            let (mut least, mut most, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0usize);
            for s in within.filter(|s| !s.value.is_nan()) {
                (least, most, count) = (least.min(s.value), most.max(s.value), count + 1);
            }
            words.push(match count {
                0 => format!("{}: no data.", line.name),
                _ if self.is_thinned => format!("{}: {} to {}.", line.name, self.value(least), self.value(most)),
                _ => format!("{}: {} to {} in {count} samples.", line.name, self.value(least), self.value(most)),
            });
        }
        if self.lines.len() > LINES_MAX {
            words.push(format!("{} more series are not drawn.", self.lines.len() - LINES_MAX));
        }
        for threshold in &self.thresholds {
            words.push(format!("A breach is {} {}.", threshold.side, self.value(threshold.value)));
        }
        words.push(match self.fired.as_slice() {
            [] => "It does not fire.".to_owned(),
            all => {
                let named: Vec<String> = all.iter().take(NAMED_MAX).map(|at| time(*at)).collect();
                let more = all.len() - named.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} times more") };
                format!("It fires at {}{more}.", named.join(", "))
            }
        });
        words.extend(self.marks.iter().map(|mark| format!("At {} {}.", time(mark.at), mark.what)));
        words
    }

    /// A value with its unit.
    fn value(&self, value: f64) -> String {
        self.unit.show(value)
    }
}
