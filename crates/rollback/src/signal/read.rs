//! What every reader of recorded data has in common: where its samples go, how much it takes, how it says what is wrong.
//!
//! A reader is fed with bytes and hands over samples as it goes; it holds one line, and what tells the series apart. So its
//! memory is bounded by [`ReadLimits`], whatever it is fed with.

use super::{LABELS_MAX, Millis, Sample, Series};
use crate::text::neutralise_bytes;
use std::collections::BTreeMap;
use thiserror::Error;

/// Where a reader's samples go.
pub trait Sink {
    /// What a series is called from its second sample on.
    type Key: Copy + std::fmt::Debug;

    /// Whether anybody asks for a metric. The lines of one that nobody asks for are checked and passed over.
    fn wants(&self, metric: &str) -> bool;

    /// A series that was not seen before; `None`: nobody asks for it.
    ///
    /// # Errors
    ///
    /// It is one too many.
    fn series(&mut self, series: &Series) -> Result<Option<Self::Key>, Refused>;

    /// A sample of it.
    ///
    /// # Errors
    ///
    /// It is one too many.
    fn sample(&mut self, key: Self::Key, sample: Sample) -> Result<(), Refused>;
}

/// Why a [`Sink`] takes no more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// How much a reader takes.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Bytes of a line, or of one text or number in JSON.
    pub line_bytes_max: usize,
    /// Spellings of series that are told apart.
    pub series_max: usize,
    /// Bytes of all of them together.
    pub series_bytes_max: usize,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits { line_bytes_max: 64 << 10, series_max: 1_000_000, series_bytes_max: 256 << 20 }
    }
}

/// Recorded data that cannot be read, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, {part} {column}: {message}")]
pub struct ReadError {
    /// From 1.
    pub line: u64,
    /// The byte or the field of the line, from 1.
    pub column: usize,
    /// Which of the two.
    part: &'static str,
    /// What is wrong with it, safe to show.
    pub message: String,
}

impl ReadError {
    pub(super) fn new(line: u64, column: usize, message: impl Into<String>) -> ReadError {
        ReadError { line, column, part: "byte", message: message.into() }
    }

    pub(super) fn in_field(line: u64, column: usize, message: impl Into<String>) -> ReadError {
        ReadError { line, column, part: "field", message: message.into() }
    }
}

/// What a part of a line is, or at which byte or field from 0 it is wrong, and how.
pub(super) type Placed<T> = Result<T, (usize, String)>;

/// Bytes of foreign data in a message at most.
const SHOWN_BYTES_MAX: usize = 40;

/// Foreign bytes as an error shows them: harmless, quoted and short.
pub(super) fn shown(bytes: &[u8]) -> String {
    let (head, dots) = if bytes.len() > SHOWN_BYTES_MAX { (&bytes[..SHOWN_BYTES_MAX], "…") } else { (bytes, "") };
    format!("`{}{dots}`", neutralise_bytes(head))
}

/// The first moment that is no time of a sample any more: the year 10000, in ms.
const TIME_MS_END: i64 = 253_402_300_800_000;

/// Milliseconds since 1970 as a time of a sample.
pub(super) fn time(ms: i64) -> Result<Millis, String> {
    match ms {
        0..TIME_MS_END => Ok(Millis(ms)),
        _ => Err(format!("a time of {ms} ms since 1970 is not within the years 1970 to 9999")),
    }
}

/// Seconds since 1970, such as `1700000000.25`, to the nearest millisecond.
pub(super) fn seconds(text: &str) -> Result<Millis, String> {
    let refused = || format!("{} is no time in seconds since 1970", shown(text.as_bytes()));
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(part) && whole.len() <= 12 && part.len() <= 3 {
        // At most 999,999,999,999,999: it fits.
        let scale = [0, 100, 10, 1][part.len()];
        let number = |t: &str| t.parse::<i64>().map_err(|_| refused());
        return time(number(whole)? * 1000 + number(part)? * scale);
    }
    // An exponent or more digits than milliseconds have; the nearest millisecond of a double is exact up to the year 9999.
    if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return Err(refused());
    }
    from_seconds(text.parse::<f64>().map_err(|_| refused())?)
}

/// The same of a number.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and `time` refuses both ends")]
pub(super) fn from_seconds(seconds: f64) -> Result<Millis, String> {
    if seconds.is_nan() {
        return Err("NaN is no time".to_owned());
    }
    time((seconds * 1000.0).round() as i64)
}

/// A sample's value: a decimal number, `NaN`, `Inf`, `+Inf` or `-Inf`.
pub(super) fn value(text: &str) -> Result<f64, String> {
    let refused = || format!("{} is no number", shown(text.as_bytes()));
    let number = text.parse::<f64>().map_err(|_| refused())?;
    if number.is_infinite() && text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(format!("{} is too large for a number", shown(text.as_bytes())));
    }
    Ok(number)
}

/// Whether it is a label's name.
pub(super) fn is_label(name: &[u8]) -> bool {
    name.first().is_some_and(|b| !b.is_ascii_digit()) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Adds a label to those of a series.
pub(super) fn add_label(labels: &mut BTreeMap<String, String>, name: &str, value: String) -> Result<(), String> {
    if !is_label(name.as_bytes()) || name == "__name__" {
        return Err(format!("{} is no label's name", shown(name.as_bytes())));
    }
    if labels.len() >= LABELS_MAX {
        return Err(format!("a series has more than {LABELS_MAX} labels"));
    }
    // An empty label is no label, as everywhere in Prometheus.
    if !value.is_empty() && labels.insert(name.to_owned(), value).is_some() {
        return Err(format!("the label {} stands twice", shown(name.as_bytes())));
    }
    Ok(())
}
