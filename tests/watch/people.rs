//! People and the daemon, through the built binary: asked, answered, denied, late; what abuses an approval; what is paused;
//! policies read anew; an exposure that ends in time. Approvals bear the machine's time, so the daemon's clock begins there.

use super::{Daemon, MINUTE, count, site};
use crate::{
    approvals,
    support::{Practice, Ran, Site, last_run},
};
use serde_json::Value;
use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

const HOUR: u64 = 60 * MINUTE;

pub(super) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()).expect("a time")
}

/// The practice site, where slow queries are asked about; ada's, bob's, ada's second and a builder's key.
pub(super) fn asking() -> (Practice, Vec<PathBuf>) {
    let site = site();
    let triggers = site.read("policies/triggers/1.3.toml");
    let auto = "severity = \"critical\"\nauto = true\n";
    assert!(triggers.contains(auto));
    site.write("policies/triggers/1.3.toml", &triggers.replacen(auto, "severity = \"high\"\nauto = false\n", 1));
    // Whoever signed the story signs it still, by a trust root of the test's own.
    let root = site.read("policies/trust/1.toml");
    let signer = root.lines().find(|line| line.starts_with("public = ")).expect("a key").to_owned();
    if !site.key().exists() {
        let _ = site.unship([Path::new("keygen"), &site.key()]).exits(0);
    }
    let role = "[roles.release]\nkeys = [\"signer\"]\nthreshold = 1\nstories = [\"*\"]\ntier = \"owned\"\n";
    site.trust(&format!("[keys.signer]\n{signer}\n{role}"));
    let keys = approvals::approvers(&site);
    (site, keys)
}

/// Six slow queries within the hour; ends at the time at which people are asked.
pub(super) fn breach(daemon: &Daemon, begin_ms: u64) -> u64 {
    for i in 1..=6 {
        assert!(daemon.query(begin_ms + i * 1000, 130.0));
    }
    let asked_ms = begin_ms + 17_000;
    assert!(daemon.clock(asked_ms));
    asked_ms
}

pub(super) fn incident(site: &Site) -> Value {
    let lines = site.unship(["incidents", "--all", "--json"]).exits(0).json();
    lines.into_iter().find(|line| line["type"] == "incident").expect("an incident")
}

pub(super) fn approve(site: &Site, key: &Path, digest: &str, more: &[&str]) -> Ran {
    let key = key.to_str().expect("UTF-8");
    site.unship(
        ["approve", digest, "--story", "1.3", "--reason", "it hurts", "--key", key]
            .into_iter()
            .chain(more.iter().copied()),
    )
}

#[test]
fn people_are_asked_and_the_yes_of_one_begins_the_run_that_they_saw() {
    let (site, keys) = asking();
    let begin_ms = now_ms();
    let daemon = Daemon::start_at(&site, begin_ms, &[]);
    let asked_ms = breach(&daemon, begin_ms);
    let asked = incident(&site);
    assert_eq!(asked["stage"], "asking");
    let digest = asked["plan_digest"].as_str().expect("a digest").to_owned();
    let id = asked["incident"].as_str().expect("an id").to_owned();
    let shown = site.unship(["incidents", &id]).exits(0);
    let _ = shown.prints(&format!("yes: unship approve {digest}")).prints("would:");

    // Not by a key that may not, of another plan, nor of one that expired meanwhile.
    let _ = approve(&site, &keys[3], &digest, &[]).exits(3).says("this key may not approve");
    let other = format!("sha256:{}", "0".repeat(64));
    let _ = approve(&site, &keys[0], &other, &["--incident", &id]).exits(0);
    let _ = approve(&site, &keys[0], &digest, &["--expires-in", "1s"]).exits(0);
    assert!(daemon.clock(asked_ms + MINUTE));
    let still = incident(&site);
    assert_eq!((still["stage"].as_str(), still["approved_by"].as_array().map(Vec::len)), (Some("asking"), Some(0)));

    let _ = approve(&site, &keys[0], &digest, &[]).exits(0).prints("handed in as");
    assert!(daemon.clock(asked_ms + 2 * MINUTE));
    assert_eq!(incident(&site)["stage"], "stabilising");
    let run = last_run(&site);
    let shown = site.unship(["runs", "--json"]).exits(0).json();
    assert!(shown.iter().any(|line| line["run"] == run.as_str() && line["outcome"] == "Succeeded"), "{shown:?}");
    let kinds = daemon.stop();
    assert_eq!((count(&kinds, "approval-refused"), count(&kinds, "approval-counted")), (2, 1));
    let _ = site.unship(["journal", "verify"]).exits(0);
}

