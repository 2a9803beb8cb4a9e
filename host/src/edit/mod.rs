//! Changes one scalar of a YAML, JSON or TOML text and keeps every other byte: comments, order, quoting, line ends,
//! byte-order mark, a missing final newline.
//!
//! A scalar is meant *as it is written*: `"off"` with its quotes is another value than `off`. The new bytes are spliced
//! into the old text, the result is parsed again, and unless that shows exactly one changed scalar the edit is refused.
//! What a reader of the file would see change in two places at once (anchors, merge keys, duplicate keys) is refused too.

mod json;
mod toml;
mod yaml;

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, path::Path};

/// Texts larger than this are refused, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 << 20;
/// Mappings, sequences and scalars of one text.
const NODES_MAX: usize = 1 << 20;
/// How deep mappings and sequences may nest.
const DEPTH_MAX: usize = 100;
const BOM: &str = "\u{feff}";

/// The languages that can be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    Yaml,
    Json,
    Toml,
}

/// The format that the end of a file's name tells; `None` for any other.
pub fn format_of(path: impl AsRef<Path>) -> Option<Format> {
    match path.as_ref().extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        "toml" => Some(Format::Toml),
        _ => None,
    }
}

/// What an edit gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole new text.
    pub bytes: Vec<u8>,
    /// The scalar as it was written before.
    pub before: String,
    /// `false`: it was that value already, and `bytes` is the text as it came.
    pub changed: bool,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a scalar can be neither read nor changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum EditError {
    #[error("the text has {size} bytes; at most {TEXT_BYTES_MAX} can be edited")]
    TooLarge { size: usize },
    #[error("{at}: nested deeper than {DEPTH_MAX}, or more than {NODES_MAX} values")]
    TooComplex { at: Place },
    #[error("{at}: not UTF-8")]
    NotUtf8 { at: Place },
    #[error("{at}: not well-formed: {why}")]
    Malformed { at: Place, why: String },
    #[error("{pointer:?} is not a JSON pointer: it starts with `/`, and `~` stands only in `~0` and `~1`")]
    BadPointer { pointer: String },
    #[error("{at}: nothing at {pointer}: there is no {segment:?} here")]
    Missing { pointer: String, segment: String, at: Place },
    #[error("{at}: {pointer} is {found}, not a scalar on one line")]
    NotAScalar { pointer: String, found: &'static str, at: Place },
    #[error("{at}: {pointer} cannot be changed alone: {why}")]
    Shared { pointer: String, why: &'static str, at: Place },
    #[error("{at}: the key {key:?} stands here a second time")]
    Duplicate { key: String, at: Place },
    #[error("{at}: a second document begins; only a text with one can be edited")]
    ManyDocuments { at: Place },
    #[error("{at}: {pointer} is `{found}`, expected `{expected}`")]
    NotAsExpected { pointer: String, found: String, expected: String, at: Place },
    #[error("{at}: {value:?} cannot be written at {pointer}: {why}")]
    BadValue { pointer: String, value: String, why: String, at: Place },
}

impl EditError {
    /// Where in the text it is wrong, when it is the text.
    pub fn place(&self) -> Option<Place> {
        match self {
            EditError::TooLarge { .. } | EditError::BadPointer { .. } => None,
            EditError::TooComplex { at }
            | EditError::NotUtf8 { at }
            | EditError::Malformed { at, .. }
            | EditError::Missing { at, .. }
            | EditError::NotAScalar { at, .. }
            | EditError::Shared { at, .. }
            | EditError::Duplicate { at, .. }
            | EditError::ManyDocuments { at }
            | EditError::NotAsExpected { at, .. }
            | EditError::BadValue { at, .. } => Some(*at),
        }
    }
}

/// The scalar at `pointer` (RFC 6901), as it is written in the text.
///
/// # Errors
/// [`EditError`]; whatever [`set_scalar`] would refuse to change is refused here as well.
pub fn get_scalar(format: Format, text: &[u8], pointer: &str) -> Result<String, EditError> {
    let parsed = Parsed::new(format, text)?;
    let target = parsed.locate(pointer)?;
    Ok(parsed.written(target).to_owned())
}

/// Writes `value` in place of the scalar at `pointer` (RFC 6901), which must be `expected` if that is given. Both are
/// scalars as they are written in the text. What is `value` already stays as it is, whatever is expected.
///
/// # Errors
/// [`EditError`] says what is refused and where; nothing is changed then.
pub fn set_scalar(
    format: Format,
    text: &[u8],
    pointer: &str,
    expected: Option<&str>,
    value: &str,
) -> Result<Edited, EditError> {
    let parsed = Parsed::new(format, text)?;
    let target = parsed.locate(pointer)?;
    let before = parsed.written(target).to_owned();
    if before == value {
        return Ok(Edited { bytes: text.to_vec(), before, changed: false });
    }
    let at = parsed.place(target);
    if let Some(expected) = expected.filter(|expected| *expected != before) {
        let (pointer, expected) = (pointer.to_owned(), expected.to_owned());
        return Err(EditError::NotAsExpected { pointer, found: before, expected, at });
    }
    let bad = |why: String| EditError::BadValue { pointer: pointer.to_owned(), value: value.to_owned(), why, at };
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(bad("it is empty or holds a control character".into()));
    }
    let bytes = parsed.splice(target, value).into_bytes();
    let after = Parsed::new(format, &bytes).map_err(|e| bad(format!("the text would break: {e}")))?;
    if !after.differs_only_at(&parsed, target) || after.written(target) != value {
        return Err(bad("it is not one scalar in this place, but would change what stands around it".into()));
    }
    Ok(Edited { bytes, before, changed: true })
}

/// One event of a document, in the order of the text (of the keys, for TOML). In a mapping, keys and values alternate.
#[derive(Debug, Clone)]
struct Node {
    what: What,
    /// Bytes of the text without its byte-order mark; of a scalar exactly its own, quotes included.
    span: Range<usize>,
    /// Marked by an anchor, so that aliases elsewhere may show its value.
    anchored: bool,
    tag: Option<String>,
}

impl Node {
    fn plain(what: What, span: Range<usize>) -> Node {
        Node { what, span, anchored: false, tag: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Mapping,
    Sequence,
    /// Ends the innermost mapping or sequence.
    End,
    Scalar {
        /// What it means: escapes resolved, quotes gone.
        text: String,
        quoted: bool,
    },
    /// A YAML scalar whose own bytes cannot be told simply: block style, over several lines, empty.
    Unwieldy {
        text: String,
        why: &'static str,
    },
    Alias,
}

struct Parsed<'t> {
    /// The text without its byte-order mark.
    text: &'t str,
    has_bom: bool,
    nodes: Vec<Node>,
}

impl<'t> Parsed<'t> {
    fn new(format: Format, bytes: &'t [u8]) -> Result<Parsed<'t>, EditError> {
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(EditError::TooLarge { size: bytes.len() });
        }
        let all = str::from_utf8(bytes).map_err(|e| {
            let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
            EditError::NotUtf8 { at: place_of(&good, good.len()) }
        })?;
        let text = all.strip_prefix(BOM).unwrap_or(all);
        let mut nodes = Nodes { text, list: Vec::new(), depth: 0 };
        match format {
            Format::Yaml => yaml::parse(text, &mut nodes),
            Format::Json => json::parse(text, &mut nodes),
            Format::Toml => toml::parse(text, &mut nodes),
        }?;
        Ok(Parsed { text, has_bom: text.len() != all.len(), nodes: nodes.list })
    }

    fn place(&self, node: usize) -> Place {
        place_of(self.text, self.nodes[node].span.start)
    }

    fn written(&self, node: usize) -> &'t str {
        &self.text[self.nodes[node].span.clone()]
    }

    fn splice(&self, node: usize, value: &str) -> String {
        let span = &self.nodes[node].span;
        let bom = if self.has_bom { BOM } else { "" };
        [bom, &self.text[..span.start], value, &self.text[span.end..]].concat()
    }

    /// The node after `node` and all that it holds.
    fn after(&self, node: usize) -> usize {
        let mut depth = 0_usize;
        let mut at = node;
        loop {
            match self.nodes[at].what {
                What::Mapping | What::Sequence => depth += 1,
                What::End => depth -= 1,
                What::Scalar { .. } | What::Unwieldy { .. } | What::Alias => {}
            }
            at += 1;
            if depth == 0 {
                return at;
            }
        }
    }

    /// The index of the one scalar that `pointer` names.
    fn locate(&self, pointer: &str) -> Result<usize, EditError> {
        let mut node = 0;
        for segment in segments(pointer)? {
            self.check_alone(pointer, node)?;
            node = match self.nodes[node].what {
                What::Mapping => self.value_of(pointer, node, &segment)?,
                What::Sequence => self.item_of(pointer, node, &segment)?,
                _ => return Err(self.missing(pointer, node, &segment)),
            };
        }
        self.check_alone(pointer, node)?;
        let found = match self.nodes[node].what {
            What::Scalar { .. } if self.nodes[node].tag.is_none() => return Ok(node),
            What::Scalar { .. } => "a tagged scalar",
            What::Mapping => "a mapping",
            What::Sequence => "a sequence",
            What::Unwieldy { why, .. } => why,
            What::Alias | What::End => "no value",
        };
        Err(EditError::NotAScalar { pointer: pointer.to_owned(), found, at: self.place(node) })
    }

    fn check_alone(&self, pointer: &str, node: usize) -> Result<(), EditError> {
        let why = match &self.nodes[node] {
            Node { what: What::Alias, .. } => "an alias stands here for a value from elsewhere",
            Node { anchored: true, .. } => "an anchor lends this value to other places",
            _ => return Ok(()),
        };
        Err(EditError::Shared { pointer: pointer.to_owned(), why, at: self.place(node) })
    }

    fn missing(&self, pointer: &str, node: usize, segment: &str) -> EditError {
        let (pointer, segment) = (pointer.to_owned(), segment.to_owned());
        EditError::Missing { pointer, segment, at: self.place(node) }
    }

    fn value_of(&self, pointer: &str, mapping: usize, segment: &str) -> Result<usize, EditError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut found = None;
        let mut key = mapping + 1;
        while self.nodes[key].what != What::End {
            let value = self.after(key);
            match &self.nodes[key].what {
                What::Alias => self.check_alone(pointer, key)?,
                What::Scalar { text, quoted: false } if text == "<<" => {
                    let (pointer, at) = (pointer.to_owned(), self.place(key));
                    return Err(EditError::Shared { pointer, why: "a merge key `<<` stands beside it", at });
                }
                What::Scalar { text, .. } | What::Unwieldy { text, .. } => {
                    if !seen.insert(text.as_str()) {
                        return Err(EditError::Duplicate { key: text.clone(), at: self.place(key) });
                    }
                    if text == segment {
                        found = Some(value);
                    }
                }
                What::Mapping | What::Sequence | What::End => {}
            }
            key = self.after(value);
        }
        found.ok_or_else(|| self.missing(pointer, mapping, segment))
    }

    fn item_of(&self, pointer: &str, sequence: usize, segment: &str) -> Result<usize, EditError> {
        let missing = || self.missing(pointer, sequence, segment);
        let wanted: usize = segment.parse().map_err(|_| missing())?;
        if wanted.to_string() != segment {
            return Err(missing());
        }
        let mut item = sequence + 1;
        for _ in 0..wanted {
            if self.nodes[item].what == What::End {
                return Err(missing());
            }
            item = self.after(item);
        }
        if self.nodes[item].what == What::End { Err(missing()) } else { Ok(item) }
    }

    /// Whether the two documents are the same but for the scalar `target`.
    fn differs_only_at(&self, other: &Parsed<'_>, target: usize) -> bool {
        let same = |a: &Node, b: &Node| a.what == b.what && a.anchored == b.anchored && a.tag == b.tag;
        let scalar = |n: &Node| matches!(n.what, What::Scalar { .. }) && !n.anchored && n.tag.is_none();
        self.nodes.len() == other.nodes.len()
            && self
                .nodes
                .iter()
                .zip(&other.nodes)
                .enumerate()
                .all(|(i, (a, b))| if i == target { scalar(a) && scalar(b) } else { same(a, b) })
    }
}

/// Collects a document's nodes within the limits.
struct Nodes<'t> {
    text: &'t str,
    list: Vec<Node>,
    depth: usize,
}

impl Nodes<'_> {
    fn push(&mut self, node: Node) -> Result<(), EditError> {
        match node.what {
            What::Mapping | What::Sequence => self.depth += 1,
            What::End => self.depth -= 1,
            What::Scalar { .. } | What::Unwieldy { .. } | What::Alias => {}
        }
        if self.depth > DEPTH_MAX || self.list.len() >= NODES_MAX {
            return Err(EditError::TooComplex { at: place_of(self.text, node.span.start) });
        }
        self.list.push(node);
        Ok(())
    }
}

/// The unescaped reference tokens of a JSON pointer.
fn segments(pointer: &str) -> Result<Vec<String>, EditError> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let bad = || EditError::BadPointer { pointer: pointer.to_owned() };
    let tokens = pointer.strip_prefix('/').ok_or_else(bad)?.split('/');
    tokens
        .map(|token| {
            let escapes_good = token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            escapes_good.then(|| token.replace("~1", "/").replace("~0", "~")).ok_or_else(bad)
        })
        .collect()
}

/// The place of byte `offset`.
fn place_of(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.bytes().filter(|b| *b == b'\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}
