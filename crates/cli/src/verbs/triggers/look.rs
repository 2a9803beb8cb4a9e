//! `unship triggers look [STORY] [NAME]`: what the feeds of triggers show now.

use crate::{
    context::Context,
    error::Result,
    exit::Exit,
    triggers::{meant, owner_text},
};
use std::{collections::BTreeMap, sync::Arc};
use unship_controller::{
    clock::{MachineClock, SourceClock},
    sources::{FeedLook, is_told, look_once},
};
use unship_policy::{Feed, FeedSource, Name};
use unship_rollback::neutralise;

/// Characters of a trouble that a line for people has; `--json` has all.
const SHOWN_CHARS_MAX: usize = 160;

/// Looks once at everything that triggers are judged by, as the daemon would, and shows what each feed gives: whether it is there,
/// answers, and says what is meant. Commands of feeds are run; the daemon's own state is neither read nor written.
///
/// Exit status: 0 every feed that looks could · 1 one could not.
#[derive(clap::Args)]
pub struct Args {
    /// A story's id, or `site` for the general triggers; otherwise all
    story: Option<String>,
    /// One trigger of it
    name: Option<String>,
}

/// The beginning of a trouble, which may be all that a program wrote as it failed.
fn begin(trouble: &str) -> String {
    let mut chars = trouble.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    neutralise(&shown)
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let rules = meant(&site, args.story.as_deref(), args.name.as_deref())?;
    // Feed → the triggers that are judged by it.
    let mut judged: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
    for rule in &rules {
        for (feed, _) in rule.trigger.iter().flat_map(|trigger| &trigger.feeds) {
            judged.entry(feed).or_default().push(format!("{}/{}", owner_text(rule.story.as_ref()), rule.name));
        }
    }
    let out = context.out;
    let (mut gave, mut told, mut nothing, mut troubled) = (0u64, 0u64, 0u64, 0u64);
    let show = |feed: &Name, metric: &str, says: String, look: Option<&FeedLook>| {
        let triggers = &judged[feed];
        out.text(format!("{feed}: {metric} {says}  ({})", triggers.join(", ")));
        let samples: Vec<_> = look.into_iter().flat_map(|look| &look.samples).collect();
        out.object(&serde_json::json!({
            "type": "feed", "feed": feed.as_str(), "metric": metric, "triggers": triggers, "told": look.is_none(),
            "samples": samples.iter().map(|(labels, value)| serde_json::json!({ "labels": labels, "value": value }))
                .collect::<Vec<_>>(),
            "trouble": look.and_then(|look| look.trouble.as_deref()),
        }));
    };
    let clock = SourceClock::new(Arc::new(MachineClock));
    look_once(
        &site.policy,
        &site.path,
        &clock,
        |feed| judged.contains_key(feed),
        |look| {
            let Feed { metric, source, .. } = &site.policy.feeds[&look.feed];
            let says = match (&look.trouble, look.samples.as_slice()) {
                (Some(trouble), _) => {
                    troubled += 1;
                    format!("says nothing: {}", begin(trouble))
                }
                (None, []) => {
                    nothing += 1;
                    match source {
                        FeedSource::Prometheus { .. } => "gives nothing: Prometheus answers with no series".to_owned(),
                        _ => "has nothing new: the next record will be a sample".to_owned(),
                    }
                }
                (None, [(_, value)]) => {
                    gave += 1;
                    format!("= {value}")
                }
                (None, [(_, value), ..]) => {
                    gave += 1;
                    format!("= {value}, and {} more series", look.samples.len() - 1)
                }
            };
            show(&look.feed, metric, says, Some(&look));
        },
    );
    for feed in judged.keys().filter(|name| is_told(&site.policy.feeds[**name])) {
        told += 1;
        let known = &site.policy.feeds[*feed];
        let how = match &known.source {
            FeedSource::Alertmanager { alert, .. } => format!("is told by Alertmanager: {alert}, to POST /v1/alerts"),
            _ => "is told by the site: to POST /v1/samples, or on standard input".to_owned(),
        };
        show(feed, &known.metric, how, None);
    }
    let feeds = judged.len();
    out.text(format!(
        "{feeds} feeds of {} triggers: {gave} gave a number, {nothing} have nothing new, {told} are told, {troubled} say nothing",
        rules.len()
    ));
    out.summary(serde_json::json!({
        "triggers": rules.len(), "feeds": feeds, "gave": gave, "nothing_new": nothing, "told": told, "troubled": troubled,
    }));
    Ok(if troubled == 0 { Exit::Done } else { Exit::User })
}
