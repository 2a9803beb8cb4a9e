//! What went wrong when the seed's procedures were run, one test a defect, named after it: the story does not have it. Where
//! it is cheap, the seed's script shows that it does: word for word, in a copy of the same site, with `npm`, `pm2`, `pkill`
//! and the like as programs that do nothing.

use super::{Story, lives, own};
use crate::{
    recovery::{Rehearsal, replace},
    support::{Ran, Site, UNSHIP, fingerprint},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const INGESTION: &str = "tools/data-services/data-ingestion-service.js";
const INGESTION_STUB: &str = "tools/data-services/stubs/ingestion-stub.js";
const WRAPPER: &str = "tools/data-services/pyairbyte-wrapper.js";
const ENGINE: &str = "tools/data-services/transformation-engine.js";
const ENGINE_STUB: &str = "tools/data-services/stubs/simple-transformation.js";
pub const FLAGS: &str = "config/feature-flags.yaml";

/// The seed's script in the folder `cwd`, where every command that is not the system's own ends with `status`. Its home is the
/// folder `somebody` of the test's.
pub fn seed(site: &Site, story: &str, cwd: &Path, status: u8) -> Ran {
    let bin = site.outside().join("seed-bin");
    fs::create_dir_all(&bin).expect("a folder");
    for name in ["npm", "pm2", "pkill", "node", "git", "dagster", "pip"] {
        let program = bin.join(name);
        fs::write(&program, format!("#!/bin/sh\nexit {status}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let script = format!("../../crates/xtask/src/seed/rollback-story-{story}.sh");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut bash = Command::new("bash");
    bash.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).current_dir(cwd).env_clear().env("PATH", path);
    bash.env("HOME", site.outside().join("somebody"));
    Ran::of(&mut bash)
}

/// A process of a test's, which ends with it.
pub struct Bystander(Child);

impl Bystander {
    pub fn start(site: &Site, program: &str, args: &[&str]) -> Bystander {
        let mut command = Command::new(program);
        command.args(args).current_dir(site.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        Bystander(command.spawn().expect("it starts"))
    }

    pub fn lives(&mut self) -> bool {
        self.0.try_wait().expect("its state").is_none()
    }

    /// Waits for its end, which somebody else brought about.
    pub fn is_gone(&mut self) -> bool {
        let began = Instant::now();
        while self.lives() && began.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(2));
        }
        !self.lives()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rehearsal(story: &str) -> Rehearsal {
    Story::of(story).rehearsal()
}

/// Refused before anything is changed, with these words.
#[track_caller]
pub fn is_refused(site: &Rehearsal, story: &str, words: &[&str]) {
    let before = fingerprint(&site.path());
    let refused = site.unship(["apply", story, "--yes"]).exits(3);
    let _ = words.iter().fold(refused, |refused, words| refused.says(words));
    assert_eq!(before, fingerprint(&site.path()), "a refusal changes nothing");
}

#[test]
fn completed_though_every_command_failed() {
    let site = rehearsal("1.4");
    let _ = seed(&site, "1.4", &site.path(), 1).exits(0).prints("rollback completed");
    let mut site = rehearsal("1.4");
    let argv = "argv = [\"bin/practice-analytics\", \"stop-queries\"]";
    replace(&site, "policies/1.4.toml", argv, "argv = [\"false\"]");
    site.begins_here();
    let _ = site.unship(["apply", "1.4", "--yes"]).exits(4).prints("Undone");
    site.is_as_before();
}

#[test]
fn completed_in_a_wrong_folder() {
    let site = rehearsal("1.2");
    let empty = site.outside().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let _ = seed(&site, "1.2", &empty, 0).exits(0).prints("rollback completed");
    let mut elsewhere = Command::new(UNSHIP);
    let _ = Ran::of(elsewhere.args(["apply", "1.2", "--yes"]).current_dir(&empty).env_clear()).exits(1);
}

#[test]
fn a_missing_stub_leaves_no_service() {
    let site = rehearsal("1.2");
    fs::remove_file(site.at(INGESTION_STUB)).expect("removed");
    is_refused(&site, "1.2", &["stub-present", INGESTION_STUB]);
    assert!(site.at(INGESTION).exists());
    let _ = seed(&site, "1.2", &site.path(), 0).exits(0).prints("rollback completed");
    assert!(!site.at(INGESTION).exists(), "the seed's script leaves none");
}

#[test]
fn done_twice_the_original_is_lost() {
    let site = rehearsal("1.2");
    let original = site.read(INGESTION);
    let _ = site.apply();
    let run = site.run();
    let _ = site.unship(["apply", "1.2", "--yes"]).exits(0);
    let _ = site.unship(["undo", &run]).exits(0);
    assert_eq!(site.read(INGESTION), original);
    for _ in 0..2 {
        let _ = seed(&site, "1.2", &site.path(), 0).exits(0);
    }
    let kept = site.read(&format!("{INGESTION}.backup"));
    assert_eq!(kept, site.read(INGESTION_STUB), "the seed's backup is the stub by then");
}

#[test]
fn hidden_files_stay_in_a_cleared_cache() {
    let site = rehearsal("1.2");
    let hidden = site.at(".cache/pyairbyte/.state/orders.json");
    let _ = seed(&site, "1.2", &site.path(), 0).exits(0);
    assert!(hidden.exists(), "the seed's script leaves them");
    let site = rehearsal("1.2");
    let _ = site.apply();
    assert_eq!(fs::read_dir(site.at(".cache/pyairbyte")).expect("the cache stays").count(), 0);
}

#[test]
fn the_incremental_state_is_lost() {
    let site = rehearsal("1.2");
    let state = site.read(".cache/pyairbyte/.state/orders.json");
    let _ = site.apply();
    let _ = site.unship(["undo", &site.run()]).exits(0);
    assert_eq!(site.read(".cache/pyairbyte/.state/orders.json"), state);
}

#[test]
fn whatever_names_pyairbyte_is_killed() {
    let site = rehearsal("1.2");
    // An editor, a log's tail, a shell: all that `pkill -f pyairbyte` would have hit.
    let mut tail = Bystander::start(&site, "tail", &["-f", WRAPPER]);
    let mut shell = Bystander::start(&site, "sh", &["-c", "cat; : -m pyairbyte_wrapper"]);
    let python = site.at(".venv/bin/python3");
    let mut other = Bystander::start(&site, python.to_str().expect("UTF-8"), &["-m", "http.server"]);
    // One that no service knows of is a connector all the same.
    let mut stray = Bystander::start(&site, python.to_str().expect("UTF-8"), &["-m", "pyairbyte_wrapper", "sync", "x"]);
    let _ = site.apply();
    assert!(tail.lives() && shell.lives() && other.lives());
    assert!(stray.is_gone());
}

#[test]
fn a_stopped_connector_starts_again_since_the_flag_is_still_on() {
    let site = rehearsal("1.2");
    // In the seed's order the process goes first: its service starts another at once.
    for (pid, exe) in site.alive() {
        if exe.ends_with(".venv/bin/python3") {
            let _ = Ran::of(Command::new("kill").arg(pid)).exits(0);
        }
    }
    lives(&site, ".venv/bin/python3", true);
    let plan = site.unship(["plan", "1.2"]).exits(0).stdout;
    let at = |step: &str| plan.find(step).unwrap_or_else(|| panic!("no {step}:\n{plan}"));
    assert!(at("disable-pyairbyte") < at("stop-ingestion") && at("stop-ingestion") < at("stop-connectors"));
    let _ = site.apply();
    // Several times as long as a service takes to look.
    std::thread::sleep(Duration::from_millis(200));
    lives(&site, ".venv/bin/python3", false);
}

#[test]
fn the_stopped_service_is_never_started_again() {
    let site = rehearsal("1.2");
    let _ = site.apply();
    let _ = own(&site, "bin/practice-ingestion", &["get", "/status"]).exits(0).prints("\"engine\":\"stub\"");
    let _ =
        own(&site, "bin/practice-ingestion", &["get", "/connectors"]).exits(0).prints("503 ingestion is switched off");
}

#[test]
fn the_variable_that_dies_with_the_shell_is_the_only_flag() {
    let site = rehearsal("1.2");
    let before = site.read(FLAGS);
    let _ = seed(&site, "1.2", &site.path(), 0).exits(0);
    assert_eq!(site.read(FLAGS), before, "an exported variable of a script that ends changes nothing");
    let site = rehearsal("1.2");
    let _ = site.apply();
    let expected =
        before.replacen("pyairbyte_integration:\n    enabled: true", "pyairbyte_integration:\n    enabled: false", 1);
    assert_ne!(before, expected);
    assert_eq!(site.read(FLAGS), expected, "one value changes, and every other byte stays");
}

#[test]
fn mode_and_owner_of_what_is_replaced_are_lost() {
    let site = rehearsal("1.2");
    let path = site.at(INGESTION);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
    let before = fs::metadata(&path).expect("metadata");
    let _ = site.apply();
    let after = fs::metadata(&path).expect("metadata");
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
}

#[test]
fn what_a_fixed_backup_name_held_is_overwritten() {
    let site = rehearsal("1.2");
    let backup = format!("{WRAPPER}.backup");
    site.write(&backup, "of last year");
    let _ = site.apply();
    assert_eq!(site.read(&backup), "of last year");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.2", &site.path(), 0).exits(0);
    assert_ne!(site.read(&backup), "of last year");
}

#[test]
fn the_engine_of_1_4_is_removed_and_nothing_takes_its_place() {
    let site = rehearsal("1.4");
    let _ = site.apply();
    assert_eq!(site.read(ENGINE), site.read(ENGINE_STUB));
    let _ = own(&site, "bin/practice-core", &["healthy"]).exits(0).prints("with the simple engine");
    let site = rehearsal("1.4");
    let _ = seed(&site, "1.4", &site.path(), 0).exits(0).prints("rollback completed");
    assert!(!site.at(ENGINE).exists());
    // Nothing is restarted either: the old engine goes on, from memory.
    let _ = own(&site, "bin/practice-core", &["healthy"]).exits(0).prints("with the dbt engine");
}

#[test]
fn the_author_of_1_4_supplied_no_engine() {
    let site = rehearsal("1.4");
    fs::remove_file(site.at(ENGINE_STUB)).expect("removed");
    is_refused(&site, "1.4", &["engine-supplied", ENGINE_STUB, "must supply the engine"]);
    site.write(ENGINE_STUB, "const dbt = require('./dbt');\n");
    is_refused(&site, "1.4", &["needs dbt"]);
    let site = rehearsal("1.4");
    fs::remove_dir_all(site.at("transformations/simple")).expect("removed");
    fs::create_dir(site.at("transformations/simple")).expect("a folder");
    is_refused(&site, "1.4", &["transformations-supplied", "must supply what dbt's models replaced"]);
}

#[test]
fn the_target_of_another_tool_is_emptied() {
    let site = rehearsal("1.4");
    let _ = site.apply();
    assert_eq!(site.read("target/release/report"), "built\n");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.4", &site.path(), 0).exits(0);
    assert!(!site.at("target/release/report").exists());
}

#[test]
fn evidence_is_deleted_before_anybody_saw_it() {
    let site = rehearsal("1.4");
    let log = site.read("logs/dbt/dbt.log");
    let _ = site.apply();
    assert_eq!(site.read(&format!("logs/dbt.unship-{}/dbt.log", site.run())), log);
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.4", &site.path(), 0).exits(0);
    assert!(!site.at("logs/dbt/dbt.log").exists());
}

#[test]
fn runs_of_dbt_are_missed_and_others_hit() {
    let site = rehearsal("1.4");
    let dbt = site.at(".venv/bin/dbt");
    let dbt = dbt.to_str().expect("UTF-8");
    let runs: &[&[&str]] = &[&["--profiles-dir", "x", "run"], &["build"], &["test"], &["seed"], &["snapshot"]];
    let mut runs: Vec<Bystander> = runs.iter().map(|args| Bystander::start(&site, dbt, args)).collect();
    let mut docs = Bystander::start(&site, dbt, &["docs", "serve"]);
    let mut grep = Bystander::start(&site, "grep", &["-r", "dbt run", "-"]);
    let _ = site.apply();
    assert!(docs.lives() && grep.lives());
    for run in &mut runs {
        assert!(run.is_gone());
    }
}

#[test]
fn queries_go_on_in_the_warehouse() {
    let site = rehearsal("1.4");
    const SLOW: &str = "SELECT region, sum(amount) FROM orders GROUP BY region";
    let query = Command::new(site.at("bin/practice-analytics"))
        .args(["query", SLOW])
        .current_dir(site.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let began = Instant::now();
    while !own(&site, "bin/practice-analytics", &["healthy"]).stdout.ends_with("running queries: 1\n") {
        assert!(began.elapsed() < Duration::from_secs(1), "it never ran");
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = site.apply().says("running queries cancelled: 1");
    let ended = query.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "query cancelled\n");
}
