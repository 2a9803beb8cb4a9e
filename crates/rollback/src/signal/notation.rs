//! The series notation of promtool's unit tests: values one after the other, a space between them.
//!
//! | written | means |
//! |---|---|
//! | `1.5`, `-2`, `NaN`, `+Inf` | this value |
//! | `_`, `_x3` | no value; three times none |
//! | `stale` | the series ends here |
//! | `1x4` | 1, and four times more |
//! | `1+2x3`, `10-2x3` | 1 3 5 7; 10 8 6 4 |

use super::read::{shown, value};
use std::ops::Range;
use thiserror::Error;

/// Prometheus' mark of a series that ended: a NaN of its own.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// What is wrong with a text of the notation, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct NotationError {
    /// The bytes of the text that it is about.
    pub at: Range<usize>,
    /// What is wrong, safe to show.
    pub message: String,
}

/// The values of a text; `None`: no sample at that step.
///
/// # Errors
///
/// The first item that is not of the notation, or that makes it more than `values_max`.
pub fn parse_values(text: &str, values_max: usize) -> Result<Vec<Option<f64>>, NotationError> {
    let mut values = Vec::new();
    let mut at = 0;
    // Any blank: tests are written over several lines.
    for item in text.split(|c: char| c.is_ascii_whitespace()) {
        let place = at..at + item.len();
        at += item.len() + 1;
        if item.is_empty() {
            continue;
        }
        let item = Item::parse(item).map_err(|message| NotationError { at: place.clone(), message })?;
        if item.count > (values_max - values.len()) as u64 {
            let message = format!("these are more than {values_max} values");
            return Err(NotationError { at: place, message });
        }
        let mut next = item.first;
        for _ in 0..item.count {
            values.push(next);
            // Added up, not multiplied, so that the rounding is promtool's.
            next = next.map(|value| if item.step == 0.0 { value } else { value + item.step });
        }
    }
    Ok(values)
}

struct Item {
    first: Option<f64>,
    step: f64,
    count: u64,
}

impl Item {
    fn parse(text: &str) -> Result<Item, String> {
        let (head, times) = match text.split_once('x') {
            Some((head, times)) if times.bytes().all(|b| b.is_ascii_digit()) && !times.is_empty() => {
                (head, Some(times.parse::<u64>().map_err(|_| format!("x{times} is too often"))?))
            }
            Some((_, times)) => return Err(format!("{} is no number of times", shown(times.as_bytes()))),
            None => (text, None),
        };
        if head == "_" {
            return Ok(Item { first: None, step: 0.0, count: times.unwrap_or(1) });
        }
        if head == "stale" {
            return match times {
                None => Ok(Item { first: Some(f64::from_bits(STALE_BITS)), step: 0.0, count: 1 }),
                Some(_) => Err("`stale` cannot be repeated".to_owned()),
            };
        }
        let (first, step) = match sign_within(head) {
            Some(at) if times.is_some() => (number(&head[..at])?, number(&head[at..])?),
            Some(at) => {
                return Err(format!("how often to add {} is not said, as in `x3`", shown(&head.as_bytes()[at..])));
            }
            None => (number(head)?, 0.0),
        };
        // The first value is not counted.
        let count = times.map_or(Some(1), |times| times.checked_add(1)).ok_or("too often")?;
        Ok(Item { first: Some(first), step, count })
    }
}

/// Where the step begins: a sign that neither begins the number nor belongs to its exponent.
fn sign_within(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'))
}

fn number(text: &str) -> Result<f64, String> {
    value(text)
}
