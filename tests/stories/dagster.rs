//! Story 1.5: Dagster is out, its runs were ended by its own interface, and what it knew is kept. One test a defect of the seed's
//! procedure, and what the story does where Dagster is half dead.

use super::{
    Story,
    defects::{Bystander, FLAGS, is_refused, seed},
    lives, own,
};
use crate::{
    recovery::{Rehearsal, replace},
    support::{Ran, Site, promised},
};
use std::{fs, process::Command};

const HISTORY: &str = ".dagster/storage";
const ORCHESTRATOR: &str = "tools/data-services/workflow-orchestrator.js";
const STUB: &str = "tools/data-services/stubs/simple-scheduler.js";
/// The one that is in flight while Dagster is in.
const RUN: &str = "3d0c5a2e-nightly";
const RUN_PROGRAM: &str = ".venv/bin/dagster";

/// Dagster answers and has a run in flight, or (`true`) it is gone and the simple scheduler has jobs.
pub fn is_well(site: &Site, applied: bool) {
    let get = |service: &str, path: &str| own(site, &format!("bin/practice-{service}"), &["get", path]);
    let (dagster, scheduler) = (get("dagster-webserver", "/server_info"), get("scheduler", "/schedule"));
    if applied {
        let _ = (dagster.exits(1), scheduler.exits(0).prints("200 ingest at 02:00 UTC"));
    } else {
        let _ = (dagster.exits(0).prints("200 "), scheduler.exits(1));
        let _ = own(site, "bin/practice-dagster-daemon", &["healthy"]).exits(0);
    }
    lives(site, RUN_PROGRAM, !applied);
    let kept = homes(site);
    assert!(kept.len() == 1 && applied == kept[0].starts_with("home.unship-"), "{kept:?}");
}

/// The names of what is Dagster's home, or was.
fn homes(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.beside()).expect("the folder beside the site");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with("home")).collect()
}

fn rehearsal() -> Rehearsal {
    Story::of("1.5").rehearsal()
}

/// As a crash ends it.
fn kill(site: &Site, program: &str) {
    let pids = site.alive().into_iter().filter(|(_, exe)| exe.ends_with(program)).map(|(pid, _)| pid);
    for pid in pids {
        let _ = Ran::of(Command::new("kill").args(["-KILL", &pid])).exits(0);
    }
}

#[test]
fn dagster_has_no_such_command_and_nobody_noticed() {
    let site = rehearsal();
    // `dagster instance stop` never was there, and `|| true` hides it.
    let _ = seed(&site, "1.5", &site.path(), 2).exits(0).prints("rollback completed");
    lives(&site, RUN_PROGRAM, true);
    let site = rehearsal();
    let _ = site.apply();
    lives(&site, RUN_PROGRAM, false);
    lives(&site, "bin/practice-dagster-daemon", false);
    lives(&site, "bin/practice-dagster-webserver", false);
}

#[test]
fn the_home_of_whoever_runs_it_is_moved() {
    let site = rehearsal();
    let theirs = site.outside().join("somebody/.dagster");
    fs::create_dir_all(&theirs).expect("a folder");
    let before = promised(&site.beside());
    let _ = seed(&site, "1.5", &site.path(), 0).exits(0);
    assert!(!theirs.exists(), "the seed's script moves what is somebody's own");
    assert_eq!(before, promised(&site.beside()), "and leaves Dagster's");

    let site = rehearsal();
    let theirs = site.outside().join("somebody/.dagster");
    fs::create_dir_all(&theirs).expect("a folder");
    let _ = Ran::of(site.command(["apply", "1.5", "--yes"]).env("HOME", site.outside().join("somebody"))).exits(0);
    assert!(theirs.exists());
    assert_eq!(homes(&site), [format!("home.unship-{}", site.run())]);
    let _ = site.unship(["undo", &site.run()]).exits(0);
    assert_eq!(before, promised(&site.beside()));
}

#[test]
fn a_home_that_is_elsewhere_is_not_taken_for_moved() {
    let site = rehearsal();
    fs::rename(site.beside().join("home"), site.beside().join("instance")).expect("moved");
    is_refused(&site, "1.5", &["home-named", "dagster:home is not there", "[folders] dagster"]);
}

#[test]
fn the_history_of_runs_is_deleted() {
    let site = rehearsal();
    let _ = seed(&site, "1.5", &site.path(), 0).exits(0);
    assert!(!site.at(HISTORY).join("history/runs.db").exists(), "the seed's script keeps nothing");
    let site = rehearsal();
    let before = promised(&site.at(HISTORY));
    let _ = site.apply();
    assert_eq!(before, promised(&site.at(&format!("{HISTORY}.unship-{}", site.run()))));
}

