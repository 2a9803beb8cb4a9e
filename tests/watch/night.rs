//! The seed's story end to end, with nobody there: samples, breach, incident, decision, plan, run, verdict, stability; PagerDuty
//! and Slack as local servers that drop, delay and refuse, mail through Exim over TLS; post-mortem. And its transcript.

use super::{BEGIN, Daemon, MINUTE, arm, count, night, secret, site};
use crate::{
    real::Real,
    support::{
        Practice, Site,
        exim::{AUTHORITY, Exim, PASSWORD, USER},
        receiver::{Server, Turn},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

const ADDRESSES: [&str; 3] = ["dev@example.org", "owner@example.org", "support@example.org"];

/// Where a night is told.
struct World {
    pagerduty: Server,
    slack: Server,
    hook: Server,
    exim: Exim,
}

/// Answers as Slack's API does, for ever.
fn slack_answers() -> impl Iterator<Item = Turn> {
    (1..200).map(|n| Turn::Say(200, "", format!("{{\"ok\":true,\"ts\":\"17.{n}\"}}")))
}

impl World {
    /// `turns`: what PagerDuty and the webhook do first.
    fn new(turns: &[Turn]) -> World {
        World {
            pagerduty: Server::start(turns.iter().cloned()),
            slack: Server::start(slack_answers()),
            hook: Server::start(turns.iter().rev().cloned()),
            exim: Exim::start(),
        }
    }

    fn site(&self) -> Practice {
        let site = site();
        self.is_told_by(&site);
        site
    }

    fn is_told_by(&self, site: &Site) {
        secret(site, "run/pagerduty.key", "0123456789abcdef0123456789abcdef");
        secret(site, "run/slack.token", "xoxb-1");
        secret(site, "run/mail.password", PASSWORD);
        site.write("run/ca.pem", AUTHORITY);
        let tables = format!(
            "\n[channels.on-call]\nkind = \"pagerduty\"\nurl = \"{}\"\nrouting-key = \"file:run/pagerduty.key\"\n\
[channels.team]\nkind = \"slack\"\nurl = \"{}\"\ntoken = \"file:run/slack.token\"\nto = \"#rollbacks\"\n\
[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\ntimeout = \"2s\"\n\
[channels.mail]\nkind = \"smtp\"\nhost = \"localhost\"\nport = {}\nuser = \"{USER}\"\npassword = \"file:run/mail.password\"\n\
from = \"unship@example.org\"\nauthorities = \"run/ca.pem\"\n\
[recipients]\ndev-team = [\"{}\"]\nproduct-owner = [\"{}\"]\nsupport-team = [\"{}\"]\n",
            self.pagerduty.url(),
            self.slack.url(),
            self.hook.url(),
            self.exim.port,
            ADDRESSES[0],
            ADDRESSES[1],
            ADDRESSES[2],
        );
        site.write("policies/site.toml", &(site.read("policies/site.toml") + &tables));
    }
}

/// Every fact in the daemon's journal, in order.
fn facts(site: &Site) -> Vec<Value> {
    let journal = site.read(".unship/watch/journal");
    let records = journal.trim_end_matches('\0').lines().skip(1).filter_map(|line| line.splitn(4, ' ').nth(3));
    let entries = records.filter_map(|json| serde_json::from_str::<Value>(json).ok());
    entries.flat_map(|entry| entry["facts"].as_array().cloned().unwrap_or_default()).collect()
}

/// The notices that were queued, by their ids, with how often each was delivered and given up.
fn notices(site: &Site) -> BTreeMap<String, (Value, usize, usize)> {
    let mut all = BTreeMap::new();
    for fact in facts(site) {
        let id = fact["notice"].as_str().unwrap_or_default().to_owned();
        match fact["fact"].as_str() {
            Some("notice-queued") => drop(all.insert(id, (fact, 0, 0))),
            Some("notice-delivered") => {
                all.entry(id).and_modify(|(_, delivered, _)| *delivered += 1).or_default().1 += 0
            }
            Some("notice-failed") => all.entry(id).and_modify(|(_, _, failed)| *failed += 1).or_default().2 += 0,
            _ => {}
        }
    }
    all
}

/// Time goes on, with nothing new, until no notice waits.
fn settle(site: &Site) {
    let mut now_ms = BEGIN + 30 * MINUTE;
    let daemon = Daemon::start_at(site, now_ms, &[]);
    let until = Instant::now() + Duration::from_secs(120);
    while notices(site).values().any(|(_, delivered, failed)| delivered + failed == 0) {
        assert!(Instant::now() < until, "notices wait: {:?}", notices(site));
        now_ms += MINUTE;
        assert!(daemon.clock(now_ms));
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = daemon.stop();
}

/// Each channel got each of its notices once, by their ids, and in order.
fn all_told_once(site: &Site, world: &World) {
    let queued = notices(site);
    assert!(queued.values().all(|(_, delivered, failed)| (*delivered, *failed) == (1, 0)), "{queued:?}");
    let of = |channel: &str| -> Vec<&Value> {
        let mut of: Vec<&Value> = queued.values().map(|(fact, ..)| fact).filter(|f| f["channel"] == channel).collect();
        of.sort_by_key(|fact| fact["notice"].as_str().and_then(|n| n[1..].parse::<u64>().ok()));
        of
    };
    let hook = of("hook");
    let mut seen: Vec<String> = Vec::new();
    for taken in world.hook.taken(hook.len()) {
        let id = taken.body["notice"].as_str().expect("an id").to_owned();
        if seen.last() != Some(&id) {
            seen.push(id);
        }
    }
    assert_eq!(seen, hook.iter().map(|f| f["notice"].as_str().expect("an id").to_owned()).collect::<Vec<_>>());
    let run = facts(site).into_iter().find(|f| f["fact"] == "run-began").expect("a run")["run"]
        .as_str()
        .expect("an id")
        .to_owned();
    // One alert, from its trigger to its resolution.
    let told = world.pagerduty.taken(of("on-call").len());
    let mut actions: Vec<(String, String)> = Vec::new();
    for taken in &told {
        let text = |key: &str| taken.body[key].as_str().unwrap_or_default().to_owned();
        let action = (text("dedup_key"), text("event_action"));
        // That a channel fails, and what becomes wrong while time goes on, are alerts of their own.
        if action.0 == run && actions.last() != Some(&action) {
            actions.push(action);
        }
    }
    assert_eq!(actions, [(run.clone(), "trigger".to_owned()), (run.clone(), "resolve".to_owned())]);
    // One thread; what Slack took twice, since the daemon died before it wrote that down, is the same notice twice.
    let mut threads: BTreeMap<String, bool> = BTreeMap::new();
    for taken in world.slack.taken(of("team").len()) {
        let key = taken.head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).expect("a key").to_owned();
        threads.insert(key, taken.body["thread_ts"].is_string());
    }
    let story =
        facts(site).into_iter().find(|f| f["fact"] == "incident-opened" && f["story"] == "1.3").expect("an incident");
    let story = story["incident"].as_str().expect("an id");
    let of_run = threads.iter().filter(|(key, _)| key.starts_with(story));
    assert_eq!(of_run.filter(|(_, hangs_on)| !**hangs_on).count(), 1, "{threads:?}");
    for address in ADDRESSES {
        // That a channel fails is mailed as well.
        let is_of_run = |mail: &&String| mail.contains("Subject: Rollback 1.3: complete");
        let mails = world.exim.mails(address, 1);
        let ids = mails.iter().filter(is_of_run).filter_map(|m| m.lines().find(|l| l.starts_with("Message-ID:")));
        let ids: BTreeSet<&str> = ids.collect();
        assert_eq!(ids.len(), 1, "one mail, by its id: {ids:?}");
    }
}

fn hostile() -> Vec<Turn> {
    let say = |status: u16, headers: &'static str| Turn::Say(status, headers, String::new());
    vec![Turn::Drop, say(500, ""), Turn::TakeAndDrop, say(429, "Retry-After: 120\r\n"), Turn::Hang, say(503, "")]
}

#[test]
fn a_night_is_told_to_everybody_once_by_servers_that_drop_delay_and_refuse() {
    let world = World::new(&hostile());
    let site = world.site();
    let kinds = night(&site, &[]);
    assert_eq!((count(&kinds, "run-began"), count(&kinds, "incident-closed")), (1, 1));
    settle(&site);
    all_told_once(&site, &world);
    let journal = site.read(".unship/watch/journal");
    for secret in ["0123456789abcdef", "xoxb-1", PASSWORD] {
        assert!(!journal.contains(secret), "a secret in the journal");
    }
}

/// The seed's story as it was meant: Node under pm2, a real DuckDB file, real servers, and nobody there.
#[test]
fn on_the_real_site_a_night_goes_from_samples_to_a_post_mortem() {
    let world = World::new(&hostile());
    let real = Real::with(&["1.3"]);
    arm(&real);
    world.is_told_by(&real);
    let kinds = night(&real, &[]);
    assert_eq!((count(&kinds, "run-began"), count(&kinds, "incident-closed")), (1, 1), "{kinds:?}");
    settle(&real);
    all_told_once(&real, &world);
    let run = facts(&real).into_iter().find(|fact| fact["fact"] == "run-ended").expect("a run");
    assert_eq!((run["outcome"].as_str(), run["verdict"].as_str()), (Some("Succeeded"), Some("Recovered")), "{run}");
    let _ = real.unship(["postmortem", run["run"].as_str().expect("an id")]).exits(0).prints("wrote ");
}

#[test]
fn killed_among_its_notices_it_loses_none_and_runs_once() {
    for fault in [
        "kill@notice-queued",
        "kill@notice-queued.6",
        "kill@notice-delivered",
        "kill@notice-delivered.4",
        "kill@run-ended",
    ] {
        let world = World::new(&[]);
        let site = world.site();
        let kinds = night(&site, &[fault]);
        assert_eq!(count(&kinds, "run-began"), 1, "{fault}");
        settle(&site);
        all_told_once(&site, &world);
        let runs = site.unship(["runs", "--json"]).exits(0);
        assert_eq!(runs.json().iter().filter(|line| line["outcome"].is_string()).count(), 1, "{fault}");
    }
}

#[test]
fn with_nobody_there_to_take_a_notice_the_story_is_taken_back_all_the_same() {
    // A webhook that never answers, a mail server that is gone, a PagerDuty that says no.
    let world = World::new(&(0..500).map(|_| Turn::Hang).collect::<Vec<_>>());
    let site = world.site();
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replace(&format!("port = {}", world.exim.port), "port = 1"));
    let kinds = night(&site, &[]);
    assert_eq!((count(&kinds, "run-began"), count(&kinds, "incident-closed")), (1, 1));
    let runs = site.unship(["runs", "--json"]).exits(0);
    assert_eq!(runs.json().iter().filter(|line| line["outcome"] == "Succeeded").count(), 1);
    assert!(world.hook.attempts(1) > 0, "the webhook was tried");
    let waiting = notices(&site).values().filter(|(_, delivered, failed)| delivered + failed == 0).count();
    assert!(waiting > 0, "what could not be told waits for the next daemon");
}

/// Of a feed of its own, a million series come before the breach: what is too many is refused, and the story is taken back.
#[test]
fn a_source_that_sends_a_million_series_holds_nothing_up() {
    let site = site();
    let daemon = Daemon::start(&site, &[]);
    assert!(daemon.clock(BEGIN));
    let mut answers: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    for batch in 0..50 {
        let line = |n: u32| {
            format!(
                "{{\"metric\":\"validated_records_total\",\"labels\":{{\"n\":\"{n}\"}},\"value\":1,\"at\":{BEGIN}}}\n"
            )
        };
        let body: String = (batch * 20_000..(batch + 1) * 20_000).map(line).collect();
        *answers.entry(daemon.post("/v1/samples", &body)).or_default() += 1;
    }
    assert!(!answers.contains_key(&None), "it lives through all of them: {answers:?}");
    for i in 1..=6 {
        assert!(daemon.query(BEGIN + i * MINUTE, 130.0));
    }
    assert!(daemon.clock(BEGIN + 6 * MINUTE + 11_000));
    let kinds = daemon.stop();
    assert_eq!((count(&kinds, "run-began"), count(&kinds, "run-ended")), (1, 1), "{answers:?}");
}

/// Ids and digests differ from night to night.
fn normal(text: &str) -> String {
    let is_id = |word: &str| {
        word.len() == 26
            && word.starts_with(['i', 'r'])
            && word.as_bytes()[17] == b'-'
            && word[1..9].bytes().all(|b| b.is_ascii_digit())
    };
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let (bare, end) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_ascii_alphanumeric() && last != '-' => word.split_at(at),
            _ => (word, ""),
        };
        let bare = match bare {
            // With what is hung on it in a file's name.
            id if id.get(..26).is_some_and(is_id) => format!("{}…{}", &id[..1], &id[26..]),
            hex if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => "…".to_owned(),
            other => other.to_owned(),
        };
        out.push_str(&bare);
        out.push_str(end);
    }
    out
}

