//! TOML, by the spanned tree of `toml`. Dotted keys, headers and arrays of tables end up as the same tree.

use super::{EditError, Node, Nodes, What};
use ::toml::de::{DeTable, DeValue};
use std::ops::Range;

pub(super) fn parse(text: &str, nodes: &mut Nodes<'_>) -> Result<(), EditError> {
    let table = DeTable::parse(text).map_err(|e| EditError::Malformed {
        at: super::place_of(text, e.span().map_or(0, |span| span.start)),
        why: e.message().to_owned(),
    })?;
    push_table(text, table.get_ref(), table.span(), nodes)
}

fn push_table(text: &str, table: &DeTable<'_>, span: Range<usize>, nodes: &mut Nodes<'_>) -> Result<(), EditError> {
    nodes.push(Node::plain(What::Mapping, span.clone()))?;
    for (key, value) in table {
        // Keys may be written in pieces all over the text; only what they mean counts, hence `quoted`.
        let what = What::Scalar { text: key.get_ref().to_string(), quoted: true };
        nodes.push(Node::plain(what, key.span()))?;
        push_value(text, value.get_ref(), value.span(), nodes)?;
    }
    nodes.push(Node::plain(What::End, span))
}

fn push_value(text: &str, value: &DeValue<'_>, span: Range<usize>, nodes: &mut Nodes<'_>) -> Result<(), EditError> {
    let written = text.get(span.clone()).unwrap_or_default();
    match value {
        DeValue::Table(table) => push_table(text, table, span, nodes),
        DeValue::Array(items) => {
            nodes.push(Node::plain(What::Sequence, span.clone()))?;
            for item in items.iter() {
                push_value(text, item.get_ref(), item.span(), nodes)?;
            }
            nodes.push(Node::plain(What::End, span))
        }
        DeValue::String(_) if written.contains(['\n', '\r']) => {
            let what = What::Unwieldy { text: written.to_owned(), why: "over several lines" };
            nodes.push(Node::plain(what, span))
        }
        DeValue::String(_) => nodes.push(Node::plain(What::Scalar { text: written.to_owned(), quoted: true }, span)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            nodes.push(Node::plain(What::Scalar { text: written.to_owned(), quoted: false }, span))
        }
    }
}
