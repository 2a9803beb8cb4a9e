//! What one look at one thing shows. Feeds that look at the same thing in the same rhythm share a look.
//!
//! A look is given what the one before it kept and gives what the next one shall keep: it is committed together with the
//! samples, so that a restart loses and doubles nothing.

pub(super) mod command;
pub(super) mod file;
pub(super) mod http;
pub(super) mod log;
pub(super) mod pm2;
pub(super) mod process;
pub(super) mod prometheus;
pub(super) mod record;
pub(super) mod scrape;
pub(super) mod tcp;

use super::{Clock, Kept};
use std::{collections::BTreeMap, path::Path};
use unship_rollback::signal::{Millis, Sample};

/// Where a look is made.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub site: &'a Path,
    pub clock: &'a dyn Clock,
}

/// Looks at one thing, for one or more feeds. It ends within its time.
pub(super) trait Look: Send {
    fn look(&mut self, around: Around<'_>, kept: Option<&Kept>) -> Looked;
}

/// What a look showed.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub samples: Vec<Seen>,
    /// What the next look shall know, when that changed.
    pub kept: Option<Kept>,
    /// Why it could not see everything, harmless to show.
    pub trouble: Option<String>,
}

/// A sample of one of the feeds.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// The feed's place in its look.
    pub feed: usize,
    pub labels: BTreeMap<String, String>,
    pub sample: Sample,
}

impl Seen {
    /// A sample without labels.
    pub fn bare(feed: usize, at: Millis, value: f64) -> Seen {
        Seen { feed, labels: BTreeMap::new(), sample: Sample { at, value } }
    }
}

impl Looked {
    /// One value for each feed in turn, where there is one.
    pub fn values(at: Millis, values: impl IntoIterator<Item = Option<f64>>) -> Looked {
        let seen = |(feed, value): (usize, Option<f64>)| Some(Seen::bare(feed, at, value?));
        Looked { samples: values.into_iter().enumerate().filter_map(seen).collect(), ..Looked::default() }
    }

    /// Nothing was seen.
    pub fn nothing(trouble: impl Into<String>) -> Looked {
        Looked { trouble: Some(trouble.into()), ..Looked::default() }
    }
}

impl<E: std::fmt::Display> From<Result<Looked, E>> for Looked {
    fn from(result: Result<Looked, E>) -> Looked {
        result.unwrap_or_else(|e| Looked::nothing(e.to_string()))
    }
}

/// A number of bytes or of things as a sample's value: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
pub(super) fn number(n: u64) -> f64 {
    n as f64
}
