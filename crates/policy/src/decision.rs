//! `[decision]` in `policies/site.toml`: what follows from an incident, as data. What is not said is as the seed's decision
//! tree has it: critical pages, high asks for 15 minutes, medium is watched for an hour; whoever is not answered in time is denied.

use crate::{FileError, Severity, tables::duration};
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// What follows from incidents whose triggers do not act by themselves, and what all of them share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionPolicy {
    /// Who has an incident that was denied, unless whoever denies it names somebody.
    pub owner: String,
    /// How many different people must say yes to what is asked.
    pub quorum: u32,
    /// Automatic runs of one story in any 24 hours.
    pub attempts: u32,
    /// How long after a run its triggers must stay clear.
    pub stability: Duration,
    /// Whether a person is called when nobody answered in time. Without an answer nothing is ever taken back.
    pub page_at_expiry: bool,
    /// By severity.
    pub critical: Course,
    /// By severity.
    pub high: Course,
    /// By severity.
    pub medium: Course,
}

/// What is done about an incident of one severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// A person is called, for an immediate rollback by hand.
    Page,
    /// People are asked.
    Ask {
        /// For so long.
        within: Duration,
    },
    /// It is watched; what becomes worse, or still breaches at the end, is asked about.
    Watch {
        /// For so long.
        within: Duration,
        /// How much further from its threshold, in hundredths of that, a value must go to be worse.
        worse_percent: u32,
    },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawDecision {
    owner: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
    attempts: Option<Spanned<u32>>,
    stability: Option<Spanned<String>>,
    page_at_expiry: Option<bool>,
    critical: Option<Spanned<RawCourse>>,
    high: Option<Spanned<RawCourse>>,
    medium: Option<Spanned<RawCourse>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCourse {
    #[serde(rename = "do")]
    does: Does,
    within: Option<Spanned<String>>,
    worse_percent: Option<Spanned<u32>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Does {
    Page,
    Ask,
    Watch,
}

const ASK_WITHIN: Duration = Duration::from_secs(15 * 60);
const WATCH_WITHIN: Duration = Duration::from_secs(3600);
const WORSE_PERCENT: u32 = 10;
const STABILITY: Duration = Duration::from_secs(15 * 60);
/// Longer than this nobody is asked and nothing is watched.
const WITHIN_MAX: Duration = Duration::from_secs(24 * 3600);
const QUORUM_MAX: u32 = 10;
const ATTEMPTS_MAX: u32 = 10;
const OWNER_BYTES_MAX: usize = 100;

impl Default for DecisionPolicy {
    fn default() -> DecisionPolicy {
        DecisionPolicy {
            owner: "on-call".to_owned(),
            quorum: 1,
            attempts: 1,
            stability: STABILITY,
            page_at_expiry: true,
            critical: Course::Page,
            high: Course::Ask { within: ASK_WITHIN },
            medium: Course::Watch { within: WATCH_WITHIN, worse_percent: WORSE_PERCENT },
        }
    }
}

impl DecisionPolicy {
    /// What is done about an incident of this severity that nothing does by itself.
    pub fn course(&self, severity: Severity) -> Course {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
        }
    }

    /// How long people are asked once what was watched became worse: as for high, or as the seed has it.
    pub fn ask_within(&self) -> Duration {
        match self.high {
            Course::Ask { within } => within,
            Course::Page | Course::Watch { .. } => ASK_WITHIN,
        }
    }
}

impl RawDecision {
    pub(crate) fn parse(&self) -> Result<DecisionPolicy, FileError> {
        let standard = DecisionPolicy::default();
        Ok(DecisionPolicy {
            owner: self.owner.as_ref().map_or(Ok(standard.owner), owner)?,
            quorum: count(self.quorum.as_ref(), standard.quorum, 1..=QUORUM_MAX, "people")?,
            attempts: count(self.attempts.as_ref(), standard.attempts, 0..=ATTEMPTS_MAX, "attempts")?,
            stability: self.stability.as_ref().map_or(Ok(standard.stability), within)?,
            page_at_expiry: self.page_at_expiry.unwrap_or(standard.page_at_expiry),
            critical: self.critical.as_ref().map_or(Ok(standard.critical), course)?,
            high: self.high.as_ref().map_or(Ok(standard.high), course)?,
            medium: self.medium.as_ref().map_or(Ok(standard.medium), course)?,
        })
    }
}

fn owner(raw: &Spanned<String>) -> Result<String, FileError> {
    let owner = raw.get_ref().trim();
    if owner.is_empty() || owner.len() > OWNER_BYTES_MAX || owner.chars().any(char::is_control) {
        return Err(FileError::at(raw.span(), "`owner` names who has what was denied, such as `on-call`"));
    }
    Ok(owner.to_owned())
}

fn count(
    raw: Option<&Spanned<u32>>,
    standard: u32,
    allowed: std::ops::RangeInclusive<u32>,
    what: &str,
) -> Result<u32, FileError> {
    match raw {
        Some(raw) if !allowed.contains(raw.get_ref()) => {
            Err(FileError::at(raw.span(), format!("{} to {} {what}", allowed.start(), allowed.end())))
        }
        raw => Ok(raw.map_or(standard, |raw| *raw.get_ref())),
    }
}

fn within(raw: &Spanned<String>) -> Result<Duration, FileError> {
    let length = duration(raw)?;
    if length > WITHIN_MAX {
        return Err(FileError::at(raw.span(), "nothing of a decision waits longer than 24 h"));
    }
    Ok(length)
}

fn course(raw: &Spanned<RawCourse>) -> Result<Course, FileError> {
    let raw = raw.get_ref();
    let (does, given, worse_percent) = (raw.does, &raw.within, &raw.worse_percent);
    if let Some(given) = given.as_ref().filter(|_| does == Does::Page) {
        return Err(FileError::at(given.span(), "a person who is called has no deadline")
            .help("leave `within` out, or `do = \"ask\"`"));
    }
    if let Some(percent) = worse_percent.as_ref().filter(|_| does != Does::Watch) {
        return Err(FileError::at(percent.span(), "only what is watched can become worse"));
    }
    Ok(match does {
        Does::Page => Course::Page,
        Does::Ask => Course::Ask { within: given.as_ref().map_or(Ok(ASK_WITHIN), within)? },
        Does::Watch => Course::Watch {
            within: given.as_ref().map_or(Ok(WATCH_WITHIN), within)?,
            worse_percent: count(worse_percent.as_ref(), WORSE_PERCENT, 0..=1000, "percent")?,
        },
    })
}
