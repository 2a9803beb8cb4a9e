//! Reads OpenMetrics text 1.0 and the Prometheus text format 0.0.4, of which it is the heir.
//!
//! They differ in two things that cannot be seen in a line: the unit of a time (seconds there, milliseconds here), and the
//! last line (`# EOF` there, so that a cut file shows). So the [`Dialect`] is said, never guessed. Comments, metadata and
//! exemplars are passed over: the language of triggers knows samples. Spaces are taken as leniently as Prometheus takes
//! them.

use super::{
    Millis, Sample, Series, Sink, is_metric_name,
    lines::Lines,
    read::{Placed, ReadError, ReadLimits, add_label, seconds, shown, time, value},
};
use std::collections::{BTreeMap, HashMap};

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenMetrics 1.0: times in seconds, `# EOF` at the end.
    OpenMetrics,
    /// Prometheus 0.0.4: times in milliseconds.
    Prometheus,
}

/// Reads chunks of text; what it holds is bounded by [`ReadLimits`].
#[derive(Debug)]
pub struct TextReader<S: Sink> {
    lines: Lines,
    state: State<S>,
}

#[derive(Debug)]
struct State<S: Sink> {
    dialect: Dialect,
    limits: ReadLimits,
    default_at: Option<Millis>,
    sink: S,
    /// A series as it was spelled → its key. Other spellings of it come to the same key by the sink.
    known: HashMap<Box<[u8]>, Option<S::Key>>,
    known_bytes: usize,
    /// The spelling of the line before: in recorded data mostly that of this one too.
    last: Vec<u8>,
    last_key: Option<S::Key>,
    ended: bool,
}

impl<S: Sink> TextReader<S> {
    /// A reader into `sink`. A sample without a time has `default_at`, the time of a scrape; in recorded data there is
    /// none, and such a sample is an error.
    pub fn new(dialect: Dialect, limits: ReadLimits, default_at: Option<Millis>, sink: S) -> TextReader<S> {
        let state = State {
            dialect,
            limits,
            default_at,
            sink,
            known: HashMap::new(),
            known_bytes: 0,
            last: Vec::new(),
            last_key: None,
            ended: false,
        };
        TextReader { lines: Lines::default(), state }
    }

    /// Reads on. Lines may be cut anywhere between two chunks.
    ///
    /// # Errors
    ///
    /// The first line that is not of the format, is too long, or has a series or sample too many. Nothing may be pushed
    /// after it.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ReadError> {
        let TextReader { lines, state } = self;
        lines.push(chunk, state.limits.line_bytes_max, |number, line| state.line(number, line))
    }

    /// Ends reading and gives the sink back.
    ///
    /// # Errors
    ///
    /// As [`TextReader::push`]; and OpenMetrics without its last line is cut.
    pub fn finish(mut self) -> Result<S, ReadError> {
        let TextReader { lines, state } = &mut self;
        lines.finish(|number, line| state.line(number, line))?;
        if state.dialect == Dialect::OpenMetrics && !state.ended {
            let message = "the data ends without the line `# EOF`: it is cut, or not OpenMetrics";
            return Err(ReadError::new(lines.next(), 1, message));
        }
        Ok(self.state.sink)
    }
}

impl<S: Sink> State<S> {
    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), ReadError> {
        if self.ended {
            return Err(ReadError::new(number, 1, "there is more behind the line `# EOF`"));
        }
        match line.first() {
            None => return Ok(()),
            Some(b'#') => {
                self.ended = self.dialect == Dialect::OpenMetrics && line == b"# EOF";
                return Ok(());
            }
            Some(_) => {}
        }
        self.sample(line).map_err(|(column, message)| ReadError::new(number, column + 1, message))
    }

    /// A line that is a sample. An error has the place in the line, from 0.
    fn sample(&mut self, line: &[u8]) -> Placed<()> {
        let behind = line.strip_prefix(self.last.as_slice()).unwrap_or_default();
        let is_same = matches!(behind, [b' ', next, ..] if !is_blank(*next) && *next != b'{') && !self.last.is_empty();
        let end = if is_same { self.last.len() } else { self.series(line)? };
        let mut cursor = Cursor { line, at: end };
        let (at, token) = cursor.token();
        let value = value(token.map_err(|m| (at, m))?).map_err(|m| (at, m))?;
        let (at, token) = cursor.token();
        let token = token.map_err(|m| (at, m))?;
        let moment = match (token, self.dialect) {
            ("" | "#", _) => self.default_at.ok_or_else(|| (at, "the sample has no time".to_owned())),
            (text, Dialect::OpenMetrics) => seconds(text).map_err(|m| (at, m)),
            (text, Dialect::Prometheus) => {
                let ms = text.parse().map_err(|_| format!("{} is no time in milliseconds", shown(text.as_bytes())));
                ms.and_then(time).map_err(|m| (at, m))
            }
        }?;
        if token != "#" {
            let (at, rest) = cursor.token();
            let is_exemplar = matches!(rest, Ok("#")) && self.dialect == Dialect::OpenMetrics;
            if !is_exemplar && rest != Ok("") {
                return Err((at, format!("{} stands behind the sample", shown(&line[at..]))));
            }
        }
        match self.last_key {
            Some(key) => self.sink.sample(key, Sample { at: moment, value }).map_err(|e| (0, e.0)),
            None => Ok(()),
        }
    }

    /// Finds the series that begins a line, makes it the last one and gives the place of its end.
    fn series(&mut self, line: &[u8]) -> Placed<usize> {
        let spelling = Spelling::scan(line)?;
        let end = spelling.end;
        let raw = &line[..end];
        self.last.clear();
        if let Some(key) = self.known.get(raw) {
            self.last_key = *key;
        } else {
            let name = spelling.name(line)?;
            // Of what nobody asks for nothing is kept, so that it may have any number of series.
            let wanted = self.sink.wants(name);
            let series = spelling.series(line)?;
            self.last_key = None;
            if wanted {
                self.last_key = self.sink.series(&series).map_err(|e| (0, e.0))?;
                self.known_bytes += raw.len();
                let ReadLimits { series_max, series_bytes_max, .. } = self.limits;
                if self.known.len() >= series_max || self.known_bytes > series_bytes_max {
                    let message =
                        format!("there are more than {series_max} series, or {series_bytes_max} bytes of them");
                    return Err((0, message));
                }
                self.known.insert(raw.into(), self.last_key);
            }
        }
        self.last.extend_from_slice(raw);
        Ok(end)
    }
}

fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Goes over what stands behind a series.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next token and its place; an empty one at the end.
    fn token(&mut self) -> (usize, Result<&'a str, String>) {
        let rest = &self.line[self.at..];
        let from = self.at + rest.iter().take_while(|b| is_blank(**b)).count();
        let rest = &self.line[from..];
        let length = rest.iter().position(|b| is_blank(*b)).unwrap_or(rest.len());
        self.at = from + length;
        let token = &rest[..length];
        (from, std::str::from_utf8(token).map_err(|_| format!("{} is not UTF-8", shown(token))))
    }
}

/// Where the parts of a series lie in its line.
struct Spelling {
    name_end: usize,
    /// Of the whole.
    end: usize,
}

impl Spelling {
    /// Finds the ends, without looking closer.
    fn scan(line: &[u8]) -> Placed<Spelling> {
        let name_end = line.iter().position(|b| is_blank(*b) || *b == b'{').unwrap_or(line.len());
        let blanks = line[name_end..].iter().take_while(|b| is_blank(**b)).count();
        if line.get(name_end + blanks) != Some(&b'{') {
            return Ok(Spelling { name_end, end: name_end });
        }
        let (mut quoted, mut escaped) = (false, false);
        for (at, b) in line.iter().enumerate().skip(name_end + blanks + 1) {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'}' if !quoted => return Ok(Spelling { name_end, end: at + 1 }),
                _ => {}
            }
        }
        Err((name_end + blanks, "the labels have no closing `}`".to_owned()))
    }

    fn name<'a>(&self, line: &'a [u8]) -> Placed<&'a str> {
        let name = &line[..self.name_end];
        match std::str::from_utf8(name) {
            Ok(text) if is_metric_name(text) => Ok(text),
            _ => Err((0, format!("{} is no metric's name", shown(name)))),
        }
    }

    fn series(&self, line: &[u8]) -> Placed<Series> {
        let name = self.name(line)?;
        let mut labels = BTreeMap::new();
        if let Some(open) = line[self.name_end..self.end].iter().position(|b| *b == b'{') {
            // Between the braces.
            let mut rest = Labels { line: &line[..self.end - 1], at: self.name_end + open + 1 };
            while let Some((at, name, value)) = rest.next()? {
                add_label(&mut labels, name, value).map_err(|m| (at, m))?;
            }
        }
        Series::new(name, labels).map_err(|e| (0, e.to_string()))
    }
}

/// Goes over `a="x", b="y",`.
struct Labels<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Labels<'a> {
    fn blanks(&mut self) -> Option<u8> {
        self.at += self.line[self.at..].iter().take_while(|b| is_blank(**b)).count();
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Placed<()> {
        if self.blanks() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        let found = self.line.get(self.at..).unwrap_or_default();
        Err((self.at, format!("`{}` is missing before {}", char::from(wanted), shown(found))))
    }

    /// A label's place, name and value, or nothing at the end.
    fn next(&mut self) -> Placed<Option<(usize, &'a str, String)>> {
        if self.blanks().is_none() {
            return Ok(None);
        }
        let from = self.at;
        let length =
            self.line[from..].iter().position(|b| is_blank(*b) || *b == b'=').unwrap_or(self.line.len() - from);
        let name = &self.line[from..from + length];
        let name = std::str::from_utf8(name).map_err(|_| (from, format!("{} is not UTF-8", shown(name))))?;
        self.at += length;
        self.expect(b'=')?;
        self.expect(b'"')?;
        let value = self.value()?;
        if self.blanks().is_some() {
            self.expect(b',')?;
        }
        Ok(Some((from, name, value)))
    }

    /// What stands between the quotes, of which the first was read.
    fn value(&mut self) -> Placed<String> {
        let from = self.at;
        let mut bytes = Vec::new();
        loop {
            let Some(b) = self.line.get(self.at).copied() else {
                return Err((from - 1, "the label's value has no closing `\"`".to_owned()));
            };
            self.at += 1;
            match b {
                b'"' => break,
                b'\\' => {
                    bytes.push(match self.line.get(self.at) {
                        Some(b'n') => b'\n',
                        Some(b @ (b'\\' | b'"')) => *b,
                        _ => {
                            return Err((
                                self.at - 1,
                                "a backslash stands before none of `\\`, `\"` and `n`".to_owned(),
                            ));
                        }
                    });
                    self.at += 1;
                }
                b => bytes.push(b),
            }
        }
        String::from_utf8(bytes).map_err(|e| (from, format!("{} is not UTF-8", shown(e.as_bytes()))))
    }
}

/// A series as text says it, such as `up{job="web"}`.
///
/// # Errors
///
/// What is wrong with it, and at which byte from 0.
pub fn parse_series(text: &str) -> Placed<Series> {
    let spelling = Spelling::scan(text.as_bytes())?;
    if spelling.end != text.len() {
        return Err((spelling.end, format!("{} stands behind the series", shown(&text.as_bytes()[spelling.end..]))));
    }
    spelling.series(text.as_bytes())
}
