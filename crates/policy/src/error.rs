//! The error of a file that a person wrote: where it is wrong, why, and what to do.

use std::ops::Range;

/// What is wrong with a TOML file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    /// One sentence: what is wrong, by which rule.
    pub message: String,
    /// Bytes of the text at fault.
    pub span: Option<Range<usize>>,
    /// What would make it right.
    pub help: Option<String>,
}

impl FileError {
    pub(crate) fn at(span: Range<usize>, message: impl Into<String>) -> FileError {
        FileError { message: message.into(), span: Some(span), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> FileError {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn from_toml(error: &toml::de::Error) -> FileError {
        FileError { message: error.message().trim().to_owned(), span: error.span(), help: None }
    }

    /// Line and column, both from 1, of the place in `text`.
    pub fn line_column(&self, text: &str) -> Option<(usize, usize)> {
        let start = self.span.as_ref()?.start.min(text.len());
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}
