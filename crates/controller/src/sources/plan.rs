//! From the feeds of a policy to the looks that are made: those of one thing in one rhythm share a look.

use super::look::{
    Look,
    command::{CommandLook, Wish},
    file::FileCheck,
    http::HttpProbe,
    log::LogCount,
    pm2::Pm2Restarts,
    process::{self, HostMemory, ProcessValue, Processes},
    prometheus::Query,
    record::{BuildRecord, BuildValue, DbtResults},
    scrape::{Scrape, Wanted},
    tcp::TcpProbe,
};
use std::{collections::BTreeMap, time::Duration};
use unship_policy::{CommandValue, Feed, FeedSource, Name, SitePolicy};

/// How often a feed looks whose policy says nothing; a policy says it of each that looks.
const EVERY: Duration = Duration::from_secs(15);

/// A look that is to be made again and again.
pub(super) struct Planned {
    /// What the source is called: its feeds.
    pub name: String,
    /// The metrics of its feeds, in the look's order.
    pub metrics: Vec<String>,
    /// How often.
    pub every: Duration,
    /// By what its state is known, also when feeds come and go; `None` where nothing is kept.
    pub key: Option<String>,
    pub look: Box<dyn Look>,
}

/// What feeds that are told, rather than look, are told about.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Metric → feed, of kind `push`.
    pub pushed: BTreeMap<String, String>,
    /// Of kind `alertmanager`.
    pub alerts: Vec<AlertFeed>,
}

/// Which alerts a feed asks for.
#[derive(Debug)]
pub(super) struct AlertFeed {
    pub feed: String,
    pub metric: String,
    pub alert: String,
    pub labels: BTreeMap<String, String>,
}

pub(super) fn plan(policy: &SitePolicy) -> (Vec<Planned>, Told) {
    let mut told = Told::default();
    // What is looked at → who wants something of it.
    let mut groups: BTreeMap<String, Vec<(&Name, &Feed)>> = BTreeMap::new();
    for (name, feed) in &policy.feeds {
        match &feed.source {
            FeedSource::Push => {
                told.pushed.insert(feed.metric.clone(), name.to_string());
            }
            FeedSource::Alertmanager { alert, labels } => told.alerts.push(AlertFeed {
                feed: name.to_string(),
                metric: feed.metric.clone(),
                alert: alert.clone(),
                labels: labels.clone(),
            }),
            source if keeps(source) => groups.entry(target(name, source)).or_default().push((name, feed)),
            // In another rhythm it is another look.
            source => {
                let target = format!("{} {:?}", target(name, source), feed.every);
                groups.entry(target).or_default().push((name, feed));
            }
        }
    }
    let planned = groups.into_iter().map(|(target, feeds)| {
        let names: Vec<&str> = feeds.iter().map(|(name, _)| name.as_str()).collect();
        let sources: Vec<&FeedSource> = feeds.iter().map(|(_, feed)| &feed.source).collect();
        Planned {
            name: names.join(","),
            metrics: feeds.iter().map(|(_, feed)| feed.metric.clone()).collect(),
            every: feeds.iter().filter_map(|(_, feed)| feed.every).min().unwrap_or(EVERY),
            key: keeps(sources[0]).then_some(target),
            look: look(&sources),
        }
    });
    (planned.collect(), told)
}

/// Whether a look knows something of the one before it. Such a thing is looked at by one look alone, in the shortest rhythm.
fn keeps(source: &FeedSource) -> bool {
    matches!(
        source,
        FeedSource::LogCount { .. }
            | FeedSource::DbtResults { .. }
            | FeedSource::BuildStatus { .. }
            | FeedSource::BuildDuration { .. }
            | FeedSource::ProcessMemory { .. }
            | FeedSource::ProcessAlive { .. }
    )
}

