//! The practice site: its tree, and its service as a live process.

#[path = "../src/practice/mod.rs"]
mod practice;

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const DEMO_QUERY: &str = "SELECT region, sum(amount) FROM orders GROUP BY region";
const ENGINE: &str = "tools/data-services/analytical-engine.js";
const STUB: &str = "tools/data-services/stubs/simple-query-engine.js";
const FLAGS: &str = "config/feature-flags.yaml";

/// A practice site whose service does not outlive it, whatever becomes of the test.
struct Site {
    dir: TempDir,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().expect("a temporary folder");
        practice::lay_out(dir.path(), Path::new(env!("CARGO_BIN_EXE_practice"))).expect("laid out");
        Site { dir }
    }

    fn started() -> Site {
        let site = Site::new();
        site.ok(&["start"]);
        site
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn run(&self, args: &[&str]) -> Output {
        let program = self.path(practice::ANALYTICS);
        Command::new(program).args(args).current_dir(self.dir.path()).output().expect("the program runs")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn err(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).expect("text").trim_end().to_owned()
    }

    /// The service's process, if it lives and is this site's.
    fn pid(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.path("run/analytics.pid")).ok()?.trim().parse().ok()?;
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (exe == fs::canonicalize(self.path(practice::ANALYTICS)).ok()?).then_some(pid)
    }

    fn signal(&self, signal: &str) {
        let Some(pid) = self.pid() else { return };
        let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        let asked = Instant::now();
        while self.pid().is_some() && asked.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(2));
        }
    }

    /// What the service holds open below `.duckdb`.
    fn held(&self) -> Vec<PathBuf> {
        let database = fs::canonicalize(self.dir.path()).expect("the site").join(".duckdb");
        let pid = self.pid().expect("a live service");
        let handles = fs::read_dir(format!("/proc/{pid}/fd")).expect("its handles");
        let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        targets.filter(|target| target.starts_with(&database)).collect()
    }

    fn switch_off(&self) {
        let text = fs::read_to_string(self.path(FLAGS)).expect("the flags");
        let (before, after) = text.split_once("  duckdb_analytics:\n    enabled: true").expect("the flag is on");
        fs::write(self.path(FLAGS), format!("{before}  duckdb_analytics:\n    enabled: false{after}"))
            .expect("written");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[test]
fn the_site_is_laid_out_once_and_always_the_same() {
    let (site, again) = (Site::new(), Site::new());
    for path in [
        ENGINE,
        STUB,
        FLAGS,
        "tools/data-services/stubs/ingestion-stub.js",
        "tools/data-services/security-service.stub.js",
        "config/api-config.yaml",
        ".duckdb/analytics.db",
        ".duckdb/analytics.db.wal",
        ".duckdb/.meta",
        ".cache/queries/.index",
        ".cache/queries/2024-03/.partial/revenue-by-hour.json",
        "summaries/revenue-by-region.csv",
        "scripts/stop-analytics.js",
    ] {
        let text = fs::read(site.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(text, fs::read(again.path(path)).expect(path), "{path}");
    }
    assert!(fs::metadata(site.path(".duckdb/analytics.db")).expect("the database").len() > 200_000);
    let error = practice::lay_out(site.dir.path(), Path::new("/dev/null")).expect_err("it is not empty");
    assert!(error.to_string().contains("is not empty"), "{error}");
}

#[test]
fn a_query_of_story_1_3_runs_into_its_time_out() {
    let site = Site::started();
    assert_eq!(site.ok(&["healthy"]), "the duckdb engine answers, running queries: 0\n");
    assert_eq!(site.ok(&["query", "select count(*) from orders"]), "count\n12400\n");
    let asked = Instant::now();
    assert_eq!(site.err(&["query", DEMO_QUERY]), "query timed out after 2 s");
    assert!(asked.elapsed() >= Duration::from_secs(2), "it gave up early");
    assert_eq!(site.held().len(), 2, "{:?}", site.held());
}

#[test]
fn stopped_queries_end_and_let_go_of_the_database() {
    let site = Site::started();
    std::thread::scope(|scope| {
        let query = scope.spawn(|| site.err(&["query", DEMO_QUERY]));
        let asked = Instant::now();
        while !site.ok(&["healthy"]).ends_with("running queries: 1\n") && asked.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(5));
        }
        site.switch_off();
        assert_eq!(site.ok(&["stop-queries"]), "running queries cancelled: 1; no database is open\n");
        assert_eq!(query.join().expect("the query's thread"), "query cancelled");
    });
    assert_eq!(site.held(), Vec::<PathBuf>::new());
    assert!(site.err(&["query", DEMO_QUERY]).contains("is off"));
    assert_eq!(site.held(), Vec::<PathBuf>::new(), "a query opened the database although the flag is off");
    assert_eq!(site.ok(&["stop-queries"]), "running queries cancelled: 0; no database is open\n");
}

