//! Quantities with their units, and which metric each fits.
//!
//! Everything is compared in base units: seconds, bytes, a ratio from 0 to 1, a number per second. `25%` is 0.25, `1 KB` is
//! 1000 bytes and `1 KiB` 1024. A metric whose name ends in a unit takes that unit alone.

use super::rule::RuleError;
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

/// The number that `quantity` is for a metric of this name.
pub(super) fn fit(quantity: &Quantity, metric: &str) -> Result<f64, RuleError> {
    let base = metric.strip_suffix("_total").unwrap_or(metric);
    // Suffix, the dimension that fits it, its unit in base units.
    let suffixes = [
        ("_seconds", Dimension::Seconds, 1.0, "seconds"),
        ("_milliseconds", Dimension::Seconds, 1e3, "milliseconds"),
        ("_ms", Dimension::Seconds, 1e3, "milliseconds"),
        ("_bytes", Dimension::Bytes, 1.0, "bytes"),
        ("_ratio", Dimension::Ratio, 1.0, "a ratio"),
        ("_percent", Dimension::Ratio, 100.0, "percent"),
        ("_per_second", Dimension::PerSecond, 1.0, "a number per second"),
    ];
    let Some((_, wanted, factor, words)) = suffixes.into_iter().find(|(suffix, ..)| base.ends_with(suffix)) else {
        return Ok(quantity.number);
    };
    if quantity.dimension == Dimension::Plain {
        return Ok(quantity.number);
    }
    if quantity.dimension != wanted {
        return Err(misfit(quantity, &format!("`{metric}` is measured in {words}")));
    }
    Ok(quantity.number * factor)
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
