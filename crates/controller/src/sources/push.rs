//! Samples that the site sends itself: one JSON object a line, over HTTP or as a stream.
//!
//! ```text
//! {"metric": "duckdb_query_seconds", "labels": {"host": "a"}, "value": 131.5, "at": "2026-03-01T12:00:00Z"}
//! ```
//!
//! `at` is RFC 3339 or milliseconds since 1970; without it the sample is of now. Each line is judged by itself: one that is
//! refused is told with its number and its rule, and takes nothing with it.

use super::{
    Inner, Sources,
    budget::{Refusal, SAMPLES_PER_SECOND},
};
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, Error as _, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Read},
    sync::Arc,
};
use unship_rollback::{
    neutralise,
    signal::{Millis, Sample, Series},
};

/// Bytes of a line at most.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Refused lines that are told one by one.
const ERRORS_MAX: usize = 100;
/// Bytes of a message about a line.
const MESSAGE_BYTES_MAX: usize = 300;
/// The source of lines that name no feed.
pub(super) const NOBODY: &str = "(push)";

/// What became of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Samples that were taken.
    pub taken: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// The first of them.
    pub errors: Vec<LineError>,
    /// Seconds after which it is worth while to send the refused lines again; those of them that a budget refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineError {
    /// From 1.
    pub line: u64,
    /// By which rule.
    pub rule: Refusal,
    /// What is wrong with it, harmless to show.
    pub message: String,
}

impl Report {
    pub(super) fn refuse(&mut self, line: u64, rule: Refusal, message: String) {
        self.refused += 1;
        if self.errors.len() < ERRORS_MAX {
            let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
            self.errors.push(LineError { line, rule, message: message[..end].to_owned() });
        }
        if rule.passes() {
            let wait = if rule == Refusal::Series { 60 } else { 1 + self.refused / u64::from(SAMPLES_PER_SECOND) };
            self.retry_after_s = self.retry_after_s.max(Some(wait.min(60)));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    metric: String,
    #[serde(default)]
    labels: Labels,
    value: Value,
    at: Option<At>,
}

/// Labels, each once.
#[derive(Default)]
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Labels, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels with texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    // An empty label is no label, as everywhere in Prometheus.
                    if !value.is_empty() && labels.insert(name.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("the label {name:?} stands twice")));
                    }
                }
                Ok(Labels(labels))
            }
        }
        d.deserialize_map(Map)
    }
}

/// A number, or as text what JSON has no number for: `"NaN"`, `"+Inf"`, `"-Inf"`.
struct Value(f64);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"NaN\", \"+Inf\" or \"-Inf\"")
            }
            fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
                Ok(Value(n))
            }
            #[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
            fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
                Ok(Value(n as f64))
            }
            #[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value(n as f64))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
                match text {
                    "NaN" => Ok(Value(f64::NAN)),
                    "+Inf" => Ok(Value(f64::INFINITY)),
                    "-Inf" => Ok(Value(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        d.deserialize_any(Number)
    }
}

struct At(Millis);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<At, D::Error> {
        struct Moment;
        impl Visitor<'_> for Moment {
            type Value = At;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds since 1970, or a time such as \"2026-03-01T12:00:00Z\"")
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<At, E> {
                i64::try_from(ms)
                    .map(|ms| At(Millis(ms)))
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(ms), &self))
            }
            fn visit_i64<E>(self, ms: i64) -> Result<At, E> {
                Ok(At(Millis(ms)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<At, E> {
                let moment = text.parse::<jiff::Timestamp>();
                let moment = moment.map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(At(Millis(moment.as_millisecond())))
            }
        }
        d.deserialize_any(Moment)
    }
}

/// Lines that come in pieces, and what became of them so far. It holds one line.
pub struct Batch {
    sources: Arc<Sources>,
    line: Vec<u8>,
    number: u64,
    /// The line was too long and is refused, and the rest of it is passed over.
    is_skipping: bool,
    report: Report,
    /// Source → the first thing of it that was refused.
    told: BTreeMap<String, Option<String>>,
}

impl Batch {
    /// Lines for these sources.
    pub fn new(sources: Arc<Sources>) -> Batch {
        Batch {
            sources,
            line: Vec::new(),
            number: 0,
            is_skipping: false,
            report: Report::default(),
            told: BTreeMap::new(),
        }
    }

    /// Takes the next bytes; lines may be cut anywhere between two pieces.
    pub fn push(&mut self, mut piece: &[u8]) {
        let sources = self.sources.clone();
        let mut inner = sources.lock();
        while let Some(end) = piece.iter().position(|b| *b == b'\n') {
            self.extend(&piece[..end], &mut inner);
            self.end(&mut inner);
            piece = &piece[end + 1..];
        }
        self.extend(piece, &mut inner);
    }