#[test]
fn no_and_no_answer_take_nothing_back() {
    let (site, _) = asking();
    let begin_ms = now_ms();
    let daemon = Daemon::start_at(&site, begin_ms, &[]);
    let asked_ms = breach(&daemon, begin_ms);
    let id = incident(&site)["incident"].as_str().expect("an id").to_owned();
    let _ = site.unship(["deny", "i404", "--by", "bob", "--reason", "no"]).exits(1).says("there is no incident");
    let _ = site.unship(["deny", &id, "--by", "bob", "--reason", "it is the disk", "--owner", "carol"]).exits(0);
    assert!(daemon.clock(asked_ms + HOUR));
    assert_eq!(incident(&site)["stage"], "fix-forward");
    let _ = site.unship(["incidents"]).exits(0).prints("carol");
    let _ = site.unship(["incidents", &id, "--close", "the disk is new", "--by", "carol"]).exits(0);
    assert!(daemon.clock(asked_ms + HOUR + MINUTE));
    assert_eq!(incident(&site)["stage"], "closed");
    let kinds = daemon.stop();
    assert_eq!((count(&kinds, "denied"), count(&kinds, "run-began")), (1, 0));

    let (site, _) = asking();
    let daemon = Daemon::start_at(&site, begin_ms, &[]);
    let asked_ms = breach(&daemon, begin_ms);
    assert!(daemon.clock(asked_ms + 15 * MINUTE));
    assert_eq!(incident(&site)["stage"], "fix-forward");
    let kinds = daemon.stop();
    assert_eq!((count(&kinds, "denied"), count(&kinds, "run-began")), (1, 0));
}

#[test]
fn a_pause_keeps_it_from_acting_and_a_bad_policy_is_refused() {
    let site = site();
    let begin_ms = now_ms();
    let mut daemon = Daemon::start_at(&site, begin_ms, &[]);
    let _ = site.unship(["pause", "--reason", "a release"]).exits(0);
    let _ = site.unship(["silence", "slow-queries", "--for", "8d"]).exits(1).says("within 7 days");
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &format!("{policy}\n[decision]\nquorom = 1\n"));
    let mut kinds = daemon.reload("policy-refused");
    site.write("policies/site.toml", &format!("{policy}\n[decision]\nowner = \"night-shift\"\n"));
    kinds.extend(daemon.reload("policy-reloaded"));
    let _ = breach(&daemon, begin_ms);
    assert_eq!(incident(&site)["stage"], "paged", "its severity is critical, and nothing acts by itself");
    let _ = site.unship(["incidents"]).exits(0).prints("paused by").prints("a release");
    kinds.extend(daemon.stop());
    let counts = ["policy-refused", "policy-reloaded", "paused", "run-began"].map(|kind| count(&kinds, kind));
    assert_eq!(counts, [1, 1, 1, 0]);
}

#[test]
fn what_is_exposed_is_taken_back_in_time_by_the_daemon_that_watches_then() {
    for is_down in [false, true] {
        let site = approvals::site(approvals::OPEN);
        let keys = approvals::approvers(&site);
        let policy = site.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
        site.write("policies/site.toml", &format!("{policy}\n[watch]\nlisten = \"127.0.0.1:0\"\n"));
        let begin_ms = now_ms();
        let mut daemon = Daemon::start_at(&site, begin_ms, &[]);
        let digest = approvals::digest(&site);
        let mut apply = vec!["apply".to_owned(), "1".into(), "--variant".into(), "expose".into(), "--yes".into()];
        for (key, name) in keys.iter().zip(["ada", "bob"]) {
            let file = site.outside().join(format!("{name}.approval")).to_str().expect("UTF-8").to_owned();
            let key = key.to_str().expect("UTF-8");
            let args = ["approve", &digest, "--story", "1", "--variant", "expose", "--reason", "a demo", "--key", key];
            let _ = site.unship(args.into_iter().chain(["--output", &file])).exits(0);
            apply.extend(["--approval".to_owned(), file]);
        }
        let _ = site.unship(&apply).exits(6).prints("Succeeded");
        assert!(site.read("conf/api.yaml").contains("auth: false"));
        assert!(daemon.clock(begin_ms + HOUR));
        assert!(site.read("conf/api.yaml").contains("auth: false"), "it lasts 4 hours");
        let mut kinds = Vec::new();
        if is_down {
            kinds.extend(daemon.stop());
            daemon = Daemon::start_at(&site, begin_ms + 9 * HOUR, &[]);
        }
        // A run's own time is the machine's, and later than the daemon's beginning.
        let over_ms = begin_ms + if is_down { 9 } else { 4 } * HOUR + 5 * MINUTE;
        assert!(daemon.clock(over_ms) && daemon.clock(over_ms + MINUTE));
        assert!(site.read("conf/api.yaml").contains("auth: true"), "down: {is_down}");
        kinds.extend(daemon.stop());
        let counts = ["exposure-began", "exposure-ended", "exposure-stuck"].map(|kind| count(&kinds, kind));
        assert_eq!(counts, [1, 1, 0], "down: {is_down}");
    }
}

impl Daemon {
    /// SIGHUP; the kinds of the facts up to the one that says what came of it.
    fn reload(&mut self, until: &str) -> Vec<String> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it lives");
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != until) {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).expect("a line") > 0, "it ended before {until}: {kinds:?}");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            kinds.extend(line["what"]["fact"].as_str().map(str::to_owned));
        }
        kinds
    }
}
