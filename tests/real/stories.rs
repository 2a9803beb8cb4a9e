//! Each story on real parts: planned, taken back, verified, undone; and killed on its way at random.

use super::{KEY, Real, wait};
use crate::{
    recovery::snapshot::{Snapshot, Times},
    support::Ran,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher as _, RandomState},
    process::Command,
};

/// What services, pm2, dbt, Dagster and git write themselves. Of the repository git is asked instead.
const LIVE: &[&str] = &[
    "run",
    ".pm2",
    ".git",
    "warehouse",
    ".dagster",
    "logs/analytics.log",
    "logs/api.log",
    "logs/auth.log",
    "logs/dagster.log",
    "logs/eda.log",
    "logs/security.log",
    "logs/services.log",
];
/// Set it to repeat what a test printed.
const SEED: &str = "UNSHIP_KILL_SEED";
const KILLS: usize = 3;

/// A story on a site of its own.
struct Taken {
    site: Real,
    story: &'static str,
    before: Snapshot,
    /// Demands that the site does its work, as before the story was taken back or (`true`) after it.
    well: fn(&Real, bool),
}

impl Taken {
    /// On a site where the stories that it needs first are taken back already.
    fn new(story: &'static str, needs: &[&str], well: fn(&Real, bool)) -> Taken {
        let site = Real::with(&[needs, &[story]].concat());
        let policy = site.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
        site.write("policies/site.toml", &policy);
        for need in needs {
            let _ = site.unship(["apply", need, "--yes"]).exits(0);
        }
        well(&site, false);
        let before = Taken::look(&site);
        Taken { site, story, before, well }
    }

    fn look(site: &Real) -> Snapshot {
        Snapshot::of(&site.path(), LIVE, Times::Exact, None)
    }

    #[track_caller]
    fn is_as_before(&self) {
        self.before.demand(&Taken::look(&self.site));
        (self.well)(&self.site, false);
        let _ = self.site.unship(["resume"]).exits(0).prints("no run is in flight");
        let _ = self.site.unship(["journal", "verify"]).exits(0).prints("intact");
    }

    /// Plans, applies exactly that, undoes. Gives how many records the run has.
    #[track_caller]
    fn there_and_back(&self) -> usize {
        let plan = self.site.unship(["plan", self.story, "--json"]).exits(0);
        self.before.demand(&Taken::look(&self.site));
        let digest = plan.summary()["plan_digest"].as_str().expect("a digest").to_owned();
        let apply = self.site.unship(["apply", self.story, "--yes", "--json", "--expect", &digest]).exits(0);
        let summary = apply.summary();
        assert_eq!((&summary["outcome"], &summary["verdict"]), (&"Succeeded".into(), &"Recovered".into()));
        let run = summary["run"].as_str().expect("a run").to_owned();
        assert_eq!(done(&apply, &run), planned(&plan), "plan and run do not have the same effects");
        (self.well)(&self.site, true);
        let again = self.site.unship(["apply", self.story, "--yes", "--json"]).exits(0);
        assert_eq!(again.summary()["effects"], 0, "taken back already, there is nothing to do");
        let _ = self.site.unship(["undo", &run]).exits(0);
        self.is_as_before();
        apply.json().iter().filter(|line| line["type"] == "record").count()
    }

    /// Kills runs at random points; they go on or back in turns, and are undone.
    fn killed(&self, records: usize) {
        let mut random = Random::new(self.story);
        for count in 0..KILLS {
            let point = format!("kill@{}.{}", 1 + random.below(records), random.below(3));
            eprintln!("story {}, {SEED}={}: {point}", self.story, random.seed);
            let killed = self.site.unship(["apply", self.story, "--yes", "--inject", &point]);
            let runs = self.site.unship(["runs", "--json"]).exits(0).json();
            let run = runs.last().expect("a run");
            let is_over = !run["outcome"].is_null();
            // There may be no such boundary: then the run went to its end.
            assert!(killed.status.is_none_or(|status| status == 0 && is_over), "{point}: {killed:?}");
            if !is_over && count.is_multiple_of(2) {
                let _ = self.site.unship(["resume", "--undo"]).exits(0);
            } else {
                let _ = self.site.unship(["resume"]).exits(0);
                (self.well)(&self.site, true);
                let _ = self.site.unship(["undo", run["run"].as_str().expect("an id")]).exits(0);
            }
            self.is_as_before();
        }
    }
}

