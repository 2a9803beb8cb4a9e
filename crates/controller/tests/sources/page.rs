//! Each kind of feed looks at the real thing: the feeds are those of docs/signals.md, with the test's own address. Then the same
//! things are gone, hang and flood, and each feed says so alone.

use crate::support::{Bench, Running, Web, hang, said};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use unship_rollback::signal::{Sample, Series};

fn well(head: &str, stream: &mut TcpStream) {
    let (kind, body) = if head.starts_with("GET /metrics") {
        ("text/plain; version=0.0.4", "# TYPE jobs_waiting gauge\njobs_waiting{queue=\"a\"} 7\nother 1\n")
    } else if head.starts_with("GET /api/v1/query?query=sum%28rate%28errors_total%5B5m%5D%29%29") {
        (
            "application/json",
            "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1790000000,\"0.25\"]}]}}",
        )
    } else {
        ("text/plain", "ok")
    };
    let _ = stream.write_all(said("200 OK", kind, body).as_bytes());
}

/// A page of metrics without end.
fn flood(_: &str, stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
    let mut n = 0_u64;
    while stream.write_all(format!("jobs_waiting{{n=\"{n}\"}} 1\n").as_bytes()).is_ok() {
        n += 1;
    }
}

struct World {
    bench: Bench,
    web: Web,
    worker: Option<Running>,
    /// Of the sources that are in trouble now: what was told of each.
    troubles: BTreeMap<String, String>,
}

impl World {
    fn new() -> World {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/signals.md");
        let page = fs::read_to_string(page).expect("docs/signals.md");
        let (_, feeds) = page.split_once("```toml\n").expect("the feeds");
        let (feeds, _) = feeds.split_once("```").expect("their end");
        let web = Web::new(well);
        let bench = Bench::new(&feeds.replace("127.0.0.1:8080", &web.address.to_string()));
        bench.write("data/export.csv", "12345");
        bench.write("logs/api.log", "GET /before\n");
        fs::copy("/bin/sleep", bench.path("bin/worker")).expect("copied");
        let mut worker = Command::new(bench.path("bin/worker"));
        let worker = Running(worker.arg("600").stdin(Stdio::null()).spawn().expect("it runs"));
        World { bench, web, worker: Some(worker), troubles: BTreeMap::new() }
    }

    /// Every feed looks once more; what came of that.
    fn look(&mut self) -> Vec<(Series, Sample)> {
        self.bench.clock.goes_on(Duration::from_secs(120));
        while self.bench.sources.look_due() > 0 {}
        let taken = self.bench.seen.take();
        for told in taken.told {
            match (told.strip_suffix(" is well"), told.split_once(": ")) {
                (Some(source), _) => drop(self.troubles.remove(source)),
                (None, Some((source, what))) => drop(self.troubles.insert(source.to_owned(), what.to_owned())),
                (None, None) => panic!("{told:?} is told of no source"),
            }
        }
        taken.samples
    }
}

fn value(seen: &[(Series, Sample)], metric: &str) -> Option<f64> {
    seen.iter().rev().find(|(series, _)| series.metric() == metric).map(|(_, sample)| sample.value)
}

#[test]
fn every_kind_of_the_page_delivers() {
    let mut world = World::new();
    let _ = world.look();
    // News, after watching began.
    world.bench.write("logs/api.log", "GET /before\nGET /a\nPOST /b\nGET /c\n");
    let dbt = r#"{"metadata":{"generated_at":"2026-09-21T00:00:00Z","invocation_id":"x"},"elapsed_time":2.5,"results":[{"unique_id":"model.p.a","status":"success","message":null}]}"#;
    world.bench.write("target/run_results.json", dbt);
    let build = r#"{"started":"2026-09-21T14:13:20Z","finished":"2026-09-21T14:13:30Z","exit":0}"#;
    world.bench.write("run/build.json", build);
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
        ("build_failed", 0.0),
        ("build_seconds", 10.0),
    ] {
        assert_eq!(value(&seen, metric), Some(wanted), "{metric}: {seen:?} {:?}", world.troubles);
    }
    assert!(value(&seen, "worker_memory_bytes").is_some_and(|bytes| bytes > 1000.0), "{seen:?}");
    assert!(value(&seen, "host_memory_used_ratio").is_some_and(|used| used > 0.0 && used < 1.0), "{seen:?}");
    let (queue, _) = seen.iter().find(|(series, _)| series.metric() == "queue_length").expect("scraped");
    assert_eq!(queue.labels().get("queue").map(String::as_str), Some("a"), "labels stay");
}

#[test]
fn what_is_gone_is_told_by_its_own_feed_and_the_others_go_on() {
    let mut world = World::new();
    let _ = world.look();
    world.worker = None;
    fs::remove_file(world.bench.path("data/export.csv")).expect("removed");
    let seen = world.look();
    assert_eq!(value(&seen, "worker_up"), Some(0.0));
    assert_eq!(value(&seen, "api_up"), Some(1.0));
    assert_eq!(value(&seen, "backlog"), Some(42.0));
}

#[test]
fn a_server_that_hangs_or_floods_harms_only_its_own_feeds() {
    let mut world = World::new();
    let _ = world.look();
    for hangs in [true, false] {
        let mood: fn(&str, &mut TcpStream) = if hangs { hang } else { flood };
        world.web.answer(mood);
        let seen = world.look();
        assert_eq!(value(&seen, "backlog"), Some(42.0), "others go on");
        assert_eq!(value(&seen, "worker_up"), Some(1.0));
        let scraped = seen.iter().filter(|(series, _)| series.metric() == "queue_length").count();
        assert!(scraped <= 10_000, "{scraped} series of one feed");
        let troubles = &world.troubles;
        assert!(troubles.contains_key("queue"), "{troubles:?}");
        assert!(!troubles.contains_key("backlog"), "{troubles:?}");
        if hangs {
            assert_eq!(value(&seen, "api_up"), Some(0.0), "no answer is an answer");
        }
    }
    world.web.answer(well);
    let seen = world.look();
    assert_eq!((value(&seen, "api_up"), value(&seen, "queue_length")), (Some(1.0), Some(7.0)));
    assert!(!world.troubles.contains_key("queue"), "it is well again: {:?}", world.troubles);
}
