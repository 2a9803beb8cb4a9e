//! From plan to undo, without anything in between.

use super::{STORIES, Story};
use crate::support::fingerprint;
use serde_json::Value;

/// Plans, applies, applies again, takes back.
fn lives_its_life(story: &Story) {
    let site = story.rehearsal();
    let before = fingerprint(&site.path());
    let plan = site.unship(["plan", story.id, "--json"]).exits(0);
    let digest = plan.summary()["plan_digest"].as_str().expect("a digest").to_owned();
    assert_eq!(site.unship(["plan", story.id, "--json"]).exits(0).summary()["plan_digest"], digest.as_str());
    assert_eq!(before, fingerprint(&site.path()), "planning changes nothing");

    let applied = site.unship(["apply", story.id, "--yes", "--json", "--expect", &digest]).exits(0);
    let summary = applied.summary();
    assert_eq!((&summary["outcome"], &summary["verdict"]), (&"Succeeded".into(), &"Recovered".into()));
    let run = site.run();
    let planned: Vec<Value> = plan
        .json()
        .iter()
        .filter(|line| line["type"] == "unit")
        .flat_map(|unit| unit["effects"].as_array().expect("effects").clone())
        .map(|planned| planned["effect"].clone())
        .collect();
    let symbolic = |effect: &Value| effect.to_string().replace(&run, "{run}").parse::<Value>().expect("JSON");
    let done: Vec<Value> = applied
        .json()
        .iter()
        .filter(|line| line["record"]["what"]["event"] == "effect-applied")
        .map(|line| symbolic(&line["record"]["what"]["effect"]))
        .collect();
    assert_eq!(planned, done, "what was planned is what was done");
    site.is_applied();
    let _ = site.unship(["check", story.id]).exits(0);

    let applied = fingerprint(&site.path());
    let again = site.unship(["apply", story.id, "--yes", "--json"]).exits(0).summary();
    assert_eq!((&again["effects"], &again["verdict"]), (&0.into(), &"Recovered".into()));
    assert_eq!(applied, fingerprint(&site.path()), "applied again it changes nothing");

    let _ = site.unship(["undo", &run]).exits(0).prints("Undone");
    site.is_as_before();
}

#[test]
fn each_story_is_planned_applied_verified_and_taken_back() {
    std::thread::scope(|scope| {
        for story in STORIES {
            scope.spawn(|| lives_its_life(story));
        }
    });
}
