//! The stories on the practice site, whose services are stand-ins: each is planned, applied, verified and taken back; none has
//! a defect of the seed's procedure; each survives being killed anywhere; and none holds a grant that it does not need.

mod beside;
mod dagster;
mod defects;
mod eda;
mod eight;
mod evidence;
mod grants;
mod kill;
mod life;
mod qa;
mod security;

use crate::{
    recovery::{Original, Rehearsal},
    support::{Ran, Site},
};
use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

/// What the live services write; and the policy that says where they listen, which no two copies have in common.
const LIVE: &[&str] = &["run", "policies/site.toml"];

/// A story, what must live on its site, and how it shows that it is well: before the story is taken back, or (`true`) after.
struct Story {
    id: &'static str,
    services: &'static [&'static str],
    well: fn(&Site, bool),
}

const STORIES: &[Story] = &[
    Story { id: "1.1.5", services: &["api", "core"], well: api_is_well },
    Story { id: "1.2", services: &["ingestion", "core"], well: ingestion_is_well },
    Story { id: "1.4", services: &["analytics", "core"], well: core_is_well },
    Story { id: "1.5", services: &["dagster-webserver", "dagster-daemon"], well: dagster::is_well },
    Story { id: "1.6", services: &["analysis-service"], well: analysis_is_well },
    Story { id: "1.7", services: &["evidence-builder"], well: publications_are_well },
    Story { id: "1.8", services: &[], well: qa_is_well },
];

impl Story {
    fn of(id: &str) -> &'static Story {
        STORIES.iter().find(|story| story.id == id).expect("a story")
    }

    /// A rehearsal site that tests copy. It is shared by those that run at the same time.
    fn original(&self) -> Arc<Original> {
        static SHARED: Mutex<BTreeMap<&str, Weak<Original>>> = Mutex::new(BTreeMap::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get(self.id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let site = Site::practice_with(self.id);
            let policy = site.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
            site.write("policies/site.toml", &policy);
            // The stories that it needs first have tests of their own, and are not on this site.
            let file = format!("policies/{}.toml", self.id);
            let lines = site.read(&file);
            let lines = lines.lines().filter(|line| !line.starts_with("needs-first = "));
            site.write(&file, &lines.map(|line| format!("{line}\n")).collect::<String>());
            let new = Original::new(site, self.id, self.services, LIVE, self.well);
            shared.insert(self.id, Arc::downgrade(&new));
            new
        })
    }

    fn rehearsal(&self) -> Rehearsal {
        self.original().copy()
    }
}

/// Runs one of the site's own programs.
fn own(site: &Site, program: &str, args: &[&str]) -> Ran {
    Ran::of(Command::new(site.at(program)).args(args).current_dir(site.path()))
}

fn api_is_well(site: &Site, applied: bool) {
    let get = |args: &[&str]| own(site, "bin/practice-api", &[&["get", "/orders"], args].concat()).exits(0).stdout;
    let wanted = if applied { ["503 ", "503 "] } else { ["401 ", "200 orders"] };
    let found = [get(&[]), get(&["practice-key"])];
    assert!(found.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted)), "{found:?}");
    let sessions = if applied { "sessions in none" } else { "sessions in .cache/security" };
    let _ = own(site, "bin/practice-core", &["healthy"]).exits(0).prints(sessions);
}

fn qa_is_well(site: &Site, applied: bool) {
    for (path, before_the_story) in [("docs/manual-checks.md", true), ("tests/contract/api.test.js", false)] {
        assert_eq!(site.at(path).exists(), before_the_story == applied, "{path}");
    }
}

fn ingestion_is_well(site: &Site, applied: bool) {
    let engine = if applied { "stub" } else { "pyairbyte" };
    let _ = own(site, "bin/practice-ingestion", &["get", "/status"]).exits(0).prints(engine);
    let _ = own(site, "bin/practice-core", &["healthy"]).exits(0);
    lives(site, ".venv/bin/python3", !applied);
}

fn core_is_well(site: &Site, applied: bool) {
    let engine = if applied { "the simple engine" } else { "the dbt engine" };
    let _ = own(site, "bin/practice-core", &["healthy"]).exits(0).prints(engine);
    let _ = own(site, "bin/practice-analytics", &["healthy"]).exits(0);
    lives(site, ".venv/bin/dbt", !applied);
}

fn analysis_is_well(site: &Site, applied: bool) {
    let engine = if applied { "\"engine\":\"basic\"" } else { "\"engine\":\"eda\"" };
    let _ = own(site, "bin/practice-analysis-service", &["get", "/summary"]).exits(0).prints(engine);
    for (module, stays) in [("sweetviz", false), ("autoviz", false), ("ydata_profiling", false), ("tqdm", true)] {
        let import = format!("import {module}");
        let _ = own(site, ".venv-eda/bin/python3", &["-I", "-c", &import]).exits(i32::from(applied && !stays));
    }
}

fn publications_are_well(site: &Site, applied: bool) {
    let title = if applied { "200 <!doctype html><title>Figures" } else { "200 <!doctype html><title>Evidence" };
    let _ = own(site, "bin/practice-evidence-builder", &["get", "/"]).exits(0).prints(title);
    lives(site, "bin/npm", !applied);
}

/// Demands that one process of this program lives, or (`false`) none. The service that starts them is given a moment.
#[track_caller]
fn lives(site: &Site, program: &str, wanted: bool) {
    let began = Instant::now();
    let count = || site.alive().into_iter().filter(|(_, exe)| exe.ends_with(program)).count();
    while count() != usize::from(wanted) {
        assert!(began.elapsed() < Duration::from_secs(5), "{} of {program} live", count());
        std::thread::sleep(Duration::from_millis(5));
    }
}
