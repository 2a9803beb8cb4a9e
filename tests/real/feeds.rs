//! The shipped feeds on the site with real parts: each finds what it looks at, and what the site's own services, builds and tests
//! leave is what the feeds read.

use super::{KEY, Real, kill, wait};
use crate::support::{Practice, Site};
use std::{collections::BTreeSet, fs, path::Path};
use toml::{Table, Value};

const PAGE: &str = include_str!("../../docs/signals.md");
const FLAGS: &str = "config/feature-flags.yaml";
/// What the page says where the site has nobody who would make it.
const NOBODY: &str = "nobody";

/// The feeds of a policy, by name.
fn feeds(policy: &str) -> Vec<(String, Table)> {
    let policy: Table = policy.parse().expect("TOML");
    let feeds = policy["feeds"].as_table().expect("feeds").iter();
    feeds.map(|(name, feed)| (name.clone(), feed.as_table().expect("a feed").clone())).collect()
}

fn text<'a>(of: &'a Table, key: &str) -> &'a str {
    of[key].as_str().expect("a text")
}

/// What a feed looks at, as the page says it.
fn looks_at(feed: &Table) -> String {
    let kind = text(feed, "kind");
    let what = match kind {
        "http-probe" => format!(" of `/{}`", text(feed, "url").splitn(4, '/').nth(3).expect("a path")),
        "command" => {
            let words = feed["argv"].as_array().expect("words").iter().skip(1).filter_map(Value::as_str);
            format!(" `{}`", words.collect::<Vec<_>>().join(" ").trim_start_matches("scripts/"))
        }
        "process-memory" => format!(" of `{}`", text(feed, "process")),
        "pm2-restarts" => format!(" of `{}`", text(feed, "service")),
        "log-count" => format!(" of `{}` in `{}`", text(feed, "contains").trim(), text(feed, "file")),
        "dbt-results" | "build-status" | "build-duration" => format!(" of `{}`", text(feed, "file")),
        "push" | "host-memory" => String::new(),
        other => panic!("the page has no words for {other}"),
    };
    format!("{kind}{what}")
}

/// The page's rows: trigger, feed, what it looks at, who makes that on the practice site.
fn rows() -> Vec<[String; 4]> {
    let (_, table) = PAGE.split_once("| trigger | feed |").expect("the table");
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = lines.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect());
    cells.map(|cells: Vec<String>| cells.try_into().expect("four cells")).collect()
}

/// Trigger → feed, of the shipped triggers.
fn judged() -> BTreeSet<(String, String)> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut all = BTreeSet::new();
    let files = fs::read_dir(shipped.join("triggers")).expect("triggers").map(|entry| entry.expect("an entry").path());
    for file in files.chain([shipped.join("site.toml")]) {
        let name = file.file_stem().expect("a name").to_str().expect("UTF-8");
        if name.ends_with(".test") {
            continue;
        }
        let policy: Table = fs::read_to_string(&file).expect("text").parse().expect("TOML");
        for trigger in policy["trigger"].as_array().expect("triggers") {
            for feed in trigger["feed"].as_array().expect("feeds") {
                let trigger = format!("{name}/{}", trigger["name"].as_str().expect("a name"));
                all.insert((trigger, feed.as_str().expect("a name").to_owned()));
            }
        }
    }
    all
}

#[test]
fn the_page_says_of_each_trigger_by_which_feed_it_is_judged_and_what_that_looks_at() {
    let rows = rows();
    let said: BTreeSet<_> = rows.iter().map(|[trigger, feed, ..]| (trigger.clone(), feed.clone())).collect();
    assert_eq!(said, judged());
    assert_eq!(said.len(), rows.len(), "each once");
    let triggers: BTreeSet<_> = rows.iter().map(|[trigger, ..]| trigger).collect();
    assert_eq!(triggers.len(), 37);
    let policy = feeds(include_str!("../../policies/site.toml"));
    for [_, feed, what, _] in &rows {
        let (_, shipped) = policy.iter().find(|(name, _)| name == feed).expect("a shipped feed");
        assert_eq!(what, &looks_at(shipped), "{feed}");
    }
}

