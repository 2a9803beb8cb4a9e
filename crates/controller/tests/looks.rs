//! Each kind of feed looks at the real thing: the feeds are those of docs/signals.md, with the test's own address. Then the same
//! things are gone, hang and flood, and each feed says so alone.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use unship_controller::sources::{Alert, Clock, Full, Sink, SourceState, Sources};
use unship_policy::SitePolicy;
use unship_rollback::signal::{Millis, Sample, Series};

/// A sample: its metric, labels and value.
type Seen = (String, BTreeMap<String, String>, f64);

/// Everything that came.
#[derive(Default)]
struct Kept {
    samples: Mutex<Vec<Seen>>,
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Sink for Kept {
    fn sample(&self, series: Series, sample: Sample) -> Result<(), Full> {
        let labels = series.labels().clone();
        self.samples.lock().expect("mine").push((series.metric().to_owned(), labels, sample.value));
        Ok(())
    }

    fn alert(&self, _: Alert) {}

    fn trouble(&self, source: &str, what: &str) {
        self.troubles.lock().expect("mine").insert(source.to_owned(), what.to_owned());
    }

    fn well(&self, source: &str) {
        self.troubles.lock().expect("mine").remove(source);
    }
}

/// It shows what the test says; both of its faces go on together.
struct Driven(AtomicU64);

impl Clock for Driven {
    fn now(&self) -> Millis {
        Millis(i64::try_from(1_790_000_000_000 + self.0.load(Ordering::SeqCst)).expect("a time"))
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the server does with each request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Hangs,
    Floods,
}

fn serve(mood: Arc<Mutex<Mood>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mood = *mood.lock().expect("mine");
            thread::spawn(move || {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                if read == 0 {
                    return;
                }
                match mood {
                    Mood::Hangs => {
                        // Until whoever asked gives up.
                        let _ = stream.read(&mut [0; 1]);
                    }
                    Mood::Floods => {
                        let _ = stream.write_all(
                            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n",
                        );
                        let mut n = 0_u64;
                        while stream.write_all(format!("jobs_waiting{{n=\"{n}\"}} 1\n").as_bytes()).is_ok() {
                            n += 1;
                        }
                    }
                    Mood::Well => {
                        let (kind, body) = if head.starts_with("GET /metrics") {
                            (
                                "text/plain; version=0.0.4",
                                "# TYPE jobs_waiting gauge\njobs_waiting{queue=\"a\"} 7\nother 1\n",
                            )
                        } else if head.starts_with("GET /api/v1/query?query=sum%28rate%28errors_total%5B5m%5D%29%29") {
                            (
                                "application/json",
                                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1790000000,\"0.25\"]}]}}",
                            )
                        } else {
                            ("text/plain", "ok")
                        };
                        let _ = write!(
                            stream,
                            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                            body.len()
                        );
                    }
                }
            });
        }
    });
    address
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/signals.md");
    fs::read_to_string(path).expect("docs/signals.md")
}

struct World {
    dir: tempfile::TempDir,
    kept: Arc<Kept>,
    clock: Arc<Driven>,
    sources: Arc<Sources>,
    mood: Arc<Mutex<Mood>>,
    worker: Option<Ended>,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let mood = Arc::new(Mutex::new(Mood::Well));
        let feeds = page()
            .split_once("```toml\n")
            .and_then(|(_, rest)| rest.split_once("```"))
            .expect("the feeds")
            .0
            .to_owned();
        let feeds = feeds.replace("127.0.0.1:8080", &serve(mood.clone()));
        let policy = format!("[site]\nname = \"s\"\nbundles = \"bundles\"\n{feeds}");
        let policy = SitePolicy::parse(&policy).unwrap_or_else(|e| panic!("docs/signals.md: {e}"));
        for folder in ["bin", "data", "logs", "target", "run"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        fs::write(dir.path().join("data/export.csv"), "12345").expect("written");
        fs::write(dir.path().join("logs/api.log"), "GET /before\n").expect("written");
        fs::copy("/bin/sleep", dir.path().join("bin/worker")).expect("copied");
        let mut worker = Command::new(dir.path().join("bin/worker"));
        let worker = Ended(worker.arg("600").stdin(Stdio::null()).spawn().expect("it runs"));
        let (kept, clock) = (Arc::new(Kept::default()), Arc::new(Driven(AtomicU64::new(0))));
        let sources = Sources::idle(&policy, dir.path(), SourceState::default(), kept.clone(), clock.clone());
        World { dir, kept, clock, sources, mood, worker: Some(worker) }
    }

