//! `[[trigger]]` tables: which rule decides that something is wrong, and what follows. The rule itself is text here; it is
//! read by `unship-rollback`, which owns the language.
//!
//! The general triggers of a site stand in `policies/site.toml`; those of a story either in `policies/<story>.toml` or, all
//! of them, in `policies/triggers/<story>.toml`.

use crate::{
    FileError, Name,
    tables::{duration, name},
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, time::Duration};
use toml::Spanned;

/// A rule and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its name, one of a kind in its file.
    pub name: Name,
    /// The rule that fires it.
    pub when: Sentence,
    /// The rule that clears it; without one it clears when `when` does not hold any more.
    pub clear: Option<Sentence>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it may begin a rollback without asking.
    pub auto: bool,
    /// What missing data means.
    pub no_data: NoData,
    /// How it is looked at when its story, or the one that is laid to it, was taken back.
    pub after_rollback: AfterRollback,
    /// How old the newest sample may be; a larger gap is missing data.
    pub stale_after: Duration,
    /// The site's feeds that its metrics come from, with their places.
    pub feeds: Vec<(Name, Range<usize>)>,
    /// How many samples a window or a `for` needs, and how many events a ratio is of, before it says anything; with place.
    pub min_samples: Option<(u32, Range<usize>)>,
    /// How long after firing it does not fire again.
    pub cooldown: Duration,
    /// How often it may fire in any 24 hours.
    pub budget: u32,
    /// Whether it stays fired until a person re-arms it; else it is armed again when it clears.
    pub latch: bool,
    /// How a general trigger finds the story at fault; `None` for a story's own trigger.
    pub attribution: Option<Attribution>,
    /// How its baseline is learned, or what it is; only where a rule speaks of one.
    pub baseline: Option<Baseline>,
    /// Where its `auto` stands.
    pub(crate) auto_span: Range<usize>,
    /// Its table.
    pub span: Range<usize>,
}

/// The text of a rule, with its place in the file (the quotes are within).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// As it means, without quotes.
    pub text: String,
    /// Bytes of the file.
    pub span: Range<usize>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should know.
    Medium,
    /// Somebody has to decide soon.
    High,
    /// Harm is being done.
    Critical,
}

/// What missing data means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    /// Nothing: what fired stays fired, what did not does not.
    #[default]
    Hold,
    /// The same as if the rule held.
    Breach,
    /// The same as if it did not.
    Ok,
}

/// What a trigger must say after its story was taken back, for the verdict that all is well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterRollback {
    /// That it is clear: there is data, and it does not hold.
    #[default]
    Clear,
    /// That it does not hold: what it measures may be gone with the story, and then there is no data.
    Silent,
    /// Nothing: what it measures is gone with the story for certain, and that looks as if it held.
    Ignored,
}

/// How the story at fault is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribution {
    /// The series that breached has the label `story`.
    Label,
    /// The story that was shipped last.
    LastShipped,
    /// A person says it.
    Ask,
}

/// How a baseline is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// How far back it is learned from.
    pub over: Duration,
    /// How many samples it takes at least.
    pub min_samples: u32,
    /// Not learned: it is this quantity.
    pub fixed: Option<Sentence>,
    /// Its table.
    pub span: Range<usize>,
}

