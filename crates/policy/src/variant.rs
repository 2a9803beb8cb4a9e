//! Variants: named other ways through the steps and checks of one manifest. A variant adds units that stand in the manifest
//! and belong to variants alone, and omits others; what runs, runs in the manifest's order.

use crate::{
    FileError, Name, Unit, UnitKind,
    tables::{Texts, apart, name},
};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// Variants of one story at most.
const VARIANTS_MAX: usize = 20;

/// One variant of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What `--variant` calls it.
    pub name: Name,
    /// One line for people.
    pub title: String,
    /// Units that run in it and not by default.
    pub adds: BTreeSet<Name>,
    /// Units of the default that do not run in it.
    pub omits: BTreeSet<Name>,
    /// The check that says whether this variant is done already; `None`: none is asked.
    pub already: Option<Name>,
}

impl Variant {
    /// What it does otherwise than the default, in words.
    pub fn changes(&self) -> String {
        let texts = |names: &BTreeSet<Name>| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let changes = [("adds", &self.adds), ("omits", &self.omits)].into_iter().filter(|(_, units)| !units.is_empty());
        let changes = changes.map(|(word, units)| format!("{word} {}", texts(units)));
        let already = self.already.iter().map(|check| format!("done already where {check} says so"));
        changes.chain(already).collect::<Vec<_>>().join("; ")
    }
}

/// A variant that the story does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("story {story} has no variant {name:?} (it has {known})")]
pub struct UnknownVariant {
    /// The story.
    pub story: String,
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawVariant {
    name: Spanned<String>,
    title: String,
    #[serde(default)]
    adds: Texts,
    #[serde(default)]
    omits: Texts,
    already: Option<Spanned<String>>,
}

impl RawVariant {
    /// The check that it names for itself.
    pub fn already(&self) -> Option<&Spanned<String>> {
        self.already.as_ref()
    }
}

/// Reads the variants of a manifest whose units are `units`, and whose default asks the check `already`.
///
/// # Errors
/// [`FileError`] with its place: a name that is none or used twice, a unit that is not there or cannot be added or omitted,
/// a variant that is the default or has no step, one whose added steps would be passed over.
pub(crate) fn variants(raw: &[RawVariant], units: &[Unit], already: Option<&Name>) -> Result<Vec<Variant>, FileError> {
    let added: BTreeSet<&str> = raw.iter().flat_map(|v| &v.adds).map(|text| text.get_ref().as_str()).collect();
    apart(raw.iter().map(|variant| &variant.name))?;
    let mut variants: Vec<Variant> = Vec::new();
    for one in raw {
        let variant_name = name(&one.name)?;
        if variants.iter().any(|known| known.name == variant_name) {
            return Err(FileError::at(one.name.span(), format!("the variant {variant_name} is there twice")));
        }
        if variants.len() == VARIANTS_MAX {
            return Err(FileError::at(one.name.span(), format!("a story has at most {VARIANTS_MAX} variants")));
        }
        variants.push(one.parse(variant_name, units, &added, already)?);
    }
    let has_step = |variant: Option<&Variant>| {
        units.iter().any(|unit| unit.kind == UnitKind::Step && runs(unit, variant, &variants, already))
    };
    for (variant, one) in variants.iter().zip(raw) {
        if !has_step(Some(variant)) {
            return Err(FileError::at(one.name.span(), format!("the variant {} has no step left", variant.name)));
        }
        if !has_step(None) {
            return Err(FileError::at(one.name.span(), "the variants have all steps: the default has none")
                .help("a step that some variant `adds` runs in variants alone"));
        }
    }
    Ok(variants)
}

/// Whether `unit` runs in `variant`, or by default.
pub(crate) fn runs(unit: &Unit, variant: Option<&Variant>, all: &[Variant], already: Option<&Name>) -> bool {
    if unit.kind == UnitKind::Already {
        return variant.map_or(already, |variant| variant.already.as_ref()) == Some(&unit.name);
    }
    let is_extra = || all.iter().any(|other| other.adds.contains(&unit.name));
    match variant {
        None => !is_extra(),
        Some(variant) => variant.adds.contains(&unit.name) || (!variant.omits.contains(&unit.name) && !is_extra()),
    }
}

impl RawVariant {
    fn parse(
        &self,
        variant_name: Name,
        units: &[Unit],
        added: &BTreeSet<&str>,
        already: Option<&Name>,
    ) -> Result<Variant, FileError> {
        let (mut adds, mut omits) = (BTreeSet::new(), BTreeSet::new());
        for text in &self.adds {
            let unit = find(text, units)?;
            if unit.kind == UnitKind::Already {
                return Err(FileError::at(text.span(), format!("{:?} is a `[[check]]`", text.get_ref()))
                    .help("a variant names the check that says it is done by `already`"));
            }
            once(&mut adds, text, unit)?;
        }
        for text in &self.omits {
            let unit = find(text, units)?;
            let of_other_variant = unit.kind == UnitKind::Already && already != Some(&unit.name);
            if added.contains(text.get_ref().as_str()) || of_other_variant {
                let message = format!("{:?} does not run by default, so there is nothing to omit", text.get_ref());
                return Err(FileError::at(text.span(), message));
            }
            once(&mut omits, text, unit)?;
        }
        let own = self.already.as_ref().map(name).transpose()?;
        if adds.is_empty() && omits.is_empty() && own.is_none() {
            let message = format!("the variant {variant_name} is the default under another name");
            return Err(FileError::at(self.name.span(), message).help("name what it `adds` or `omits`"));
        }
        let is_omitted = already.is_some_and(|already| omits.contains(already));
        let adds_step = units.iter().any(|unit| unit.kind == UnitKind::Step && adds.contains(&unit.name));
        if let (true, false, None, Some(of_default)) = (adds_step, is_omitted, &own, already) {
            let message = format!(
                "the variant {variant_name} adds steps, but `{of_default}` may say that there is nothing to do"
            );
            return Err(FileError::at(self.name.span(), message).help(format!(
                "name a check of its own by `already`, or list {of_default:?} in `omits`",
                of_default = of_default.as_str()
            )));
        }
        let already = own.or_else(|| already.filter(|_| !is_omitted).cloned());
        Ok(Variant { name: variant_name, title: self.title.clone(), adds, omits, already })
    }
}

fn find<'a>(text: &Spanned<String>, units: &'a [Unit]) -> Result<&'a Unit, FileError> {
    units.iter().find(|unit| unit.name.as_str() == text.get_ref()).ok_or_else(|| {
        let known: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        FileError::at(text.span(), format!("there is no step or check named {:?}", text.get_ref()))
            .help(format!("there is: {}", known.join(", ")))
    })
}

fn once(all: &mut BTreeSet<Name>, text: &Spanned<String>, unit: &Unit) -> Result<(), FileError> {
    if all.insert(unit.name.clone()) {
        return Ok(());
    }
    Err(FileError::at(text.span(), format!("{:?} is there twice", text.get_ref())))
}
