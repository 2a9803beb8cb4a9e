//! Reads CSV (RFC 4180) with a header: `time`, `metric` and `value` in any order, and every other column is a label.
//!
//! ```text
//! time,metric,value,instance
//! 2026-03-01T12:00:00Z,duckdb_query_seconds,131.5,a
//! 1772366460.5,duckdb_query_seconds,3,b
//! ```
//!
//! A time is in seconds since 1970, or whatever the caller's calendar knows. An empty cell is a label that is not there.

use super::{
    LABELS_MAX, Millis, Sample, Series, Sink, is_metric_name,
    read::{Placed, ReadError, ReadLimits, add_label, is_label, seconds, shown, time, value},
};
use csv_core::{ReadRecordResult, Reader};
use std::collections::{BTreeMap, HashMap};

/// Reads a date and time, such as RFC 3339, as milliseconds since 1970. The pure crates have no calendar.
pub type Calendar = fn(&str) -> Option<i64>;

/// Reads chunks of CSV; what it holds is bounded by [`ReadLimits`].
#[derive(Debug)]
pub struct CsvReader<S: Sink> {
    core: Reader,
    /// The record that is being read: its fields one after the other, and where each ends.
    text: Vec<u8>,
    text_length: usize,
    ends: Vec<usize>,
    ends_count: usize,
    columns: Option<Columns>,
    state: State<S>,
}

#[derive(Debug)]
struct State<S: Sink> {
    limits: ReadLimits,
    calendar: Calendar,
    sink: S,
    /// Metric and labels as they stand in a record → the series' key.
    known: HashMap<Box<[u8]>, Option<S::Key>>,
    known_bytes: usize,
    spelling: Vec<u8>,
}

/// What the header says.
#[derive(Debug, Default)]
struct Columns {
    time: usize,
    metric: usize,
    value: usize,
    /// Column → name, of the labels.
    labels: Vec<(usize, String)>,
    count: usize,
}

impl<S: Sink> CsvReader<S> {
    /// A reader into `sink`.
    pub fn new(limits: ReadLimits, calendar: Calendar, sink: S) -> CsvReader<S> {
        let state = State { limits, calendar, sink, known: HashMap::new(), known_bytes: 0, spelling: Vec::new() };
        CsvReader {
            core: Reader::new(),
            text: vec![0; limits.line_bytes_max],
            text_length: 0,
            ends: vec![0; LABELS_MAX + 3],
            ends_count: 0,
            columns: None,
            state,
        }
    }

    /// Reads on. Records may be cut anywhere between two chunks.
    ///
    /// # Errors
    ///
    /// The first record that is not of the format, is too long, or has a series or sample too many. Nothing may be pushed
    /// after it.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ReadError> {
        // To the parser no bytes mean the end.
        if chunk.is_empty() { Ok(()) } else { self.feed(chunk) }
    }

    /// Ends reading and gives the sink back.
    ///
    /// # Errors
    ///
    /// As [`CsvReader::push`]; and data without a header is no CSV.
    pub fn finish(mut self) -> Result<S, ReadError> {
        self.feed(&[])?;
        if self.columns.is_none() {
            return Err(ReadError::in_field(1, 1, "the data has no header"));
        }
        Ok(self.state.sink)
    }

    fn feed(&mut self, mut chunk: &[u8]) -> Result<(), ReadError> {
        loop {
            let line = self.core.line();
            let (text, ends) = (&mut self.text[self.text_length..], &mut self.ends[self.ends_count..]);
            let (result, read, written, ended) = self.core.read_record(chunk, text, ends);
            chunk = &chunk[read..];
            self.text_length += written;
            self.ends_count += ended;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
                ReadRecordResult::OutputFull => {
                    let message = format!("the record has more than {} bytes", self.text.len());
                    return Err(ReadError::in_field(line, self.ends_count + 1, message));
                }
                ReadRecordResult::OutputEndsFull => {
                    let message = format!("the record has more than {} fields", self.ends.len());
                    return Err(ReadError::in_field(line, self.ends_count + 1, message));
                }
                ReadRecordResult::Record => {
                    let record = Record { text: &self.text[..self.text_length], ends: &self.ends[..self.ends_count] };
                    let place = |(column, message): (usize, String)| ReadError::in_field(line, column + 1, message);
                    match &self.columns {
                        None => self.columns = Some(Columns::of(&record).map_err(place)?),
                        Some(columns) => self.state.record(columns, &record).map_err(place)?,
                    }
                    (self.text_length, self.ends_count) = (0, 0);
                }
            }
        }
    }
}

struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    fn field(&self, n: usize) -> &'a [u8] {
        let from = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.text[from..self.ends[n]]
    }

    fn text(&self, n: usize) -> Placed<&'a str> {
        std::str::from_utf8(self.field(n)).map_err(|_| (n, format!("{} is not UTF-8", shown(self.field(n)))))
    }
}

impl Columns {
    fn of(header: &Record<'_>) -> Placed<Columns> {
        let mut found = [None; 3];
        let mut columns = Columns { count: header.ends.len(), ..Columns::default() };
        for n in 0..columns.count {
            let name = header.text(n)?;
            let again = match ["time", "metric", "value"].iter().position(|own| *own == name) {
                Some(own) => found[own].replace(n).is_some(),
                None if !is_label(name.as_bytes()) => {
                    let message =
                        format!("{} is neither `time`, `metric` or `value` nor a label's name", shown(name.as_bytes()));
                    return Err((n, message));
                }
                None => {
                    let again = columns.labels.iter().any(|(_, label)| label == name);
                    columns.labels.push((n, name.to_owned()));
                    again
                }
            };
            if again {
                return Err((n, format!("the column {} stands twice", shown(name.as_bytes()))));
            }
        }
        let column = |own: usize, name: &str| found[own].ok_or((0, format!("the header lacks the column `{name}`")));
        Ok(Columns { time: column(0, "time")?, metric: column(1, "metric")?, value: column(2, "value")?, ..columns })
    }
}

impl<S: Sink> State<S> {
    /// A record that is a sample. An error has the field's place, from 0.
    fn record(&mut self, columns: &Columns, record: &Record<'_>) -> Placed<()> {
        let count = record.ends.len();
        if count != columns.count {
            return Err((count - 1, format!("the record has {count} fields, the header {}", columns.count)));
        }
        let at = self.time(record.text(columns.time)?).map_err(|m| (columns.time, m))?;
        let value = value(record.text(columns.value)?).map_err(|m| (columns.value, m))?;
        match self.series(columns, record)? {
            Some(key) => self.sink.sample(key, Sample { at, value }).map_err(|e| (columns.value, e.0)),
            None => Ok(()),
        }
    }

    fn time(&self, text: &str) -> Result<Millis, String> {
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return seconds(text);
        }
        let ms = (self.calendar)(text);
        ms.ok_or_else(|| format!("{} is no time", shown(text.as_bytes()))).and_then(time)
    }

    fn series(&mut self, columns: &Columns, record: &Record<'_>) -> Placed<Option<S::Key>> {
        self.spelling.clear();
        for n in std::iter::once(columns.metric).chain(columns.labels.iter().map(|(n, _)| *n)) {
            self.spelling.extend_from_slice(record.field(n));
            // It is in no UTF-8, and what is none gets no further than here.
            self.spelling.push(0xff);
        }
        if let Some(key) = self.known.get(self.spelling.as_slice()) {
            return Ok(*key);
        }
        let metric = record.text(columns.metric)?;
        if !is_metric_name(metric) {
            return Err((columns.metric, format!("{} is no metric's name", shown(metric.as_bytes()))));
        }
        let mut labels = BTreeMap::new();
        for (n, name) in &columns.labels {
            add_label(&mut labels, name, record.text(*n)?.to_owned()).map_err(|m| (*n, m))?;
        }
        let series = Series::new(metric, labels).map_err(|e| (columns.metric, e.to_string()))?;
        if !self.sink.wants(metric) {
            return Ok(None);
        }
        let key = self.sink.series(&series).map_err(|e| (columns.metric, e.0))?;
        self.known_bytes += self.spelling.len();
        let ReadLimits { series_max, series_bytes_max, .. } = self.limits;
        if self.known.len() >= series_max || self.known_bytes > series_bytes_max {
            let message = format!("there are more than {series_max} series, or {series_bytes_max} bytes of them");
            return Err((columns.metric, message));
        }
        self.known.insert(self.spelling.as_slice().into(), key);
        Ok(key)
    }
}
