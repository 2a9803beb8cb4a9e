//! What comes after: the post-mortem of a run that the daemon began, who is reminded of it, and what users are told.

use super::{BEGIN, Daemon, MINUTE, count, night, people, site};
use crate::support::{Ran, Site, receiver::Server};
use serde_json::Value;
use std::fs;

const HOUR: u64 = 60 * MINUTE;

/// The run that the daemon began.
fn run(site: &Site) -> String {
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    runs.iter().find_map(|line| line["run"].as_str()).expect("a run").to_owned()
}

/// Writes the draft; its files are in `pm` beside the site.
fn draft(site: &Site, run: &str) -> Ran {
    let out = site.outside().join("pm");
    site.unship(["postmortem", run, "--json", "--force", "--out", out.to_str().expect("UTF-8")]).exits(0)
}

fn read(site: &Site, name: &str) -> String {
    fs::read_to_string(site.outside().join("pm").join(name)).expect("a part of the draft")
}

#[test]
fn the_post_mortem_knows_the_harm_who_decided_and_how_the_series_went() {
    let site = site();
    let _ = night(&site, &[]);
    let run = run(&site);
    let summary = draft(&site, &run).json().pop().expect("a summary");
    assert_eq!(summary["unknown"], serde_json::json!(["which users were affected, and how"]), "{summary}");
    let json: Value = serde_json::from_str(&read(&site, &format!("{run}.json"))).expect("JSON");
    let told = &json["incident"];
    assert_eq!((told["id"].clone(), told["verdict"].as_str()), (summary["incident"].clone(), Some("Recovered")));
    let ms = |after: u64| Some(BEGIN - HOUR + after);
    let cause = &told["causes"][0];
    // The first slow query, and the sixth.
    assert_eq!(
        (cause["begun_by_ms"].as_u64(), cause["fired_ms"].as_u64()),
        (ms(HOUR + MINUTE), ms(HOUR + 6 * MINUTE)),
        "{cause}"
    );
    assert_eq!(
        (cause["begun_from_ms"].as_u64(), told["opened_ms"].as_u64()),
        (ms(6 * MINUTE), ms(HOUR + 6 * MINUTE + 11_000))
    );
    assert!(told["harm_ended_ms"].as_u64() < told["verdict_ms"].as_u64(), "{told}");
    let text = read(&site, &format!("{run}.md"));
    for part in [
        &format!("- Incident: `{}`, Critical", told["id"].as_str().expect("an id")),
        "- Set off by: 1.3/slow-queries: duckdb\\_query\\_seconds &gt; 2m occurring",
        "- Decided: act, since its trigger acts by itself",
        "- In the end: **Recovered**: its verifications passed, and its triggers stayed clear",
        "- Harm began: between 2026-09-21T13:19:20.000Z and 2026-09-21T14:14:20.000Z, by its triggers",
        "- It was noticed: 2026-09-21T14:19:31.000Z (311 s after it began at the latest)",
        "- Harm ended: 2026-09-21T14:19:31.000Z; its triggers stayed clear from then to",
        "| its triggers must stay clear until 2026-09-21T14:34:31.000Z |",
        "Nobody: no `[[notice]]` of the site says who.",
        &format!("![What set it off]({run}-1.svg)"),
    ] {
        assert!(text.contains(part), "lacks {part:?}:\n{text}");
    }
    let chart = read(&site, &format!("{run}-1.svg"));
    for part in [
        "duckdb_query_seconds: 0.4 s to 130 s.",
        "A breach is above 120 s.",
        "It fires at 2026-09-21 14:19:20.",
        "the rollback began at 2026-09-21 14:19:31 (UTC)",
        "the verdict Recovered was reached at 2026-09-21 14:36:20 (UTC)",
    ] {
        assert!(chart.contains(part), "lacks {part:?}:\n{chart}");
    }
}

