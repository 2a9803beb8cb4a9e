//! JSON: `serde_json` says whether it is well-formed, a scan over its tokens finds the spans.

use super::{EditError, Node, Nodes, Place, What};
use serde::de::IgnoredAny;

pub(super) fn parse(text: &str, nodes: &mut Nodes<'_>) -> Result<(), EditError> {
    let _: IgnoredAny = serde_json::from_str(text).map_err(|e| malformed(place_of_error(text, &e), &e))?;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let (what, len) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {
                at += 1;
                continue;
            }
            b'{' => (What::Mapping, 1),
            b'[' => (What::Sequence, 1),
            b'}' | b']' => (What::End, 1),
            b'"' => {
                let len = string_len(&text[at..]);
                let value =
                    serde_json::from_str(&text[at..at + len]).map_err(|e| malformed(super::place_of(text, at), &e))?;
                (What::Scalar { text: value, quoted: true }, len)
            }
            _ => {
                let rest = &text[at..];
                let len = rest.find([' ', '\t', '\r', '\n', ',', ':', '}', ']']).unwrap_or(rest.len());
                (What::Scalar { text: rest[..len].to_owned(), quoted: false }, len)
            }
        };
        nodes.push(Node::plain(what, at..at + len))?;
        at += len;
    }
    Ok(())
}

/// `serde_json` counts columns in bytes.
fn place_of_error(text: &str, error: &serde_json::Error) -> Place {
    let lines_before = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines_before.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    super::place_of(text, text.floor_char_boundary(offset))
}

fn malformed(at: Place, error: &serde_json::Error) -> EditError {
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or_default();
    EditError::Malformed { at, why: why.to_owned() }
}

/// Length of the string that the well-formed `text` begins with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
