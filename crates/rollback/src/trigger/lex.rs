//! A rule's text in tokens.

use super::rule::RuleError;
use crate::neutralise;
use std::ops::Range;

/// A token with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub span: Range<usize>,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind<'a> {
    /// A name, keyword or unit.
    Word(&'a str),
    /// Digits, with a point and more digits or without, and perhaps a minus in front.
    Number(f64),
    /// What stands between double quotes; there are no escapes.
    Text(&'a str),
    /// One of `( ) { } , / % = > >= < <= == !=`.
    Sign(&'static str),
    /// Nothing more.
    End,
}

/// Longest first.
const SIGNS: &[&str] = &[">=", "<=", "==", "!=", ">", "<", "=", "(", ")", "{", "}", ",", "/", "%"];

/// The tokens of `text`, the last one [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, RuleError> {
    let mut all = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t', '\n', '\r']).len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            all.push(Token { span: at..at, kind: Kind::End });
            return Ok(all);
        };
        let (kind, bytes) = if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let bytes = length(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            (Kind::Word(&rest[..bytes]), bytes)
        } else if first.is_ascii_digit() || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest, at)?
        } else if first == '"' {
            let Some(bytes) = rest[1..].find('"') else {
                return Err(RuleError::at(at..text.len(), "this text has no closing quote"));
            };
            (Kind::Text(&rest[1..=bytes]), bytes + 2)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Kind::Sign(sign), sign.len())
        } else {
            let shown = neutralise(&first.to_string());
            return Err(RuleError::at(at..at + first.len_utf8(), format!("`{shown}` has no meaning in a rule")));
        };
        all.push(Token { span: at..at + bytes, kind });
        at += bytes;
    }
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

fn number(rest: &str, at: usize) -> Result<(Kind<'_>, usize), RuleError> {
    let minus = usize::from(rest.starts_with('-'));
    let mut bytes = minus + length(&rest[minus..], |c| c.is_ascii_digit());
    if rest[bytes..].starts_with('.') {
        let decimals = length(&rest[bytes + 1..], |c| c.is_ascii_digit());
        if decimals == 0 {
            return Err(RuleError::at(at..at + bytes + 1, "a digit is missing behind the point"));
        }
        bytes += 1 + decimals;
    }
    match rest[..bytes].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Kind::Number(number), bytes)),
        _ => Err(RuleError::at(at..at + bytes, "this number is too large")),
    }
}
