//! `fill` of an HTTP call: places in its body for what only the other end knows, such as the runs that are in flight. Policy says
//! which call is asked for it and where it stands in the answer; it is asked when the call is made, so no plan pins it.

use crate::{FileError, Name, ParameterKind, tables::name};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};
use toml::Spanned;

/// Values that one place takes.
const VALUES_MAX: usize = 1000;
/// A value is a name, so that nothing of an answer can become more than a value of the body.
const VALUE: ParameterKind = ParameterKind::Name { longest: 128 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFill {
    from: Spanned<String>,
    pointer: Spanned<String>,
}

/// Where the values of one place come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The call that is asked; it changes nothing.
    pub from: Name,
    /// Where they stand in its answer.
    pub pointer: EachPointer,
}

/// An RFC 6901 JSON pointer in which `*` stands for each element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EachPointer {
    text: String,
    parts: Vec<String>,
}

impl fmt::Display for EachPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl EachPointer {
    fn new(text: &str) -> Option<EachPointer> {
        let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        let below = text.strip_prefix('/').filter(|_| escapes)?;
        let parts = below.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        Some(EachPointer { text: text.to_owned(), parts: parts.collect() })
    }
}

impl Fill {
    /// The values in `answer`, in its order.
    ///
    /// # Errors
    /// What is not as the pointer says, or no value that may stand in a body.
    pub fn values(&self, answer: &Value) -> Result<Vec<String>, String> {
        let mut found = vec![answer];
        for part in &self.pointer.parts {
            let mut next = Vec::new();
            for value in found {
                match value {
                    Value::Array(all) if part == "*" => next.extend(all),
                    Value::Object(keys) if keys.contains_key(part) => next.push(&keys[part]),
                    _ => return Err(format!("its answer has nothing at {part:?} of {}", self.pointer)),
                }
            }
            found = next;
        }
        if found.len() > VALUES_MAX {
            return Err(format!("its answer has {} values at {}, more than {VALUES_MAX}", found.len(), self.pointer));
        }
        let text = |value: &Value| match value {
            Value::String(text) if VALUE.takes(text) => Ok(text.clone()),
            other => Err(format!("{other} at {} is no value for a call: one is {VALUE}", self.pointer)),
        };
        found.into_iter().map(text).collect()
    }
}

/// The places of a body, each of which must stand in it once.
///
/// # Errors
/// [`FileError`]: a place that is not there or there twice, a name or a pointer that is none.
pub(crate) fn parse(
    raw: &BTreeMap<Spanned<String>, RawFill>,
    body: Option<&str>,
) -> Result<BTreeMap<Name, Fill>, FileError> {
    let mut all = BTreeMap::new();
    for (place, RawFill { from, pointer }) in raw {
        let key = name(place)?;
        let count = body.unwrap_or_default().matches(&mark(&key)).count();
        if count != 1 {
            let message = format!("the body has {count} places `{}`, and must have one", mark(&key));
            return Err(FileError::at(place.span(), message));
        }
        let pointer = EachPointer::new(pointer.get_ref()).ok_or_else(|| {
            let message = format!(
                "{:?} is not a pointer: it starts with `/`, such as `/runs/*/id`; `*` stands for each of a list",
                pointer.get_ref()
            );
            FileError::at(pointer.span(), message)
        })?;
        all.insert(key, Fill { from: name(from)?, pointer });
    }
    Ok(all)
}

/// `body` with a list of JSON in each place.
pub(crate) fn filled(body: &str, values: &BTreeMap<Name, Vec<String>>) -> String {
    values.iter().fold(body.to_owned(), |body, (place, values)| body.replacen(&mark(place), &list(values), 1))
}

fn list(values: &[String]) -> String {
    Value::from(values).to_string()
}

fn mark(place: &Name) -> String {
    format!("{{{place}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pointer: &str) -> Fill {
        Fill { from: Name::new("runs").expect("a name"), pointer: EachPointer::new(pointer).expect("a pointer") }
    }

    #[track_caller]
    fn check(pointer: &str, answer: &str, expected: Result<&[&str], &str>) {
        let found = fill(pointer).values(&serde_json::from_str(answer).expect("JSON"));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{pointer} of {answer}"),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
            (found, _) => panic!("{pointer} of {answer}: {found:?}"),
        }
    }

    #[test]
    fn values_stand_where_the_pointer_says() {
        check("/runs/*/id", r#"{"runs":[{"id":"a-1"},{"id":"b_2"}]}"#, Ok(&["a-1", "b_2"]));
        check("/runs/*/id", r#"{"runs":[]}"#, Ok(&[]));
        check("/a~1b/~0", r#"{"a/b":{"~":"x"}}"#, Ok(&["x"]));
        check("/runs/*/id", r#"{"error":"none"}"#, Err("nothing at \"runs\" of /runs/*/id"));
        check("/runs/*/id", r#"{"runs":{"id":"a"}}"#, Err("nothing at \"*\""));
        check("/runs/*/id", r#"{"runs":[{"id":"a"},{}]}"#, Err("nothing at \"id\""));
    }

    #[test]
    fn what_could_be_more_than_a_value_is_none() {
        for id in [r#""a\"], \"b\": [\"""#, "\"\"", "7", "null", "\"{other}\"", "\"a b\""] {
            check("/id", &format!("{{\"id\":{id}}}"), Err("is no value for a call"));
        }
        let many = vec!["\"a\""; VALUES_MAX + 1].join(",");
        check("/*", &format!("[{many}]"), Err("more than 1000"));
    }

    #[test]
    fn each_place_gets_its_list_and_the_rest_of_the_body_stays() {
        let values = [("ids", vec!["a", "b"]), ("none", vec![])].map(|(place, values)| {
            (Name::new(place).expect("a name"), values.into_iter().map(str::to_owned).collect())
        });
        let body = "{ends(runs: {ids}) { id }, other: {none}, {more}}";
        assert_eq!(filled(body, &values.into()), "{ends(runs: [\"a\",\"b\"]) { id }, other: [], {more}}");
    }

    #[test]
    fn a_pointer_that_is_none_is_refused() {
        for bad in ["", "runs", "/a~2", "/a~"] {
            assert_eq!(EachPointer::new(bad), None, "{bad}");
        }
    }
}