/// The triggers of a story: name, feeds, and what they must say after its rollback.
fn after_rollback(story: &str) -> Vec<(String, Vec<String>, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../policies/triggers/{story}.toml"));
    let policy: Table = fs::read_to_string(file).expect("text").parse().expect("TOML");
    let word = |of: &Value| of.as_str().expect("a text").to_owned();
    let of = |trigger: &Value| {
        let feeds = trigger["feed"].as_array().expect("feeds").iter().map(word).collect();
        (word(&trigger["name"]), feeds, trigger.get("after-rollback").map_or_else(|| "clear".to_owned(), word))
    };
    policy["trigger"].as_array().expect("triggers").iter().map(of).collect()
}

/// Where a trigger must be clear for the verdict, somebody measures still; where it is ignored, it does look as if all were bad.
#[test]
fn what_is_judged_after_a_rollback_is_still_there_to_be_measured() {
    let site = Real::with(&["1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.1.5", "1.8"]);
    let (mut judged, mut ignored) = (0, 0);
    for story in ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.1.5", "1.8"] {
        let _ = site.unship(["apply", story, "--yes"]).exits(0);
        let looked = site.unship(["triggers", "look", story, "--json"]).json();
        let values = |feed: &String| {
            let line = looked.iter().find(|line| line["feed"] == feed.as_str()).expect("a line for each feed");
            line["samples"].as_array().expect("samples").iter().map(|s| s["value"].as_f64()).collect::<Vec<_>>()
        };
        for (trigger, feeds, says) in after_rollback(story) {
            match says.as_str() {
                "clear" => {
                    judged += 1;
                    assert!(feeds.iter().all(|feed| !values(feed).is_empty()), "{story}/{trigger}: {looked:?}");
                }
                "ignored" => {
                    ignored += 1;
                    assert!(feeds.iter().all(|feed| values(feed) == [Some(0.0)]), "{story}/{trigger}: {looked:?}");
                }
                _ => assert_eq!(says, "silent", "{story}/{trigger}"),
            }
        }
    }
    assert_eq!((judged, ignored), (9, 1));
}

/// Lives through what the site's feeds read: requests, tests, documents, a build, a run of dbt, and what goes wrong with them.
fn live(site: &Real) {
    for key in [None, Some(KEY)] {
        site.get("api", "/orders", key);
    }
    assert_eq!(site.get("analysis-service", "/summary", None).status, 200);
    // The query that came with the story runs into its time-out.
    assert_eq!(site.get("analytics", "/revenue", None).status, 500);
    for script in ["test", "docs:build"] {
        let _ = site.npm(script, &[]).exits(0);
    }
    let _ = site.tool("bin/node", &["scripts/ingestion-stats.js", "rate"]).exits(1).says("there is no rate yet");
    // The service's run of dbt never ends; one that does leaves its results at the same place.
    let _ = site.npm("feature:toggle", &["dbt_transformations", "off"]).exits(0);
    let run = || site.processes("bin/dbt run");
    run().into_iter().for_each(kill);
    wait("the end of dbt", || run().is_empty());
    let of_service = site.read("tools/data-services/transformation-engine.js");
    assert!(
        of_service.contains("'--target-path', path.resolve('run', 'dbt', 'target')"),
        "where its runs leave theirs"
    );
    let place = ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project", "--target-path", "../run/dbt/target"];
    let rest = ["--log-path", "run/dbt/logs", "--exclude", "settled_orders"];
    let _ = site.tool(".venv/bin/dbt", &[&["build"], &place[..], &rest].concat()).exits(0);
    wait("the first step of a run of Dagster's", || site.read("logs/dagster.log").contains(" - STEP_START - "));
}

