//! Recorded data from files, in any of the formats that the readers know, into one [`Recording`].

use crate::error::{CliError, Result};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read},
    path::Path,
};
use unship_rollback::signal::{CsvReader, Dialect, ReadLimits, Recording, TextReader, TokenLimit, read_matrix};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Series of all files together at most.
pub const SERIES_MAX: usize = 100_000;
/// Samples of all files together at most: 320 MB of them.
pub const SAMPLES_MAX: usize = 20_000_000;

/// A format of recorded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// OpenMetrics text, with times in seconds and `# EOF` at its end (.om, .openmetrics)
    Openmetrics,
    /// Prometheus text, with times in milliseconds (.prom)
    Prometheus,
    /// What Prometheus answers to a range query (.json)
    Json,
    /// A table with the columns time, metric and value; every other column is a label (.csv)
    Csv,
}

impl Format {
    /// What a file's name says.
    fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "om" | "openmetrics" => Some(Format::Openmetrics),
            "prom" => Some(Format::Prometheus),
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Format::Openmetrics => "OpenMetrics text",
            Format::Prometheus => "Prometheus text",
            Format::Json => "the answer to a range query",
            Format::Csv => "CSV",
        }
    }
}

/// Reads a file (`-`: standard input) into `recording`. It may be a pipe.
pub fn load(path: &Path, format: Option<Format>, recording: &mut Recording) -> Result<()> {
    let format = format.or_else(|| Format::of(path)).ok_or_else(|| {
        CliError::user(format!("the format of {} is not known", path.display()))
            .hint("say it by `--format`, or by the file's name: .om, .prom, .json or .csv")
    })?;
    let failed = |cause: String| {
        let hint = (format == Format::Prometheus || format == Format::Openmetrics)
            .then_some("OpenMetrics and Prometheus text are two formats; `--format` says which it is");
        let error = CliError::user(format!("{} cannot be read as {}", path.display(), format.words())).cause(cause);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    };
    if path == Path::new("-") {
        read(io::stdin().lock(), format, recording).map_err(failed)
    } else {
        let file =
            File::open(path).map_err(|e| CliError::user(format!("{} cannot be read", path.display())).because(&e))?;
        read(file, format, recording).map_err(failed)
    }
}

fn read(from: impl Read, format: Format, recording: &mut Recording) -> std::result::Result<(), String> {
    let limits = ReadLimits { series_max: SERIES_MAX, ..ReadLimits::default() };
    match format {
        Format::Openmetrics | Format::Prometheus => {
            let dialect = if format == Format::Openmetrics { Dialect::OpenMetrics } else { Dialect::Prometheus };
            let mut reader = TextReader::new(dialect, limits, None, recording);
            chunks(from, |chunk| reader.push(chunk).map_err(|e| e.to_string()))?;
            reader.finish().map(|_| ()).map_err(|e| e.to_string())
        }
        Format::Csv => {
            let mut reader = CsvReader::new(limits, moment, recording);
            chunks(from, |chunk| reader.push(chunk).map_err(|e| e.to_string()))?;
            reader.finish().map(|_| ()).map_err(|e| e.to_string())
        }
        Format::Json => {
            let exceeded = RefCell::new(None);
            let limit = TokenLimit::new(limits.line_bytes_max);
            let from = io::BufReader::with_capacity(CHUNK_BYTES, Limited { from, limit, exceeded: &exceeded });
            let mut json = serde_json::Deserializer::from_reader(from);
            let done = read_matrix(&mut json, &mut &mut *recording).and_then(|()| json.end());
            // What the limit says is clearer than that reading failed.
            done.map_err(|e| exceeded.take().unwrap_or_else(|| e.to_string()))
        }
    }
}

fn chunks(
    mut from: impl Read,
    mut push: impl FnMut(&[u8]) -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => push(&chunk[..length])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// A stream of JSON in which no text or number is longer than a limit.
struct Limited<'a, R> {
    from: R,
    limit: TokenLimit,
    exceeded: &'a RefCell<Option<String>>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        self.limit.check(&into[..length]).map_err(|message| {
            *self.exceeded.borrow_mut() = Some(message.clone());
            io::Error::other(message)
        })?;
        Ok(length)
    }
}

/// RFC 3339 as milliseconds since 1970.
pub fn moment(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