#[test]
fn runs_in_flight_are_cut_off_and_nobody_knows_which() {
    let site = rehearsal();
    let _ = site.apply();
    let _ = site.unship(["journal", "show"]).exits(0).prints(&format!("end-runs, runs: {RUN}"));
    // Dagster fails where it is to end none; then it is not asked to.
    let site = rehearsal();
    site.write(FLAGS, &site.read(FLAGS).replacen("enabled: true   # since April", "enabled: false  # since May", 1));
    kill(&site, RUN_PROGRAM);
    lives(&site, RUN_PROGRAM, false);
    let _ = site.apply();
    let _ = site.unship(["journal", "show"]).exits(0).prints("end-runs, runs: none, so nothing is sent");
}

#[test]
fn a_failure_under_a_status_of_success_counts_as_done() {
    let mut site = rehearsal();
    replace(&site, "policies/site.toml", "{ terminateRuns(runIds", "{ noSuchMutation(runIds");
    site.begins_here();
    let _ = site.unship(["apply", "1.5", "--yes"]).exits(4).says("the runs in flight are not ended").prints("Undone");
    site.is_as_before();
}

#[test]
fn a_webserver_that_crashed_is_started_to_end_its_runs() {
    let site = rehearsal();
    kill(&site, "bin/practice-dagster-webserver");
    let _ = site.unship(["plan", "1.5"]).exits(0).prints("start service dagster-webserver");
    let _ = site.apply();
    let _ = site.unship(["journal", "show"]).exits(0).prints(&format!("end-runs, runs: {RUN}"));
    is_well(&site, true);
}

#[test]
fn dagster_is_stopped_while_its_flag_is_still_on() {
    let plan = rehearsal().unship(["plan", "1.5"]).exits(0).stdout;
    let at = |step: &str| plan.find(step).unwrap_or_else(|| panic!("no {step}:\n{plan}"));
    assert!(at("disable-dagster") < at("end-runs") && at("end-runs") < at("stop-dagster"));
    assert!(at("stop-dagster") < at("set-home-aside") && at("set-history-aside") < at("start-scheduler"));
}

#[test]
fn whatever_names_dagster_is_killed() {
    let site = rehearsal();
    let mut tail = Bystander::start(&site, "tail", &["-f", "var/dagster/home/dagster.yaml"]);
    let dagster = site.at(RUN_PROGRAM);
    let mut other = Bystander::start(&site, dagster.to_str().expect("UTF-8"), &["job", "list"]);
    let ran = site.unship(["apply", "1.5", "--yes"]).exits(0);
    assert!(tail.lives() && other.lives(), "{}", ran.stderr);
}

#[test]
fn nobody_starts_the_simple_scheduler() {
    let site = rehearsal();
    let _ = seed(&site, "1.5", &site.path(), 0).exits(0).prints("rollback completed");
    let _ = own(&site, "bin/practice-scheduler", &["get", "/schedule"]).exits(1);
    let site = rehearsal();
    let _ = site.apply().says("the scheduler has 3 jobs; first: ingest at 02:00 UTC");
    assert_eq!(site.read(ORCHESTRATOR), site.read(STUB));
}

#[test]
fn a_scheduler_that_runs_and_starts_nothing_is_not_well() {
    let mut site = rehearsal();
    site.write("config/jobs.json", "[]\n");
    site.begins_here();
    let _ = site.unship(["apply", "1.5", "--yes"]).exits(6).prints("Succeeded, NotRecovered").says("no job to start");
}

#[test]
fn a_scheduler_that_needs_dagster_takes_no_place() {
    let site = rehearsal();
    site.write(STUB, "const dagster = require('./dagster');\n");
    is_refused(&site, "1.5", &["scheduler-supplied", "needs Dagster"]);
}

#[test]
fn nobody_is_told_of_the_schedules_that_were_missed() {
    let site = rehearsal();
    let _ = site.apply();
    for item in ["missed-schedules", "ended-runs", "compare-schedules", "keep-history"] {
        let _ = site.unship(["show", &site.run()]).exits(0).prints(item);
    }
}

#[test]
fn what_takes_a_call_back_is_filled_as_well() {
    let site = rehearsal();
    let body = "body = '{\"query\": \"{ version }\"}'";
    let with = "body = '{\"query\": \"{ version }\", \"variables\": {of}}'\nfill = { of = { from = \"server\", pointer = \"/version\" } }";
    replace(&site, "policies/site.toml", body, with);
    let server = format!(
        "[http.server]\nmethod = \"GET\"\nurl = \"http://{}:3070/server_info\"\ntimeout = \"5s\"\n\n[http.runs-in-flight]",
        site.read("run/host").trim()
    );
    replace(&site, "policies/site.toml", "[http.runs-in-flight]", &server);
    let _ = site.apply();
    let undone = site.unship(["undo", &site.run()]).exits(5);
    let _ = undone.says("filled from: its answer has nothing at \"version\"");
    replace(&site, "policies/site.toml", "pointer = \"/version\"", "pointer = \"/dagster_webserver_version\"");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    site.is_as_before();
}
