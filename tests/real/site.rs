//! The site itself: its parts are what they are called, and its scripts do what they say.

use super::{KEY, Real, held, kill, wait};
use crate::support::{Ran, Site, xtask};
use std::{fs, path::Path};

const FLAGS: &str = "config/feature-flags.yaml";
const SERVICES: [&str; 4] = ["core", "analytics", "ingestion", "api"];

#[test]
fn services_answer_from_the_sites_files_and_nothing_is_open_without_a_key() {
    let site = Real::new();
    assert_eq!(site.engines(), ["duckdb", "pyairbyte", "sessions", "dbt"]);
    for path in ["/reports", "/analytics", "/orders", "/admin"] {
        assert_eq!(site.get("api", path, None).status, 401, "{path}");
        assert_eq!(site.get("api", path, Some("another key")).status, 401, "{path}");
        assert_eq!(site.get("api", path, Some(KEY)).status, 200, "{path}");
    }
    assert_eq!(site.get("api", "/nowhere", Some(KEY)).status, 404);
    // The database is open in the service's process, and the query that came with the story runs into its time-out.
    let database = site.at(".duckdb").canonicalize().expect("the database");
    assert_eq!(held(site.pid("analytics"), &database), [database.join("analytics.db")]);
    let answer = site.get("analytics", "/revenue", None);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (500, Some("query timed out after 2 s")));

    site.write(
        "config/api-config.yaml",
        &site.read("config/api-config.yaml").replace("requireAuth: true", "requireAuth: false"),
    );
    let _ = site.npm("restart:services", &[]).exits(0);
    assert_eq!(site.get("api", "/analytics", None).status, 200, "what is open is what the file says");
}

#[test]
fn npm_scripts_do_what_they_say() {
    let site = Real::new();
    let flags = site.read(FLAGS);
    let _ = site.npm("feature:toggle", &["duckdb_analytics", "off"]).exits(0).prints("duckdb_analytics is off");
    let expected = flags.replacen("duckdb_analytics:\n    enabled: true", "duckdb_analytics:\n    enabled: false", 1);
    assert_ne!(flags, expected);
    assert_eq!(site.read(FLAGS), expected);
    let _ = site.npm("feature:toggle", &["no_such_flag", "off"]).exits(1).says("there is no flag no_such_flag");
    let _ = site.npm("feature:toggle", &["duckdb_analytics", "maybe"]).exits(1).says("usage: ");
    assert_eq!(site.read(FLAGS), expected);
    let _ = site.tool("bin/node", &["scripts/stop-analytics.js"]).exits(0).prints("no database is open");
    let database = site.at(".duckdb").canonicalize().expect("the database");
    assert!(held(site.pid("analytics"), &database).is_empty());
    let _ = site.tool("bin/node", &["scripts/healthy.js", "--now", "analytics"]).exits(1).says("is off");
    let _ = site.npm("feature:toggle", &["duckdb_analytics", "on"]).exits(0);
    let _ = site.tool("bin/node", &["scripts/start-analytics.js"]).exits(0).prints("the duckdb engine answers");
    assert_eq!(held(site.pid("analytics"), &database).len(), 1);
    assert_eq!(site.read(FLAGS), flags);

    for (script, restarted) in
        [("restart:core", &["core"][..]), ("restart:analytics", &["analytics"]), ("restart:services", &SERVICES)]
    {
        let before = SERVICES.map(|service| site.pid(service));
        let _ = site.npm(script, &[]).exits(0);
        let new: Vec<&str> = SERVICES
            .into_iter()
            .zip(before)
            .filter(|(service, pid)| site.pid(service) != *pid)
            .map(|(s, _)| s)
            .collect();
        assert_eq!(new, restarted, "{script}");
    }

    let _ = site.npm("test:rollback:security", &[]).exits(1).says("/reports without a key");
    let _ = site.npm("test:rollback:ingestion", &[]).exits(1).says("pyairbyte");
    for (to, from) in
        [("security-service.js", "security-service.stub.js"), ("data-ingestion-service.js", "stubs/ingestion-stub.js")]
    {
        site.write(&format!("tools/data-services/{to}"), &site.read(&format!("tools/data-services/{from}")));
    }
    let _ = site.npm("restart:services", &[]).exits(0);
    let _ = site.npm("test:rollback:security", &[]).exits(0).prints("nothing is open");
    let _ = site.npm("test:rollback:ingestion", &[]).exits(1).says("the flag is on");
    let _ = site.npm("feature:toggle", &["pyairbyte_integration", "off"]).exits(0);
    let _ = site.npm("test:rollback:ingestion", &[]).exits(1).says("PyAirbyte runs");
    kill(site.processes("-m airbyte")[0]);
    wait("the end of the connectors", || site.processes("-m airbyte").is_empty());
    let _ = site.npm("test:rollback:ingestion", &[]).exits(0).prints("story 1.2 is taken back");
}

