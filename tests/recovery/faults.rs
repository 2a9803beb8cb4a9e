//! Faults that a rehearsal injects: a step that fails, one that runs twice, an effect that cannot be taken back.

use super::{Original, STEPS, rehearsal, replace};
use crate::support::Site;

/// The story's effects in the order in which they are taken back: newest first, the restart once all else is back.
const BACK: &[&str] = &[
    "clear-cache/0",
    "replace-engine/0",
    "backup-data/0",
    "stop-queries/0",
    "disable-duckdb/0",
    "restart-analytics/0",
];

#[test]
fn whichever_step_fails_the_site_is_as_before() {
    let original = Original::of_1_3();
    for step in STEPS {
        let site = original.copy();
        let ran = site.unship(["apply", "1.3", "--yes", "--inject", &format!("fail@{step}")]).exits(4);
        let _ = ran.says(&format!("{step} FAILED: injected")).prints("Undone");
        site.is_as_before();
        // And it can be applied then.
        if *step == "clear-cache" {
            let _ = site.unship(["apply", "1.3", "--yes"]).exits(0).prints("Succeeded, Recovered");
        }
    }
}

#[test]
fn whichever_step_runs_twice_the_end_is_the_same() {
    let original = Original::of_1_3();
    for step in STEPS {
        let site = original.copy();
        let ran = site.unship(["apply", "1.3", "--yes", "--inject", &format!("repeat@{step}")]).exits(0);
        let _ = ran.says(" goes on; ").prints("Succeeded, Recovered");
        site.is_applied();
        let _ = site.unship(["undo", &site.run()]).exits(0);
        site.is_as_before();
    }
}

/// The lines of the list of effects: name → how it stands.
fn list(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("  ")?.split_once(": ")?;
        let standing =
            ["(taken back)", "NOT TAKEN BACK: injected", "(applied)"].into_iter().find(|s| rest.contains(s))?;
        Some((name.to_owned(), standing.to_owned()))
    });
    lines.collect()
}

#[test]
fn what_could_not_be_taken_back_is_listed_and_taken_back_later() {
    let original = Original::of_1_3();
    for (at, effect) in BACK.iter().enumerate() {
        let site = original.copy();
        let fault = format!("undo-fail@{effect}");
        let ran =
            site.unship(["apply", "1.3", "--yes", "--inject", "fail@restart-analytics", "--inject", &fault]).exits(5);
        let mut found = list(&ran.stdout);
        found.sort();
        let mut wanted: Vec<_> = BACK
            .iter()
            .enumerate()
            .map(|(n, name)| {
                let standing = match n.cmp(&at) {
                    std::cmp::Ordering::Less => "(taken back)",
                    std::cmp::Ordering::Equal => "NOT TAKEN BACK: injected",
                    std::cmp::Ordering::Greater => "(applied)",
                };
                ((*name).to_owned(), standing.to_owned())
            })
            .collect();
        wanted.sort();
        assert_eq!(found, wanted, "{effect}:\n{}", ran.stdout);
        let run = site.run();
        let _ = ran.prints(&format!("Stuck: {effect} could not be taken back")).prints(&format!("`unship undo {run}`"));
        let _ = site.unship(["resume"]).exits(0).prints("no run is in flight");
        let _ = site.unship(["undo", &run]).exits(0).prints("Undone");
        site.is_as_before();
    }
}

#[test]
fn an_undo_that_fails_can_be_asked_for_again() {
    let original = Original::of_1_3();
    for effect in BACK {
        let site = original.copy();
        let _ = site.apply();
        let run = site.run();
        let _ =
            site.unship(["undo", &run, "--inject", &format!("undo-fail@{effect}")]).exits(5).prints("NOT TAKEN BACK");
        let _ = site.unship(["undo", &run]).exits(0).prints("Undone");
        site.is_as_before();
    }
}

#[test]
fn faults_are_for_rehearsals_only() {
    let mut site = rehearsal();
    let _ = site.apply();
    replace(&site, "policies/site.toml", "rehearsal = true\n", "");
    site.begins_here();
    let run = site.run();
    for verb in [
        &["apply", "1.3", "--yes", "--inject", "fail@clear-cache"][..],
        &["undo", &run, "--inject", "kill@1"],
        &["resume", "--inject", "kill@1"],
        &["resume", "--undo", "--inject", "undo-fail@clear-cache/0"],
    ] {
        let _ = site.unship(verb).exits(3).says("faults are injected on a rehearsal site only");
    }
    site.before.demand(&site.now());
    assert_eq!(site.runs()["outcome"], "Succeeded");
}

#[test]
fn a_fault_that_would_hit_nothing_is_an_error() {
    let site = rehearsal();
    let inject = |fault: &str| site.unship(["apply", "1.3", "--yes", "--inject", fault]);
    let _ = inject("fail@nothing").exits(1).says("no step \"nothing\"").says("it has: stub-present, disable-duckdb");
    let _ = inject("repeat@nothing").exits(1).says("no step \"nothing\"");
    let _ = inject("undo-fail@backup-data/7").exits(1).says("no effect \"backup-data/7\"").says("backup-data/0");
    let _ = inject("burn@clear-cache").exits(2).says("is no fault: give fail@STEP");
    let _ = inject("kill@0").exits(2).says("is no fault");
    site.is_as_before();
}

#[test]
fn where_policy_says_stop_nothing_is_taken_back_by_itself() {
    let mut site = rehearsal();
    replace(&site, "policies/1.3.toml", "signed-by", "on-fail = \"stop\"\nsigned-by");
    site.begins_here();
    let ran = site.unship(["apply", "1.3", "--yes", "--inject", "fail@clear-cache"]).exits(5);
    assert!(!ran.stderr.contains("taken back"), "{}", ran.stderr);
    let standing = list(&ran.stdout);
    assert_eq!(standing.len(), 5, "{standing:?}");
    assert!(standing.iter().all(|(_, standing)| standing == "(applied)"), "{standing:?}");
    let stands = |site: &Site| {
        !site.at(".duckdb").exists() && site.at(".cache/queries").read_dir().is_ok_and(|d| d.count() == 0)
    };
    assert!(stands(&site), "nothing is taken back");
    let _ = site.unship(["resume"]).exits(0).prints("no run is in flight");
    assert!(stands(&site), "nothing is taken back");
    let _ = site.unship(["undo", &site.run()]).exits(0).prints("Undone");
    site.is_as_before();
}