    /// The last line, and what became of all.
    pub fn finish(mut self) -> Report {
        let sources = self.sources.clone();
        let mut inner = sources.lock();
        self.end(&mut inner);
        self.tell(&mut inner);
        self.report
    }

    /// Says of each source whether what came since the last time was well.
    fn tell(&mut self, inner: &mut Inner) {
        for (source, trouble) in std::mem::take(&mut self.told) {
            inner.door.was_told(&source, trouble.as_deref(), &*self.sources.clock);
        }
    }

    /// The same of lines that broke off: what stands behind the last end of line is none.
    pub(super) fn finish_cut(mut self) -> Report {
        self.line.clear();
        self.finish()
    }

    /// What became of the lines so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn extend(&mut self, bytes: &[u8], inner: &mut Inner) {
        if self.is_skipping {
            return;
        }
        if self.line.len() + bytes.len() <= LINE_BYTES_MAX {
            self.line.extend_from_slice(bytes);
            return;
        }
        // Now, and not at its end: it may have none.
        self.is_skipping = true;
        self.line = Vec::new();
        self.number += 1;
        inner.door.refuse(NOBODY, Refusal::Length, &*self.sources.clock);
        let message = format!("the line has more than {LINE_BYTES_MAX} bytes");
        self.refuse(NOBODY.to_owned(), Refusal::Length, message);
    }

    fn end(&mut self, inner: &mut Inner) {
        if std::mem::take(&mut self.is_skipping) {
            return;
        }
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return;
        }
        match self.judge(&line, inner) {
            Ok(source) => {
                self.report.taken += 1;
                self.told.entry(source).or_default();
            }
            Err((source, rule, message)) => self.refuse(source, rule, message),
        }
    }

    fn refuse(&mut self, source: String, rule: Refusal, message: String) {
        let told = self.told.entry(source).or_default();
        told.get_or_insert_with(|| format!("line {}: {message}", self.number));
        self.report.refuse(self.number, rule, message);
    }

    /// Takes the sample of a line; the source that it is of, and by which rule it is refused.
    fn judge(&self, line: &[u8], inner: &mut Inner) -> Result<String, (String, Refusal, String)> {
        let clock = &*self.sources.clock;
        let mut refused = |rule, message: String| {
            inner.door.refuse(NOBODY, rule, clock);
            Err((NOBODY.to_owned(), rule, message))
        };
        let Ok(text) = str::from_utf8(line) else { return refused(Refusal::Utf8, "the line is not UTF-8".to_owned()) };
        let line: Line = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(e) => return refused(Refusal::Json, neutralise(&e.to_string())),
        };
        let Some(source) = inner.told.pushed.get(&line.metric).cloned() else {
            let message = format!("no `push` feed of policies/site.toml gives {}", neutralise(&line.metric));
            inner.door.refuse(NOBODY, Refusal::Feed, clock);
            return Err((NOBODY.to_owned(), Refusal::Feed, message));
        };
        let series = match Series::new(line.metric, line.labels.0) {
            Ok(series) => series,
            Err(e) => {
                inner.door.refuse(&source, Refusal::Names, clock);
                return Err((source, Refusal::Names, e.to_string()));
            }
        };
        let now = clock.now();
        let at = line.at.as_ref().map_or_else(|| inner.state.stamps.next(&series, now), |at| at.0);
        match inner.door.give(&source, &series, Sample { at, value: line.value.0 }, clock) {
            Ok(()) => {
                if line.at.is_none() {
                    inner.state.stamps.gave(&series, at, now);
                }
                Ok(source)
            }
            Err(rule) => Err((source, rule, rule.says())),
        }
    }
}

impl Sources {
    /// Reads samples line by line from a stream (standard input) until it ends. For a thread of its own.
    ///
    /// # Errors
    /// The stream cannot be read on. What was taken before stays taken.
    pub fn read_lines(self: &Arc<Sources>, mut stream: impl Read) -> io::Result<Report> {
        let mut batch = Batch::new(self.clone());
        let mut piece = vec![0; LINE_BYTES_MAX];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return Ok(batch.finish()),
                Ok(read) => {
                    batch.push(&piece[..read]);
                    // A stream may never end, so what is wrong with it is said as it comes.
                    batch.tell(&mut self.lock());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    batch.finish();
                    return Err(e);
                }
            }
        }
    }

    /// The metrics that may be pushed.
    pub fn pushed(&self) -> BTreeSet<String> {
        self.lock().told.pushed.keys().cloned().collect()
    }
}
