//! `[safety.NAME]`: a property that protects people or data, such as authentication, told by values that can be looked at.
//! A plan that weakens one needs approvals, and ends by itself.

use crate::{
    FileError, Name, PointerPattern,
    meaning::FlagsMeaning,
    tables::{Definitions, duration, name, relative_file},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};
use toml::Spanned;

/// Approvals that a property may demand.
const APPROVALS: std::ops::RangeInclusive<u32> = 2..=10;
/// How long a weakening lasts at most, and so how long a person's word for it does.
pub(crate) const LAPSES_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Values that one property is told by at most.
const CONDITIONS_MAX: usize = 50;

/// One safety property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyProperty {
    /// One line for people: what holds.
    pub title: String,
    /// It holds while each of these does.
    pub holds_while: Vec<Condition>,
    /// How many people must approve of a plan that weakens it.
    pub approvals: u32,
    /// After what time a weakening ends by itself.
    pub lapses_after: Duration,
}

/// One value of the site, and what it is while the property holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Where the value is.
    pub at: ValueAt,
    /// The value, as it is written there. Any other, and none, is a weakening.
    pub value: String,
}

/// Where a value of the site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueAt {
    /// A scalar of a YAML, JSON or TOML file.
    File {
        /// The file, relative to the site.
        file: String,
        /// RFC 6901.
        pointer: String,
    },
    /// A feature flag.
    Flag(Name),
}

impl fmt::Display for ValueAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueAt::File { file, pointer } => write!(f, "{file} {pointer}"),
            ValueAt::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl SafetyProperty {
    /// Whether the flags that it is told by have a meaning.
    fn has_meaning(&self, flags: Option<&FlagsMeaning>) -> Result<(), String> {
        for condition in &self.holds_while {
            let ValueAt::Flag(flag) = &condition.at else { continue };
            let Some(flags) = flags else {
                return Err(format!("it is told by the flag {flag}, and no policy has `[flags]`"));
            };
            if !flags.values.contains_key(&condition.value) {
                return Err(format!("no policy says how a flag is {:?}", condition.value));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSafety {
    title: String,
    holds_while: Spanned<Vec<Spanned<RawCondition>>>,
    approvals: Spanned<u32>,
    lapses_after: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCondition {
    file: Option<Spanned<String>>,
    pointer: Option<Spanned<String>>,
    flag: Option<Spanned<String>>,
    value: String,
}

/// Reads the properties of one file.
///
/// # Errors
/// [`FileError`] with its place.
pub(crate) fn properties(
    raw: &BTreeMap<Spanned<String>, RawSafety>,
) -> Result<BTreeMap<Name, SafetyProperty>, FileError> {
    raw.iter().map(|(key, raw)| Ok((name(key)?, raw.parse()?))).collect()
}

/// Demands that what every property is told by has a meaning; `places` are those of the story's names.
///
/// # Errors
/// [`FileError`] that names the property.
pub(crate) fn demand_meanings(
    all: &Definitions,
    places: &BTreeMap<(&'static str, String), Range<usize>>,
) -> Result<(), FileError> {
    for (name, property) in &all.safety {
        property.has_meaning(all.flags.as_ref()).map_err(|why| FileError {
            message: format!("the safety property `{name}` cannot be looked at: {why}"),
            span: places.get(&("safety property", name.to_string())).cloned(),
            help: None,
        })?;
    }
    Ok(())
}

impl RawSafety {
    fn parse(&self) -> Result<SafetyProperty, FileError> {
        let conditions = self.holds_while.get_ref();
        if conditions.is_empty() || conditions.len() > CONDITIONS_MAX {
            let message = format!("`holds-while` lists 1 to {CONDITIONS_MAX} values by which the property is told");
            return Err(FileError::at(self.holds_while.span(), message));
        }
        let approvals = *self.approvals.get_ref();
        if !APPROVALS.contains(&approvals) {
            let (least, most) = (APPROVALS.start(), APPROVALS.end());
            let message = format!("{approvals} approvals: a weakening needs {least} to {most} people");
            return Err(FileError::at(self.approvals.span(), message));
        }
        let lapses_after = duration(&self.lapses_after)?;
        if lapses_after > LAPSES_AFTER_MAX {
            return Err(FileError::at(self.lapses_after.span(), "a weakening lasts 24 hours at most"));
        }
        let holds_while = conditions.iter().map(parse_condition).collect::<Result<_, _>>()?;
        Ok(SafetyProperty { title: self.title.clone(), holds_while, approvals, lapses_after })
    }
}

fn parse_condition(raw: &Spanned<RawCondition>) -> Result<Condition, FileError> {
    let (file, pointer, flag) = (&raw.get_ref().file, &raw.get_ref().pointer, &raw.get_ref().flag);
    let value = &raw.get_ref().value;
    let at = match (file, pointer, flag) {
        (Some(file), Some(pointer), None) => {
            let text = relative_file(file)?;
            let known = ["yaml", "yml", "json", "toml"].iter().any(|end| text.ends_with(&format!(".{end}")));
            if !known {
                return Err(FileError::at(
                    file.span(),
                    "only values of .yaml, .yml, .json and .toml files can be told",
                ));
            }
            let exact =
                PointerPattern::new(pointer.get_ref()).map_err(|e| FileError::at(pointer.span(), e.to_string()))?;
            if exact.as_str().ends_with("/**") {
                return Err(FileError::at(pointer.span(), "a property is told by single values: `/**` is none"));
            }
            ValueAt::File { file: text, pointer: pointer.get_ref().clone() }
        }
        (None, None, Some(flag)) => ValueAt::Flag(name(flag)?),
        _ => {
            let message = "a value is told by `file` and `pointer`, or by `flag`, and by the `value` that it has while the property holds";
            return Err(FileError::at(raw.span(), message));
        }
    };
    Ok(Condition { at, value: value.clone() })
}