/// People were asked, one was refused and one said yes; the daemon died, and its triggers are not clear for long enough yet.
#[test]
fn before_it_is_over_the_post_mortem_says_what_is_not_known_yet() {
    let (site, keys) = people::asking();
    let begin_ms = people::now_ms();
    let daemon = Daemon::start_at(&site, begin_ms, &[]);
    let asked_ms = people::breach(&daemon, begin_ms);
    let digest = people::incident(&site)["plan_digest"].as_str().expect("a digest").to_owned();
    let _ = people::approve(&site, &keys[0], &digest, &[]).exits(0);
    assert!(daemon.query(asked_ms + 1000, 0.4));
    assert!(daemon.clock(asked_ms + 20_000));
    let _ = daemon.stop();
    let run = run(&site);
    let summary = draft(&site, &run).json().pop().expect("a summary");
    let unknown: Vec<&str> = summary["unknown"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(unknown.contains(&"whether it stays well: its triggers must stay clear for a while yet"), "{unknown:?}");
    let text = read(&site, &format!("{run}.md"));
    assert!(text.contains("ada said yes to sha256:"), "{text}");
    assert!(text.contains("- Harm ended: not that anybody knows of"), "{text}");
    assert!(!text.contains("None was needed."), "{text}");
    // What came after the run is not written down before the verdict.
    assert!(read(&site, &format!("{run}-1.svg")).contains(": 130 s to 130 s."));
}

#[test]
fn who_finished_a_post_mortem_says_so_and_nobody_is_reminded() {
    let reminded = |says_so: bool| {
        let site = site();
        let _ = night(&site, &[]);
        let run = run(&site);
        if says_so {
            let _ = site.unship(["postmortem", &run, "--written"]).exits(2).says("--by");
            let _ = site.unship(["postmortem", &run, "--written", "--by", "ada", "--force"]).exits(2);
            let handed_in = site.unship(["postmortem", &run, "--written", "--by", "ada"]).exits(0);
            let _ = handed_in.prints("the next one takes it in");
        }
        let daemon = Daemon::start(&site, &[]);
        assert!(daemon.clock(BEGIN + 24 * HOUR));
        if says_so {
            let _ = site.unship(["postmortem", &run, "--written", "--by", "bob"]).exits(1).says("is written already");
        }
        assert!(daemon.clock(BEGIN + 49 * HOUR));
        let kinds = daemon.stop();
        assert_eq!(count(&kinds, "post-mortem-written"), usize::from(says_so));
        count(&kinds, "post-mortem-overdue")
    };
    assert_eq!((reminded(true), reminded(false)), (0, 1));
}

#[test]
fn only_of_a_run_that_the_daemon_began_a_post_mortem_is_awaited() {
    let site = site();
    let _ = site.unship(["apply", "1.3", "--yes"]).exits(0);
    let run = run(&site);
    let _ = site.unship(["postmortem", &run, "--written", "--by", "ada"]).exits(1).says("no daemon has ever watched");
    let _ = Daemon::start(&site, &[]).stop();
    let _ = site.unship(["postmortem", &run, "--written", "--by", "ada"]).exits(1).says("is due");
    let text = draft(&site, &run).json().pop().expect("a summary").to_string();
    assert!(text.contains("the journal knows the run and not the harm"), "{text}");
}

#[test]
fn users_are_told_what_a_person_wrote_and_stood_by() {
    let hook = Server::start(std::iter::empty());
    let site = site();
    let channel = format!("\n[channels.status-page]\nkind = \"webhook\"\nurl = \"{}\"\n", hook.url());
    let notice = |event: &str| format!("{channel}[[notice]]\nevents = [\"{event}\"]\nchannel = \"status-page\"\n");
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &(policy.clone() + &notice("users-affected")));
    let _ = night(&site, &[]);
    let incident = people::incident(&site)["incident"].as_str().expect("an id").to_owned();
    let tell = |file: &str, more: &[&str]| {
        let file = site.at(file);
        let args = ["incidents", &incident, "--tell-users", file.to_str().expect("UTF-8")];
        site.unship(args.into_iter().chain(more.iter().copied()))
    };
    site.write("told.txt", "Reports were slow on Monday from 14:14 to 14:19 UTC. <b>Nothing</b> was lost.\n");
    site.write("blank.txt", " \n");
    site.write("long.txt", &"x".repeat(4001));
    let by = ["--by", "ada"];
    let _ = tell("told.txt", &[]).exits(2).says("--by");
    let _ = tell("told.txt", &["--by", "ada", "--close", "over"]).exits(2);
    let _ = site.unship(["incidents", &incident, "--by", "ada"]).exits(2);
    let _ = tell("none.txt", &by).exits(1).says("none.txt");
    let _ = tell("blank.txt", &by).exits(1).says("has 0 bytes of text");
    let _ = tell("long.txt", &by).exits(1).says("has 4001 bytes of text");
    // Where nobody would be told, that is said before, and not found out by nobody.
    site.write("policies/site.toml", &(policy.clone() + &notice("complete")));
    let _ = tell("told.txt", &by).exits(1).says("nobody would be told").says("nothing was handed in");
    site.write("policies/site.toml", &(policy + &notice("users-affected")));
    let _ = tell("told.txt", &by).exits(0).prints("handed in as s");
    let daemon = Daemon::start_at(&site, BEGIN + HOUR, &[]);
    assert!(daemon.clock(BEGIN + HOUR + 1000));
    let told = hook.taken(1).remove(0).body;
    assert_eq!((told["event"].as_str(), told["incident"].as_str()), (Some("users-affected"), Some(incident.as_str())));
    assert!(told.to_string().contains("Reports were slow on Monday from 14:14 to 14:19 UTC."), "{told}");
    let kinds = daemon.stop();
    assert_eq!(count(&kinds, "text-approved"), 1);
    let _ = draft(&site, &run(&site));
    assert!(read(&site, &format!("{}.md", run(&site))).contains("| users-affected | status-page | Reports were slow"));
}
