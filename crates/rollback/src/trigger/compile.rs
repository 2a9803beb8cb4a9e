//! From a policy's `[[trigger]]` tables to rules that can be evaluated: every verb and the daemon come through here.

use super::{Rule, RuleError, Threshold, parse};
use crate::signal::Millis;
use std::{ops::Range, time::Duration};
use unship_policy::{AfterRollback, Baseline, FileError, NoData, Sentence, SitePolicy, StoryId, Trigger};

/// A trigger with its rules read.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRule {
    /// Its name.
    pub name: String,
    /// The story that it belongs to; `None`: a general trigger of the site.
    pub story: Option<StoryId>,
    /// The policy's table; `None` for a rule that stands alone, with the defaults of a table.
    pub trigger: Option<Trigger>,
    /// What fires it.
    pub when: Rule,
    /// What clears it; without one it clears when `when` does not hold.
    pub clear: Option<Rule>,
    /// How it is judged.
    pub conduct: Conduct,
}

/// How a trigger deals with what its rule answers. Times in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Conduct {
    /// How old the newest sample may be.
    pub stale_after_ms: i64,
    /// What missing data means.
    pub no_data: NoData,
    /// How it is looked at when its story was taken back.
    pub after_rollback: AfterRollback,
    /// Samples that a window or a `for` needs; events that a ratio is of.
    pub min_samples: u32,
    /// Between two firings.
    pub cooldown_ms: i64,
    /// Firings in any 24 hours.
    pub budget: u32,
    /// Stays fired until it is re-armed.
    pub latch: bool,
    /// How far back a baseline is learned from.
    pub baseline_over_ms: i64,
    /// Samples that a baseline takes.
    pub baseline_min_samples: u32,
    /// The baseline, where policy fixes it.
    pub baseline_fixed: Option<f64>,
    /// No sample from this time on teaches a baseline: when the story was shipped.
    pub baseline_until: Option<Millis>,
}

impl Default for Conduct {
    fn default() -> Self {
        let baseline = Baseline::standard();
        Conduct {
            stale_after_ms: 5 * 60_000,
            no_data: NoData::Hold,
            after_rollback: AfterRollback::Clear,
            min_samples: 1,
            cooldown_ms: 3_600_000,
            budget: 1,
            latch: true,
            baseline_over_ms: ms(baseline.over),
            baseline_min_samples: baseline.min_samples,
            baseline_fixed: None,
            baseline_until: None,
        }
    }
}

/// A policy keeps durations far below the limit.
fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl TriggerRule {
    /// A rule that stands alone, as for `triggers backtest` of a sentence: the defaults of a `[[trigger]]` table.
    pub fn alone(name: &str, when: Rule) -> TriggerRule {
        TriggerRule {
            name: name.to_owned(),
            story: None,
            trigger: None,
            when,
            clear: None,
            conduct: Conduct::default(),
        }
    }

    /// What tells this rule from another one: state is only carried over to the same.
    pub(super) fn fingerprint(&self) -> String {
        let story = self.story.as_ref().map_or("site", StoryId::as_str);
        let clear = self.clear.as_ref().map_or("", Rule::text);
        // When the story was shipped, and how it is looked at when it is gone, may change without making it another rule.
        let conduct =
            Conduct { baseline_until: None, after_rollback: AfterRollback::default(), ..self.conduct.clone() };
        format!("{story}/{}: {} | {clear} | {conduct:?}", self.name, self.when.text())
    }
}

/// The rules of one policy file. `story` is whose triggers these are (`None`: the site's), `text` the file's text.
///
/// # Errors
/// [`FileError`] with its place in `text`: a sentence that is not of the language, a feed that the site does not have, a
/// metric that none of the trigger's feeds gives, a feed or key that nothing of the trigger uses.
pub fn compile(
    site: &SitePolicy,
    story: Option<&StoryId>,
    triggers: &[Trigger],
    text: &str,
) -> Result<Vec<TriggerRule>, FileError> {
    triggers.iter().map(|trigger| one(site, story, trigger, text)).collect()
}

