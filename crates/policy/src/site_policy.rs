//! `policies/site.toml`: what belongs to no one story.

use crate::{
    DecisionPolicy, Feed, FileError, Name, NoticesPolicy, PostMortemPolicy, Trigger, WatchPolicy,
    calls::{RawGitMeaning, RawHttpMeaning},
    decision::RawDecision,
    feed::{RawFeed, feeds},
    meaning::Limits,
    notices::{RawChannel, RawNotice, notices},
    outside::{RawCommand, RawSelector, RawService},
    post_mortem::RawPostMortem,
    safety::RawSafety,
    tables::{Definitions, RawDefinitions, RawFlagsMeaning, RawLimits, duration},
    trigger::{RawTrigger, triggers},
    watch::RawWatch,
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::Spanned;

/// What the operator says of the whole site.
#[derive(Debug, Clone)]
pub struct SitePolicy {
    /// The site's name for people.
    pub name: String,
    /// Where the bundles lie, relative to the site.
    pub bundles: String,
    /// The site is for rehearsals: faults may be injected into its runs.
    pub rehearsal: bool,
    /// How long before-images of runs that ended are kept.
    pub keep_images: Duration,
    /// What names mean for every story.
    pub definitions: Definitions,
    /// Limits of every step, unless the story's policy says otherwise.
    pub limits: Limits,
    /// Where samples come from.
    pub feeds: BTreeMap<Name, Feed>,
    /// The general triggers, which belong to no story.
    pub triggers: Vec<Trigger>,
    /// What follows a rollback, and who does it.
    pub post_mortem: PostMortemPolicy,
    /// What follows from an incident.
    pub decision: DecisionPolicy,
    /// How the daemon runs.
    pub watch: WatchPolicy,
    /// Who is told of what.
    pub notices: NoticesPolicy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSitePolicy {
    site: RawSite,
    #[serde(default)]
    folders: BTreeMap<Spanned<String>, Spanned<String>>,
    flags: Option<RawFlagsMeaning>,
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
    limits: RawLimits,
    #[serde(default)]
    feeds: BTreeMap<Spanned<String>, RawFeed>,
    #[serde(default)]
    trigger: Vec<Spanned<RawTrigger>>,
    #[serde(rename = "post-mortem")]
    post_mortem: Option<RawPostMortem>,
    #[serde(default)]
    decision: RawDecision,
    #[serde(default)]
    watch: RawWatch,
    #[serde(default)]
    channels: BTreeMap<Spanned<String>, RawChannel>,
    #[serde(default)]
    recipients: BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    notice: Vec<Spanned<RawNotice>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSite {
    name: String,
    bundles: Spanned<String>,
    #[serde(default)]
    rehearsal: bool,
    keep_images: Option<Spanned<String>>,
}

/// Before-images are kept for 30 days unless the site says otherwise.
const KEEP_IMAGES: Duration = Duration::from_secs(30 * 24 * 3600);

impl SitePolicy {
    /// Reads a site's policy.
    ///
    /// # Errors
    /// [`FileError`] with its place: not TOML, unknown or missing keys, wrong types, names that are none.
    pub fn parse(text: &str) -> Result<SitePolicy, FileError> {
        let raw: RawSitePolicy = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        let bundles = raw.site.bundles.get_ref();
        if bundles.starts_with('/') || bundles.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(FileError::at(raw.site.bundles.span(), "`bundles` is a folder of the site, such as `bundles`"));
        }
        let definitions = RawDefinitions {
            folders: &raw.folders,
            flags: raw.flags.as_ref(),
            commands: &raw.commands,
            services: &raw.services,
            processes: &raw.processes,
            http: &raw.http,
            git: &raw.git,
            safety: &raw.safety,
        };
        let definitions = definitions.parse()?;
        Ok(SitePolicy {
            name: raw.site.name,
            bundles: bundles.clone(),
            rehearsal: raw.site.rehearsal,
            keep_images: raw.site.keep_images.as_ref().map_or(Ok(KEEP_IMAGES), duration)?,
            feeds: feeds(&raw.feeds, &definitions.processes)?,
            definitions,
            limits: raw.limits.over(&Limits::default())?,
            triggers: triggers(&raw.trigger, true)?,
            post_mortem: raw
                .post_mortem
                .as_ref()
                .map_or_else(|| Ok(PostMortemPolicy::default()), RawPostMortem::parse)?,
            decision: raw.decision.parse()?,
            watch: raw.watch.parse()?,
            notices: notices(&raw.channels, &raw.recipients, &raw.notice)?,
        })
    }
}
