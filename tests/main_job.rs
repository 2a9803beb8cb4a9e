//! The main job: story 1.3 is planned, taken back and verified on the practice site.

use crate::support::{Site, fingerprint};
use std::fs;

#[test]
fn planning_leaves_the_site_as_it_is_and_gives_the_same_digest_twice() {
    let site = Site::practice();
    let before = fingerprint(&site.path());
    let first = site.unship(["plan", "1.3", "--json"]).exits(0).summary();
    let second = site.unship(["plan", "1.3", "--json"]).exits(0).summary();
    assert_eq!(first["plan_digest"], second["plan_digest"]);
    assert_eq!(first["effects"], 6);
    assert_eq!(before, fingerprint(&site.path()));
}

#[test]
fn applying_does_what_was_planned_and_applying_again_does_nothing() {
    let site = Site::practice();
    let planned: Vec<_> = site
        .unship(["plan", "1.3", "--json"])
        .exits(0)
        .json()
        .into_iter()
        .filter(|line| line["type"] == "unit")
        .flat_map(|unit| unit["effects"].as_array().expect("effects").clone())
        .map(|planned| planned["effect"].clone())
        .collect();
    let digest = site.unship(["plan", "1.3", "--json"]).exits(0).summary()["plan_digest"].clone();
    let flags = site.read("config/feature-flags.yaml");
    let applied = site.unship(["apply", "1.3", "--yes", "--json", "--expect", digest.as_str().expect("text")]).exits(0);
    let summary = applied.summary();
    assert_eq!((summary["outcome"].as_str(), summary["verdict"].as_str()), (Some("Succeeded"), Some("Recovered")));
    let run = summary["run"].as_str().expect("run").to_owned();
    let done: Vec<_> = applied
        .json()
        .into_iter()
        .filter(|line| line["record"]["what"]["event"] == "effect-applied")
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(
                &line["record"]["what"]["effect"].to_string().replace(&run, "{run}"),
            )
        })
        .collect::<Result<_, _>>()
        .expect("JSON");
    assert_eq!(done, planned);
    // The flag changed, and of its file nothing else.
    let expected = flags.replacen("duckdb_analytics:\n    enabled: true", "duckdb_analytics:\n    enabled: false", 1);
    assert_ne!(flags, expected);
    assert_eq!(site.read("config/feature-flags.yaml"), expected);
    let engine = site.read("tools/data-services/analytical-engine.js");
    assert_eq!(engine, site.read("tools/data-services/stubs/simple-query-engine.js"));
    assert!(!site.at(".duckdb").exists());
    assert!(site.at(&format!(".duckdb.unship-{run}/analytics.db.wal")).exists());
    assert_eq!(fs::read_dir(site.at(".cache/queries")).expect("cache").count(), 0);
    let _ = site.unship(["check", "1.3"]).exits(0);

    let again = site.unship(["apply", "1.3", "--yes", "--json"]).exits(0);
    assert_eq!(again.summary()["effects"], 0);
    assert_eq!(again.summary()["verdict"], "Recovered");
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["run"], run.as_str());
    let _ = site.unship(["show", &run]).exits(0).prints("set aside .duckdb as");
}

#[test]
fn a_site_that_changed_since_the_plan_is_refused_with_the_difference() {
    let site = Site::practice();
    let digest = site.unship(["plan", "1.3", "--json"]).exits(0).summary()["plan_digest"].clone();
    site.write(".cache/queries/one-more.json", "{}");
    let before = fingerprint(&site.path());
    let refused = site.unship(["apply", "1.3", "--yes", "--expect", digest.as_str().expect("text")]).exits(3);
    let _ = refused
        .says("- clear-cache: clear .cache/queries (6 entries)")
        .says("+ clear-cache: clear .cache/queries (7 entries)");
    assert_eq!(before, fingerprint(&site.path()));
    let _ = site.unship(["apply", "1.3", "--yes", "--expect", "sha256:12"]).exits(1).says("is not a plan's digest");
}