/// How many lines of the site's log hold what a feed counts.
fn lines(site: &Real, feed: &Table) -> usize {
    site.read(text(feed, "file")).lines().filter(|line| line.contains(text(feed, "contains"))).count()
}

#[test]
fn each_feed_finds_what_it_looks_at_on_the_site_with_real_parts() {
    let site = Real::with(&["1.1.5", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8"]);
    live(&site);
    let look = site.unship(["triggers", "look", "--json"]).exits(0);
    assert_eq!((&look.summary()["feeds"], &look.summary()["triggers"]), (&47.into(), &37.into()));
    let nobody: BTreeSet<String> =
        rows().into_iter().filter(|[.., who]| who.starts_with(NOBODY)).map(|[_, feed, ..]| feed).collect();
    let shown = look.json();
    for (name, feed) in feeds(&site.read("policies/site.toml")) {
        let seen =
            shown.iter().find(|line| line["feed"] == name.as_str()).unwrap_or_else(|| panic!("no line of {name}"));
        let value = seen["samples"][0]["value"].as_f64();
        match text(&feed, "kind") {
            "push" => assert!(seen["told"] == true && nobody.contains(&name), "{name}: {seen}"),
            // What the site runs, not what a policy misspells.
            "process-memory" => assert!(value.is_some_and(|bytes| bytes > 1e6), "{name}: {seen}"),
            "http-probe" if text(&feed, "value") == "up" => assert_eq!(value, Some(1.0), "{name}: {seen}"),
            "command" if text(&feed, "value") == "failed" => assert_eq!(value, Some(0.0), "{name}: {seen}"),
            "command" | "http-probe" | "host-memory" | "pm2-restarts" => assert!(value.is_some(), "{name}: {seen}"),
            // The record of what has ended is the past; a build goes on.
            "dbt-results" | "build-status" => assert!(value.is_none() && seen["trouble"].is_null(), "{name}: {seen}"),
            "build-duration" => assert_eq!(value.is_some(), name == "evidence-build-duration", "{name}: {seen}"),
            "log-count" => {
                assert_eq!(value, Some(0.0), "a counter begins when it is looked at first: {seen}");
                // What fails is brought about in the next test.
                let is_total = !text(&feed, "metric").ends_with("errors_total") && !name.contains("failures");
                let is_written = lines(&site, &feed) > 0;
                assert!(!is_total || is_written != nobody.contains(&name), "{name}: {}", text(&feed, "file"));
            }
            kind => panic!("a feed of another kind: {kind}"),
        }
    }
    // The small practice site has stand-ins for some of it.
    let small = Practice(Site::laid_out(&[]));
    assert_eq!(small.unship(["triggers", "look", "--json"]).exits(1).summary()["gave"], 11);
    // A feed that finds nothing is told, and the verb's status says so.
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replace(".pm2/pids/analytics-1.pid", ".pm2/pids/analytics.pid"));
    let _ = site.unship(["triggers", "look", "1.3", "memory"]).exits(1).prints("no process was ever seen of");
    site.write("policies/site.toml", &policy);
    let _ =
        site.unship(["triggers", "look", "1.3", "memory"]).exits(0).prints("analytics-memory: duckdb_memory_bytes = ");
}

#[test]
fn what_goes_wrong_on_the_site_stands_where_the_feeds_read_it() {
    let site = Real::with(&["1.3", "1.5", "1.6"]);
    let all = feeds(&site.read("policies/site.toml"));
    let count = |name: &str| lines(&site, &all.iter().find(|(known, _)| known == name).expect("a feed").1);
    // Sessions that cannot be read are a failure of the service, and those that are revoked are none: both answer 503.
    let sessions = site.at(".cache/security/.sessions");
    let aside = site.at("run/sessions");
    fs::rename(&sessions, &aside).expect("moved");
    fs::create_dir(&sessions).expect("made");
    assert_eq!(site.get("api", "/orders", Some("another key")).status, 503);
    fs::remove_dir(&sessions).expect("removed");
    fs::rename(&aside, &sessions).expect("moved");
    wait("the failure of the service", || count("auth-failures") == 1 && count("auth-attempts") == 1);
    wait("the failure of a request", || count("api-errors") == 1);
    // Who came in cannot be written down: they come in all the same, and it is told.
    assert_eq!((site.get("api", "/orders", Some(KEY)).status, count("security-log-failures")), (200, 0));
    fs::remove_file(site.at("logs/security.log")).expect("removed");
    fs::create_dir(site.at("logs/security.log")).expect("made");
    assert_eq!(site.get("api", "/orders", Some(KEY)).status, 200);
    assert_eq!((count("security-log-writes"), count("security-log-failures"), count("auth-failures")), (2, 1, 1));
    assert_eq!(site.get("analytics", "/revenue", None).status, 500);
    assert_eq!((count("duckdb-query-count"), count("duckdb-query-errors")), (1, 1));
    fs::rename(site.at(".venv-eda"), site.at("run/venv-eda")).expect("moved");
    assert_eq!(site.get("analysis-service", "/summary", None).status, 500);
    assert_eq!((count("statistics"), count("statistics-errors")), (1, 1));
    // A step of Dagster's that fails, as Dagster itself says it; its log is where daemon and runs write.
    site.write(
        "run/failing.py",
        "from dagster import DagsterInstance, asset, materialize\n@asset\ndef orders():\n    raise ValueError('none')\n\
         materialize([orders], raise_on_error=False, instance=DagsterInstance.ephemeral())\n",
    );
    let said = site.tool(".venv-dagster/bin/python3", &["run/failing.py"]).exits(0).stderr;
    for (feed, least) in [("dagster-materializations", 1), ("dagster-materialization-failures", 1)] {
        let (_, feed) = all.iter().find(|(known, _)| known == feed).expect("a feed");
        assert!(said.lines().filter(|line| line.contains(text(feed, "contains"))).count() == least, "{said}");
    }
    wait("a step of the run in flight", || count("dagster-materializations") > 0);
}

#[test]
fn damage_is_told_from_what_is_out_of_use_and_from_what_cannot_be_looked_at() {
    let site = Real::with(&["1.3"]);
    let database = site.at(".duckdb/analytics.db");
    let check = || site.tool("bin/node", &["scripts/check-duckdb.js"]);
    let look = |says: &str, status: i32| {
        let _ = site.unship(["triggers", "look", "1.3", "corruption"]).exits(status).prints(says);
    };
    let _ = check().exits(0);
    // The service holds it open, and has all of it in memory: what is damaged is the disk.
    let whole = fs::read(&database).expect("the database");
    let mut damaged = whole.clone();
    damaged[3 * 4096..].fill(0x5a);
    fs::write(&database, &damaged).expect("written");
    let _ = check().exits(2).says("checksum");
    look("duckdb-check: duckdb_corruption = 1", 0);
    for cut in [20_000, 11, 0] {
        fs::write(&database, &whole[..cut]).expect("written");
        let _ = check().exits(2);
    }
    fs::write(&database, &whole).expect("written");
    let _ = check().exits(0);
    // As the rollback leaves it: out of use. In use it is missed, which is another trouble than damage.
    fs::remove_file(&database).expect("removed");
    let _ = check().exits(1).says("is not there, though it is in use");
    look("duckdb-check: duckdb_corruption says nothing", 1);
    let flags = site.read(FLAGS);
    let off = flags.replacen("duckdb_analytics:\n    enabled: true", "duckdb_analytics:\n    enabled: false", 1);
    assert_ne!(flags, off);
    site.write(FLAGS, &off);
    let _ = check().exits(0).prints("was taken out of use");
    look("duckdb-check: duckdb_corruption = 0", 0);
    site.write(FLAGS, "flags: [");
    let _ = check().exits(1).says("cannot tell");
}