#[test]
fn python_processes_run_as_in_life() {
    let site = Real::new();
    // The connectors' process comes back as long as the flag is on.
    let connectors = || site.processes("-m airbyte");
    let first = connectors();
    assert_eq!(first.len(), 1);
    kill(first[0]);
    wait("a new process", || !connectors().is_empty() && connectors() != first);
    let _ = site.npm("feature:toggle", &["pyairbyte_integration", "off"]).exits(0);
    kill(connectors()[0]);
    wait("the end of the connectors", || connectors().is_empty());
    assert_eq!(site.get("ingestion", "/status", None).json()["accepting"], false);
    assert_eq!(site.get("ingestion", "/connectors", None).status, 503);

    // So does the run of dbt.
    let runs = || site.processes(".venv/bin/dbt run");
    wait("dbt", || runs().len() == 1);
    let first = runs();
    let _ = site.npm("restart:core", &[]).exits(0);
    assert_eq!(runs(), first, "it outlives the service");
    assert_eq!(site.get("core", "/transform", None).json()["running"], 1);
    let _ = site.tool("bin/node", &["scripts/cancel-queries.js"]).exits(0).prints("transformations cancelled: 1");
    wait("a new run", || !runs().is_empty() && runs() != first);
    let _ = site.npm("feature:toggle", &["dbt_transformations", "off"]).exits(0);
    let _ = site.tool("bin/node", &["scripts/cancel-queries.js"]).exits(0).prints("transformations cancelled: 1");
    assert!(runs().is_empty());
    let _ = site.npm("transform", &[]).exits(1).prints("dbt runs by itself");
}

#[test]
fn stopping_a_site_ends_all_that_runs_in_it() {
    let site = Real::with(&["1.5"]);
    wait("dbt", || !site.processes(".venv/bin/dbt run").is_empty());
    wait("a run of Dagster", || !site.processes("multiprocessing.spawn").is_empty());
    assert!(site.processes("").len() > 9, "pm2, six services, Python, dbt, and what Dagster starts");
    for _ in 0..2 {
        let _ = Ran::of(xtask().args(["site", "--stop"]).arg(site.path())).exits(0);
        let left = site.processes("");
        let lines = left.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        assert!(left.is_empty(), "still there: {:?}", lines.collect::<Vec<_>>());
    }
    let nowhere = site.outside().join("nowhere");
    let _ = Ran::of(xtask().args(["site", "--stop"]).arg(nowhere)).exits(1).says("is no site");
}

#[test]
fn its_repository_has_a_commit_from_before_the_story() {
    let site = Real::new();
    assert_eq!(site.git(&["status", "--porcelain"]), "", "what unship and the services write is ignored");
    assert_ne!(site.git(&["rev-parse", "HEAD~1"]), site.git(&["rev-parse", "before-1.8"]));
    let changed = site.git(&["diff", "--name-status", "before-1.8", "HEAD", "--", "tests", "docs"]);
    let expected = [
        "D\tdocs/manual-checks.md",
        "M\tdocs/runbook.md",
        "A\tdocs/testing/contracts.md",
        "A\ttests/contract/api.test.js",
        "M\ttests/smoke.test.js",
    ];
    assert_eq!(changed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_cannot_be_laid_out_says_why_and_leaves_nothing_running() {
    let site = Site::new("");
    let lay_out = |dir: &Path| site.lay_out(dir, &["--real"]);
    let _ = Ran::of(&mut lay_out(&site.path())).exits(1).says("is not empty");
    let _ = Ran::of(&mut lay_out(&site.outside().join("d".repeat(100)))).exits(1).says("too long for pm2's sockets");
    // No registry answers, and nothing is in the cache.
    let (cache, nobody) = (site.outside().join("cache-of-parts"), "http://127.0.0.1:9");
    let mut lay_out = lay_out(&site.outside().join("another"));
    lay_out.env("UNSHIP_CACHE", &cache).env("npm_config_registry", nobody).env("npm_config_fetch_retries", "0");
    lay_out.env("PIP_INDEX_URL", nobody).env("PIP_FIND_LINKS", "").env("PIP_RETRIES", "0");
    let failed = Ran::of(&mut lay_out).exits(1).says("cannot be installed. Nothing half done is left");
    let _ = failed.says("run the same command again");
    assert_eq!(fs::read_dir(cache.join("real")).expect("the cache").count(), 0, "nothing half done");
}