/// The effects of a plan.
fn planned(plan: &Ran) -> Vec<Value> {
    let lines = plan.json();
    let units = lines.iter().filter(|line| line["type"] == "unit");
    units
        .flat_map(|unit| unit["effects"].as_array().expect("effects"))
        .map(|planned| planned["effect"].clone())
        .collect()
}

/// The effects of a run, with its id as the plan has it.
fn done(apply: &Ran, run: &str) -> Vec<Value> {
    let lines = apply.json();
    let applied = lines.iter().filter(|line| line["record"]["what"]["event"] == "effect-applied");
    let named = |line: &Value| line["record"]["what"]["effect"].to_string().replace(run, "{run}");
    applied.map(|line| serde_json::from_str(&named(line)).expect("JSON")).collect()
}

/// SplitMix64.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new(story: &str) -> Random {
        let seed = std::env::var(SEED)
            .map_or_else(|_| RandomState::new().hash_one(story), |seed| seed.parse().expect("a number"));
        Random { seed, state: seed }
    }

    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).expect("below a count")
    }
}

#[track_caller]
fn engines(site: &Real, expected: [&str; 4]) {
    assert_eq!(site.engines(), expected);
}

#[test]
fn story_1_3_leaves_duckdb_on_real_parts() {
    let story = Taken::new("1.3", &[], |site, applied| {
        engines(site, [if applied { "simple" } else { "duckdb" }, "pyairbyte", "sessions", "dbt"]);
        let answer = site.get("analytics", "/revenue", None);
        assert_eq!(answer.status, if applied { 200 } else { 500 }, "{answer:?}");
    });
    let records = story.there_and_back();
    story.killed(records);
}

#[test]
fn story_1_2_leaves_pyairbyte_on_real_parts() {
    let story = Taken::new("1.2", &[], |site, applied| {
        let engine = if applied { "stub" } else { "pyairbyte" };
        engines(site, ["duckdb", engine, "sessions", "dbt"]);
        if applied {
            assert_eq!(site.processes("-m airbyte"), Vec::<u32>::new());
            let _ = site.npm("test:rollback:ingestion", &[]).exits(0);
        } else {
            wait("connectors", || site.get("ingestion", "/connectors", None).status == 200);
        }
    });
    let records = story.there_and_back();
    story.killed(records);
}

#[test]
fn story_1_4_leaves_dbt_on_real_parts() {
    let story = Taken::new("1.4", &[], |site, applied| {
        engines(site, ["duckdb", "pyairbyte", "sessions", if applied { "simple" } else { "dbt" }]);
        if applied {
            assert_eq!(site.processes(".venv/bin/dbt run"), Vec::<u32>::new());
            let _ = site.npm("transform", &[]).exits(0).prints("\"20-revenue.sql\":1");
        } else {
            wait("a run of dbt", || site.processes(".venv/bin/dbt run").len() == 1);
        }
    });
    let records = story.there_and_back();
    story.killed(records);
}

/// The runs that Dagster has in flight, by its own word.
fn runs_in_flight(site: &Real) -> String {
    const QUERY: &str =
        "/graphql?query=%7BrunsOrError(filter:%7Bstatuses:[STARTED]%7D)%7B...on%20Runs%7Bresults%7BrunId%7D%7D%7D%7D";
    let answer = site.get("dagster", QUERY, None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"]["runsOrError"]["results"].to_string()
}

#[test]
fn story_1_5_leaves_dagster_on_real_parts() {
    let story = Taken::new("1.5", &[], |site, applied| {
        engines(site, ["duckdb", "pyairbyte", "sessions", "dbt"]);
        let kept = |folder: &str, name: &str| {
            let entries = fs::read_dir(site.at(folder)).expect("a folder").map(|entry| entry.expect("an entry"));
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).count()
        };
        // Nothing is lost: it has its name, or the run's.
        assert_eq!((kept("var/dagster", "home"), kept(".dagster", "storage")), (1, 1));
        assert_eq!(site.at("var/dagster/home/dagster.yaml").exists(), !applied);
        if applied {
            assert_eq!(site.get("scheduler", "/schedule", None).body, "transform at 03:00 UTC\n");
            for what in ["dagster-webserver", "dagster-daemon", "multiprocessing.spawn"] {
                assert_eq!(site.processes(what), Vec::<u32>::new(), "{what}");
            }
        } else {
            assert_eq!(site.processes("services/scheduler.js"), Vec::<u32>::new());
            wait("a run of Dagster", || runs_in_flight(site) != "[]");
        }
    });
    let records = story.there_and_back();
    let journal = story.site.unship(["journal", "show"]).exits(0).stdout;
    let ended = journal.lines().filter(|line| line.contains("end-runs, runs: ")).collect::<Vec<_>>();
    assert!(ended.len() == 1 && !ended[0].contains("none"), "{ended:?}");
    story.killed(records);
    // What the story is taken back for: a daemon that crashed, and left its run behind.
    let daemon = story.site.processes("dagster-daemon");
    assert!(
        daemon.len() == 1 && Ran::of(Command::new("kill").args(["-KILL", &daemon[0].to_string()])).status == Some(0)
    );
    let apply = story.site.unship(["apply", "1.5", "--yes", "--json"]).exits(0);
    (story.well)(&story.site, true);
    let _ = story.site.unship(["undo", apply.summary()["run"].as_str().expect("a run")]).exits(0);
    story.is_as_before();
}

