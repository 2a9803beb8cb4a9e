//! `needs-first` and `manual-only`: which stories must be taken back before another one, and who may start one.

use crate::support::{
    Site, last_run,
    stories::{self, THERE, Unit},
};
use std::fs;

const EDIT: Unit = ("step", "verbs", "files.read = [\"script\"]\nfiles.edit = { \"a.yaml\" = [\"/key\"] }");
const MORE: Unit = ("step", "more-verbs", "files.read = [\"more-script\"]\nfiles.edit = { \"b.yaml\" = [\"/key\"] }");

/// Story 1 edits `b.yaml` and needs 2 first; story 2 edits `a.yaml`, and the file `there` says that it is taken back.
fn two() -> Site {
    let site = stories::site("");
    site.write("a.yaml", "key: old\n");
    site.write("b.yaml", "key: old\n");
    site.write("script", "edit a.yaml /key old new\n");
    site.write("more-script", "edit b.yaml /key old new\n");
    stories::story(&site, "1", "", &[MORE], "needs-first = [\"2\"]");
    stories::story(&site, "2", "already = \"there\"", &[THERE, EDIT], "");
    site
}

#[track_caller]
fn is_refused(site: &Site, why: &str) {
    let _ = site.unship(["plan", "1"]).exits(0).prints("needs first: story 2, NOT taken back").prints(why);
    let refused = site.unship(["apply", "1", "--yes"]).exits(3).says("other stories must be taken back first: 2");
    let _ = refused.says(why).says("`unship apply 2` first");
    assert_eq!(site.read("b.yaml"), "key: old\n");
    let _ = site.unship(["show", &last_run(site)]).exits(0).prints("Refused: needs first: 2");
}

#[test]
fn a_story_waits_for_those_that_it_needs_first() {
    let site = two();
    is_refused(&site, "no run of it stands, and its check says: ");
    // No verification: nobody knows whether it recovered, but it is taken back.
    let _ = site.unship(["apply", "2", "--yes"]).exits(6).prints("Succeeded");
    let run = last_run(&site);
    let _ = site.unship(["plan", "1"]).exits(0).prints(&format!("needs first: story 2, taken back by run {run}"));
    let json = site.unship(["plan", "1", "--json"]).exits(0).json();
    let need = json.iter().find(|line| line["type"] == "need").expect("a need");
    assert_eq!((&need["story"], &need["taken_back"], &need["run"]), (&"2".into(), &true.into(), &run.clone().into()));
    let _ = site.unship(["plan", "1", "--markdown"]).exits(0).prints("Needs story 2 first: taken back by run");
    let _ = site.unship(["undo", &run]).exits(0);
    is_refused(&site, "no run of it stands");
    // By hand: its own check says so.
    site.write("there", "");
    let _ = site.unship(["plan", "1"]).exits(0).prints("needs first: story 2, taken back by hand");
    // A run that finds it taken back already is no proof once that is not so any more.
    let _ = site.unship(["apply", "2", "--yes"]).exits(6).prints("taken back already");
    fs::remove_file(site.at("there")).expect("removed");
    is_refused(&site, "no run of it stands");
    let _ = site.unship(["apply", "2", "--yes"]).exits(6);
    let _ = site.unship(["apply", "1", "--yes"]).exits(6).prints("Succeeded");
    assert_eq!(site.read("b.yaml"), "key: new\n");
}

#[test]
fn a_refused_run_in_between_changes_nothing_of_what_is_taken_back() {
    let site = two();
    let _ = site.unship(["apply", "2", "--yes"]).exits(6);
    let _ = site.unship(["apply", "2", "--yes", "--expect", &format!("sha256:{}", "0".repeat(64))]).exits(3);
    let _ = site.unship(["apply", "1", "--yes"]).exits(6).prints("Succeeded");
}

#[test]
fn a_needed_story_whose_bundle_may_not_run_is_not_taken_back() {
    let site = two();
    site.write("there", "");
    fs::write(site.at("bundles/story-2.wasm"), b"no bundle").expect("written");
    is_refused(&site, "its check cannot be asked: ");
}

#[test]
fn what_is_needed_must_be_a_story_of_the_site_and_not_the_story_itself() {
    let site = two();
    let needs = |id: &str, needs: &str| {
        let policy = site.read(&format!("policies/{id}.toml"));
        let kept = policy.lines().filter(|line| !line.starts_with("needs-first"));
        let lines: Vec<String> =
            kept.map(|line| if line == "[story]" { format!("[story]\n{needs}") } else { line.to_owned() }).collect();
        site.write(&format!("policies/{id}.toml"), &(lines.join("\n") + "\n"));
    };
    needs("1", "needs-first = [\"9.9\"]");
    for verb in [&["plan", "1"][..], &["apply", "1", "--yes"]] {
        let ran = site.unship(verb).exits(1).says("story 1 needs story 9.9 first, which has no policy at this site");
        let _ = ran.says("1.toml:2:16");
    }
    needs("1", "needs-first = [\"2\"]");
    needs("2", "needs-first = [\"1\"]");
    let _ = site
        .unship(["plan", "1"])
        .exits(1)
        .says("story 1 would need itself first: 1 needs 2 needs 1")
        .says("2.toml:2:16");
    let _ = site.unship(["apply", "2", "--yes"]).exits(1).says("2 needs 1 needs 2");
    let listed = site.unship(["stories"]).exits(0).prints("NOT READY");
    assert!(listed.stdout.contains("; after 2"), "{}", listed.stdout);
    let _ = site.unship(["runs"]).exits(0).prints("no runs yet");
}

#[test]
fn a_story_for_a_persons_command_only_says_so() {
    let site = two();
    stories::story(&site, "3", "", &[EDIT], "manual-only = true");
    let _ = site.unship(["stories"]).exits(0).prints("; by a person only");
    let _ = site.unship(["plan", "3"]).exits(0).prints("By a person's command only");
    let _ = site.unship(["plan", "3", "--markdown"]).exits(0).prints("By a person's command only");
    assert_eq!(site.unship(["plan", "3", "--json"]).exits(0).summary()["manual_only"], true);
    assert_eq!(site.unship(["plan", "2", "--json"]).exits(0).summary()["manual_only"], false);
    // The command line is a person's.
    let _ = site.unship(["apply", "3", "--yes"]).exits(6).prints("Succeeded");
}
