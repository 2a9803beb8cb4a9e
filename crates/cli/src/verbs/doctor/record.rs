//! What the site wrote down: its journal, its runs, what they keep of before; the daemon and its book.

use super::Findings;
use crate::{
    error::CliError,
    history::{History, not_intact},
    out::time,
    site::Site,
    watching,
    wiring::SystemClock,
};
use std::sync::Arc;
use unship_rollback::{
    Clock as _, Outcome,
    incident::{Entry, Fact},
};
use unship_store::{SiteStore, SpaceLimit, Tail, Usage, Verified, WatchStore};

/// What helps where a journal is damaged.
const RESTORE: &str =
    "restore `.unship/` from a backup as a whole; keep the damaged one for whoever asks what happened";

/// The journal; every run of it, if it can be read.
pub fn look(findings: &mut Findings, store: &SiteStore, site: Option<&Site>) -> Option<History> {
    match store.verify(None) {
        Ok(verified) => journal(findings, "journal", &verified, store.is_locked().unwrap_or(false)),
        Err(e) => findings.failed("journal", "", &not_intact(&e), RESTORE),
    }
    let history = match History::read(store) {
        Ok(history) => history,
        Err(e) => {
            if !findings.is_journal_damaged {
                findings.failed("journal", "runs", &e, RESTORE);
            }
            return None;
        }
    };
    runs(findings, store, &history);
    images(findings, store, site, &history);
    Some(history)
}

fn journal(findings: &mut Findings, check: &'static str, verified: &Verified, is_at_work: bool) {
    let report = &verified.report;
    let said = format!(
        "{} records, {} KiB, intact; the checkpoint is at {}",
        report.records,
        report.bytes / 1024,
        verified.checkpoint.records
    );
    if report.tail != Tail::Clean && !is_at_work {
        let said = format!("{said}; the end of an append that was cut off lies behind them");
        findings.warning(check, "", said, "nothing: the next run removes it");
    } else {
        findings.ok(check, "", said);
    }
}

fn runs(findings: &mut Findings, store: &SiteStore, history: &History) {
    let is_at_work = match store.is_locked() {
        Ok(is_at_work) => is_at_work,
        Err(e) => {
            findings.unknown("run", "", format!("whether one is at work: {e}"), "look at `.unship/lock`");
            false
        }
    };
    for run in history.in_flight() {
        let id = run.run().map(ToString::to_string).unwrap_or_default();
        let said = format!("takes back story {}, and {}", run.story(), run.where_it_stands());
        if is_at_work {
            findings.ok("run", &id, format!("is at work: {said}"));
        } else {
            let next =
                "`unship resume` goes on with it, `unship resume --undo` takes it back; nothing else begins before";
            findings.fault("run", &id, format!("was cut off: {said}"), next);
        }
    }
    for run in history.runs().iter().filter(|run| run.may_be_undone()) {
        if !matches!(run.ended(), Some((Outcome::Stuck, ..))) {
            continue;
        }
        let id = run.run().map(ToString::to_string).unwrap_or_default();
        let next = format!("`unship show {id}` lists what is left; put that right, then `unship undo {id}`");
        findings.warning("run", &id, format!("of story {} is Stuck", run.story()), &next);
    }
    findings.ok("runs", "", format!("{} so far", history.runs().len()));
}

