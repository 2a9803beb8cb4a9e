//! The daemon's own metrics, as Prometheus reads them.

use crate::sources::SourceCounts;
use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use unship_rollback::{
    incident::{Book, NoticeStanding, Stage},
    trigger::Stats,
};

/// What it counts beside what its book says.
#[derive(Debug, Default)]
pub struct Metrics {
    stats: Mutex<Stats>,
    bytes: AtomicU64,
}

impl Metrics {
    /// What the evaluator counted so far, and the bytes that it takes.
    pub fn samples(&self, stats: Stats, bytes: usize) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        self.bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// The page.
    pub fn page(&self, book: &Book, now_ms: u64) -> String {
        let stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        let mut put = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
            let _ = writeln!(page, "# HELP unship_{name} {help}\n# TYPE unship_{name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(page, "unship_{name}{labels} {value}");
            }
        };
        put("samples_total", "counter", "Samples that triggers were decided by.", &[("", stats.samples)]);
        let dropped = [
            ("{why=\"late\"}", stats.late),
            ("{why=\"run\"}", stats.inhibited),
            ("{why=\"full\"}", stats.refused),
            ("{why=\"series\"}", stats.series_refused),
        ];
        put("samples_dropped_total", "counter", "Samples that were left out.", &dropped);
        put("clock_set_back_total", "counter", "Times that the clock was set back.", &[("", stats.clock_set_back)]);
        put(
            "evaluator_bytes",
            "gauge",
            "Memory that the triggers' windows take.",
            &[("", self.bytes.load(Ordering::Relaxed))],
        );
        let count = |stage: fn(&Stage) -> bool| book.incidents().filter(|i| stage(&i.stage)).count() as u64;
        let incidents = [
            ("{stage=\"asking\"}", count(|s| matches!(s, Stage::Asking { .. }))),
            ("{stage=\"watching\"}", count(|s| matches!(s, Stage::Watching { .. }))),
            ("{stage=\"paged\"}", count(|s| matches!(s, Stage::Paged))),
            ("{stage=\"running\"}", count(|s| matches!(s, Stage::Acting | Stage::Running { .. } | Stage::Ran { .. }))),
            ("{stage=\"stabilising\"}", count(|s| matches!(s, Stage::Stabilising { .. }))),
            ("{stage=\"not-recovered\"}", count(|s| matches!(s, Stage::NotRecovered))),
            ("{stage=\"fix-forward\"}", count(|s| matches!(s, Stage::FixForward { .. }))),
            ("{stage=\"closed\"}", count(|s| matches!(s, Stage::Closed { .. }))),
        ];
        put("incidents", "gauge", "Incidents by where they stand.", &incidents);
        put("runs_total", "counter", "Runs that the daemon began.", &[("", book.runs().len() as u64)]);
        let not_ready = book.readiness().values().filter(|reason| reason.is_some()).count() as u64;
        put("stories_not_ready", "gauge", "Stories that could not be taken back now.", &[("", not_ready)]);
        put("exposures", "gauge", "Runs that weaken a safety property now.", &[("", book.exposures().len() as u64)]);
        put(
            "paused",
            "gauge",
            "1 while nothing is begun without a person.",
            &[("", u64::from(book.paused().is_some()))],
        );
        let waiting = |n: &&unship_rollback::incident::Notice| n.standing == NoticeStanding::Queued;
        let oldest = book.notices().filter(waiting).map(|n| n.queued_ms).min();
        put(
            "notices_waiting",
            "gauge",
            "Notices that wait for delivery.",
            &[("", book.notices().filter(waiting).count() as u64)],
        );
        let age = oldest.map_or(0, |queued| now_ms.saturating_sub(queued) / 1000);
        put("notices_oldest_seconds", "gauge", "For how long the oldest of them has waited.", &[("", age)]);
        let failed = book.notices().filter(|n| matches!(n.standing, NoticeStanding::Failed { .. })).count() as u64;
        put("notices_failed_total", "counter", "Notices that were given up.", &[("", failed)]);
        page
    }
}

/// What each source did, for the same page. Names of sources are those of feeds, which need no escaping.
pub fn of_sources(counts: &[SourceCounts]) -> String {
    type Counted = fn(&SourceCounts) -> Vec<(String, u64)>;
    fn one(value: u64) -> Vec<(String, u64)> {
        vec![(String::new(), value)]
    }
    let mut page = String::new();
    let mut put = |name: &str, kind: &str, help: &str, counted: Counted| {
        let _ = writeln!(page, "# HELP unship_{name} {help}\n# TYPE unship_{name} {kind}");
        for of in counts {
            for (labels, value) in counted(of) {
                let _ = writeln!(page, "unship_{name}{{source=\"{}\"{labels}}} {value}", of.source);
            }
        }
    };
    put("source_looks_total", "counter", "Looks of a source, or requests that told it something.", |of| one(of.looks));
    put("source_failed_total", "counter", "Those of them that could not see everything.", |of| one(of.failed));
    let help = "Times that a look was due while the one before was under way.";
    put("source_overrun_total", "counter", help, |of| one(of.overrun));
    put("source_samples_total", "counter", "Samples that a source gave.", |of| one(of.samples));
    put("source_in_trouble", "gauge", "1 while a source cannot do its work.", |of| one(u64::from(of.is_in_trouble)));
    put("source_refused_total", "counter", "Samples of a source that were refused, by rule.", |of| {
        of.refused.iter().map(|(rule, refused)| (format!(",rule=\"{rule}\""), *refused)).collect()
    });
    page
}
