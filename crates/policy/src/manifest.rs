//! The manifest: the author's data in a bundle. Which steps and checks there are, in order, and what each requests.

use crate::{
    Capabilities, FileError, Name, StoryId,
    tables::{
        RawCapabilities, RawCommands, RawFiles, RawFlags, RawGit, RawHttp, RawProcesses, RawServices, apart, name,
    },
    variant::{RawVariant, UnknownVariant, Variant, runs, variants},
};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// Bytes of a manifest's text at most.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Steps and checks of one story at most.
pub const UNITS_MAX: usize = 200;

/// Which part a unit plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A check named by `already`, of the default or of a variant.
    Already,
    /// A check before the first step.
    Precondition,
    /// A step.
    Step,
    /// A check after the last step.
    Verification,
}

impl UnitKind {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            UnitKind::Already => "check",
            UnitKind::Precondition => "precondition",
            UnitKind::Step => "step",
            UnitKind::Verification => "verification",
        }
    }
}

/// One step or check, with its requests.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What the component knows it by.
    pub name: Name,
    /// One line for people.
    pub title: String,
    /// Which part it plays.
    pub kind: UnitKind,
    /// What it asks for.
    pub requests: Capabilities,
}

/// A story's manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The story that the bundle takes back.
    pub story: StoryId,
    /// The author's version of the rollback: three numbers, the newer one larger.
    pub version: [u32; 3],
    /// One line for people.
    pub title: String,
    /// Arguments of a plain `wasi:cli/command` component or wasip1 module (its own name goes before them).
    pub argv: Vec<String>,
    /// All units in the order in which they run: `already`, preconditions, steps, verifications. Those that variants add
    /// are among them.
    pub units: Vec<Unit>,
    /// Other ways through the units.
    pub variants: Vec<Variant>,
    /// The check that the default asks whether the story is taken back already.
    already: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    story: Spanned<String>,
    version: Spanned<String>,
    title: String,
    #[serde(default)]
    argv: Vec<String>,
    already: Option<Spanned<String>>,
    #[serde(default)]
    check: Vec<RawUnit>,
    #[serde(default)]
    precondition: Vec<RawUnit>,
    step: Vec<RawUnit>,
    #[serde(default)]
    verification: Vec<RawUnit>,
    #[serde(default)]
    variant: Vec<RawVariant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnit {
    name: Spanned<String>,
    title: String,
    #[serde(default)]
    files: RawFiles,
    #[serde(default)]
    flags: RawFlags,
    #[serde(default)]
    processes: RawProcesses,
    #[serde(default)]
    services: RawServices,
    #[serde(default)]
    commands: RawCommands,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    git: RawGit,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`FileError`] with its place: unknown or missing keys, wrong types, names used twice, a check that requests a
    /// power that changes something, no step at all, a variant that cannot be.
    pub fn parse(text: &str) -> Result<Manifest, FileError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(FileError {
                message: format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes, this one {}", text.len()),
                span: None,
                help: None,
            });
        }
        let raw: RawManifest = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        let story = StoryId::new(raw.story.get_ref()).map_err(|e| FileError::at(raw.story.span(), e.to_string()))?;
        let version = version(raw.version.get_ref()).ok_or_else(|| {
            FileError::at(raw.version.span(), "a version is three numbers separated by dots, such as `1.0.0`")
        })?;
        let mut seen = BTreeSet::new();
        for unit in raw.check.iter().chain(&raw.precondition).chain(&raw.step).chain(&raw.verification) {
            if !seen.insert(unit.name.get_ref().as_str()) {
                return Err(FileError::at(
                    unit.name.span(),
                    format!("the name {:?} is used twice", unit.name.get_ref()),
                ));
            }
        }
        let all = raw.check.iter().chain(&raw.precondition).chain(&raw.step).chain(&raw.verification);
        apart(all.map(|unit| &unit.name))?;
        let has_steps = !raw.step.is_empty();
        let asked: Vec<&Spanned<String>> =
            raw.already.iter().chain(raw.variant.iter().filter_map(RawVariant::already)).collect();
        let mut units = already(&asked, raw.check)?;
        for (kind, list) in [
            (UnitKind::Precondition, raw.precondition),
            (UnitKind::Step, raw.step),
            (UnitKind::Verification, raw.verification),
        ] {
            for unit in list {
                units.push(unit.parse(kind)?);
            }
        }
        if !has_steps || units.len() > UNITS_MAX {
            let message = format!("a story has at least one step and at most {UNITS_MAX} steps and checks");
            return Err(FileError::at(raw.story.span(), message));
        }
        let already = raw.already.as_ref().map(name).transpose()?;
        let variants = variants(&raw.variant, &units, already.as_ref())?;
        Ok(Manifest { story, version, title: raw.title, argv: raw.argv, units, variants, already })
    }

    /// The variant of this name.
    ///
    /// # Errors
    /// [`UnknownVariant`] with those that there are.
    pub fn variant(&self, name: &str) -> Result<&Variant, UnknownVariant> {
        self.variants.iter().find(|variant| variant.name.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = self.variants.iter().map(|variant| variant.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            UnknownVariant { story: self.story.to_string(), name: name.to_owned(), known }
        })
    }

    /// The units that run in `variant`, or by default, each with its index among all.
    pub fn units_of<'a>(&'a self, variant: Option<&'a Variant>) -> impl Iterator<Item = (usize, &'a Unit)> {
        let all = self.units.iter().enumerate();
        all.filter(move |(_, unit)| runs(unit, variant, &self.variants, self.already.as_ref()))
    }

    /// The version as text.
    pub fn version_text(&self) -> String {
        version_text(self.version)
    }

    /// The interfaces of `unship:step` that the units request together.
    pub fn interfaces(&self) -> BTreeSet<&'static str> {
        self.units.iter().flat_map(|unit| unit.requests.interfaces()).collect()
    }
}

/// `check` tables exist to be named by some `already`; one that nothing names would never run.
fn already(asked: &[&Spanned<String>], checks: Vec<RawUnit>) -> Result<Vec<Unit>, FileError> {
    let mut units = Vec::new();
    for check in checks {
        if !asked.iter().any(|name| name.get_ref() == check.name.get_ref()) {
            return Err(FileError::at(check.name.span(), "nothing names this check, so it would never run")
                .help("name it in `already`, or make it a `[[precondition]]` or `[[verification]]`"));
        }
        units.push(check.parse(UnitKind::Already)?);
    }
    match asked.iter().find(|name| !units.iter().any(|unit: &Unit| unit.name.as_str() == name.get_ref())) {
        Some(name) => Err(FileError::at(name.span(), format!("there is no `[[check]]` named {:?}", name.get_ref()))),
        None => Ok(units),
    }
}

/// A version as text.
pub fn version_text([major, minor, patch]: [u32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

/// Reads a version: three numbers, each written in the one way there is. `None` for any other text.
pub fn version(text: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = text.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let written_once = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".") == text;
    numbers.try_into().ok().filter(|_| written_once)
}

impl RawUnit {
    fn parse(self, kind: UnitKind) -> Result<Unit, FileError> {
        let RawUnit { name: unit, title, files, flags, processes, services, commands, http, git } = self;
        let requests = RawCapabilities { files, flags, processes, services, commands, http, git }.parse()?;
        if kind != UnitKind::Step
            && let Some(power) = requests.first_change()
        {
            let message =
                format!("the {} {:?} requests `{power}`, but a check only looks", kind.word(), unit.get_ref());
            return Err(FileError::at(unit.span(), message).help("move the change into a `[[step]]`"));
        }
        Ok(Unit { name: name(&unit)?, title, kind, requests })
    }
}
