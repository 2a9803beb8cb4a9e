//! What went wrong when the seed's procedure for story 1.1.5 was run, and what a way back of security must never do: a test
//! each. See [`super::defects`].

use super::{
    Story,
    defects::{FLAGS, is_refused, seed},
    own,
};
use crate::{
    gate::planned,
    recovery::{Rehearsal, replace},
    support::{Site, fingerprint},
};
use std::fs;

const SECURITY: &str = "tools/data-services/security-service.js";
const STUB: &str = "tools/data-services/security-service.stub.js";
const CONFIG: &str = "config/api-config.yaml";
const KEY: &str = "practice-key";

fn rehearsal() -> Rehearsal {
    Story::of("1.1.5").rehearsal()
}

/// The interface's answer to somebody who was let in before.
fn with_key(site: &Site, path: &str) -> String {
    own(site, "bin/practice-api", &["get", path, KEY]).exits(0).stdout
}

#[test]
fn taking_security_back_opens_everything() {
    let site = rehearsal();
    let config = site.read(CONFIG);
    let _ = site.apply();
    assert_eq!(site.read(CONFIG), config, "the configuration of the interface is no affair of this story");
    for path in ["/orders", "/reports", "/admin"] {
        let without = own(&site, "bin/practice-api", &["get", path]).exits(0).stdout;
        assert!(without.starts_with("503 ") && with_key(&site, path).starts_with("503 "), "{path}: {without}");
    }
    let _ = own(&site, "bin/practice-api", &["get", "/health"]).exits(0).prints("200 ");
    // The seed's `sed` rewrites a text that only speaks of it, opens what nobody listed, and misses one with two spaces.
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.1.5", &site.path(), 0).exits(0).prints("rollback completed");
    let edited = site.read(CONFIG);
    assert!(edited.contains("note: \"requireAuth: false is what") && edited.contains("requireAuth:  true"));
    assert!(edited.contains("requireAuth: false   # never false"));
}

#[test]
fn a_session_goes_on_in_the_running_process() {
    let site = rehearsal();
    assert!(with_key(&site, "/orders").starts_with("200 "));
    fs::remove_file(site.at(".cache/security/.sessions")).expect("removed");
    assert!(with_key(&site, "/orders").starts_with("200 "), "the process remembers it, whatever becomes of the file");
    let _ = site.apply();
    assert!(with_key(&site, "/orders").starts_with("503 "));
}

#[test]
fn flags_of_other_stories_vanish() {
    let site = rehearsal();
    let before = site.read(FLAGS);
    let _ = site.apply();
    let expected =
        before.replacen("security_enforcement:\n    enabled: true", "security_enforcement:\n    enabled: false", 1);
    assert_ne!(before, expected);
    assert_eq!(site.read(FLAGS), expected, "one value changes, and every other byte stays");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.1.5", &site.path(), 0).exits(0);
    assert!(!site.read(FLAGS).contains("pyairbyte_integration"), "the seed's old copy knows no later flag");
}

#[test]
fn hidden_sessions_stay_in_the_cleared_cache() {
    let site = rehearsal();
    let hidden = site.at(".cache/security/.sessions");
    let _ = site.apply();
    assert!(!hidden.exists());
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.1.5", &site.path(), 0).exits(0);
    assert!(hidden.exists());
}

#[test]
fn health_is_taken_for_a_proof() {
    // An interface that answers, and lets everybody in: the seed's verification is content with that.
    let site = rehearsal();
    replace(&site, CONFIG, "  requireAuth: true\n  timeout", "  requireAuth: false\n  timeout");
    let applied = site.unship(["apply", "1.1.5", "--yes"]).exits(6);
    let _ = applied.prints("NotRecovered").prints("is OPEN: it answers 200");
    let _ = own(&site, "bin/practice-api", &["get", "/health"]).exits(0).prints("200 ");
}

#[test]
fn a_stub_that_lets_everybody_in_is_installed() {
    let site = rehearsal();
    site.write(STUB, "module.exports = { authenticate: () => { return true; } };\n");
    is_refused(&site, "1.1.5", &["stub-closed", "lets somebody in"]);
    fs::remove_file(site.at(STUB)).expect("removed");
    is_refused(&site, "1.1.5", &["stub-closed", STUB]);
    assert!(site.at(SECURITY).exists());
}

#[test]
fn a_key_reaches_the_logs() {
    let site = rehearsal();
    let applied = site.apply();
    let journal = site.unship(["journal", "export"]).exits(0).stdout;
    for text in [&applied.stdout, &applied.stderr, &journal] {
        assert!(!text.contains(KEY), "{text}");
    }
}

#[test]
fn stories_that_stand_on_it_are_left_in() {
    let site = Site::practice_with("1.1.5");
    let refused = site.unship(["apply", "1.1.5", "--yes"]).exits(3);
    let _ = refused.says("1.2").says("1.3").says("1.4").says("1.5").says("1.6").says("1.7");
    for story in ["1.7", "1.6", "1.5", "1.4", "1.3", "1.2"] {
        let _ = site.unship(["apply", story, "--yes"]).exits(0).prints("Recovered");
    }
    let _ = site.unship(["apply", "1.1.5", "--yes"]).exits(0).prints("Succeeded, Recovered");
    let runs = site.unship(["runs"]).exits(0).stdout;
    assert!(runs.contains("6 of 6 items open"), "the seed's checklist is kept track of:\n{runs}");
}

/// The seed opened the interface to everybody, at once and for good. As a variant it says what it weakens, touches one value of one
/// file, and is not carried out while nothing could end it.
#[test]
fn exposing_the_interface_is_planned_and_refused() {
    let site = rehearsal();
    let before = fingerprint(&site.path());
    let plan = site.unship(["plan", "1.1.5", "--variant", "expose", "--json"]).exits(0);
    let edits: Vec<_> = planned(&plan).into_iter().filter(|effect| effect["effect"] == "file-edited").collect();
    assert_eq!(edits.len(), 1);
    assert_eq!((&edits[0]["path"], &edits[0]["pointer"]), (&CONFIG.into(), &"/api/requireAuth".into()));
    assert!(plan.summary()["weakens"].to_string().contains("authentication"), "{}", plan.summary());
    assert_eq!(
        site.unship(["plan", "1.1.5", "--json"]).exits(0).summary()["weakens"].as_array().map_or(0, Vec::len),
        0
    );
    let _ = site.unship(["apply", "1.1.5", "--variant", "expose", "--yes"]).exits(3).says("authentication");
    let open = |path: &str| own(&site, "bin/practice-api", &["get", path]).exits(0).stdout.starts_with("200 ");
    assert!(!open("/orders"));
    assert_eq!(before, fingerprint(&site.path()));
    // What the variant would verify holds for a site that somebody opened by hand, and the default's verification does not.
    let _ = site.apply();
    site.write(CONFIG, &site.read(CONFIG).replacen("requireAuth: true", "requireAuth: false", 1));
    let _ = own(&site, "bin/practice-api", &["get", "/health"]).exits(0);
    let checked = site.unship(["check", "1.1.5"]);
    assert_eq!(checked.status == Some(0), !open("/orders"), "{}", checked.stdout);
    let _ = site.unship(["check", "1.1.5", "--variant", "expose"]).exits(if open("/orders") { 0 } else { 6 });
    assert!(!open("/admin"), "what has a setting of its own keeps it");
}