#[test]
fn story_1_6_leaves_its_packages_on_real_parts() {
    let story = Taken::new("1.6", &[], |site, applied| {
        engines(site, ["duckdb", "pyairbyte", "sessions", "dbt"]);
        let summary = site.get("analysis-service", "/summary", None);
        assert_eq!(summary.json()["engine"], if applied { "basic" } else { "eda" }, "{summary:?}");
        assert_eq!(summary.json()["packages"]["ydata_profiling"].is_string(), !applied, "{summary:?}");
        for (module, stays) in [("sweetviz", false), ("autoviz", false), ("ydata_profiling", false), ("tqdm", true)] {
            let find = format!("import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is None)");
            let _ = site.tool(".venv-eda/bin/python3", &["-I", "-c", &find]).exits(i32::from(applied && !stays));
        }
    });
    let records = story.there_and_back();
    story.killed(records);
}

#[test]
fn story_1_7_leaves_evidence_on_real_parts() {
    let story = Taken::new("1.7", &[], |site, applied| {
        engines(site, ["duckdb", "pyairbyte", "sessions", "dbt"]);
        let page = site.get("evidence-builder", "/", None);
        let title = if applied { "<title>Figures</title>" } else { "<title>Evidence</title>" };
        assert!(page.status == 200 && page.body.contains(title), "{page:?}");
        assert!(site.at("public/robots.txt").exists() && site.at("public/index.html").exists() != applied);
        if applied {
            // npm, its shell, Evidence and the worker that has a process group of its own.
            wait("the end of npm", || site.builds().is_empty());
        } else {
            wait("a build with its worker", || site.builds().len() >= 3);
        }
    });
    let records = story.there_and_back();
    story.killed(records);
}

#[test]
fn story_1_1_5_fails_closed_on_real_parts() {
    let story = Taken::new("1.1.5", &["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"], |site, applied| {
        engines(site, ["simple", "stub", if applied { "closed" } else { "sessions" }, "simple"]);
        let statuses: BTreeSet<u16> = ["/reports", "/analytics", "/orders", "/admin"]
            .into_iter()
            .flat_map(|path| [site.get("api", path, None).status, site.get("api", path, Some(KEY)).status])
            .collect();
        let expected: &[u16] = if applied { &[503] } else { &[200, 401] };
        assert_eq!(statuses.into_iter().collect::<Vec<_>>(), expected, "unavailable, never open");
        if applied {
            let _ = site.npm("test:rollback:security", &[]).exits(0);
        }
    });
    let records = story.there_and_back();
    story.killed(records);
}

#[test]
fn story_1_8_restores_the_tests_and_documents_from_before_it_on_real_parts() {
    let story = Taken::new("1.8", &[], |site, applied| {
        engines(site, ["duckdb", "pyairbyte", "sessions", "dbt"]);
        // What the story had removed is in no index: git calls it gone, and untracked.
        let not_in_index = if applied { "docs/manual-checks.md\n" } else { "" };
        let difference =
            site.git(&["diff", "--name-only", if applied { "before-1.8" } else { "HEAD" }, "--", "tests", "docs"]);
        let untracked = site.git(&["ls-files", "--others", "--exclude-standard"]);
        assert_eq!((difference.as_str(), untracked.as_str()), (not_in_index, not_in_index));
        if applied {
            assert_eq!(site.git(&["show", "before-1.8:docs/manual-checks.md"]), site.read("docs/manual-checks.md"));
        }
        assert_eq!(site.at("docs/manual-checks.md").exists(), applied);
        assert_eq!(site.at("tests/contract/api.test.js").exists(), !applied);
    });
    let records = story.there_and_back();
    story.killed(records);
}
