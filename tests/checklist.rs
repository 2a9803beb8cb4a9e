//! The checklist of a run: what the policy says, or the plan where it says nothing, and who looked at what.

use crate::support::{
    Ran, Site, last_run,
    stories::{self, Unit},
};
use std::{fs::File, path::Path, process::Command};

const EDIT: Unit = ("step", "verbs", "files.read = [\"script\"]\nfiles.edit = { \"a.yaml\" = [\"/key\"] }");
const ITEMS: &str = "[[checklist]]\nname = \"clients\"\ntitle = \"Every client signs in again\"\n\
    [[checklist]]\nname = \"keys\"\ntitle = \"Old keys are out of the vault\"\n";

fn with(policy: &str) -> Site {
    let site = stories::site("");
    site.write("a.yaml", "key: old\n");
    site.write("script", "edit a.yaml /key old new\n");
    stories::story(&site, "1", "", &[EDIT], policy);
    site
}

#[test]
fn what_the_policy_lists_is_ticked_once_each_by_name() {
    let site = with(ITEMS);
    let _ = site.unship(["plan", "1"]).exits(0).prints("then a person: clients: Every client signs in again");
    let _ = site.unship(["plan", "1", "--markdown"]).exits(0).prints("- [ ] `keys` Old keys are out of the vault");
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let run = last_run(&site);
    let _ = site.unship(["runs"]).exits(0).prints("(1 effects, 2 of 2 items open)");
    let _ = site.unship(["show", &run]).exits(0).prints("Checklist, 2 of 2 open:\n  [ ] clients: Every client");
    let ticked = site.unship(["tick", &run, "clients", "--by", "Ada", "--json"]).exits(0).summary();
    assert_eq!((&ticked["by"], &ticked["items"], &ticked["items_open"]), (&"Ada".into(), &2.into(), &1.into()));
    let _ = site.unship(["runs"]).exits(0).prints("1 of 2 items open");
    let shown = site.unship(["show", &run]).exits(0).prints("[x] clients: Every client signs in again (").stdout;
    let line = shown.lines().find(|line| line.contains("[x]")).expect("the item");
    assert!(line.contains("Z by Ada, noted by ") && line.contains("uid "), "{line}");
    let items: Vec<_> =
        site.unship(["show", &run, "--json"]).exits(0).json().into_iter().filter(|l| l["type"] == "item").collect();
    assert_eq!((&items[0]["by"], items[1]["by"].is_null(), items.len()), (&"Ada".into(), true, 2));
    let again = site.unship(["tick", &run, "clients", "--by", "Bob"]).exits(1);
    let _ = again.says(&format!("clients of run {run} was ticked already: by Ada, at ")).says("nothing was changed");
    // Without --by it is the user who types it.
    let _ = site.unship(["tick", &run, "keys"]).exits(0).prints("uid ").prints("0 of 2 open");
    let runs = site.unship(["runs"]).exits(0).stdout;
    assert!(!runs.contains("open"), "{runs}");
    // What was looked at stays so when the run is taken back.
    let _ = site.unship(["undo", &run]).exits(0);
    let _ = site.unship(["show", &run]).exits(0).prints("Checklist, 0 of 2 open:");
    let _ = site.unship(["journal", "show"]).exits(0).prints("clients was looked at by Ada");
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify_journal.py");
    let _ = Ran::of(Command::new("python3").arg(script).arg(site.at(".unship"))).exits(0).prints("intact");
}

#[test]
fn a_tick_that_is_none_is_refused() {
    let site = with(ITEMS);
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let run = last_run(&site);
    let unknown = site.unship(["tick", &run, "verbs"]).exits(1);
    let _ = unknown.says("has no item \"verbs\"").says("it has: clients, keys");
    let _ = site.unship(["tick", "r20200101t000000z-00000000", "keys"]).exits(1).says("there is no run");
    let _ = site.unship(["tick", &run, "keys", "--by", " "]).exits(1).says("`--by` names nobody");
    let _ = site.unship(["tick", &run]).exits(2).says("<ITEM>");
    // A run that never began has none.
    let _ = site.unship(["apply", "1", "--yes", "--expect", &format!("sha256:{}", "0".repeat(64))]).exits(3);
    let _ = site.unship(["tick", &last_run(&site), "keys"]).exits(1).says("it has none");
    let lock = File::open(site.at(".unship/lock")).expect("the lock");
    lock.try_lock().expect("it is free");
    let _ = site.unship(["tick", &run, "keys"]).exits(3).says("another run is at work on this site");
    drop(lock);
    let _ = site.unship(["tick", &run, "keys", "--by", "\u{1b}[31mred"]).exits(0).prints("\\x1b[31mred");
}

#[test]
fn a_story_without_one_gets_a_checklist_of_its_own() {
    let site = with("");
    let planned = site.unship(["plan", "1", "--json"]).exits(0).json();
    let items: Vec<&str> = planned.iter().filter(|l| l["type"] == "item").filter_map(|l| l["name"].as_str()).collect();
    assert_eq!(items, ["verbs"]);
    let text = site.unship(["plan", "1"]).exits(0).stdout;
    assert!(!text.contains("then a person"), "it would say the steps once more:\n{text}");
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let _ = site.unship(["show", &last_run(&site)]).exits(0).prints("[ ] verbs: It holds: about verbs");
}

#[test]
fn a_run_that_was_cut_off_can_be_ticked_and_goes_on() {
    let site = with(ITEMS);
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("[site]\n", "[site]\nrehearsal = true\n", 1));
    let _ = site.unship(["apply", "1", "--yes", "--inject", "kill@3"]);
    let run = last_run(&site);
    let _ = site.unship(["tick", &run, "clients"]).exits(0);
    let _ = site.unship(["resume"]).exits(6).prints("Succeeded");
    assert_eq!(site.read("a.yaml"), "key: new\n");
    let _ = site.unship(["tick", &run, "keys"]).exits(0);
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
}

#[test]
fn the_digest_covers_the_checklist() {
    let (site, other) = (with(ITEMS), with(&ITEMS.replace("Every client", "Each client")));
    let digest = |site: &Site| site.unship(["plan", "1", "--json"]).exits(0).summary()["plan_digest"].clone();
    assert_ne!(digest(&site), digest(&other));
}
