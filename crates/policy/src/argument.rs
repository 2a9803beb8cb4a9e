//! Arguments of commands with places for typed values: `["dbt", "run-operation", "{macro}"]`. A guest passes a value by the
//! parameter's name; policy says what the value may be. A value is one argument or a part of one, never several, and can
//! not begin an option where policy's own text does not stand before it.

use crate::Name;
use std::{collections::BTreeMap, fmt};

/// Bytes of a value at most, whatever its kind.
const VALUE_BYTES_MAX: usize = 1024;

/// One argument, as policy writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Name),
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterKind {
    /// One of these, word for word.
    OneOf(Vec<String>),
    /// A whole number between these two, in its one decimal form.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Letters, digits, `-`, `_` and `.`, the first a letter or digit; at most so many.
    Name {
        /// Characters at most.
        longest: usize,
    },
}

/// Why values do not fit a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ParameterError {
    #[error("it has no parameter {parameter:?}{known}")]
    Unknown { parameter: String, known: Known },
    #[error("its parameter {parameter} is given twice")]
    Twice { parameter: String },
    #[error("its parameter {parameter} is missing")]
    Missing { parameter: String },
    #[error("{value:?} is no value for its parameter {parameter}, which is {rule}")]
    Value { parameter: String, value: String, rule: ParameterKind },
}

/// The parameters that there are, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known(Vec<String>);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("; it has none at all")
        } else {
            write!(f, "; it has: {}", self.0.join(", "))
        }
    }
}

impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterKind::OneOf(values) => write!(f, "one of {values:?}"),
            ParameterKind::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            ParameterKind::Name { longest } => {
                write!(f, "at most {longest} letters, digits, `-`, `_` or `.`, the first one a letter or digit")
            }
        }
    }
}

impl ParameterKind {
    /// Whether `value` is one.
    pub fn takes(&self, value: &str) -> bool {
        value.len() <= VALUE_BYTES_MAX
            && match self {
                ParameterKind::OneOf(values) => values.iter().any(|one| one == value),
                ParameterKind::Integer { min, max } => {
                    // The one decimal form: no `+`, no zeros in front, nothing that a program may read as octal.
                    value.parse::<i64>().is_ok_and(|n| (*min..=*max).contains(&n) && n.to_string() == value)
                }
                ParameterKind::Name { longest } => {
                    value.len() <= *longest
                        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                }
            }
    }

    /// Whether a value could be read as an option if it began an argument.
    fn may_begin_with_a_dash(&self) -> bool {
        match self {
            ParameterKind::OneOf(values) => values.iter().any(|value| value.starts_with('-')),
            ParameterKind::Integer { min, .. } => *min < 0,
            ParameterKind::Name { .. } => false,
        }
    }
}

impl Argument {
    /// An argument that is this text, braces and all.
    pub fn literal(text: &str) -> Argument {
        Argument { parts: vec![Part::Text(text.to_owned())] }
    }