#[test]
fn the_simple_engine_answers_from_the_summaries() {
    let site = Site::started();
    site.switch_off();
    site.ok(&["stop-queries"]);
    fs::rename(site.path(".duckdb"), site.path(".duckdb.aside")).expect("set aside");
    fs::copy(site.path(STUB), site.path(ENGINE)).expect("replaced");
    site.signal("TERM");
    assert_eq!(site.pid(), None, "SIGTERM ends it");

    site.ok(&["start"]);
    assert_eq!(site.ok(&["healthy"]), "the simple engine answers, running queries: 0\n");
    let answer = site.ok(&["query", DEMO_QUERY]);
    assert_eq!(answer, fs::read_to_string(site.path("summaries/revenue-by-region.csv")).expect("the summary"));
    assert_eq!(answer.lines().count(), 5, "{answer}");
    assert_eq!(site.held(), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_service_left_behind_is_taken_over() {
    let site = Site::started();
    let first = site.pid();
    assert_eq!(site.ok(&["start"]), "already running\n");
    site.signal("KILL");
    assert!(UnixStream::connect(site.path("run/analytics.sock")).is_err() && site.path("run/analytics.sock").exists());
    assert!(site.err(&["healthy"]).contains("does not answer"));
    site.ok(&["start"]);
    assert!(site.pid().is_some() && site.pid() != first);
}

#[test]
fn a_service_that_cannot_begin_says_why() {
    let site = Site::new();
    fs::remove_dir_all(site.path(".duckdb")).expect("removed");
    assert!(site.err(&["start"]).contains(".duckdb/analytics.db: No such file"), "{:?}", site.run(&["start"]));
    site.switch_off();
    site.ok(&["start"]);
    fs::write(site.path(ENGINE), "// engine: oracle\n").expect("written");
    site.signal("TERM");
    assert!(site.err(&["start"]).contains("does not know: oracle"));
}

#[test]
fn dagsters_home_lies_beside_the_site_and_without_it_there_is_no_dagster() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let site = temp.path().join("site");
    practice::lay_out(&site, Path::new(env!("CARGO_BIN_EXE_practice"))).expect("laid out");
    let start = |service: &str| {
        let program = site.join("bin").join(service);
        Command::new(program).arg("start").current_dir(&site).output().expect("the program runs")
    };
    for service in ["practice-dagster-webserver", "practice-dagster-daemon"] {
        let told = String::from_utf8(start(service).stderr).expect("text");
        assert!(told.contains("var/dagster/home/dagster.yaml is not there: this is no instance of Dagster"), "{told}");
    }
    practice::dagster::lay_out(&site).expect("laid out");
    let home = practice::dagster::beside(&site).join("home");
    assert_eq!(fs::canonicalize(site.join("var/dagster/home")).ok(), fs::canonicalize(&home).ok());
    assert!(home.join("dagster.yaml").is_file() && !home.starts_with(&site));
    let again = practice::dagster::lay_out(&site).expect_err("it is there");
    assert!(again.to_string().contains("is not empty"), "{again}");
    // While Dagster's orchestrator is in place, there is nothing for another scheduler to do.
    let told = String::from_utf8(start("practice-scheduler").stderr).expect("text");
    assert!(told.contains("leaves all schedules to Dagster"), "{told}");
}
