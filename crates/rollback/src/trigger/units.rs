//! Quantities with their units, and which metric each fits.
//!
//! Everything is compared in base units: seconds, bytes, a ratio from 0 to 1, a number per second. `25%` is 0.25, `1 KB` is
//! 1000 bytes and `1 KiB` 1024. A metric whose name ends in a unit takes that unit alone.

use super::rule::RuleError;
use crate::chart::Unit;
use std::ops::Range;

/// What a quantity measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    Plain,
    Ratio,
    Seconds,
    Bytes,
    PerSecond,
    Things,
}

/// A number in the base unit of its dimension.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantity {
    pub number: f64,
    pub dimension: Dimension,
    pub span: Range<usize>,
}

/// The units of a duration, each in milliseconds.
pub(super) const DURATIONS: &[(&str, f64)] = &[
    ("ms", 1.0),
    ("s", 1e3),
    ("m", 60e3),
    ("h", 3600e3),
    ("d", 86_400e3),
    ("seconds", 1e3),
    ("minutes", 60e3),
    ("hours", 3600e3),
];
const BYTES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];
/// What can be counted, for reading aloud: `100 jobs`, `100 records/s`.
pub(super) const THINGS: &[&str] = &["records", "jobs", "requests", "errors", "events", "files", "rows"];
/// Behind a slash, in seconds.
pub(super) const PER: &[(&str, f64)] = &[("s", 1.0), ("m", 60.0), ("h", 3600.0), ("second", 1.0), ("minute", 60.0)];
/// The longest duration of a rule, in milliseconds.
pub(super) const DURATION_MS_MAX: f64 = 366.0 * 86_400e3;

/// `number` in `unit`, if that is a unit of time or of bytes.
pub(super) fn measured(number: f64, unit: &str) -> Option<(f64, Dimension)> {
    let of = |table: &[(&str, f64)]| table.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    if let Some(ms) = of(DURATIONS) {
        return Some((number * ms / 1e3, Dimension::Seconds));
    }
    of(BYTES).map(|bytes| (number * bytes, Dimension::Bytes))
}

/// Everything that can stand behind a number, for a message.
pub(super) fn known() -> String {
    let names = |table: &[(&str, f64)]| table.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    format!("the units are %, {}, {}, {}, and `/s`, `/m`, `/h`", names(DURATIONS), names(BYTES), THINGS.join(", "))
}

/// What the end of a metric's name says of its samples.
pub(super) struct Suffix {
    end: &'static str,
    dimension: Dimension,
    /// What a number in the base unit is multiplied by.
    factor: f64,
    words: &'static str,
    /// How its samples are shown.
    pub unit: Unit,
}

const SUFFIXES: &[Suffix] = &[
    suffix("_seconds", Dimension::Seconds, 1.0, "seconds", Unit::Seconds),
    suffix("_milliseconds", Dimension::Seconds, 1e3, "milliseconds", Unit::Milliseconds),
    suffix("_ms", Dimension::Seconds, 1e3, "milliseconds", Unit::Milliseconds),
    suffix("_bytes", Dimension::Bytes, 1.0, "bytes", Unit::Bytes),
    suffix("_ratio", Dimension::Ratio, 1.0, "a ratio", Unit::Ratio),
    suffix("_percent", Dimension::Ratio, 100.0, "percent", Unit::Percent),
    suffix("_per_second", Dimension::PerSecond, 1.0, "a number per second", Unit::PerSecond),
];

const fn suffix(end: &'static str, dimension: Dimension, factor: f64, words: &'static str, unit: Unit) -> Suffix {
    Suffix { end, dimension, factor, words, unit }
}

/// The suffix of a metric's name, if it has one that says anything.
pub(super) fn suffix_of(metric: &str) -> Option<&'static Suffix> {
    let base = metric.strip_suffix("_total").unwrap_or(metric);
    SUFFIXES.iter().find(|suffix| base.ends_with(suffix.end))
}

/// The number that `quantity` is for a metric of this name.
pub(super) fn fit(quantity: &Quantity, metric: &str) -> Result<f64, RuleError> {
    let Some(suffix) = suffix_of(metric) else { return Ok(quantity.number) };
    if quantity.dimension == Dimension::Plain {
        return Ok(quantity.number);
    }
    if quantity.dimension != suffix.dimension {
        return Err(misfit(quantity, &format!("`{metric}` is measured in {}", suffix.words)));
    }
    Ok(quantity.number * suffix.factor)
}

/// The number that `quantity` is where something is counted.
pub(super) fn count(quantity: &Quantity) -> Result<f64, RuleError> {
    match quantity.dimension {
        Dimension::Plain | Dimension::Things => Ok(quantity.number),
        _ => Err(misfit(quantity, "a count is a number")),
    }
}

/// The number that `quantity` is for a ratio.
pub(super) fn ratio(quantity: &Quantity) -> Result<f64, RuleError> {
    match quantity.dimension {
        Dimension::Plain | Dimension::Ratio => Ok(quantity.number),
        _ => Err(misfit(quantity, "a ratio is a number or a percentage")),
    }
}

fn misfit(quantity: &Quantity, rule: &str) -> RuleError {
    let is = match quantity.dimension {
        Dimension::Plain => "a number",
        Dimension::Ratio => "a percentage",
        Dimension::Seconds => "a time",
        Dimension::Bytes => "an amount of bytes",
        Dimension::PerSecond => "a number per second",
        Dimension::Things => "a number of things",
    };
    RuleError::at(quantity.span.clone(), format!("this is {is}, and {rule}"))
}
