//! Against a real pm2, which `cargo xtask test` installs.

use super::*;
use crate::providers::{
    service::{restart, start, status},
    testing::{ample, strings, until},
};
use std::{
    collections::BTreeMap,
    process::{Command, Output},
};
use unship_policy::meaning::ServiceManager;

/// A pm2 with a home of its own, which ends with the test.
struct Site {
    folder: tempfile::TempDir,
    pm2: String,
}

/// Answers nobody, and stays.
const STAYS: &str = "setInterval(() => {}, 1000);";

impl Site {
    fn new() -> Site {
        let pm2 = std::env::var("UNSHIP_PM2").expect("run the tests by `cargo xtask test`, which installs pm2");
        Site { folder: tempfile::tempdir().expect("a folder"), pm2 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// pm2 as its operator runs it.
    fn pm2(&self, arguments: &[&str]) -> Output {
        let mut pm2 = Command::new(&self.pm2);
        pm2.args(arguments).env_clear().env("PATH", command::PATH).env("HOME", "/dev/null").env("COLOUR", "red");
        pm2.env("PM2_HOME", self.path().join("pm2")).current_dir(self.path()).output().expect("pm2 starts")
    }

    /// Starts a program under a name.
    fn program(&self, name: &str, text: &str) {
        fs::write(self.path().join(format!("{name}.js")), text).expect("can be written");
        let started = self.pm2(&["start", &format!("{name}.js"), "--name", name]);
        assert!(started.status.success(), "{started:?}");
    }

    fn meaning(&self, name: &str) -> ServiceMeaning {
        let manager = Pm2Manager { name: name.into(), home: "pm2".into(), program: self.pm2.clone(), healthy: None };
        let manager = ServiceManager::Pm2(manager);
        ServiceMeaning { manager, timeout: Duration::from_secs(60), env: BTreeMap::new() }
    }

    /// Name → state, as it would come back.
    fn saved(&self) -> BTreeMap<String, String> {
        let text = fs::read(self.path().join("pm2/dump.pm2")).expect("was saved");
        let list: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().expect("a text").to_owned();
        list.as_array().expect("a list").iter().map(|entry| (text(entry, "name"), text(entry, "status"))).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.path().join("pm2").is_dir() {
            let _ = self.pm2(&["kill"]);
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn a_service_of_pm2_stops_starts_and_is_saved_and_no_other_is_touched() {
    let site = Site::new();
    // One of them has a name that pm2 itself would take for everything.
    for name in ["web", "web-2", "all"] {
        site.program(name, STAYS);
    }
    let daemon = fs::read_to_string(site.path().join("pm2/pm2.pid")).expect("a daemon");
    let web = site.meaning("web");
    until(|| status(site.path(), &web, ample()).expect("a status").healthy);
    let first = status(site.path(), &web, ample()).expect("a status");
    assert!(!start(site.path(), &web, ample()).expect("runs already").changed);

    assert!(super::super::stop(site.path(), &web, ample()).expect("stops").changed);
    assert_eq!(site.saved(), pairs(&[("web", "stopped"), ("web-2", "online"), ("all", "online")]));
    let seen = status(site.path(), &web, ample()).expect("a status");
    assert_eq!((seen.running, seen.healthy, seen.pid), (false, false, None), "{}", seen.detail);
    assert!(!super::super::stop(site.path(), &web, ample()).expect("nothing to do").changed);

    let started = start(site.path(), &web, ample()).expect("starts");
    assert!(started.changed && started.status.healthy && started.status.pid != first.pid);
    assert_eq!(site.saved()["web"], "online");
    // It has the environment of its operator, not that of the command which started it again.
    let environment = fs::read(format!("/proc/{}/environ", started.status.pid.expect("a pid"))).expect("readable");
    assert!(environment.split(|b| *b == 0).any(|variable| variable == b"COLOUR=red"));

    let restarted = restart(site.path(), &web, ample()).expect("starts again");
    assert!(restarted.changed && restarted.status.healthy && restarted.status.pid != started.status.pid);
    let all = site.meaning("all");
    assert!(super::super::stop(site.path(), &all, ample()).expect("stops").changed);
    assert_eq!(site.saved(), pairs(&[("web", "online"), ("web-2", "online"), ("all", "stopped")]));
    assert_eq!(fs::read_to_string(site.path().join("pm2/pm2.pid")).expect("a daemon"), daemon, "the same daemon");

    site.program("0", STAYS);
    let refused = super::super::stop(site.path(), &web, ample()).expect_err("is ambiguous").to_string();
    assert_eq!(refused, "pm2 would take process 0 for the one that is called \"0\"; give that another name");
    let refused = status(site.path(), &site.meaning("we"), ample()).expect_err("no such name").to_string();
    assert!(refused.starts_with("pm2 knows no process \"we\"; it knows: "), "{refused}");
}

#[test]
fn a_service_of_pm2_that_falls_again_and_again_is_not_healthy() {
    let site = Site::new();
    site.program("falls", "setTimeout(() => process.exit(1), 50);");
    let mut falls = site.meaning("falls");
    falls.timeout = Duration::from_secs(4);
    let refused = restart(site.path(), &falls, ample()).expect_err("is never well").to_string();
    assert!(refused.starts_with("not healthy after ") && refused.contains("started again"), "{refused}");
    // A command of policy's has the last word.
    site.program("ill", STAYS);
    let mut ill = site.meaning("ill");
    if let ServiceManager::Pm2(manager) = &mut ill.manager {
        manager.healthy = Some(strings(&["sh", "-c", "echo no answer >&2; exit 1"]));
    }
    let seen = status(site.path(), &ill, ample()).expect("a status");
    assert!(seen.running && !seen.healthy && seen.detail.ends_with("status 1: no answer"), "{}", seen.detail);
}

#[test]
fn where_no_pm2_runs_none_is_started() {
    let site = Site::new();
    fs::create_dir(site.path().join("pm2")).expect("a folder");
    for attempt in [
        status(site.path(), &site.meaning("web"), ample()).map(drop),
        start(site.path(), &site.meaning("web"), ample()).map(drop),
    ] {
        let refused = attempt.expect_err("nobody answers").to_string();
        assert!(refused.starts_with("no pm2 answers in ") && refused.contains("pm2 resurrect"), "{refused}");
    }
    assert_eq!(fs::read_dir(site.path().join("pm2")).expect("is there").count(), 0, "nothing was begun");
    fs::set_permissions(site.path().join("pm2"), fs::Permissions::from_mode(0o777)).expect("own folder");
    let refused = status(site.path(), &site.meaning("web"), ample()).expect_err("is open").to_string();
    assert!(refused.contains("world-writable"), "{refused}");
}

#[test]
fn only_a_whole_list_of_known_states_is_believed() {
    let good =
        r#"[{"name":"a","pm_id":0,"pid":7,"pm2_env":{"status":"online","restart_time":0,"pm_uptime":1,"SECRET":"x"}}]"#;
    let parsed = parse(good.as_bytes()).expect("is a list");
    assert!(parsed[0].is_there().expect("is known") && parsed[0].stays_up());
    for bad in
        ["", "[PM2] Spawning PM2 daemon\n[]", "[] []", "{}", &good.replace("\"pm_id\":0,", ""), &good[..good.len() - 1]]
    {
        assert!(parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let odd = parse(good.replace("online", "dream\\u001bing").as_bytes()).expect("is a list");
    let refused = odd[0].is_there().expect_err("no such state").to_string();
    assert_eq!(refused, "pm2 calls process 0 \"dream\\\\x1bing\", a state that unship does not know");
}