/// What a feed looks at, as text: the same for two feeds that can share a look.
fn target(name: &Name, source: &FeedSource) -> String {
    match source {
        FeedSource::ProcessMemory { who } | FeedSource::ProcessAlive { who } => process::target(who),
        FeedSource::HostMemory => format!("host-memory {name}"),
        FeedSource::Pm2Restarts { home, program, .. } => format!("pm2 {home:?} {program:?}"),
        FeedSource::DbtResults { file, .. } => format!("dbt {file:?}"),
        FeedSource::BuildStatus { file } | FeedSource::BuildDuration { file } => format!("build {file:?}"),
        FeedSource::HttpProbe { url, timeout, .. } => format!("http {url:?} {timeout:?}"),
        FeedSource::TcpProbe { address, timeout, .. } => format!("tcp {address:?} {timeout:?}"),
        FeedSource::Scrape { url, timeout, .. } => format!("scrape {url:?} {timeout:?}"),
        FeedSource::Prometheus { url, timeout, query } => format!("prometheus {url:?} {timeout:?} {query:?} {name}"),
        FeedSource::FileCheck { file, .. } => format!("file {file:?}"),
        FeedSource::Command { argv, timeout, .. } => format!("command {argv:?} {timeout:?}"),
        FeedSource::LogCount { file, .. } => format!("log {file:?}"),
        FeedSource::Push => "push".to_owned(),
        FeedSource::Alertmanager { alert, .. } => format!("alertmanager {alert:?}"),
    }
}

/// What each of the sources wants, by `wish`; all are of one target, and so of one kind.
fn wishes<T>(sources: &[&FeedSource], wish: impl Fn(&FeedSource) -> Option<T>) -> Vec<T> {
    sources.iter().filter_map(|source| wish(source)).collect()
}

macro_rules! all {
    ($sources:expr, $pattern:pat => $wish:expr) => {
        wishes($sources, |source| match source {
            $pattern => Some($wish),
            _ => None,
        })
    };
}

/// The look that all of them share.
fn look(sources: &[&FeedSource]) -> Box<dyn Look> {
    match sources[0].clone() {
        FeedSource::ProcessMemory { who } | FeedSource::ProcessAlive { who } => {
            let values = wishes(sources, |source| match source {
                FeedSource::ProcessMemory { .. } => Some(ProcessValue::Memory),
                FeedSource::ProcessAlive { .. } => Some(ProcessValue::Alive),
                _ => None,
            });
            Box::new(Processes { who, values })
        }
        FeedSource::HostMemory => Box::new(HostMemory),
        FeedSource::Pm2Restarts { home, program, .. } => {
            let services = all!(sources, FeedSource::Pm2Restarts { service, .. } => service.to_string());
            Box::new(Pm2Restarts { home, program, services })
        }
        FeedSource::DbtResults { file, .. } => {
            Box::new(DbtResults { file, values: all!(sources, FeedSource::DbtResults { value, .. } => *value) })
        }
        FeedSource::BuildStatus { file } | FeedSource::BuildDuration { file } => {
            let values = wishes(sources, |source| match source {
                FeedSource::BuildStatus { .. } => Some(BuildValue::Status),
                FeedSource::BuildDuration { .. } => Some(BuildValue::Duration),
                _ => None,
            });
            Box::new(BuildRecord { file, values })
        }
        FeedSource::HttpProbe { url, timeout, .. } => {
            Box::new(HttpProbe { url, timeout, values: all!(sources, FeedSource::HttpProbe { value, .. } => *value) })
        }
        FeedSource::TcpProbe { address, timeout, .. } => {
            let values = all!(sources, FeedSource::TcpProbe { value, .. } => *value);
            Box::new(TcpProbe { address, timeout, values })
        }
        FeedSource::Scrape { url, timeout, .. } => {
            let wanted = all!(sources, FeedSource::Scrape { select, labels, .. } => Wanted {
                select: select.clone(),
                labels: labels.clone(),
            });
            Box::new(Scrape { url, timeout, wanted })
        }
        FeedSource::Prometheus { url, timeout, query } => Box::new(Query { url, timeout, query }),
        FeedSource::FileCheck { file, .. } => {
            Box::new(FileCheck { file, values: all!(sources, FeedSource::FileCheck { value, .. } => *value) })
        }
        FeedSource::Command { argv, timeout, .. } => {
            let wanted = all!(sources, FeedSource::Command { value, fails_with, .. } => match value {
                CommandValue::Failed => Wish::Failed { with: fails_with.clone() },
                CommandValue::Printed => Wish::Printed,
                CommandValue::Seconds => Wish::Seconds,
            });
            Box::new(CommandLook { argv, timeout, wanted })
        }
        FeedSource::LogCount { file, .. } => {
            let texts = all!(sources, FeedSource::LogCount { contains, .. } => contains.clone());
            Box::new(LogCount::new(file, texts))
        }
        FeedSource::Push | FeedSource::Alertmanager { .. } => unreachable!("they are told, and do not look"),
    }
}
