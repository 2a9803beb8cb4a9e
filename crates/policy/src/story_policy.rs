//! `policies/<story>.toml`: what one story's steps may do.

use crate::{
    Capabilities, ChecklistItem, Digest, FileError, Moment, Name, StoryId, Trigger,
    calls::{RawGitMeaning, RawHttpMeaning},
    checklist::{RawItem, checklist},
    meaning::Limits,
    outside::{RawCommand, RawSelector, RawService},
    safety::RawSafety,
    tables::{Definitions, RawCapabilities, RawDefinitions, RawFlagsMeaning, RawLimits, apart, name},
    trigger::{RawTrigger, triggers},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range};
use toml::Spanned;

/// What the operator says of one story.
#[derive(Debug, Clone)]
pub struct StoryPolicy {
    /// Which story.
    pub id: StoryId,
    /// One line for people.
    pub title: String,
    /// File name of the bundle in the site's bundle folder.
    pub bundle: String,
    /// Roles of the trust root; for each, one key that holds it must have signed.
    pub signed_by: Vec<Name>,
    /// Bundles that may be applied without any further decision, by their digests. Who may write this file may say so.
    pub allow: Vec<Digest>,
    /// What happens when a step fails.
    pub on_fail: OnFail,
    /// Stories that must be taken back before this one, with the place in the file that names each.
    pub needs_first: Vec<(StoryId, Range<usize>)>,
    /// Only a person's command applies it: nothing may start it by itself.
    pub manual_only: bool,
    /// When it was shipped, where that is said: what breaks without a known cause is laid to the story that was shipped last,
    /// and nothing since then teaches a baseline.
    pub shipped: Option<Moment>,
    /// What a person looks at once it is taken back. Empty: a run gets a checklist of its own, from its plan.
    pub checklist: Vec<ChecklistItem>,
    /// What names mean for this story, beside the site's own.
    pub definitions: Definitions,
    /// Its triggers, where they stand in this file; else `policies/triggers/<story>.toml` may have them.
    pub triggers: Vec<Trigger>,
    /// What each step and check is permitted, with the place of its table for messages.
    pub(crate) grants: BTreeMap<Name, (Capabilities, Range<usize>)>,
    /// Where each name is defined, by the kind of name, for messages.
    pub(crate) places: BTreeMap<(&'static str, String), Range<usize>>,
    /// As written: they are resolved against the site's own.
    limits: RawLimits,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// What the run made is taken back, newest first.
    #[default]
    Undo,
    /// Everything stays as it is for a person to look at; the run ends Stuck, and can be undone later.
    Stop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStoryPolicy {
    story: RawStory,
    #[serde(default)]
    folders: BTreeMap<Spanned<String>, Spanned<String>>,
    flags: Option<Spanned<RawFlagsMeaning>>,
    #[serde(default)]
    commands: BTreeMap<Spanned<String>, RawCommand>,
    #[serde(default)]
    services: BTreeMap<Spanned<String>, RawService>,
    #[serde(default)]
    processes: BTreeMap<Spanned<String>, RawSelector>,
    #[serde(default)]
    http: BTreeMap<Spanned<String>, RawHttpMeaning>,
    #[serde(default)]
    git: BTreeMap<Spanned<String>, RawGitMeaning>,
    #[serde(default)]
    safety: BTreeMap<Spanned<String>, RawSafety>,
    #[serde(default)]
    checklist: Vec<RawItem>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    grants: BTreeMap<Spanned<String>, RawCapabilities>,
    #[serde(default)]
    trigger: Vec<Spanned<RawTrigger>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStory {
    id: Spanned<String>,
    title: String,
    bundle: Spanned<String>,
    signed_by: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    on_fail: OnFail,
    #[serde(default)]
    needs_first: Vec<Spanned<String>>,
    #[serde(default)]
    manual_only: bool,
    shipped: Option<Spanned<toml::value::Datetime>>,
}

impl StoryPolicy {
    /// Reads a story's policy. `expected` is the story that the file is named after.
    ///
    /// # Errors
    /// [`FileError`] with its place: not TOML, unknown or missing keys, wrong types, names that are none, another
    /// story's id, a bundle that is not a plain file name, nobody who must sign, a story that needs itself first.
    pub fn parse(text: &str, expected: &StoryId) -> Result<StoryPolicy, FileError> {
        let raw: RawStoryPolicy = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        let id = StoryId::new(raw.story.id.get_ref()).map_err(|e| FileError::at(raw.story.id.span(), e.to_string()))?;
        if id != *expected {
            let message = format!("this file is named after story {expected}, but speaks of story {id}");
            return Err(FileError::at(raw.story.id.span(), message));
        }
        let bundle = raw.story.bundle.get_ref().clone();
        if bundle.is_empty() || bundle.contains(['/', '\0']) || bundle.starts_with('.') {
            return Err(FileError::at(
                raw.story.bundle.span(),
                "`bundle` is a plain file name, such as `story-1.3.wasm`",
            ));
        }
        let signed_by = raw.story.signed_by.get_ref().iter().map(name).collect::<Result<Vec<_>, _>>()?;
        if signed_by.is_empty() {
            return Err(FileError::at(raw.story.signed_by.span(), "nobody would have to sign: name at least one role"));
        }
        let digest = |text: &Spanned<String>| {
            Digest::parse(text.get_ref()).filter(|digest| digest.to_string() == *text.get_ref()).ok_or_else(|| {
                FileError::at(text.span(), "a bundle's digest is `sha256:` and 64 hexadecimal digits")
                    .help("`unship inspect` prints it")
            })
        };
        let allow = raw.story.allow.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
        let needs_first = needs_first(&raw.story.needs_first, &id)?;
        let definitions = RawDefinitions {
            folders: &raw.folders,
            flags: raw.flags.as_ref().map(Spanned::get_ref),
            commands: &raw.commands,
            services: &raw.services,
            processes: &raw.processes,
            http: &raw.http,
            git: &raw.git,
            safety: &raw.safety,
        };
        apart(raw.grants.keys())?;
        let mut grants = BTreeMap::new();
        for (unit, powers) in &raw.grants {
            grants.insert(name(unit)?, (powers.parse()?, unit.span()));
        }
        raw.limits.over(&Limits::default())?;
        let mut places = BTreeMap::new();
        let named = (raw.folders.keys().map(|name| ("folder", name)))
            .chain(raw.commands.keys().map(|name| ("command", name)))
            .chain(raw.services.keys().map(|name| ("service", name)))
            .chain(raw.processes.keys().map(|name| ("process selector", name)))
            .chain(raw.http.keys().map(|name| ("http call", name)))
            .chain(raw.git.keys().map(|name| ("git restore point", name)))
            .chain(raw.safety.keys().map(|name| ("safety property", name)));
        for (what, name) in named {
            places.insert((what, name.get_ref().clone()), name.span());
        }
        if let Some(flags) = &raw.flags {
            places.insert(("table", "flags".to_owned()), flags.span());
        }
        let policy = StoryPolicy {
            id,
            title: raw.story.title,
            bundle,
            signed_by,
            allow,
            on_fail: raw.story.on_fail,
            needs_first,
            manual_only: raw.story.manual_only,
            shipped: raw.story.shipped.as_ref().map(Moment::of_toml).transpose()?,
            checklist: checklist(&raw.checklist)?,
            definitions: definitions.parse()?,
            triggers: triggers(&raw.trigger, false)?,
            grants,
            places,
            limits: raw.limits,
        };
        policy.admits(&policy.triggers)?;
        Ok(policy)
    }

    /// Whether `triggers`, wherever they stand, may be this story's.
    ///
    /// # Errors
    /// [`FileError`] in the triggers' file: one acts by itself, and the story is a person's alone.
    pub fn admits(&self, triggers: &[Trigger]) -> Result<(), FileError> {
        match triggers.iter().find(|t| t.auto && self.manual_only) {
            Some(trigger) => {
                let message = format!("story {} is `manual-only`: no trigger may take it back by itself", self.id);
                Err(FileError::at(trigger.auto_span.clone(), message)
                    .help("set `auto = false`: a person is asked then"))
            }
            None => Ok(()),
        }
    }

    /// The story's limits: its own where it says so, else `site`'s. A tier may cap them further ([`crate::Tier::cap`]).
    ///
    /// # Errors
    /// [`FileError`] at a limit that is none.
    pub fn limits(&self, site: &Limits) -> Result<Limits, FileError> {
        self.limits.over(site)
    }
}

/// Whether the others are stories of the site, and that none of them needs this one in turn, is the site's to say.
fn needs_first(raw: &[Spanned<String>], of: &StoryId) -> Result<Vec<(StoryId, Range<usize>)>, FileError> {
    let mut needs: Vec<(StoryId, Range<usize>)> = Vec::new();
    for text in raw {
        let id = StoryId::new(text.get_ref()).map_err(|e| FileError::at(text.span(), e.to_string()))?;
        if id == *of {
            return Err(FileError::at(text.span(), format!("story {id} cannot need itself first")));
        }
        if needs.iter().any(|(known, _)| *known == id) {
            return Err(FileError::at(text.span(), format!("story {id} is named twice")));
        }
        needs.push((id, text.span()));
    }
    Ok(needs)
}
