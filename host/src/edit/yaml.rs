//! YAML, by the events and spans of `saphyr-parser`.
//!
//! Its span of a plain scalar is exact; that of a quoted one may run over the comment behind it, and that of a tagged or
//! anchored one begins at the tag. So the end of a quoted scalar is looked up here, and a plain one is only taken when
//! its bytes are its text.

use super::{EditError, Node, Nodes, Place, What};
use saphyr_parser::{Event, Parser, ScalarStyle};

pub(super) fn parse(text: &str, nodes: &mut Nodes<'_>) -> Result<(), EditError> {
    let mut offsets = Offsets { text, chars: 0, bytes: 0 };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| EditError::Malformed {
            at: Place { line: e.marker().line(), column: e.marker().col() + 1 },
            why: e.info().to_owned(),
        })?;
        let start = offsets.byte_of(span.start.index());
        let point = start..start;
        let node = match event {
            Event::DocumentStart(_) if documents > 0 => {
                return Err(EditError::ManyDocuments { at: super::place_of(text, start) });
            }
            Event::DocumentStart(_) => {
                documents += 1;
                continue;
            }
            Event::MappingStart(anchor, tag) => node(What::Mapping, point, anchor, tag.as_deref()),
            Event::SequenceStart(anchor, tag) => node(What::Sequence, point, anchor, tag.as_deref()),
            Event::MappingEnd | Event::SequenceEnd => Node::plain(What::End, point),
            Event::Alias(_) => Node::plain(What::Alias, point),
            Event::Scalar(value, style, anchor, tag) => {
                // Only looked at for a plain scalar on one line, where characters and bytes go in step.
                let end = start + text[start..].chars().take(span.len()).map(char::len_utf8).sum::<usize>();
                let (what, span) = scalar(text, start..end, &value, style);
                node(what, span, anchor, tag.as_deref())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
        };
        nodes.push(node)?;
    }
    if nodes.list.is_empty() {
        return Err(EditError::Malformed { at: super::place_of(text, text.len()), why: "no document".into() });
    }
    Ok(())
}

fn node(what: What, span: std::ops::Range<usize>, anchor: usize, tag: Option<&saphyr_parser::Tag>) -> Node {
    Node { what, span, anchored: anchor != 0, tag: tag.map(ToString::to_string) }
}

fn scalar(text: &str, span: std::ops::Range<usize>, value: &str, style: ScalarStyle) -> (What, std::ops::Range<usize>) {
    let unwieldy = |why| What::Unwieldy { text: value.to_owned(), why };
    let start = span.start;
    match style {
        ScalarStyle::Plain if value.is_empty() => (unwieldy("empty"), span),
        ScalarStyle::Plain if text[span.clone()] == *value => {
            (What::Scalar { text: value.to_owned(), quoted: false }, span)
        }
        ScalarStyle::Plain => (unwieldy("tagged, anchored or over several lines"), span),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => match quoted_len(&text[start..]) {
            Some(len) if !text[start..start + len].contains(['\n', '\r']) => {
                (What::Scalar { text: value.to_owned(), quoted: true }, start..start + len)
            }
            _ => (unwieldy("tagged, anchored or over several lines"), span),
        },
        ScalarStyle::Literal | ScalarStyle::Folded => (unwieldy("a block scalar"), span),
    }
}

/// Length of the quoted scalar that `text` begins with; `None` when it begins with something else.
fn quoted_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first().filter(|b| matches!(b, b'\'' | b'"'))?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b if b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Turns the parser's character indices, which mostly ascend, into byte offsets without walking the text each time.
struct Offsets<'t> {
    text: &'t str,
    chars: usize,
    bytes: usize,
}

impl Offsets<'_> {
    fn byte_of(&mut self, index: usize) -> usize {
        if index < self.chars {
            let back = self.text[..self.bytes].chars().rev().take(self.chars - index);
            self.bytes -= back.map(char::len_utf8).sum::<usize>();
        } else {
            let ahead = self.text[self.bytes..].chars().take(index - self.chars);
            self.bytes += ahead.map(char::len_utf8).sum::<usize>();
        }
        self.chars = index;
        self.bytes
    }
}