/// What runs keep on the site's own file system.
fn images(findings: &mut Findings, store: &SiteStore, site: Option<&Site>, history: &History) {
    let (mut total, mut due, mut oldest_ms) = (Usage::default(), 0u32, None::<u64>);
    let now_ms = SystemClock.now_ms();
    for run in history.runs() {
        let Some(id) = run.run() else { continue };
        let usage = store.run_images(id.as_str(), Arc::new(SpaceLimit::new(0, 0))).and_then(|images| images.usage());
        let usage = match usage {
            Ok(usage) => usage,
            Err(e) => {
                let next = "look at `.unship/trash` and `.unship/images`; nobody else should change them";
                findings.unknown("kept", id.as_str(), CliError::user("what it keeps").because(&e).in_short(), next);
                continue;
            }
        };
        if usage.entries == 0 {
            continue;
        }
        total.entries += usage.entries;
        total.bytes += usage.bytes;
        oldest_ms = Some(oldest_ms.map_or(run.ended_ms(), |oldest| oldest.min(run.ended_ms())));
        let age_ms = u128::from(now_ms.saturating_sub(run.ended_ms()));
        let is_old = site.is_some_and(|site| age_ms >= site.policy.keep_images.as_millis());
        due += u32::from(run.has_lost_images() || (run.may_lose_images() && is_old));
    }
    let mut said = format!("{} entries, {} MiB of before-images in `.unship/`", total.entries, total.bytes >> 20);
    if let Some(oldest) = oldest_ms.filter(|ms| *ms > 0) {
        said.push_str(&format!(", the oldest from {}", time(oldest)));
    }
    if due > 0 {
        findings.warning("kept", "", format!("{said}; of {due} runs it is no longer needed"), "`unship gc` removes it");
    } else {
        findings.ok("kept", "", said);
    }
}

/// The daemon: whether it is alive, what it says, whether its journal is intact.
pub fn look_at_daemon(findings: &mut Findings, store: &SiteStore, site: Option<&Site>) {
    let watched = match store.watched() {
        Ok(Some(watched)) => watched,
        Ok(None) => {
            let next = "`unship watch` begins; nothing happens by itself before";
            findings.warning("daemon", "", "none has ever watched this site", next);
            return;
        }
        Err(e) => return findings.failed("daemon", "", &not_intact(&e), RESTORE),
    };
    match watched.daemon() {
        Ok(Some(pid)) => {
            let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            let version = version(&watched).unwrap_or_else(|| "?".to_owned());
            let said = format!("watches as process {pid}, version {version}");
            if version == env!("CARGO_PKG_VERSION") {
                findings.ok("daemon", "", said);
            } else {
                findings.warning("daemon", "", said, "restart it, so that it is what this command is");
            }
        }
        Ok(None) => {
            let next = "start it: `systemctl start unship-watch@…`, or `unship watch`; nothing happens by itself now";
            findings.warning("daemon", "", "none is alive", next);
        }
        Err(e) => {
            findings.unknown("daemon", "", format!("whether one is alive: {e}"), "look at `.unship/watch/lock`");
        }
    }
    match watched.verify() {
        Ok(verified) => journal(findings, "daemon-journal", &verified, true),
        Err(e) => return findings.failed("daemon-journal", "", &not_intact(&e), RESTORE),
    }
    let book = match watching::book(&watched) {
        Ok(book) => book,
        Err(e) => return findings.failed("daemon-journal", "book", &e, RESTORE),
    };
    if let Some((by, reason)) = book.paused() {
        let said = format!("{by} has paused it: {reason}");
        findings.warning("daemon", "paused", said, "`unship pause --off` lets it act again");
    }
    for (story, reason) in book.readiness() {
        if let Some(reason) = reason {
            let next = format!("`unship plan {story}` shows why; mend it before the night on which it is needed");
            findings.warning("readiness", story, format!("could not be taken back: {reason}"), &next);
        }
    }
    let open = book.incidents().filter(|incident| incident.is_open()).count();
    let of = site.map_or(0, |site| site.policy.feeds.len());
    findings.ok("incidents", "", format!("{open} are open, {of} feeds are watched; `unship incidents` lists them"));
}

/// Of the daemon that began last.
fn version(watched: &WatchStore) -> Option<String> {
    let records = watched.records().ok()?.map_while(std::result::Result::ok);
    let entries = records.filter_map(|record| serde_json::from_slice::<Entry>(&record.json).ok());
    let began = entries.flat_map(|entry| entry.facts).filter_map(|fact| match fact {
        Fact::WatchBegan { version } => Some(version),
        _ => None,
    });
    began.last()
}
