//! `unship triggers explain [STORY] [NAME]`: a rule in plain words.

use crate::{
    context::Context,
    error::Result,
    exit::Exit,
    triggers::{meant, owner_text},
};
use std::{collections::BTreeMap, time::Duration};
use unship_policy::{
    AfterRollback, Attribution, CommandValue, DbtValue, Feed, FeedSource, FileValue, NoData, ProbeValue, Severity,
    SitePolicy, Trigger,
};
use unship_rollback::{
    neutralise,
    trigger::{Rule, TriggerRule, duration, words},
};

/// Says in plain words what a rule measures and by which feed, when it fires and clears, what missing data means, and what
/// follows.
#[derive(clap::Args)]
pub struct Args {
    /// A story's id, or `site` for the general triggers; otherwise all
    story: Option<String>,
    /// One trigger of it
    name: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let rules = meant(&site, args.story.as_deref(), args.name.as_deref())?;
    let out = context.out;
    if rules.is_empty() {
        out.text("no trigger is defined here");
    }
    for (n, rule) in rules.iter().enumerate() {
        // Whatever comes from a policy's file has its trigger.
        let Some(trigger) = &rule.trigger else { continue };
        if n > 0 {
            out.text("");
        }
        let fires = words(&rule.when);
        let clears = clears(rule);
        let feeds: Vec<(&str, String)> =
            trigger.feeds.iter().map(|(name, _)| (name.as_str(), feed(&site.policy, name.as_str()))).collect();
        let (no_data, follows, after) = (no_data(trigger), follows(rule, trigger), after(trigger));
        let owner = owner_text(rule.story.as_ref());
        let acts = if trigger.auto { "acts by itself" } else { "asks" };
        out.text(format!("{owner} {}: {}, {acts}", rule.name, severity(trigger.severity)));
        out.text(format!("  {}", neutralise(rule.when.text())));
        paragraph(out, "fires when", &fires);
        paragraph(out, "clears when", &clears);
        for (name, what) in &feeds {
            paragraph(out, "measured by", &[format!("{name}: {what}")]);
        }
        if let Some(baseline) = baseline(trigger) {
            paragraph(out, "baseline", &[baseline]);
        }
        paragraph(out, "no data", std::slice::from_ref(&no_data));
        paragraph(out, "then", &follows);
        paragraph(out, "after that", &[after.to_owned()]);
        out.object(&serde_json::json!({
            "type": "trigger", "story": rule.story.as_ref().map(|s| s.as_str()), "name": rule.name, "when": rule.when.text(),
            "severity": trigger.severity, "auto": trigger.auto, "fires": fires, "clears": clears,
            "feeds": feeds.iter().map(|(name, what)| serde_json::json!({ "name": name, "what": what })).collect::<Vec<_>>(),
            "baseline": baseline(trigger), "no_data": no_data, "follows": follows,
            "after_rollback": trigger.after_rollback,
        }));
    }
    out.summary(serde_json::json!({ "triggers": rules.len() }));
    Ok(Exit::Done)
}