#[test]
fn the_readme_shows_a_night() {
    let world = World::new(&[]);
    let site = world.site();
    let _ = night(&site, &[]);
    settle(&site);
    let mut transcript = String::new();
    // What the daemon printed, but for what runs beside the night: readiness and deliveries.
    let shown = site.unship(["incidents", "--all"]).exits(0).stdout;
    let incident = facts(&site).into_iter().find(|f| f["fact"] == "incident-opened").expect("one");
    let incident = incident["incident"].as_str().expect("an id").to_owned();
    let one = site.unship(["incidents", &incident]).exits(0).stdout;
    transcript.push_str(&format!("$ unship incidents --all\n{shown}\n$ unship incidents {incident}\n{one}"));
    transcript.push_str("\nPagerDuty:\n");
    for taken in world.pagerduty.taken(1) {
        let summary = taken.body["payload"]["summary"].as_str().unwrap_or("");
        transcript.push_str(format!("  {} {summary}", taken.body["event_action"].as_str().expect("text")).trim_end());
        transcript.push('\n');
    }
    transcript.push_str("Slack, #rollbacks:\n");
    for taken in world.slack.taken(1) {
        let indent = if taken.body["thread_ts"].is_null() { "  " } else { "    " };
        transcript.push_str(&format!("{indent}{}\n", taken.body["text"].as_str().expect("text")));
    }
    transcript.push_str("Mail:\n");
    for address in ADDRESSES {
        let mail = world.exim.mails(address, 1).remove(0);
        let subject: String =
            mail.replace("\n ", " ").lines().find(|l| l.starts_with("Subject:")).expect("one").to_owned();
        transcript.push_str(&format!("  To: {address}, {subject}\n"));
    }
    let run = facts(&site).into_iter().find(|f| f["fact"] == "run-began").expect("a run")["run"]
        .as_str()
        .expect("an id")
        .to_owned();
    let out = site.outside().join("pm");
    let written = site.unship(["postmortem", &run, "--out", out.to_str().expect("UTF-8")]).exits(0).stdout;
    let written = written.replace(out.to_str().expect("UTF-8"), ".");
    let picture = fs::read_to_string(out.join(format!("{run}-1.svg"))).expect("a chart");
    transcript.push_str(&format!("\n$ unship postmortem {run}\n{written}"));
    let transcript = normal(&transcript);
    crate::cli::documented("night.svg", &picture);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).expect("README.md");
    assert!(readme.contains(transcript.trim_end()), "README.md does not show this night:\n{transcript}");
}
