//! The one way to standard output: lines for people, or one JSON object a line. Everything else goes to standard error.

use std::io::Write as _;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// `--json`.
    pub json: bool,
}

/// Version of the JSON lines.
pub const JSON_FORMAT: u32 = 1;

impl Out {
    /// A line for people; nothing under `--json`.
    pub fn text(self, line: impl AsRef<str>) {
        if !self.json {
            put(line.as_ref());
        }
    }

    /// An object for programs; nothing without `--json`.
    pub fn object(self, value: &serde_json::Value) {
        if self.json {
            put(&value.to_string());
        }
    }

    /// The last object: `type` and `format` are added.
    pub fn summary(self, mut value: serde_json::Value) {
        if let Some(map) = value.as_object_mut() {
            map.insert("type".into(), "summary".into());
            map.insert("format".into(), JSON_FORMAT.into());
        }
        self.object(&value);
    }

    /// Progress and remarks, on standard error.
    pub fn note(self, line: impl AsRef<str>) {
        let mut stderr = std::io::stderr().lock();
        // Nobody to read it is no reason to stop a run.
        let _ = writeln!(stderr, "{}", line.as_ref());
    }
}

fn put(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Milliseconds since the epoch as RFC 3339, in UTC.
pub fn time(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "?".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