/// A heading and its lines.
fn paragraph(out: crate::out::Out, heading: &str, lines: &[String]) {
    for (n, line) in lines.iter().enumerate() {
        let heading = if n == 0 { heading } else { "" };
        out.text(format!("  {heading:<12} {}", neutralise(line)));
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn clears(rule: &TriggerRule) -> Vec<String> {
    match &rule.clear {
        Some(clear) => words(clear),
        None => vec!["that does not hold any more".to_owned()],
    }
}

fn no_data(trigger: &Trigger) -> String {
    let old = text(trigger.stale_after);
    let means = match trigger.no_data {
        NoData::Hold => "nothing: it neither fires nor clears",
        NoData::Breach => "the same as if the rule held",
        NoData::Ok => "the same as if the rule did not hold",
    };
    let enough = match &trigger.min_samples {
        Some((least, _)) => format!(", or fewer than {least} samples,"),
        None => String::new(),
    };
    format!("without a sample for more than {old}{enough} nothing is known, and that means {means}")
}

/// What counts when the story was taken back.
fn after(trigger: &Trigger) -> &'static str {
    match trigger.after_rollback {
        AfterRollback::Clear => {
            "when the story was taken back it must have data and not hold, or it is not known to be well"
        }
        AfterRollback::Silent => {
            "when the story was taken back it must not hold; what it measures may be gone then, and no data is well"
        }
        AfterRollback::Ignored => {
            "when the story was taken back it says nothing: what it measures is gone with it, which looks as if it held"
        }
    }
}

fn baseline(trigger: &Trigger) -> Option<String> {
    let baseline = trigger.baseline.clone().unwrap_or_else(unship_policy::Baseline::standard);
    let speaks = |text: &str| Rule::parse(text).is_ok_and(|rule| rule.has_baseline());
    if !speaks(&trigger.when.text) && !trigger.clear.as_ref().is_some_and(|clear| speaks(&clear.text)) {
        return None;
    }
    Some(match &baseline.fixed {
        Some(fixed) => format!("{}, as policy says", fixed.text),
        None => format!(
            "learned from the last {}, from {} samples at least; nothing from after the story was shipped teaches it",
            text(baseline.over),
            baseline.min_samples
        ),
    })
}

fn follows(rule: &TriggerRule, trigger: &Trigger) -> Vec<String> {
    let story = match (&rule.story, trigger.attribution) {
        (Some(story), _) => format!("story {story}"),
        (None, Some(Attribution::Label)) => "the story in the label `story` of the series".to_owned(),
        (None, Some(Attribution::LastShipped)) => "the story that was shipped last".to_owned(),
        (None, _) => "the story that a person names".to_owned(),
    };
    let how = if trigger.auto { "is taken back without asking" } else { "is for a person to decide on" };
    let times = if trigger.budget == 1 { "once".to_owned() } else { format!("{} times", trigger.budget) };
    let latch =
        if trigger.latch { "it stays fired until a person arms it again" } else { "it is armed again when it clears" };
    vec![
        format!("{story} {how}"),
        format!("at most {times} in 24h, and not within {} of the last time; {latch}", text(trigger.cooldown)),
    ]
}

/// A feed in words.
fn feed(site: &SitePolicy, name: &str) -> String {
    // Compiled rules have no other feeds.
    let Some((_, feed)) = site.feeds.iter().find(|(known, _)| known.as_str() == name) else { return String::new() };
    let every = feed.every.map_or_else(String::new, |every| format!(", every {}", text(every)));
    format!("{} = {}{every}", feed.metric, source(feed))
}

fn with_labels(labels: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    if all.is_empty() { String::new() } else { format!(" with {}", all.join(", ")) }
}

fn source(feed: &Feed) -> String {
    match &feed.source {
        FeedSource::ProcessMemory { who } => format!("bytes of memory that all processes together hold of {who}"),
        FeedSource::ProcessAlive { who } => format!("1 when a process lives of {who}, else 0"),
        FeedSource::HostMemory => "how much of the machine's memory is in use".to_owned(),
        FeedSource::Pm2Restarts { service, .. } => format!("how often pm2 has restarted {service}"),
        FeedSource::DbtResults { file, value } => {
            let what = match value {
                DbtValue::ModelFailures => "the part of the models that failed",
                DbtValue::TestFailures => "the part of the tests that failed",
                DbtValue::CompileErrors => "how many nodes did not compile",
                DbtValue::Seconds => "the seconds that all took",
            };
            format!("{what}, from {file}")
        }
        FeedSource::BuildStatus { file } => format!("1 when the last run failed, else 0, from {file}"),
        FeedSource::BuildDuration { file } => {
            format!("the seconds that the run takes, or took if it did not fail, from {file}")
        }
        FeedSource::HttpProbe { url, timeout, value } => {
            let what = match value {
                ProbeValue::Up => "1 when it answers without an error, else 0",
                ProbeValue::Seconds => "the seconds until its answer is there",
            };
            format!("{what}: {url}, within {}", text(*timeout))
        }
        FeedSource::TcpProbe { address, timeout, value } => {
            let what = match value {
                ProbeValue::Up => "1 when it takes a connection, else 0",
                ProbeValue::Seconds => "the seconds until it takes a connection",
            };
            format!("{what}: {address}, within {}", text(*timeout))
        }
        FeedSource::Scrape { url, timeout, select, labels } => {
            format!("{select}{} of the page {url}, within {}", with_labels(labels), text(*timeout))
        }
        FeedSource::Prometheus { url, timeout, query } => {
            format!("what Prometheus at {url} answers to `{query}`, within {}", text(*timeout))
        }
        FeedSource::Alertmanager { alert, labels } => {
            format!("1 when Alertmanager says that {alert}{} fires, 0 when it is resolved", with_labels(labels))
        }
        FeedSource::FileCheck { file, value } => {
            let what = match value {
                FileValue::Present => "1 when it is there, else 0",
                FileValue::Missing => "1 when it is not there, else 0",
                FileValue::Age => "the seconds since it was changed",
                FileValue::Size => "its bytes",
            };
            format!("{what}: {file}")
        }
        FeedSource::Command { argv, timeout, value, fails_with } => {
            let what = match value {
                CommandValue::Failed if fails_with.is_empty() => "1 when it fails, else 0".to_owned(),
                CommandValue::Failed => {
                    let statuses = fails_with.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                    format!("1 when it ends with status {statuses}, 0 with 0")
                }
                CommandValue::Printed => "the number that it prints".to_owned(),
                CommandValue::Seconds => "the seconds that it takes".to_owned(),
            };
            format!("{what}: `{}`, within {}", argv.join(" "), text(*timeout))
        }
        FeedSource::LogCount { file, contains } => format!("how many lines of {file} hold {contains:?}"),
        FeedSource::Push => "what the site sends itself".to_owned(),
    }
}

fn text(length: Duration) -> String {
    duration(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}