    /// Reads `{parameter}` as a place for a value, `{{` and `}}` as braces.
    ///
    /// # Errors
    /// A sentence: a brace that is neither, or a name that is none.
    pub(crate) fn parse(text: &str) -> Result<Argument, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let name = rest.split_once('}').filter(|_| brace == "{").and_then(|(name, after)| {
                rest = after;
                Name::new(name).ok()
            });
            let Some(name) = name else {
                return Err(format!(
                    "{text:?}: a brace begins a parameter, such as `{{macro}}`; write `{{{{` and `}}}}` for braces themselves"
                ));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(name));
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Argument { parts })
    }

    /// The parameters in it.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Name> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(name) => Some(name),
            Part::Text(_) => None,
        })
    }

    /// The parameter with which it begins, if a value of that could make an option of it.
    pub(crate) fn open_to_options(&self, parameters: &BTreeMap<Name, ParameterKind>) -> Option<&Name> {
        match self.parts.first() {
            Some(Part::Value(name)) if parameters.get(name).is_some_and(ParameterKind::may_begin_with_a_dash) => {
                Some(name)
            }
            _ => None,
        }
    }

    /// The argument with `values` in their places. Every parameter has one: policy and values were checked.
    fn with(&self, values: &BTreeMap<&str, &str>) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(name) => values.get(name.as_str()).copied().unwrap_or_default().to_owned(),
        };
        self.parts.iter().map(text).collect()
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Value(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// `arguments` with `given` in their places.
///
/// # Errors
/// [`ParameterError`]: one that is unknown, given twice, missing, or not what it may be.
pub(crate) fn filled(
    arguments: &[Argument],
    parameters: &BTreeMap<Name, ParameterKind>,
    given: &[(String, String)],
) -> Result<Vec<String>, ParameterError> {
    let mut values = BTreeMap::new();
    for (parameter, value) in given {
        let Some(rule) = parameters.iter().find(|(name, _)| name.as_str() == parameter).map(|(_, rule)| rule) else {
            let known = Known(parameters.keys().map(Name::to_string).collect());
            return Err(ParameterError::Unknown { parameter: parameter.clone(), known });
        };
        if values.insert(parameter.as_str(), value.as_str()).is_some() {
            return Err(ParameterError::Twice { parameter: parameter.clone() });
        }
        if !rule.takes(value) {
            let shown: String = value.chars().take(80).collect();
            return Err(ParameterError::Value { parameter: parameter.clone(), value: shown, rule: rule.clone() });
        }
    }
    if let Some(missing) = parameters.keys().find(|name| !values.contains_key(name.as_str())) {
        return Err(ParameterError::Missing { parameter: missing.to_string() });
    }
    Ok(arguments.iter().map(|argument| argument.with(&values)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Vec<Argument> {
        texts.iter().map(|text| Argument::parse(text).expect(text)).collect()
    }

    fn parameters() -> BTreeMap<Name, ParameterKind> {
        let name = |text| Name::new(text).expect("a name");
        BTreeMap::from([
            (name("macro"), ParameterKind::OneOf(vec!["drop tables".into(), "$(reboot)".into()])),
            (name("n"), ParameterKind::Integer { min: 1, max: 8 }),
            (name("model"), ParameterKind::Name { longest: 8 }),
        ])
    }

    fn fill(given: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let arguments = parsed(&["dbt", "{macro}", "--threads={n}", "+{model}.sql{{}}"]);
        let given: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        filled(&arguments, &parameters(), &given).map_err(|e| e.to_string())
    }

    #[test]
    fn a_value_is_one_argument_or_part_of_one_whatever_it_holds() {
        let filled = fill(&[("n", "8"), ("macro", "$(reboot)"), ("model", "a-b_c.d")]);
        assert_eq!(filled.expect("fits"), ["dbt", "$(reboot)", "--threads=8", "+a-b_c.d.sql{}"]);
        assert_eq!(fill(&[("n", "1"), ("macro", "drop tables"), ("model", "x")]).expect("fits")[1], "drop tables");
    }

    #[test]
    fn what_is_no_value_is_refused_by_its_rule() {
        let well = [("macro", "drop tables"), ("n", "1"), ("model", "x")];
        for (parameter, value, rule) in [
            (
                "macro",
                "drop",
                "\"drop\" is no value for its parameter macro, which is one of [\"drop tables\", \"$(reboot)\"]",
            ),
            ("n", "0", "\"0\" is no value for its parameter n, which is a whole number from 1 to 8"),
            ("n", "9", "a whole number from 1 to 8"),
            ("n", "+1", "a whole number"),
            ("n", "01", "a whole number"),
            ("n", "1 ", "a whole number"),
            ("n", "", "a whole number"),
            ("model", "", "at most 8 letters"),
            ("model", "-x", "the first one a letter or digit"),
            ("model", "../x", "letters"),
            ("model", "a b", "letters"),
            ("model", "ä", "letters"),
            ("model", "a\nb", "letters"),
            ("model", "123456789", "at most 8"),
        ] {
            let mut given = well;
            given.iter_mut().find(|(name, _)| *name == parameter).expect("is there").1 = value;
            let refused = fill(&given).expect_err(value);
            assert!(refused.contains(rule), "{refused}");
        }
    }

    #[test]
    fn each_parameter_is_given_once_and_no_other() {
        let refused = |given: &[(&str, &str)]| fill(given).expect_err("refused");
        let all = [("macro", "drop tables"), ("n", "1"), ("model", "x")];
        assert_eq!(refused(&all[..2]), "its parameter model is missing");
        assert_eq!(refused(&[all[0], all[1], all[1]]), "its parameter n is given twice");
        let unknown = refused(&[("shell", "x")]);
        assert_eq!(unknown, "it has no parameter \"shell\"; it has: macro, model, n");
        let none = filled(&parsed(&["true"]), &BTreeMap::new(), &[("x".into(), "y".into())]).expect_err("refused");
        assert_eq!(none.to_string(), "it has no parameter \"x\"; it has none at all");
    }

    #[test]
    fn a_brace_is_a_parameter_or_doubled() {
        for text in ["a", "", "{{\"a\":1}}", "{x}", "a{x}b{y}", "}}{{"] {
            assert_eq!(Argument::parse(text).expect(text).to_string(), text);
        }
        for text in ["{", "}", "{x", "x}", "{}", "{a b}", "{\"a\":1}", "{{x}", "{x}}"] {
            assert!(Argument::parse(text).is_err(), "{text}");
        }
    }
}
