//! Records that runs leave behind: dbt's results, a build's. Each gives its samples once, when it is new.
//!
//! The sample's time is that of the look: a record is news when it is seen, also when the daemon was down as it was written.
//! What was there when watching began is the past.

use super::{Around, Look, Looked, file, number};
use crate::sources::Kept;
use serde::{Deserialize, Serialize};
use unship_policy::DbtValue;
use unship_rollback::{neutralise, signal::Millis};

/// Bytes of a record at most.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// What is remembered of a record's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordKept {
    /// What tells the newest finished record from every other; empty when none was there yet.
    newest: String,
}

/// Reads the file and the record in it. `None`: the file is not there.
fn read<T: for<'de> Deserialize<'de>>(around: Around<'_>, path: &str) -> Result<Option<T>, String> {
    let bytes = match file::read(around.site, path, RECORD_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file::told(path, &e)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| format!("{path} is not the record that is wanted: {}", neutralise(&e.to_string())))
}

/// Nothing is known where no run has left a record, and somebody may have to be told where runs leave theirs.
fn missing(path: &str) -> String {
    format!("{} is not there: no run has left a record yet", neutralise(path))
}

/// Whether the record `newest` is new, and what the next look shall know.
fn news(newest: &str, kept: Option<&Kept>) -> (bool, Option<Kept>) {
    let known = match kept {
        Some(Kept::Record(known)) => Some(known.newest.as_str()),
        _ => None,
    };
    let is_news = known.is_some_and(|known| known != newest) && !newest.is_empty();
    let next = (known != Some(newest) && (is_news || known.is_none()))
        .then(|| Kept::Record(RecordKept { newest: newest.to_owned() }));
    (is_news, next)
}

/// Looks at the `run_results.json` of dbt; each feed wants one number of it.
pub struct DbtResults {
    pub file: String,
    pub values: Vec<DbtValue>,
}

#[derive(Deserialize)]
struct RunResults {
    metadata: Metadata,
    elapsed_time: f64,
    results: Vec<NodeResult>,
}

#[derive(Deserialize)]
struct Metadata {
    generated_at: String,
    invocation_id: Option<String>,
}

#[derive(Deserialize)]
struct NodeResult {
    unique_id: String,
    status: String,
    message: Option<String>,
}

impl NodeResult {
    fn is_of(&self, kinds: &[&str]) -> bool {
        self.unique_id.split('.').next().is_some_and(|kind| kinds.contains(&kind))
    }

    /// Whether it failed; `None` when it did not run.
    fn failed(&self) -> Option<bool> {
        match self.status.as_str() {
            "success" | "pass" | "warn" => Some(false),
            "error" | "fail" | "runtime error" | "partial success" => Some(true),
            _ => None,
        }
    }

    /// dbt says so in the message alone.
    fn did_not_compile(&self) -> bool {
        self.failed() == Some(true) && self.message.as_ref().is_some_and(|m| m.contains("Compilation Error"))
    }
}

impl RunResults {
    fn value(&self, value: DbtValue) -> Option<f64> {
        match value {
            DbtValue::ModelFailures => self.failures(&["model"]),
            DbtValue::TestFailures => self.failures(&["test", "unit_test"]),
            DbtValue::CompileErrors => Some(number(self.results.iter().filter(|r| r.did_not_compile()).count() as u64)),
            DbtValue::Seconds => Some(self.elapsed_time),
        }
    }

    /// Those of these kinds that failed, of those that ran. Of none nothing is known.
    fn failures(&self, kinds: &[&str]) -> Option<f64> {
        let ran: Vec<bool> = self.results.iter().filter(|r| r.is_of(kinds)).filter_map(NodeResult::failed).collect();
        let failed = ran.iter().filter(|failed| **failed).count();
        (!ran.is_empty()).then(|| number(failed as u64) / number(ran.len() as u64))
    }
}

impl Look for DbtResults {
    fn look(&mut self, around: Around<'_>, kept: Option<&Kept>) -> Looked {
        let record = match read::<RunResults>(around, &self.file) {
            Ok(record) => record,
            Err(trouble) => return Looked::nothing(trouble),
        };
        let newest = record.as_ref().map_or_else(String::new, |r| {
            format!("{} {}", r.metadata.generated_at, r.metadata.invocation_id.as_deref().unwrap_or_default())
        });
        let (is_news, kept) = news(&newest, kept);
        let looked = match record {
            Some(record) if is_news => {
                Looked::values(around.clock.now(), self.values.iter().map(|value| record.value(*value)))
            }
            Some(_) => Looked::default(),
            None => Looked::nothing(missing(&self.file)),
        };
        Looked { kept, ..looked }
    }
}

/// Which number of a build's record a feed wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildValue {
    /// 1 for a failed one, else 0.
    Status,
    /// Seconds that it took, or has taken so far; none for one that failed.
    Duration,
}

/// Looks at the record of a build or test run: `{"started": …, "finished": …, "exit": 0}`; `finished` and `exit` are not
/// there while it runs.
pub struct BuildRecord {
    pub file: String,
    pub values: Vec<BuildValue>,
}

#[derive(Deserialize)]
struct Build {
    started: String,
    finished: Option<String>,
    exit: Option<i64>,
}

impl Look for BuildRecord {
    fn look(&mut self, around: Around<'_>, kept: Option<&Kept>) -> Looked {
        let record = match read::<Build>(around, &self.file) {
            Ok(record) => record,
            Err(trouble) => return Looked::nothing(trouble),
        };
        let Some(record) = record else {
            let (_, kept) = news("", kept);
            return Looked { kept, ..Looked::nothing(missing(&self.file)) };
        };
        match self.samples(&record, around.clock.now(), kept) {
            Ok(looked) => looked,
            Err(why) => Looked::nothing(format!("{} is not the record that is wanted: {why}", self.file)),
        }
    }
}

impl BuildRecord {
    fn samples(&self, record: &Build, now: Millis, kept: Option<&Kept>) -> Result<Looked, String> {
        let started = moment(&record.started)?;
        let value = |status: Option<f64>, until: Millis| {
            self.values.iter().map(move |value| match value {
                BuildValue::Status => status,
                // One that failed or was ended took as long as nobody knows; what it had taken so far was told meanwhile.
                BuildValue::Duration => (status != Some(1.0)).then(|| seconds(until.since(started).max(0))),
            })
        };
        let (finished, exit) = match (&record.finished, record.exit) {
            (Some(finished), Some(exit)) => (finished, exit),
            // It runs: the one before it is not there any more to be told apart.
            (None, None) => {
                let (_, kept) = news("", kept);
                return Ok(Looked { kept, ..Looked::values(now, value(None, now)) });
            }
            _ => return Err("`finished` and `exit` stand there both, or neither".to_owned()),
        };
        let ended = moment(finished)?;
        if ended < started {
            return Err("it finished before it started".to_owned());
        }
        let (is_news, kept) = news(&format!("{} {} {exit}", record.started, finished), kept);
        let status = Some(f64::from(u8::from(exit != 0)));
        let looked = if is_news { Looked::values(now, value(status, ended)) } else { Looked::default() };
        Ok(Looked { kept, ..looked })
    }
}

fn moment(text: &str) -> Result<Millis, String> {
    let moment: jiff::Timestamp =
        text.parse().map_err(|_| format!("\"{}\" is no time such as 2026-03-01T12:00:00Z", neutralise(text)))?;
    Ok(Millis(moment.as_millisecond()))
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