    /// Every feed looks once more; what came of that.
    fn look(&self) -> Vec<Seen> {
        self.kept.samples.lock().expect("mine").clear();
        self.clock.0.fetch_add(120_000, Ordering::SeqCst);
        while self.sources.look_due() > 0 {}
        self.kept.samples.lock().expect("mine").clone()
    }

    fn troubles(&self) -> BTreeMap<String, String> {
        self.kept.troubles.lock().expect("mine").clone()
    }
}

fn value(seen: &[Seen], metric: &str) -> Option<f64> {
    seen.iter().rev().find(|(name, ..)| name == metric).map(|(.., value)| *value)
}

#[test]
fn every_kind_of_the_page_delivers() {
    let world = World::new();
    let _ = world.look();
    // News, after watching began.
    fs::write(world.dir.path().join("logs/api.log"), "GET /before\nGET /a\nPOST /b\nGET /c\n").expect("written");
    let dbt = r#"{"metadata":{"generated_at":"2026-09-21T00:00:00Z","invocation_id":"x"},"elapsed_time":2.5,"results":[{"unique_id":"model.p.a","status":"success","message":null}]}"#;
    fs::write(world.dir.path().join("target/run_results.json"), dbt).expect("written");
    let build = r#"{"started":"2026-09-21T14:13:20Z","finished":"2026-09-21T14:13:30Z","exit":1}"#;
    fs::write(world.dir.path().join("run/build.json"), build).expect("written");
    let seen = world.look();
    for (metric, wanted) in [
        ("api_up", 1.0),
        ("database_up", 1.0),
        ("queue_length", 7.0),
        ("error_rate", 0.25),
        ("worker_up", 1.0),
        ("check_failed", 1.0),
        ("backlog", 42.0),
        ("export_bytes", 5.0),
        ("requests_total", 2.0),
        ("dbt_compile_errors", 0.0),
        ("build_failed", 1.0),
        ("build_seconds", 10.0),
    ] {
        assert_eq!(value(&seen, metric), Some(wanted), "{metric}: {seen:?} {:?}", world.troubles());
    }
    assert!(value(&seen, "worker_memory_bytes").is_some_and(|bytes| bytes > 1000.0), "{seen:?}");
    assert!(value(&seen, "host_memory_used_ratio").is_some_and(|used| used > 0.0 && used < 1.0), "{seen:?}");
    let queue = seen.iter().find(|(name, ..)| name == "queue_length").expect("scraped");
    assert_eq!(queue.1.get("queue").map(String::as_str), Some("a"), "labels stay");
}

#[test]
fn what_is_gone_is_told_by_its_own_feed_and_the_others_go_on() {
    let mut world = World::new();
    let _ = world.look();
    world.worker = None;
    fs::remove_file(world.dir.path().join("data/export.csv")).expect("removed");
    let seen = world.look();
    assert_eq!(value(&seen, "worker_up"), Some(0.0));
    assert_eq!(value(&seen, "api_up"), Some(1.0));
    assert_eq!(value(&seen, "backlog"), Some(42.0));
}

#[test]
fn a_server_that_hangs_or_floods_harms_only_its_own_feeds() {
    let world = World::new();
    let _ = world.look();
    for mood in [Mood::Hangs, Mood::Floods] {
        *world.mood.lock().expect("mine") = mood;
        let seen = world.look();
        assert_eq!(value(&seen, "backlog"), Some(42.0), "others go on");
        assert_eq!(value(&seen, "worker_up"), Some(1.0));
        let scraped = seen.iter().filter(|(name, ..)| name == "queue_length").count();
        assert!(scraped <= 10_000, "{scraped} series of one feed");
        let troubles = world.troubles();
        assert!(troubles.contains_key("queue"), "{troubles:?}");
        assert!(!troubles.contains_key("backlog"), "{troubles:?}");
        if mood == Mood::Hangs {
            assert_eq!(value(&seen, "api_up"), Some(0.0), "no answer is an answer");
        }
    }
    *world.mood.lock().expect("mine") = Mood::Well;
    let seen = world.look();
    assert_eq!((value(&seen, "api_up"), value(&seen, "queue_length")), (Some(1.0), Some(7.0)));
    assert!(!world.troubles().contains_key("queue"), "it is well again: {:?}", world.troubles());
}
