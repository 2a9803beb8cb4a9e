//! `undo RUN` later: everything as before; what somebody changed since is refused, unless it is named, and then kept.

use super::{Rehearsal, rehearsal, replace};
use std::fs;

const ENGINE: &str = "tools/data-services/analytical-engine.js";
const FLAGS: &str = "config/feature-flags.yaml";

fn records(site: &Rehearsal) -> usize {
    site.unship(["journal", "export"]).exits(0).stdout.lines().count()
}

#[test]
fn a_good_run_is_taken_back_once() {
    let site = rehearsal();
    let _ = site.apply();
    site.is_applied();
    let run = site.run();
    let _ = site.unship(["undo", &run]).exits(0).prints("Undone");
    site.is_as_before();
    let records_before = records(&site);
    let _ = site.unship(["undo", &run]).exits(0).prints("nothing left to take back");
    assert_eq!(records_before, records(&site));
    site.is_as_before();
    let _ = site.unship(["undo", "r20260101t000000z-0000"]).exits(1).says("there is no run");
    let _ = site.unship(["undo", "../../x"]).exits(1).says("there is no run");
    assert_eq!(records_before, records(&site));
    site.is_as_before();
}

#[test]
fn what_somebody_changed_since_is_named_and_nothing_is_done() {
    let site = rehearsal();
    let _ = site.apply();
    let run = site.run();
    site.write(ENGINE, "// engine: simple\n// mine\n");
    site.write(".duckdb/analytics.db", "a new one");
    site.write(".cache/queries/new.json", "{}");
    let changed = site.now();
    let named = [
        ("replace-engine/0", ENGINE),
        ("backup-data/0", "something lies at .duckdb again"),
        ("clear-cache/0", "there are entries in .cache/queries again"),
    ];
    let mut ran = site.unship(["undo", &run]).exits(3).says("somebody changed things since");
    for (name, what) in named {
        ran = ran.says(&format!("{name}: ")).says(what).says(&format!("--force {name}"));
    }
    assert!(!ran.stderr.contains("disable-duckdb/0"), "{}", ran.stderr);
    changed.demand(&site.now());
    // All of them, or none.
    for (name, _) in named {
        let ran = site.unship(["undo", &run, "--force", name]).exits(3);
        assert!(!ran.stderr.contains(&format!("{name}: ")), "{}", ran.stderr);
        changed.demand(&site.now());
    }
    let _ = site.unship(["undo", &run, "--force", "clear-cache/7"]).exits(1).says("no effect \"clear-cache/7\"");
    changed.demand(&site.now());
    assert_eq!(site.runs()["outcome"], "Succeeded");
    let force = named.iter().flat_map(|(name, _)| ["--force", name]);
    let _ = site.unship(["undo", &run].into_iter().chain(force)).exits(0).says("what lay there since is kept as");
    let kept = |path: &str| site.read(&format!(".unship/trash/{run}/{path}"));
    assert_eq!(kept("3.displaced"), "// engine: simple\n// mine\n");
    assert_eq!(kept("2.displaced/analytics.db"), "a new one");
    assert_eq!(kept("4.displaced/new.json"), "{}");
    // Somebody changed an entry of the top folder, so its time is theirs.
    site.before.clone().without("").demand(&site.now().without(""));
    site.is_at_rest(false);
}

#[test]
fn each_change_alone_is_refused_and_can_be_forced() {
    for (name, number, path) in [
        ("replace-engine/0", 3, ENGINE),
        ("backup-data/0", 2, ".duckdb"),
        ("clear-cache/0", 4, ".cache/queries/.hidden-entry"),
    ] {
        let site = rehearsal();
        let _ = site.apply();
        let run = site.run();
        site.write(path, "mine");
        let ran = site.unship(["undo", &run]).exits(3).says(&format!("{name}: "));
        assert_eq!(ran.stderr.matches("/0: ").count(), 1, "{}", ran.stderr);
        let _ = site.unship(["undo", &run, "--force", name]).exits(0);
        let kept = site.at(&format!(".unship/trash/{run}/{number}.displaced"));
        let kept = if kept.is_dir() { kept.join(".hidden-entry") } else { kept };
        assert_eq!(fs::read_to_string(kept).expect("kept"), "mine");
        site.before.clone().without("").demand(&site.now().without(""));
        site.is_at_rest(false);
    }
}

#[test]
fn a_flag_is_set_back_alone_where_others_were_edited_since() {
    let site = rehearsal();
    let text = site.read(FLAGS);
    let _ = site.apply();
    let edit = ["  dbt_transformations: {enabled: true,", "  dbt_transformations: {enabled: false,"];
    replace(&site, FLAGS, edit[0], edit[1]);
    let _ = site.unship(["undo", &site.run()]).exits(0).says("only this value was set back");
    assert_eq!(site.read(FLAGS), text.replacen(edit[0], edit[1], 1));
    site.before.clone().without(FLAGS).without("config").demand(&site.now().without(FLAGS).without("config"));
    site.is_at_rest(false);
}

#[test]
fn a_flag_that_somebody_switched_on_again_stays_on() {
    let site = rehearsal();
    let text = site.read(FLAGS);
    let _ = site.apply();
    let off = site.read(FLAGS);
    let at = off.find("duckdb_analytics:\n    enabled: false").expect("it is off");
    let by_hand = format!("# by hand\n{}{}", &off[..at], off[at..].replacen("enabled: false", "enabled: true", 1));
    site.write(FLAGS, &by_hand);
    // It is as it would be set, so there is nothing to refuse and nothing to lose.
    let _ =
        site.unship(["undo", &site.run()]).exits(0).says("disable-duckdb/0 taken back: it has its old value already");
    assert_eq!(site.read(FLAGS), format!("# by hand\n{text}"));
    site.before.clone().without(FLAGS).without("config").demand(&site.now().without(FLAGS).without("config"));
    site.is_at_rest(false);
}

#[test]
fn a_flags_file_that_cannot_be_read_any_more_is_refused_and_named() {
    let site = rehearsal();
    let _ = site.apply();
    let off = site.read(FLAGS);
    for broken in
        [off.replacen("duckdb_analytics:", "renamed:", 1), String::new(), off.replacen("flags:", "flags: [", 1)]
    {
        site.write(FLAGS, &broken);
        let changed = site.now();
        let _ = site.unship(["undo", &site.run()]).exits(3).says("disable-duckdb/0: ");
        changed.demand(&site.now());
    }
    site.write(FLAGS, &off);
    let _ = site.unship(["undo", &site.run()]).exits(0);
    site.is_as_before();
}
