//! One command at a time: whoever comes second is refused, and nothing of the two is mixed.

use super::{Held, command_waits, rehearsal, way_back_waits};
use std::fs;

/// Everything that would change the site is refused while another does, and nothing has changed by it.
#[track_caller]
fn others_are_refused(site: &super::Rehearsal, run: &str) {
    let during = site.now();
    for verb in [
        &["apply", "1.3", "--yes"][..],
        &["resume"],
        &["resume", "--undo"],
        &["undo", run],
        &["undo", run, "--force", "clear-cache/0"],
    ] {
        let _ = site.unship(verb).exits(3).says("another run is at work on this site");
    }
    during.demand(&site.now());
}

#[test]
fn while_one_applies_every_other_is_refused() {
    let mut site = rehearsal();
    command_waits(&site);
    site.begins_here();
    let held = Held::start(&site, &["apply", "1.3", "--yes"]);
    others_are_refused(&site, &site.run());
    let _ = held.ends(0);
    site.is_at_rest(true);
    // One run, and all of it: taken back, nothing is left.
    let _ = site.unship(["undo", &site.run()]).exits(0);
    site.is_as_before();
}

#[test]
fn while_one_takes_back_every_other_is_refused() {
    let mut site = rehearsal();
    way_back_waits(&site);
    site.begins_here();
    // Nothing waits on the way forward.
    let _ = site.apply();
    let run = site.run();
    let held = Held::start(&site, &["undo", &run]);
    others_are_refused(&site, &run);
    let _ = held.ends(0);
    site.is_as_before();
}

#[test]
fn while_one_goes_on_every_other_is_refused() {
    for (args, applied) in [(&["resume"][..], true), (&["resume", "--undo"], false)] {
        let mut site = rehearsal();
        if applied {
            command_waits(&site)
        } else {
            way_back_waits(&site)
        }
        site.begins_here();
        // After the command, or before it.
        let point = if applied { "kill@7" } else { "kill@30" };
        let killed = site.unship(["apply", "1.3", "--yes", "--inject", point]);
        assert_eq!(killed.status, None, "{}", killed.stderr);
        let held = Held::start(&site, args);
        others_are_refused(&site, &site.run());
        let _ = held.ends(0);
        site.is_at_rest(applied);
        if !applied {
            site.is_as_before();
        }
    }
}

#[test]
fn of_many_that_begin_together_one_wins() {
    let site = rehearsal();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| site.unship(["apply", "1.3", "--yes"]))).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    for ran in &statuses {
        match ran.status {
            // The first, or one that came when it was done: then there is nothing left to do.
            Some(0) => {}
            Some(3) => assert!(ran.stderr.contains("another run is at work on this site"), "{}", ran.stderr),
            other => panic!("{other:?}: {}", ran.stderr),
        }
    }
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    let changed = runs.iter().filter(|run| run["effects"] != 0).count();
    assert_eq!(changed, 1, "{runs:?}");
    let first = runs[0]["run"].as_str().expect("an id");
    let aside = fs::read_dir(site.path()).expect("entries").flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().starts_with(".duckdb"));
    assert_eq!(aside.count(), 1);
    let _ = site.unship(["undo", first]).exits(0);
    site.is_as_before();
}
