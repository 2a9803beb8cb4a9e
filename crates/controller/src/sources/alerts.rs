//! Alertmanager's webhook, version 4: each alert that a feed asks for is a sample (1 fires, 0 is resolved) and an
//! [`Alert`](super::Alert). Its labels, `alertname` left out, are the series' labels; `story` among them names the story.

use super::{Inner, Refusal, Report, Sources, sink::Alert};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unship_rollback::{
    neutralise,
    signal::{Sample, Series},
};

/// The source of webhooks that are of no feed.
const NOBODY: &str = "(alerts)";
/// Alerts of one webhook at most; Alertmanager's `max_alerts` cuts below it.
const ALERTS_MAX: usize = 10_000;

/// What became of a webhook's alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AlertReport {
    /// As of lines; `line` is the alert's place, from 1.
    #[serde(flatten)]
    pub report: Report,
    /// Alerts that no feed asks for. That is no error: one receiver may get all of a site's alerts.
    pub passed_over: u64,
}

/// The body. Alertmanager adds fields from version to version, so others are passed over.
#[derive(Deserialize)]
struct Webhook {
    version: String,
    alerts: Vec<Told>,
    /// Alerts that it left out, being more than its `max_alerts`.
    #[serde(default, rename = "truncatedAlerts")]
    left_out: u64,
}

#[derive(Deserialize)]
struct Told {
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    fingerprint: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

impl Sources {
    /// Takes the body of one webhook.
    ///
    /// # Errors
    /// What it is instead; nothing of it was taken.
    pub fn take_alerts(&self, body: &[u8]) -> Result<AlertReport, String> {
        let webhook = serde_json::from_slice::<Webhook>(body)
            .map_err(|e| format!("it is no webhook of Alertmanager's: {}", neutralise(&e.to_string())))
            .and_then(|webhook| match (webhook.version.as_str(), webhook.alerts.len()) {
                ("4", 0..=ALERTS_MAX) => Ok(webhook),
                ("4", alerts) => Err(format!("it has {alerts} alerts; at most {ALERTS_MAX}")),
                (other, _) => Err(format!("its version is {}; this unship reads version 4", neutralise(other))),
            });
        let mut inner = self.lock();
        match webhook {
            Ok(webhook) => Ok(inner.take(webhook, self)),
            Err(why) => {
                inner.door.refuse(NOBODY, Refusal::Json, &*self.clock);
                inner.door.was_told(NOBODY, Some(&why), &*self.clock);
                Err(why)
            }
        }
    }
}

impl Inner {
    fn take(&mut self, webhook: Webhook, sources: &Sources) -> AlertReport {
        let mut all = AlertReport::default();
        let mut troubles: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (place, told) in (1..).zip(&webhook.alerts) {
            let feeds = self.asked_for(&told.labels);
            all.passed_over += u64::from(feeds.is_empty());
            for (feed, metric) in feeds {
                let trouble = troubles.entry(feed.clone()).or_default();
                match self.take_one(&feed, &metric, told, sources) {
                    Ok(()) => all.report.taken += 1,
                    Err((rule, message)) => {
                        trouble.get_or_insert_with(|| format!("alert {place}: {message}"));
                        all.report.refuse(place, rule, message);
                    }
                }
            }
        }
        let cut = (webhook.left_out > 0)
            .then(|| format!("Alertmanager left {} alerts out: `max_alerts` of its receiver", webhook.left_out));
        self.door.was_told(NOBODY, cut.as_deref(), &*sources.clock);
        for (feed, trouble) in troubles {
            self.door.was_told(&feed, trouble.as_deref(), &*sources.clock);
        }
        all
    }

    /// The feeds, with their metrics, that ask for an alert with these labels.
    fn asked_for(&self, labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let name = labels.get("alertname");
        let feeds = self.told.alerts.iter().filter(|feed| {
            name == Some(&feed.alert) && feed.labels.iter().all(|(label, value)| labels.get(label) == Some(value))
        });
        feeds.map(|feed| (feed.feed.clone(), feed.metric.clone())).collect()
    }

    fn take_one(&mut self, feed: &str, metric: &str, told: &Told, sources: &Sources) -> Result<(), (Refusal, String)> {
        let clock = &*sources.clock;
        let labels = told.labels.iter().filter(|(label, value)| *label != "alertname" && !value.is_empty());
        let series = Series::new(metric, labels.map(|(l, v)| (l.clone(), v.clone())).collect()).map_err(|e| {
            self.door.refuse(feed, Refusal::Names, clock);
            (Refusal::Names, e.to_string())
        })?;
        let is_firing = told.status == Status::Firing;
        // What was told before at this millisecond, of the same series, is not lost beside this.
        let now = clock.now();
        let at = self.state.stamps.next(&series, now);
        let sample = Sample { at, value: f64::from(u8::from(is_firing)) };
        self.door.give(feed, &series, sample, clock).map_err(|rule| (rule, rule.says()))?;
        self.state.stamps.gave(&series, at, now);
        let fingerprint = neutralise(&told.fingerprint);
        self.door.alert(Alert { feed: feed.to_owned(), series, is_firing, at, fingerprint });
        Ok(())
    }
}