impl Baseline {
    /// What holds where a policy says nothing.
    pub fn standard() -> Baseline {
        Baseline { over: BASELINE_OVER, min_samples: BASELINE_MIN_SAMPLES, fixed: None, span: 0..0 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawTrigger {
    name: Spanned<String>,
    when: Spanned<String>,
    clear: Option<Spanned<String>>,
    severity: Severity,
    auto: Spanned<bool>,
    #[serde(default)]
    no_data: NoData,
    #[serde(default)]
    after_rollback: AfterRollback,
    stale_after: Option<Spanned<String>>,
    feed: Spanned<Vec<Spanned<String>>>,
    min_samples: Option<Spanned<u32>>,
    cooldown: Option<Spanned<String>>,
    budget: Option<Spanned<u32>>,
    latch: Option<bool>,
    attribution: Option<Spanned<Attribution>>,
    baseline: Option<Spanned<RawBaseline>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawBaseline {
    over: Option<Spanned<String>>,
    min_samples: Option<Spanned<u32>>,
    fixed: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStoryTriggers {
    #[serde(default)]
    trigger: Vec<Spanned<RawTrigger>>,
}

const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
const COOLDOWN: Duration = Duration::from_secs(3600);
const BUDGET: u32 = 1;
const BUDGET_MAX: u32 = 1000;
const BASELINE_OVER: Duration = Duration::from_secs(24 * 3600);
const BASELINE_MIN_SAMPLES: u32 = 100;
/// Longer than this no duration of a trigger is.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads `policies/triggers/<story>.toml`: the triggers of that story, all of them.
///
/// # Errors
/// [`FileError`] with its place: not TOML, an unknown or missing key, a wrong type, a name used twice.
pub fn parse_story_triggers(text: &str) -> Result<Vec<Trigger>, FileError> {
    let raw: RawStoryTriggers = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
    triggers(&raw.trigger, false)
}

/// `general`: those of the site, which belong to no story.
pub(crate) fn triggers(raw: &[Spanned<RawTrigger>], general: bool) -> Result<Vec<Trigger>, FileError> {
    let mut all: Vec<Trigger> = Vec::new();
    for table in raw {
        let trigger = table.get_ref().parse(table.span(), general)?;
        if all.iter().any(|t| t.name == trigger.name) {
            let message = format!("two triggers are called `{}`", trigger.name);
            return Err(FileError::at(table.get_ref().name.span(), message));
        }
        all.push(trigger);
    }
    Ok(all)
}

fn sentence(raw: &Spanned<String>) -> Sentence {
    Sentence { text: raw.get_ref().clone(), span: raw.span() }
}

/// A duration, `default` without one.
fn length(raw: Option<&Spanned<String>>, default: Duration) -> Result<Duration, FileError> {
    let Some(raw) = raw else { return Ok(default) };
    let length = duration(raw)?;
    if length > DURATION_MAX {
        return Err(FileError::at(raw.span(), "no duration of a trigger is longer than 366 d"));
    }
    Ok(length)
}

fn positive(raw: Option<&Spanned<u32>>, default: u32) -> Result<u32, FileError> {
    match raw {
        Some(raw) if *raw.get_ref() == 0 => Err(FileError::at(raw.span(), "a number above 0 is wanted here")),
        Some(raw) => Ok(*raw.get_ref()),
        None => Ok(default),
    }
}

impl RawTrigger {
    fn parse(&self, span: Range<usize>, general: bool) -> Result<Trigger, FileError> {
        self.attribution_fits(general)?;
        let mut feeds = Vec::new();
        for feed in self.feed.get_ref() {
            let known = name(feed)?;
            if feeds.iter().any(|(other, _)| *other == known) {
                return Err(FileError::at(feed.span(), format!("{:?} stands here twice", feed.get_ref())));
            }
            feeds.push((known, feed.span()));
        }
        if feeds.is_empty() {
            return Err(FileError::at(self.feed.span(), "a trigger without a feed would never have data")
                .help("name the `[feeds.NAME]` of policies/site.toml that give its metrics"));
        }
        let baseline = self.baseline.as_ref().map(|raw| raw.get_ref().parse(raw.span())).transpose()?;
        Ok(Trigger {
            name: name(&self.name)?,
            when: sentence(&self.when),
            clear: self.clear.as_ref().map(sentence),
            severity: self.severity,
            auto: *self.auto.get_ref(),
            auto_span: self.auto.span(),
            no_data: self.no_data,
            after_rollback: self.after_rollback,
            stale_after: length(self.stale_after.as_ref(), STALE_AFTER)?,
            feeds,
            min_samples: self.min_samples.as_ref().map(|n| Ok((positive(Some(n), 1)?, n.span()))).transpose()?,
            cooldown: length(self.cooldown.as_ref(), COOLDOWN)?,
            budget: self.budget()?,
            latch: self.latch.unwrap_or(true),
            attribution: self.attribution.as_ref().map(|a| *a.get_ref()),
            baseline,
            span,
        })
    }

    fn budget(&self) -> Result<u32, FileError> {
        match &self.budget {
            Some(budget) if *budget.get_ref() > BUDGET_MAX => {
                Err(FileError::at(budget.span(), format!("at most {BUDGET_MAX} times in 24 hours")))
            }
            budget => positive(budget.as_ref(), BUDGET),
        }
    }

    /// A general trigger says how the story at fault is found, a story's own trigger does not.
    fn attribution_fits(&self, general: bool) -> Result<(), FileError> {
        match &self.attribution {
            None if general => Err(FileError::at(
                self.name.span(),
                "a general trigger says how the story at fault is found, and this one does not",
            )
            .help("add `attribution = \"label\"`, `\"last-shipped\"` or `\"ask\"`")),
            Some(attribution) if !general => {
                Err(FileError::at(attribution.span(), "the story at fault is the one that this trigger belongs to"))
            }
            Some(attribution) if *attribution.get_ref() == Attribution::Ask && *self.auto.get_ref() => {
                Err(FileError::at(self.auto.span(), "a trigger that asks for the story cannot act by itself")
                    .help("set `auto = false`, or find the story by `label` or `last-shipped`"))
            }
            _ => Ok(()),
        }
    }
}

impl RawBaseline {
    fn parse(&self, span: Range<usize>) -> Result<Baseline, FileError> {
        if let Some(fixed) = self.fixed.as_ref().filter(|_| self.over.is_some() || self.min_samples.is_some()) {
            let message = "a fixed baseline is not learned: `over` and `min-samples` mean nothing beside it";
            return Err(FileError::at(fixed.span(), message));
        }
        Ok(Baseline {
            over: length(self.over.as_ref(), BASELINE_OVER)?,
            min_samples: positive(self.min_samples.as_ref(), BASELINE_MIN_SAMPLES)?,
            fixed: self.fixed.as_ref().map(sentence),
            span,
        })
    }
}