fn one(site: &SitePolicy, story: Option<&StoryId>, trigger: &Trigger, text: &str) -> Result<TriggerRule, FileError> {
    let when = Rule::parse(&trigger.when.text).map_err(|e| in_file(e, &trigger.when, text))?;
    let clear = trigger.clear.as_ref().map(|s| Rule::parse(&s.text).map_err(|e| in_file(e, s, text))).transpose()?;
    feeds_fit(site, trigger, &when, clear.as_ref())?;
    let both = || std::iter::once(&when).chain(&clear);
    if let Some((_, span)) = &trigger.min_samples
        && !both().any(Rule::has_samples_to_count)
    {
        let message = "`min-samples` means nothing to a rule that has no `for` of one term, no average and no ratio";
        return Err(error(span.clone(), message, None));
    }
    let baseline = trigger.baseline.clone().unwrap_or_else(Baseline::standard);
    if let Some(given) = &trigger.baseline
        && !both().any(Rule::has_baseline)
    {
        return Err(error(given.span.clone(), "no rule of this trigger speaks of a baseline", None));
    }
    let baseline_fixed = match &baseline.fixed {
        Some(sentence) => Some(fixed(sentence, both(), text)?),
        None => None,
    };
    let conduct = Conduct {
        stale_after_ms: ms(trigger.stale_after),
        no_data: trigger.no_data,
        after_rollback: trigger.after_rollback,
        min_samples: trigger.min_samples.as_ref().map_or(1, |(n, _)| *n),
        cooldown_ms: ms(trigger.cooldown),
        budget: trigger.budget,
        latch: trigger.latch,
        baseline_over_ms: ms(baseline.over),
        baseline_min_samples: baseline.min_samples,
        baseline_fixed,
        baseline_until: None,
    };
    let name = trigger.name.as_str().to_owned();
    Ok(TriggerRule { name, story: story.cloned(), trigger: Some(trigger.clone()), when, clear, conduct })
}

/// Every feed that is named is there and used, and every metric comes from one of them.
fn feeds_fit(site: &SitePolicy, trigger: &Trigger, when: &Rule, clear: Option<&Rule>) -> Result<(), FileError> {
    let mut given = Vec::new();
    for (name, span) in &trigger.feeds {
        let Some(feed) = site.feeds.get(name) else {
            let known: Vec<&str> = site.feeds.keys().map(|n| n.as_str()).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            let help = format!("policies/site.toml defines feeds as `[feeds.NAME]`; {known}");
            return Err(error(span.clone(), format!("the site has no feed `{name}`"), Some(help)));
        };
        let is_used = |rule: &Rule| rule.metrics().contains(&feed.metric.as_str());
        if !is_used(when) && !clear.is_some_and(is_used) {
            let message = format!("feed `{name}` gives `{}`, which this trigger does not speak of", feed.metric);
            return Err(error(span.clone(), message, None));
        }
        given.push(feed.metric.as_str());
    }
    let sentences = [(Some(when), Some(&trigger.when)), (clear, trigger.clear.as_ref())];
    for (rule, sentence) in sentences {
        let (Some(rule), Some(sentence)) = (rule, sentence) else { continue };
        if let Some(metric) = rule.metrics().into_iter().find(|m| !given.contains(m)) {
            let message = format!("none of this trigger's feeds gives `{metric}`");
            let help = site.feeds.iter().find(|(_, feed)| feed.metric == metric);
            let help = help.map_or_else(
                || "give the metric a `[feeds.NAME]` in policies/site.toml, and name it in `feed`".to_owned(),
                |(name, _)| format!("feed `{name}` does: add it to `feed`"),
            );
            return Err(error(sentence.span.clone(), message, Some(help)));
        }
    }
    Ok(())
}

/// A fixed baseline, in the unit of the metric that is compared with it.
fn fixed<'a>(sentence: &Sentence, mut rules: impl Iterator<Item = &'a Rule>, text: &str) -> Result<f64, FileError> {
    let is_meant = |rule: &'a Rule| rule.terms().iter().find(|t| matches!(t.threshold, Threshold::Baseline(_)));
    let metric = rules.find_map(is_meant).and_then(|t| t.value.selectors().first().map(|s| s.metric.clone()));
    let number =
        parse::quantity(&sentence.text, &metric.unwrap_or_default()).map_err(|e| in_file(e, sentence, text))?;
    if number <= 0.0 {
        return Err(error(sentence.span.clone(), "a baseline is above 0", None));
    }
    Ok(number)
}

fn error(span: Range<usize>, message: impl Into<String>, help: Option<String>) -> FileError {
    FileError { message: message.into(), span: Some(span), help }
}

/// An error of a sentence at its place in the file. Where the file's text is not the sentence's (an escape, several lines),
/// the place is the whole of it.
fn in_file(fault: RuleError, sentence: &Sentence, text: &str) -> FileError {
    let raw = text.get(sentence.span.clone()).unwrap_or_default();
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let inner = sentence.span.start + quotes;
    let is_verbatim = text.get(inner..inner + sentence.text.len()) == Some(&sentence.text);
    let span = if is_verbatim { inner + fault.span.start..inner + fault.span.end } else { sentence.span.clone() };
    error(span, fault.message, fault.help)
}
