//! The one way out: lines for people or one JSON object a line on standard output, everything else on standard error. Most of
//! what is told was said by others (manifests, policies, file names, guests, programs), so here every line is made harmless:
//! whatever it holds stays on it, and what would turn, hide or move is shown as an escape.

use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;
use unship_rollback::{neutralise, neutralise_json};

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
            put(&neutralise(line.as_ref()));
        }
    }

    /// A text of several lines, such as a file's, for people; nothing under `--json`. None of its lines may be taken for one
    /// of ours: the caller sees to that.
    pub fn lines(self, text: &str) {
        if !self.json {
            put(&neutral_lines(text));
        }
    }

    /// An object for programs; nothing without `--json`.
    pub fn object(self, value: &serde_json::Value) {
        if self.json {
            put(&neutralise_json(&value.to_string()));
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
        tell(&(neutralise(line.as_ref()) + "\n"));
    }

    /// Asks on standard error; the answer stands on the same line.
    pub fn ask(self, question: &str) {
        tell(&neutralise(question));
    }
}

fn put(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// On standard error, as it is: an error's report, whose parts are neutralised one by one, and a command line's.
pub fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody to read it is no reason to stop a run.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// `text` with each of its lines neutralised. Tabs and the ends of lines, CR LF too, are a file's own.
pub fn neutral_lines(text: &str) -> String {
    let line = |line: &str| {
        let (line, end) = line.strip_suffix('\r').map_or((line, ""), |line| (line, "\r"));
        line.split('\t').map(neutralise).collect::<Vec<_>>().join("\t") + end
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// What `tracing` writes: each event is one line on standard error, whatever its fields hold.
pub struct Diagnostics;

impl<'a> MakeWriter<'a> for Diagnostics {
    type Writer = Diagnostics;

    fn make_writer(&'a self) -> Diagnostics {
        Diagnostics
    }
}

impl Write for Diagnostics {
    /// `event` is all of one event: so the formatter of `tracing_subscriber` hands it over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event);
        tell(&(neutralise(line.trim_end_matches('\n')) + "\n"));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Milliseconds since the epoch as RFC 3339, in UTC.
pub fn time(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "?".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_file_stay_its_lines() {
        assert_eq!(neutral_lines("a\tb\r\nc\rd\n\u{202e}e"), "a\tb\r\nc\\rd\n\\u{202e}e");
    }
}
