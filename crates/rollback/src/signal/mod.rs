//! Signals: what was observed, when. A [`Series`] is a metric with its labels; a [`Sample`] is one value of it at one time.
//!
//! Every value that an `f64` can hold is a sample's; what triggers make of NaN and the infinities stands in
//! `docs/triggers.md`. Names come from outside: they are checked here and made harmless when they are shown.

mod csv;
mod lines;
mod matrix;
mod notation;
mod read;
mod recording;
mod text_format;
mod trails;

use crate::neutralise;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

pub use csv::{Calendar, CsvReader};
pub use matrix::{TokenLimit, read_matrix};
pub use notation::{NotationError, STALE_BITS, parse_values};
pub use read::{ReadError, ReadLimits, Refused, Sink};
pub use recording::Recording;
pub use text_format::{Dialect, TextReader, parse_series};
pub use trails::Trails;

/// Bytes of a metric's or a label's name at most.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of a label's value at most.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Labels of one series at most.
pub const LABELS_MAX: usize = 64;

/// Unix time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Millis {
    /// This time and `ms` more, at the ends of the scale no further.
    #[must_use]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One value of a series. NaN and the infinities are values too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was observed.
    pub at: Millis,
    /// What was observed, in base units: seconds, bytes, a ratio from 0 to 1, a number per second.
    pub value: f64,
}

/// A metric with its labels: whose samples these are. Its parts are private, as they were checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawSeries", into = "RawSeries")]
pub struct Series {
    metric: String,
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct RawSeries {
    metric: String,
    labels: BTreeMap<String, String>,
}

impl From<Series> for RawSeries {
    fn from(series: Series) -> RawSeries {
        RawSeries { metric: series.metric, labels: series.labels }
    }
}

impl TryFrom<RawSeries> for Series {
    type Error = BadSeries;
    fn try_from(raw: RawSeries) -> Result<Series, BadSeries> {
        Series::new(raw.metric, raw.labels)
    }
}

/// A name or label that cannot be a series'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSeries {
    /// Not a metric's or a label's name.
    #[error("\"{}\" is not a name of a {what}: 1 to {NAME_BYTES_MAX} letters, digits and `_`, no digit first", short(.name))]
    Name {
        /// `metric` or `label`.
        what: &'static str,
        /// As it came.
        name: String,
    },
    /// A label's value is too long.
    #[error("the value of label `{label}` has {bytes} bytes; at most {VALUE_BYTES_MAX}")]
    Value {
        /// The label's name, which is well-formed.
        label: String,
        /// How long the value is.
        bytes: usize,
    },
    /// Too many labels.
    #[error("{0} labels; at most {LABELS_MAX}")]
    Labels(usize),
}

/// The beginning of a foreign text, harmless.
fn short(text: &str) -> String {
    let mut shown: String = neutralise(text).chars().take(80).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    shown
}

/// Whether `text` can be a metric's name: letters, digits, `_` and `:`, no digit first.
pub fn is_metric_name(text: &str) -> bool {
    is_name(text, true)
}

fn is_name(text: &str, colon: bool) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':'))
}

impl Series {
    /// Checks names and sizes.
    ///
    /// # Errors
    /// [`BadSeries`]: a name that is none, a value or a list of labels beyond its limit.
    pub fn new(metric: impl Into<String>, labels: BTreeMap<String, String>) -> Result<Series, BadSeries> {
        let metric = metric.into();
        if !is_metric_name(&metric) {
            return Err(BadSeries::Name { what: "metric", name: metric });
        }
        if labels.len() > LABELS_MAX {
            return Err(BadSeries::Labels(labels.len()));
        }
        for (label, value) in &labels {
            // What others write the metric's own name as is no label.
            if !is_name(label, false) || label == "__name__" {
                return Err(BadSeries::Name { what: "label", name: label.clone() });
            }
            if value.len() > VALUE_BYTES_MAX {
                return Err(BadSeries::Value { label: label.clone(), bytes: value.len() });
            }
        }
        Ok(Series { metric, labels })
    }

    /// The metric's name.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Label → value, by name. Values are any text: [`neutralise`] them where they are shown.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

/// As a person reads it, every value harmless for a terminal: `up{host="a"}`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (i, (label, value)) in self.labels.iter().enumerate() {
            let before = if i == 0 { "{" } else { ", " };
            write!(f, "{before}{label}=\"{}\"", neutralise(value).replace('"', "\\\""))?;
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(metric: &str, label: &str, value: &str) -> Result<Series, BadSeries> {
        Series::new(metric, BTreeMap::from([(label.to_owned(), value.to_owned())]))
    }

    #[test]
    fn names_are_checked_and_values_are_shown_harmless() {
        assert_eq!(one("up", "host", "a\x1b[2J\"\n").unwrap().to_string(), r#"up{host="a\x1b[2J\"\n"}"#);
        assert_eq!(Series::new("job:up", BTreeMap::new()).unwrap().to_string(), "job:up");
        for (metric, label, value, told) in [
            ("u\x1b[31mp", "host", "a", "\"u\\x1b[31mp\" is not a name of a metric"),
            ("", "host", "a", "is not a name of a metric"),
            ("0up", "host", "a", "is not a name of a metric"),
            ("up", "ho:st", "a", "\"ho:st\" is not a name of a label"),
            ("up", "h\n", "a", "\"h\\n\" is not a name of a label"),
            (&"u".repeat(257), "host", "a", "uuu…\" is not a name"),
            ("up", "host", &"v".repeat(4097), "`host` has 4097 bytes; at most 4096"),
        ] {
            let error = one(metric, label, value).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let many = (0..65).map(|i| (format!("l{i}"), String::new())).collect();
        assert_eq!(Series::new("up", many).unwrap_err().to_string(), "65 labels; at most 64");
    }

    #[test]
    fn a_series_that_is_read_back_is_checked_again() {
        let text = serde_json::to_string(&one("up", "host", "a\n").unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Series>(&text).unwrap(), one("up", "host", "a\n").unwrap());
        assert!(serde_json::from_str::<Series>(r#"{"metric":"u p","labels":{}}"#).is_err());
    }
}
