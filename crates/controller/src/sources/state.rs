//! What the sources know from one start of the daemon to the next.

use super::look::{log::LogKept, process::ProcessKept, record::RecordKept};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unship_rollback::signal::{Millis, Series};

/// The only version so far.
const VERSION: u32 = 1;

/// All of it, as a serde value. The daemon writes it down together with what it has taken of the samples
/// ([`Sources::snapshot_with`](super::Sources::snapshot_with)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceState {
    #[serde(deserialize_with = "version")]
    version: u32,
    /// What is looked at → what the last look kept.
    pub(super) looks: BTreeMap<String, Kept>,
    pub(super) stamps: Stamps,
}

impl Default for SourceState {
    fn default() -> SourceState {
        SourceState { version: VERSION, looks: BTreeMap::new(), stamps: Stamps::default() }
    }
}

fn version<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    match u32::deserialize(d)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format!("this unship reads version {VERSION}, not {other}"))),
    }
}

/// What one look keeps for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kept {
    Log(LogKept),
    Record(RecordKept),
    Process(ProcessKept),
}

/// Times given to pushed samples that had none. Two samples of a series at one time are one to whoever judges them, so each
/// gets a millisecond of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Series, Millis)>", into = "Vec<(Series, Millis)>")]
pub(super) struct Stamps {
    /// Series → the newest time given to it, as long as that is not past.
    given: BTreeMap<Series, Millis>,
    /// When what is past was last dropped.
    swept: Millis,
}

impl From<Vec<(Series, Millis)>> for Stamps {
    fn from(given: Vec<(Series, Millis)>) -> Stamps {
        Stamps { given: given.into_iter().collect(), swept: Millis(0) }
    }
}

impl From<Stamps> for Vec<(Series, Millis)> {
    fn from(stamps: Stamps) -> Vec<(Series, Millis)> {
        stamps.given.into_iter().collect()
    }
}

impl Stamps {
    /// The time of the next sample of `series`.
    pub fn next(&self, series: &Series, now: Millis) -> Millis {
        self.given.get(series).map_or(now, |newest| now.max(newest.plus(1)))
    }

    /// It was given.
    pub fn gave(&mut self, series: &Series, at: Millis, now: Millis) {
        if self.swept != now {
            self.given.retain(|_, newest| *newest >= now);
            self.swept = now;
        }
        self.given.insert(series.clone(), at);
    }
}
